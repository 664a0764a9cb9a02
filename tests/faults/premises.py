"""Database and broker of a whole running product, which outlive its processes, and people who use it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from app.dev.postgres_server import PostgresServer
from app.dev.redis_server import RedisServer
from tests.faults.installation import plain
from tests.running_product import Person, Product, eventually, free_port, running_product

ACCOUNTS = {"google": "ada", "microsoft": "chiara", "acme": "farid"}
VISIBLE_WITHIN_S = 60.0
"""A poll interval of the demonstration and some, on a machine that does other things, too."""


@dataclass
class Premises:
    """Database and broker that outlive the product's processes, and what a restart keeps."""

    directory: Path
    postgres: PostgresServer
    redis: RedisServer
    port: int = field(default_factory=free_port)
    sandbox_port: int = field(default_factory=free_port)

    @contextmanager
    def run(self, **settings: str) -> Iterator[Product]:
        environment = {"DATABASE_URL": self.postgres.url, "REDIS_URL": self.redis.url, **settings}
        with running_product(
            self.directory / "run", environment=environment, port=self.port, sandbox_port=self.sandbox_port,
            token_lifetime=90,
        ) as product:  # fmt: skip
            yield product

    def rows(self, statement: str, *values: object) -> list[tuple]:
        with psycopg.connect(plain(self.postgres.url), autocommit=True) as connection:
            return connection.execute(statement, values).fetchall()

    def shows(self, title: str) -> bool:
        return bool(self.rows("SELECT 1 FROM events WHERE summary = %s", title))


def settle_in(product: Product, premises: Premises) -> tuple[Person, dict[str, str]]:
    """Let somebody connect an account of every provider; return them with the connections by provider."""
    person = product.http()
    person.sign_in("google", "ada")
    connections = {provider: person.connect(provider, account) for provider, account in ACCOUNTS.items()}
    eventually(
        lambda: premises.rows("SELECT 1 FROM sync_states WHERE last_success_at IS NOT NULL HAVING count(*) >= 4"),
        within_s=VISIBLE_WITHIN_S, what="the first syncs",
    )  # fmt: skip
    return person, connections


def add_event(product: Product, provider: str, title: str) -> None:
    product.control(
        "events", provider=provider, account=ACCOUNTS[provider], action="add", title=title,
        start=f"{time.strftime('%Y-%m-%d')}T10:00", end=f"{time.strftime('%Y-%m-%d')}T11:00",
    )  # fmt: skip


def statuses(premises: Premises) -> list[tuple]:
    return premises.rows("SELECT provider, status, reason FROM connections ORDER BY provider")
