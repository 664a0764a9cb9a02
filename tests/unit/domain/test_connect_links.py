from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest

from app.domain.connect_link_errors import ConnectLinkExpired, ConnectLinkForAnother, ConnectLinkTaken, ConnectLinkUsed
from app.domain.connect_links import (
    ANSWER_WITHIN,
    LIFETIME,
    Completion,
    ConnectLink,
    LinkState,
    Visitor,
    check_return_uri,
    check_visitor,
    return_address,
)
from app.domain.features import Feature

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ADA, BRUNO = uuid4(), uuid4()
BROWSER, OTHER_BROWSER = b"a" * 32, b"b" * 32

OPEN = ConnectLink(
    id=UUID("5b0c9a38-3a0b-4f0e-9c5e-8f3b8d0a6e21"),
    secret_hash=b"s" * 32,
    service_id=uuid4(),
    service_name="assistant",
    for_person_id=ADA,
    for_issuer=None,
    for_subject=None,
    email_hint=None,
    provider="google",
    features=(Feature.IDENTITY, Feature.CALENDAR_READ),
    return_uri="https://assistant.example.com/connected",
    completion=Completion.AUTOMATIC,
    created_at=NOW,
    expires_at=NOW + LIFETIME,
)
UNMET = replace(OPEN, for_person_id=None, for_issuer="https://idp.example.com", for_subject="sub-7")
STARTED = replace(OPEN, state=LinkState.STARTED, browser_hash=BROWSER, taken_by=ADA)


@pytest.mark.parametrize(
    "uri",
    [
        "https://assistant.example.com/",
        "https://assistant.example.com/connected?tenant=7&next=%2Fhome",
        "https://assistant.example.com:8443/a/b;c",
        "http://localhost:3000/back",
        "http://127.0.0.1/back",
        "http://[::1]:3000/back",
    ],
)
def test_plain_addresses_may_be_allowed(uri):
    check_return_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/connected",
        "//evil.example.com/",
        "https:evil.example.com/",
        "https:///evil.example.com/",
        "https://assistant.example.com",
        "http://assistant.example.com/connected",
        "http://localhost.evil.example.com/",
        "http://127.0.0.1.evil.example.com/",
        "http://127.1/",
        "http://0.0.0.0/",
        "https://user@evil.example.com/",
        "https://assistant.example.com@evil.example.com/",
        "https://assistant.example.com:pass@evil.example.com/",
        "https://assistant.example.com\\@evil.example.com/",
        "https://assistant.example.com\\.evil.example.com/",
        "https://assistant.example.com%2eevil.example.com/",
        "https://assistant.example.com:443abc/",
        "https://assistant.example.com:99999/",
        "https://assistant.example.com:0443/",
        "https://assistant.example.com/connected#fragment",
        "https://assistant.example.com/\r\nSet-Cookie: a=b",
        "https://assistant.example.com/\tx",
        " https://assistant.example.com/",
        "https://assistant.example.com/ ",
        "https://ässistant.example.com/",
        "https://\uff41ssistant.example.com/",
        "HTTPS://assistant.example.com/",
        "https://Assistant.example.com/",
        "https://[::ffff:7f00:1]/",
        "https://[evil/",
        "https://.../",
        "javascript:alert(1)//https://assistant.example.com/",
        "data:text/html,x",
        "ftp://assistant.example.com/",
        "app.assistant:/connected",
        "https://assistant.example.com/?connect_link=forged",
        "https://assistant.example.com/?status=connected",
        "https://assistant.example.com/?a=b&connection%5Fid=1",
        "https://assistant.example.com/" + "a" * 1000,
    ],
)
def test_addresses_that_could_lead_astray_are_refused(uri):
    with pytest.raises(ValueError, match=r"return address|host of"):
        check_return_uri(uri)


@pytest.mark.parametrize(("state", "status"), [("connected", "connected"), ("awaiting_completion", "connected"),
                                               ("declined", "declined"), ("failed", "failed")])  # fmt: skip
