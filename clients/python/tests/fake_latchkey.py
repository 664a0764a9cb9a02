"""A Latchkey and a provider's API in one small HTTP server: answers as scripted, remembers what it was asked."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from latchkey_client import ClientSecret, Connection

CONNECTION_ID = "0b9e3e5e-5a6a-4f6e-9c58-0d5c54b5a4c1"
ADA = Connection(CONNECTION_ID)
SECRET = ClientSecret("planner", "a secret/with +signs")


@dataclass(frozen=True)
class Reply:
    """One scripted answer; status 0 drops the connection instead."""

    status: int = 200
    body: object = None
    """JSON, or bytes as they are; None with 200: what Latchkey would say."""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


@dataclass(frozen=True)
class Asked:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))


class FakeLatchkey:
    """What the server knows. Scripted answers come first; without any, every exchange gives a new token."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.service_replies: deque[Reply] = deque()
        self.exchange_replies: deque[Reply] = deque()
        self.explain_replies: deque[Reply] = deque()
        self.expires_in = 3600
        self.service_expires_in = 600
        self.exchange_takes_s = 0.0
        self.dead: set[str] = set()
        """Provider tokens that the API refuses."""
        self._lock = threading.Lock()
        self._serial = 0

    def exchanges(self) -> list[Asked]:
        return [asked for asked in self._token_calls() if "subject_token" in asked.form]

    def service_calls(self) -> list[Asked]:
        return [asked for asked in self._token_calls() if asked.form.get("grant_type") == "client_credentials"]

    def api_calls(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.path.startswith("/api")]

    def reply_to(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            scripted, usual = self._part(asked)
            reply = scripted.popleft() if scripted else Reply()
            return reply if reply.body is not None or reply.status != 200 else Reply(200, usual, delay_s=reply.delay_s)

    def _token_calls(self) -> list[Asked]:
        with self._lock:
            return [asked for asked in self.asked if asked.path == "/oauth2/token"]

    def _part(self, asked: Asked) -> tuple[deque[Reply], object]:
        self._serial += 1
        if asked.path.startswith("/api"):
            return deque([self._api_reply(asked)]), None
        if asked.path == "/v1/tokens/explain":
            return self.explain_replies, {}
        if asked.form.get("grant_type") == "client_credentials":
            token = f"service-{self._serial}"
            return self.service_replies, {
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": self.service_expires_in,
            }
        return self.exchange_replies, exchanged(f"token-{self._serial}", self.expires_in)

    def _api_reply(self, asked: Asked) -> Reply:
        if asked.path == "/api/elsewhere":
            return Reply(302, b"", {"Location": self.url.replace("127.0.0.1", "localhost") + "/api/other"})
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        is_good = token.startswith("token-") and token not in self.dead
        return Reply(200 if is_good else 401, {"token": token, "length": len(asked.body)})


def exchanged(token: str, expires_in: object = 3600, **more: object) -> dict[str, object]:
    """Return the body of a successful exchange."""
    return {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": expires_in,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "scope": "calendar.read openid",
        "connection_id": CONNECTION_ID,
        "provider": "google",
        "account": "ada@example.com",
        "granted_at": "2031-01-01T00:00:00Z",
        "handout_id": f"handout-{len(token)}",
    } | more


@contextmanager
def serving(fake: FakeLatchkey, certificate: ssl.SSLContext | None = None) -> Iterator[FakeLatchkey]:
    """Serve on a free port of this machine until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.path, headers, body)
            reply = fake.reply_to(asked)
            time.sleep(reply.delay_s + (fake.exchange_takes_s if "subject_token" in asked.form else 0))
            if reply.status == 0:
                self.close_connection = True
                return
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in ({"Content-Type": "application/json"} | reply.headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815 - the name http.server looks for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """Say nothing of a client that went away."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            server.socket = certificate.wrap_socket(server.socket, server_side=True)
        fake.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
