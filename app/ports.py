"""What the use cases need from outside, as small Protocols.

``providers``, ``store``, ``crypto`` and ``nudge`` implement them; ``bootstrap`` joins both sides.
Times are aware UTC. Store methods run inside the unit of work that carries them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.domain.authorizations import AuthorizationRequest
from app.domain.calendars import (
    Channel,
    ChangePage,
    Occurrence,
    RemoteCalendar,
    RemoteEvent,
    Series,
    Window,
)
from app.domain.connections import Connection, Identity, Reason
from app.domain.features import Feature
from app.domain.people import BrowserSession, Person, Service
from app.domain.secret import Secret
from app.domain.tokens import RotationClass, TokenAnswer

Clock = Callable[[], datetime]
"""Returns now, aware UTC."""

Spread = Callable[[], float]
"""Returns a random number in [0, 1) for jitter."""


# --- providers ---------------------------------------------------------------------------------


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

    def probe(self, access_token: Secret) -> None:
        """Make one harmless live call with the token; raises when it does not work."""

    def revoke(self, token: Secret) -> Revocation:
        """Revoke a refresh (or access) token at the provider (RFC 7009); never raises for its refusal."""

    def account_page(self) -> str | None:
        """Return where the person can see and remove this application's access; null when unknown."""


class CalendarProvider(Protocol):
    """A provider's calendars. Network faults and refusals raise leaves of ``ProviderError``."""

    def list_calendars(self, access_token: Secret) -> tuple[RemoteCalendar, ...]:
        """Return the person's whole calendar list."""

    def changes(
        self, access_token: Secret, calendar_id: str, cursor: str | None, window: Window
    ) -> Iterator[ChangePage]:
        """Yield pages of changes since ``cursor``, or of everything in ``window`` when it is null.

        The last page, and no other, carries the new cursor. Raises ``CursorExpired``, ``CalendarGone``,
        ``AccessTokenRejected``.
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


# --- crypto ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SealContext:
    """What a sealed value is bound to (associated data); opening under any other context fails."""

    connection_id: UUID
    issuer: str
    subject: str
    field: str
    """``refresh_token`` or ``access_token``."""
    generation: int


class DataKey(Protocol):
    """The opened data key of one connection."""

    def seal(self, value: Secret, context: SealContext) -> bytes:
        """Encrypt ``value`` bound to ``context``."""

    def open(self, sealed: bytes, context: SealContext) -> Secret:
        """Decrypt; raises ``CipherError`` when anything does not fit."""


class Sealer(Protocol):
    """The key ring."""

    def new_data_key(self, connection_id: UUID) -> bytes:
        """Make a data key for a connection and return it wrapped under the primary key."""

    def open_data_key(self, connection_id: UUID, wrapped: bytes) -> DataKey:
        """Unwrap a data key; raises ``CipherError``."""

    def seal_record(self, record_id: UUID, purpose: str, value: Secret) -> bytes:
        """Encrypt a short-lived value that belongs to no connection yet, under the primary key."""

    def open_record(self, record_id: UUID, purpose: str, sealed: bytes) -> Secret:
        """Reverse ``seal_record``; raises ``CipherError``."""

    def keyed_hash(self, purpose: str, value: str) -> bytes:
        """Return HMAC-SHA256 of ``value`` under a key derived for ``purpose``: fingerprints and channel tokens."""


# --- store -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """The current generation of a connection with what is needed to open it. One query."""

    connection: Connection
    wrapped_key: bytes
    sealed_access: bytes | None
    sealed_refresh: bytes | None
    refresh_generation: int
    """Generation the refresh token was sealed under; older than current when it was carried over."""
    lease_free: bool
    """Whether nobody holds the refresh lease now, by the database clock."""
    next_attempt_at: datetime | None
    """Until when automatic refreshes hold back after a failure; null when they need not."""
    suspected_since: datetime | None
    """When the provider first said ``invalid_grant`` for this generation; null otherwise."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to make one refresh call, with the attempt already written down."""

    attempt_id: UUID
    connection_id: UUID
    epoch: int
    """Fences the pointer: only the current epoch may move it."""
    generation: int
    """Number reserved for the answer."""
    tokens: StoredTokens
    """Read under the lease."""


