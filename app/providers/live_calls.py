"""The two small calls every provider knows besides tokens: who am I, and revoke this.

Sources: OpenID Connect Core section 5.3 (userinfo), RFC 7009 (revocation), RFC 6750 section 3.1 (401).
"""

from __future__ import annotations

from app.domain.errors import (
    AccessTokenRejected,
    IDTokenInvalid,
    ProviderError,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
)
from app.domain.secret import Secret
from app.ports.providers import Revocation
from app.providers.client_authentication import Credentials
from app.providers.http import OutboundClient, Reply
from app.providers.json_reader import JSONObject, read_object
from app.providers.network_faults import NEVER_SENT

MAX_BYTES = 64 * 1024
DEADLINE_S = 20.0
_DEAD = frozenset({"invalid_token", "invalid_grant"})


def fetch_profile(http: OutboundClient, url: str, access_token: Secret) -> JSONObject:
    """Return the profile the token opens.

    Raises ``AccessTokenRejected`` (401), ``ProviderRejected`` (another 4xx), ``ProviderThrottled``,
    ``ProviderUnavailable``.
    """
    headers = {"Authorization": f"Bearer {access_token.reveal()}"}
    reply = http.request("GET", url, headers=headers, max_bytes=MAX_BYTES, deadline_s=DEADLINE_S)
    if reply.status != 200:
        raise _profile_failure(reply)
    return read_object(reply.body)


def check_profile(profile: JSONObject, subject: str | None) -> None:
    """Refuse a profile of somebody else: the token would have been swapped (OpenID Connect Core section 5.3.2)."""
    if subject is not None and profile.get("sub") != subject:
        raise IDTokenInvalid("userinfo_sub")


def _profile_failure(reply: Reply) -> ProviderError:
    detail = f"http_{reply.status}"
    if reply.status == 401:
        return AccessTokenRejected(detail)
    if reply.status == 429:
        return ProviderThrottled(detail, retry_after_s=reply.retry_after_s())
    return ProviderRejected(detail) if 400 <= reply.status < 500 else ProviderUnavailable(detail)


def revoke_token(http: OutboundClient, url: str, token: Secret, proof: Credentials) -> Revocation:
    """Revoke ``token`` and say what the provider said; never raises for a refusal or an outage."""
    try:
        reply = http.request(
            "POST",
            url,
            headers=proof.headers,
            form={"token": token.reveal(), **proof.form},
            max_bytes=MAX_BYTES,
            deadline_s=DEADLINE_S,
            accept_encoding_identity=True,
        )
    except ProviderUnavailable as error:
        detail = error.detail if error.detail in NEVER_SENT else f"unknown_{error.detail}"
        return Revocation("failed", detail)
    if reply.status in (200, 204):
        return Revocation("revoked")
    return _revocation_refusal(reply)


def _revocation_refusal(reply: Reply) -> Revocation:
    try:
        error = read_object(reply.body).get("error")
    except ProviderUnavailable:
        error = None
    if reply.status == 400 and error in _DEAD:
        return Revocation("already_dead")
    return Revocation("failed", f"http_{reply.status}")
