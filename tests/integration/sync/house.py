"""Real use cases, store and adapters beside a sandbox served over HTTP; no worker, no broker, no consent pages."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.domain.authorizations import AuthorizationRequest, Purpose
from app.domain.connections import Identity
from app.domain.features import Feature, scopes_for
from app.domain.secret import Secret
from app.domain.tokens import TokenAnswer
from app.ports import CalendarRow
from app.providers.http import OutboundClient
from app.providers.registry import build_providers
from app.providers.settings import ProviderSettings
from app.sandbox.calendar.state import side_of
from app.sandbox.calendar.world import Calendar
from app.sandbox.faults import Fault, FaultKind
from app.sandbox.issuing import issue_access, issue_refresh
from app.sandbox.server import RunningSandbox
from app.services.access_tokens import AccessTokens
from app.services.calendar_checks import CalendarChecks
from app.services.calendar_lists import CalendarLists
from app.services.calendar_sync import CalendarSync, SyncOutcome, SyncSettings
from app.services.call_pace import CallPace
from app.services.channel_tokens import ChannelTokens
from app.services.channels import Channels
from app.services.due_work import DueWork
from app.services.grants import Grants
from app.services.notifications import Notifications
from app.services.refreshing import Refresher
from app.store.escrow import EscrowFiles
from app.store.postgres import PostgresStore
from app.store.unit_of_work import UnitOfWork
from tests.contract.sandbox_calendars import Calendars, calendars
from tests.contract.sandbox_walk import CLIENT_IDS, REAL_ORIGINS, SECRETS, clients
from tests.fake_provider import RecordingNudge
from tests.fakes import OpenGate

FEATURES = (Feature.IDENTITY, Feature.CALENDAR_READ)
PUBLIC_URL = "http://localhost:8000"
SPREAD = 0.5
CONFIRM_AFTER_S = 60.0


@dataclass
class MovableClock:
    """The real time plus an offset. The database has its own clock and is not moved."""

    offset: timedelta = timedelta()

    def __call__(self) -> datetime:
        """Return now, aware UTC."""
        return datetime.now(UTC) + self.offset


class ObservedClient(OutboundClient):
    """The real outbound client, which remembers what it was asked for and lets a test act before each call."""

    def __init__(self, routes):
        super().__init__(routes)
        self.asked: list[str] = []
        self.before: Callable[[str], None] = lambda _url: None

    def request(self, method, url, **options):
        self.asked.append(url)
        self.before(url)
        return super().request(method, url, **options)


class ObservedStore(PostgresStore):
    """The real store, which lets a test act at the end of each write transaction, before it is committed."""

    def __init__(self, url):
        super().__init__(url)
        self.before_commit: Callable[[UnitOfWork], None] = lambda _tx: None

    @contextmanager
    def transaction(self) -> Iterator[UnitOfWork]:
        with super().transaction() as tx:
            yield tx
            self.before_commit(tx)


@dataclass
class House:
    """One installation and one sandbox."""

    sandbox: Calendars
    store: ObservedStore
    database_url: str
    http: ObservedClient
    clock: MovableClock
    nudge: RecordingNudge
    grants: Grants
    lists: CalendarLists
    sync: CalendarSync
    checks: CalendarChecks
    channels: Channels
    notifications: Notifications
    due: DueWork
    mailboxes: list[Mailbox] = field(default_factory=list)

    @property
    def running(self) -> RunningSandbox:
        return self.sandbox.running

    def connect(self, provider: str, account: str, features: tuple[Feature, ...] = FEATURES) -> Mailbox:
        """Connect an account as a consent would, without its pages, and read its calendar list."""
        scopes = scopes_for(provider, features)
        answer = self._tokens(provider, account, scopes)
        now = self.clock()
        identity = Identity(f"https://{provider}.test", account, None, f"{account}@example.test", account)
        with self.store.transaction() as tx:
            person = tx.people.sign_in(provider, identity, now)
        request = AuthorizationRequest(
            person.id, b"state", b"browser", person.id, None, provider, Purpose.CONNECT, features, (), "/", b"",
            now, now,
        )  # fmt: skip
        stored = self.grants.store_consent(request, self.sync.providers.get(provider), answer, identity)
        mailbox = Mailbox(self, provider, account, stored.connection.id)
        self.mailboxes.append(mailbox)
        mailbox.read_list()
        return mailbox

    def _tokens(self, provider, account, scopes) -> TokenAnswer:
        state = self.running.state
        with state.lock:
            grant = state.grants.allow(provider, account, CLIENT_IDS[provider], set(scopes), state.clock.now())
            access = issue_access(state, grant, set(scopes), prefix="", lifetime_s=3600)
            refresh = issue_refresh(
                state, grant, set(scopes), prefix="", family=secrets.token_hex(8), covers_whole_grant=True
            )
        return TokenAnswer(Secret(access), Secret(refresh), None, 3600, " ".join(scopes))

    def fault(self, operation: str, kind: FaultKind, **members) -> None:
        """Script a fault of the sandbox."""
        self.running.state.faults.add(Fault(operation, kind, **members))

    def forward(self, span: timedelta) -> None:
        """Move our clock and the sandbox's; access tokens of before are over then."""
        self.clock.offset += span
        self.running.state.clock.advance(span.total_seconds())


