"""The strict JSON reader."""

import json

import pytest

from app.domain.errors import ProviderUnavailable
from app.providers.json_reader import read_json, read_object


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe{}",
        b"{",
        b"<html></html>",
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e999]",
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b"[" * 100_000 + b"]" * 100_000,
        b"[" * 66 + b"]" * 66,
        b'{"a":' * 66 + b"1" + b"}" * 66,
        b"1" * 5000,
        b'{"a":1} trailing',
        b"{'a':1}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_everything_that_is_not_strict_json_is_one_error(body):
    with pytest.raises(ProviderUnavailable, match="bad_json") as caught:
        read_json(body)

    # The parser's own error holds the document, which may hold tokens.
    assert caught.value.__context__ is None


def test_ordinary_documents_are_read():
    document = {"a": [1, 2.5, -1e10, None, True, "ü", {"b": []}], "": {}}

    assert read_json(json.dumps(document).encode()) == document
    assert read_json(b"\xef\xbb\xbf{}") == {}
    assert read_json(b"[" * 64 + b"]" * 64)


def test_the_size_is_limited():
    with pytest.raises(ProviderUnavailable, match="bad_json"):
        read_json(b'{"a":"' + b"x" * 100 + b'"}', max_bytes=100)


@pytest.mark.parametrize("body", [b"[]", b"1", b'"text"', b"null"])
def test_an_object_is_asked_for_and_nothing_else_will_do(body):
    with pytest.raises(ProviderUnavailable, match="bad_json"):
        read_object(body)
