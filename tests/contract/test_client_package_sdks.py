"""Google's and Microsoft's own SDKs read the sandbox's calendars through the client package, over many token lifetimes.

The sandbox's clock runs fast, so that a token of some minutes is dead at the provider a few seconds after it came; the
SDKs and Latchkey keep real time. What makes them agree is the validity that is asked for: google-auth lets a token go
with 225 seconds left, the callers here ask for one second more than that, and a token of 228 seconds is let go after
two, a few real seconds before its end at the provider.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httplib2
import httpx
import pytest
import requests
from google_auth_httplib2 import AuthorizedHttp
from googleapiclient.discovery import build
from kiota_abstractions.authentication import AnonymousAuthenticationProvider
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from msgraph import GraphServiceClient
from msgraph.graph_request_adapter import GraphRequestAdapter, options
from msgraph_core import GraphClientFactory

from latchkey_client import AsyncLatchkeyClient, ClientSecret, Connection, LatchkeyClient, TokenRequest
from latchkey_client.azure_core import AsyncAzureCredential, AzureCredential
from latchkey_client.google_auth import GoogleCredentials
from latchkey_client.httpx_auth import AsyncHttpxAuth
from tests.contract.conftest import LONG_S

# Warned about inside the SDK, when it loads its own request builders.
pytestmark = [
    pytest.mark.filterwarnings("ignore:GetQueryParameters is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This class is deprecated:DeprecationWarning"),
]

LIFETIMES = 20
MIN_VALIDITY_S = 226
LIFETIME_S = 228
SPEED = 30
"""Sandbox seconds per second: a token lives 7.6 real seconds at the provider."""
PAUSE_S = 0.2
GIVE_UP_S = 120
REFUSALS = 2


class Seen:
    """What went over the wire to a provider: fingerprints of tokens, in order, and the statuses that came back."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()

    def note(self, authorization: str, status: int) -> None:
        token = authorization.removeprefix("Bearer ")
        fingerprint = hashlib.sha256(token.encode()).hexdigest()[:12]
        with self._lock:
            self._tokens[fingerprint] = token
            self.calls.append((fingerprint, status))

    def fingerprints(self) -> list[str]:
        """Return distinct tokens, oldest first."""
        return list(self._tokens)

    def statuses(self) -> set[int]:
        return {status for _, status in self.calls}

    def dead(self, url: str) -> list[str]:
        """Return the tokens that the provider does not take any more."""
        bearers = {name: {"Authorization": f"Bearer {token}"} for name, token in self._tokens.items()}
        statuses = {name: requests.get(url, headers=bearer, timeout=30).status_code for name, bearer in bearers.items()}
        return [name for name, status in statuses.items() if status == 401]


class WatchedHttp(httplib2.Http):
    """Google's transport, with its traffic noted."""

    def __init__(self, seen: Seen) -> None:
        super().__init__(timeout=30)
        self._seen = seen

    def request(self, uri, method="GET", body=None, headers=None, **more):
        response, content = super().request(uri, method, body, headers, **more)
        self._seen.note(headers["authorization"], response.status)
        return response, content


@pytest.fixture
def connected(product):
    """A function that connects an account and returns what to ask for; each test has accounts of its own."""
    person = product.http()
    person.sign_in("acme", "ada")

    def connect(provider, account):
        connection_id = person.connect(provider, account, "calendar.read")
        return TokenRequest(Connection(connection_id), provider, features=("calendar.read",), purpose="demo")

    return connect


@pytest.fixture
def fast(product) -> Iterator[None]:
    """Short tokens at the providers, whose clock may be made fast."""
    product.control("settings", access_token_lifetime_s=LIFETIME_S)
    yield
    told = product.control("clock", speed=1)
    # Back to the real time: who signs in later must not come from the future.
    ahead = datetime.fromisoformat(told["now"]) - datetime.now(UTC)
    product.control("clock", advance_s=-ahead.total_seconds())
    product.control("settings", access_token_lifetime_s=LONG_S)


@pytest.fixture
def client(product) -> Iterator[LatchkeyClient]:
    with LatchkeyClient(product.public_url, service(product), timeout_s=30) as client:
        yield client


def service(product):
    return ClientSecret("demo", product.service_secret)


@contextmanager
def google_calendar(product, credentials, seen):
    endpoint = {"api_endpoint": f"{product.sandbox_url}/calendar/v3/"}
    http = AuthorizedHttp(credentials, http=WatchedHttp(seen))
    with build("calendar", "v3", http=http, client_options=endpoint, static_discovery=True) as calendar:
        yield calendar


def read_google(calendar):
    """Read a calendar; return the number of its events."""
    return len(calendar.events().list(calendarId="primary", maxResults=50).execute()["items"])


@contextmanager
def graph_transport(seen, auth=None):
    """Yield Microsoft's transport, with its traffic noted."""

    async def noted(response):
        seen.note(response.request.headers.get("Authorization", ""), response.status_code)

    yield httpx.AsyncClient(auth=auth, trust_env=False, timeout=30, event_hooks={"response": [noted]})


