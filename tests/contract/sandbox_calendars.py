"""Reach the sandbox's calendars from tests: tokens without a consent walk, and a receiver for push messages."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import requests

from app.sandbox.issuing import issue_access
from app.sandbox.server import RunningSandbox, serve
from app.sandbox.settings import SandboxSettings

GOOGLE = "https://www.googleapis.com/auth/"
GRAPH_ORIGIN = "https://graph.microsoft.com"
CALENDAR = "/calendar/v3/calendars/primary/events"


class Caller(requests.Session):
    """A session of one account that takes paths of the sandbox, or links that name Graph."""

    def __init__(self, base_url: str, token: str):
        super().__init__()
        self.trust_env = False
        self._base_url = base_url
        self.headers["Authorization"] = f"Bearer {token}"

    def request(self, method, url, **options):
        path = url.removeprefix(GRAPH_ORIGIN)
        return super().request(
            method, path if path.startswith("http") else self._base_url + path, timeout=30, **options
        )

    def pages(self, path, **params):
        """Walk all pages of a Google list; yield each page."""
        while True:
            answer = self.get(path, params=params)
            assert answer.status_code == 200, answer.text
            yield answer.json()
            if "nextPageToken" not in answer.json():
                return
            params["pageToken"] = answer.json()["nextPageToken"]

    def rounds(self, path, prefer='outlook.timezone="UTC"'):
        """Walk all pages of a Graph delta round; yield each page."""
        while path:
            answer = self.get(path, headers={"Prefer": prefer})
            assert answer.status_code == 200, answer.text
            yield answer.json()
            path = answer.json().get("@odata.nextLink")


@dataclass
class Calendars:
    """A running sandbox and sessions that are closed with it."""

    running: RunningSandbox
    sessions: list = field(default_factory=list)

    @property
    def base_url(self):
        return self.running.base_url

    def token(self, provider, account, scopes, client_id="client-one"):
        state = self.running.state
        with state.lock:
            grant = state.grants.allow(provider, account, client_id, set(scopes), state.clock.now())
            return issue_access(state, grant, set(scopes), prefix="", lifetime_s=3600)

    def google(self, account="ada", *scopes, client_id="client-one"):
        named = [GOOGLE + scope for scope in scopes or ("calendar",)]
        return self._caller(self.token("google", account, named, client_id))

    def graph(self, account="chiara", *scopes, client_id="client-one"):
        named = scopes or ("User.Read", "Calendars.ReadWrite", "MailboxSettings.Read")
        return self._caller(self.token("microsoft", account, named, client_id))

    def control(self, path, method="POST", **body):
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, f"{self.base_url}/_control{path}", json=body or None, timeout=60)
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def _caller(self, token):
        caller = Caller(self.base_url, token)
        self.sessions.append(caller)
        return caller


@contextmanager
def calendars(**settings) -> Iterator[Calendars]:
    """Serve a sandbox and close every session taken from it."""
    with serve(SandboxSettings(base_url="", **settings)) as running:
        served = Calendars(running)
        try:
            yield served
        finally:
            for session in served.sessions:
                session.close()


@dataclass(frozen=True)
class Received:
    """One request a receiver got."""

    path: str
    headers: dict
    body: bytes


@dataclass
class Receiver:
    """A receiver of push messages; `answers` decides the status of each, `echoes` whether validation succeeds."""

    url: str = ""
    received: list = field(default_factory=list)
    answers: list = field(default_factory=list)
    echoes: bool = True
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, count, timeout_s=10.0):
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.received) >= count, timeout_s), self.received
            return list(self.received)

    def handle(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        token = parse_qs(urlsplit(handler.path).query).get("validationToken")
        if token:
            return (200, token[0].encode()) if self.echoes else (200, b"something else")
        with self.arrived:
            self.received.append(Received(handler.path, dict(handler.headers.items()), body))
            self.arrived.notify_all()
            return (self.answers.pop(0) if self.answers else 204), b""


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Listen for push messages on a free port of this machine."""
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            status, body = kept.handle(self)
            self.send_response(status)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    kept.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
