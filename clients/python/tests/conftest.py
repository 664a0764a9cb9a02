"""A served fake, and one way to ask both kinds of client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from fake_latchkey import ADA, SECRET, FakeLatchkey, serving
from latchkey_client import AsyncLatchkeyClient, LatchkeyClient


@pytest.fixture
def latchkey() -> Iterator[FakeLatchkey]:
    with serving(FakeLatchkey()) as fake:
        yield fake


class Asker:
    """Asks a client for tokens without regard to its kind."""

    def __init__(self, latchkey, kind):
        self._runner = asyncio.Runner()
        self._kind, self._url, self._clients = kind, latchkey.url, []
        self.use()

    def use(self, credential=SECRET, url=None, **options):
        """Go on with a new client."""
        self.client = self._kind(url or self._url, credential, **options)
        self._clients.append(self.client)

    def token(self, user=ADA, provider="google", **options):
        return self._done(self.client.token(user, provider, **options))

    def rejected(self, token):
        self.client.rejected(token)

    def explain(self, user=ADA, provider="google", **options):
        return self._done(self.client.explain(user, provider, **options))

    def close(self):
        for client in self._clients:
            client.close() if isinstance(client, LatchkeyClient) else self._runner.run(client.aclose())
        self._runner.close()

    def _done(self, result):
        return self._runner.run(result) if asyncio.iscoroutine(result) else result


@pytest.fixture(params=[LatchkeyClient, AsyncLatchkeyClient], ids=["threads", "asyncio"])
def ask(latchkey, request) -> Iterator[Asker]:
    asker = Asker(latchkey, request.param)
    yield asker
    asker.close()


@pytest.fixture
def client(latchkey) -> Iterator[LatchkeyClient]:
    with LatchkeyClient(latchkey.url, SECRET, timeout_s=10) as client:
        yield client
