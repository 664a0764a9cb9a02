"""The one way out: every call to a provider, and nothing else, opens a connection here.

Each call has a total deadline, a byte cap after decoding and an address check. Redirects are returned, never
followed (a 307 would carry client secrets elsewhere); nothing is retried; neither proxies, ``.netrc`` nor CA
variables are read from the environment; cookies are not kept. Named origins can be routed to another address
from configuration, which is how development reaches the sandbox: only the address changes.

Source: RFC 9700 section 4.12 (redirects); OWASP SSRF prevention cheat sheet.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypedDict, Unpack
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.exceptions import DecodeError, HTTPError
from urllib3.response import BaseHTTPResponse

from app.domain.errors import ProviderUnavailable
from app.guard import refuse_inside_transaction
from app.providers.network_faults import fault_code
from app.providers.transport import Call, GuardedAdapter, Resolver, current_call, resolve_by_system

USER_AGENT = "Latchkey/0.1 (gzip)"
"""Google compresses only for agents whose name contains ``gzip``."""

DEFAULT_MAX_BYTES = 256 * 1024
DEFAULT_DEADLINE_S = 20.0
CONNECT_TIMEOUT_S = 3.0
LOWEST_FREE_PORT = 1024
_CHUNK_BYTES = 64 * 1024
_DEFAULT_PORTS = {"http": 80, "https": 443}


class RequestOptions(TypedDict, total=False):
    """What a call may carry; at most one of ``form`` and ``json_body``."""

    headers: Mapping[str, str]
    params: Mapping[str, str | list[str]]
    form: Mapping[str, str]
    json_body: object
    max_bytes: int
    """Cap on the decoded body; 256 KiB when absent."""
    deadline_s: float
    """For the whole call, connecting and reading included; 20 s when absent."""
    connect_timeout_s: float
    accept_encoding_identity: bool
    """Ask for an uncompressed body: for token, key and discovery endpoints."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer, redirects and errors included. The body may hold tokens, so ``repr`` leaves it out."""

    status: int
    headers: Mapping[str, str]
    """Case-insensitive."""
    body: bytes

    def __repr__(self) -> str:
        return f"Reply(status={self.status}, bytes={len(self.body)})"

    def retry_after_s(self) -> float | None:
        """Return ``Retry-After`` in seconds, also when it came as a date (RFC 9110 10.2.3); null when unusable."""
        value = self.headers.get("Retry-After", "").strip()
        if value.isascii() and value.isdigit():
            return float(value[:9])
        try:
            until = parsedate_to_datetime(value)
        except ValueError:
            return None
        aware = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max(0.0, (aware - datetime.now(UTC)).total_seconds())


def origin_of(url: str) -> str:
    """Return ``scheme://host[:port]`` in lower case, default ports left out. Raises ``ValueError`` for a broken URL."""
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("not an absolute http(s) URL")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port
    suffix = "" if port is None or port == _DEFAULT_PORTS[parts.scheme] else f":{port}"
    return f"{parts.scheme}://{host}{suffix}"


