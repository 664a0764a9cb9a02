"""The store itself: opens units of work on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text

from app import guard
from app.ports import Sealer
from app.store.engine import Limits, read_engine, typed_faults, write_engine
from app.store.key_checks import keys_fit
from app.store.unit_of_work import UnitOfWork


class PostgresStore:
    """Implements ``ports.Store``. Build one per process, after the fork: pools must not be shared."""

    def __init__(self, url: str, limits: Limits | None = None) -> None:
        """Prepare both pools for ``url`` (``postgresql+psycopg://…``); nothing connects yet."""
        limits = limits or Limits()
        self._writes = write_engine(url, limits)
        self._reads = read_engine(url, limits)

    @contextmanager
    def transaction(self) -> Iterator[UnitOfWork]:
        """Open a short write transaction and raise the guard's flag: no network call until it is over.

        Raises ``StoreUnavailable``, then it is unknown only for a failed commit whether anything was stored.
        """
        with guard.transaction(), typed_faults(), self._writes.begin() as connection:
            yield UnitOfWork(connection)

    @contextmanager
    def reading(self) -> Iterator[UnitOfWork]:
        """Open a unit for reads, each statement on its own. Raises ``StoreUnavailable``."""
        with typed_faults(), self._reads.connect() as connection:
            yield UnitOfWork(connection)

    @contextmanager
    def snapshot(self) -> Iterator[UnitOfWork]:
        """Open a unit for reads that all see the same moment, that of the first. Raises ``StoreUnavailable``."""
        with typed_faults(), self._reads.connect() as connection:
            isolated = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with isolated.begin():
                yield UnitOfWork(isolated)

    def ping(self) -> None:
        """Raise ``StoreUnavailable`` when the database does not answer."""
        with typed_faults(), self._reads.connect() as connection:
            connection.execute(text("SELECT 1"))

    def key_fits(self, sealer: Sealer) -> bool:
        """Return whether the key ring behind ``sealer`` is the one this database was sealed with.

        The first ring that comes is noted, and so is every key added to a fitting ring. Raises
        ``StoreUnavailable``.
        """
        with guard.transaction(), typed_faults(), self._writes.begin() as connection:
            return keys_fit(connection, sealer.key_checks())

    def close(self) -> None:
        """Close all pooled connections."""
        self._writes.dispose()
        self._reads.dispose()
