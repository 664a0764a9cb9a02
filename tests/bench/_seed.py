"""One live connection, one service with a Latchkey token, and as many further connections as asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from sqlalchemy import create_engine, text

from app.bootstrap import Services, assemble, utc_now
from app.config import load_config
from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.domain.authorizations import AuthorizationRequest, Purpose
from app.domain.features import Feature
from app.domain.people import Service
from app.domain.secret import Secret
from app.store.postgres import PostgresStore
from tests.fake_provider import FakeProvider, FakeProviders, RecordingNudge


@dataclass(frozen=True)
class Seeded:
    """What a caller needs."""

    service_token: str
    connection_id: UUID


def seed() -> Seeded:
    """Store a connection with a fresh token and a service that may use it, in the installation of the environment."""
    config = load_config()
    store = PostgresStore(config.environment.database_url)
    sealer = build_sealer(Keyring.load(config.environment.keyring_file))
    provider = FakeProvider(lifetime_s=86_400)
    services = assemble(config, store, sealer, FakeProviders(provider), RecordingNudge())
    connection_id = _connect(services, provider)
    registry = services.callers.registry
    secret = registry.add("bench", tuple(Feature), act_as=True)
    service: Service = services.clients.authenticate("bench", secret.reveal())
    token, _ = services.callers.tokens.issue(service)
    store.close()
    return Seeded(token.reveal(), connection_id)


def _connect(services: Services, provider: FakeProvider) -> UUID:
    now = utc_now()
    with services.connections.store.transaction() as tx:
        person = tx.people.sign_in("google", provider.identity, now)
    request = AuthorizationRequest(
        person.id, b"state", b"browser", person.id, None, "google", Purpose.CONNECT, (Feature.CALENDAR_READ,), (), "/",
        b"", now, now,
    )  # fmt: skip
    answer = provider.exchange_code(Secret("code"), Secret("verifier"), "")
    return services.authorization.grants.store_consent(request, provider, answer, provider.identity).connection.id


_CROWD = (
    """
    INSERT INTO people (id, display_name, email, created_at)
    SELECT md5('person' || n)::uuid, 'Person ' || n, 'p' || n || '@example.com', now() FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO connections (id, person_id, provider, kind, issuer, subject, status, status_since, requested_features,
                             granted_scopes, created_at, generation, last_generation, epoch, access_expires_at,
                             last_refreshed_at, refresh_due_at)
    SELECT md5('connection' || n)::uuid, md5('person' || n)::uuid, 'google', 'google', 'https://accounts.google.com',
           'subject-' || n, 'active', now(), ARRAY['calendar.read'], ARRAY['openid'], now(), 1, 1, 1,
           now() + interval '1 hour', now(), now() + interval '1 hour' * random()
    FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO data_keys (connection_id, wrapped_key, created_at)
    SELECT md5('connection' || n)::uuid, sha512(n::text::bytea), now() FROM generate_series(1, :n) n
    """,
    """
    INSERT INTO token_generations (connection_id, generation, epoch, parent, origin, sealed_access, sealed_refresh,
                                   refresh_generation, scopes, issued_at, access_expires_at, refresh_due_at)
    SELECT md5('connection' || n)::uuid, 1, 1, 0, 'consent', sha512(n::text::bytea) || sha512(n::text::bytea),
           sha512(n::text::bytea), 1, ARRAY['openid'], now(), now() + interval '1 hour', now() + interval '30 minutes'
    FROM generate_series(1, :n) n
    """,
)


def add_crowd(database_url: str, count: int) -> None:
    """Add ``count`` connections that nobody asks for: their tokens are noise of the right size."""
    engine = create_engine(database_url)
    with engine.begin() as connection:
        for statement in _CROWD:
            connection.execute(text(statement), {"n": count})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def write_script(directory: Path, seeded: Seeded) -> Path:
    """Return a ``wrk`` script that asks for the token of the connection."""
    body = (
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange"
        "&subject_token_type=urn:latchkey:params:oauth:token-type:connection"
        f"&purpose=bench&subject_token={seeded.connection_id}"
    )
    path = directory / "post.lua"
    path.write_text(
        f'wrk.method = "POST"\nwrk.body = "{body}"\n'
        'wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"\n'
        f'wrk.headers["Authorization"] = "Bearer {seeded.service_token}"\n'
    )
    return path
