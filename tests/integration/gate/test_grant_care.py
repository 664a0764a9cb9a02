"""Idle grants, dead grants, and applications whose grants end after a week: on the real store."""

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from app.domain.connections import Status
from app.domain.errors import ReconnectRequired
from app.domain.grant_care import REST, IdlePolicy
from app.services.grant_care import CareSettings, GrantCare
from tests.integration.gate.conftest import Crew
from tests.integration.services.conftest import house, keyring_file  # noqa: F401 - fixtures

DAY = timedelta(days=1)
NOW = datetime.now(UTC)


class RecordingDisconnect:
    """Stands for the use case that ends a connection."""

    def __init__(self):
        self.ended = []

    def disconnect(self, person_id, connection_id):
        self.ended.append(connection_id)


@pytest.fixture
def care(house):  # noqa: F811 - a fixture
    """Build the use case on a house, with a note of who was disconnected."""

    def build(policy=IdlePolicy.KEEP_ALIVE):
        settings = CareSettings(policy, timedelta(days=60), timedelta(days=90))
        return GrantCare(house.store, house.sealer, RecordingDisconnect(), house.clock, settings)

    return build


@pytest.fixture
def crew(database_url):
    return Crew(database_url)


def add(crew, **columns):
    """Write a connection that was made and last used long ago, and is due for its next refresh."""
    due = {"refresh_due_at": NOW, "created_at": NOW - 365 * DAY, "last_refreshed_at": NOW - timedelta(hours=1)}
    return crew.add_connection(**(due | columns))


def hand_out(crew, connection_id, at, kind="hand_out.released"):
    ((seq,),) = crew.sql("SELECT coalesce(max(seq), 0) + 1 FROM audit_log")
    crew.sql(
        "INSERT INTO audit_log (seq, id, kind, at, recorded_at, connection_id, detail, key_id, mac)"
        " VALUES (:seq, :id, :kind, :at, :at, :connection_id, '{}', '', '')",
        seq=seq, id=uuid4(), kind=kind, at=at, connection_id=connection_id,
    )  # fmt: skip


def due_in(crew, connection_id):
    ((due, refreshed),) = crew.sql(
        "SELECT refresh_due_at, last_refreshed_at FROM connections WHERE id = :id", id=connection_id
    )
    return due - refreshed


def events(crew):
    return crew.sql("SELECT kind, connection_id FROM audit_events ORDER BY id")


def test_a_grant_nobody_uses_rests_and_is_refreshed_in_time_to_stay_alive(care, crew):
    idle, oidc = add(crew), add(crew, provider="acme", kind="oidc")
    microsoft = add(crew, provider="microsoft", kind="microsoft")

    care().care()

    assert due_in(crew, idle) == due_in(crew, microsoft) == REST
    assert timedelta(days=30) > REST
    assert due_in(crew, oidc) < DAY


def test_a_hand_out_keeps_a_grant_awake_and_is_written_down_to_the_hour(care, crew):
    used, denied = add(crew), add(crew)
    at = NOW - 10 * DAY
    hand_out(crew, used, NOW - 200 * DAY)
    hand_out(crew, used, at)
    hand_out(crew, denied, at, kind="hand_out.denied")

    care().care()

    assert due_in(crew, used) < DAY
    assert due_in(crew, denied) == REST
    ((written,),) = crew.sql("SELECT last_used_at FROM connections WHERE id = :id", id=used)
    assert written == at.replace(minute=0, second=0, microsecond=0)


def test_new_grants_and_those_with_calendars_are_in_use(care, crew):
    fresh, synced = add(crew, created_at=NOW - 59 * DAY), add(crew)
    add_calendar(crew, synced)

    care().care()

    assert due_in(crew, fresh) < DAY
    assert due_in(crew, synced) < DAY


def add_calendar(crew, connection_id):
    crew.sql(
        "INSERT INTO calendars (id, connection_id, provider_id, name, access_role, is_primary, created_at)"
        " VALUES (gen_random_uuid(), :id, 'primary', 'Work', 'owner', true, now())",
        id=connection_id,
    )


def test_the_other_policy_lets_idle_grants_go_with_a_note(care, crew):
    idle, used = add(crew), add(crew)
    hand_out(crew, used, NOW)
    careful = care(IdlePolicy.LET_GO)

    careful.care()

    assert careful.disconnect.ended == [idle]
    assert ("let_go", idle) in events(crew)
    assert due_in(crew, idle) < DAY


def test_the_default_policy_disconnects_nobody(care, crew):
    add(crew)
    careful = care()

    careful.care()

    assert careful.disconnect.ended == []


def test_tokens_of_the_dead_are_deleted_and_a_reconnect_still_works(house, care, crew):  # noqa: F811
    connected = house.connect(house.sign_in())
    connection = connected.connection
    crew.sql(
        "UPDATE connections SET status = 'needs_reconnect', reason = 'grant_rejected', status_since = :at",
        at=NOW - 91 * DAY,
    )
    ((key_before,),) = crew.sql("SELECT wrapped_key FROM data_keys")

    (listed,) = care().dead()
    assert crew.sql("SELECT count(*) FROM token_generations") == [(1,)]
    reaped = care().reap()

    assert [grant.connection_id for grant in reaped] == [listed.connection_id] == [connection.id]
    assert crew.sql("SELECT count(*) FROM token_generations") == [(0,)]
    assert crew.sql("SELECT wrapped_key <> :before FROM data_keys", before=key_before) == [(True,)]
    assert ("tokens_deleted", connection.id) in events(crew)
    assert care().reap() == ()
    with pytest.raises(ReconnectRequired):
        house.tokens.get(connection.id)
    with house.store.reading() as tx:
        person = tx.people.get(connection.person_id)
    assert house.connect(person, connection).connection.status is Status.ACTIVE
    assert house.tokens.get(connection.id).token


