"""Have a PostgreSQL and a Redis: those the environment names, else embedded ones under supervision."""

import os
from collections.abc import Mapping
from pathlib import Path

from app.dev.postgres_server import PostgresServer
from app.dev.redis_server import RedisServer
from app.dev.supervisor import Stage, Supervisor, Watched

# Time for a checkpoint or an append-only file to reach a slow disk.
_GRACE_S = 20


def database_url(supervisor: Supervisor, data_dir: Path, environ: Mapping[str, str]) -> str:
    """Return `DATABASE_URL`, or the address of an embedded PostgreSQL started for it.

    Raises EmbeddedServerError.
    """
    if given := environ.get("DATABASE_URL"):
        return given
    output = supervisor.channel("postgres")
    try:
        server = PostgresServer(data_dir / "postgres", output=output).start()
    finally:
        os.close(output)
    supervisor.watch(Watched("postgres", server.server.process, Stage.DATABASE, server.server.stop_signal, _GRACE_S))
    return server.url


def redis_url(supervisor: Supervisor, data_dir: Path, environ: Mapping[str, str]) -> str:
    """Return `REDIS_URL`, or the address of an embedded Redis started for it. Raises EmbeddedServerError."""
    if given := environ.get("REDIS_URL"):
        return given
    output = supervisor.channel("redis")
    try:
        server = RedisServer(data_dir / "redis", output=output).start()
    finally:
        os.close(output)
    supervisor.watch(Watched("redis", server.server.process, Stage.BROKER, server.server.stop_signal, _GRACE_S))
    return server.url
