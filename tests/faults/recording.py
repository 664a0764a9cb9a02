"""Take the history of an experiment: from the sandbox's ledger, from our database, from what was written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import redis

from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.domain.connections import Status
from app.domain.secret import Secret
from app.ports import SealContext
from app.sandbox.grants import RefreshState, RefreshToken
from app.sandbox.state import Sandbox
from app.sandbox.token_ledger import TokenCall
from tests.faults.history import Attempt, Budget, Call, HandOut, History, IssuedRefresh, Kept, Release
from tests.faults.installation import Installation, plain

MOST_SECRETS = 500
"""Of a large crowd a sample is searched for: whatever shows tokens does not choose."""

Opened = dict[tuple[UUID, int], tuple[str | None, str | None]]
"""Connection and generation to access and refresh token, in clear."""


def record(
    place: Installation,
    hand_outs: tuple[HandOut, ...] = (),
    places: Mapping[str, bytes] | None = None,
    budgets: Mapping[str, Budget] | None = None,
) -> History:
    """Return the history so far; `places` are outputs to be searched for secrets besides database and files."""
    state = place.sandbox.state
    place.services.hand_out_log.collect()
    opened = _open_tokens(place)
    secrets = {f"{name} token of {key[0]} {key[1]}": text for key, texts in opened.items()
               for name, text in zip(("access", "refresh"), texts, strict=True) if text}  # fmt: skip
    return History(
        calls=_calls(state),
        issued=_issued(state),
        access=_access(state),
        connections=_connections(place, opened),
        attempts=_attempts(place, opened),
        hand_outs=hand_outs,
        releases=_releases(place),
        is_chain_whole=place.services.audit.verify().fault is None,
        budgets=budgets or {},
        secrets=_sample(secrets) | {"client secret": place.client_secret},
        places={**_written(place), **(places or {})},
    )


def _sample(secrets: dict[str, str]) -> dict[str, str]:
    return dict(list(secrets.items())[:: len(secrets) // MOST_SECRETS + 1])


# --- the provider's side


def _calls(state: Sandbox) -> tuple[Call, ...]:
    return tuple(_call(call) for call in state.token_ledger.calls())


def _call(call: TokenCall) -> Call:
    ended_at = datetime.now(UTC).timestamp() if call.ended_at is None else call.ended_at
    return Call(
        call.number, call.operation.partition(".")[0], call.account, call.sent, call.began_at, call.committed_at,
        ended_at, call.status or 0, call.access, call.refresh,
    )  # fmt: skip


def _issued(state: Sandbox) -> dict[str, IssuedRefresh]:
    grants = state.grants.grants
    with state.lock:
        return {
            token.digest: IssuedRefresh(
                grants[token.grant_id].provider, grants[token.grant_id].account_key, _is_accepted(state, token)
            )
            for token in state.grants.refresh_tokens.values()
        }


def _is_accepted(state: Sandbox, token: RefreshToken) -> bool:
    grant = state.grants.grants[token.grant_id]
    if token.state is RefreshState.REVOKED or not grant.scopes:
        return False
    rotation = state.runtime.refresh_rotation[grant.provider]
    grace = timedelta(seconds=state.runtime.rotation_grace_s)
    is_in_grace = rotation == "grace" and token.rotated_at is not None and state.clock.now() - token.rotated_at <= grace
    return token.state is RefreshState.LIVE or rotation in {"none", "overlap"} or is_in_grace


def _access(state: Sandbox) -> dict[str, tuple[str, str]]:
    grants = state.grants.grants
    with state.lock:
        return {
            token.digest: (grants[token.grant_id].provider, grants[token.grant_id].account_key)
            for token in state.grants.access_tokens.values()
        }


# --- our side


def _open_tokens(place: Installation) -> Opened:
    sealer = build_sealer(Keyring.load(Path(place.environment["LATCHKEY_KEYRING_FILE"])))
    opened: Opened = {}
    keys = {}
    for row in place.rows(
        "SELECT c.id, c.issuer, c.subject, k.wrapped_key, g.generation, g.sealed_access, g.sealed_refresh"
        " FROM token_generations g JOIN connections c ON c.id = g.connection_id"
        " JOIN data_keys k ON k.connection_id = c.id"
    ):
        connection, issuer, subject, wrapped, generation, *sealed = row
        key = keys.get(connection) or keys.setdefault(connection, sealer.open_data_key(connection, wrapped))
        access, refresh = (
            None if value is None
            else key.open(value, SealContext(connection, issuer, subject, f"{name}_token", generation)).reveal()
            for name, value in zip(("access", "refresh"), sealed, strict=True)
        )  # fmt: skip
        opened[connection, generation] = (access, refresh)
    return opened


def _digest(text: str | None) -> str | None:
    return None if text is None else Secret(text).sha256()


def _connections(place: Installation, opened: Opened) -> tuple[Kept, ...]:
    state = place.sandbox.state
    accounts = {(account.provider, account.subject): account.key for account in state.accounts.all()}
    stored: dict[UUID, set[str]] = {}
    for (connection, _), (_, refresh) in opened.items():
        stored.setdefault(connection, set()).update(filter(None, [_digest(refresh)]))
    found = []
    for connection, kind, subject, status, reason, leased, in_use in place.rows(
        "SELECT c.id, c.kind, c.subject, c.status, c.reason, c.lease_owner IS NOT NULL, g.refresh_generation"
        " FROM connections c LEFT JOIN token_generations g"
        " ON g.connection_id = c.id AND g.generation = c.generation"
    ):
        refresh = opened.get((connection, in_use), (None, None))[1]
        found.append(Kept(
            connection, kind, state.runtime.refresh_rotation[kind], accounts.get((kind, subject), "?"), status, reason,
            _digest(refresh), frozenset(stored.get(connection, ())), leased and status != Status.DISCONNECTED,
        ))  # fmt: skip
    return tuple(found)


def _attempts(place: Installation, opened: Opened) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(
            attempt, connection, started.timestamp(), finished.timestamp() if finished else None, outcome,
            _digest(opened.get((connection, in_use), (None, None))[1]),
        )
        for attempt, connection, started, finished, outcome, in_use in place.rows(
            "SELECT a.id, a.connection_id, a.started_at, a.finished_at, a.outcome, g.refresh_generation"
            " FROM refresh_attempts a LEFT JOIN token_generations g"
            " ON g.connection_id = a.connection_id AND g.generation = a.parent ORDER BY a.started_at"
        )
    )  # fmt: skip


def _releases(place: Installation) -> tuple[Release, ...]:
    return tuple(
        Release(connection, fingerprint)
        for connection, fingerprint in place.rows(
            "SELECT connection_id, detail->>'token_fingerprint' FROM audit_log WHERE kind = 'hand_out.released'"
        )
    )


# --- what was written


def _written(place: Installation) -> dict[str, bytes]:
    return {
        "database": b"".join(_rows_as_text(place.database_url)),
        "broker": b"\n".join(_contents_of_broker(place.environment["REDIS_URL"])),
        "state directory": b"".join(_files(Path(place.environment["LATCHKEY_STATE_DIR"]))),
    }


def _rows_as_text(url: str) -> Iterable[bytes]:
    with psycopg.connect(plain(url)) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            with connection.cursor().copy(f'COPY "{table}" TO STDOUT') as copy:
                yield from (bytes(part) for part in copy)


def _contents_of_broker(url: str) -> Iterable[bytes]:
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter("*"):
            yield key + b" " + (client.dump(key) or b"")


def _files(directory: Path) -> Iterable[bytes]:
    return (path.read_bytes() for path in directory.rglob("*") if path.is_file())
