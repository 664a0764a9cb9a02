"""A throw-away installation for measurements: embedded servers, a key ring, a providers file, an environment."""

from __future__ import annotations

import base64
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.dev.demo import providers_file
from app.dev.postgres_server import PostgresServer
from app.dev.redis_server import RedisServer
from app.store.migrating import upgrade


@dataclass(frozen=True)
class Installation:
    """What a measured process needs to know."""

    environment: dict[str, str]
    directory: Path


@contextmanager
def installation(public_url: str, sandbox_url: str, **settings: str) -> Iterator[Installation]:
    """Start servers, migrate, write configuration; everything is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="latchkey-bench-") as name:
        directory = Path(name)
        postgres = PostgresServer(directory / "pg", durable=True).start()
        redis = RedisServer(directory / "redis").start()
        try:
            upgrade(postgres.url)
            keyring, providers = directory / "keyring.json", directory / "providers.toml"
            keyring.touch(mode=0o600)
            key = base64.b64encode(secrets.token_bytes(32)).decode()
            keyring.write_text(json.dumps({"primary": "k1", "keys": {"k1": key}}))
            providers.write_text(providers_file("bench-secret", sandbox_url))
            environment = {
                **os.environ,
                "LATCHKEY_PUBLIC_URL": public_url,
                "DATABASE_URL": postgres.url,
                "REDIS_URL": redis.url,
                "LATCHKEY_KEYRING_FILE": str(keyring),
                "LATCHKEY_PROVIDERS_FILE": str(providers),
                "LATCHKEY_STATE_DIR": str(directory),
                **settings,
            }
            yield Installation(environment, directory)
        finally:
            redis.stop()
            postgres.stop()