@dataclass(frozen=True, slots=True)
class NewGeneration:
    """A token set ready to be appended: sealed, with what may be known in clear."""

    connection_id: UUID
    generation: int
    epoch: int
    parent: int
    origin: str
    """``consent`` or ``refresh``."""
    sealed_access: bytes | None
    sealed_refresh: bytes | None
    """Null when the answer brought none."""
    scopes: tuple[str, ...] | None
    """Null when the answer did not say: unchanged."""
    issued_at: datetime
    access_expires_at: datetime
    refresh_due_at: datetime
    refresh_expires_at: datetime | None


class PeopleStore(Protocol):
    """People, their sign-in identities and browser sessions."""

    def sign_in(self, provider: str, identity: Identity, now: datetime) -> Person:
        """Return the person of this (issuer, subject), made on first sight; never matched by e-mail."""

    def get(self, person_id: UUID) -> Person | None:
        """Return one person."""

    def start_session(self, token_hash: bytes, person_id: UUID, now: datetime, expires_at: datetime) -> None:
        """Store a session by the hash of its cookie."""

    def session(self, token_hash: bytes, now: datetime) -> BrowserSession | None:
        """Return the live session and note that it was seen; null when unknown, idle too long, expired or ended."""

    def end_session(self, token_hash: bytes) -> None:
        """End one session."""


class AuthorizationStore(Protocol):
    """Pending authorization requests."""

    def add(self, request: AuthorizationRequest) -> None:
        """Store a request; the oldest of the same browser go when it has more than ten."""

    def take(self, state_hash: bytes, now: datetime) -> AuthorizationRequest | None:
        """Return the request and mark it used, once and for all; null when unknown.

        Raises ``ConsentAlreadyUsed`` for the second taker.
        """

    def peek(self, state_hash: bytes) -> AuthorizationRequest | None:
        """Return the request without using it up; null when unknown or used."""


class ConnectionStore(Protocol):
    """Connections and their data keys."""

    def get(self, connection_id: UUID) -> Connection | None:
        """Return one connection, disconnected ones included; null when unknown."""

    def of_person(self, person_id: UUID) -> tuple[Connection, ...]:
        """Return a person's connections that are not disconnected, oldest first."""

    def of_account(self, person_id: UUID, provider: str, identity: Identity) -> Connection | None:
        """Return the person's connection to exactly this account, disconnected ones included."""

    def visible_to(self, service_id: UUID, provider: str | None, now: datetime) -> tuple[Connection, ...]:
        """Return the connections a service has a policy for, that are not disconnected."""

    def add(
        self, connection_id: UUID, person_id: UUID, provider: str, kind: str, identity: Identity,
        features: Sequence[Feature], wrapped_key: bytes, now: datetime,
    ) -> None:  # fmt: skip
        """Store a new connection with its data key."""

    def revive(
        self, connection_id: UUID, identity: Identity, features: Sequence[Feature], wrapped_key: bytes | None,
        now: datetime,
    ) -> None:  # fmt: skip
        """Make a connection active again after a consent; ``wrapped_key`` replaces a shredded data key."""

    def mark_needs_reconnect(self, connection_id: UUID, generation: int, reason: Reason, now: datetime) -> bool:
        """End the connection's good state if ``generation`` is still current; returns whether it was."""

    def due_calendar_list(self, connection_id: UUID, at: datetime) -> None:
        """Make reading the calendar list due."""

    def claim_calendar_lists(self, now: datetime, hold_until: datetime, limit: int) -> tuple[UUID, ...]:
        """Claim active connections whose calendar list is due; nobody else gets them before ``hold_until``."""

    def calendars_listed(self, connection_id: UUID, now: datetime, next_at: datetime) -> None:
        """Note a read calendar list and when the next is due."""

    def disconnect(self, connection_id: UUID, now: datetime) -> None:
        """Delete tokens, data key, calendars, events and channels of a connection; the row stays as a receipt."""


