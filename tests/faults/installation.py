"""A whole installation on one test's own database, Redis and sandbox, without its processes.

The use cases are built as every process builds them, from environment and providers file; the sandbox answers from a
thread of the test. What is waited for by the clock is brought about by moving rows into the past (`age`).
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import psycopg

from app.bootstrap import Services, build_services
from app.config import load_config
from app.dev.demo import GOOGLE_CLIENT_ID, MICROSOFT_CLIENT_ID, OIDC_CLIENT_ID, providers_file
from app.domain.authorizations import Callback
from app.domain.connections import Connection
from app.domain.features import Feature
from app.domain.people import Person
from app.domain.secret import Secret
from app.sandbox.consent import approve
from app.sandbox.fault_plan import Fault, FaultKind
from app.sandbox.server import RunningSandbox, serve
from app.sandbox.settings import DEFAULT_ROTATION, ClientRegistration, Rotation, SandboxSettings
from app.services.authorization import Connected, SignedIn
from app.store.call_slots import PostgresCallSlots

PUBLIC_URL = "http://localhost:8080"
KEY_OF = {"google": "google", "microsoft": "microsoft", "oidc": "acme"}
"""Key of the product's provider for each kind."""
ACCOUNT_OF = {"google": "ada", "microsoft": "chiara", "oidc": "farid"}
CLIENT_OF = {"google": GOOGLE_CLIENT_ID, "microsoft": MICROSOFT_CLIENT_ID, "oidc": OIDC_CLIENT_ID}
FEATURES = (Feature.IDENTITY, Feature.CALENDAR_READ)


@dataclass
class Installation:
    """What a test works with."""

    sandbox: RunningSandbox
    environment: dict[str, str]
    """Complete, for child processes."""
    client_secret: str
    database_url: str
    services: Services = field(init=False)
    _built: list[Services] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.services = self.build()

    def build(self) -> Services:
        """Build the use cases anew, as another process would."""
        with patch.dict(os.environ, self.environment, clear=True):
            built = build_services(load_config())
        self._built.append(built)
        return built

    def close(self) -> None:
        for built in self._built:
            built.hand_out_log.close()
            built.access_tokens.store.close()
            for provider in built.providers.all():
                slots = getattr(provider.calendars, "_slots", None)
                if isinstance(slots, PostgresCallSlots):
                    slots.close()

    # --- people

    def sign_in(self, kind: str = "google") -> Person:
        started = self.services.authorization.start_sign_in(KEY_OF[kind], "/", None)
        result = self.services.authorization.finish(self.decide(kind, started.authorization_url, started.browser_token))
        assert isinstance(result, SignedIn)
        return result.person

    def connect(self, kind: str = "google", person: Person | None = None, account: str | None = None) -> Connection:
        """Walk a consent to its end."""
        person = person or self.sign_in()
        started = self.services.authorization.start_connect(person.id, KEY_OF[kind], FEATURES, "/")
        callback = self.decide(kind, started.authorization_url, started.browser_token, person, account)
        result = self.services.authorization.finish(callback)
        assert isinstance(result, Connected)
        return result.connection

    def decide(
        self, kind: str, url: str, browser: Secret, person: Person | None = None, account: str | None = None
    ) -> Callback:
        """Agree at the provider and return what the browser brings back."""
        state = self.sandbox.state
        with state.lock:
            location = approve(state, url, account or ACCOUNT_OF[kind]).location
        answer = {name: values[-1] for name, values in parse_qs(urlsplit(location).query).items()}
        code = Secret(answer["code"]) if "code" in answer else None
        return Callback(
            KEY_OF[kind], answer["state"], code, answer.get("error"), answer.get("iss"), browser,
            person.id if person else None, answer.get("error_description"),
        )  # fmt: skip

    # --- rows

    def rows(self, statement: str, *values: object) -> list[tuple]:
        """Run one statement and return its rows, if it has any."""
        with psycopg.connect(plain(self.database_url), autocommit=True) as connection:
            found = connection.execute(statement, values)
            return found.fetchall() if found.description else []

    def age(self, connection_id: UUID, by: str = "3 hours") -> None:
        """Let the stored access token be old, and all waiting over."""
        self.rows(
            "UPDATE connections SET access_expires_at = access_expires_at - %s::interval,"
            " last_refreshed_at = last_refreshed_at - %s::interval, refresh_due_at = refresh_due_at - %s::interval,"
            " next_attempt_at = NULL WHERE id = %s",
            by, by, by, connection_id,
        )  # fmt: skip

    def settle_suspicion(self, connection_id: UUID) -> None:
        """Let the time between a first refusal and the one that counts be over."""
        self.rows(
            "UPDATE connections SET suspected_since = suspected_since - interval '1 hour', next_attempt_at = NULL,"
            " refresh_claimed_until = NULL, refresh_due_at = least(refresh_due_at, now()) WHERE id = %s",
            connection_id,
        )

    def calendars(self, connection_id: UUID) -> list[UUID]:
        found = self.rows(
            "SELECT id FROM calendars WHERE connection_id = %s AND removed_at IS NULL ORDER BY provider_id",
            connection_id,
        )
        return [row[0] for row in found]

    def make_due(self, calendar_id: UUID) -> None:
        self.rows("UPDATE sync_states SET due_at = now() - interval '1 second' WHERE calendar_id = %s", calendar_id)

    # --- the provider's side

    def fault(self, operation: str, kind: str, **members: object) -> None:
        """Script one fault."""
        self.sandbox.state.faults.add(Fault(operation, FaultKind(kind), **members))

    def mend(self) -> None:
        """Take all faults back."""
        self.sandbox.state.faults.clear()

    def calls(self, operation: str | None = None) -> int:
        """Return how many calls the sandbox has seen, of one operation or of all that faults can meet."""
        return sum(
            count["calls"]
            for count in self.sandbox.state.request_log.counts()
            if operation in (None, count["operation"])
        )

    def forget_calls(self) -> None:
        self.sandbox.state.request_log.clear()


