"""Sealing: opens for the row it was sealed for, and for nothing else."""

import pickle
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.crypto.keyring import DATA_KEY_ID, Keyring, key_id
from app.crypto.sealed import AES_256_GCM, OVERHEAD_BYTES, VERSION, associated_data
from app.crypto.sealing import build_sealer
from app.domain.errors import CipherError
from app.domain.secret import Secret
from app.ports.crypto import SealContext

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
SEALER = build_sealer(Keyring({"k1": OLD}, "k1"))
ROTATED = build_sealer(Keyring({"k1": OLD, "k2": NEW}, "k2"))
OTHER_RING = build_sealer(Keyring({"k1": NEW}, "k1"))

CONNECTION = UUID("11111111-1111-4111-8111-111111111111")
STRANGER = UUID("22222222-2222-4222-8222-222222222222")
CONTEXT = SealContext(CONNECTION, "https://accounts.google.com", "sub-1", "refresh_token", 3)

secrets = st.text(st.characters(codec="utf-8"), max_size=300).map(Secret)
words = st.text(st.characters(codec="utf-8"), max_size=20)
contexts = st.builds(
    SealContext,
    connection_id=st.just(CONNECTION),
    issuer=words,
    subject=words,
    field=st.sampled_from(["refresh_token", "access_token"]),
    generation=st.integers(0, 2**63 - 1),
)


def data_key(connection_id=CONNECTION, sealer=SEALER):
    return sealer.open_data_key(connection_id, sealer.new_data_key(connection_id))


KEY = data_key()


@given(secrets, contexts)
def test_what_was_sealed_opens_again(value, context):
    assert KEY.open(KEY.seal(value, context), context) == value


@given(secrets)
def test_sealing_adds_34_bytes(value):
    assert (
        len(KEY.seal(value, CONTEXT))
        == len(value.reveal().encode()) + 34
        == len(value.reveal().encode()) + OVERHEAD_BYTES
    )


@given(secrets, contexts, contexts)
def test_a_value_opens_under_no_other_context(value, context, other):
    sealed = KEY.seal(value, context)

    if context != other:
        with pytest.raises(CipherError):
            KEY.open(sealed, other)


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://login.microsoftonline.com/x/v2.0"},
        {"subject": "sub-2"},
        {"field": "access_token"},
        {"generation": 2},
        {"generation": 4},
        {"connection_id": STRANGER},
    ],
)
def test_each_part_of_the_context_counts(change):
    sealed = KEY.seal(Secret("1//refresh"), CONTEXT)

    with pytest.raises(CipherError):
        KEY.open(sealed, replace(CONTEXT, **change))


def test_a_value_moved_to_another_connections_row_does_not_open():
    stranger = data_key(STRANGER)
    sealed = KEY.seal(Secret("1//refresh"), CONTEXT)

    with pytest.raises(CipherError):
        stranger.open(sealed, replace(CONTEXT, connection_id=STRANGER))


@given(st.integers(0, 8 * (OVERHEAD_BYTES + 10) - 1))
def test_a_flipped_bit_anywhere_is_noticed(bit):
    sealed = bytearray(KEY.seal(Secret("1//refresh"), CONTEXT))
    sealed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(CipherError):
        KEY.open(bytes(sealed), CONTEXT)


