"""What services may ask for, and what they are told when they may not."""

from __future__ import annotations

import pytest

from app.domain.features import Feature
from app.services.connect_links import PER_MINUTE
from tests.integration.links.conftest import RETURN_URI

BODY = {"provider": "google", "features": ["calendar.read"], "return_uri": RETURN_URI, "completion": "host"}
OTHER_URI = "https://other.example.com/back"


def create(desk, by="assistant", **changes):
    return desk.call("POST", "/v1/connect-links", by=by, json={**BODY, **changes})


def test_a_new_link_comes_with_its_address_once(desk):
    made = create(desk)

    assert made.status_code == 201
    assert made.json["connect_uri"].startswith("https://latchkey.example.test/connect-links/open/")
    assert made.headers["Cache-Control"] == "no-store"
    assert set(made.json) == {"id", "connect_uri", "expires_at"}
    told = desk.call("GET", f"/v1/connect-links/{made.json['id']}").json
    assert told["state"] == "open"
    assert "connect_uri" not in told


def test_whoever_is_no_service_makes_no_links(desk):
    desk.clients.services.clear()

    assert create(desk).status_code == 401
    assert desk.rows("connect_links") == [(0,)]


@pytest.mark.parametrize(
    "changes",
    [{"features": ["calendar.read", "mail.send"]}, {"provider": "microsoft"}],
    ids=["feature", "provider"],
)
def test_only_what_some_policy_allows_can_be_asked_for(desk, changes):
    desk.house.providers._providers["microsoft"] = desk.house.provider

    refused = create(desk, **changes)

    assert (refused.status_code, refused.json["error"]) == (403, "unauthorized_client")
    assert refused.json["reason"] == "policy"
    assert desk.rows("connect_links") == [(0,)]


def test_without_any_policy_not_even_an_identity_can_be_asked_for(desk):
    desk.service("newcomer")

    assert create(desk, by="newcomer", features=["identity"]).status_code == 403


@pytest.mark.parametrize(
    "uri",
    [
        OTHER_URI,
        "https://assistant.example.com/connected",
        f"{RETURN_URI}&a=b",
        f"{RETURN_URI}#x",
        f"{RETURN_URI}/",
        f" {RETURN_URI}",
        RETURN_URI.upper(),
        RETURN_URI.replace("assistant", "Assistant"),
        RETURN_URI.replace("https", "http"),
        RETURN_URI.replace("assistant.example.com", "assistant.example.com:443"),
        RETURN_URI.replace("assistant.example.com", "assistant.example.com@evil.example.com"),
        RETURN_URI.replace("assistant.example.com", "assistant.example.com.evil.example.com"),
        RETURN_URI.replace("/connected", "/connected/../evil"),
        RETURN_URI.replace("/connected", "\\connected"),
        "//assistant.example.com/connected?tenant=7",
        "javascript:alert(1)",
    ],
)
def test_only_exactly_an_allowed_address_can_be_returned_to(desk, uri):
    desk.service("other", Feature.CALENDAR_READ)
    desk.links.allow_return("other", OTHER_URI)

    refused = create(desk, return_uri=uri)

    assert (refused.status_code, refused.json["error"]) == (400, "invalid_request")
    assert refused.json["reason"] == "return_uri_not_allowed"
    assert uri.strip() not in refused.get_data(as_text=True)
    assert desk.rows("connect_links") == [(0,)]


def test_allowing_an_address_twice_is_no_fault_and_an_unusable_one_or_unknown_service_is(desk):
    desk.links.allow_return("assistant", OTHER_URI)
    desk.links.allow_return("assistant", OTHER_URI)

    assert desk.rows("service_return_uris") == [(2,)]
    with pytest.raises(ValueError, match="no service named nobody"):
        desk.links.allow_return("nobody", OTHER_URI)
    with pytest.raises(ValueError, match="TLS"):
        desk.links.allow_return("assistant", "http://assistant.example.com/back")


@pytest.mark.parametrize(
    "changes",
    [
        {"person": {"email": "ada@example.com"}},
        {"person": "ada@example.com"},
        {"person": {}},
        {"person": {"issuer": "https://accounts.google.com"}},
        {"person": {"sub": "1"}},
        {"person": {"id": "ada"}},
        {"person": {"id": "11111111-1111-4111-8111-111111111111", "issuer": "i", "sub": "s"}},
        {"person": {"id": "11111111-1111-4111-8111-111111111111", "issuer": "i"}},
        {"person": {"issuer": "i\u0000", "sub": "s"}},
        {"email_hint": "ada@example.com"},
        {"completion": "automatic"},
        {"completion": "never"},
        {"features": []},
        {"features": ["calendar.everything"]},
        {"features": "calendar.read"},
        {"provider": ""},
        {"provider": "google\n"},
        {"return_uri": None},
        {"unknown": 1},
    ],
)
def test_a_body_that_says_something_else_is_refused_and_not_repeated(desk, changes):
    refused = create(desk, **changes)

    assert (refused.status_code, refused.json["error"]) == (400, "invalid_request")
    assert "ada" not in str(refused.json | {"error_id": "drawn by chance"})
    assert desk.rows("connect_links") == [(0,)]


def test_a_person_nobody_knows_by_id_cannot_be_named(desk):
    refused = create(desk, person={"id": "11111111-1111-4111-8111-111111111111"})

    assert (refused.status_code, refused.json["reason"]) == (400, "unknown_person")


def test_an_unknown_provider_and_one_without_the_feature_are_named_as_such(desk):
    desk.house.provider.kind = "oidc"

    assert create(desk).json["error_description"] == "this provider has no such feature"
    assert create(desk, provider="nobody").json["error"] == "invalid_target"


def test_a_service_that_makes_links_in_a_loop_is_slowed_down_and_nobody_else_is(desk):
    desk.service("other", Feature.CALENDAR_READ)

    statuses = [create(desk).status_code for _ in range(PER_MINUTE + 1)]

    assert statuses == [201] * PER_MINUTE + [429]
    assert int(create(desk).headers["Retry-After"]) == 60
    assert create(desk, by="other").status_code == 201
    desk.later(seconds=60)
    assert create(desk).status_code == 201
