"""People, browser sessions, authorization requests, services and the audit."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest

from app.domain.authorizations import LIFETIME, AuthorizationRequest, Purpose
from app.domain.connections import Identity
from app.domain.errors import ConsentAlreadyUsed
from app.domain.features import Feature
from app.domain.people import SESSION_IDLE, SESSION_LIFETIME
from app.domain.policies import Policy, Terms
from tests.integration.store.rows import NOW, Session, identity


def request(number=1, browser=b"browser", created_at=NOW, **changes):
    values = {
        "id": uuid4(),
        "state_hash": b"state-%d" % number,
        "browser_hash": browser,
        "person_id": None,
        "connection_id": None,
        "provider": "google",
        "purpose": Purpose.SIGN_IN,
        "features": (Feature.IDENTITY,),
        "scopes": ("email", "openid"),
        "return_to": "/",
        "sealed": b"sealed",
        "created_at": created_at,
        "expires_at": created_at + LIFETIME,
    }
    return AuthorizationRequest(**(values | changes))


def test_a_person_is_made_at_the_first_sign_in_and_found_at_the_next(store):
    with store.transaction() as tx:
        first = tx.people.sign_in("google", identity(), NOW)
        again = tx.people.sign_in("google", identity(email="changed@example.test"), NOW)

    assert again == first
    assert (first.display_name, first.email, first.time_zone) == ("Ada Example", "ada@example.test", "UTC")


def test_the_same_mail_at_another_issuer_is_another_person(store):
    with store.transaction() as tx:
        one = tx.people.sign_in("google", identity(), NOW)
        two = tx.people.sign_in("acme", identity(issuer="https://idp.example"), NOW)
        three = tx.people.sign_in("google", identity("sub-2"), NOW)

    assert len({one.id, two.id, three.id}) == 3


def test_somebody_without_name_and_mail_can_sign_in(store):
    with store.transaction() as tx:
        person = tx.people.sign_in("acme", Identity("https://idp.example", "sub-9", None, None, None), NOW)

    assert (person.display_name, person.email) == ("sub-9", None)


def test_two_first_sign_ins_at_once_are_one_person(store, peek):
    with store.transaction() as tx:
        one = tx.people.sign_in("google", identity(), NOW)
        other = Session(store, lambda tx: tx.people.sign_in("google", identity(), NOW))
        other.wait_until_blocked(peek)

    assert other.answer() == one
    assert peek("SELECT count(*) FROM people") == [(1,)]


def test_the_time_zone_a_person_wants_is_kept(store, rows):
    person = rows.person()
    with store.transaction() as tx:
        tx.people.set_time_zone(person.id, "Europe/Berlin")

    with store.reading() as tx:
        assert tx.people.get(person.id).time_zone == "Europe/Berlin"
        assert tx.people.get(uuid4()) is None


def start(store, person, token=b"cookie"):
    with store.transaction() as tx:
        tx.people.start_session(token, person.id, NOW, NOW + SESSION_LIFETIME)


def resolve(store, now, token=b"cookie"):
    with store.transaction() as tx:
        return tx.people.session(token, now)


def test_a_session_is_found_by_the_hash_of_its_cookie(store, rows):
    person = rows.person()
    start(store, person)

    assert resolve(store, NOW).person == person
    assert resolve(store, NOW).expires_at == NOW + SESSION_LIFETIME
    assert resolve(store, NOW, b"other") is None


def test_a_session_lives_while_it_is_used(store, rows):
    start(store, rows.person())
    seen = NOW
    while seen < NOW + SESSION_LIFETIME - timedelta(days=2):
        seen += timedelta(days=2)
        assert resolve(store, seen) is not None

    assert resolve(store, NOW + SESSION_LIFETIME) is None


def test_an_idle_session_has_ended(store, rows):
    start(store, rows.person())

    assert resolve(store, NOW + SESSION_IDLE) is None


def test_a_session_that_was_ended_is_gone(store, rows):
    start(store, rows.person())
    with store.transaction() as tx:
        tx.people.end_session(b"cookie")
        tx.people.end_session(b"unknown")

    assert resolve(store, NOW) is None


def test_looking_again_within_a_minute_writes_nothing(store, rows, peek):
    start(store, rows.person())
    version = peek("SELECT xmin::text FROM sessions")
    resolve(store, NOW + timedelta(seconds=59))
    assert peek("SELECT xmin::text FROM sessions") == version

    resolve(store, NOW + timedelta(seconds=61))

    assert peek("SELECT xmin::text FROM sessions") != version


def test_dead_sessions_go_at_the_next_sign_in(store, rows, peek):
    person = rows.person()
    start(store, person)
    later = NOW + SESSION_LIFETIME + timedelta(seconds=1)
    with store.transaction() as tx:
        tx.people.start_session(b"new", person.id, later, later + SESSION_LIFETIME)

    assert peek("SELECT token_hash FROM sessions") == [(b"new",)]


def test_a_request_is_returned_as_it_was_stored(store, rows):
    connection = rows.connection()
    stored = request(
        person_id=connection.person_id, connection_id=connection.id, purpose=Purpose.CONNECT,
        features=(Feature.IDENTITY, Feature.CALENDAR_WRITE), scopes=(),
    )  # fmt: skip
    with store.transaction() as tx:
        tx.authorizations.add(stored)

    with store.transaction() as tx:
        assert tx.authorizations.peek(stored.state_hash) == stored
        assert tx.authorizations.take(stored.state_hash, NOW) == stored


def test_a_request_is_taken_once(store):
    with store.transaction() as tx:
        tx.authorizations.add(request())
        tx.authorizations.take(b"state-1", NOW)

    with store.reading() as tx:
        assert tx.authorizations.peek(b"state-1") is None
    with pytest.raises(ConsentAlreadyUsed), store.transaction() as tx:
        tx.authorizations.take(b"state-1", NOW)


def test_an_unknown_state_is_nobodys(store):
    with store.transaction() as tx:
        assert tx.authorizations.take(b"never", NOW) is None


def test_of_two_takers_at_once_one_gets_it(store, peek):
    with store.transaction() as tx:
        tx.authorizations.add(request())

    with store.transaction() as tx:
        assert tx.authorizations.take(b"state-1", NOW) is not None
        other = Session(store, lambda tx: tx.authorizations.take(b"state-1", NOW))
        other.wait_until_blocked(peek)

    with pytest.raises(ConsentAlreadyUsed):
        other.answer()


def test_a_browser_keeps_its_ten_newest_requests(store, peek):
    with store.transaction() as tx:
        tx.authorizations.add(request(99, b"other browser"))
        for number in range(13):
            tx.authorizations.add(request(number, created_at=NOW + timedelta(seconds=number)))

    kept = {row[0] for row in peek("SELECT state_hash FROM authorization_requests")}

    assert kept == {b"state-99"} | {b"state-%d" % number for number in range(3, 13)}


def test_requests_long_past_are_cleared_away(store, peek):
    with store.transaction() as tx:
        tx.authorizations.add(request(1))
        tx.authorizations.add(request(2, b"other", NOW + timedelta(days=2)))

    assert peek("SELECT state_hash FROM authorization_requests") == [(b"state-2",)]


def add_service(store, name="scheduler", secret=b"s-1", expires_at=NOW + timedelta(days=90)):
    service_id = uuid4()
    with store.transaction() as tx:
        tx.services.add(service_id, name, NOW)
        tx.credentials.add_secret(service_id, secret, expires_at, NOW)
    return service_id


def test_a_service_is_found_by_name_and_live_secret(store):
    service_id = add_service(store)

    with store.reading() as tx:
        assert tx.credentials.by_secret("scheduler", b"s-1", NOW).id == service_id
        assert tx.credentials.by_secret("scheduler", b"s-2", NOW) is None
        assert tx.credentials.by_secret("other", b"s-1", NOW) is None
        assert tx.credentials.by_secret("scheduler", b"s-1", NOW + timedelta(days=90)) is None


def test_a_name_is_given_once(store):
    add_service(store)

    with pytest.raises(ValueError, match="exists"):
        add_service(store, secret=b"s-2")


def test_a_frozen_service_is_found_and_said_to_be_frozen(store):
    service_id = add_service(store)
    with store.transaction() as tx:
        tx.credentials.add_key(service_id, "k1", {"kty": "EC"}, None, NOW)
        tx.credentials.add_workload(service_id, "cluster", "a:b", NOW)
        tx.services.set_enabled(service_id, is_enabled=False)

    with store.reading() as tx:
        found = [
            tx.credentials.by_secret("scheduler", b"s-1", NOW),
            tx.credentials.keys_of("scheduler", NOW).service,
            tx.credentials.workloads_of("cluster")[0].service,
            tx.services.by_id(service_id),
            tx.services.by_name("scheduler"),
        ]
    assert [service.is_enabled for service in found] == [False] * 5


def test_at_most_two_secrets_are_live(store):
    service_id = add_service(store)
    for number in (2, 3):
        with store.transaction() as tx:
            at = NOW + timedelta(minutes=number)
            tx.credentials.add_secret(service_id, b"s-%d" % number, at + timedelta(days=90), at)

    with store.reading() as tx:
        live = [n for n in (1, 2, 3) if tx.credentials.by_secret("scheduler", b"s-%d" % n, NOW + timedelta(minutes=3))]
    assert live == [2, 3]


def test_secrets_added_at_once_never_leave_more_than_two_live(store, peek):
    service_id = add_service(store)

    def add(number):
        with store.transaction() as tx:
            at = NOW + timedelta(seconds=number)
            tx.credentials.add_secret(service_id, b"s-%d" % number, at + timedelta(days=90), at)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add, range(2, 14)))

    late = NOW + timedelta(minutes=1)
    assert peek("SELECT count(*) FROM service_secrets WHERE expires_at > %(late)s", late=late)[0][0] <= 2


def test_a_key_counts_until_it_ends_or_is_removed(store):
    service_id = add_service(store)
    with store.transaction() as tx:
        tx.credentials.add_key(service_id, "ends", {"kid": "ends"}, NOW + timedelta(hours=1), NOW)
        tx.credentials.add_key(service_id, "stays", {"kid": "stays"}, None, NOW)

    def live(at):
        with store.reading() as tx:
            return {jwk["kid"] for jwk in tx.credentials.keys_of("scheduler", at).registered}

    assert live(NOW) == {"ends", "stays"}
    assert live(NOW + timedelta(hours=1)) == {"stays"}
    with pytest.raises(ValueError, match="kid"), store.transaction() as tx:
        tx.credentials.add_key(service_id, "stays", {"kid": "other"}, None, NOW)
    with store.transaction() as tx:
        assert tx.credentials.remove_key(service_id, "stays")
        assert not tx.credentials.remove_key(service_id, "stays")
    assert live(NOW + timedelta(hours=1)) == set()


def test_a_service_without_keys_is_told_from_an_unknown_one(store):
    service_id = add_service(store)
    with store.transaction() as tx:
        tx.credentials.set_jwks_url(service_id, "https://scheduler.example.test/jwks")

    with store.reading() as tx:
        found = tx.credentials.keys_of("scheduler", NOW)
        assert (found.registered, found.jwks_url) == ((), "https://scheduler.example.test/jwks")
        assert tx.credentials.keys_of("nobody", NOW) is None


def test_of_two_uses_at_once_one_counts(store, peek):
    service_id = add_service(store)
    ends = NOW + timedelta(minutes=1)

    with store.transaction() as tx:
        assert tx.credentials.spend(service_id, b"jti", ends)
        other = Session(store, lambda tx: tx.credentials.spend(service_id, b"jti", ends))
        other.wait_until_blocked(peek)

    assert other.answer() is False


def test_a_use_that_was_rolled_back_did_not_happen(store):
    service_id = add_service(store)

    def use_and_fail():
        with store.transaction() as tx:
            tx.credentials.spend(service_id, b"jti", NOW)
            tx.services.add(uuid4(), "scheduler", NOW)

    with pytest.raises(ValueError, match="exists"):
        use_and_fail()

    with store.transaction() as tx:
        assert tx.credentials.spend(service_id, b"jti", NOW)


def test_notes_of_used_statements_go_in_batches(store, peek):
    service_id = add_service(store)
    with store.transaction() as tx:
        for number in range(5):
            tx.credentials.spend(service_id, b"old-%d" % number, NOW - timedelta(days=9000))
        tx.credentials.spend(service_id, b"new", NOW + timedelta(days=9000))

    for expected in (3, 2, 0):
        with store.transaction() as tx:
            assert tx.credentials.forget_spent(3) == expected
    assert peek("SELECT jti_hash FROM spent_statements") == [(b"new",)]


def test_without_a_policy_nothing_is_allowed(store):
    service_id = add_service(store)

    with store.reading() as tx:
        assert tx.policies.allowed_features(service_id, "google", NOW) == frozenset()


def test_policies_add_up_per_provider_until_they_end(store, peek):
    service_id = add_service(store)
    with store.transaction() as tx:
        tx.policies.add(Policy(uuid4(), service_id, Terms("google", frozenset({Feature.CALENDAR_READ}))), NOW)
        tx.policies.add(Policy(uuid4(), service_id, Terms(None, frozenset({Feature.MAIL_SEND}))), NOW)

    with store.reading() as tx:
        assert tx.policies.allowed_features(service_id, "google", NOW) == {Feature.CALENDAR_READ, Feature.MAIL_SEND}
        assert tx.policies.allowed_features(service_id, "microsoft", NOW) == {Feature.MAIL_SEND}
    peek("UPDATE policies SET valid_until = %(end)s", end=NOW)
    with store.reading() as tx:
        assert tx.policies.allowed_features(service_id, "google", NOW) == frozenset()


def test_the_history_of_a_connection_is_newest_first(store):
    connection_id = uuid4()
    with store.transaction() as tx:
        for number in range(3):
            tx.audit.event("refreshed", NOW, connection_id=connection_id, detail={"number": str(number)})
        tx.audit.event("other", NOW, connection_id=uuid4())

    with store.reading() as tx:
        history = tx.audit.of_connection(connection_id, 2)
    assert history == ((NOW, "refreshed", {"number": "2"}), (NOW, "refreshed", {"number": "1"}))
