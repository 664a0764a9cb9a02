"""The answers of one operation: those it declares, and those that every operation of its kind can give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from app.web.access import JSON
from app.web.api.error_registry import CODES, ErrorAnswer
from app.web.api.openapi import Answer, Operation, Security
from app.web.api.openapi_schemas import Schemas
from app.web.errors import ErrorCode

CACHE_CONTROL = "Cache-Control"
HEADERS: Mapping[str, dict[str, object]] = {
    CACHE_CONTROL: {
        "description": "Nothing between may store an answer.",
        "required": True,
        "schema": {"type": "string", "const": "no-store"},
    },
    "Retry-After": {
        "description": "Seconds to wait, at least one.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "The scheme to authenticate with.",
        "required": True,
        "schema": {"type": "string"},
    },
}
_EXTRA_HEADERS: Mapping[int, str] = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}


def responses(who: str, operation: Operation, schemas: Schemas, *, varies: bool) -> dict[str, object]:
    """Return the ``responses`` of an operation; ``varies`` when its path has parameters.

    Raises ``ValueError`` when a status is both an answer and an error: callers must be able to tell by it.
    """
    made: dict[str, object] = {str(a.status): _answer(a, schemas) for a in operation.answers}
    for status, codes in sorted(_errors(who, operation, varies=varies).items()):
        if str(status) in made:
            raise ValueError(f"{operation.id} answers {status} with and without an error")
        made[str(status)] = _bare_refusal(status) if who == "provider" else _refusal(status, codes, schemas)
    return made


def _errors(who: str, operation: Operation, *, varies: bool) -> Mapping[int, tuple[ErrorCode, ...]]:
    """Return status to codes, with what every operation of this kind can answer."""
    found: dict[int, list[ErrorCode]] = {status: list(codes) for status, codes in operation.errors.items()}
    declared = {answer.status for answer in operation.answers}
    for status, code in (*_of_input(who, operation, varies=varies), *_of_caller(who, operation)):
        if status not in declared and code not in found.setdefault(status, []):
            found[status].append(code)
    return {status: tuple(codes) for status, codes in found.items()}


def _of_input(who: str, operation: Operation, *, varies: bool) -> Iterator[tuple[int, ErrorCode]]:
    """Yield what can be wrong with the request itself."""
    takes_body = operation.body is not None or operation.form is not None
    if who == "service" or (who == "anyone" and (takes_body or operation.parameters)):
        yield 400, ErrorCode.INVALID_REQUEST
    if takes_body:
        yield 413, ErrorCode.INVALID_REQUEST
        yield 415, ErrorCode.INVALID_REQUEST
    if varies:
        yield 404, ErrorCode.NOT_FOUND


def _of_caller(who: str, operation: Operation) -> Iterator[tuple[int, ErrorCode]]:
    """Yield what can be wrong with the caller, and with this side."""
    if who == "service":
        at_token_endpoint = operation.form is not None
        yield 401, ErrorCode.INVALID_CLIENT
        if Security.BEARER in operation.security and not at_token_endpoint:
            yield 401, ErrorCode.INVALID_TOKEN
        # A frozen service is told so wherever it calls.
        yield 400 if at_token_endpoint else 403, ErrorCode.UNAUTHORIZED_CLIENT
        yield 429, ErrorCode.RATE_LIMITED
        yield 503, ErrorCode.TEMPORARILY_UNAVAILABLE
    if who != "provider":
        yield 500, ErrorCode.SERVER_ERROR


def _answer(answer: Answer, schemas: Schemas) -> dict[str, object]:
    made: dict[str, object] = {"description": answer.description, "headers": _headers(answer.headers)}
    if answer.body is not None:
        content: dict[str, object] = {"schema": {"type": "string"} if answer.body is str else schemas.of(answer.body)}
        if answer.example is not None:
            content["example"] = dict(answer.example)
        made["content"] = {answer.media_type: content}
    return made


def _refusal(status: int, codes: Iterable[ErrorCode], schemas: Schemas) -> dict[str, object]:
    codes = tuple(codes)
    words = "\n".join(f"- `{code.value}`: {CODES[code.value].meaning}" for code in codes)
    narrowed = {"allOf": [schemas.of(ErrorAnswer)], "properties": {"error": {"enum": [code.value for code in codes]}}}
    return {
        "description": words,
        "headers": _headers({}) | _extra_header(status),
        "content": {JSON: {"schema": narrowed}},
    }


def _bare_refusal(status: int) -> dict[str, object]:
    return {"description": "Refused, without a body.", "headers": _headers({}) | _extra_header(status)}


def _headers(named: Mapping[str, str]) -> dict[str, object]:
    text = {"type": "string"}
    own = {name: {"description": words, "required": True, "schema": text} for name, words in named.items()}
    return {CACHE_CONTROL: {"$ref": f"#/components/headers/{CACHE_CONTROL}"}, **own}


def _extra_header(status: int) -> dict[str, object]:
    name = _EXTRA_HEADERS.get(status)
    return {} if name is None else {name: {"$ref": f"#/components/headers/{name}"}}
