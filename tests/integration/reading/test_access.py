"""Whose calendars a service may read: policy, the person's switches, the grant, rates; and what is written down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from app.domain.features import Feature
from app.ports import Block
from app.web.api.query import SUBJECT_HEADER
from tests.integration.reading.room import NOW, PUBLIC_URL, single
from tests.signing import Signer, statement

WEEK = {"from": "2026-11-23T00:00:00Z", "to": "2026-11-30T00:00:00Z"}
TOMORROW = datetime.now(UTC) + timedelta(days=1)


def refusal(answer):
    return answer.status_code, answer.json["error"], answer.json.get("reason")


def test_one_person_who_is_refused_is_an_error_that_says_what_helps(room):
    ada, connection, _ = room.calendar_of("ada")
    stranger, lonely = str(uuid4()), str(room.person("lonely"))
    services = {
        "reader": room.service(),
        "mailer": room.service("mailer", (Feature.MAIL_SEND,)),
        "for one purpose": room.service("purposeful", purposes=frozenset({"availability"})),
        "for somebody else": room.service("narrow", people=frozenset({f"person:{stranger}"})),
        "with tokens alone": room.service("present", act_as=False),
    }

    def ask(name, person=ada, **more):
        return room.get("/v1/calendars", services[name], user=str(person), **more)

    assert ask("reader").status_code == 200
    assert ask("for one purpose", purpose="availability").status_code == 200
    assert refusal(ask("mailer")) == (403, "unauthorized_client", "policy")
    assert refusal(ask("for one purpose")) == (403, "unauthorized_client", "policy")
    assert refusal(ask("with tokens alone")) == (403, "unauthorized_client", "policy")
    # Somebody policy does not open and somebody who does not exist look the same.
    assert refusal(ask("for somebody else")) == refusal(ask("for somebody else", lonely))
    assert refusal(ask("for somebody else")) == (400, "invalid_target", None)
    assert refusal(ask("reader", lonely)) == refusal(ask("reader", stranger))
    assert refusal(ask("reader", lonely)) == (400, "interaction_required", "never_connected")

    room.change_connection(connection, paused_until=TOMORROW)
    assert refusal(ask("reader")) == (400, "invalid_target", "paused_by_user")
    room.change_connection(connection, paused_until=None, status="needs_reconnect", reason="revoked_by_user")
    dead = ask("reader")
    assert refusal(dead) == (400, "interaction_required", "revoked_by_user")
    assert dead.json["connect_uri"].endswith(f"/connections/{connection}/repair")
    room.change_connection(connection, status="active", reason=None, granted_scopes=["openid"])
    assert refusal(ask("reader")) == (400, "interaction_required", "scope_insufficient")
    room.change_connection(connection, calendars_listed_at=None, granted_scopes=["Calendars.Read"], kind="microsoft")
    assert refusal(ask("reader")) == (503, "temporarily_unavailable", "calendars_unread")


def test_of_several_people_those_who_are_refused_are_listed_and_the_others_answered(room):
    reader = room.service()
    (ada, _, work), (grace, dead, _) = room.calendar_of("ada"), room.calendar_of("grace")
    linus, never = room.calendar_of("linus")[0], room.person("never")
    room.put(work, single("meeting"))
    room.change_connection(dead, status="needs_reconnect", reason="credential_changed")
    with room.store.transaction() as tx:
        tx.policies.block(linus, Block(room.known().id, NOW, None))

    answer = room.get("/v1/events", reader, user=[str(one) for one in (ada, grace, linus, never)], **WEEK)
    refused = {one["person_id"]: one for one in answer.json["refused"]}

    assert answer.status_code == 200
    assert [one["event_id"] for one in answer.json["occurrences"]] == ["meeting"]
    assert {one["person_id"] for one in answer.json["calendars"]} == {str(ada)}
    assert {key: one.get("reason") for key, one in refused.items()} == {
        str(grace): "credential_changed", str(linus): "service_blocked_by_user", str(never): "never_connected"
    }  # fmt: skip
    assert refused[str(grace)]["connect_uri"].endswith(f"/connections/{dead}/repair")
    assert all(one["action"] for one in refused.values())


def test_an_account_that_needs_its_person_hides_no_other(room):
    reader = room.service()
    ada, _, _ = room.calendar_of("ada")
    dead = room.connection(ada, "microsoft", status="needs_reconnect", reason="revoked_by_admin")

    answer = room.get("/v1/calendars", reader, user=str(ada)).json

    assert len(answer["calendars"]) == 1
    assert [(one["connection_id"], one["reason"]) for one in answer["refused"]] == [(str(dead), "revoked_by_admin")]


def test_a_statement_of_the_service_names_the_person_once(room):
    reader, signer = room.service(), Signer()
    ada, _, _ = room.calendar_of("ada")
    room.services.callers.registry.add_key("reader", signer.pem(), None)
    said = statement("reader", PUBLIC_URL, datetime.now(UTC), sub=str(ada), purpose="availability")
    token = signer.sign(said, kid=None)

    first = room.get("/v1/calendars", reader | {SUBJECT_HEADER: token})
    again = room.get("/v1/calendars", reader | {SUBJECT_HEADER: token})
    both = room.get("/v1/calendars", reader | {SUBJECT_HEADER: token}, user=str(ada))

    assert first.status_code == 200, first.json
    assert len(first.json["calendars"]) == 1
    assert refusal(again) == (400, "invalid_request", "subject_token_invalid")
    assert both.status_code == 400
    assert room.audit("calendar_read.released")[0].detail["purpose"] == "availability"


def test_every_read_is_in_the_audit_log_with_what_left(room):
    reader = room.service()
    (ada, connection, work), (grace, dead, _) = room.calendar_of("ada"), room.calendar_of("grace")
    room.change_connection(dead, status="needs_reconnect", reason="revoked_by_user")
    for number in range(3):
        room.put(work, single(f"e{number}", NOW + timedelta(hours=number)))

    room.get("/v1/events", reader, user=[str(ada), str(grace)], purpose="availability", limit=2, **WEEK)
    room.get("/v1/changes", reader)
    room.get(f"/v1/calendars/{work}.ics", reader)
    room.get("/v1/calendars", reader, user=str(uuid4()))
    released, denied = room.audit("calendar_read.released"), room.audit("calendar_read.denied")

    assert [(one.detail["what"], one.detail["count"], one.detail["reach"]) for one in released] == [
        ("occurrences", 2, "details"), ("changes", 3, "details"), ("export", 3, "details")
    ]  # fmt: skip
    assert {(one.service_id, one.person_id, one.connection_id) for one in released} == {
        (room.known().id, ada, connection)
    }
    assert released[0].detail["purpose"] == "availability"
    assert [(one.person_id, one.detail["reason"]) for one in denied] == [
        (grace, "reconnect_required"), (None, "never_connected")
    ]  # fmt: skip


def test_hourly_limits_count_reads_and_refuse_them(room):
    reader = room.service(max_per_hour=2)
    (ada, _, _), (grace, _, _) = room.calendar_of("ada"), room.calendar_of("grace")

    def ask(*people):
        return room.get("/v1/calendars", reader, user=[str(one) for one in people]).status_code

    assert ask(ada) == 200
    # Two people do not fit, and what was counted for the first of them is given back.
    assert ask(ada, grace) == 429
    assert ask(grace) == 200
    assert ask(ada) == 429
    # Another policy may allow it without the spent one, but not less instead.
    room.allow("reader", (Feature.CALENDAR_FREEBUSY,))
    assert ask(ada) == 429
    room.allow("reader")
    assert ask(ada) == 200