class OutboundClient:
    """Sends requests to providers. Safe to share between threads; connections are made after a fork, lazily.

    ``routes`` maps an origin to the base address that serves it; ``trusted_origins`` are those the operator allows
    on private addresses or plain HTTP (route targets count); ``ca_bundle`` replaces the packaged CA certificates.
    """

    def __init__(
        self,
        routes: Mapping[str, str] | None = None,
        ca_bundle: Path | None = None,
        user_agent: str = USER_AGENT,
        *,
        trusted_origins: Collection[str] = (),
        resolve: Resolver = resolve_by_system,
    ) -> None:
        self._routes = {origin_of(origin): target.rstrip("/") for origin, target in (routes or {}).items()}
        self._trusted = {origin_of(url) for url in (*self._routes.values(), *trusted_origins)}
        self._ca_bundle = ca_bundle
        self._user_agent = user_agent
        self._resolve = resolve
        self._lock = threading.Lock()
        self._adapter: HTTPAdapter | None = None
        self._adapter_pid = 0

    def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Reply:
        """Make one call and return its complete answer, whatever the status.

        Raises ``ProviderUnavailable`` with a code: ``dns``, ``connect``, ``tls``, ``address_refused`` (the request
        was never sent), ``timeout``, ``reset``, ``truncated``, ``too_large``, ``bad_encoding``, ``bad_http`` (it may
        have been). Raises ``NetworkInsideTransaction`` inside a database transaction.
        """
        refuse_inside_transaction()
        deadline_s = options.get("deadline_s", DEFAULT_DEADLINE_S)
        address = self.address_of(url)
        call = Call(time.monotonic() + deadline_s, origin_of(address) in self._trusted, self._resolve)
        mark = current_call.set(call)
        try:
            prepared = self._prepare(method, address, options)
            return self._send(prepared, call, options)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise ProviderUnavailable(fault_code(error)) from None
        finally:
            current_call.reset(mark)

    def address_of(self, url: str) -> str:
        """Return where a call to ``url`` really goes; raises ``ProviderUnavailable('address_refused')``.

        Refused: other schemes, credentials in the URL, plain HTTP and reserved ports outside trusted origins.
        """
        try:
            origin, parts = origin_of(url), urlsplit(url)
        except ValueError:
            raise ProviderUnavailable("address_refused") from None
        if "@" in parts.netloc:
            raise ProviderUnavailable("address_refused")
        target = self._routes.get(origin)
        if target is not None:
            base = urlsplit(target)
            return urlunsplit((base.scheme, base.netloc, base.path + parts.path, parts.query, ""))
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
        if origin not in self._trusted and (parts.scheme != "https" or (port != 443 and port < LOWEST_FREE_PORT)):
            raise ProviderUnavailable("address_refused")
        return urlunsplit((parts.scheme, parts.netloc, parts.path, parts.query, ""))

    def is_routed(self, url: str) -> bool:
        """Return whether configuration sends calls for the origin of ``url`` elsewhere."""
        return origin_of(url) in self._routes

    def close(self) -> None:
        """Close pooled connections; the next call opens new ones."""
        with self._lock:
            adapter, self._adapter = self._adapter, None
        if adapter is not None:
            adapter.close()

    def _prepare(self, method: str, address: str, options: RequestOptions) -> requests.PreparedRequest:
        encoding = "identity" if options.get("accept_encoding_identity") else "gzip"
        headers = {"User-Agent": self._user_agent, "Accept": "application/json", "Accept-Encoding": encoding}
        if options.get("form") is not None:
            # Token and revocation calls leave no idle connection behind: one that the server closes just as the
            # next call begins would make that call ambiguous, and a refresh token may be used once only.
            headers["Connection"] = "close"
        return requests.Request(
            method,
            address,
            headers=CaseInsensitiveDict({**headers, **options.get("headers", {})}),
            params=options.get("params"),
            data=options.get("form"),
            json=options.get("json_body"),
        ).prepare()

    def _send(self, prepared: requests.PreparedRequest, call: Call, options: RequestOptions) -> Reply:
        connect_s = min(options.get("connect_timeout_s", CONNECT_TIMEOUT_S), call.remaining_s())
        # Straight to the adapter: a session would keep cookies and read the environment.
        response = self._connections().send(prepared, stream=True, timeout=(connect_s, call.remaining_s()))
        try:
            body = _read(response.raw, options.get("max_bytes", DEFAULT_MAX_BYTES), call)
        except BaseException:
            response.raw.close()
            raise
        response.raw.release_conn()
        return Reply(response.status_code, response.headers, body)

    def _connections(self) -> HTTPAdapter:
        with self._lock:
            if self._adapter is None or self._adapter_pid != os.getpid():
                context = ssl.create_default_context(cafile=str(self._ca_bundle or DEFAULT_CA_BUNDLE_PATH))
                self._adapter, self._adapter_pid = GuardedAdapter(context), os.getpid()
            return self._adapter


def _read(raw: BaseHTTPResponse, max_bytes: int, call: Call) -> bytes:
    """Read the decoded body up to ``max_bytes``; the deadline is also checked between chunks that cost no wait."""
    chunks: list[bytes] = []
    size = 0
    while True:
        call.remaining_s()
        try:
            chunk = raw.read(_CHUNK_BYTES, decode_content=True)
        except DecodeError:
            raise ProviderUnavailable("bad_encoding") from None
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise ProviderUnavailable("too_large")
