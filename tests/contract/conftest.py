"""One running product for the tests of the client package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running_product import Product, running_product

HERE = Path(__file__).parent
LONG_S = 3600
"""What Google's and most of Microsoft's tokens live."""
_START_WITHIN_S = 300
"""The first test of a process pays for the start, which takes minutes on a machine busy with other tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE and item.path.name.startswith("test_client_package_"):
            item.add_marker(pytest.mark.timeout(_START_WITHIN_S))


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running_product(tmp_path_factory.mktemp("client"), token_lifetime=LONG_S) as running:
        yield running
