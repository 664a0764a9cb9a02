"""Surroundings of the fault experiments, and the switch for their long versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.installation import Installation, installation


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
