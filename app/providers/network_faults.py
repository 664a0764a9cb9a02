"""Give every network fault one of a few stable codes.

``requests`` and urllib3 wrap the cause several layers deep, and their messages name hosts and objects; only the
code leaves this module.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from http.client import HTTPException, IncompleteRead, RemoteDisconnected

from requests.exceptions import ConnectTimeout, InvalidURL, Timeout
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InvalidChunkLength,
    NewConnectionError,
    ReadTimeoutError,
)
from urllib3.exceptions import IncompleteRead as URLLibIncompleteRead
from urllib3.exceptions import SSLError as URLLibSSLError

NEVER_SENT = frozenset({"dns", "connect", "tls", "address_refused"})
"""Codes that prove the provider has not seen the request, so that nothing can have been lost."""

_BY_TYPE: tuple[tuple[type[BaseException], str], ...] = (
    (InvalidURL, "address_refused"),
    # The order matters: several of these types inherit from ones further down.
    (ConnectTimeout, "connect"),
    (ConnectTimeoutError, "connect"),
    (NewConnectionError, "connect"),
    (ssl.SSLError, "tls"),
    (URLLibSSLError, "tls"),
    (TimeoutError, "timeout"),
    (ReadTimeoutError, "timeout"),
    (Timeout, "timeout"),
    (RemoteDisconnected, "reset"),
    (ConnectionError, "reset"),
    (IncompleteRead, "truncated"),
    (URLLibIncompleteRead, "truncated"),
    (InvalidChunkLength, "truncated"),
    (HTTPException, "bad_http"),
)


def fault_code(error: BaseException) -> str:
    """Return the code of the innermost known cause of ``error``; ``network`` when none is known."""
    return next((code for cause in _causes(error) for kind, code in _BY_TYPE if isinstance(cause, kind)), "network")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield what ``error`` wraps before ``error`` itself: the wrapper says less than its cause."""
    inner = [arg for arg in error.args if isinstance(arg, BaseException)]
    reason = getattr(error, "reason", None) if isinstance(error, HTTPError) else None
    if isinstance(reason, BaseException) and reason not in inner:
        inner.append(reason)
    if error.__cause__ is not None and error.__cause__ not in inner:
        inner.append(error.__cause__)
    for cause in inner:
        yield from _causes(cause)
    yield error
