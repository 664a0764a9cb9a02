"""Stand-ins for the use cases, as plain classes that remember what they were asked.

Each holds what it will answer in attributes a test can set, and raises ``error`` when one is set.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from uuid import UUID, uuid4

from app.domain.authorizations import Callback, Started
from app.domain.calendars import Busy, Occurrence, Window
from app.domain.connect_links import ConnectLink
from app.domain.connections import Connection, Reason, Status
from app.domain.errors import (
    InvalidClient,
    LatchkeyError,
    RateLimited,
    SubjectTokenInvalid,
    UnknownConnection,
    UnknownProvider,
)
from app.domain.features import Feature, scopes_for
from app.domain.people import BrowserSession, Person, Service
from app.domain.rates import TokenBuckets
from app.domain.secret import Secret
from app.domain.subjects import Subject, SubjectMode
from app.domain.tokens import AccessToken
from app.ports import AgendaItem, CalendarRow, Revocation
from app.services.authorization import Connected, SignedIn
from app.services.calendar_choices import Choice
from app.services.connect_links import MadeLink
from app.services.connections import ConnectionView
from app.services.disconnect import Receipt
from app.services.explanation import Explanation
from app.services.subjects import CONNECTION_TYPE, JWT_TYPE, PERSON_TYPE
from app.services.token_exchange import Exchanged, ExchangeRefused, ExchangeRequest

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PERSON = Person(UUID("11111111-1111-4111-8111-111111111111"), "Ada Example", "ada@example.test", "Europe/Berlin")
SESSION_TOKEN = "s" * 43
BROWSER_TOKEN = "b" * 43
SERVICE = Service(UUID("22222222-2222-4222-8222-222222222222"), "scheduler")
SERVICE_SECRET = "a secret with : and % and ü"
SERVICE_TOKEN = "t" * 43
SERVICE_ASSERTION = "an assertion of the scheduler"
USER_TOKEN = "a user token of Ada"
LINK_SECRET = "l" * 43
CONNECTION_ID = UUID("33333333-3333-4333-8333-333333333333")
HAND_OUT_ID = UUID("44444444-4444-4444-8444-444444444444")


@dataclass(frozen=True)
class FakeProvider:
    key: str
    kind: str
    display_name: str


PROVIDERS = (
    FakeProvider("google", "google", "Google"),
    FakeProvider("microsoft", "microsoft", "Microsoft 365"),
    FakeProvider("acme", "oidc", "Acme"),
)


def make_connection(**changes) -> Connection:
    """Return a working Google connection that reads calendars, with ``changes``."""
    features = changes.pop("features", (Feature.IDENTITY, Feature.CALENDAR_READ))
    kind = changes.get("kind", "google")
    base = Connection(
        id=CONNECTION_ID,
        person_id=PERSON.id,
        provider="google",
        kind="google",
        issuer="https://accounts.google.com",
        subject="1234567890",
        tenant=None,
        email="ada@example.test",
        display_name="Ada Example",
        status=Status.ACTIVE,
        reason=None,
        status_since=NOW - timedelta(days=3),
        requested_features=features,
        granted_scopes=tuple(sorted(scopes_for(kind, features))),
        generation=4,
        access_expires_at=NOW + timedelta(minutes=40),
        last_refreshed_at=NOW - timedelta(minutes=20),
        created_at=NOW - timedelta(days=30),
        calendars_listed_at=NOW - timedelta(days=30),
    )
    return replace(base, **changes)


def broken_connection(reason: Reason = Reason.REVOKED_BY_USER) -> Connection:
    return make_connection(status=Status.NEEDS_RECONNECT, reason=reason)


def make_calendar(**changes) -> CalendarRow:
    base = CalendarRow(
        id=uuid4(),
        connection_id=CONNECTION_ID,
        person_id=PERSON.id,
        provider="google",
        provider_id="ada@example.test",
        name="Work",
        time_zone="Europe/Berlin",
        access_role="owner",
        is_primary=True,
        last_success_at=NOW - timedelta(minutes=2),
        last_error=None,
        event_count=42,
    )
    return replace(base, **changes)


def make_view(connection: Connection | None = None, **changes) -> ConnectionView:
    base = ConnectionView(
        connection=connection or make_connection(),
        provider_name="Google",
        calendars=(make_calendar(),),
        is_syncing=False,
        history=((NOW - timedelta(days=30), "connected", MappingProxyType({})),),
        account_page="https://myaccount.google.com/connections",
    )
    return replace(base, **changes)


def make_item(start, end, **changes) -> AgendaItem:
    all_day = not isinstance(start, datetime)
    occurrence = Occurrence("series", "", "series", all_day, start, end, changes.pop("busy", Busy.BUSY))
    base = AgendaItem(
        occurrence=occurrence,
        summary="Planning",
        location="Room 4",
        status="confirmed",
        privacy="default",
        html_link="https://calendar.google.com/event?eid=1",
        calendar_name="Work",
        provider="google",
        account_email="ada@example.test",
        is_recurring=False,
    )
    return replace(base, **changes)


@dataclass
class Answering:
    """Raises ``error`` if one is set, and remembers calls."""

    error: Exception | None = None
    calls: list = field(default_factory=list)

    def note(self, *call) -> None:
        self.calls.append(call)
        if self.error is not None:
            raise self.error


class FakeProviders:
    def all(self):
        return PROVIDERS

    def get(self, key: str):
        for provider in PROVIDERS:
            if provider.key == key:
                return provider
        raise UnknownProvider


@dataclass
class FakeSessions(Answering):
    live: dict[str, BrowserSession] = field(
        default_factory=lambda: {SESSION_TOKEN: BrowserSession(uuid4(), PERSON, NOW + timedelta(days=1))}
    )

    def resolve(self, token: str) -> BrowserSession | None:
        self.note("resolve", token)
        return self.live.get(token)

    def end(self, token: str) -> None:
        self.note("end", token)
        self.live.pop(token, None)


@dataclass
class FakeAuthorization(Answering):
    url: str = "https://accounts.example.test/auth?client_id=1&state=abc&scope=openid%20email"
    fresh_browser_token: Secret = field(default_factory=lambda: Secret("f" * 43))
    result: SignedIn | Connected | None = None

    def start_sign_in(self, provider_key: str, return_to: str, browser_token: Secret | None) -> Started:
        self.note("start_sign_in", provider_key, return_to, browser_token)
        return Started(self.url, browser_token or self.fresh_browser_token)

    def start_connect(self, person_id, provider_key, features, return_to, *, connection_id, browser_token) -> Started:
        self.note("start_connect", person_id, provider_key, features, return_to, connection_id, browser_token)
        return Started(self.url, browser_token or self.fresh_browser_token)

    def finish(self, callback: Callback) -> SignedIn | Connected:
        self.note("finish", callback)
        assert self.result is not None
        return self.result


@dataclass
class FakeConnectLinks(Answering):
    """Knows the one link it is given."""

    link: ConnectLink | None = None

    def create(self, service: Service, wish) -> MadeLink:
        self.note("create", service, wish)
        return MadeLink(self.link, Secret(LINK_SECRET))

    def get(self, service: Service, link_id: UUID) -> ConnectLink:
        self.note("get", service, link_id)
        return self.link

    def complete(self, service: Service, link_id: UUID) -> ConnectLink:
        self.note("complete", service, link_id)
        return self.link


@dataclass
class FakeConnectLinkVisits(Answering):
    """Has no link, so that every callback is the authorization's alone."""

    authorization: FakeAuthorization = field(default_factory=FakeAuthorization)

    def finish(self, callback: Callback) -> SignedIn | Connected:
        return self.authorization.finish(callback)


