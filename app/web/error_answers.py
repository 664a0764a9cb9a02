"""Turn errors into answers: a page for people, JSON for programs, a bare status for providers' hooks."""

from __future__ import annotations

import secrets

import structlog
from flask import Flask, make_response, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from app.domain.errors import InvalidClient, LatchkeyError
from app.web import error_texts
from app.web.api.client_authentication import challenge, uses_bearer
from app.web.errors import ErrorCode, RequestRefused, outcome_of, retry_after_s
from app.web.rendering import json_answer, page

_log = structlog.get_logger("latchkey.web")
_PROGRAMS = ("/oauth2/", "/v1/", "/.well-known/", "/openapi.json", "/healthz", "/readyz")
_HOOKS = "/hooks/"


def register_error_handlers(app: Flask) -> None:
    """Make this module answer for everything that is raised."""
    app.register_error_handler(LatchkeyError, answer_latchkey_error)
    app.register_error_handler(HTTPException, answer_http_error)
    app.register_error_handler(Exception, answer_unexpected)


def answer_latchkey_error(error: LatchkeyError, extra: dict[str, object] | None = None) -> Response:
    """Answer an error that was raised on purpose; ``extra`` are further members for programs."""
    outcome = outcome_of(error)
    error_id = _error_id()
    status = error.status if isinstance(error, RequestRefused) else outcome.status
    # Not named "code": the log hides authorization codes by that name.
    _log.info("refused", error=error.code, detail=error.detail, error_id=error_id, status=status)
    if request.path.startswith(_PROGRAMS):
        return program_error(error, error_id, extra)
    if request.path.startswith(_HOOKS):
        return make_response("", status)
    return _with_retry_after(_error_page(error.code, outcome.page_status, error_id), retry_after_s(error))


def answer_http_error(error: HTTPException) -> Response:
    """Answer what the framework refuses: unknown path, wrong method, too large, malformed."""
    status = error.code or 500
    if request.path.startswith(_PROGRAMS):
        code = ErrorCode.NOT_FOUND if status == 404 else ErrorCode.INVALID_REQUEST
        description = error_texts.HTTP_DESCRIPTIONS.get(status, error_texts.HTTP_DESCRIPTIONS[400])
        answer = json_answer({"error": code, "error_description": description}, status)
    elif request.path.startswith(_HOOKS):
        answer = make_response("", status)
    else:
        answer = _error_page("not_found" if status == 404 else f"http_{status}", status, None)
    for name, value in error.get_headers():
        if name.lower() in {"allow", "retry-after"}:
            answer.headers[name] = value
    return answer


def answer_unexpected(error: Exception) -> Response:
    """Answer a fault of ours: the log gets the traceback, the caller an id to find it by.

    The outermost edge. A provider's hook gets 503, so that the notification is sent again later.
    """
    error_id = _error_id()
    _log.error("unexpected_error", error_id=error_id, exc_info=error)
    if request.path.startswith(_HOOKS):
        return make_response("", 503)
    if request.path.startswith(_PROGRAMS):
        body = {"error": ErrorCode.SERVER_ERROR, "error_description": "unexpected error", "error_id": error_id}
        return json_answer(body, 500)
    return _error_page("error", 500, error_id)


def program_error(
    error: LatchkeyError, error_id: str | None = None, extra: dict[str, object] | None = None
) -> Response:
    """Return the JSON answer for ``error``, with members of RFC 6749 section 5.2 and ours in ``extra``."""
    outcome = outcome_of(error)
    body: dict[str, object] = {"error": outcome.error, "error_description": outcome.description}
    status, reason = outcome.status, outcome.reason
    if isinstance(error, RequestRefused):
        body = {"error": error.error, "error_description": error.description}
        status, reason = error.status, error.reason
    if body["error"] is ErrorCode.UNAUTHORIZED_CLIENT and not request.path.startswith("/oauth2/"):
        # RFC 6749 section 5.2 wants 400 from token endpoints; elsewhere "forbidden" has its usual status.
        status = 403
    if reason is not None:
        body["reason"] = reason
    body |= extra or {}
    if status >= 500 and error_id is not None:
        body["error_id"] = error_id
    answer = json_answer(body, status)
    if isinstance(error, InvalidClient):
        _complete_401(answer, body)
    return _with_retry_after(answer, retry_after_s(error))


def _complete_401(answer: Response, body: dict[str, object]) -> None:
    if uses_bearer(request) and not request.path.startswith("/oauth2/"):
        # RFC 6750 section 3.1; the token endpoint keeps to RFC 6749's word.
        answer.set_data(json_answer({**body, "error": ErrorCode.INVALID_TOKEN}).get_data())
    answer.headers["WWW-Authenticate"] = challenge(request)


def _error_page(code: str, status: int, error_id: str | None) -> Response:
    words = error_texts.ERROR_PAGES.get(code, error_texts.ERROR_PAGES["error"])
    return page("error.html", status, words=words, error_id=error_id)


def _with_retry_after(answer: Response, seconds: int | None) -> Response:
    if seconds is not None:
        answer.headers["Retry-After"] = str(seconds)
    return answer


def _error_id() -> str:
    return secrets.token_hex(6)
