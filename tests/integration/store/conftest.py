"""A store on a fresh database, and a connection of one person to begin with."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from app.store.engine import Limits
from app.store.postgres import PostgresStore
from tests.integration.store.rows import Rows


@pytest.fixture
def store(database_url):
    store = PostgresStore(database_url, Limits(write_pool_size=12, read_pool_size=4))
    yield store
    store.close()


@pytest.fixture
def rows(store):
    return Rows(store)


@pytest.fixture
def peek(database_url):
    """Look at the tables past the store: a function from SQL text to a list of rows."""
    engine = create_engine(database_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)

    def peek(sql, **values):
        with engine.connect() as connection:
            result = connection.exec_driver_sql(sql, values)
            return [tuple(row) for row in result] if result.returns_rows else []

    yield peek
    engine.dispose()
