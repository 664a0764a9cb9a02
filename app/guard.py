"""One flag per thread of execution: "a database transaction is open".

The unit of work raises it, the outbound HTTP client refuses to send while it is up. A provider that
hangs must never hold a database connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_transaction_open: ContextVar[bool] = ContextVar("transaction_open", default=False)


class NetworkInsideTransaction(RuntimeError):
    """A programming error: a call to the outside was attempted inside a transaction."""


@contextmanager
def transaction() -> Iterator[None]:
    """Mark the enclosed block as a database transaction."""
    mark = _transaction_open.set(True)
    try:
        yield
    finally:
        _transaction_open.reset(mark)


def refuse_inside_transaction() -> None:
    """Raise ``NetworkInsideTransaction`` when a transaction is open."""
    if _transaction_open.get():
        raise NetworkInsideTransaction("no network call inside a database transaction")