async def with_graph(product, seen, work, *, credential=None, auth=None):
    """Run `work` with a Graph client of this product's sandbox."""
    host = urlsplit(product.sandbox_url).hostname
    provider = AnonymousAuthenticationProvider()
    if credential is not None:
        provider = AzureIdentityAuthenticationProvider(credential, allowed_hosts=[host])
    with graph_transport(seen, auth) as transport:
        async with transport as http:
            adapter = GraphRequestAdapter(
                provider, GraphClientFactory.create_with_default_middleware(client=http, options=options)
            )
            adapter.base_url = f"{product.sandbox_url}/v1.0"
            return await work(GraphServiceClient(request_adapter=adapter))


async def read_graph(graph):
    """Read a calendar; return the number of its events."""
    return len((await graph.me.calendar.events.get()).value)


def read_google_for_lifetimes(product, client, wanted, seen):
    credentials = GoogleCredentials(client, wanted, min_validity=MIN_VALIDITY_S)
    give_up_at = time.monotonic() + GIVE_UP_S
    with google_calendar(product, credentials, seen) as calendar:
        while len(seen.fingerprints()) <= LIFETIMES and time.monotonic() < give_up_at:
            assert read_google(calendar) > 0
            time.sleep(PAUSE_S)


def read_graph_for_lifetimes(product, wanted, seen):
    async def work(graph):
        give_up_at = time.monotonic() + GIVE_UP_S
        while len(seen.fingerprints()) <= LIFETIMES and time.monotonic() < give_up_at:
            assert await read_graph(graph) > 0
            await asyncio.sleep(PAUSE_S)

    async def run():
        async with AsyncLatchkeyClient(product.public_url, service(product), timeout_s=30) as client:
            credential = AsyncAzureCredential(client, wanted, min_validity=MIN_VALIDITY_S)
            await with_graph(product, seen, work, credential=credential)

    asyncio.run(run())


def test_both_sdks_read_over_twenty_token_lifetimes(product, connected, client, fast):
    google, graph = Seen(), Seen()
    wanted = {"google": connected("google", "ada"), "microsoft": connected("microsoft", "chiara")}
    product.control("clock", speed=SPEED)
    with ThreadPoolExecutor(2) as pool:
        reading = [
            pool.submit(read_google_for_lifetimes, product, client, wanted["google"], google),
            pool.submit(read_graph_for_lifetimes, product, wanted["microsoft"], graph),
        ]
        for done in reading:
            done.result()
    product.control("clock", advance_s=LIFETIME_S)

    assert len(google.fingerprints()) > LIFETIMES
    assert len(graph.fingerprints()) > LIFETIMES
    assert graph.statuses() == {200}
    # Google's transport repeats what was refused; it is to happen seldom, when this machine stands still.
    assert [status for _, status in google.calls].count(200) >= len(google.calls) * 0.9
    assert google.dead(f"{product.sandbox_url}/calendar/v3/users/me/calendarList") == google.fingerprints()
    assert graph.dead(f"{product.sandbox_url}/v1.0/me") == graph.fingerprints()


def test_google_sdk_replaces_tokens_that_died_early(product, connected, client):
    seen, credentials = Seen(), GoogleCredentials(client, connected("google", "bruno"))
    with google_calendar(product, credentials, seen) as calendar:
        read_google(calendar)
        for _ in range(REFUSALS):
            product.control("grants/expire", provider="google", account="bruno")
            assert credentials.valid
            assert read_google(calendar) > 0

    assert len(seen.fingerprints()) == REFUSALS + 1
    assert [status for _, status in seen.calls] == [200] + [401, 200] * REFUSALS


def test_graph_sdk_replaces_tokens_that_died_early(product, connected):
    seen, wanted = Seen(), connected("microsoft", "devon")

    async def work(graph):
        await read_graph(graph)
        for _ in range(REFUSALS):
            product.control("grants/expire", provider="microsoft", account="devon")
            assert await read_graph(graph) > 0

    async def run():
        async with AsyncLatchkeyClient(product.public_url, service(product), timeout_s=30) as client:
            await with_graph(product, seen, work, auth=AsyncHttpxAuth(client, wanted))

    asyncio.run(run())

    assert len(seen.fingerprints()) == REFUSALS + 1
    assert [status for _, status in seen.calls] == [200] + [401, 200] * REFUSALS


def test_graph_sdk_gets_another_token_for_a_claims_challenge(product, connected, client):
    seen, credential = Seen(), AzureCredential(client, connected("microsoft", "ada-personal"))

    async def work(graph):
        await read_graph(graph)
        product.control("faults", operation="graph.events", kind="claims_challenge")
        return await read_graph(graph)

    assert asyncio.run(with_graph(product, seen, work, credential=credential)) > 0
    assert len(seen.fingerprints()) == 2