class TokenStore(Protocol):
    """Token generations, refresh attempts and the refresh lease."""

    def current(self, connection_id: UUID) -> StoredTokens | None:
        """Return the current generation; null when the connection is unknown."""

    def reserve(self, connection_id: UUID) -> tuple[int, int, int]:
        """Return ``(generation, epoch, parent)`` for a token set that a consent brought; takes over any lease."""

    def lease(
        self, connection_id: UUID, owner: str, attempt_id: UUID, lease_s: float, *, parent: int
    ) -> Lease | None:
        """Take the refresh lease and write the attempt down, by the database clock.

        Null when somebody else holds it, or when the current generation is not ``parent`` any more.
        """

    def append(self, generation: NewGeneration) -> bool:
        """Append a generation, always; move the pointer if its epoch is still current and say whether it was.

        A moved pointer clears failures and suspicion; a lease of the same epoch is released.
        """

    def close_attempt(self, lease: Lease, outcome: str, error_code: str | None, now: datetime) -> None:
        """Write down how an attempt ended: ``stored``, ``refused``, ``failed`` or ``ambiguous``."""

    def release(self, lease: Lease, *, next_attempt_at: datetime | None, failed: bool) -> None:
        """Give the lease back if the epoch is still ours; count a failure and hold back automatic refreshes."""

    def suspect(self, lease: Lease, now: datetime) -> datetime:
        """Note an ``invalid_grant`` for the parent generation and return when the first one was."""

    def claim_due(self, now: datetime, hold_until: datetime, limit: int) -> tuple[UUID, ...]:
        """Claim active connections whose refresh is due; nobody else gets them before ``hold_until``."""


@dataclass(frozen=True, slots=True)
class CalendarRow:
    """A stored calendar with its sync state, as pages and services see it."""

    id: UUID
    connection_id: UUID
    person_id: UUID
    provider: str
    provider_id: str
    name: str
    time_zone: str | None
    access_role: str
    is_primary: bool
    last_success_at: datetime | None
    """Null until the first sync has been committed."""
    last_error: str | None
    event_count: int


@dataclass(frozen=True, slots=True)
class SyncRun:
    """A leased sync run of one calendar."""

    calendar: CalendarRow
    cursor: str | None
    cursor_version: int
    """Compare-and-set guard: raised with every committed cursor."""
    window: Window | None
    """The window the cursor was made for; null when there is no cursor."""
    generation: int
    requested: int
    """Dirty counter as read; committing stores it as completed."""


@dataclass(frozen=True, slots=True)
class AppliedChanges:
    """What one sync round brings into the store, all of it in one transaction."""

    events: tuple[RemoteEvent, ...]
    """Deduplicated, last version of each."""
    removed: tuple[str, ...]
    series: tuple[tuple[str, tuple[Occurrence, ...]], ...]
    """Series id (or id of a single event) to its full set of occurrences in the window; replaces the stored set."""
    cursor: str
    window: Window
    full: bool
    """A full pass: rows not seen in it are swept."""