@dataclass
class FakeConnections(Answering):
    views: dict[UUID, ConnectionView] = field(default_factory=lambda: {CONNECTION_ID: make_view()})

    def of_person(self, person_id: UUID) -> tuple[ConnectionView, ...]:
        self.note("of_person", person_id)
        return tuple(view for view in self.views.values() if view.connection.person_id == person_id)

    def get(self, person_id: UUID, connection_id: UUID) -> ConnectionView:
        self.note("get", person_id, connection_id)
        view = self.views.get(connection_id)
        if view is None or view.connection.person_id != person_id:
            raise UnknownConnection
        return view


@dataclass
class FakeCalendarChoices(Answering):
    def choose(self, person_id: UUID, connection_id: UUID, wanted: Mapping[UUID, Choice]) -> int:
        self.note("choose", person_id, connection_id, dict(wanted))
        return len(wanted)


@dataclass
class FakeAgenda(Answering):
    items: tuple[AgendaItem, ...] = ()

    def of_person(self, person_id: UUID, window: Window, limit: int) -> tuple[AgendaItem, ...]:
        self.note("of_person", person_id, window, limit)
        return self.items


@dataclass
class FakeDisconnect(Answering):
    revocation: Revocation = field(default_factory=lambda: Revocation("revoked"))
    proved_dead: bool | None = True

    def disconnect(self, person_id: UUID, connection_id: UUID) -> Receipt:
        self.note("disconnect", person_id, connection_id)
        return Receipt(connection_id, "Google", "ada@example.test", self.revocation, self.proved_dead, 2, 57, NOW)


