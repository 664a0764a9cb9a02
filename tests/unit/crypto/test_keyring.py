"""The key ring: what it reads, and what it refuses."""

import base64
import json
import os
import pickle

import pytest

from app.crypto.keyring import DATA_KEY_ID, Keyring, key_id
from app.domain.errors import CipherError, ConfigurationError

KEY_1 = bytes(range(32))
KEY_2 = bytes(range(1, 33))


def text(key):
    return base64.b64encode(key).decode()


@pytest.fixture
def write(tmp_path):
    def write(document, mode=0o600):
        path = tmp_path / "keyring.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        path.chmod(mode)
        return path

    return write


def test_a_ring_is_read_with_all_its_keys(write):
    ring = Keyring.load(write({"primary": "k2", "keys": {"k1": text(KEY_1), "k2": text(KEY_2)}}))

    assert ring.primary_id == key_id("k2")
    assert ring.key(key_id("k1")) == KEY_1
    assert ring.key(key_id("k2")) == KEY_2


def test_hashes_stay_with_the_first_key_when_the_primary_moves_on(write):
    ring = Keyring.load(write({"primary": "k2", "keys": {"k1": text(KEY_1), "k2": text(KEY_2)}}))

    assert ring.hashing_key() == KEY_1


def test_the_hashing_key_can_be_named(write):
    document = {"primary": "k1", "hashing": "k2", "keys": {"k1": text(KEY_1), "k2": text(KEY_2)}}

    assert Keyring.load(write(document)).hashing_key() == KEY_2


def test_a_key_that_is_not_there_is_never_replaced_by_another():
    with pytest.raises(CipherError):
        Keyring({"k1": KEY_1}, "k1").key(key_id("k2"))


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ("{", "not JSON"),
        ('{"primary": "k1", "keys": {"k1": "a", "k1": "b"}}', "twice"),
        ("[]", "not a JSON object"),
        ({"keys": {"k1": text(KEY_1)}}, "expected"),
        ({"primary": "k1", "keys": [text(KEY_1)]}, "expected"),
        ({"primary": "k1", "hashing": 1, "keys": {"k1": text(KEY_1)}}, "expected"),
        ({"primary": "k2", "keys": {"k1": text(KEY_1)}}, "primary names 'k2'"),
        ({"primary": "k1", "hashing": "k9", "keys": {"k1": text(KEY_1)}}, "hashing names 'k9'"),
        ({"primary": "k1", "keys": {}}, "primary names 'k1'"),
        ({"primary": "k1", "keys": {"k1": text(KEY_1[:31])}}, "key 'k1' is not base64 of 32 bytes"),
        ({"primary": "k1", "keys": {"k1": text(KEY_1) + "!"}}, "key 'k1' is not base64"),
        ({"primary": "k1", "keys": {"k1": 7}}, "key 'k1' is not base64"),
        ({"primary": "k1", "keys": {"k1": text(KEY_1), "k2": text(KEY_1)}}, "two keys are the same"),
    ],
)
def test_a_faulty_ring_is_refused_in_words(write, document, fault):
    with pytest.raises(ConfigurationError, match=fault):
        Keyring.load(write(document))


def test_all_faults_are_named_at_once(write):
    with pytest.raises(ConfigurationError) as caught:
        Keyring.load(write({"primary": "k9", "keys": {"k1": "?", "k2": "?"}}))

    assert len(caught.value.faults) >= 3


def test_a_missing_ring_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Keyring.load(tmp_path / "none.json")


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o620])
def test_a_ring_that_others_can_read_or_write_is_refused(write, mode):
    path = write({"primary": "k1", "keys": {"k1": text(KEY_1)}}, mode)

    with pytest.raises(ConfigurationError, match="others can read or write it"):
        Keyring.load(path)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440])
def test_a_ring_for_owner_and_group_is_accepted(write, mode):
    assert Keyring.load(write({"primary": "k1", "keys": {"k1": text(KEY_1)}}, mode)).ids() == (key_id("k1"),)


def test_names_with_the_same_id_are_refused():
    first, second = colliding_names()

    with pytest.raises(ConfigurationError, match="same id"):
        Keyring({first: KEY_1, second: KEY_2}, first)


def test_a_ring_shows_names_and_no_key(write):
    path = write({"primary": "k1", "keys": {"k1": text(KEY_1)}})
    ring = Keyring.load(path)

    assert repr(ring) == str(ring) == "<keyring k1>"
    with pytest.raises(TypeError):
        pickle.dumps(ring)


def test_a_fault_quotes_no_part_of_a_key(write):
    secret = text(os.urandom(32))

    with pytest.raises(ConfigurationError) as caught:
        Keyring.load(write('{"primary": "k1", "keys": {"k1": "' + secret + '"'))

    assert secret[:12] not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_no_name_of_a_ring_may_mean_data_key():
    assert DATA_KEY_ID == b"\0\0\0\0"
    assert key_id("k1") != DATA_KEY_ID


def colliding_names():
    """Two names whose SHA-256 begin alike: about 80,000 tries, so it takes a moment and never fails."""
    seen = {}
    for number in range(2_000_000):
        name = f"key-{number}"
        other = seen.setdefault(key_id(name), name)
        if other != name:
            return other, name
    raise AssertionError("no collision among two million names")
