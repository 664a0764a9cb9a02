"""A provider in memory: somebody else's side of the port, with the answers a test scripts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from app.domain.connections import Identity, Reason
from app.domain.errors import InvalidGrant, LatchkeyError, UnknownProvider
from app.domain.secret import Secret
from app.domain.tokens import RotationClass, TokenAnswer
from app.ports import AuthorizationStart, CalendarProvider, Provider, Revocation

SCOPES = (
    "openid email profile https://www.googleapis.com/auth/calendar.events.readonly "
    "https://www.googleapis.com/auth/calendar.calendarlist.readonly https://www.googleapis.com/auth/calendar.freebusy"
)

ADA = Identity("https://accounts.google.com", "subject-1", None, "ada@example.com", "Ada")


@dataclass
class FakeProvider:
    """One provider with a strict rotating refresh token, unless told otherwise."""

    key: str = "google"
    kind: str = "google"
    display_name: str = "Google"
    rotation: RotationClass = RotationClass.STRICT
    calendars: CalendarProvider | None = None
    identity: Identity = ADA
    lifetime_s: int = 3600
    scope: str | None = SCOPES
    failures: list[LatchkeyError] = field(default_factory=list)
    """Raised by the next refreshes, in order."""
    during_refresh: Callable[[], None] = lambda: None
    """Called while a refresh is "in flight"."""
    revocation: Revocation = field(default_factory=lambda: Revocation("revoked"))
    gives_refresh_token: bool = True
    calls: list[str] = field(default_factory=list)
    _serial: int = 0
    _living: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def issuer(self) -> str | None:
        """Return no issuer: the parameter is not promised."""
        return None

    def promises_iss(self) -> bool:
        """Return whether metadata announces ``iss``."""
        return False

    def authorization_url(self, start: AuthorizationStart) -> str:
        """Return a recognisable address."""
        return f"https://provider.test/authorize?state={start.state}"

    def exchange_code(self, code: Secret, code_verifier: Secret, redirect_uri: str) -> TokenAnswer:
        """Redeem any code."""
        self.calls.append("exchange")
        return self._answer(with_id_token=True)

    def refresh(self, refresh_token: Secret, scopes: Sequence[str]) -> TokenAnswer:
        """Refuse anything but the one living token, like a strict provider."""
        self.calls.append("refresh")
        self.during_refresh()
        if self.failures:
            raise self.failures.pop(0)
        if refresh_token.reveal() != self._living:
            raise InvalidGrant("reused", reason=Reason.GRANT_REJECTED)
        return self._answer(with_id_token=False)

    def identify(self, id_token: Secret, *, nonce: str | None, access_token: Secret | None) -> Identity:
        """Return the scripted identity."""
        return self.identity

    def probe(self, access_token: Secret, *, subject: str | None = None) -> None:
        """Accept every token."""
        self.calls.append("probe")

    def revoke(self, token: Secret) -> Revocation:
        """Kill the living token."""
        self.calls.append("revoke")
        self._living = None
        return self.revocation

    def account_page(self) -> str | None:
        """Return no page."""
        return None

    def _answer(self, *, with_id_token: bool) -> TokenAnswer:
        with self._lock:
            self._serial += 1
            serial = self._serial
        refresh = None
        if self.gives_refresh_token:
            self._living = f"refresh-{serial}"
            refresh = Secret(self._living)
        return TokenAnswer(
            Secret(f"access-{serial}"),
            refresh,
            Secret("id-token") if with_id_token else None,
            self.lifetime_s,
            self.scope,
        )


class FakeProviders:
    """A registry of given providers."""

    def __init__(self, *providers: Provider) -> None:
        """Keep ``providers`` by key."""
        self._providers = {provider.key: provider for provider in providers}

    def get(self, key: str) -> Provider:
        """Return one; raises ``UnknownProvider``."""
        try:
            return self._providers[key]
        except KeyError:
            raise UnknownProvider(key) from None

    def all(self) -> tuple[Provider, ...]:
        """Return all."""
        return tuple(self._providers.values())


@dataclass
class RecordingNudge:
    """Remembers hints instead of sending them."""

    sent: list[tuple[str, UUID]] = field(default_factory=list)

    def refresh(self, connection_id: UUID) -> None:
        """Remember a hint to refresh."""
        self.sent.append(("refresh", connection_id))

    def list_calendars(self, connection_id: UUID) -> None:
        """Remember a hint to list."""
        self.sent.append(("list", connection_id))

    def sync_calendar(self, calendar_id: UUID, in_s: float = 0.0) -> None:
        """Remember a hint to sync."""
        self.sent.append(("sync", calendar_id))

    def open_channel(self, calendar_id: UUID) -> None:
        """Remember a hint to open a channel."""
        self.sent.append(("channel", calendar_id))
