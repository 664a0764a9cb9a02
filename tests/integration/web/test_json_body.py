"""JSON bodies are read strictly, and nothing of them comes back."""

import pytest
from flask import Flask
from pydantic import Field

from app.web.api.json_body import RequestBody, ShortText, read_body
from app.web.errors import ErrorCode, RequestRefused

MARK = "planted-secret"


class Thing(RequestBody):
    """A body."""

    name: ShortText
    count: int = Field(default=1, ge=1)
    inner: dict[str, int] = Field(default_factory=dict)


@pytest.fixture
def read():
    """Return a function that reads bytes as a ``Thing``."""
    app = Flask("app.web")

    def reading(body):
        with app.test_request_context(method="POST", data=body):
            return read_body(Thing)

    return reading


def test_a_body_becomes_the_model(read):
    assert read(b'{"name": "a", "count": 2}') == Thing(name="a", count=2)


@pytest.mark.parametrize(
    ("body", "description"),
    [
        (b"", "the body is not valid JSON"),
        (b"{", "the body is not valid JSON"),
        (b"\xff\xfe", "the body is not valid JSON"),
        (b"[" * 5000, "the body is not valid JSON"),
        (b'{"name": "\\ud800"}', "the body is not valid JSON"),
        (b"[]", "the body is malformed"),
        (b"null", "the body is malformed"),
        (b"{}", "name is missing"),
        (b'{"name": 1}', "name is malformed"),
        (b'{"name": ""}', "name is malformed"),
        (b'{"name": "a\\u0000b"}', "name is malformed"),
        (b'{"name": "a", "count": "2"}', "count is malformed"),
        (b'{"name": "a", "count": 0}', "count is malformed"),
        (b'{"name": "a", "count": 1.0}', "count is malformed"),
        (b'{"name": "a", "planted-secret": 1}', "the body has an unknown member"),
        (b'{"name": "a", "inner": {"planted-secret": "planted-secret"}}', "inner is malformed"),
    ],
)
def test_what_is_wrong_is_named_and_never_repeated(read, body, description):
    with pytest.raises(RequestRefused) as refused:
        read(body)

    assert refused.value.error is ErrorCode.INVALID_REQUEST
    assert refused.value.status == 400
    assert refused.value.description == description
    assert MARK not in f"{refused.value!r} {refused.value.detail} {refused.value.__cause__!r}"


def test_a_log_of_the_refusal_shows_no_input(read):
    with pytest.raises(RequestRefused) as refused:
        read(b'{"name": ["planted-secret"]}')

    # What prints tracebacks follows the cause, and the context only where it is not suppressed.
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
