"""Every secret of a busy hour, searched for in everything the product writes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
import redis
from celery import Celery

from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.nudge import broker_url
from app.ports import SealContext
from tests.faults.installation import plain
from tests.faults.premises import ACCOUNTS, Premises, add_event, settle_in
from tests.running_product import Product, eventually

JWT = re.compile(rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}")
PRODUCT = ("web", "worker", "beat")


@pytest.mark.timeout(300)
def test_no_secret_is_anywhere_but_sealed_and_a_planted_one_is_found(premises: Premises) -> None:
    monitor = premises.directory / "monitor.txt"
    with premises.run(LATCHKEY_LOG_LEVEL="DEBUG") as product, watched_broker(premises, monitor):
        secrets, pages = a_busy_hour(product, premises)
        secrets |= kept_tokens(premises, product.directory / "data")
        places = all_places(product, premises, monitor, pages)

        assert len(secrets) > 25
        assert min(len(value) for value in secrets.values()) >= 20
        assert all(len(content) > 0 for content in places.values())
        found = hits(secrets, places)
        assert found == [], found

        planted = next(value for name, value in secrets.items() if name.startswith("acme refresh"))
        leak(premises, product, planted)
        places_found = {place for _, place in hits(secrets, all_places(product, premises, monitor, pages))}
    assert {"broker traffic", "output", "database as text", "database files"} <= places_found


def a_busy_hour(product: Product, premises: Premises) -> tuple[dict[str, str], bytes]:
    """Walk through everything that handles secrets, faults included; return the secrets seen, and the error pages."""
    seen: dict[str, str] = {"service secret": product.service_secret}
    person, connections = settle_in(product, premises)
    providers = (product.directory / "data" / "providers.toml").read_text()
    seen["client secret"] = re.search(r'client_secret = "(.+?)"', providers).group(1)
    token = product.service("/oauth2/token", grant_type="client_credentials")
    seen["service token"] = token.json()["access_token"]

    for provider, connection in connections.items():
        seen[f"{provider} handed out"] = product.exchange(connection).json()["access_token"]
    errors: list[bytes] = []
    for kind, members in (
        ("status", {"status": 500}), ("garbage", {}), ("truncate", {}), ("invalid_client", {}), ("reset", {}),
    ):  # fmt: skip
        for operation in ("google.token", "microsoft.token", "oidc.token"):
            product.control("faults", operation=operation, kind=kind, **members)
        for number, (provider, connection) in enumerate(connections.items()):
            # A consent that breaks in the middle: the code is known to the browser only.
            leaving = person.begin(provider)
            location = person.approve(leaving, ACCOUNTS[provider])
            answer = {name: values[-1] for name, values in parse_qs(urlsplit(location).query).items()}
            seen[f"{provider} code {kind} {number}"] = answer["code"]
            seen[f"{provider} state {kind} {number}"] = answer["state"]
            errors.append(person.get(location).content)
            errors.append(person.get(f"{location}&again=1").content)
            asked = product.exchange(connection, min_validity="89")
            # A token in the answer to a service that may have it is no leak.
            errors.append(b"" if asked.ok else asked.content)
        product.control("faults", method="DELETE")
    errors.append(product.service("/oauth2/token", grant_type="x", subject_token=seen["google handed out"]).content)
    errors.append(person.get(f"/callback/google?code={seen['service token']}&state={seen['service secret']}").content)
    for provider in ("google", "microsoft"):
        add_event(product, provider, "At the end")
        product.control("events", provider=provider, account=ACCOUNTS[provider], action="add", title="x",
                        start="2026-11-24T10:00", end="2026-11-24T10:30")  # fmt: skip
    eventually(lambda: premises.shows("At the end"), within_s=60, what="the last event")
    for cookie in person.browser.cookies:
        if len(cookie.value or "") >= 20:
            seen[f"cookie {cookie.name}"] = cookie.value
    return seen, b"\n".join(errors)


def kept_tokens(premises: Premises, data: Path) -> dict[str, str]:
    """Return every token of every generation the database holds, opened with the key ring as the product does."""
    sealer = build_sealer(Keyring.load(data / "keyring.json"))
    found = {}
    for row in premises.rows(
        "SELECT c.provider, c.id, c.issuer, c.subject, k.wrapped_key, g.generation, g.sealed_access, g.sealed_refresh"
        " FROM token_generations g JOIN connections c ON c.id = g.connection_id"
        " JOIN data_keys k ON k.connection_id = c.id"
    ):
        provider, connection_id, issuer, subject, wrapped, generation, *sealed = row
        key = sealer.open_data_key(connection_id, wrapped)
        for name, value in zip(("access", "refresh"), sealed, strict=True):
            if value is not None:
                context = SealContext(connection_id, issuer, subject, f"{name}_token", generation)
                found[f"{provider} {name} {connection_id} {generation}"] = key.open(value, context).reveal()
    assert any(" refresh " in name for name in found)
    return found


def all_places(product: Product, premises: Premises, monitor: Path, pages: bytes) -> dict[str, bytes]:
    """Return the contents of every place a secret could have got to, by name."""
    return {
        "output": output_of_the_product(product),
        "broker traffic": monitor.read_bytes(),
        "broker contents": dump_of_redis(premises.redis.url),
        "broker files": b"".join(p.read_bytes() for p in (premises.directory / "redis").rglob("*") if p.is_file()),
        "database as text": dump_of_postgres(premises.postgres.url),
        "database files": files_of_postgres(premises),
        "error pages": pages,
        "command lines": b"\n".join(of_processes(product, "cmdline")),
        "environments": b"\n".join(of_processes(product, "environ")),
    }


def hits(secrets: Mapping[str, str], places: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Return which secret was found where; never the secret."""
    found = [
        (name, place) for name, value in secrets.items() for place, text in places.items() if value.encode() in text
    ]
    return found + [("an ID token", place) for place, text in places.items() if JWT.search(text)]


