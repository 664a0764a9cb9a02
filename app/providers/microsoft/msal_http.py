"""The HTTP side of msal: its requests leave through ``OutboundClient``, its answers stay with us.

msal remembers failures and answers retries from memory, logs a body it cannot parse, raises on 5xx and on broken
JSON, and keeps every token it sees in a cache. So each call gets an application of its own with empty memories,
and msal sees the status of a token answer but not its content: no token can end up in its cache, its log or an
exception. The content is read by the reader all providers share. Source: msal 1.39 as read and run.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msal.exceptions import MsalServiceError

from app.domain.errors import ProviderUnavailable
from app.ports.surroundings import Clock
from app.providers.http import OutboundClient, Reply
from app.providers.token_endpoint import DEADLINE_S, MAX_BYTES

DISCOVERY_MAX_BYTES = 256 * 1024
DISCOVERY_LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class MSALResponse:
    """An answer in the shape msal reads."""

    status_code: int
    text: str = field(repr=False)
    headers: Mapping[str, str]

    def raise_for_status(self) -> None:
        """Raise msal's own error for a failure, as its internals expect."""
        if self.status_code >= 400:
            raise MsalServiceError(f"http_{self.status_code}", error=None, error_description=None)


class DiscoveryCache:
    """Remembers good discovery answers for a day, for all calls of one provider."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[datetime, MSALResponse]] = {}
        self._lock = threading.Lock()

    def get(self, url: str) -> MSALResponse | None:
        """Return what is remembered for ``url``; null when nothing fresh is."""
        with self._lock:
            kept = self._kept.get(url)
        return kept[1] if kept and self._clock() - kept[0] < DISCOVERY_LIFETIME else None

    def put(self, url: str, response: MSALResponse) -> None:
        """Remember a good answer."""
        with self._lock:
            self._kept[url] = (self._clock(), response)


class MSALTransport:
    """What msal calls instead of a ``requests`` session, made for one token call.

    ``token_reply`` is the provider's untouched answer; null until the call was made.
    """

    def __init__(self, http: OutboundClient, discovery: DiscoveryCache) -> None:
        self._http = http
        self._discovery = discovery
        self.token_reply: Reply | None = None

    def get(
        self, url: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> MSALResponse:
        """Fetch a discovery document."""
        known = self._discovery.get(url)
        if known is not None:
            return known
        reply = self._http.request(
            "GET",
            url,
            params=dict(params or {}),
            headers=dict(headers or {}),
            max_bytes=DISCOVERY_MAX_BYTES,
            accept_encoding_identity=True,
        )
        if reply.status != 200:
            raise ProviderUnavailable(f"discovery_http_{reply.status}")
        response = MSALResponse(reply.status, reply.body.decode(errors="replace"), dict(reply.headers))
        self._discovery.put(url, response)
        return response

    def post(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> MSALResponse:
        """Make the token call, once; msal is told the status and an empty object."""
        if self.token_reply is not None:
            raise ProviderUnavailable("second_call")
        self.token_reply = self._http.request(
            "POST",
            url,
            params=dict(params or {}),
            headers=dict(headers or {}),
            form={name: _text(value) for name, value in (data or {}).items()},
            max_bytes=MAX_BYTES,
            deadline_s=DEADLINE_S,
            accept_encoding_identity=True,
        )
        return MSALResponse(self.token_reply.status, "{}", {})

    def close(self) -> None:
        """Do nothing: the connections belong to the shared client."""


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