@contextmanager
def installation(
    directory: Path,
    database_url: str,
    redis_url: str,
    *,
    oidc_rotation: Rotation = "strict",
    public_url: str = PUBLIC_URL,
    **settings: str,
) -> Iterator[Installation]:
    """Start a sandbox, write the configuration and build the use cases."""
    secret = f"client-{secrets.token_urlsafe(24)}"
    clients = tuple(
        ClientRegistration(kind, CLIENT_OF[kind], secret, (f"{public_url}/callback/{key}",))
        for kind, key in KEY_OF.items()
    )
    rotation = {**DEFAULT_ROTATION, "oidc": oidc_rotation}
    with serve(SandboxSettings(base_url="", clients=clients, refresh_rotation=rotation)) as sandbox:
        files = write_files(directory, secret, sandbox.base_url, oidc_rotation)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")},
            "LATCHKEY_PUBLIC_URL": public_url,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            **files,
            **settings,
        }
        place = Installation(sandbox, environment, secret, database_url)
        try:
            yield place
        finally:
            place.close()


def write_files(
    directory: Path, client_secret: str, sandbox_url: str, oidc_rotation: Rotation = "strict"
) -> dict[str, str]:
    """Write a key ring and a providers file; return the variables that name them."""
    keyring, providers = directory / "keyring.json", directory / "providers.toml"
    keyring.touch(mode=0o600)
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    keyring.write_text(json.dumps({"primary": "k1", "keys": {"k1": key}}))
    providers.touch(mode=0o600)
    text = providers_file(client_secret, sandbox_url)
    providers.write_text(text.replace('kind = "oidc"\n', f'kind = "oidc"\nrotation = "{oidc_rotation}"\n'))
    state = directory / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    return {
        "LATCHKEY_KEYRING_FILE": str(keyring),
        "LATCHKEY_PROVIDERS_FILE": str(providers),
        "LATCHKEY_STATE_DIR": str(state),
    }


def plain(database_url: str) -> str:
    """Return the address as the driver alone wants it."""
    return database_url.replace("postgresql+psycopg://", "postgresql://", 1)