@dataclass
class FakeClients(Answering):
    visible: tuple[Connection, ...] = field(default_factory=lambda: (make_connection(),))

    def authenticate(self, name: str, secret: str) -> Service:
        self.note("authenticate", name, secret)
        if (name, secret) != (SERVICE.name, SERVICE_SECRET):
            raise InvalidClient("secret")
        return SERVICE

    def connections(self, service: Service, provider: str | None) -> tuple[Connection, ...]:
        self.note("connections", service, provider)
        return tuple(c for c in self.visible if provider in (None, c.provider))


@dataclass
class FakeServiceTokens(Answering):
    """Knows a token from the time it was first shown."""

    def check(self, token: str) -> Service:
        self.note("check", token)
        if token != SERVICE_TOKEN:
            raise InvalidClient("token")
        return SERVICE

    def is_known(self, token: str) -> bool:
        return token == SERVICE_TOKEN and ("check", token) in self.calls

    def issue(self, service: Service) -> tuple[Secret, int]:
        self.note("issue", service)
        return Secret(SERVICE_TOKEN), 600

    def revoke(self, service: Service, token: str) -> None:
        self.note("revoke", service, token)


@dataclass
class FakeAssertions(Answering):
    def authenticate(self, assertion_type: str | None, assertion: str, client_id: str | None) -> Service:
        self.note("authenticate", assertion_type, assertion, client_id)
        if assertion != SERVICE_ASSERTION:
            raise InvalidClient("assertion")
        return SERVICE


@dataclass
class FakeSigningKeys(Answering):
    keys: tuple[dict[str, str], ...] = ({"kty": "EC", "kid": "k1", "crv": "P-256", "x": "x", "y": "y"},)

    def published(self) -> tuple[dict[str, str], ...]:
        self.note("published")
        return self.keys


@dataclass
class FakeSubjects(Answering):
    """Knows handles as the real one does, and one user token."""

    def resolve(self, service: Service, token_type: str | None, token: str) -> Subject:
        self.note("resolve", service, token_type, token)
        if token_type == JWT_TYPE and token == USER_TOKEN:
            return Subject(SubjectMode.PRESENT, person_id=PERSON.id)
        try:
            named = UUID(token)
        except ValueError:
            raise SubjectTokenInvalid("sub") from None
        if token_type == CONNECTION_TYPE:
            return Subject(SubjectMode.ABSENT, connection_id=named)
        if token_type == PERSON_TYPE:
            return Subject(SubjectMode.ABSENT, person_id=named)
        raise SubjectTokenInvalid("subject_token_type")


@dataclass
class FakeCallers:
    tokens: FakeServiceTokens = field(default_factory=FakeServiceTokens)
    assertions: FakeAssertions = field(default_factory=FakeAssertions)
    subjects: FakeSubjects = field(default_factory=FakeSubjects)
    signing_keys: FakeSigningKeys = field(default_factory=FakeSigningKeys)


