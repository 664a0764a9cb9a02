"""The form of the token endpoint, read strictly and once per request (RFC 6749 section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast
from urllib.parse import unquote_plus

from flask import g, request

from app.web.errors import ErrorCode, RequestRefused

MOST_PARAMETERS = 50


def form_values() -> Mapping[str, str]:
    """Return the request's form; an empty parameter counts as absent.

    Raises ``RequestRefused`` for what cannot be read, for repeated parameters, and for a query: addresses end up in
    logs. The framework's own reader takes several times as long and lets all of that pass.
    """
    if "form_values" not in g:
        g.form_values = _read()
    return cast("Mapping[str, str]", g.form_values)


def _read() -> Mapping[str, str]:
    if request.query_string:
        raise _invalid("parameters belong in the body")
    try:
        parts = request.get_data().decode("ascii").split("&", MOST_PARAMETERS)
        pairs = [_pair(part) for part in parts if part]
    except ValueError:
        # Without the cause: it holds what was sent.
        raise _invalid("the body is not a form") from None
    values = dict(pairs)
    if len(values) < len(pairs):
        raise _invalid("a parameter is repeated")
    if len(parts) > MOST_PARAMETERS:
        raise _invalid("there are too many parameters")
    return {name: value for name, value in values.items() if value}


def _pair(part: str) -> tuple[str, str]:
    """Decode one parameter; most have nothing to decode. Raises ``ValueError`` for what is not UTF-8."""
    name, _, value = part.partition("=")
    if "%" in part or "+" in part:
        return unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")
    return name, value


def _invalid(description: str) -> RequestRefused:
    return RequestRefused(ErrorCode.INVALID_REQUEST, description)
