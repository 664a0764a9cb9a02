"""The embedded PostgreSQL and Redis, started and stopped for real."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from app.dev.children import Unprivileged
from app.dev.ports import PortTakenError, choose_port
from app.dev.postgres_server import PostgresServer
from app.dev.private_paths import UnsafeDirectoryError, make_private
from app.dev.redis_server import RedisServer
from app.dev.server_process import EmbeddedServerError
from app.dev.settings import AlreadyRunningError, RunLock, ensure_keyring, forget_everything, load_settings
from app.dev.unprivileged import hand_over

ROOT = Path(__file__).resolve().parents[2]

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give up being root")


@contextmanager
def connection(server: PostgresServer):
    with psycopg.connect(server.url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as found:
        yield found


@contextmanager
def client(server: RedisServer):
    found = redis.Redis.from_url(server.url)
    yield found
    found.close()


@pytest.fixture
def postgres(tmp_path):
    server = PostgresServer(tmp_path / "postgres", durable=False)
    yield server
    server.stop()


def test_postgres_keeps_its_rows_over_a_restart(postgres):
    postgres.start()
    with connection(postgres) as first:
        first.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert postgres.stop() == 0

    postgres.start()

    with connection(postgres) as second:
        assert second.execute("SELECT answer, current_setting('TimeZone') FROM kept").fetchone() == (42, "UTC")


def test_postgres_listens_on_loopback_only_when_asked(tmp_path, postgres):
    postgres.start()
    with connection(postgres) as silent:
        assert silent.execute("SHOW listen_addresses").fetchone() == ("",)
    postgres.stop()

    port = choose_port(None, [])
    loud = PostgresServer(tmp_path / "postgres", tcp_port=port, durable=False).start()
    try:
        with psycopg.connect(host="127.0.0.1", port=port, user="latchkey", dbname="latchkey") as over_tcp:
            assert over_tcp.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)
    finally:
        loud.stop()


def test_only_the_owner_can_enter_the_directories(tmp_path, postgres):
    parent_mode = tmp_path.parent.stat().st_mode
    postgres.start()

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir() if path.is_dir()}

    assert modes == {"postgres": 0o700, "postgres-socket": 0o700}
    assert tmp_path.parent.stat().st_mode == parent_mode


def test_a_deep_checkout_gets_a_socket_in_a_private_place(tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    server = RedisServer(deep / "redis", durable=False).start()
    socket_dir = Path(server.url.removeprefix("unix://").partition("?")[0]).parent
    try:
        with client(server) as found:
            assert found.ping()
        assert not socket_dir.is_relative_to(deep)
        assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
    finally:
        server.stop()
        socket_dir.rmdir()


def test_redis_keeps_its_keys_over_a_restart(tmp_path):
    server = RedisServer(tmp_path / "redis")
    server.start()
    with client(server) as first:
        first.set("kept", "42")
    assert server.stop() == 0

    server.start()

    with client(server) as second:
        assert second.get("kept") == b"42"
    assert server.stop() == 0


def test_a_server_that_cannot_start_says_why(tmp_path, postgres):
    postgres.start()
    postgres.stop()
    (tmp_path / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")

    with pytest.raises(EmbeddedServerError, match="no_such_setting"):
        postgres.start()


def test_a_cluster_of_another_version_is_refused(tmp_path, postgres):
    make_private(tmp_path / "postgres")
    (tmp_path / "postgres" / "PG_VERSION").write_text("16\n")

    with pytest.raises(EmbeddedServerError, match="made by PostgreSQL 16"):
        postgres.start()


def test_servers_end_with_a_killed_parent_and_start_again(tmp_path, postgres):
    script = (
        "import signal, sys\n"
        "from pathlib import Path\n"
        "from app.dev.postgres_server import PostgresServer\n"
        "server = PostgresServer(Path(sys.argv[1]), durable=False).start()\n"
        "print(server.server.process.pid, flush=True)\n"
        "signal.pause()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "postgres")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline().strip().isdigit()
        parent.kill()

    postgres.start()

    with connection(postgres) as found:
        assert found.execute("SELECT 1").fetchone() == (1,)


@only_root
@pytest.mark.parametrize("way", Unprivileged)
def test_root_runs_postgres_as_somebody_else(tmp_path, postgres, way, monkeypatch):
    monkeypatch.setattr("app.dev.postgres_server.way_out_of_root", lambda: way)
    postgres.start()

    with connection(postgres) as found:
        assert found.execute("SELECT count(*) FROM pg_database").fetchone() is not None


@only_root
def test_a_cluster_moves_between_both_ways_out_of_root(tmp_path, postgres, monkeypatch):
    for way in (Unprivileged.NOBODY, Unprivileged.USER_NAMESPACE):
        monkeypatch.setattr("app.dev.postgres_server.way_out_of_root", lambda way=way: way)
        postgres.start()
        assert postgres.stop() == 0

    assert (tmp_path / "postgres").stat().st_uid == 0


@only_root
def test_the_cluster_of_a_third_user_is_left_alone(tmp_path):
    os.chown(tmp_path, 12345, 12345)

    with pytest.raises(EmbeddedServerError, match="belongs to user 12345"):
        hand_over(tmp_path, None)


def test_a_symbolic_link_is_no_private_directory(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)

    with pytest.raises(UnsafeDirectoryError):
        make_private(tmp_path / "link")


def test_a_taken_port_is_passed_over_unless_it_was_asked_for():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert choose_port(None, [port]) != port
        with pytest.raises(PortTakenError, match=str(port)):
            choose_port(port, [])


def test_a_port_taken_for_ipv6_alone_is_taken():
    with socket.socket(socket.AF_INET6) as taken:
        taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            taken.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
        taken.listen()

        assert choose_port(None, [taken.getsockname()[1]]) != taken.getsockname()[1]


def test_keys_and_settings_stay_until_they_are_forgotten(tmp_path):
    first, keys = load_settings(tmp_path), ensure_keyring(tmp_path).read_text()
    assert (load_settings(tmp_path), ensure_keyring(tmp_path).read_text()) == (first, keys)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    forget_everything(tmp_path)

    assert modes == {0o600}
    assert ensure_keyring(tmp_path).read_text() != keys


def test_one_run_at_a_time_and_the_next_waits_for_orphans(tmp_path):
    holder = "import os, sys; os.write(1, b'up'); sys.stdin.read()"
    with RunLock(tmp_path):
        with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"), RunLock(tmp_path):
            pass
        # A child inherits the lock, as the children of a killed run do.
        child = subprocess.Popen(
            [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False
        )
        assert child.stdout.read(2) == b"up"
    (tmp_path / "run.lock").write_text(str(a_number_of_no_process()))
    started = time.monotonic()
    soon = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -{signal.SIGTERM:d} {child.pid}"])

    with soon, child, RunLock(tmp_path):
        assert time.monotonic() - started >= 0.5


def a_number_of_no_process() -> int:
    with subprocess.Popen(["true"]) as gone:
        pass
    return gone.pid
