"""Our signatures, checked by a library that knows nothing of ours."""

import jwt
import pytest

from app.crypto.token_signing import ES256Signer
from app.domain.errors import CipherError
from app.domain.secret import Secret
from tests.signing import Signer

CLAIMS = {"sub": "somebody", "n": 1}


def test_another_library_verifies_what_we_sign():
    signer = ES256Signer()
    made = signer.new_key("k1")

    tokens = [signer.sign(made.private_key, {"typ": "at+jwt", "kid": "k1"}, CLAIMS).reveal() for _ in range(50)]

    public = jwt.PyJWK(dict(made.public_jwk)).key
    for token in tokens:
        assert jwt.decode(token, public, ["ES256"]) == CLAIMS
        assert jwt.get_unverified_header(token) == {"typ": "at+jwt", "kid": "k1", "alg": "ES256"}


def test_a_public_key_says_nothing_private():
    made = ES256Signer().new_key("k1")

    assert set(made.public_jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert "PRIVATE" not in repr(made)


def test_the_algorithm_cannot_be_chosen_by_the_header():
    signer = ES256Signer()
    token = signer.sign(signer.new_key("k1").private_key, {"alg": "none"}, CLAIMS)

    assert jwt.get_unverified_header(token.reveal())["alg"] == "ES256"


def test_a_key_of_another_kind_is_refused():
    with pytest.raises(CipherError):
        ES256Signer().sign(Secret(Signer("EdDSA").private_pem()), {}, CLAIMS)
