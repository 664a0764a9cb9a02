"""Use a token with Microsoft's client libraries (`TokenCredential` of azure-core). Needs the extra `azure`.

The scopes these libraries ask with are not looked at: the features of the request decide. A claims challenge
(continuous access evaluation) means that Microsoft rejected the token before its end, and is reported as that. A plain
401 is not shown to credentials; where that matters, `AsyncHttpxAuth` under the library sees it.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from azure.core.credentials import AccessToken

from latchkey_client.async_client import AsyncLatchkeyClient
from latchkey_client.client import LatchkeyClient
from latchkey_client.tokens import Token, TokenRequest

MIN_VALIDITY_S = 300
"""azure-core asks for a new token when one has less than this left."""


class AzureCredential:
    """A `TokenCredential`; asked for every request, so it relies on the client's cache."""

    def __init__(self, client: LatchkeyClient, request: TokenRequest, *, min_validity: int = MIN_VALIDITY_S) -> None:
        """Use tokens of `request` that last at least `min_validity` seconds."""
        self._client, self._request, self._min_validity = client, request, min_validity
        self._given: Token | None = None

    def get_token(
        self,
        *scopes: str,  # noqa: ARG002 - see the module
        claims: str | None = None,
        tenant_id: str | None = None,  # noqa: ARG002 - the connection has its tenant
        **options: object,  # noqa: ARG002 - what other kinds of credentials understand
    ) -> AccessToken:
        """Return a token; with `claims` another one than before. Raises `LatchkeyError`."""
        if claims is not None and self._given is not None:
            self._client.rejected(self._given)
        self._given = token = self._client.token_for(self._request, min_validity=self._min_validity)
        return _access_token(token)


class AsyncAzureCredential:
    """An `AsyncTokenCredential`; asked for every request, so it relies on the client's cache."""

    def __init__(
        self, client: AsyncLatchkeyClient, request: TokenRequest, *, min_validity: int = MIN_VALIDITY_S
    ) -> None:
        """Use tokens of `request` that last at least `min_validity` seconds."""
        self._client, self._request, self._min_validity = client, request, min_validity
        self._given: Token | None = None

    async def get_token(
        self,
        *scopes: str,  # noqa: ARG002 - see the module
        claims: str | None = None,
        tenant_id: str | None = None,  # noqa: ARG002 - the connection has its tenant
        **options: object,  # noqa: ARG002 - what other kinds of credentials understand
    ) -> AccessToken:
        """Return a token; with `claims` another one than before. Raises `LatchkeyError`."""
        if claims is not None and self._given is not None:
            self._client.rejected(self._given)
        self._given = token = await self._client.token_for(self._request, min_validity=self._min_validity)
        return _access_token(token)

    async def close(self) -> None:
        """Close nothing: the client belongs to whoever made it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self.close()


def _access_token(token: Token) -> AccessToken:
    return AccessToken(token.value, int(token.expires_at.timestamp()))
