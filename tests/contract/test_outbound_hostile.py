"""The outbound client against servers that misbehave on purpose, over real sockets."""

import gzip
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from app.domain.errors import ProviderUnavailable
from app.domain.secret import Secret
from app.guard import NetworkInsideTransaction, transaction
from app.providers.client_authentication import SecretInBody
from app.providers.credential_list import CredentialList
from app.providers.google.token_refusals import classify
from app.providers.http import OutboundClient, Reply
from app.providers.live_calls import revoke_token
from app.providers.token_endpoint import TokenEndpoint

ORIGIN = "https://oauth2.googleapis.com"
TOLERANCE_S = 3.0
BOMB = gzip.compress(b"\0" * 20_000_000)
"""Twenty kilobytes on the wire, twenty megabytes in memory."""

Handler = Callable[[socket.socket, threading.Event], None]


class HostileServer:
    """Accepts connections and hands each to ``handler``; counts them and keeps what was sent to it."""

    def __init__(self, handler: Handler, context: ssl.SSLContext | None = None) -> None:
        self.handler = handler
        self.context = context
        self.stopped = threading.Event()
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.threads: list[threading.Thread] = []
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    def _accept(self) -> None:
        self.listener.settimeout(0.05)
        while not self.stopped.is_set():
            try:
                connection, _ = self.listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            try:
                if self.context is not None:
                    with self.context.wrap_socket(connection, server_side=True) as wrapped:
                        self.handler(wrapped, self.stopped)
                else:
                    self.handler(connection, self.stopped)
            except OSError:
                pass

    def stop(self) -> None:
        self.stopped.set()
        self.acceptor.join(5)
        self.listener.close()
        for thread in self.threads:
            thread.join(5)


@contextmanager
def hostile(handler: Handler, context: ssl.SSLContext | None = None) -> Iterator[HostileServer]:
    server = HostileServer(handler, context)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def client_of(server: HostileServer) -> Iterator[OutboundClient]:
    client = OutboundClient({ORIGIN: f"http://127.0.0.1:{server.port}"})
    try:
        yield client
    finally:
        client.close()


def read_request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        if not chunk:
            return received
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answer(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def drip_head(connection: socket.socket, stopped: threading.Event) -> None:
    read_request(connection)
    for byte in b"HTTP/1.1 200 OK\r\nX-Padding: " + b"a" * 5000:
        connection.send(bytes([byte]))
        if stopped.wait(0.05):
            return


def drip_body(connection: socket.socket, stopped: threading.Event) -> None:
    read_request(connection)
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    for _ in range(5000):
        connection.send(b" ")
        if stopped.wait(0.05):
            return


def hang(connection: socket.socket, stopped: threading.Event) -> None:
    read_request(connection)
    stopped.wait(10)


def endless_interim(connection: socket.socket, stopped: threading.Event) -> None:
    read_request(connection)
    while not stopped.is_set():
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.01)


def endless_chunks(connection: socket.socket, stopped: threading.Event) -> None:
    read_request(connection)
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not stopped.is_set():
        connection.send(b"2000\r\n" + b"a" * 0x2000 + b"\r\n")


def endless_until_close(connection: socket.socket, stopped: threading.Event) -> None:
    read_request(connection)
    connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while not stopped.is_set():
        connection.send(b"a" * 8192)


def gzip_bomb(connection: socket.socket, stopped: threading.Event) -> None:
    read_request(connection)
    connection.sendall(answer(BOMB, headers="Content-Encoding: gzip\r\n"))


def nested_gzip_bomb(connection: socket.socket, stopped: threading.Event) -> None:
    read_request(connection)
    connection.sendall(answer(gzip.compress(BOMB), headers="Content-Encoding: gzip, gzip\r\n"))


def broken_gzip(connection: socket.socket, stopped: threading.Event) -> None:
    read_request(connection)
    connection.sendall(answer(b"this is not gzip", headers="Content-Encoding: gzip\r\n"))


def garbage(connection: socket.socket, stopped: threading.Event) -> None:
    read_request(connection)
    connection.sendall(b"\x00\xff<html>nothing like HTTP\r\n\r\n")


def reset(connection: socket.socket, stopped: threading.Event) -> None:
    read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def close_silently(connection: socket.socket, stopped: threading.Event) -> None:
    read_request(connection)


def truncate(connection: socket.socket, stopped: threading.Event) -> None:
    read_request(connection)
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"access_token":"abc')


