"""What is said when a caller asks why."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from fake_latchkey import CONNECTION_ID, Reply
from latchkey_client import Connection, InvalidTarget, Person, ProtocolError, UserToken

FOUND = {
    "would_work": False,
    "connection_id": CONNECTION_ID,
    "provider": "google",
    "checks": [
        {"check": "target", "passed": True},
        {
            "check": "scopes",
            "passed": False,
            "error": "interaction_required",
            "reason": "scope_insufficient",
            "action": "show the link",
            "connect_uri": "https://l/r/1",
            "missing_scopes": ["a"],
        },
        {"check": "person", "passed": False, "error": "invalid_target", "until": "2031-05-06T07:08:09Z"},
        {"check": "health", "passed": None},
    ],
}


def test_lists_what_was_looked_at(latchkey, ask):
    latchkey.explain_replies.append(Reply(200, FOUND))

    explained = ask.explain()

    scopes, person = explained.failed
    assert (explained.would_work, explained.connection_id) == (False, CONNECTION_ID)
    assert [check.passed for check in explained.checks] == [True, False, False, None]
    assert (scopes.name, scopes.reason, scopes.action) == ("scopes", "scope_insufficient", "show the link")
    assert (scopes.connect_uri, scopes.missing_scopes) == ("https://l/r/1", ("a",))
    assert person.until == datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("user", "named"),
    [
        (Connection("c-1"), {"connection_id": "c-1"}),
        (Person("p-1"), {"person_id": "p-1"}),
        (UserToken("a.b.c"), {"subject_token": "a.b.c"}),
    ],
)
def test_asks_as_the_json_endpoint_wants_it(latchkey, ask, user, named):
    latchkey.explain_replies.append(Reply(200, FOUND))

    ask.explain(user, features=["calendar.read"], purpose="brief", min_validity=120)

    asked = latchkey.asked[-1]
    assert asked.path == "/v1/tokens/explain"
    assert asked.headers["authorization"].startswith("Bearer service-")
    assert json.loads(asked.body) == {
        "provider": "google", "features": ["calendar.read"], "purpose": "brief", "min_validity": 120, **named,
    }  # fmt: skip


def test_refusals_are_the_same_as_for_tokens(latchkey, ask):
    latchkey.explain_replies.append(Reply(400, {"error": "invalid_target"}))

    with pytest.raises(InvalidTarget):
        ask.explain()


@pytest.mark.parametrize("body", [{}, {"would_work": True}, {"would_work": True, "checks": [1]}, b"<html>"])
def test_an_answer_that_explains_nothing_is_not_taken_for_one(latchkey, ask, body):
    latchkey.explain_replies.append(Reply(200, body))

    with pytest.raises(ProtocolError):
        ask.explain()
