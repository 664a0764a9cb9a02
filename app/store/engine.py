"""The two engines and the one place where the driver's faults become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.domain.errors import StoreUnavailable

RECYCLE_S = 1800
"""Connections are replaced at this age, so that a fail-over behind a proxy does not go unnoticed for ever."""

READ_ONLY = "25006"
OUT_OF_SOMETHING = ("53", "57", "58")
"""SQLSTATE of a read-only transaction, and the classes for resources, operator intervention and the system."""

_SESSION = {
    "timezone": "UTC",
    "application_name": "latchkey",
    "synchronous_commit": "on",
    "idle_in_transaction_session_timeout": "60s",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the database one process uses, and how long it waits."""

    write_pool_size: int = 5
    read_pool_size: int = 8
    """At least the number of threads that serve requests, or they wait for each other."""
    pool_timeout_s: float = 5.0
    connect_timeout_s: int = 5
    statement_timeout_s: int = 30
    lock_timeout_s: int = 10


def write_engine(url: str, limits: Limits) -> Engine:
    """Return the engine of ordinary transactions; it connects when first used, so build it after the fork."""
    return create_engine(
        url,
        hide_parameters=True,
        pool_size=limits.write_pool_size,
        max_overflow=0,
        pool_timeout=limits.pool_timeout_s,
        pool_recycle=RECYCLE_S,
        # One round trip buys that a restarted database does not cost the first writer its work.
        pool_pre_ping=True,
        connect_args=_connect_args(limits),
    )


def read_engine(url: str, limits: Limits, **session: str) -> Engine:
    """Return the engine of single-statement reads: no BEGIN, no ROLLBACK, a third of the round trips."""
    return create_engine(
        url,
        hide_parameters=True,
        isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None,
        pool_size=limits.read_pool_size,
        max_overflow=0,
        pool_timeout=limits.pool_timeout_s,
        pool_recycle=RECYCLE_S,
        # As above; whoever reads thousands of times a second keeps the answer for a moment anyway.
        pool_pre_ping=True,
        connect_args=_connect_args(limits, **session),
    )


@contextmanager
def typed_faults() -> Iterator[None]:
    """Raise ``StoreUnavailable`` for every fault that means "the database could not do it now".

    That is: no connection, connection lost, time or lock limit reached, deadlock, shutdown. What means a mistake
    of ours (a violated constraint, bad SQL) passes as it is. The message names the SQLSTATE, never a value.
    """
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise StoreUnavailable(_sqlstate(error.orig)) from error
    except PoolTimeout as error:
        raise StoreUnavailable("pool_exhausted") from error
    except DBAPIError as error:
        if error.connection_invalidated or _cannot_now(error.orig):
            raise StoreUnavailable(_sqlstate(error.orig)) from error
        raise
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        # COPY speaks to the driver directly.
        raise StoreUnavailable(_sqlstate(error)) from error


def _cannot_now(error: BaseException | None) -> bool:
    """Return whether the server said that it cannot write now: read-only after a fail-over, out of something."""
    state = getattr(error, "sqlstate", None) or ""
    return state == READ_ONLY or state[:2] in OUT_OF_SOMETHING


def _connect_args(limits: Limits, **session: str) -> dict[str, object]:
    settings = {
        **_SESSION,
        **session,
        "statement_timeout": f"{limits.statement_timeout_s}s",
        "lock_timeout": f"{limits.lock_timeout_s}s",
    }
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return {"connect_timeout": limits.connect_timeout_s, "options": options}


def _sqlstate(error: BaseException | None) -> str:
    state = getattr(error, "sqlstate", None)
    return str(state) if state else "no_connection"
