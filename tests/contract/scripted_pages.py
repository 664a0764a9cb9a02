"""A provider whose answers a test makes up: a function from path and query (or posted JSON) to a JSON body."""

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

from app.providers.http import OutboundClient
from tests.contract.sandbox_walk import REAL_ORIGINS


@contextmanager
def scripted_pages():
    """Yield a client whose calls to the real origins come here, and a function that sets the answering function."""

    class Handler(BaseHTTPRequestHandler):
        answer = None
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            parts = urlsplit(self.path)
            self.reply(parts.path, parse_qs(parts.query))

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.reply(urlsplit(self.path).path, json.loads(body))

        def reply(self, path, asked):
            body = json.dumps(type(self).answer(path, asked)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    http = OutboundClient(dict.fromkeys(REAL_ORIGINS, f"http://127.0.0.1:{server.server_port}"))
    try:
        yield http, lambda answer: setattr(Handler, "answer", staticmethod(answer))
    finally:
        http.close()
        server.shutdown()
        thread.join()
        server.server_close()
