"""Whatever a provider does on one leg: a typed answer, no connection wrongly ended, and recovery without hands."""

from __future__ import annotations

import itertools
import time
from uuid import UUID

import pytest

from app.domain.connections import Connection, Reason, Status
from app.domain.errors import (
    AccessTokenRejected,
    AdminApprovalRequired,
    ConsentDenied,
    CursorExpired,
    LatchkeyError,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
    ReconnectRequired,
)
from app.providers.key_sets import RETRY_GAP
from tests.faults.installation import Installation

KINDS = ("google", "microsoft", "oidc")
TOKEN_FAULTS = {
    "status 500": ({"kind": "status", "status": 500}, ProviderUnavailable),
    "status 503": ({"kind": "status", "status": 503}, ProviderUnavailable),
    "a gateway's page": ({"kind": "status", "status": 502, "body": "html"}, ProviderUnavailable),
    "an empty 200": ({"kind": "status", "status": 200, "body": "empty"}, ProviderUnavailable),
    "a page with 200": ({"kind": "status", "status": 200, "body": "html"}, ProviderUnavailable),
    "429": ({"kind": "status", "status": 429, "retry_after": "7"}, ProviderThrottled),
    "reset": ({"kind": "reset"}, ProviderUnavailable),
    "invalid_client": ({"kind": "invalid_client"}, ProviderRejected),
}
"""The provider has done nothing: no class of rotation can lose a token by these."""
LOST_ANSWERS = ("lose_answer", "truncate", "garbage")
"""The provider has done its work, and its answer does not arrive."""


def script(place: Installation, operation: str, members: dict) -> None:
    rest = dict(members)
    place.fault(operation, rest.pop("kind"), **rest)


def status_of(place: Installation, connection: Connection) -> tuple[str, str | None]:
    return place.rows("SELECT status, reason FROM connections WHERE id = %s", connection.id)[0]


def pass_time(place: Installation, connection_id: UUID) -> None:
    """Let all holding back be over."""
    place.rows("UPDATE connections SET next_attempt_at = NULL WHERE id = %s", connection_id)


# --- the token endpoint, for a service


@pytest.mark.parametrize(("name", "kind"), [*zip(TOKEN_FAULTS, itertools.cycle(KINDS), strict=False)])
def test_token_endpoint_that_fails_ends_nothing_and_recovers(place: Installation, name: str, kind: str) -> None:
    members, expected = TOKEN_FAULTS[name]
    connection, tokens = place.connect(kind), place.services.access_tokens
    before = tokens.get(connection.id).token
    place.age(connection.id)
    script(place, f"{kind}.token", members)
    asked = place.calls(f"{kind}.token")

    with pytest.raises(expected) as first:
        tokens.get(connection.id)
    with pytest.raises(ProviderThrottled) as second:
        tokens.get(connection.id)
    pass_time(place, connection.id)
    after = tokens.get(connection.id)

    assert type(first.value) is expected
    assert second.value.detail == "backing_off"
    assert second.value.retry_after_s is not None
    assert place.calls(f"{kind}.token") == asked + 2
    assert status_of(place, connection) == (Status.ACTIVE, None)
    assert after.token != before


@pytest.mark.parametrize("kind", KINDS)
def test_the_wish_to_wait_is_kept(place: Installation, kind: str) -> None:
    connection = place.connect(kind)
    place.age(connection.id)
    place.fault(f"{kind}.token", "status", status=429, retry_after="120", count=None)

    with pytest.raises(ProviderThrottled):
        place.services.access_tokens.get(connection.id)
    with pytest.raises(ProviderThrottled) as held:
        place.services.access_tokens.get(connection.id)

    assert held.value.retry_after_s is not None
    assert 110 < held.value.retry_after_s <= 120