@pytest.mark.parametrize(
    ("handler", "codes"),
    [
        (drip_head, {"timeout"}),
        (drip_body, {"timeout"}),
        (hang, {"timeout"}),
        (endless_interim, {"timeout", "bad_http"}),
        (endless_chunks, {"too_large"}),
        (endless_until_close, {"too_large"}),
        (gzip_bomb, {"too_large"}),
        (nested_gzip_bomb, {"too_large"}),
        (broken_gzip, {"bad_encoding"}),
        (garbage, {"bad_http"}),
        (reset, {"reset"}),
        (close_silently, {"reset"}),
        (truncate, {"truncated"}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_hostile_answer_ends_within_the_deadline_and_names_its_fault(handler, codes):
    with hostile(handler) as server, client_of(server) as client:
        started = time.monotonic()
        with pytest.raises(ProviderUnavailable) as caught:
            client.request("POST", f"{ORIGIN}/token", form={"a": "b"}, max_bytes=65536, deadline_s=0.8)
        elapsed_s = time.monotonic() - started

    assert caught.value.detail in codes
    assert elapsed_s < 0.8 + TOLERANCE_S
    assert server.connections == 1


def test_a_hostile_tls_handshake_ends_within_the_connect_limit(tmp_path):
    with hostile(hang) as server:
        client = OutboundClient({ORIGIN: f"https://127.0.0.1:{server.port}"})
        started = time.monotonic()
        with pytest.raises(ProviderUnavailable):
            client.request("GET", f"{ORIGIN}/certs", deadline_s=5, connect_timeout_s=0.4)

        assert time.monotonic() - started < 0.4 + TOLERANCE_S


def test_a_redirect_is_returned_and_nothing_is_sent_on():
    def other(connection: socket.socket, stopped: threading.Event) -> None:
        read_request(connection)
        connection.sendall(answer(b'{"access_token":"stolen"}'))

    with hostile(other) as elsewhere:

        def redirect(connection: socket.socket, stopped: threading.Event) -> None:
            read_request(connection)
            # This server serves one request a connection, and says so: the second must not meet a closed one.
            to = f"Location: http://127.0.0.1:{elsewhere.port}/token\r\nConnection: close\r\n"
            connection.sendall(answer(b"", status="307 Temporary Redirect", headers=to))

        with hostile(redirect) as server, client_of(server) as client:
            reply = client.request("POST", f"{ORIGIN}/token", form={"refresh_token": "secret"})
            credentials = CredentialList("provider", lambda: [SecretInBody("id", Secret("s"))])
            endpoint = TokenEndpoint(client, f"{ORIGIN}/token", credentials, classify)
            with pytest.raises(ProviderUnavailable, match="redirect"):
                endpoint.refresh(Secret("refresh"))

        assert reply.status == 307
        assert elsewhere.connections == 0


def test_connections_are_kept_and_shared_by_threads():
    def keep_alive(connection: socket.socket, stopped: threading.Event) -> None:
        while read_request(connection):
            connection.sendall(answer(b'{"ok":true}'))

    with hostile(keep_alive) as server, client_of(server) as client:

        def call(_: int) -> Reply:
            return client.request("GET", f"{ORIGIN}/x", deadline_s=5)

        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(call, range(200)))

    assert {reply.body for reply in replies} == {b'{"ok":true}'}
    assert server.connections <= 8


def test_an_oversized_answer_does_not_poison_the_pool():
    answers = iter([answer(b"a" * 5000), answer(b"fine")])

    def two(connection: socket.socket, stopped: threading.Event) -> None:
        while read_request(connection):
            connection.sendall(next(answers))

    with hostile(two) as server, client_of(server) as client:
        with pytest.raises(ProviderUnavailable, match="too_large"):
            client.request("GET", f"{ORIGIN}/x", max_bytes=100)
        reply = client.request("GET", f"{ORIGIN}/x", max_bytes=100)

    assert reply.body == b"fine"


def test_cookies_of_one_answer_are_not_sent_with_the_next_request():
    seen: list[bytes] = []

    def cookie_setter(connection: socket.socket, stopped: threading.Event) -> None:
        while head := read_request(connection):
            seen.append(head)
            connection.sendall(answer(b"{}", headers="Set-Cookie: person=ada; Path=/\r\n"))

    with hostile(cookie_setter) as server, client_of(server) as client:
        client.request("GET", f"{ORIGIN}/x")
        client.request("GET", f"{ORIGIN}/x")

    assert len(seen) == 2
    assert not any(b"cookie" in head.lower() for head in seen)


def test_routing_keeps_path_query_and_prefix_and_names_the_target_as_host():
    seen: list[bytes] = []

    def record(connection: socket.socket, stopped: threading.Event) -> None:
        seen.append(read_request(connection))
        connection.sendall(answer(b"{}"))

    with hostile(record) as server:
        client = OutboundClient({"https://idp.sandbox.test": f"http://127.0.0.1:{server.port}/idp"})
        client.request("GET", "https://idp.sandbox.test/a%20b/c?x=1&y=%2F", params={"z": "ä"})
        client.close()

    lines = seen[0].split(b"\r\n")
    assert lines[0] == b"GET /idp/a%20b/c?x=1&y=%2F&z=%C3%A4 HTTP/1.1"
    assert f"Host: 127.0.0.1:{server.port}".encode() in lines


def test_no_call_is_made_inside_a_database_transaction():
    with hostile(hang) as server, client_of(server) as client:
        with transaction(), pytest.raises(NetworkInsideTransaction):
            client.request("GET", f"{ORIGIN}/x")
        time.sleep(0.1)

        assert server.connections == 0


def serve_json(connection: socket.socket, stopped: threading.Event) -> None:
    while read_request(connection):
        connection.sendall(answer(b"{}"))


def test_tls_is_verified_against_the_given_bundle_and_the_name(tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("idp.example.test").configure_cert(context)
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))

    with hostile(serve_json, context) as server:
        url = f"https://idp.example.test:{server.port}/x"
        wrong = f"https://other.example.test:{server.port}/x"
        resolve = lambda _host, _port: ["127.0.0.1"]  # noqa: E731 - one expression
        trusted = {"trusted_origins": [url, wrong], "resolve": resolve}
        right = OutboundClient(ca_bundle=bundle, **trusted)
        assert right.request("GET", url).status == 200
        with pytest.raises(ProviderUnavailable, match="tls"):
            right.request("GET", wrong)
        without = OutboundClient(**trusted)
        with pytest.raises(ProviderUnavailable, match="tls"):
            without.request("GET", url)
        right.close()
        without.close()


def test_a_name_that_changes_its_address_after_the_check_is_not_followed(tmp_path):
    answers = iter([["93.184.215.14", "127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"]])

    with hostile(serve_json) as server:
        client = OutboundClient(resolve=lambda _host, _port: next(answers))
        for _ in range(4):
            with pytest.raises(ProviderUnavailable, match="address_refused"):
                client.request("GET", f"https://rebind.example.test:{server.port}/x", deadline_s=2)

        assert server.connections == 0


def test_the_judged_address_is_the_one_connected_to():
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.255.255.1"]

    with hostile(serve_json) as server:
        origin = f"http://rebind.example.test:{server.port}"
        client = OutboundClient(trusted_origins=[origin], resolve=resolve)
        assert client.request("GET", f"{origin}/x").status == 200
        client.close()

    assert asked == ["rebind.example.test"]


def test_a_resolver_that_hangs_ends_with_the_connect_limit():
    release = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        release.wait(60)
        return []

    started = time.monotonic()
    with pytest.raises(ProviderUnavailable, match="dns"):
        OutboundClient(resolve=resolve).request("GET", "https://slow.example.test/x", connect_timeout_s=0.3)
    release.set()

    # Long before the resolver would have answered.
    assert time.monotonic() - started < 30


def test_the_environment_adds_no_proxy_and_no_credentials(monkeypatch, tmp_path):
    seen: list[bytes] = []

    def record(connection: socket.socket, stopped: threading.Event) -> None:
        seen.append(read_request(connection))
        connection.sendall(answer(b"{}"))

    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password planted\n")
    netrc.chmod(0o600)
    with hostile(hang) as proxy, hostile(record) as server, client_of(server) as client:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NETRC", str(netrc))
        client.request("GET", f"{ORIGIN}/x", deadline_s=3)

        assert proxy.connections == 0
    assert b"authorization" not in seen[0].lower()


def test_a_client_made_before_a_fork_opens_its_own_connections_after_it():
    program = (
        "import os, sys\n"
        "from app.providers.http import OutboundClient\n"
        "client = OutboundClient({'https://oauth2.googleapis.com': 'http://127.0.0.1:' + sys.argv[1]})\n"
        "client.request('GET', 'https://oauth2.googleapis.com/x')\n"
        "child = os.fork()\n"
        "status = client.request('GET', 'https://oauth2.googleapis.com/x', deadline_s=5).status\n"
        "if child == 0:\n"
        "    os._exit(0 if status == 200 else 1)\n"
        "sys.exit(os.waitpid(child, 0)[1])\n"
    )
    root = Path(__file__).parents[2]
    with hostile(serve_json) as server:
        done = subprocess.run(
            [sys.executable, "-c", program, str(server.port)],
            timeout=30,
            check=False,
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
        )

        assert done.returncode == 0
        assert server.connections == 2


def test_revoking_at_a_dead_provider_is_reported_and_not_raised():
    with hostile(reset) as server, client_of(server) as client:
        outcome = revoke_token(
            client, f"{ORIGIN}/revoke", Secret("token"), SecretInBody("id", Secret("s")).credentials()
        )

    assert outcome.outcome == "failed"
