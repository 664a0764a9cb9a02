"""Servers, databases and other surroundings of the tests.

One PostgreSQL and one Redis serve a whole run. The process that collects for the others starts them, so they live
exactly as long as the run; alone, they start when a test first wants them. `DATABASE_URL` and `REDIS_URL` are not
looked at: tests drop databases and flush Redis, which nobody should do to a real one by accident.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from psycopg import sql
from sqlalchemy.engine import make_url
from xdist.scheduler import LoadScopeScheduling

from app.dev.checks import FAILED_CHECKS
from app.dev.postgres_server import PostgresServer
from app.dev.redis_server import RedisServer
from dev import find_browser

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = "latchkey_template"
# Each process of a run has its own share of Redis's numbered databases.
REDIS_DATABASES_EACH = 32
REDIS_DATABASES = 16 * REDIS_DATABASES_EACH

_RUN = pytest.StashKey["Servers"]()


class Servers:
    """The databases of one run, in a private directory that goes with them."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="latchkey-tests-"))
        self.postgres = PostgresServer(self.directory / "postgres", durable=False)
        self.redis = RedisServer(self.directory / "redis", durable=False, databases=REDIS_DATABASES)

    def start(self) -> Servers:
        try:
            self.postgres.start()
            self.redis.start()
        except BaseException:
            self.stop()
            raise
        return self

    def addresses(self) -> dict[str, str]:
        """Return what another process of the run needs to know, as plain strings."""
        return {"directory": str(self.directory), "postgres": self.postgres.url_of("postgres"), "redis": self.redis.url}

    def stop(self) -> None:
        self.redis.stop()
        self.postgres.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


# --- one set of servers for all processes of a run


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers in the process that gives out the tests, unless it was asked for unit tests alone."""
    gives_out_tests = getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput")
    if gives_out_tests and not _wants_only_unit_tests(config):
        config.stash[_RUN] = Servers().start()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """Tell a working process where the servers are."""
    if _RUN in node.config.stash:
        node.workerinput["servers"] = node.config.stash[_RUN].addresses()


SHARING_A_PRODUCT = ("tests/e2e/", "tests/contract/test_client_package_")


class TogetherInOneProcess(LoadScopeScheduling):
    """Gives tests out singly, but all that share a running product to one process.

    The `xdist_group` marker would say the same if this pytest let pytest-xdist rename tests.
    """

    def _split_scope(self, nodeid: str) -> str:
        return next((place for place in SHARING_A_PRODUCT if nodeid.startswith(place)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Use our own way of giving out tests unless the command line names another one."""
    return TogetherInOneProcess(config, log) if config.option.dist == "load" else None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers, whatever became of the run."""
    if _RUN in config.stash:
        config.stash[_RUN].stop()
        del config.stash[_RUN]


def pytest_terminal_summary(terminalreporter) -> None:
    """Repeat checks that failed before the tests, so that nobody overlooks them at the end."""
    if failed := os.environ.get(FAILED_CHECKS):
        terminalreporter.write_line(f"FAILED before the tests: {failed}", red=True, bold=True)


def _wants_only_unit_tests(config: pytest.Config) -> bool:
    unit = ROOT / "tests" / "unit"
    places = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return bool(places) and all(place.is_relative_to(unit) for place in places)


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> dict[str, str]:
    """Addresses of the run's servers: `postgres` (its maintenance database), `redis` (its database 0), `directory`."""
    given = getattr(pytestconfig, "workerinput", {}).get("servers")
    if given:
        return given
    if _RUN not in pytestconfig.stash:
        pytestconfig.stash[_RUN] = Servers().start()
    return pytestconfig.stash[_RUN].addresses()


# --- PostgreSQL