@dataclass
class FakeTokenExchange(Answering):
    """Refuses with ``error`` as the real one does: wrapped, with the connection the caller may know of."""

    access_token: str = "provider-access-token-marker"
    lives_s: float = 1799.9
    warning: str | None = None
    hand_out_id: UUID = HAND_OUT_ID
    connection: Connection | None = field(default_factory=make_connection)

    def exchange(self, service: Service, request: ExchangeRequest) -> Exchanged:
        try:
            self.note("exchange", service, request)
        except RateLimited:
            raise
        except LatchkeyError as error:
            raise ExchangeRefused(error, self.connection) from error
        connection = make_connection()
        expires_at = NOW + timedelta(seconds=self.lives_s)
        token = AccessToken(Secret(self.access_token), expires_at, connection.granted_scopes, 4, self.warning)
        return Exchanged(self.hand_out_id, token, connection)


@dataclass
class FakeExplain(Answering):
    explanation: Explanation = field(default_factory=lambda: Explanation((), None))

    def explain(self, service: Service, request: ExchangeRequest) -> Explanation:
        self.note("explain", service, request)
        return self.explanation


@dataclass
class FakeNotifications(Answering):
    genuine: bool = True
    pending: bool = False

    def google(self, channel_id, token, resource_id, message_number, state) -> bool:
        self.note("google", channel_id, token, resource_id, message_number, state)
        return self.genuine

    def graph(self, items) -> int:
        self.note("graph", tuple(items))
        return len(items)

    def expects_validation(self) -> bool:
        self.note("expects_validation")
        return self.pending


@dataclass
class OpenGate:
    """Lets every call pass, or refuses with ``refusal``; remembers what it was told."""

    refusal: LatchkeyError | None = None
    paused: tuple[str, ...] = ()
    admitted: list[tuple[str, UUID]] = field(default_factory=list)
    noted: list[tuple[str, UUID, LatchkeyError | None]] = field(default_factory=list)
    withdrawn: list[tuple[str, UUID]] = field(default_factory=list)

    def admit(self, provider: str, connection_id: UUID) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.admitted.append((provider, connection_id))

    def note(self, provider: str, connection_id: UUID, error: LatchkeyError | None) -> None:
        self.noted.append((provider, connection_id, error))

    def withdraw(self, provider: str, connection_id: UUID) -> None:
        self.withdrawn.append((provider, connection_id))

    def open_providers(self) -> tuple[str, ...]:
        return self.paused


@dataclass
class FakeHealth(Answering):
    faults: tuple[str, ...] = ()
    slow: tuple[str, ...] = ()

    def ready(self) -> tuple[str, ...]:
        self.note("ready")
        return self.faults

    def slowed_by(self) -> tuple[str, ...]:
        self.note("slowed_by")
        return self.slow


@dataclass
class FakeServices:
    """Everything the web edge calls."""

    providers: FakeProviders = field(default_factory=FakeProviders)
    sessions: FakeSessions = field(default_factory=FakeSessions)
    authorization: FakeAuthorization = field(default_factory=FakeAuthorization)
    connect_links: FakeConnectLinks = field(default_factory=FakeConnectLinks)
    connections: FakeConnections = field(default_factory=FakeConnections)
    calendar_choices: FakeCalendarChoices = field(default_factory=FakeCalendarChoices)
    agenda: FakeAgenda = field(default_factory=FakeAgenda)
    disconnect: FakeDisconnect = field(default_factory=FakeDisconnect)
    clients: FakeClients = field(default_factory=FakeClients)
    callers: FakeCallers = field(default_factory=FakeCallers)
    token_exchange: FakeTokenExchange = field(default_factory=FakeTokenExchange)
    explain: FakeExplain = field(default_factory=FakeExplain)
    rates: TokenBuckets = field(default_factory=lambda: TokenBuckets(1000.0, 1000.0, time.monotonic))
    notifications: FakeNotifications = field(default_factory=FakeNotifications)
    health: FakeHealth = field(default_factory=FakeHealth)

    @property
    def connect_link_visits(self) -> FakeConnectLinkVisits:
        return FakeConnectLinkVisits(authorization=self.authorization)


def all_leaves(root: type[LatchkeyError]) -> list[type[LatchkeyError]]:
    """Return the classes below ``root`` that have none below them."""
    below = [leaf for child in root.__subclasses__() for leaf in all_leaves(child)]
    return below or [root]
