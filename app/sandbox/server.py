"""Serve the sandbox over HTTP or TLS, in a thread for tests or for good."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from flask import Flask
from werkzeug.serving import BaseWSGIServer, ThreadedWSGIServer, WSGIRequestHandler, make_server

from app.sandbox.application import create_sandbox, sandbox_of
from app.sandbox.faults import AT_END
from app.sandbox.settings import SandboxSettings
from app.sandbox.state import Sandbox

LOOPBACK = "127.0.0.1"
SILENT_CONNECTION_S = 5
"""How long a client may say nothing on an open connection, as browsers do that connect ahead of need."""


class _QuietHandler(WSGIRequestHandler):
    """Answer requests without printing them; request lines can carry codes."""

    timeout = SILENT_CONNECTION_S
    protocol_version = "HTTP/1.1"

    def run_wsgi(self) -> None:
        """Answer one request. Werkzeug forgets to close the answer to a client that was killed; its end is its end."""
        try:
            super().run_wsgi()
        finally:
            at_end = getattr(self, "environ", {}).get(AT_END)
            if at_end is not None:
                at_end()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print nothing: the request log keeps a masked entry."""

    def connection_dropped(self, error: BaseException, environ: dict[str, object] | None = None) -> None:
        """Close the connection after a scripted drop, so that nothing more is sent on it."""
        del error, environ
        self.close_connection = True


@dataclass(frozen=True)
class RunningSandbox:
    """A sandbox that answers at `base_url` until its block ends."""

    base_url: str
    app: Flask
    state: Sandbox


def open_server(
    settings: SandboxSettings, *, port: int = 0, ssl_context: ssl.SSLContext | None = None, host: str = LOOPBACK
) -> tuple[BaseWSGIServer, Flask]:
    """Bind a port (0: any free one) and build the application for it.

    An empty `settings.base_url` is filled in with the address that was bound. Raises OSError when the port is taken.
    """
    server = make_server(host, port, _not_ready, threaded=True, request_handler=_QuietHandler, ssl_context=ssl_context)
    scheme = "https" if ssl_context is not None else "http"
    base_url = settings.base_url or f"{scheme}://{host}:{server.server_port}"
    try:
        app = create_sandbox(replace(settings, base_url=base_url.rstrip("/")))
    except BaseException:
        server.server_close()
        raise
    server.app = app
    return server, app


@contextmanager
def serve(
    settings: SandboxSettings, *, port: int = 0, ssl_context: ssl.SSLContext | None = None, host: str = LOOPBACK
) -> Iterator[RunningSandbox]:
    """Serve a sandbox from a thread of this process while the block runs."""
    server, app = open_server(settings, port=port, ssl_context=ssl_context, host=host)
    # Closing waits for requests under way, so that no thread outlives the block.
    if isinstance(server, ThreadedWSGIServer):
        server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="sandbox", daemon=True)
    thread.start()
    state = sandbox_of(app)
    try:
        yield RunningSandbox(state.settings.base_url, app, state)
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()
        state.close()


def _not_ready(environ: object, start_response: object) -> list[bytes]:
    del environ, start_response
    raise ConnectionAbortedError("the sandbox is starting")