@pytest.mark.parametrize("kind", KINDS)
def test_the_old_token_serves_with_a_warning_while_it_lasts(place: Installation, kind: str) -> None:
    connection = place.connect(kind)
    token = place.services.access_tokens.get(connection.id).token
    place.rows("UPDATE connections SET access_expires_at = now() + interval '40 seconds' WHERE id = %s", connection.id)
    place.rows("UPDATE connections SET last_refreshed_at = now() - interval '1 hour' WHERE id = %s", connection.id)
    place.fault(f"{kind}.token", "status", status=503, count=None)

    spare = place.services.access_tokens.get(connection.id, 60)

    assert spare.token == token
    assert spare.warning == "provider_unavailable"


@pytest.mark.parametrize("kind", ["google", "microsoft"])
@pytest.mark.parametrize("fault", LOST_ANSWERS)
def test_a_lost_answer_costs_nothing_where_the_old_token_lives_on(place: Installation, kind: str, fault: str) -> None:
    connection = place.connect(kind)
    place.age(connection.id)
    place.fault(f"{kind}.token", fault)

    with pytest.raises(ProviderUnavailable):
        place.services.access_tokens.get(connection.id)
    pass_time(place, connection.id)
    recovered = place.services.access_tokens.get(connection.id)

    assert recovered.warning is None
    assert status_of(place, connection) == (Status.ACTIVE, None)


def test_a_lost_answer_of_a_strict_provider_ends_that_connection_after_a_second_opinion(place: Installation) -> None:
    person = place.sign_in()
    connection, other = place.connect("oidc", person), place.connect("oidc", person, account="bruno")
    place.age(connection.id)
    place.age(other.id)
    place.fault("oidc.token", "lose_answer", account="farid")
    tokens = place.services.access_tokens

    with pytest.raises(ProviderUnavailable):
        tokens.get(connection.id)
    pass_time(place, connection.id)
    with pytest.raises(ProviderThrottled) as suspected:
        tokens.get(connection.id)
    doubted = status_of(place, connection)
    place.settle_suspicion(connection.id)
    with pytest.raises(ReconnectRequired):
        tokens.get(connection.id)

    assert suspected.value.detail == "confirming_refusal"
    assert doubted == (Status.ACTIVE, None)
    assert status_of(place, connection)[0] == Status.NEEDS_RECONNECT
    assert tokens.get(other.id).warning is None
    assert status_of(place, other) == (Status.ACTIVE, None)