@dataclass
class Mailbox:
    """One connected account, at the sandbox and here."""

    house: House
    provider: str
    account: str
    connection_id: UUID

    def read_list(self) -> int:
        return self.house.lists.read(self.connection_id)

    def calendars(self) -> tuple[CalendarRow, ...]:
        """Return the stored calendars, the own one first."""
        with self.house.store.reading() as tx:
            return tx.calendars.of_connection(self.connection_id)

    def main(self) -> CalendarRow:
        return self.calendars()[0]

    def sync(self, calendar: CalendarRow | None = None) -> SyncOutcome:
        """Sync one calendar, the own one unless another is given."""
        outcome = self.house.sync.sync((calendar or self.main()).id)
        assert outcome is not None, "somebody else holds the lease"
        return outcome

    def edit(self, action: str, **members):
        """Change the own calendar (or ``calendar``) through the sandbox's control interface."""
        return self.house.sandbox.control(
            "/events", provider=self.provider, account=self.account, action=action, **members
        )

    def add(self, body=None, **members) -> str:
        """Add an event and return its id at the sandbox."""
        return self.edit("add", **({"body": body} if body else {}), **members)["id"]

    def list_edit(self, action: str, **members):
        """Add, rename or remove a calendar at the sandbox; return its entry."""
        return self.house.sandbox.control(
            "/calendars", provider=self.provider, account=self.account, action=action, **members
        )

    def new_calendar(self) -> CalendarRow:
        """Make an empty calendar at the sandbox and learn of it."""
        entry = self.list_edit("add", name=f"Calendar {secrets.token_hex(4)}")
        self.read_list()
        return next(row for row in self.calendars() if row.provider_id == entry["id"])

    def caller(self):
        """Return a session that may write, for what the control interface has no words for."""
        maker = self.house.sandbox.google if self.provider == "google" else self.house.sandbox.graph
        return maker(self.account)

    def at_sandbox(self, calendar: CalendarRow | None = None) -> Calendar:
        """Return the sandbox's own record of a calendar; take its lock around changes."""
        box = side_of(self.house.running.app).world.mailbox(self.provider, self.account)
        return box.calendars[(calendar or self.main()).provider_id]


@contextmanager
def house(database_url: str, keyring_file, **sandbox_settings) -> Iterator[House]:
    """Serve a sandbox and build the use cases on a database; closes both."""
    settings = SyncSettings(**sandbox_settings.pop("sync", {}))
    push_enabled = sandbox_settings.pop("push_enabled", True)
    public_url = sandbox_settings.pop("public_url", PUBLIC_URL)
    with calendars(clients=clients(), **sandbox_settings) as sandbox:
        store = ObservedStore(database_url)
        http = ObservedClient(dict.fromkeys(REAL_ORIGINS, sandbox.base_url))
        try:
            yield _built(
                sandbox, store, http, keyring_file, database_url=database_url, settings=settings,
                push_enabled=push_enabled, public_url=public_url,
            )  # fmt: skip
        finally:
            http.close()
            store.close()


def _built(sandbox, store, http, keyring_file, *, database_url, settings, push_enabled, public_url) -> House:
    clock, nudge = MovableClock(), RecordingNudge()
    sealer = build_sealer(Keyring.load(keyring_file))
    registered = [
        ProviderSettings(key=kind, kind=kind, display_name=kind, client_id=CLIENT_IDS[kind],
                         client_secret=Secret(SECRETS[kind]))
        for kind in ("google", "microsoft")
    ]  # fmt: skip
    providers = build_providers(registered, http, public_url, clock)
    escrow = EscrowFiles(keyring_file.parent)
    refresher = Refresher(
        store, providers, sealer, OpenGate(), escrow, clock, lambda: SPREAD, str(uuid4()), CONFIRM_AFTER_S
    )
    tokens = AccessTokens(store, refresher, sealer, clock)
    sync = CalendarSync(store, providers, tokens, clock, lambda: SPREAD, settings)
    return House(
        sandbox=sandbox,
        store=store,
        database_url=database_url,
        http=http,
        clock=clock,
        nudge=nudge,
        grants=Grants(store, sealer, nudge, clock, lambda: SPREAD),
        lists=CalendarLists(store, providers, tokens, nudge, clock, lambda: SPREAD),
        sync=sync,
        checks=CalendarChecks(store, providers, tokens, sync, CallPace(), clock, lambda: SPREAD),
        channels=Channels(
            store,
            providers,
            tokens,
            ChannelTokens(sealer),
            nudge,
            clock,
            lambda: SPREAD,
            public_url,
            push_enabled=push_enabled,
        ),
        notifications=Notifications(store, ChannelTokens(sealer), nudge, clock),
        due=DueWork(store, clock, providers, OpenGate()),
    )


def keyring_text() -> str:
    """Return a key ring file with one fresh key."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return f'{{"primary": "k1", "keys": {{"k1": "{key}"}}}}'
