"""What each part of a hand-out costs, in one thread of one process, in processor time.

Thread time leaves out what other processes do and what the database computes; it is what a core is busy with.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, g

from app.web import access, access_log, current, security_headers
from app.web.api import form_body, token_answers, token_request
from tests.bench._bare import application
from tests.bench._seed import Seeded

ROUNDS = 4000


def table(app: Flask, seeded: Seeded) -> list[tuple[str, float]]:
    """Return parts and microseconds; the first three are whole requests: a bare route and a hand-out in both ways."""
    environ = _environ(seeded, app.extensions[current.SETTINGS_KEY].origin.partition("://")[2])
    # Said in other words, so that the quick lane leaves it to the framework.
    ordinary = {"CONTENT_TYPE": "application/x-www-form-urlencoded; charset=utf-8"}
    rows = [
        ("bare Flask route, whole", _whole(application(), environ)),
        ("hand-out, whole, the ordinary way", _whole(app, lambda: {**environ(), **ordinary})),
        ("hand-out, whole, repeated in the same words", _whole(app, environ)),
    ]
    with app.request_context(environ()):
        rows += _inside(app)
    return rows


def _inside(app: Flask) -> list[tuple[str, float]]:
    services = current.services()
    access.admit()
    service, values = current.service(), form_body.form_values()
    wanted = token_request.exchange_request(values)
    exchange = services.token_exchange
    key = (service.id, wanted.ask)
    cleared = exchange._cleared.get(key, lambda: exchange._clear(*key))
    tokens, token = cleared.found.tokens, exchange._serve(cleared, wanted)
    done = exchange.exchange(service, wanted)

    def authenticated() -> None:
        g.pop("form_values", None)
        access.admit()

    def from_the_database() -> None:
        exchange._clear(*key)

    def headers() -> None:
        answer = app.response_class(b"{}", mimetype="application/json")
        access_log.log_answer(security_headers.add_security_headers(answer))

    return [
        ("authentication, with reading the form", _us(authenticated)),
        ("request", _us(lambda: token_request.exchange_request(values))),
        ("rate", _us(lambda: exchange.rates.take(service.id, wanted.ask.subject))),
        ("query and policy, kept for 0.8 s", _us(lambda: exchange._cleared.get(key, from_the_database))),
        ("query and policy, from the database", _us(from_the_database, 300)),
        ("decryption", _us(lambda: exchange.access_tokens.serve(tokens, 60))),
        ("audit", _us(lambda: exchange._release(service, cleared, token))),
        ("JSON", _us(lambda: token_answers.exchanged_answer(done))),
        ("headers and log", _us(headers)),
    ]


def _whole(app: Flask, environ: Callable[[], dict[str, Any]]) -> float:
    return _us(lambda: _call(app, environ))


def _us(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return microseconds of this thread's processor time per call; the least of three series."""
    work()
    series = []
    for _ in range(3):
        began = time.thread_time()
        for _ in range(rounds // 3):
            work()
        series.append((time.thread_time() - began) / (rounds // 3) * 1e6)
    return min(series)


def _call(app: Flask, environ: Callable[[], dict[str, Any]]) -> None:
    statuses: list[str] = []
    answer = app(environ(), lambda status, _headers, _error=None: statuses.append(status))  # type: ignore[arg-type, return-value]
    b"".join(answer)
    assert statuses == ["200 OK"]


def _environ(seeded: Seeded, host: str) -> Callable[[], dict[str, Any]]:
    body = (
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange"
        "&subject_token_type=urn:latchkey:params:oauth:token-type:connection"
        f"&purpose=bench&subject_token={seeded.connection_id}"
    ).encode()
    fixed = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/oauth2/token", "SCRIPT_NAME": "", "QUERY_STRING": "",
        "SERVER_NAME": "localhost", "SERVER_PORT": "80", "HTTP_HOST": host, "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr, "wsgi.multithread": True,
        "wsgi.multiprocess": False, "wsgi.run_once": False, "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "CONTENT_LENGTH": str(len(body)), "HTTP_AUTHORIZATION": f"Bearer {seeded.service_token}",
        "REMOTE_ADDR": "127.0.0.1",
    }  # fmt: skip
    return lambda: {**fixed, "wsgi.input": io.BytesIO(body)}
