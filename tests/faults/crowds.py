"""Many connections at once, stored as if each had been consented to, with tokens that the sandbox knows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psycopg

from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.dev.demo import OIDC_ISSUER
from app.domain.connections import Identity
from app.domain.features import Feature, scopes_for
from app.domain.secret import Secret
from app.domain.tokens import TokenAnswer
from app.ports import Sealer
from app.sandbox.crowd import Member, settle_crowd
from app.services.grants import seal_generation
from tests.faults.installation import KEY_OF, Installation, plain

ISSUERS = {"google": "https://accounts.google.com", "microsoft": "https://login.microsoftonline.com/crowd/v2.0",
           "oidc": OIDC_ISSUER}  # fmt: skip

_PEOPLE = "INSERT INTO people (id, display_name, created_at) VALUES (%s, %s, %s)"
_CONNECTIONS = (
    "INSERT INTO connections (id, person_id, provider, kind, issuer, subject, status, status_since,"
    " requested_features, granted_scopes, created_at, generation, last_generation, epoch, access_expires_at,"
    " last_refreshed_at, refresh_due_at)"
    " VALUES (%s, %s, %s, %s, %s, %s, 'active', %s, %s, %s, %s, 1, 1, 1, %s, %s, %s)"
)
_KEYS = "INSERT INTO data_keys (connection_id, wrapped_key, created_at) VALUES (%s, %s, %s)"
_GENERATIONS = (
    "INSERT INTO token_generations (connection_id, generation, epoch, parent, origin, sealed_access, sealed_refresh,"
    " refresh_generation, scopes, issued_at, access_expires_at, refresh_due_at)"
    " VALUES (%s, 1, 1, 0, 'consent', %s, %s, 1, %s, %s, %s, %s)"
)


@dataclass(frozen=True)
class Settled:
    """One connection of a crowd."""

    connection: UUID
    account: str
    """Key of the account at the sandbox."""


def settle(
    place: Installation, kind: str, count: int, *, lifetime_s: int = 3600, due_in_s: float = 0.0,
    features: tuple[Feature, ...] = (Feature.IDENTITY,),
) -> list[Settled]:  # fmt: skip
    """Store `count` new connections of a kind, each of a new person, whose refresh is due in `due_in_s` seconds.

    Their access tokens live `lifetime_s` seconds more.
    """
    scopes = sorted(scopes_for(kind, features))
    members = settle_crowd(place.sandbox.state, kind, scopes, count=count, lifetime_s=lifetime_s)
    sealer = build_sealer(Keyring.load(Path(place.environment["LATCHKEY_KEYRING_FILE"])))
    now = datetime.now(UTC)
    times = _Times(now, now + timedelta(seconds=due_in_s), lifetime_s, [str(feature) for feature in features])
    rows = [_rows(sealer, kind, scopes, member, times) for member in members]
    with psycopg.connect(plain(place.database_url)) as connection, connection.cursor() as cursor:
        for number, statement in enumerate((_PEOPLE, _CONNECTIONS, _KEYS, _GENERATIONS)):
            cursor.executemany(statement, [row[number] for row in rows])
    return [Settled(row[1][0], member.account) for row, member in zip(rows, members, strict=True)]


@dataclass(frozen=True)
class _Times:
    now: datetime
    due_at: datetime
    lifetime_s: int
    features: list[str]


def _rows(sealer: Sealer, kind: str, scopes: list[str], member: Member, times: _Times) -> tuple[tuple, ...]:
    person, connection = uuid4(), uuid4()
    wrapped = sealer.new_data_key(connection)
    identity = Identity(ISSUERS[kind], member.subject, None, member.email, member.account)
    now, lifetime_s = times.now, times.lifetime_s
    answer = TokenAnswer(Secret(member.access_token), Secret(member.refresh_token), None, lifetime_s, None)
    sealed = seal_generation(sealer.open_data_key(connection, wrapped), identity, connection, 1, answer)
    expires_at, began_at = now + timedelta(seconds=lifetime_s), now - timedelta(hours=1)
    return (
        (person, member.account, now),
        (connection, person, KEY_OF[kind], kind, identity.issuer, member.subject, now,
         times.features, scopes, now,
         expires_at, began_at, times.due_at),
        (connection, wrapped, now),
        (connection, *sealed, scopes, began_at, expires_at, times.due_at),
    )  # fmt: skip
