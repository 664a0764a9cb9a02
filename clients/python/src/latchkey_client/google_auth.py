"""Use a token with Google's client libraries. Needs the extra `google`."""

from __future__ import annotations

import threading
from collections.abc import MutableMapping
from datetime import datetime

from google.auth.credentials import Credentials
from google.auth.transport import Request

from latchkey_client.client import LatchkeyClient
from latchkey_client.tokens import Token, TokenRequest

MIN_VALIDITY_S = 240
"""google-auth holds a token with less than 225 s left for expired; with less than that every call would renew."""


class GoogleCredentials(Credentials):
    """Credentials that get their tokens from Latchkey.

    Google's transports ask for a refresh when a token is about to end, and after an answer of 401. In the second case
    the rejection is reported, so that another token comes although the first one has not ended.
    """

    def __init__(self, client: LatchkeyClient, request: TokenRequest, *, min_validity: int = MIN_VALIDITY_S) -> None:
        """Use tokens of `request` that last at least `min_validity` seconds."""
        super().__init__()  # type: ignore[no-untyped-call]  # google-auth leaves it untyped
        self.token: str | None = None
        self.expiry: datetime | None = None
        """Naive UTC, as google-auth wants it."""
        self._client, self._request, self._min_validity = client, request, min_validity
        self._current: Token | None = None
        # Threads may share credentials: only the thread whose request was refused knows with which token.
        self._sent = threading.local()

    def refresh(self, request: Request) -> None:  # noqa: ARG002 - Google's transport; the client has its own
        """Get a token that serves. Raises `LatchkeyError`."""
        current = self._current
        if current is not None and self.valid and getattr(self._sent, "token", None) == current.value:
            self._client.rejected(current)
        self._current = token = self._client.token_for(self._request, min_validity=self._min_validity)
        self.expiry = token.expires_at.replace(tzinfo=None)
        self.token = token.value

    def apply(self, headers: MutableMapping[str, str], token: str | None = None) -> None:
        """Add the token to a request's headers."""
        self._sent.token = token or self.token
        super().apply(headers, token)  # type: ignore[no-untyped-call]  # as above