class CalendarStore(Protocol):
    """Calendars, sync state, events and occurrences."""

    def of_connection(self, connection_id: UUID) -> tuple[CalendarRow, ...]:
        """Return a connection's calendars that are not removed, the primary one first."""

    def of_person(self, person_id: UUID) -> tuple[CalendarRow, ...]:
        """Return the calendars of all of a person's connections."""

    def merge_list(
        self, connection_id: UUID, calendars: Sequence[RemoteCalendar], now: datetime
    ) -> tuple[UUID, ...]:
        """Bring the stored list in line with the provider's; returns the ids that are new.

        Calendars that vanished lose their events; readable ones get a sync state that is due now.
        """

    def request_sync(self, calendar_id: UUID, due_at: datetime) -> None:
        """Raise the dirty counter and make the calendar due."""

    def claim_due(self, now: datetime, hold_until: datetime, limit: int) -> tuple[UUID, ...]:
        """Claim calendars of active connections whose sync is due."""

    def lease(self, calendar_id: UUID, owner: str, lease_s: float) -> SyncRun | None:
        """Take the sync lease by the database clock; null when held, gone, or the connection is not active."""

    def series(self, calendar_id: UUID, series_ids: Sequence[str]) -> tuple[Series, ...]:
        """Return stored masters among ``series_ids`` with all their exceptions, for expansion."""

    def series_of(self, calendar_id: UUID, provider_ids: Sequence[str]) -> Mapping[str, str]:
        """Return, for stored exceptions among ``provider_ids``, the id of their series."""

    def apply(self, run: SyncRun, owner: str, changes: AppliedChanges, now: datetime) -> bool:
        """Write everything of one round if cursor version and lease are still ours; returns whether they were.

        Upserts, tombstones with cascades, occurrences, sweep on a full pass, cursor, completed counter.
        """

    def finish(
        self, run: SyncRun, owner: str, *, next_at: datetime, error: str | None, drop_cursor: bool, now: datetime
    ) -> bool:
        """Give the lease back; returns whether more was requested meanwhile (then it is due again at once)."""

    def agenda(self, person_id: UUID, window: Window, limit: int) -> tuple[AgendaItem, ...]:
        """Return a person's occurrences in the window across accounts, in order of time."""


@dataclass(frozen=True, slots=True)
class AgendaItem:
    """One line of a person's agenda."""

    occurrence: Occurrence
    summary: str | None
    location: str | None
    status: str
    privacy: str
    html_link: str | None
    calendar_name: str
    provider: str
    account_email: str | None
    is_recurring: bool


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A stored push channel."""

    id: UUID
    calendar_id: UUID
    connection_id: UUID
    provider: str
    calendar_provider_id: str
    state: str
    """``creating``, ``active`` or ``stopping``."""
    channel: Channel | None
    """Null while creating."""
    token_hash: bytes
    """Keyed hash of the token that every notification must carry."""


class ChannelStore(Protocol):
    """Push channels."""

    def claim_missing(self, now: datetime, hold_until: datetime, limit: int) -> tuple[UUID, ...]:
        """Claim calendars that should have a channel (again): none active, or the active one nears its end."""

    def add(self, channel_id: UUID, calendar_id: UUID, token_hash: bytes, now: datetime) -> None:
        """Write a channel down before the provider is asked for it."""

    def activate(self, channel_id: UUID, channel: Channel, renew_at: datetime, now: datetime) -> None:
        """Store what the provider answered; older channels of the calendar become ``stopping``."""

    def fail(self, calendar_id: UUID, channel_id: UUID, retry_at: datetime | None) -> None:
        """Drop a channel that could not be made; try again at ``retry_at``, never when null."""

    def get(self, channel_id: UUID) -> ChannelRow | None:
        """Return a channel by our id."""

    def by_provider_id(self, provider_channel_id: str) -> ChannelRow | None:
        """Return a channel by the provider's id (Graph subscription id)."""

    def of_calendar(self, calendar_id: UUID) -> tuple[ChannelRow, ...]:
        """Return a calendar's channels, newest first."""

    def of_connection(self, connection_id: UUID) -> tuple[ChannelRow, ...]:
        """Return all channels of a connection."""

    def stopping(self, limit: int) -> tuple[ChannelRow, ...]:
        """Return channels that wait to be stopped at the provider."""

    def seen(self, channel_id: UUID, message_number: int | None, now: datetime) -> None:
        """Note a genuine notification."""

    def delete(self, channel_id: UUID) -> None:
        """Forget a channel."""


