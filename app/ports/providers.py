"""What the use cases need from a provider: authorization server and calendars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.domain.calendars import (
    CalendarListing,
    ChangePage,
    Channel,
    Window,
)
from app.domain.connections import Identity
from app.domain.secret import Secret
from app.domain.tokens import RotationClass, TokenAnswer


@dataclass(frozen=True, slots=True)
class AuthorizationStart:
    """What goes into an authorization URL."""

    state: str
    nonce: str
    code_verifier: Secret
    """PKCE (RFC 7636), 43 to 128 characters; the URL carries its S256 challenge."""
    redirect_uri: str
    scopes: tuple[str, ...]
    login_hint: str | None = None
    offline: bool = True
    """Whether a refresh token is wanted; false for a sign-in."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """What the provider said to a revocation."""

    outcome: str
    """``revoked``, ``already_dead``, ``unsupported`` (the provider has no such endpoint) or ``failed``."""
    detail: str = ""


class Provider(Protocol):
    """One configured provider, seen as an authorization server. Raises leaves of ``ProviderError``."""

    @property
    def key(self) -> str:
        """Return the key in configuration and URLs."""

    @property
    def kind(self) -> str:
        """Return ``google``, ``microsoft`` or ``oidc``."""

    @property
    def display_name(self) -> str:
        """Return the name people read."""

    @property
    def rotation(self) -> RotationClass:
        """Return what happens to a used refresh token."""

    @property
    def calendars(self) -> CalendarProvider | None:
        """Return the calendar side, or null when the provider has none."""

    def issuer(self) -> str | None:
        """Return the expected ``iss`` of authorization answers; null when the provider sends none."""

    def promises_iss(self) -> bool:
        """Return whether the metadata announces ``iss`` in authorization answers (RFC 9207)."""

    def authorization_url(self, start: AuthorizationStart) -> str:
        """Return where to send the browser."""

    def exchange_code(self, code: Secret, code_verifier: Secret, redirect_uri: str) -> TokenAnswer:
        """Redeem an authorization code, once, without retries."""

    def refresh(self, refresh_token: Secret, scopes: Sequence[str]) -> TokenAnswer:
        """Make exactly one refresh call. ``scopes`` are those granted; adapters that must not send them do not.

        Raises ``InvalidGrant`` (the grant, maybe), ``ProviderRejected`` (us), ``ProviderThrottled``,
        ``ProviderUnavailable``.
        """

    def identify(self, id_token: Secret, *, nonce: str | None, access_token: Secret | None) -> Identity:
        """Validate an ID token in full and return who it names; raises ``IDTokenInvalid``.

        ``nonce`` null skips the nonce (refresh answers); ``access_token`` is checked against ``at_hash``.
        """

    def probe(self, access_token: Secret, *, subject: str | None = None) -> None:
        """Make one harmless live call with the token; raises when it does not work.

        With ``subject`` the account that answers must be this one, else ``IDTokenInvalid`` (OIDC Core 5.3.2).
        """

    def revoke(self, token: Secret) -> Revocation:
        """Revoke a refresh (or access) token at the provider (RFC 7009); never raises for its refusal."""

    def check_credentials(self) -> tuple[str, ...]:
        """Ask the provider once per client credential, newest first, without touching any grant.

        Each answer is ``accepted``, ``refused``, or the code of what came instead.
        """

    def account_page(self) -> str | None:
        """Return where the person can see and remove this application's access; null when unknown."""


class CalendarProvider(Protocol):
    """A provider's calendars. Network faults and refusals raise leaves of ``ProviderError``."""

    def list_calendars(self, access_token: Secret, cursor: str | None = None) -> CalendarListing:
        """Return what changed in the person's calendar list since ``cursor``, or the whole list.

        The whole list comes when ``cursor`` is null, and whenever the provider has nothing else. Raises
        ``CursorExpired``, ``AccessTokenRejected``.
        """

    def changes(
        self, access_token: Secret, calendar_id: str, cursor: str | None, window: Window, *, times_only: bool = False
    ) -> Iterator[ChangePage]:
        """Yield pages of changes since ``cursor``, or of everything in ``window`` when it is null.

        The last page, and no other, carries the new cursor; a cursor holds for the same ``times_only`` alone. With
        ``times_only`` nothing is asked for, or kept, but when the calendar is busy. Raises ``CursorExpired``,
        ``CalendarGone`` (also when it shows no more than that and more was asked for), ``AccessTokenRejected``.
        """

    @property
    def expands_series(self) -> bool:
        """Return whether the provider expands series itself (Graph) or we do (Google)."""

    def watch(self, access_token: Secret, calendar_id: str, channel_id: str, token: Secret, address: str) -> Channel:
        """Subscribe to changes; ``token`` comes back with every notification. Raises ``PushNotSupported``."""

    def renew(self, access_token: Secret, channel: Channel) -> Channel | None:
        """Prolong a channel; null when the provider cannot and a new one must be made."""

    def stop(self, access_token: Secret, channel: Channel) -> None:
        """End a channel; an unknown one counts as ended."""


class Providers(Protocol):
    """The configured providers."""

    def get(self, key: str) -> Provider:
        """Return one provider; raises ``UnknownProvider``."""

    def all(self) -> tuple[Provider, ...]:
        """Return all, in the order of the configuration."""
