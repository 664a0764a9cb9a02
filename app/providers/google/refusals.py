"""Read the Calendar API's refusals: which error of ours a status and a reason mean.

The reason is ``errors[0].reason``, in newer answers also ``details[].reason``; either may be missing, and a gateway
answers HTML. Source: the API's "Handle errors" guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.domain.errors import (
    AccessTokenRejected,
    CalendarGone,
    CallMalformed,
    CursorExpired,
    LatchkeyError,
    ProviderError,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
    PushNotSupported,
    ScopesMissing,
)
from app.providers.fields import child, children, text
from app.providers.http import Reply
from app.providers.json_reader import read_object

_RATE_REASONS: Final = frozenset({"userRateLimitExceeded", "rateLimitExceeded", "RATE_LIMIT_EXCEEDED"})
_SCOPE_REASONS: Final = frozenset({"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"})
_CONFIGURATION_REASONS: Final = frozenset({"accessNotConfigured", "SERVICE_DISABLED"})
_NO_PUSH: Final = "pushNotSupportedForRequestedResource"
_USAGE_PAUSE_S: Final = 3600.0
"""``quotaExceeded`` is an abuse limit that lasts hours, not the rate of the last minute."""


_BY_STATUS: Final[Mapping[int, type[ProviderError]]] = {
    400: CallMalformed,
    401: AccessTokenRejected,
    404: CalendarGone,
    405: ProviderRejected,
    409: ProviderRejected,
    410: CursorExpired,
    412: ProviderRejected,
}
"""Everything else, redirects included, is no usable answer."""


def reason_of(reply: Reply) -> str:
    """Return the reason of a refusal, or ``http_<status>`` when it gives none."""
    try:
        error = child(read_object(reply.body), "error")
    except ProviderUnavailable:
        error = {}
    entries = (*children(error, "errors"), *children(error, "details"))
    reasons = (text(entry, "reason", most=100) for entry in entries)
    return next((reason for reason in reasons if reason), f"http_{reply.status}")


def refusal(reply: Reply, scope: str) -> LatchkeyError:
    """Return the error for an answer that is not 2xx; ``scope`` is what the call needs.

    A 404 and a lasting "forbidden" mean the calendar is not ours to see; callers that ask for something else say so.
    """
    reason = reason_of(reply)
    if reply.status == 403:
        return _forbidden(reply, reason, scope)
    if reason == _NO_PUSH:
        return PushNotSupported(reason)
    if reply.status == 429:
        return ProviderThrottled(reason, retry_after_s=reply.retry_after_s())
    leaf = _BY_STATUS.get(reply.status)
    return _unavailable(reply, reason) if leaf is None else leaf(reason)


def _forbidden(reply: Reply, reason: str, scope: str) -> LatchkeyError:
    if reason in _RATE_REASONS:
        return ProviderThrottled(reason, retry_after_s=reply.retry_after_s())
    if reason == "quotaExceeded":
        return ProviderThrottled(reason, retry_after_s=reply.retry_after_s() or _USAGE_PAUSE_S)
    if reason in _SCOPE_REASONS:
        return ScopesMissing([scope])
    if reason in _CONFIGURATION_REASONS:
        return ProviderRejected(reason)
    if reason == _NO_PUSH:
        return PushNotSupported(reason)
    return CalendarGone(reason)


def _unavailable(reply: Reply, reason: str) -> LatchkeyError:
    wait_s = reply.retry_after_s()
    if reply.status == 503 and wait_s is not None:
        return ProviderThrottled(reason, retry_after_s=wait_s)
    return ProviderUnavailable(reason)
