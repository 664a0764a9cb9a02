"""The web edge over real use cases, store and cipher, a provider in memory, services, and browsers to open links."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from urllib.parse import parse_qs, quote_plus, urlsplit
from uuid import UUID, uuid4

import pytest
from flask import Flask

from app.domain.errors import InvalidClient
from app.domain.features import Feature
from app.domain.people import Service
from app.domain.policies import Policy, Terms
from app.services.channel_tokens import ChannelTokens
from app.services.channels import Channels
from app.services.connect_link_visits import ConnectLinkVisits
from app.services.connect_links import ConnectLinks
from app.services.connections import Connections
from app.services.disconnect import Disconnect
from app.web.application import create_app
from app.web.settings import WebSettings
from tests.fake_provider import ADA
from tests.fakes import FakeServices
from tests.integration.services.conftest import House
from tests.integration.services.conftest import house as build_house
from tests.integration.services.conftest import keyring_file as make_keyring_file
from tests.integration.web.conftest import PUBLIC_URL, Browser

RETURN_URI = "https://assistant.example.com/connected?tenant=7"
BRUNO = replace(ADA, subject="subject-2", email="bruno@example.com", name="Bruno")
HOME_ACCOUNT = replace(ADA, subject="subject-9", email="ada.home@example.com", name="Ada at home")


house = build_house
keyring_file = make_keyring_file


@dataclass
class KnownClients:
    """Services that prove themselves with their own name as the secret."""

    services: dict[str, Service] = field(default_factory=dict)

    def authenticate(self, name: str, secret: str) -> Service:
        if name not in self.services or secret != name:
            raise InvalidClient("secret")
        return self.services[name]


@dataclass
class Installation(FakeServices):
    """The use cases a link needs, for real; the rest stays a stand-in."""

    connect_link_visits: ConnectLinkVisits | None = None


@dataclass
class Desk:
    """Everything a test of links works with."""

    house: House
    app: Flask
    links: ConnectLinks
    visits: ConnectLinkVisits
    clients: KnownClients

    def service(self, name: str, *features: Feature, provider: str | None = "google") -> Service:
        """Register a service that may use ``features`` and send people back to ``RETURN_URI``."""
        service, now = Service(uuid4(), name), self.house.clock()
        with self.house.store.transaction() as tx:
            tx.services.add(service.id, name, now)
            if features:
                tx.policies.add(Policy(uuid4(), service.id, Terms(provider, frozenset(features), act_as=True)), now)
        self.links.allow_return(name, RETURN_URI)
        self.clients.services[name] = service
        return service

    def call(self, method: str, path: str, *, by: str = "assistant", **options: object):
        """Call the API as a service; ``json=`` is the body."""
        pair = base64.b64encode(f"{quote_plus(by)}:{quote_plus(by)}".encode()).decode()
        client = self.app.test_client(use_cookies=False)
        headers = {"Authorization": f"Basic {pair}"}
        return client.open(path, method=method, base_url=PUBLIC_URL, headers=headers, **options)

    def make(self, person_id: UUID | None = None, *, by: str = "assistant", **changes: object) -> Link:
        """Make a link for a person; for nobody in particular when none is given, then the host must complete it."""
        body = {"provider": "google", "features": ["calendar.read"], "return_uri": RETURN_URI}
        body |= {"completion": "host"} if person_id is None else {"person": {"id": str(person_id)}}
        answer = self.call("POST", "/v1/connect-links", by=by, json=body | changes)
        assert answer.status_code == 201, answer.json
        return Link(UUID(answer.json["id"]), answer.json["connect_uri"].removeprefix(PUBLIC_URL))

    def state(self, link: Link, *, by: str = "assistant") -> dict[str, object]:
        answer = self.call("GET", f"/v1/connect-links/{link.id}", by=by)
        assert answer.status_code == 200, answer.json
        return answer.json

    def complete(self, link: Link, *, by: str = "assistant"):
        return self.call("POST", f"/v1/connect-links/{link.id}/complete", by=by)

    def browser(self, identity=ADA) -> PersonsBrowser:
        """Return a fresh browser in which somebody has signed in."""
        browser = PersonsBrowser(self)
        browser.sign_in(identity)
        return browser

    def later(self, **length: float) -> None:
        self.house.clock.advance(timedelta(**length).total_seconds())

    def rows(self, table: str, columns: str = "count(*)") -> list[tuple[object, ...]]:
        with self.house.store.reading() as tx:
            return [tuple(row) for row in tx._connection.exec_driver_sql(f"SELECT {columns} FROM {table}")]  # noqa: S608

    def audited(self) -> list[str]:
        """Return the kinds of events about links, oldest first."""
        events = "audit_events WHERE starts_with(kind, 'connect_link') ORDER BY id"
        return [kind for (kind,) in self.rows(events, "kind")]

    def exchanges(self) -> int:
        """Return how often a code was redeemed."""
        return self.house.provider.calls.count("exchange")


@dataclass(frozen=True)
class Link:
    """A link as its service knows it."""

    id: UUID
    address: str

    @property
    def page(self) -> str:
        return f"/connect-links/{self.id}"


class PersonsBrowser(Browser):
    """A browser with somebody in front of it."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.app)
        self.desk = desk

    def sign_in(self, identity=ADA, page: str = "/"):
        """Sign in from the form on ``page``; return where that leads."""
        self.desk.house.provider.identity = identity
        return self.come_back(self.submit(page, "/sign-in/google", {"return_to": page}))

    def person_id(self) -> UUID:
        with self.desk.house.store.reading() as tx:
            person = tx.people.known_as(self.identity_now.issuer, self.identity_now.subject)
        assert person is not None
        return person.id

    @property
    def identity_now(self):
        return self.desk.house.provider.identity

    def open(self, link: Link):
        """Open a link's address and follow it to the page."""
        opened = self.get(link.address)
        return self.get(opened.headers["Location"]) if opened.status_code == 303 else opened

    def confirm(self, link: Link):
        """Open a link and press the button; return the page that leads to the provider."""
        self.open(link)
        return self.submit(link.page, link.page)

    def form_token(self, page: str = "/connect") -> dict[str, str]:
        """Return the token of this browser's forms, as a field to send."""
        found = re.search(r'name="csrf_token" value="([0-9a-f]+)"', self.get(page).get_data(as_text=True))
        assert found, f"no form on {page}"
        return {"csrf_token": found.group(1)}

    def come_back(self, leaving, *, error: str | None = None):
        """Come back from the provider that ``leaving`` leads to, with its answer."""
        return self.get(callback_path(leaving, error))

    def use(self, link: Link, identity=HOME_ACCOUNT):
        """Go through a whole link and connect the account ``identity``."""
        leaving = self.confirm(link)
        self.desk.house.provider.identity = identity
        return self.come_back(leaving)


