"""Surroundings of the fault experiments, and the switch for their long versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.dev.postgres_server import PostgresServer
from app.dev.redis_server import RedisServer
from tests.faults.installation import Installation, installation
from tests.faults.premises import Premises


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", help="run the fault experiments at full length (python3 dev.py faults --full)"
    )


@pytest.fixture(scope="session")
def is_full(pytestconfig: pytest.Config) -> bool:
    """Whether the experiments run at full length."""
    return bool(pytestconfig.getoption("--full", default=False))


@pytest.fixture
def place(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Installation]:
    """An installation of this test's own; a second refusal counts at once when its time was moved."""
    with installation(tmp_path, database_url, redis_url) as made:
        yield made


@pytest.fixture
def premises(tmp_path: Path) -> Iterator[Premises]:
    """A PostgreSQL and a Redis of this test's own, to be stopped and started as it likes."""
    postgres, broker = PostgresServer(tmp_path / "pg"), RedisServer(tmp_path / "redis")
    try:
        postgres.start()
        broker.start()
        yield Premises(tmp_path, postgres, broker)
    finally:
        broker.stop()
        postgres.stop()
