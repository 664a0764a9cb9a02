"""A short way for the request that services repeat all day: one token exchange with a Latchkey token, worded as before.

Nothing is decided here. Who calls is asked of the same service as in every other request, and so is the token; what is
spared is the framework's work of finding a route, reading headers and a form, and building an answer, which costs
several times as much as the decision. Whatever is not exactly such a request goes the ordinary way, and so does
everything that is refused: the ordinary way words the answer.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.bootstrap import Services
from app.domain.errors import LatchkeyError
from app.services.token_exchange import ExchangeRequest
from app.web.api.token_answers import exchanged_body
from app.web.paths import TOKEN_ENDPOINT
from app.web.security_headers import headers_for_programs
from app.web.settings import WebSettings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

OUTCOME = "latchkey.exchange_refused"
"""In the environment: the error an exchange already ended with here; the view answers it instead of asking again."""

LONGEST_BODY = 1024
_MOST_DIGITS = len(str(LONGEST_BODY))
MOST_REMEMBERED = 4096
"""Bounds memory to a few megabytes; when it is reached everything goes and is read once more."""

_FORM = "application/x-www-form-urlencoded"
_BEARER = "Bearer "


class QuickLane:
    """WSGI middleware (PEP 3333) in front of the framework; also remembers how requests read."""

    def __init__(self, application: WSGIApplication, services: Services, settings: WebSettings) -> None:
        self._application = application
        self._services = services
        self._clock = settings.clock
        self._host = settings.origin.partition("://")[2]
        self._headers = [("Content-Type", "application/json"), *headers_for_programs(is_https=settings.is_https)]
        self._read: dict[bytes, ExchangeRequest] = {}

    def remember(self, body: bytes, request: ExchangeRequest) -> None:
        """Take the same ``body`` for the same ``request`` from now on. Only for bodies that name and prove nobody.

        A signed statement is used up by reading it, so whoever passes one here would have it accepted again.
        """
        if len(body) <= LONGEST_BODY:
            if len(self._read) >= MOST_REMEMBERED:
                self._read.clear()
            self._read[body] = request

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        if environ["PATH_INFO"] == TOKEN_ENDPOINT and self._is_plain(environ):
            answer = self._answer(environ)
            if answer is not None:
                start_response("200 OK", [*self._headers, ("Content-Length", str(len(answer)))])
                return (answer,)
        return self._application(environ, start_response)

    def _is_plain(self, environ: WSGIEnvironment) -> bool:
        length = environ.get("CONTENT_LENGTH") or "0"
        return (
            environ["REQUEST_METHOD"] == "POST"
            and environ.get("CONTENT_TYPE") == _FORM
            and environ.get("HTTP_HOST") == self._host
            and not environ.get("QUERY_STRING")
            and "HTTP_CONTENT_ENCODING" not in environ
            and length.isascii()
            and length.isdigit()
            # Servers pass the number on as it was written: leading zeros must not hide how large it is.
            and len(length) <= _MOST_DIGITS
            and 0 < int(length) <= LONGEST_BODY
            and environ.get("HTTP_AUTHORIZATION", "").startswith(_BEARER)
        )

    def _answer(self, environ: WSGIEnvironment) -> bytes | None:
        """Return the body of a released token; null when the framework has to answer."""
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        # Read once: whoever answers must find it unread.
        environ["wsgi.input"] = io.BytesIO(body)
        request = self._read.get(body)
        if request is None:
            return None
        tokens, token = self._services.callers.tokens, environ["HTTP_AUTHORIZATION"][len(_BEARER) :]
        # The framework's way limits who fails before a signature is looked at; here nobody is limited, so none is.
        if not tokens.is_known(token):
            return None
        try:
            service = tokens.check(token)
        except LatchkeyError:
            return None
        try:
            return exchanged_body(self._services.token_exchange.exchange(service, request), self._clock())
        except Exception as error:  # noqa: BLE001 - raised again by the view, which has the answers for it
            environ[OUTCOME] = error
            return None