@given(st.integers(0, 8 * (OVERHEAD_BYTES + 32) - 1))
def test_a_flipped_bit_in_a_wrapped_data_key_is_noticed(bit):
    wrapped = bytearray(ROTATED.new_data_key(CONNECTION))
    wrapped[bit // 8] ^= 1 << bit % 8

    with pytest.raises(CipherError):
        ROTATED.open_data_key(CONNECTION, bytes(wrapped))


@given(st.binary(max_size=120))
def test_noise_is_refused_by_type(noise):
    with pytest.raises(CipherError):
        KEY.open(noise, CONTEXT)
    with pytest.raises(CipherError):
        SEALER.open_data_key(CONNECTION, noise)
    with pytest.raises(CipherError):
        SEALER.open_record(CONNECTION, "authorization_request", noise)


@given(secrets, st.integers(0, 40))
def test_a_cut_value_is_refused(value, kept):
    sealed = KEY.seal(value, CONTEXT)

    with pytest.raises(CipherError):
        KEY.open(sealed[: min(kept, len(sealed) - 1)], CONTEXT)


def test_the_header_names_version_algorithm_and_key():
    wrapped = ROTATED.new_data_key(CONNECTION)
    sealed = KEY.seal(Secret("x"), CONTEXT)

    assert wrapped[:6] == bytes((VERSION, AES_256_GCM)) + key_id("k2")
    assert sealed[:6] == bytes((VERSION, AES_256_GCM)) + DATA_KEY_ID


@pytest.mark.parametrize(
    ("position", "code"), [(0, "unknown_version"), (1, "unknown_algorithm"), (2, "unknown_key_id")]
)
def test_an_unknown_header_is_named_not_guessed_at(position, code):
    wrapped = bytearray(SEALER.new_data_key(CONNECTION))
    wrapped[position] ^= 0xFF

    with pytest.raises(CipherError, match=code):
        SEALER.open_data_key(CONNECTION, bytes(wrapped))


def test_equal_values_look_different_every_time():
    assert len({KEY.seal(Secret("1//refresh"), CONTEXT) for _ in range(100)}) == 100


def test_a_new_primary_still_opens_what_the_old_one_wrapped():
    wrapped = SEALER.new_data_key(CONNECTION)
    sealed = SEALER.open_data_key(CONNECTION, wrapped).seal(Secret("1//refresh"), CONTEXT)

    assert ROTATED.open_data_key(CONNECTION, wrapped).open(sealed, CONTEXT) == Secret("1//refresh")


def test_a_key_wrapped_by_the_new_primary_needs_the_new_key():
    with pytest.raises(CipherError, match="unknown_key_id"):
        SEALER.open_data_key(CONNECTION, ROTATED.new_data_key(CONNECTION))


def test_a_ring_with_another_key_of_the_same_name_opens_nothing():
    with pytest.raises(CipherError, match="does_not_fit"):
        OTHER_RING.open_data_key(CONNECTION, SEALER.new_data_key(CONNECTION))


def test_a_wrapped_data_key_belongs_to_its_connection():
    with pytest.raises(CipherError):
        SEALER.open_data_key(STRANGER, SEALER.new_data_key(CONNECTION))


@given(secrets)
def test_a_record_opens_for_its_id_and_purpose_only(value):
    sealed = SEALER.seal_record(CONNECTION, "authorization_request", value)

    assert SEALER.open_record(CONNECTION, "authorization_request", sealed) == value
    with pytest.raises(CipherError):
        SEALER.open_record(STRANGER, "authorization_request", sealed)
    with pytest.raises(CipherError):
        SEALER.open_record(CONNECTION, "connect_link", sealed)


def test_a_record_cannot_be_passed_off_as_a_data_key():
    record = SEALER.seal_record(CONNECTION, "", Secret("x" * 32))

    with pytest.raises(CipherError):
        SEALER.open_data_key(CONNECTION, record)


def test_keyed_hashes_differ_by_purpose_value_and_ring_and_survive_rotation():
    value = SEALER.keyed_hash("channel", "a")

    assert value == SEALER.keyed_hash("channel", "a") == ROTATED.keyed_hash("channel", "a")
    assert len({value, SEALER.keyed_hash("hand_out", "a"), SEALER.keyed_hash("channel", "b")}) == 3
    assert value != OTHER_RING.keyed_hash("channel", "a")


@given(st.lists(st.binary(max_size=8), max_size=4), st.lists(st.binary(max_size=8), max_size=4))
def test_different_lists_never_give_the_same_associated_data(first, second):
    assert (associated_data(first) == associated_data(second)) == (first == second)


def test_a_check_value_tells_keys_apart_also_under_one_name():
    assert set(SEALER.key_checks()) == {key_id("k1")} == set(OTHER_RING.key_checks())
    assert SEALER.key_checks() != OTHER_RING.key_checks()
    assert SEALER.key_checks().items() <= ROTATED.key_checks().items()


def test_check_values_hold_no_key():
    assert OLD not in SEALER.key_checks().values()


def test_a_data_key_shows_whose_it_is_and_cannot_be_pickled():
    assert repr(KEY) == f"<data key of {CONNECTION}>"
    with pytest.raises(TypeError):
        pickle.dumps(KEY)


def test_codes_of_the_audit_chain_differ_by_key_and_text_and_can_be_made_again_after_rotation():
    key_id = SEALER.chain_key_id()
    code = SEALER.chain_mac(key_id, b"entry")

    assert code == SEALER.chain_mac(key_id, b"entry") == ROTATED.chain_mac(key_id, b"entry")
    assert len({code, SEALER.chain_mac(key_id, b"other"), SEALER.keyed_hash("audit chain", "entry")}) == 3
    with pytest.raises(CipherError, match="unknown_key_id"):
        SEALER.chain_mac(b"none", b"entry")