def output_of_the_product(product: Product) -> bytes:
    # The development run prints a command with the demonstration's secret, on purpose, after everything is up.
    return b"\n".join(
        line for line in product.log_file.read_bytes().splitlines() if re.match(rb"^\S*(web|worker|beat|migrate)", line)
    )


def of_processes(product: Product, file: str) -> Iterator[bytes]:
    for name, pids in product.child_pids().items():
        if name in PRODUCT:
            for pid in pids:
                yield (Path("/proc") / str(pid) / file).read_bytes()


def dump_of_redis(url: str) -> bytes:
    with redis.Redis.from_url(url) as client:
        client.ping()
        return b"\n".join([b"all:", *(key + b" " + (client.dump(key) or b"") for key in client.scan_iter("*"))])


def dump_of_postgres(url: str) -> bytes:
    """Return every row of every table as text, bytes in hexadecimal and as they are."""
    with psycopg.connect(plain(url)) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        parts = []
        for (table,) in tables:
            with connection.cursor().copy(f'COPY "{table}" TO STDOUT') as copy:
                parts.extend(bytes(part) for part in copy)
    return b"".join(parts)


def files_of_postgres(premises: Premises) -> bytes:
    """Return what is on disk, write-ahead log included, after everything in memory was written."""
    with psycopg.connect(plain(premises.postgres.url), autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    base = premises.directory / "pg"
    return b"".join(
        path.read_bytes() for part in ("base", "pg_wal") for path in (base / part).rglob("*") if path.is_file()
    )


class watched_broker:  # noqa: N801 - reads as the block it is
    """Every command that reaches Redis while the block runs, in a file."""

    def __init__(self, premises: Premises, file: Path) -> None:
        self._url, self._file = premises.redis.url, file

    def __enter__(self) -> None:
        code = (
            "import redis, sys\n"
            "with redis.Redis.from_url(sys.argv[1]).monitor() as seen, open(sys.argv[2], 'w', buffering=1) as out:\n"
            "    for one in seen.listen(): out.write(one['command'] + '\\n')\n"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, self._url, str(self._file)], stderr=subprocess.DEVNULL
        )
        eventually(lambda: self._file.exists() and self._file.stat().st_size, within_s=30, what="the monitor")

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()


def leak(premises: Premises, product: Product, secret: str) -> None:
    """Do what must never be done: a token as a task's argument, and in a column of text."""
    celery = Celery("leak", broker=broker_url(premises.redis.url), set_as_current=False)
    celery.conf.broker_transport_options = {"global_keyprefix": "latchkey:"}
    celery.send_task("latchkey.sync_calendar", args=[secret], queue="sync")
    celery.close()
    with psycopg.connect(plain(premises.postgres.url), autocommit=True) as connection:
        connection.execute("UPDATE people SET display_name = %s", [secret])
    eventually(lambda: secret in product.log(), within_s=30, what="the worker's log of the task")


def test_the_search_finds_what_it_is_for() -> None:
    secret, token = "x" * 24, b"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.c2lnbmF0dXJlLW9mLXRva2Vu"

    assert hits({"a": secret}, {"clean": b"x" * 23, "dirty": b"--" + secret.encode() + b"--"}) == [("a", "dirty")]
    assert hits({}, {"dirty": token}) == [("an ID token", "dirty")]
