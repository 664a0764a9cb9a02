"""Get provider access tokens from Latchkey in threads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeVar

import httpx

from latchkey_client.cache import TokenCache
from latchkey_client.conversations import ask_why, get_service_token, get_token
from latchkey_client.credentials import ServiceCredential
from latchkey_client.deadlines import Deadline
from latchkey_client.explanations import Explanation
from latchkey_client.flights import ThreadFlights
from latchkey_client.service_tokens import HeldServiceToken
from latchkey_client.tokens import Token, TokenRequest
from latchkey_client.transport import Body, ConnectionLost, answer_from, http_options, timeouts, translated_errors
from latchkey_client.users import User
from latchkey_client.wire import NO_ANSWER, Answer, Call, Conversation, Pause, Step

DEFAULT_TIMEOUT_S = 15.0
"""Longer than Latchkey lets a caller wait for a refresh that somebody else makes."""

T = TypeVar("T")


class LatchkeyClient:
    """One service's way to provider access tokens. Make one per process, after forking; share it between threads.

    Tokens are kept in memory until shortly before their end; callers who want the same one at the same time share one
    call. Every method raises `LatchkeyError`.
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
        """Talk to the Latchkey at `address` (https; http for loopback) as the service of `credential`.

        `issuer`: what Latchkey calls itself, where that differs from the address. `timeout_s`: total of one call with
        all its attempts. `ca_file`: PEM file of the authority to trust; null for the public ones. Raises ValueError.
        """
        self._http = httpx.Client(**http_options(address, ca_file))
        self._credential, self._issuer = credential, issuer or address.rstrip("/")
        self._timeout_s = timeout_s
        self._cache, self._service_token = TokenCache(), HeldServiceToken()
        self._exchanges: ThreadFlights[Token] = ThreadFlights()
        self._renewals: ThreadFlights[str] = ThreadFlights()

    def token(  # noqa: PLR0913 - the parameters of the exchange, by keyword
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
        return self.token_for(request, min_validity=min_validity, timeout_s=timeout_s)

    def token_for(
        self, request: TokenRequest, *, min_validity: int | None = None, timeout_s: float | None = None
    ) -> Token:
        """Return a token as `token` does, for a request made before."""
        cached = self._cache.get(request, min_validity or 0)
        if cached is not None:
            return cached
        deadline = Deadline.after(self._timeout_s if timeout_s is None else timeout_s)
        # A caller who knows of a rejection must not be given what others asked for without knowing.
        key = (request, min_validity, self._cache.rejected_sha256(request))
        return self._exchanges.share(key, lambda: self._fetch(request, min_validity, deadline), deadline)

    def explain(  # noqa: PLR0913 - as `token`
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
        return self._hold(ask_why(request, min_validity, deadline), deadline)

    def rejected(self, token: Token) -> None:
        """Report that a provider answered 401 to `token`: the next call brings another one, or says why not."""
        self._cache.reject(token)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fetch(self, request: TokenRequest, min_validity: int | None, deadline: Deadline) -> Token:
        # Another thread may have landed between this one's look into the cache and its take-off.
        cached = self._cache.get(request, min_validity or 0)
        if cached is not None:
            return cached
        return self._hold(get_token(request, min_validity, self._cache, deadline), deadline)

    def _hold(self, conversation: Conversation[T], deadline: Deadline) -> T:
        """Carry a conversation to its end."""
        try:
            step = next(conversation)
            while True:
                step = conversation.send(self._take(step, deadline))
        except StopIteration as done:
            result: T = done.value
            return result

    def _take(self, step: Step, deadline: Deadline) -> Answer | str | None:
        if isinstance(step, Call):
            return self._send(step, deadline)
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        instead_of = step.instead_of
        token = self._service_token.get(instead_of)
        return token or self._renewals.share(instead_of, lambda: self._renew(instead_of, deadline), deadline)

    def _renew(self, instead_of: str | None, deadline: Deadline) -> str:
        text = self._service_token.get(instead_of)
        if text is None:
            token = self._hold(get_service_token(self._credential, self._issuer, deadline), deadline)
            self._service_token.put(token)
            text = token.value
        return text

    def _send(self, call: Call, deadline: Deadline) -> Answer:
        body, limits = Body(deadline), timeouts(deadline)
        try:
            with (
                translated_errors(),
                self._http.stream(
                    "POST", call.path, headers=call.headers, content=call.content, timeout=limits
                ) as response,
            ):
                for chunk in response.iter_bytes():
                    body.add(chunk)
                return answer_from(response, body)
        except ConnectionLost:
            return NO_ANSWER
