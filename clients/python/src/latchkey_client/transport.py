"""Reach Latchkey over HTTP: checked address, verified TLS, no redirects, bounded answers.

Proxies and authorities named in the environment are not used: this connection carries credentials.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypedDict

import httpx

from latchkey_client.deadlines import Deadline
from latchkey_client.errors import ProtocolError, TemporarilyUnavailable
from latchkey_client.wire import LONGEST_ANSWER_BYTES, Answer

_LONGEST_CONNECT_S = 3.0
"""One address that swallows packets must not use up the time in which another one would answer."""


class HttpOptions(TypedDict):
    """What both kinds of HTTP client are made with."""

    base_url: str
    verify: ssl.SSLContext | bool
    trust_env: bool
    follow_redirects: bool


def http_options(address: str, ca_file: str | None) -> HttpOptions:
    """Return the options for an address; `ca_file` (PEM) null trusts the public authorities.

    Raises ValueError for an address that is not https, unless it is this machine's own.
    """
    url = httpx.URL(address)
    if not url.host or url.query or url.userinfo or url.fragment:
        raise ValueError("the address is scheme, host and perhaps a path")
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.host)):
        raise ValueError("the address must be https; http is for loopback alone")
    verify = True if ca_file is None else ssl.create_default_context(cafile=ca_file)
    return {"base_url": address.rstrip("/"), "verify": verify, "trust_env": False, "follow_redirects": False}


def timeouts(deadline: Deadline) -> httpx.Timeout:
    """Return the time-outs of one call. Raises `TemporarilyUnavailable` when no time is left."""
    left_s = deadline.remaining_s()
    return httpx.Timeout(left_s, connect=min(left_s, _LONGEST_CONNECT_S))


class ConnectionLost(Exception):
    """The connection failed before a whole answer came; trying again does no harm."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn what httpx raises into `ConnectionLost` or a `LatchkeyError`; its own messages can hold addresses."""
    try:
        yield
    except (httpx.ConnectTimeout, httpx.NetworkError, httpx.RemoteProtocolError):
        raise ConnectionLost from None
    except httpx.TimeoutException:
        raise TemporarilyUnavailable("no_answer") from None
    except httpx.HTTPError as error:
        raise ProtocolError(f"the call failed: {type(error).__name__}") from None


@dataclass(slots=True)
class Body:
    """Collects an answer's body. Raises `ProtocolError` when it grows beyond bounds, or the deadline's error."""

    deadline: Deadline
    content: bytes = b""

    def add(self, chunk: bytes) -> None:
        """Append a piece."""
        self.deadline.remaining_s()
        self.content += chunk
        if len(self.content) > LONGEST_ANSWER_BYTES:
            raise ProtocolError("the answer is too long")


def answer_from(response: httpx.Response, body: Body) -> Answer:
    """Return a response whose body was collected."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, body.content)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
