"""What a refusal at a token endpoint can mean: the words the providers' tables are written in.

``act``: the person must do something, the grant may be over. ``wait``: it passes. ``ours``: operators must act, and no
grant is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from app.domain.connections import Reason
from app.domain.errors import InvalidGrant, ProviderError, ProviderRejected, ProviderThrottled, ProviderUnavailable
from app.providers.credential_list import CredentialRefused
from app.providers.token_answers import Refusal


class Kind(Enum):
    """Whose turn it is."""

    ACT = "act"
    WAIT = "wait"
    SLOW_DOWN = "wait: throttled"
    OURS = "ours"
    CREDENTIAL = "ours: this credential"
    """Refused before the grant was looked at; another credential may serve."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """One entry of a table."""

    kind: Kind
    reason: Reason = Reason.GRANT_REJECTED
    """For ``act`` alone."""


WAIT, SLOW_DOWN, OURS, CREDENTIAL = (Meaning(kind) for kind in (Kind.WAIT, Kind.SLOW_DOWN, Kind.OURS, Kind.CREDENTIAL))
Table = Mapping[str, Meaning]
"""``error`` of RFC 6749 section 5.2, or of the provider, to its meaning."""


def act(reason: Reason) -> Meaning:
    """Return an entry that asks the person to act for ``reason``."""
    return Meaning(Kind.ACT, reason)


def error_for(meaning: Meaning, refusal: Refusal, detail: str) -> ProviderError:
    """Return the error ``meaning`` stands for; ``detail`` is a stable code."""
    if meaning.kind is Kind.ACT:
        return InvalidGrant(detail, reason=meaning.reason)
    if meaning.kind is Kind.SLOW_DOWN:
        return ProviderThrottled(detail, retry_after_s=refusal.retry_after_s)
    plain = {
        Kind.WAIT: ProviderUnavailable,
        Kind.OURS: ProviderRejected,
        Kind.CREDENTIAL: CredentialRefused,
    }
    return plain[meaning.kind](detail)
