"""Read Graph's refusals: which error of ours a status and a code mean.

Decided by ``error.code``, compared without regard to case (Graph is not consistent), never by the message.
Source: "Microsoft Graph error responses" and the delta query overview.
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
from app.providers.fields import Item, child, text
from app.providers.http import Reply
from app.providers.json_reader import read_object

_LOST_STATE: Final = frozenset({"syncstatenotfound", "syncstateinvalid", "resyncrequired", "errorinvaliddeltatoken"})
_NO_SCOPE: Final = frozenset({"erroraccessdenied", "authorization_requestdenied", "accessdenied"})
_THROTTLED: Final = frozenset({"toomanyrequests", "applicationthrottled", "activitylimitreached"})
# Mailboxes that accept no subscription at all answer with this, whatever the request looks like.
_NO_PUSH: Final = frozenset({"extensionerror"})
_BY_STATUS: Final[Mapping[int, type[ProviderError]]] = {
    400: CallMalformed,
    401: AccessTokenRejected,
    403: ProviderRejected,
    404: CalendarGone,
    405: ProviderRejected,
    409: ProviderRejected,
    410: CursorExpired,
    412: ProviderRejected,
    413: ProviderRejected,
    415: ProviderRejected,
    422: ProviderRejected,
}
"""Everything else, redirects included, is no usable answer."""


def refusal(reply: Reply, scope: str) -> LatchkeyError:
    """Return the error for an answer that is not 2xx; ``scope`` is what the call needs.

    A 404 means the calendar or mailbox is gone; callers that ask for something else say so.
    """
    codes = _codes(reply)
    known = {code.lower() for code in codes}
    if known & _LOST_STATE:
        return CursorExpired(codes[0])
    if reply.status == 429 or known & _THROTTLED or _asks_to_wait(reply):
        return ProviderThrottled(codes[0], retry_after_s=reply.retry_after_s())
    if reply.status == 403 and known & _NO_SCOPE:
        return ScopesMissing([scope])
    if known & _NO_PUSH:
        return PushNotSupported(codes[0])
    return _BY_STATUS.get(reply.status, ProviderUnavailable)(codes[0])


def _asks_to_wait(reply: Reply) -> bool:
    return reply.status in (503, 504) and reply.retry_after_s() is not None


def _codes(reply: Reply) -> list[str]:
    """Return the codes, the outermost first; nested ones may be more specific."""
    try:
        error: Item = child(read_object(reply.body), "error")
    except ProviderUnavailable:
        error = {}
    inner = child(error, "innerError") or child(error, "innererror")
    found = [code for code in (text(error, "code", most=100), text(inner, "code", most=100)) if code]
    return found or [f"http_{reply.status}"]
