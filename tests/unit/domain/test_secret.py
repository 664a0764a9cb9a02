"""A secret does not show itself."""

import copy
import json
import pickle

import pytest

from app.domain.secret import Secret

MARK = "planted-marker-value"


def test_no_text_form_shows_the_value() -> None:
    secret = Secret(MARK)

    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>40}", f"{secret!s}", repr({"t": [secret]})]

    assert not [text for text in shown if MARK in text]


@pytest.mark.parametrize("attempt", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps])
def test_it_cannot_be_serialised_or_copied(attempt) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TypeError):
        attempt(Secret(MARK))


def test_equal_values_are_equal_and_others_are_not() -> None:
    assert Secret(MARK) == Secret(MARK)
    assert Secret(MARK) != Secret(MARK + "x")
    assert Secret(MARK) != MARK


def test_the_hash_is_the_one_callers_compute() -> None:
    assert Secret("abc").sha256() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
