"""Hand-out of a fresh token against a bare Flask route, on the same server settings, in the same run.

``python3 dev.py bench tokens [--seconds 5] [--rounds 3] [--connections 1 8 32]``. Needs ``wrk``. Prints one line per
figure: name, value, unit, settings. Rounds alternate between the two, so that a busy machine disturbs both alike.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from unittest.mock import patch
from uuid import UUID

from app.bootstrap import Services, assemble, utc_now
from app.config import load_config
from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.dev.ports import choose_port
from app.domain.authorizations import AuthorizationRequest, Purpose
from app.domain.features import Feature
from app.domain.secret import Secret
from app.store.postgres import PostgresStore
from tests.bench._installation import Installation, installation
from tests.fake_provider import FakeProvider, FakeProviders, RecordingNudge

GRANIAN = (
    "--interface", "wsgi", "--factory", "--workers", "2", "--blocking-threads", "4", "--no-ws", "--log-level", "error",
)  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """One run of the load generator."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32])
    options = parser.parse_args(arguments)
    if shutil.which("wrk") is None:
        sys.stderr.write("wrk is needed (Debian package wrk)\n")
        return 2
    port, bare_port = choose_port(None, [8180]), choose_port(None, [8190])
    with ExitStack() as stack:
        place = stack.enter_context(installation(f"http://localhost:{port}", "http://127.0.0.1:9"))
        stack.enter_context(patch.dict("os.environ", place.environment))
        script = _script(place, *_seed())
        product = stack.enter_context(_server(place, "app.wsgi:create", port))
        stack.enter_context(_server(place, "tests.bench._bare:application", bare_port))
        _compare(options, script, port, bare_port)
        print(f"memory of the web processes: {_memory_mb(product.pid):.0f} MB (PSS, 2 workers)")
    return 0


def _seed() -> tuple[str, UUID]:
    """Store a connection with a fresh token and a service that may use it."""
    config = load_config()
    store = PostgresStore(config.environment.database_url)
    sealer = build_sealer(Keyring.load(config.environment.keyring_file))
    provider = FakeProvider(lifetime_s=86_400)
    services = assemble(config, store, sealer, FakeProviders(provider), RecordingNudge())
    connection_id = _connect(services, provider)
    secret = services.callers.registry.add("bench", tuple(Feature), act_as=True)
    token, _ = services.callers.tokens.issue(services.clients.authenticate("bench", secret.reveal()))
    store.close()
    return token.reveal(), connection_id


def _connect(services: Services, provider: FakeProvider) -> UUID:
    now = utc_now()
    with services.connections.store.transaction() as tx:
        person = tx.people.sign_in("google", provider.identity, now)
    request = AuthorizationRequest(
        person.id, b"state", b"browser", person.id, None, "google", Purpose.CONNECT, (Feature.CALENDAR_READ,), (), "/",
        b"", now, now,
    )  # fmt: skip
    answer = provider.exchange_code(Secret("code"), Secret("verifier"), "")
    return services.authorization.grants.store_consent(request, provider, answer, provider.identity).connection.id


def _script(place: Installation, token: str, connection_id: UUID) -> Path:
    body = (
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange"
        "&subject_token_type=urn:latchkey:params:oauth:token-type:connection"
        f"&purpose=bench&subject_token={connection_id}"
    )
    path = place.directory / "post.lua"
    path.write_text(
        f'wrk.method = "POST"\nwrk.body = "{body}"\n'
        'wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"\n'
        f'wrk.headers["Authorization"] = "Bearer {token}"\n'
    )
    return path


@contextmanager
def _server(place: Installation, target: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    program = str(Path(sys.executable).with_name("granian"))
    command = [program, *GRANIAN, "--host", "127.0.0.1", "--port", str(port), target]
    process = subprocess.Popen(command, env=place.environment, stdout=subprocess.DEVNULL)
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://localhost:{port}/healthz", timeout=1)
        except urllib.error.HTTPError:
            break
        except OSError:
            time.sleep(0.1)
        else:
            break
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def _compare(options: argparse.Namespace, script: Path, port: int, bare_port: int) -> None:
    for connections in options.connections:
        ours, bare = [], []
        for _ in range(options.rounds):
            bare.append(_load(bare_port, connections, options.seconds, script))
            ours.append(_load(port, connections, options.seconds, script))
        for name, readings in (("bare", bare), ("hand-out", ours)):
            print(
                f"{name} c{connections}: {median(r.requests_per_s for r in readings):.0f} requests/s, "
                f"p50 {median(r.p50_ms for r in readings):.2f} ms, p99 {median(r.p99_ms for r in readings):.2f} ms, "
                f"errors {sum(r.errors for r in readings)}"
            )
        ratio = median(o.requests_per_s / b.requests_per_s for o, b in zip(ours, bare, strict=True))
        print(f"hand-out / bare c{connections}: {ratio:.2f} ratio, {options.rounds} rounds of {options.seconds} s")


def _load(port: int, connections: int, seconds: int, script: Path) -> Reading:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    done = subprocess.run(
        [*command, f"http://localhost:{port}/oauth2/token"], capture_output=True, text=True, check=True
    )
    text = done.stdout
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Reading(
        float(_found(r"Requests/sec:\s+([\d.]+)", text)),
        _milliseconds(_found(r"\n\s+50%\s+(\S+)", text)),
        _milliseconds(_found(r"\n\s+99%\s+(\S+)", text)),
        int(failed.group(1)) if failed else 0,
    )


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise SystemExit(f"wrk said something else:\n{text}")
    return match.group(1)


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]  # wrk's own format
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def _memory_mb(pid: int) -> float:
    """Return the proportional set size of a process and its children."""
    total = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if int(path.name) == pid or parent == pid:
                total += int(_found(r"Pss:\s+(\d+)", (path / "smaps_rollup").read_text()))
        except OSError:
            continue
    return total / 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