class ServiceStore(Protocol):
    """Internal services, their credentials, short-lived tokens and policies."""

    def add(self, service_id: UUID, name: str, secret_hash: bytes, expires_at: datetime, now: datetime) -> None:
        """Store a service with its first secret; raises ``ValueError`` when the name is taken."""

    def by_secret(self, name: str, secret_hash: bytes, now: datetime) -> Service | None:
        """Return the enabled service with this name and a live secret of this hash."""

    def by_token(self, token_hash: bytes, now: datetime) -> Service | None:
        """Return the service a live short-lived token belongs to."""

    def add_token(self, token_hash: bytes, service_id: UUID, expires_at: datetime) -> None:
        """Store a short-lived token by its hash."""

    def allow(
        self, policy_id: UUID, service_id: UUID, provider: str | None, features: Sequence[Feature], now: datetime
    ) -> None:
        """Add a policy: which features of which provider (null: any) a service may use."""

    def allowed_features(self, service_id: UUID, provider: str, now: datetime) -> frozenset[Feature]:
        """Return what policy lets the service use at the provider; empty means default deny."""


@dataclass(frozen=True, slots=True)
class HandOut:
    """One decision about a hand-out, for the audit."""

    id: UUID
    service_id: UUID
    connection_id: UUID | None
    person_id: UUID | None
    purpose: str | None
    features: tuple[str, ...]
    scopes: tuple[str, ...]
    decision: str
    """``released`` or ``denied``."""
    reason: str | None
    token_fingerprint: bytes | None
    """Keyed; null when nothing was released."""
    at: datetime


class AuditStore(Protocol):
    """What happened, append only."""

    def hand_out(self, entry: HandOut) -> None:
        """Write a hand-out decision."""

    def event(
        self, kind: str, at: datetime, *, person_id: UUID | None = None, connection_id: UUID | None = None,
        detail: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Write an event; ``detail`` holds codes and ids, never secrets."""

    def of_connection(self, connection_id: UUID, limit: int) -> tuple[tuple[datetime, str, Mapping[str, str]], ...]:
        """Return a connection's latest events, newest first."""


class Transaction(Protocol):
    """An open unit of work and the stores inside it. Commits on a clean exit, rolls back on an error."""

    @property
    def people(self) -> PeopleStore:
        """Return people and sessions."""

    @property
    def authorizations(self) -> AuthorizationStore:
        """Return pending authorization requests."""

    @property
    def connections(self) -> ConnectionStore:
        """Return connections."""

    @property
    def tokens(self) -> TokenStore:
        """Return tokens and leases."""

    @property
    def calendars(self) -> CalendarStore:
        """Return calendars and events."""

    @property
    def channels(self) -> ChannelStore:
        """Return push channels."""

    @property
    def services(self) -> ServiceStore:
        """Return internal services."""

    @property
    def audit(self) -> AuditStore:
        """Return the audit log."""


class Store(Protocol):
    """Opens units of work."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open a short write transaction; raises the guard's flag for its length."""

    def reading(self) -> AbstractContextManager[Transaction]:
        """Open a unit for reads only, each statement on its own (AUTOCOMMIT): no BEGIN, no lock held."""

    def ping(self) -> None:
        """Raise when the database does not answer."""


# --- nudges ------------------------------------------------------------------------------------


class Nudge(Protocol):
    """Tells workers that a row is due. Best effort: a lost nudge costs one tick of the scheduler."""

    def refresh(self, connection_id: UUID) -> None:
        """Hint that a connection should be refreshed."""

    def list_calendars(self, connection_id: UUID) -> None:
        """Hint that a connection's calendar list is due."""

    def sync_calendar(self, calendar_id: UUID) -> None:
        """Hint that a calendar is due."""

    def open_channel(self, calendar_id: UUID) -> None:
        """Hint that a calendar needs a push channel."""