@pytest.fixture(scope="session")
def template_database(servers: dict[str, str]) -> str:
    """Name of a migrated, empty database to clone; the first process that wants it makes it, as a release does."""
    outcome_file = Path(servers["directory"]) / "template.json"
    with (Path(servers["directory"]) / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not outcome_file.exists():
            outcome_file.write_text(json.dumps(_make_template(servers["postgres"])))
    outcome = json.loads(outcome_file.read_text())
    if outcome["status"] != 0:
        pytest.fail(f"the migrations failed:\n{outcome['output']}", pytrace=False)
    return TEMPLATE


def _make_template(maintenance_url: str) -> dict[str, object]:
    _administer(maintenance_url, "CREATE DATABASE {}", TEMPLATE)
    url = make_url(maintenance_url).set(database=TEMPLATE).render_as_string(hide_password=False)
    migrate = [sys.executable, "-m", "app.cli", "migrate"]
    done = subprocess.run(
        migrate, cwd=ROOT, env=os.environ | {"DATABASE_URL": url}, capture_output=True, text=True, check=False
    )
    return {"status": done.returncode, "output": done.stdout + done.stderr}


@pytest.fixture(scope="session")
def process_database(servers: dict[str, str], template_database: str) -> Iterator[str]:
    """SQLAlchemy address of a migrated database of this test process's own; dropped at the end."""
    name = f"test_{uuid.uuid4().hex}"
    # Through the write-ahead log a small database is copied several times faster than file by file.
    _administer(servers["postgres"], "CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log", name, template_database)
    yield make_url(servers["postgres"]).set(database=name).render_as_string(hide_password=False)
    _administer(servers["postgres"], "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def database_url(process_database: str) -> Iterator[str]:
    """SQLAlchemy address of a migrated, empty database that nobody else uses meanwhile; emptied afterwards.

    Emptying costs milliseconds, a database per test many times that; what a test left open is cut first.
    """
    yield process_database
    _empty(process_database)


def _empty(url: str) -> None:
    with psycopg.connect(_plain(url), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        # Without it every deleted parent would look for children that go in the next statement anyway.
        connection.execute("SET session_replication_role = replica")
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
        ).fetchall()
        statements = sql.SQL("; ").join(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)) for (name,) in tables)
        connection.execute(statements)


@pytest.fixture
def empty_database_url(servers: dict[str, str]) -> Iterator[str]:
    """SQLAlchemy address of a fresh database without any table, for tests of the migrations; dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    _administer(servers["postgres"], "CREATE DATABASE {} STRATEGY wal_log", name)
    yield make_url(servers["postgres"]).set(database=name).render_as_string(hide_password=False)
    _administer(servers["postgres"], "DROP DATABASE {} WITH (FORCE)", name)


def _administer(maintenance_url: str, statement: str, *names: str) -> None:
    with psycopg.connect(_plain(maintenance_url), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


# --- Redis

_redis_turn = itertools.count()


@pytest.fixture
def redis_url(servers: dict[str, str]) -> Iterator[str]:
    """Address (redis-py's form) of an empty numbered database of this test's own; emptied afterwards."""
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    number = process * REDIS_DATABASES_EACH + next(_redis_turn) % REDIS_DATABASES_EACH
    url = servers["redis"].replace("?db=0", f"?db={number}")
    client = redis.Redis.from_url(url)
    client.flushdb()
    yield url
    client.flushdb()
    client.close()


# --- surroundings


@pytest.fixture(autouse=True)
def _closed_sockets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no unit test reach the network, nor this machine's servers: what needs those is another kind of test."""
    if not request.path.is_relative_to(ROOT / "tests" / "unit"):
        return

    def refuse(*_: object, **__: object) -> None:
        raise SocketClosedError("unit tests use no sockets; move the test to integration or contract")

    for name in ("bind", "connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


class SocketClosedError(RuntimeError):
    """A unit test wanted a socket."""


@pytest.fixture(scope="session")
def corpus_dir() -> Path:
    """Directory of published provider payloads, named by LATCHKEY_CORPUS."""
    named = os.environ.get("LATCHKEY_CORPUS")
    if not named:
        pytest.skip("LATCHKEY_CORPUS names no directory of provider payloads")
    directory = Path(named)
    assert directory.is_dir(), f"LATCHKEY_CORPUS is not a directory: {directory}"
    return directory


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Path of a Chromium. Without one the test is skipped, or fails where LATCHKEY_REQUIRE_CHROMIUM is set (CI)."""
    path = find_browser()
    if path is None and os.environ.get("LATCHKEY_REQUIRE_CHROMIUM"):
        pytest.fail("no Chromium on PATH or in LATCHKEY_CHROMIUM", pytrace=False)
    if path is None:
        pytest.skip("no Chromium on PATH or in LATCHKEY_CHROMIUM")
    return path