def callback_path(leaving, error: str | None = None) -> str:
    assert leaving.status_code == 200, leaving.get_data(as_text=True)
    found = re.search(r'class="button main" href="([^"]+)"', leaving.get_data(as_text=True))
    assert found, "the page leads nowhere"
    state = parse_qs(urlsplit(html.unescape(found.group(1))).query)["state"][0]
    return f"/callback/google?state={state}&" + (f"error={error}" if error else "code=co")


def outcome_of(answer) -> dict[str, str]:
    """Return what the service is told by the browser that comes back to it."""
    assert answer.status_code == 303
    address = answer.headers["Location"]
    assert address.startswith(f"{RETURN_URI}&")
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def title_of(answer) -> str:
    return html.unescape(re.search(r"<h1>(.*?)</h1>", answer.get_data(as_text=True), re.DOTALL).group(1))


@pytest.fixture
def desk(house: House) -> Iterator[Desk]:
    channels = Channels(
        house.store, house.providers, house.tokens, ChannelTokens(house.sealer), house.nudge, house.clock, lambda: 0.5,
        PUBLIC_URL, push_enabled=False,
    )  # fmt: skip
    disconnect = Disconnect(house.store, house.providers, house.sealer, channels, house.tokens, house.clock)
    links, clients = ConnectLinks(house.store, disconnect, house.nudge, house.clock), KnownClients()
    visits = ConnectLinkVisits(house.store, house.authorization, links, house.clock)
    services = Installation(
        providers=house.providers,
        sessions=house.sessions,
        authorization=house.authorization,
        connections=Connections(house.store, house.providers),
        disconnect=disconnect,
        clients=clients,
        connect_links=links,
        connect_link_visits=visits,
    )
    app = create_app(services, WebSettings(PUBLIC_URL, b"k" * 32, house.clock))
    desk = Desk(house, app, links, visits, clients)
    desk.service("assistant", Feature.CALENDAR_READ)
    return desk


@pytest.fixture
def ada(desk: Desk) -> PersonsBrowser:
    """Ada's browser."""
    return desk.browser()
