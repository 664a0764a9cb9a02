"""The client package against the product's web application over HTTP: who calls, for whom, and what is answered."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from werkzeug.serving import WSGIRequestHandler, make_server

from app.domain.connections import Identity
from app.domain.features import Feature
from app.web.application import create_app
from app.web.settings import WebSettings
from latchkey_client import (
    ClientSecret,
    Connection,
    InteractionRequired,
    InvalidClient,
    InvalidRequest,
    InvalidTarget,
    LatchkeyClient,
    NotAllowed,
    Person,
    TemporarilyUnavailable,
    UserToken,
    WorkloadTokenFile,
)
from latchkey_client.private_key import PrivateKey
from tests.faults.installation import PUBLIC_URL, Installation, installation
from tests.signing import PublishedKeys, Signer, published

SERVICE = "planner"
WORKLOAD = "system:serviceaccount:agents:planner"
AUDIENCE = "https://assistant.example.test"
_ISSUERS = """
[workload_issuers.cluster]
issuer = "{issuer}"
audience = "{audience}"
ca = "{ca}"

[user_issuers.product]
issuer = "{issuer}"
audience = "{audience}"
ca = "{ca}"
"""


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:
        """Say nothing: the product logs by itself."""


class Desk:
    """An installation that answers on a free port, and the tokens other programs would have."""

    def __init__(self, place: Installation, keys: PublishedKeys, url: str) -> None:
        self.place, self.url, self._keys = place, url, keys
        self.secret = place.services.callers.registry.add(SERVICE, tuple(Feature), None, act_as=True).reveal()
        identity = Identity(keys.address, "ada-at-work", None, "ada@example.com", "Ada")
        with place.services.access_tokens.store.transaction() as tx:
            self.person = tx.people.sign_in("acme", identity, datetime.now(UTC))
        self.connection = place.connect("google", self.person)
        self._clients: list[LatchkeyClient] = []

    def client(self, credential=None, **options) -> LatchkeyClient:
        credential = credential or ClientSecret(SERVICE, self.secret)
        # The address it is reached at is not what it calls itself.
        made = LatchkeyClient(self.url, credential, issuer=PUBLIC_URL, **options)
        self._clients.append(made)
        return made

    def signed(self, **claims: object) -> str:
        """Return a token of the issuer that the installation trusts."""
        now = datetime.now(UTC)
        usual = {"iss": self._keys.address, "aud": AUDIENCE, "iat": now, "exp": now + timedelta(minutes=10)}
        return self._keys.signers[0].sign(usual | claims)

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture
def desk(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Desk]:
    with (
        installation(tmp_path, database_url, redis_url) as place,
        published(tmp_path, Signer("ES256", "issuer-1")) as (keys, authority),
    ):
        trust(place, keys.address, authority)
        # The application wants to know the address, which has its port only once there is a server.
        server = make_server("127.0.0.1", 0, None, threaded=True, request_handler=Quiet)
        url = f"http://127.0.0.1:{server.server_port}"
        server.app = create_app(place.services, WebSettings(url, place.services.csrf_key))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        desk = Desk(place, keys, url)
        try:
            yield desk
        finally:
            desk.close()
            server.shutdown()
            thread.join()
            server.server_close()


def trust(place: Installation, issuer: str, authority: Path) -> None:
    """Let the installation believe an issuer about workloads and people."""
    file = Path(place.environment["LATCHKEY_PROVIDERS_FILE"])
    tables = _ISSUERS.format(issuer=issuer, audience=AUDIENCE, ca=authority)
    file.write_text(f"trusted_origins = [{json.dumps(issuer)}]\n" + file.read_text() + tables)
    place.services = place.build()


def works(desk: Desk, token) -> bool:
    """Tell whether the provider takes a token."""
    url = f"{desk.place.sandbox.base_url}/calendar/v3/users/me/calendarList"
    return requests.get(url, headers={"Authorization": f"Bearer {token.value}"}, timeout=10).status_code == 200


# --- who calls


def test_a_secret_is_enough(desk):
    token = desk.client().token(Connection(str(desk.connection.id)), "google", features=["calendar.read"])

    assert works(desk, token)
    assert token.connection_id == str(desk.connection.id)
    assert any(scope.endswith("calendar.events.readonly") for scope in token.scopes)
    assert token.warning is None


def test_a_private_key_is_enough_whether_or_not_it_says_which_it_is(desk, tmp_path):
    registry, file = desk.place.services.callers.registry, tmp_path / "private.pem"
    signers = {algorithm: Signer(algorithm) for algorithm in ("ES256", "PS256", "EdDSA")}
    kids = {algorithm: registry.add_key(SERVICE, signer.pem(), None) for algorithm, signer in signers.items()}
    file.write_text(signers["ES256"].private_pem())
    credentials = [PrivateKey(SERVICE, signers[algorithm].key, kids[algorithm]) for algorithm in signers]

    for credential in (PrivateKey(SERVICE, file), *credentials):
        assert works(desk, desk.client(credential).token(Connection(str(desk.connection.id)), "google"))


def test_a_workload_token_is_enough(desk, tmp_path):
    desk.place.services.callers.registry.add_workload(SERVICE, "cluster", WORKLOAD)
    file = tmp_path / "token"
    file.write_text(desk.signed(sub=WORKLOAD))

    token = desk.client(WorkloadTokenFile(file)).token(Connection(str(desk.connection.id)), "google")

    assert works(desk, token)


def test_nobody_else_gets_in(desk):
    wrong = (ClientSecret(SERVICE, "wrong"), ClientSecret("nobody", "wrong"), PrivateKey(SERVICE, Signer().key))

    for credential in wrong:
        with pytest.raises(InvalidClient):
            desk.client(credential).token(Connection(str(desk.connection.id)), "google")


def test_a_frozen_service_is_told(desk):
    client = desk.client()
    desk.place.services.callers.registry.freeze(SERVICE)

    with pytest.raises(NotAllowed) as refused:
        client.token(Connection(str(desk.connection.id)), "google")

    assert refused.value.reason == "client_frozen"


# --- for whom


def test_a_person_is_named_by_id_or_by_their_own_token(desk):
    client, own = desk.client(), UserToken(desk.signed(sub="ada-at-work"))

    tokens = [client.token(user, "google") for user in (Person(str(desk.person.id)), own)]

    assert {token.connection_id for token in tokens} == {str(desk.connection.id)}


def test_another_programs_user_token_is_refused(desk):
    other = UserToken(desk.signed(sub="ada-at-work", aud="https://other.example.test"))

    with pytest.raises(InvalidRequest) as refused:
        desk.client().token(other, "google")

    assert refused.value.reason == "subject_token_invalid"


# --- what is answered


def test_what_the_person_must_do_comes_with_a_page_to_do_it_on(desk):
    with pytest.raises(InteractionRequired) as missing:
        desk.client().token(Connection(str(desk.connection.id)), "google", features=["mail.send"])
    with pytest.raises(InteractionRequired) as never:
        desk.client().token(Person(str(desk.person.id)), "microsoft")

    assert missing.value.reason == "scope_insufficient"
    assert missing.value.missing_scopes == ("https://www.googleapis.com/auth/gmail.send",)
    assert never.value.reason == "never_connected"
    for error in (missing.value, never.value):
        assert requests.get(error.connect_uri, timeout=10).status_code == 200


def test_what_is_not_there_is_no_target(desk):
    with pytest.raises(InvalidTarget):
        desk.client().token(Connection(str(uuid4())), "google")


def test_a_pause_says_until_when(desk):
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    desk.place.services.person_switches.pause(desk.person.id, desk.connection.id, until)

    with pytest.raises(InvalidTarget) as refused:
        desk.client().token(Connection(str(desk.connection.id)), "google")

    assert (refused.value.reason, refused.value.until) == ("paused_by_user", until)


def test_an_outage_of_the_provider_is_waited_for_within_the_total(desk):
    client, user = desk.client(), Connection(str(desk.connection.id))
    desk.place.age(desk.connection.id)
    desk.place.fault("google.token", "status", status=503, count=1)

    with pytest.raises(TemporarilyUnavailable) as refused:
        client.token(user, "google", timeout_s=0.9)
    token = client.token(user, "google", timeout_s=30)

    assert refused.value.reason in {"provider_outage", "deadline"}
    assert works(desk, token)


def test_a_rejected_token_is_replaced(desk):
    client, user = desk.client(), Connection(str(desk.connection.id))
    first = client.token(user, "google")
    desk.place.age(desk.connection.id, "1 minute")
    client.rejected(first)

    second = client.token(user, "google")

    assert second.value != first.value
    assert works(desk, second)


def test_an_explanation_tells_what_stands_in_the_way(desk):
    client, user = desk.client(), Connection(str(desk.connection.id))

    fine = client.explain(user, "google", features=["calendar.read"])
    lacking = client.explain(user, "google", features=["mail.send"], min_validity=120)
    nothing = client.explain(Connection(str(uuid4())), "google")

    assert fine.would_work
    assert fine.connection_id == str(desk.connection.id)
    (failed,) = lacking.failed
    assert (failed.name, failed.missing_scopes) == ("scopes", ("https://www.googleapis.com/auth/gmail.send",))
    assert failed.action
    assert requests.get(failed.connect_uri, timeout=10).status_code == 200
    assert not nothing.would_work
    assert nothing.connection_id is None
