"""One installation with a Redis of its own, for tests that run real worker processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from celery import Celery

from app.dev.redis_server import RedisServer
from app.nudge import broker_url
from tests.faults.installation import Installation, installation
from workers.celery_app import create_celery

ROOT = Path(__file__).resolve().parents[3]
WORKER = ("-m", "celery", "-A", "workers.main", "worker", "--pool", "threads", "--concurrency", "8",
          "-Q", "refresh,sync,push,maint", "--without-gossip", "--without-mingle", "--without-heartbeat",
          "--loglevel", "INFO")  # fmt: skip


@dataclass
class Bench:
    """An installation and what its workers are reached by."""

    place: Installation
    celery: Celery
    redis: redis.Redis
    directory: Path

    @contextmanager
    def worker(self) -> Iterator[Path]:
        """Run one worker process until the block ends; yield the file of its output."""
        output = self.directory / "worker.log"
        with output.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, *WORKER], cwd=ROOT, env=self.place.environment, stdout=file, stderr=file
            )
        try:
            yield output
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def send(self, name: str, *arguments: str, queue: str = "sync") -> None:
        self.celery.send_task(f"latchkey.{name}", args=list(arguments), queue=queue)

    def drained(self) -> bool:
        """Say whether no message waits and none is being worked on."""
        queues = ("refresh", "sync", "push", "maint")
        return not any(self.redis.llen(f"latchkey:{queue}") for queue in queues) and not self.redis.hlen(
            "latchkey:unacked"
        )

    def wait_until(self, look: Callable[[], object], within_s: float = 60) -> None:
        deadline = time.monotonic() + within_s
        while not look():
            log = self.directory / "worker.log"
            assert time.monotonic() < deadline, log.read_text()[-3000:] if log.exists() else "no worker ran"
            time.sleep(0.1)


@pytest.fixture
def bench(tmp_path: Path, database_url: str) -> Iterator[Bench]:
    server = RedisServer(tmp_path / "redis", durable=False).start()
    try:
        with installation(tmp_path, database_url, server.url, LATCHKEY_LOG_LEVEL="DEBUG") as place:
            celery = create_celery(broker_url(server.url), lambda: place.services)
            client = redis.Redis.from_url(server.url, decode_responses=True)
            yield Bench(place, celery, client, tmp_path)
            client.close()
            celery.close()
    finally:
        server.stop()
