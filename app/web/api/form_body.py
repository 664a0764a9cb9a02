"""The form of the token endpoint, read strictly and once per request (RFC 6749 section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast
from urllib.parse import parse_qsl

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
        pairs = parse_qsl(
            request.get_data().decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS
        )
    except ValueError:
        # Without the cause: it holds what was sent.
        raise _invalid("the body is not a form") from None
    values = dict(pairs)
    if len(values) < len(pairs):
        raise _invalid("a parameter is repeated")
    return {name: value for name, value in values.items() if value}


def _invalid(description: str) -> RequestRefused:
    return RequestRefused(ErrorCode.INVALID_REQUEST, description)