def test_those_who_may_still_come_back_keep_their_tokens(house, care, crew):  # noqa: F811
    connection = house.connect(house.sign_in()).connection
    crew.sql(
        "UPDATE connections SET status = 'needs_reconnect', reason = 'grant_rejected', status_since = :at",
        at=NOW - 89 * DAY,
    )

    assert care().reap() == ()
    crew.sql("UPDATE connections SET status_since = :at", at=NOW - 91 * DAY)
    with house.store.transaction() as tx:
        # Somebody looked at the list, and the person reconnected before it was worked off.
        crew.sql("UPDATE connections SET status = 'active', reason = NULL")
        assert not tx.grant_care.bury(connection.id, NOW - 90 * DAY, b"key")

    assert crew.sql("SELECT count(*) FROM token_generations") == [(1,)]


# --- test mode


def consent(crew, connection_id, issued_at, *, lives=None):
    """Write a consent and an hourly refresh after it, as Google leaves them."""
    for generation, origin, at in ((1, "consent", issued_at), (2, "refresh", issued_at + timedelta(hours=1))):
        crew.sql(
            "INSERT INTO token_generations (connection_id, generation, epoch, parent, origin, refresh_generation,"
            " issued_at, access_expires_at, refresh_due_at, refresh_expires_at)"
            " VALUES (:id, :generation, :generation, :parent, :origin, 1, :at, :at, :at, :ends)",
            id=connection_id, generation=generation, parent=generation - 1, origin=origin, at=at,
            ends=at + lives if lives is not None and generation == 1 else None,
        )  # fmt: skip
    crew.sql("UPDATE connections SET last_generation = 2, generation = 2 WHERE id = :id", id=connection_id)


def died(crew, after, *, lives=None, kind="google", **columns):
    issued_at = NOW - timedelta(days=8)
    connection_id = add(
        crew, kind=kind, status="needs_reconnect", reason="grant_rejected", status_since=issued_at + after, **columns
    )
    consent(crew, connection_id, issued_at, lives=lives)
    return connection_id


def reason_of(crew, connection_id):
    ((reason,),) = crew.sql("SELECT reason FROM connections WHERE id = :id", id=connection_id)
    return reason


WEEK = timedelta(days=7)


def test_a_grant_that_was_promised_a_week_and_died_then_was_in_test_mode(care, crew):
    promised = died(crew, WEEK + timedelta(minutes=20), lives=timedelta(seconds=604799))
    revoked = died(crew, timedelta(days=3), lives=timedelta(seconds=604799))
    other = died(crew, timedelta(days=30), lives=timedelta(days=30))

    care().explain_test_mode()

    assert reason_of(crew, promised) == "test_mode_expired"
    assert reason_of(crew, revoked) == "grant_rejected"
    assert reason_of(crew, other) == "grant_rejected"
    assert events(crew) == [("test_mode_expired", promised)]


def test_several_timely_deaths_tell_it_where_google_does_not(care, crew):
    dead = [died(crew, WEEK + timedelta(minutes=minutes)) for minutes in (5, 40, 70)]
    early = died(crew, timedelta(days=5))

    care().explain_test_mode()

    assert {reason_of(crew, one) for one in dead} == {"test_mode_expired"}
    assert reason_of(crew, early) == "grant_rejected"


def test_two_deaths_or_an_older_living_grant_tell_nothing(care, crew):
    few = [died(crew, WEEK, provider="few") for _ in range(2)]
    many = [died(crew, WEEK, provider="many") for _ in range(5)]
    consent(crew, add(crew, provider="many"), NOW - timedelta(days=20))

    care().explain_test_mode()

    assert {reason_of(crew, one) for one in (*few, *many)} == {"grant_rejected"}


def test_other_kinds_of_provider_have_no_test_mode(care, crew):
    dead = [died(crew, WEEK, lives=WEEK, kind="oidc", provider="acme") for _ in range(5)]

    care().explain_test_mode()

    assert {reason_of(crew, one) for one in dead} == {"grant_rejected"}


def test_living_grants_in_test_mode_are_told_once_and_counted(care, crew, house, caplog):  # noqa: F811
    consent(crew, add(crew), NOW, lives=timedelta(seconds=604799))
    consent(crew, add(crew), NOW, lives=timedelta(days=180))

    for _ in range(3):
        care().explain_test_mode()

    warnings = [record.getMessage() for record in caplog.records if "seven days" in record.getMessage()]
    assert len(warnings) == 1
    assert warnings[0].startswith("provider google")
    with house.store.reading() as tx:
        assert tx.grant_care.in_test_mode() == (("google", 1),)
        assert json.dumps([one.test_mode_since is not None for one in tx.provider_health.all()]) == "[true]"
