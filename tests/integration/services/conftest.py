"""Use cases on the real store and cipher, with a provider in memory."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.domain.authorizations import Callback
from app.domain.connections import Connection
from app.domain.features import Feature
from app.domain.people import Person
from app.domain.secret import Secret
from app.ports import Sealer
from app.services.access_tokens import AccessTokens
from app.services.audit_chain import AuditChain
from app.services.authorization import Authorization, Connected, SignedIn
from app.services.grants import Grants
from app.services.hand_out_log import HandOutLog
from app.services.refreshing import Refresher
from app.services.sessions import Sessions
from app.store.escrow import EscrowFiles
from app.store.postgres import PostgresStore
from app.store.spool import FileSpool
from tests.fake_provider import FakeProvider, FakeProviders, RecordingNudge
from tests.fakes import OpenGate

FEATURES = (Feature.CALENDAR_READ,)

CONFIRM_AFTER_S = 60.0


@dataclass
class MovableClock:
    """A clock that stands at the real time plus an offset. The database has its own and is not moved."""

    offset: timedelta = timedelta()

    def __call__(self) -> datetime:
        """Return now, aware UTC."""
        return datetime.now(UTC) + self.offset

    def advance(self, seconds: float) -> None:
        """Move forward."""
        self.offset += timedelta(seconds=seconds)


@pytest.fixture
def keyring_file(tmp_path: Path) -> Path:
    """Return a key ring with one fresh key."""
    path = tmp_path / "keyring.json"
    path.touch(mode=0o600)
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    path.write_text(json.dumps({"primary": "k1", "keys": {"k1": key}}))
    path.chmod(0o600)
    return path


@dataclass
class House:
    """Everything a test of use cases works with."""

    store: PostgresStore
    sealer: Sealer
    provider: FakeProvider
    providers: FakeProviders
    nudge: RecordingNudge
    clock: MovableClock
    sessions: Sessions
    authorization: Authorization
    tokens: AccessTokens
    gate: OpenGate
    audit: AuditChain
    hand_out_log: HandOutLog
    sleep: Callable[[float], None] = field(default=lambda _seconds: None)

    def sign_in(self) -> Person:
        """Walk through a sign-in and return the person."""
        started = self.authorization.start_sign_in("google", "/", None)
        result = self.authorization.finish(callback_of(started.authorization_url, started.browser_token))
        assert isinstance(result, SignedIn)
        return result.person

    def connect(self, person: Person, connection: Connection | None = None) -> Connected:
        """Walk through a consent and return what came of it."""
        started = self.authorization.start_connect(
            person.id, "google", FEATURES, "/", connection_id=connection.id if connection else None
        )
        callback = replace(callback_of(started.authorization_url, started.browser_token), person_id=person.id)
        result = self.authorization.finish(callback)
        assert isinstance(result, Connected)
        return result


def callback_of(url: str, browser_token: Secret) -> Callback:
    """Return the callback of a provider that agreed."""
    state = parse_qs(urlsplit(url).query)["state"][0]
    return Callback("google", state, Secret("code"), None, None, browser_token, None)


@pytest.fixture
def house(database_url: str, keyring_file: Path, tmp_path: Path) -> Iterator[House]:
    """Build the use cases on a fresh database."""
    store = PostgresStore(database_url)
    sealer = build_sealer(Keyring.load(keyring_file))
    provider = FakeProvider()
    providers, nudge, clock, gate = FakeProviders(provider), RecordingNudge(), MovableClock(), OpenGate()
    sessions = Sessions(store, clock)
    grants = Grants(store, sealer, nudge, clock, lambda: 0.5)
    authorization = Authorization(store, providers, sealer, sessions, grants, clock, "http://localhost:1")
    refresher = Refresher(
        store, providers, sealer, gate, EscrowFiles(tmp_path), clock, lambda: 0.5, str(uuid4()), CONFIRM_AFTER_S
    )
    tokens = AccessTokens(store, refresher, sealer, clock)
    audit = AuditChain(store, sealer)
    log = HandOutLog(FileSpool(tmp_path / "audit"), audit)
    yield House(
        store, sealer, provider, providers, nudge, clock, sessions, authorization, tokens, gate, audit, log
    )  # fmt: skip
    log.close()
    store.close()
