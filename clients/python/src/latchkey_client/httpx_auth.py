"""Use a token with httpx, in threads and in asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import httpx

from latchkey_client.async_client import AsyncLatchkeyClient
from latchkey_client.client import LatchkeyClient
from latchkey_client.tokens import Token, TokenRequest


class HttpxAuth(httpx.Auth):
    """Authorizes the requests of an `httpx.Client`; one that meets 401 is repeated once with another token."""

    def __init__(self, client: LatchkeyClient, request: TokenRequest, *, min_validity: int | None = None) -> None:
        """Use tokens of `request` that last at least `min_validity` seconds; null leaves that to Latchkey."""
        self._client, self._request, self._min_validity = client, request, min_validity

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the token, and another one after 401. Raises `LatchkeyError`."""
        token = self._client.token_for(self._request, min_validity=self._min_validity)
        response = yield _authorized(request, token)
        if response.status_code == 401:
            self._client.rejected(token)
            token = self._client.token_for(self._request, min_validity=self._min_validity)
            yield _authorized(request, token)

    def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:  # noqa: ARG002
        """Raise TypeError: waiting for a thread's client would stop the event loop."""
        raise TypeError("an httpx.AsyncClient needs AsyncHttpxAuth")


class AsyncHttpxAuth(httpx.Auth):
    """Authorizes the requests of an `httpx.AsyncClient`; one that meets 401 is repeated once with another token."""

    def __init__(self, client: AsyncLatchkeyClient, request: TokenRequest, *, min_validity: int | None = None) -> None:
        """Use tokens of `request` that last at least `min_validity` seconds; null leaves that to Latchkey."""
        self._client, self._request, self._min_validity = client, request, min_validity

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Add the token, and another one after 401. Raises `LatchkeyError`."""
        token = await self._client.token_for(self._request, min_validity=self._min_validity)
        response = yield _authorized(request, token)
        if response.status_code == 401:
            self._client.rejected(token)
            token = await self._client.token_for(self._request, min_validity=self._min_validity)
            yield _authorized(request, token)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:  # noqa: ARG002
        """Raise TypeError: a thread cannot wait for an event loop's client."""
        raise TypeError("an httpx.Client needs HttpxAuth")


def _authorized(request: httpx.Request, token: Token) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {token.value}"
    return request
