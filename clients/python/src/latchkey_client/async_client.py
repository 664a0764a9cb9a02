"""Get provider access tokens from Latchkey in an asyncio event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import Self, TypeVar

import httpx

from latchkey_client.cache import TokenCache
from latchkey_client.client import DEFAULT_TIMEOUT_S
from latchkey_client.conversations import ask_why, get_service_token, get_token
from latchkey_client.credentials import ServiceCredential
from latchkey_client.deadlines import Deadline
from latchkey_client.errors import TemporarilyUnavailable
from latchkey_client.explanations import Explanation
from latchkey_client.flights import TaskFlights
from latchkey_client.service_tokens import HeldServiceToken
from latchkey_client.tokens import Token, TokenRequest
from latchkey_client.transport import Body, ConnectionLost, answer_from, http_options, timeouts, translated_errors
from latchkey_client.users import User
from latchkey_client.wire import NO_ANSWER, Answer, Call, Conversation, Pause, Step

T = TypeVar("T")


class AsyncLatchkeyClient:
    """The same as `LatchkeyClient` for the tasks of one event loop.

    Every method raises `LatchkeyError`. A caller that is cancelled leaves the work to the next one who waits for it.
    """

    def __init__(
        self,
        address: str,
        credential: ServiceCredential,
        *,
        issuer: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        ca_file: str | None = None,
    ) -> None:
        """Take what `LatchkeyClient` takes; raises ValueError. The credential's file, if any, is read in the loop."""
        self._http = httpx.AsyncClient(**http_options(address, ca_file))
        self._credential, self._issuer = credential, issuer or address.rstrip("/")
        self._timeout_s = timeout_s
        self._cache, self._service_token = TokenCache(), HeldServiceToken()
        self._exchanges: TaskFlights[Token] = TaskFlights()
        self._renewals: TaskFlights[str] = TaskFlights()

    async def token(  # noqa: PLR0913 - the parameters of the exchange, by keyword
        self,
        user: User,
        provider: str,
        *,
        features: Sequence[str] = (),
        purpose: str | None = None,
        account: str | None = None,
        min_validity: int | None = None,
        timeout_s: float | None = None,
    ) -> Token:
        """Return a token of `user` at `provider`.

        `min_validity`: seconds it must last at least; null: a minute where the provider's tokens live that long. The
        other parameters are those of `TokenRequest`. `timeout_s`: total for this call; null: the client's.
        """
        request = TokenRequest(user, provider, features, purpose, account)
        return await self.token_for(request, min_validity=min_validity, timeout_s=timeout_s)

    async def token_for(
        self,
        request: TokenRequest,
        *,
        min_validity: int | None = None,
        timeout_s: float | None = None,
    ) -> Token:
        """Return a token as `token` does, for a request made before."""
        cached = self._cache.get(request, min_validity or 0)
        if cached is not None:
            return cached
        deadline = Deadline.after(self._timeout_s if timeout_s is None else timeout_s)
        # A caller who knows of a rejection must not be given what others asked for without knowing.
        key = (request, min_validity, self._cache.rejected_sha256(request))
        shared = self._exchanges.share(key, lambda: self._fetch(request, min_validity, deadline))
        return await _within(deadline, shared)

    async def explain(  # noqa: PLR0913 - as `token`
        self,
        user: User,
        provider: str,
        *,
        features: Sequence[str] = (),
        purpose: str | None = None,
        account: str | None = None,
        min_validity: int | None = None,
        timeout_s: float | None = None,
    ) -> Explanation:
        """Return whether `token` with the same arguments would bring one, and what stands in the way if not."""
        request = TokenRequest(user, provider, features, purpose, account)
        deadline = Deadline.after(self._timeout_s if timeout_s is None else timeout_s)
        return await _within(deadline, self._hold(ask_why(request, min_validity, deadline), deadline))

    def rejected(self, token: Token) -> None:
        """Report that a provider answered 401 to `token`: the next call brings another one, or says why not."""
        self._cache.reject(token)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _fetch(self, request: TokenRequest, min_validity: int | None, deadline: Deadline) -> Token:
        # Another task may have landed between this one's look into the cache and its take-off.
        cached = self._cache.get(request, min_validity or 0)
        if cached is not None:
            return cached
        return await self._hold(get_token(request, min_validity, self._cache, deadline), deadline)

    async def _hold(self, conversation: Conversation[T], deadline: Deadline) -> T:
        """Carry a conversation to its end."""
        try:
            step = next(conversation)
            while True:
                step = conversation.send(await self._take(step, deadline))
        except StopIteration as done:
            result: T = done.value
            return result

    async def _take(self, step: Step, deadline: Deadline) -> Answer | str | None:
        if isinstance(step, Call):
            return await self._send(step, deadline)
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        instead_of = step.instead_of
        token = self._service_token.get(instead_of)
        return token or await self._renewals.share(instead_of, lambda: self._renew(instead_of, deadline))

    async def _renew(self, instead_of: str | None, deadline: Deadline) -> str:
        text = self._service_token.get(instead_of)
        if text is None:
            token = await self._hold(get_service_token(self._credential, self._issuer, deadline), deadline)
            self._service_token.put(token)
            text = token.value
        return text

    async def _send(self, call: Call, deadline: Deadline) -> Answer:
        body, limits = Body(deadline), timeouts(deadline)
        try:
            with translated_errors():
                async with self._http.stream(
                    "POST", call.path, headers=call.headers, content=call.content, timeout=limits
                ) as response:
                    async for chunk in response.aiter_bytes():
                        body.add(chunk)
                    return answer_from(response, body)
        except ConnectionLost:
            return NO_ANSWER


async def _within(deadline: Deadline, work: Awaitable[T]) -> T:
    """Await work until the deadline. Raises `TemporarilyUnavailable` then."""
    try:
        async with asyncio.timeout(deadline.left_s()):
            return await work
    except TimeoutError:
        raise TemporarilyUnavailable("deadline") from None
