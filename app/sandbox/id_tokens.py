"""Sign ID tokens, well or, when a fault says so, in one of the ways a client must refuse."""

from typing import Any

import jwt
from flask import g

from app.sandbox.fault_plan import Fault, FaultKind
from app.sandbox.keys import make_key
from app.sandbox.state import Sandbox

ODD_ISSUER = "https://issuer.example.com"
DAY_S = 86400


def signed_id_token(state: Sandbox, ring: str, claims: dict[str, Any]) -> str:
    """Return a compact JWT over `claims` with the ring's current key, spoilt when the request meets such a fault."""
    key = state.keys.current(ring)
    fault = g.get("fault")
    if not isinstance(fault, Fault) or fault.kind is not FaultKind.BAD_ID_TOKEN:
        return key.sign(claims)
    match fault.error:
        case "unsigned":
            return jwt.encode(claims, "", algorithm="none")
        case "unknown_key":
            return make_key(ring).sign(claims)
        case "forged":
            # Names the published key, but another one signed.
            return jwt.encode(claims, make_key(ring).private_key, algorithm=key.algorithm, headers={"kid": key.kid})
        case variant:
            return key.sign(claims | _wrong(variant, claims))


def _wrong(variant: str, claims: dict[str, Any]) -> dict[str, Any]:
    """Return the claims that a variant gets wrong; nothing for a variant nobody knows."""
    issued_s, ends_s = claims["iat"], claims["exp"]
    variants: dict[str, dict[str, Any]] = {
        "issuer": {"iss": ODD_ISSUER},
        # Google may leave out the scheme; clients are told to take both.
        "bare_issuer": {"iss": str(claims["iss"]).removeprefix("https://")},
        "audience": {"aud": "another-client"},
        "nonce": {"nonce": "another-nonce"},
        "expired": {"iat": issued_s - DAY_S, "exp": ends_s - DAY_S},
        "future": {"iat": issued_s + DAY_S, "exp": ends_s + DAY_S, "nbf": issued_s + DAY_S},
        "slightly_ahead": {"iat": issued_s + 5},
    }
    return variants.get(variant, {})