def test_the_browser_goes_back_with_the_outcome_and_nothing_of_the_providers(state, status):
    connection_id = uuid4()
    ended = replace(STARTED, state=LinkState(state), connection_id=connection_id, reason="id_token_invalid")

    address = return_address(ended)

    assert address.startswith("https://assistant.example.com/connected?")
    expected = {"connect_link": [str(OPEN.id)], "status": [status]}
    if status == "connected":
        expected["connection_id"] = [str(connection_id)]
    assert parse_qs(urlsplit(address).query) == expected


def test_what_the_address_carries_already_stays():
    ended = replace(STARTED, state=LinkState.DECLINED, return_uri="https://assistant.example.com/back?tenant=7")

    assert return_address(ended).startswith("https://assistant.example.com/back?tenant=7&connect_link=")


@pytest.mark.parametrize(
    ("link", "after", "state"),
    [
        (OPEN, LIFETIME - timedelta(seconds=1), LinkState.OPEN),
        (OPEN, LIFETIME, LinkState.EXPIRED),
        (STARTED, LIFETIME, LinkState.EXPIRED),
        (replace(STARTED, used_at=NOW), LIFETIME, LinkState.STARTED),
        (replace(STARTED, used_at=NOW), LIFETIME + ANSWER_WITHIN, LinkState.EXPIRED),
        (replace(STARTED, state=LinkState.CONNECTED), LIFETIME * 9, LinkState.CONNECTED),
    ],
)
def test_time_ends_what_is_not_finished(link, after, state):
    assert link.state_at(NOW + after) is state


def test_a_link_waits_for_its_host_until_its_own_deadline():
    waiting = replace(STARTED, state=LinkState.AWAITING_COMPLETION, complete_by=NOW + timedelta(minutes=35))

    assert waiting.state_at(NOW + LIFETIME) is LinkState.AWAITING_COMPLETION
    assert waiting.state_at(NOW + timedelta(minutes=35)) is LinkState.EXPIRED


@pytest.mark.parametrize(
    ("link", "visitor"),
    [
        (OPEN, Visitor(ADA, None)),
        (OPEN, Visitor(ADA, OTHER_BROWSER)),
        (STARTED, Visitor(ADA, BROWSER)),
        (replace(OPEN, for_person_id=None), Visitor(BRUNO, None)),
    ],
)
def test_whom_the_link_is_for_may_go_on(link, visitor):
    check_visitor(link, visitor, NOW)


@pytest.mark.parametrize(
    ("link", "visitor", "refusal"),
    [
        (OPEN, Visitor(BRUNO, None), ConnectLinkForAnother),
        (UNMET, Visitor(BRUNO, None), ConnectLinkForAnother),
        (STARTED, Visitor(ADA, OTHER_BROWSER), ConnectLinkTaken),
        (STARTED, Visitor(ADA, None), ConnectLinkTaken),
        (replace(STARTED, for_person_id=None), Visitor(BRUNO, BROWSER), ConnectLinkTaken),
        (replace(STARTED, used_at=NOW), Visitor(ADA, BROWSER), ConnectLinkUsed),
        *((replace(STARTED, state=state), Visitor(ADA, BROWSER), ConnectLinkUsed)
          for state in (LinkState.CONNECTED, LinkState.AWAITING_COMPLETION, LinkState.DECLINED, LinkState.FAILED)),
        (replace(OPEN, state=LinkState.EXPIRED), Visitor(ADA, None), ConnectLinkExpired),
        (replace(OPEN, expires_at=NOW), Visitor(ADA, None), ConnectLinkExpired),
        # Who it is not for learns nothing of what became of it.
        (replace(STARTED, state=LinkState.CONNECTED), Visitor(BRUNO, BROWSER), ConnectLinkForAnother),
    ],
)  # fmt: skip
def test_everybody_else_is_told_why_not(link, visitor, refusal):
    with pytest.raises(refusal):
        check_visitor(link, visitor, NOW)
