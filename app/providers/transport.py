"""Connections that know a total deadline and refuse addresses they should not reach.

``requests`` has a time limit per read, so an answer that drips one byte a second never ends; and it resolves a
name again at connect time, after any check. Both are mended here, below its adapter: one resolution, every
address judged, the connection made to exactly the judged address (SNI, certificate check and ``Host`` keep the
name), and every single read limited to what is left of the call's deadline.
"""

from __future__ import annotations

import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from http.client import HTTPResponse
from ipaddress import ip_address
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from app.domain.errors import ProviderUnavailable
from app.providers.addresses import is_allowed

Resolver = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host as text; raises ``OSError`` when there are none."""

POOLED_CONNECTIONS = 32
"""Kept per origin: the number of threads one process may call a provider with."""


@dataclass(frozen=True, slots=True)
class Call:
    """What the connection layer must know about the call in hand."""

    deadline: float
    """``time.monotonic()`` value at which the call is over."""
    trusted_origin: bool
    resolve: Resolver

    def remaining_s(self) -> float:
        """Return the seconds left; raises ``TimeoutError`` when there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline")
        return left


current_call: ContextVar[Call] = ContextVar("current_call")


def resolve_by_system(host: str, port: int) -> list[str]:
    """Return the addresses the operating system knows for ``host``, in its order of preference."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedAdapter(HTTPAdapter):
    """``requests`` adapter with one TLS context, checked addresses and pooled connections."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """Verify servers by ``context`` and nothing else."""
        self._context = context
        super().__init__(pool_connections=POOLED_CONNECTIONS, pool_maxsize=POOLED_CONNECTIONS)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:  # noqa: ANN401, FBT001, FBT002 - the signature is that of requests
        """Build the pools on the guarded connection classes."""
        self.poolmanager = PoolManager(
            num_pools=connections, maxsize=maxsize, block=block, ssl_context=self._context, **pool_kwargs
        )
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ANN401 - as above
        """Do nothing: the context decides; loading a bundle per connection would widen and slow it."""


def _connect(host: str, port: int, timeout_s: float) -> socket.socket:
    call = current_call.get()
    until = time.monotonic() + min(timeout_s, call.remaining_s())
    addresses = _resolve_within(host, port, until, call)
    if not addresses or not all(_may_reach(address, call) for address in addresses):
        raise ProviderUnavailable("address_refused")
    return _first_open(addresses, port, until)


def _may_reach(address: str, call: Call) -> bool:
    # A scope id ("%eth0") only occurs on link-local addresses, which stay closed.
    return is_allowed(ip_address(address.partition("%")[0]), trusted_origin=call.trusted_origin)


def _resolve_within(host: str, port: int, until: float, call: Call) -> Sequence[str]:
    """Resolve on a thread of its own, because getaddrinfo() takes no time limit."""
    try:
        return [str(ip_address(host.strip("[]")))]
    except ValueError:
        pass
    found: list[str] = []
    failed: list[OSError] = []

    def look_up() -> None:
        try:
            found.extend(call.resolve(host, port))
        except (OSError, UnicodeError) as error:
            failed.append(OSError(str(error)))

    thread = threading.Thread(target=look_up, name="resolve", daemon=True)
    thread.start()
    thread.join(max(0.0, until - time.monotonic()))
    if thread.is_alive() or failed:
        raise ProviderUnavailable("dns")
    return found


def _first_open(addresses: Sequence[str], port: int, until: float) -> socket.socket:
    """Connect to the first address that answers; each gets an equal share of the time that is left."""
    for tried, address in enumerate(addresses):
        share_s = (until - time.monotonic()) / (len(addresses) - tried)
        if share_s <= 0:
            break
        try:
            opened = socket.create_connection((address, port), timeout=share_s)
        except OSError:
            continue
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.settimeout(max(0.001, until - time.monotonic()))
        return opened
    raise ProviderUnavailable("connect")


class _DeadlineReader(io.RawIOBase):
    """Raw side of a response: each read may take what is left of the deadline, not a fresh allowance."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, call: Call) -> None:
        super().__init__()
        self._sock, self._raw, self._call = sock, raw, call

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - any writable buffer
        self._sock.settimeout(self._call.remaining_s())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as http.client
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_DeadlineReader(sock, self.fp.detach(), current_call.get()))


def _seconds(timeout: object) -> float:
    return float(timeout) if isinstance(timeout, int | float) else current_call.get().remaining_s()


class _HTTPConnection(HTTPConnection):
    response_class = _DeadlineResponse

    def _new_conn(self) -> socket.socket:
        return _connect(self.host, self.port or 80, _seconds(self.timeout))


class _HTTPSConnection(HTTPSConnection):
    response_class = _DeadlineResponse

    def _new_conn(self) -> socket.socket:
        return _connect(self.host, self.port or 443, _seconds(self.timeout))


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection
