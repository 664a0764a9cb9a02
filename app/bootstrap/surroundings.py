"""Read the configuration and refuse the start when something around us is missing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import redis

from app.bootstrap.adapters import configured_providers
from app.config import LoadedConfig, load_config
from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.domain.errors import ConfigurationError, LatchkeyError
from app.ports import Sealer
from app.store.postgres import PostgresStore
from app.store.schema_version import pending_migrations


def broker_check(redis_url: str) -> Callable[[], bool]:
    """Return a function that says whether Redis answers, within a second."""
    client = redis.Redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False

    return answers


def read_configuration() -> LoadedConfig:
    """Return the configuration; raises ``ConfigurationError`` with its faults and those of the key ring."""
    try:
        return load_config()
    except ConfigurationError as error:
        path = os.environ.get("LATCHKEY_KEYRING_FILE")
        raise ConfigurationError([*error.faults, *(_keyring_faults(Path(path)) if path else ())]) from None


def _keyring_faults(path: Path) -> tuple[str, ...]:
    try:
        Keyring.load(path)
    except ConfigurationError as error:
        return error.faults
    return ()


def check_surroundings(config: LoadedConfig) -> None:
    """Refuse the start when something is missing; raises ``ConfigurationError`` with all faults."""
    env = config.environment
    faults: list[str] = []
    try:
        sealer = build_sealer(Keyring.load(env.keyring_file))
    except ConfigurationError as error:
        faults.extend(error.faults)
    else:
        faults.extend(_database_faults(PostgresStore(env.database_url), env.database_url, sealer))
    try:
        configured_providers(config)
    except ConfigurationError as error:
        faults.extend(error.faults)
    faults.extend(_state_faults(env.state_dir))
    if not broker_check(env.redis_url)():
        faults.append("REDIS_URL: no Redis answers there")
    if faults:
        raise ConfigurationError(faults)


def _state_faults(directory: Path) -> list[str]:
    """Return what is wrong with the directory that must take what the database cannot."""
    try:
        with tempfile.TemporaryFile(dir=directory):
            return []
    except OSError as error:
        return [f"LATCHKEY_STATE_DIR {directory}: {error.strerror}"]


def _database_faults(store: PostgresStore, database_url: str, sealer: Sealer) -> list[str]:
    try:
        store.ping()
        if pending_migrations(database_url):
            return ["DATABASE_URL: the schema is not up to date; run `latchkey migrate`"]
        if not store.key_fits(sealer):
            return ["LATCHKEY_KEYRING_FILE: this database was sealed with another key"]
    except LatchkeyError:
        return ["DATABASE_URL: no PostgreSQL answers there"]
    finally:
        store.close()
    return []
