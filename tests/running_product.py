"""The whole product as a person runs it: `python -m app.dev run` in a directory of its own, and hands to touch it with.

```
with running_product(directory, token_lifetime=90) as product:
    person = product.http()
    person.sign_in("google", "ada")
    connection_id = person.connect("google", "ada")
```
"""

from __future__ import annotations

import fcntl
import hashlib
import html
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookiejar import Cookie
from pathlib import Path
from typing import Any, LiteralString, TypeVar

import psycopg
import requests
from requests.cookies import RequestsCookieJar

from app.dev.ports import is_free
from tests.process_family import Family, command_line, descendants, parents_of_all

ROOT = Path(__file__).resolve().parents[1]
READY_WITHIN_S = 100.0
STOPPED_WITHIN_S = 60.0
_CSRF = re.compile(r'name="csrf_token" value="([0-9a-f]+)"')
_CONNECTION = re.compile(r'href="/connections/([0-9a-f-]{36})"')

# What a command line shows of each part of the product.
_PARTS: Mapping[str, str] = {
    "web": "granian",
    "worker": "workers.main worker",
    "beat": "workers.main beat",
    "sandbox": "app.sandbox",
    "postgres": "bin/postgres",
    "redis": "redis-server",
}

Found = TypeVar("Found")


@dataclass(frozen=True)
class Product:
    """A running product and where to reach it."""

    public_url: str
    sandbox_url: str
    directory: Path
    log_file: Path
    """Output of all processes, each line under the name of its source."""
    service_secret: str = field(repr=False)
    """Secret of the service `demo`, which may see every connection."""
    curl: str = field(repr=False)
    """The shell command that the run prints to fetch a token with."""
    process: subprocess.Popen[bytes]

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def control(self, path: str, method: str = "POST", **body: object) -> Any:
        """Call the sandbox's control interface below `/_control/`; return its JSON, None without any."""
        url = f"{self.sandbox_url}/_control/{path}"
        answer = requests.request(method, url, json=body if method == "POST" else None, timeout=40)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def sandbox_log(self, operation: str | None = None) -> list[dict[str, Any]]:
        """Return the requests the sandbox remembers, oldest first; of one operation, such as `google.token`, or all."""
        requests_seen = self.control("log", "GET")["requests"]
        return [entry for entry in requests_seen if operation in (None, entry["operation"])]

    def http(self) -> Person:
        """Return somebody with a fresh browser who is not signed in yet."""
        return Person(self)

    def service(self, path: str, **form: object) -> requests.Response:
        """Ask as the service `demo`: POST with a form, GET without."""
        url, credential = f"{self.public_url}{path}", ("demo", self.service_secret)
        if form:
            return requests.post(url, data=form, auth=credential, timeout=30)
        return requests.get(url, auth=credential, timeout=30)

    def exchange(self, connection_id: str, *, rejected: str | None = None, **parameters: object) -> requests.Response:
        """Ask as the service `demo` for a provider access token (RFC 8693), in place of one that was `rejected`."""
        if rejected is not None:
            parameters["rejected_token_sha256"] = hashlib.sha256(rejected.encode()).hexdigest()
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "urn:latchkey:params:oauth:token-type:connection",
            "subject_token": connection_id,
            "purpose": "demo",
        }
        return self.service("/oauth2/token", **form, **parameters)

    def access_token(self, connection_id: str, **parameters: Any) -> str:
        """Return the provider access token that `exchange` must yield."""
        answer = self.exchange(connection_id, **parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    @contextmanager
    def database(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """Open the product's own database; every statement commits by itself."""
        places = re.findall(r'listening on Unix socket "(.+)/\.s\.PGSQL\.(\d+)"', self.log())
        host, port = places[-1]
        with psycopg.connect(host=host, port=port, user="latchkey", dbname="latchkey", autocommit=True) as connection:
            yield connection

    def rows(self, statement: LiteralString, *values: object, **named: object) -> list[tuple[Any, ...]]:
        """Return what a query finds in the product's database; parameters are `%s`, or `%(name)s` for named ones."""
        with self.database() as connection:
            return connection.execute(statement, named or values).fetchall()

    def let_tokens_age(self) -> None:
        """Let all access tokens be a minute old: one that is fresh is not thrown away because a caller says so."""
        with self.database() as connection:
            connection.execute("UPDATE connections SET last_refreshed_at = last_refreshed_at - interval '1 minute'")

    def child_pids(self) -> dict[str, list[int]]:
        """Return the process numbers of web, worker, beat, sandbox, postgres and redis, each with the leader first."""
        parents = parents_of_all()
        found: dict[str, list[int]] = {}
        for leader in (pid for pid, parent in parents.items() if parent == self.process.pid):
            command = command_line(leader)
            part = next((name for name, sign in _PARTS.items() if sign in command), None)
            if part is not None:
                found[part] = [leader, *descendants(leader, parents)]
        return found


class _LoopbackCookies(RequestsCookieJar):
    """Sends `Secure` cookies over plain HTTP: browsers hold loopback for secure, the library does not."""

    def set_cookie(self, cookie: Cookie, *args: Any, **kwargs: Any) -> None:
        cookie.secure = False
        super().set_cookie(cookie, *args, **kwargs)


class Person:
    """Somebody with a browser, without the browser: cookies, forms, and consent by the sandbox's control interface."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.browser = requests.Session()
        self.browser.trust_env = False
        self.browser.cookies = _LoopbackCookies()

    def get(self, path: str, **options: Any) -> requests.Response:
        """Open a page of the product by its path or whole address; redirects are followed."""
        url = path if "://" in path else f"{self.product.public_url}{path}"
        return self.browser.get(url, timeout=30, **options)

    def post(self, path: str, form_on: str = "/connect", **form: Any) -> requests.Response:
        """Send a form, with the token from the page `form_on`."""
        token = _CSRF.search(self.get(form_on).text)
        assert token, f"no form on {form_on}"
        return self.browser.post(
            f"{self.product.public_url}{path}", data={"csrf_token": token.group(1), **form}, timeout=30
        )

    def approve(self, leaving: requests.Response, account: str, **decision: object) -> str:
        """Decide at the provider that the page leads to, as `account`; return where the browser is sent back to."""
        return self.product.control("approve", url=leads_to(leaving), account=account, **decision)["location"]

    def sign_in(self, provider: str, account: str) -> None:
        leaving = self.post(f"/sign-in/{provider}", form_on="/")
        landed = self.get(self.approve(leaving, account))
        assert landed.ok, landed.text
        assert "/sign-out" in landed.text, "signing in did not make a session"

    def begin(self, provider: str, *features: str) -> requests.Response:
        """Press connect; return the page that leads to the provider."""
        return self.post(f"/connect/{provider}", feature=list(features))

    def connect(self, provider: str, account: str, *features: str, unticked: Iterable[str] = ()) -> str:
        """Connect an account, to read its calendars unless `features` say otherwise; return the connection's id."""
        kept = set(self.connection_ids())
        features = features or (() if provider == "acme" else ("calendar.read",))
        landed = self.get(self.approve(self.begin(provider, *features), account, unticked=list(unticked)))
        assert landed.ok, f"{landed.status_code} {title_of(landed)}"
        (fresh,) = set(self.connection_ids()) - kept
        return fresh

    def connection_ids(self) -> list[str]:
        return list(dict.fromkeys(_CONNECTION.findall(self.get("/connections").text)))


def leads_to(leaving: requests.Response) -> str:
    """Return the address at a provider that a page of the product leads to."""
    assert leaving.ok, f"{leaving.status_code} {title_of(leaving)}"
    found = re.search(r'class="button main" href="([^"]+)"', leaving.text)
    assert found, "the page leads nowhere"
    return html.unescape(found.group(1))


def title_of(page: requests.Response) -> str:
    """Return the main heading of a page."""
    found = re.search(r"<h1>(.*?)</h1>", page.text, re.DOTALL)
    return html.unescape(found.group(1)) if found else page.text[:200]


def eventually(
    look: Callable[[], Found], *, within_s: float, what: str = "what was waited for", every_s: float = 0.2
) -> Found:
    """Return what `look` returns as soon as that is true; fail after `within_s`."""
    deadline = time.monotonic() + within_s
    while True:
        if found := look():
            return found
        assert time.monotonic() < deadline, f"no sign of {what} within {within_s:.0f} s"
        time.sleep(every_s)


@contextmanager
def running_product(
    directory: Path, *, environment: Mapping[str, str] | None = None, **options: object
) -> Iterator[Product]:
    """Run the whole product with its data in `directory`, until the block ends; then every process must be gone.

    `options` are those of `dev.py run`: `token_lifetime=90` for `--token-lifetime 90`, `reset=True` for `--reset`.
    `environment` is added to a clean one. The block may end or kill the run itself.
    """
    directory.mkdir(parents=True, exist_ok=True)
    log_file = directory / "run.log"
    with log_file.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.dev", "run", "--data-dir", str(directory / "data"), *_flags(options)],
            cwd=ROOT,
            env=_clean_environment() | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    family = Family(process.pid)
    try:
        yield _when_ready(process, directory, log_file)
    finally:
        family.look()
        _stop(process, log_file)
        _expect_gone(family, directory / "data" / "run.lock")


def _expect_gone(family: Family, lock: Path) -> None:
    """Expect every process of a run to be gone soon; where the run was killed, its children follow on their own."""
    deadline = time.monotonic() + STOPPED_WITHIN_S / 2
    while (left := family.survivors()) or not _is_unlocked(lock):
        if time.monotonic() > deadline:
            family.kill()
            raise AssertionError(f"processes outlived the run: {left or 'somebody who holds its lock'}")
        time.sleep(0.1)


def free_port() -> int:
    """Return a TCP port that nobody listens on, neither on 127.0.0.1 nor on ::1."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if is_free(port):
            return port


def _flags(options: Mapping[str, object]) -> Iterator[str]:
    # Runs that start at the same moment would all choose the default port.
    for name, value in {"port": free_port(), "sandbox_port": free_port(), **options}.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            yield flag
        elif value is not False and value is not None:
            yield from (flag, str(value))


def _clean_environment() -> dict[str, str]:
    """Return our environment without anything that would lead the product to somebody's real servers or settings."""
    ours = ("DATABASE_URL", "REDIS_URL", "HOST", "PORT", "COLUMNS")
    return {k: v for k, v in os.environ.items() if k not in ours and not k.startswith(("LATCHKEY_", "PYTEST_"))}


def _when_ready(process: subprocess.Popen[bytes], directory: Path, log_file: Path) -> Product:
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        log = log_file.read_text(encoding="utf-8", errors="replace")
        # The line after the last of what is printed for people is empty.
        if printed := re.search(r"^Latchkey is running\..*?^(curl .*?)^$", log, re.DOTALL | re.MULTILINE):
            break
        assert process.poll() is None, f"the run ended with {process.returncode}:\n{log[-4000:]}"
        assert time.monotonic() < deadline, f"the run was not ready after {READY_WITHIN_S:.0f} s:\n{log[-4000:]}"
        time.sleep(0.1)
    text, curl = printed.group(0), printed.group(1)
    return Product(
        public_url=_one(r"Open +(http://\S+)", text),
        sandbox_url=_one(r"at (http://127\.0\.0\.1:\d+)", text),
        directory=directory,
        log_file=log_file,
        service_secret=_one(r"-u demo:(\S+)", curl),
        curl=curl,
        process=process,
    )


def _one(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, f"{pattern} is not in what the run printed:\n{text}"
    return found.group(1)


def _stop(process: subprocess.Popen[bytes], log_file: Path) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        status = process.wait(STOPPED_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(f"the run did not stop:\n{log_file.read_text(errors='replace')[-4000:]}") from None
    assert status == 0, f"Ctrl-C ended the run with {status}:\n{log_file.read_text(errors='replace')[-4000:]}"


def _is_unlocked(lock: Path) -> bool:
    """Say whether nobody holds the lock that every process of the run inherits."""
    if not lock.exists():
        return True
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