@pytest.mark.parametrize("kind", KINDS)
def test_one_false_refusal_ends_nothing(place: Installation, kind: str) -> None:
    connection = place.connect(kind)
    place.age(connection.id)
    place.fault(f"{kind}.token", "invalid_grant")

    with pytest.raises(ProviderThrottled):
        place.services.access_tokens.get(connection.id)
    place.settle_suspicion(connection.id)
    recovered = place.services.access_tokens.get(connection.id)

    assert recovered.warning is None
    assert status_of(place, connection) == (Status.ACTIVE, None)
    assert place.rows("SELECT suspected_since FROM connections WHERE id = %s", connection.id) == [(None,)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_that_stays_ends_the_connection_and_a_new_consent_brings_it_back(
    place: Installation, kind: str
) -> None:
    person = place.sign_in()
    connection = place.connect(kind, person)
    place.age(connection.id)
    place.fault(f"{kind}.token", "invalid_grant", count=2)

    with pytest.raises(ProviderThrottled):
        place.services.access_tokens.get(connection.id)
    place.settle_suspicion(connection.id)
    with pytest.raises(ReconnectRequired) as ended:
        place.services.access_tokens.get(connection.id)
    again = place.connect(kind, person)

    assert ended.value.reason in set(Reason)
    assert again.id == connection.id
    assert place.services.access_tokens.get(connection.id).warning is None


# --- sign-in and consent


@pytest.mark.parametrize("kind", KINDS)
def test_without_keys_nobody_is_let_in_and_with_them_again_everybody(place: Installation, kind: str) -> None:
    place.fault(f"{kind}.jwks", "status", status=503, count=None)

    with pytest.raises(ProviderUnavailable):
        place.sign_in(kind)
    place.mend()
    # Keys are asked for once a second while there are none, so that a crowd does not multiply an outage.
    time.sleep(RETRY_GAP.total_seconds())

    assert place.sign_in(kind).id


PAGE_ERRORS = {
    "access_denied": ConsentDenied,
    "server_error": ProviderUnavailable,
    "temporarily_unavailable": ProviderUnavailable,
    "invalid_request": ProviderRejected,
    "unauthorized_client": ProviderRejected,
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_the_authorization_page_says_what_it_means(place: Installation, kind: str) -> None:
    for error, expected in PAGE_ERRORS.items():
        place.fault(f"{kind}.authorize", "oauth_error", error=error)
        place.forget_calls()

        with pytest.raises(expected) as raised:
            place.sign_in(kind)

        assert type(raised.value) is expected, error
        assert place.calls(f"{kind}.token") == 0, error
    assert place.sign_in(kind).id


def test_an_administrator_who_must_approve_first_is_named_as_such(place: Installation) -> None:
    person = place.sign_in()
    place.fault("microsoft.authorize", "admin_consent")

    with pytest.raises(AdminApprovalRequired):
        place.connect("microsoft", person)

    assert place.rows("SELECT count(*) FROM connections") == [(0,)]
    assert place.connect("microsoft", person).status is Status.ACTIVE


# --- calendars

READS = {
    "status 500": ({"kind": "status", "status": 500}, ProviderUnavailable),
    "status 503": ({"kind": "status", "status": 503, "body": "html"}, ProviderUnavailable),
    "429": ({"kind": "status", "status": 429, "retry_after": "90"}, ProviderThrottled),
    "reset": ({"kind": "reset"}, ProviderUnavailable),
    "truncated": ({"kind": "truncate"}, ProviderUnavailable),
    "garbage": ({"kind": "garbage"}, ProviderUnavailable),
    "401 that stays": ({"kind": "status", "status": 401, "count": 2}, AccessTokenRejected),
}


@pytest.mark.parametrize(("kind", "listing", "reading"), [
    ("google", "google.calendarlist", "google.events"), ("microsoft", "graph.calendars", "graph.delta"),
])  # fmt: skip
def test_calendars_survive_every_fault_of_a_reading(place: Installation, kind: str, listing: str, reading: str) -> None:
    connection = place.connect(kind)
    services = place.services
    for members, expected in READS.values():
        refreshed_long_ago(place)
        script(place, listing, members)
        with pytest.raises(expected):
            services.calendar_lists.read(connection.id)
        place.mend()
    assert services.calendar_lists.read(connection.id) > 0
    calendar = place.calendars(connection.id)[0]
    services.calendar_sync.sync(calendar)
    before = stored(place, calendar)

    for name, (members, expected) in READS.items():
        refreshed_long_ago(place)
        script(place, reading, members)
        with pytest.raises(expected):
            services.calendar_sync.sync(calendar)
        place.mend()
        error, waits_s = place.rows(
            "SELECT last_error, extract(epoch FROM due_at - now()) FROM sync_states WHERE calendar_id = %s", calendar
        )[0]

        assert error == expected.code, name
        assert stored(place, calendar) == before, name
        assert status_of(place, connection) == (Status.ACTIVE, None), name
        assert name != "429" or waits_s > 80, name

    services.calendar_sync.sync(calendar)
    assert place.rows("SELECT last_error FROM sync_states WHERE calendar_id = %s", calendar) == [(None,)]
    assert stored(place, calendar) == before


def refreshed_long_ago(place: Installation) -> None:
    """Let no refresh be so young that a rejected token would be doubted rather than replaced."""
    place.rows("UPDATE connections SET last_refreshed_at = last_refreshed_at - interval '1 hour'")


def stored(place: Installation, calendar: UUID) -> list[tuple]:
    return place.rows(
        "SELECT series_id, recurrence_id, start_at, end_at, start_date FROM occurrences WHERE calendar_id = %s"
        " ORDER BY series_id, recurrence_id",
        calendar,
    )


@pytest.mark.parametrize(("kind", "reading"), [("google", "google.events"), ("microsoft", "graph.delta")])
def test_a_token_rejected_once_is_renewed_within_the_run(place: Installation, kind: str, reading: str) -> None:
    connection = place.connect(kind)
    place.services.calendar_lists.read(connection.id)
    calendar = place.calendars(connection.id)[0]
    asked = place.calls(f"{kind}.token")
    refreshed_long_ago(place)
    place.fault(reading, "status", status=401)

    outcome = place.services.calendar_sync.sync(calendar)

    assert outcome is not None
    assert outcome.full
    assert place.calls(f"{kind}.token") == asked + 1


@pytest.mark.parametrize(("kind", "reading"), [("google", "google.events"), ("microsoft", "graph.delta")])
def test_a_forgotten_cursor_leads_to_a_full_reading_and_readers_see_no_gap(
    place: Installation, kind: str, reading: str
) -> None:
    connection = place.connect(kind)
    place.services.calendar_lists.read(connection.id)
    calendar = place.calendars(connection.id)[0]
    place.services.calendar_sync.sync(calendar)
    before = stored(place, calendar)
    place.fault(reading, "gone_410")

    with pytest.raises(CursorExpired):
        place.services.calendar_sync.sync(calendar)
    meanwhile = stored(place, calendar)
    outcome = place.services.calendar_sync.sync(calendar)

    assert meanwhile == before
    assert outcome is not None
    assert outcome.full
    assert stored(place, calendar) == before


@pytest.mark.parametrize(("kind", "watch"), [("google", "google.watch"), ("microsoft", "graph.subscriptions")])
def test_a_refused_watch_leaves_the_calendar_to_polling_and_is_tried_again(
    place: Installation, kind: str, watch: str
) -> None:
    connection = place.connect(kind)
    place.services.calendar_lists.read(connection.id)
    calendar = place.calendars(connection.id)[0]
    for status in (400, 403, 429, 500):
        place.fault(watch, "status", status=status)

        code = refusal_of_a_channel(place, calendar)
        outcome = place.services.calendar_sync.sync(calendar)

        assert code in {
            "provider_unavailable", "provider_throttled", "provider_rejected", "push_not_supported", "scopes_missing",
        }, status  # fmt: skip
        assert outcome is not None, status
        assert place.rows("SELECT count(*) FROM channels") == [(0,)], status
        [(again,)] = place.rows("SELECT channel_due_at > now() FROM sync_states WHERE calendar_id = %s", calendar)
        assert again or code == "push_not_supported", status
    assert status_of(place, connection) == (Status.ACTIVE, None)


def refusal_of_a_channel(place: Installation, calendar: UUID) -> str:
    try:
        place.services.channels.open(calendar)
    except LatchkeyError as error:
        return error.code
    # A calendar that can never be watched is no error.
    return "push_not_supported"


# --- the end


@pytest.mark.parametrize(
    ("kind", "fault"),
    [("google", {"kind": "status", "status": 503}), ("google", {"kind": "garbage"}), ("oidc", {"kind": "reset"})],
)
def test_a_revocation_that_fails_is_told_and_deletes_here_all_the_same(
    place: Installation, kind: str, fault: dict
) -> None:
    person = place.sign_in()
    connection = place.connect(kind, person)
    script(place, f"{kind}.revoke", {**fault, "count": None})

    receipt = place.services.disconnect.disconnect(person.id, connection.id)

    done = fault["kind"] == "garbage"
    assert receipt.revocation.outcome in ({"revoked", "failed"} if done else {"failed"})
    assert status_of(place, connection)[0] == Status.DISCONNECTED
    for table in ("data_keys", "token_generations", "calendars"):
        assert place.rows(f"SELECT count(*) FROM {table} WHERE connection_id = %s", connection.id) == [(0,)]  # noqa: S608 - names of ours
