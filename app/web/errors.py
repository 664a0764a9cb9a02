"""One table: what each error of the domain means over HTTP, for people's pages and for programs.

Sources: RFC 6749 section 5.2, RFC 6750 section 3.1, RFC 8693 section 2.2.2; ``interaction_required`` is
OpenID Connect Core section 3.1.2.6 and means here: only the person can make it work again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from app.domain import connect_link_errors as links
from app.domain import errors as domain
from app.domain import reading_errors as reading
from app.domain.errors import LatchkeyError


class ErrorCode(StrEnum):
    """Every value of ``error`` in a JSON answer: the registry callers can rely on."""

    INVALID_REQUEST = "invalid_request"
    """The call is malformed; do not repeat it unchanged."""
    INVALID_CLIENT = "invalid_client"
    """The service's credential is missing, wrong or expired."""
    INVALID_TOKEN = "invalid_token"
    """The Latchkey token is wrong or expired; get a new one."""
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
    UNAUTHORIZED_CLIENT = "unauthorized_client"
    """Policy says no; ask the operator, do not retry."""
    INVALID_SCOPE = "invalid_scope"
    """A scope asked for by name is not allowed, or not granted: then the person can grant it at ``connect_uri``."""
    INVALID_TARGET = "invalid_target"
    """No such connection or provider for this caller."""
    INTERACTION_REQUIRED = "interaction_required"
    """Show the person ``connect_uri``; nothing else helps."""
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"
    """Try again after ``Retry-After`` seconds."""
    RATE_LIMITED = "rate_limited"
    """This client asks too often; try again after ``Retry-After`` seconds."""
    NOT_FOUND = "not_found"
    SERVER_ERROR = "server_error"
    """Ours to mend; ``error_id`` finds it in the log."""


class FormExpired(LatchkeyError):
    """A form came without a token of this browser, or from another site."""

    code = "form_expired"


class RequestRefused(LatchkeyError):
    """A program's call that cannot be answered as asked.

    ``description`` must keep to the characters of RFC 6749 section 5.2: printable ASCII without
    quotation mark and backslash. It never repeats what came in.
    """

    code = "request_refused"

    def __init__(self, error: ErrorCode, description: str, *, status: int = 400, reason: str | None = None) -> None:
        """Keep what the answer says."""
        super().__init__(error.value)
        self.error = error
        self.description = description
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one error becomes."""

    page_status: int
    status: int
    """For programs."""
    error: ErrorCode
    description: str
    """For programs; the words for people are in ``error_texts.ERROR_PAGES`` under the error's code."""
    reason: str | None = None
    retry_after_s: int | None = field(default=None)
    """Least wait; null when waiting does not help."""


_UNEXPECTED = Outcome(500, 500, ErrorCode.SERVER_ERROR, "unexpected error")
_TARGET = "no such connection or provider for this client"
_AUTHORIZATION = "the consent could not be completed"

OUTCOMES: Mapping[type[LatchkeyError], Outcome] = {
    LatchkeyError: _UNEXPECTED,
    FormExpired: Outcome(403, 400, ErrorCode.INVALID_REQUEST, "form expired"),
    domain.UnknownConnection: Outcome(404, 400, ErrorCode.INVALID_TARGET, _TARGET),
    domain.UnknownProvider: Outcome(404, 400, ErrorCode.INVALID_TARGET, _TARGET),
    domain.UnknownCalendar: Outcome(404, 400, ErrorCode.INVALID_TARGET, _TARGET),
    domain.InvalidClient: Outcome(401, 401, ErrorCode.INVALID_CLIENT, "client authentication failed"),
    domain.ClientFrozen: Outcome(
        403, 400, ErrorCode.UNAUTHORIZED_CLIENT, "operators have frozen this client", "client_frozen"
    ),
    domain.SignedTokenInvalid: Outcome(400, 400, ErrorCode.INVALID_REQUEST, "a token is not valid"),
    domain.IssuedToAnother: Outcome(
        403, 400, ErrorCode.UNAUTHORIZED_CLIENT, "the token was issued to another client", "issued_to_another"
    ),
    domain.SubjectTokenInvalid: Outcome(
        400, 400, ErrorCode.INVALID_REQUEST, "the subject token is not valid", "subject_token_invalid"
    ),
    domain.UnknownPerson: Outcome(
        404, 400, ErrorCode.INTERACTION_REQUIRED, "the person has never connected", "never_connected"
    ),
    domain.KeysUnavailable: Outcome(
        503, 503, ErrorCode.TEMPORARILY_UNAVAILABLE, "the keys to verify with cannot be had", "keys_unavailable", 5
    ),
    domain.NotAllowed: Outcome(403, 400, ErrorCode.UNAUTHORIZED_CLIENT, "policy does not allow this request", "policy"),
    domain.ScopeNotAllowed: Outcome(403, 400, ErrorCode.INVALID_SCOPE, "policy does not allow a scope asked for"),
    domain.ScopeNotGranted: Outcome(
        409, 400, ErrorCode.INVALID_SCOPE, "a scope asked for was not granted", "scope_insufficient"
    ),
    domain.ServiceBlocked: Outcome(
        403, 400, ErrorCode.INVALID_TARGET, "the person has switched this client off", "service_blocked_by_user"
    ),
    domain.ConnectionPaused: Outcome(
        403, 400, ErrorCode.INVALID_TARGET, "the person has paused this connection", "paused_by_user"
    ),
    domain.NeverConnected: Outcome(
        409, 400, ErrorCode.INTERACTION_REQUIRED, "the person has not connected such an account", "never_connected"
    ),
    reading.CalendarsUnread: Outcome(
        503,
        503,
        ErrorCode.TEMPORARILY_UNAVAILABLE,
        "the calendars are being read for the first time",
        "calendars_unread",
        5,
    ),
    reading.CalendarTooLarge: Outcome(
        409, 409, ErrorCode.INVALID_REQUEST, "the calendar is too large for one file", "calendar_too_large"
    ),
    reading.FeedCursorForeign: Outcome(
        400, 400, ErrorCode.INVALID_REQUEST, "the cursor was made for another question", "cursor_damaged"
    ),
    reading.FeedCursorExpired: Outcome(
        410, 410, ErrorCode.INVALID_REQUEST, "start again without a cursor", "cursor_expired"
    ),
    domain.AccountAmbiguous: Outcome(
        409, 400, ErrorCode.INVALID_TARGET, "the person has several such accounts; name one", "account_required"
    ),
    domain.RateLimited: Outcome(429, 429, ErrorCode.RATE_LIMITED, "too many requests of this client", retry_after_s=1),
    domain.AuthorizationError: Outcome(400, 400, ErrorCode.INVALID_REQUEST, _AUTHORIZATION),
    domain.StateMismatch: Outcome(403, 400, ErrorCode.INVALID_REQUEST, _AUTHORIZATION),
    domain.ConsentExpired: Outcome(400, 400, ErrorCode.INVALID_REQUEST, _AUTHORIZATION),
    domain.ConsentAlreadyUsed: Outcome(409, 400, ErrorCode.INVALID_REQUEST, _AUTHORIZATION),
    domain.ConsentDenied: Outcome(403, 400, ErrorCode.INVALID_REQUEST, _AUTHORIZATION),
    domain.AdminApprovalRequired: Outcome(403, 400, ErrorCode.INVALID_REQUEST, _AUTHORIZATION),
    domain.AccountMismatch: Outcome(409, 400, ErrorCode.INVALID_REQUEST, _AUTHORIZATION),
    domain.IDTokenInvalid: Outcome(502, 400, ErrorCode.INVALID_REQUEST, _AUTHORIZATION),
    domain.NoOfflineAccess: Outcome(409, 400, ErrorCode.INVALID_REQUEST, _AUTHORIZATION),
    links.ConnectLinkForAnother: Outcome(403, 400, ErrorCode.INVALID_REQUEST, _AUTHORIZATION),
    links.ConnectLinkTaken: Outcome(409, 400, ErrorCode.INVALID_REQUEST, _AUTHORIZATION),
    links.ConnectLinkUsed: Outcome(410, 400, ErrorCode.INVALID_REQUEST, _AUTHORIZATION),
    links.ConnectLinkExpired: Outcome(410, 400, ErrorCode.INVALID_REQUEST, _AUTHORIZATION),
    links.UnknownConnectLink: Outcome(404, 404, ErrorCode.NOT_FOUND, "no such connect link for this client"),
    links.ConnectLinkRefused: Outcome(400, 400, ErrorCode.INVALID_REQUEST, "the link cannot be made as asked"),
    links.NotAwaitingCompletion: Outcome(
        409, 409, ErrorCode.INVALID_REQUEST, "the link is not waiting for completion", "not_awaiting_completion"
    ),
    domain.AwaitingCompletion: Outcome(
        409, 400, ErrorCode.INVALID_TARGET, "the connection waits for its completion", "awaiting_completion"
    ),
    domain.ScopesMissing: Outcome(
        409, 400, ErrorCode.INTERACTION_REQUIRED, "the person has not granted this", "scope_insufficient"
    ),
    domain.ReconnectRequired: Outcome(
        409, 400, ErrorCode.INTERACTION_REQUIRED, "the person must reconnect the account"
    ),
    domain.ProviderError: Outcome(
        502, 503, ErrorCode.TEMPORARILY_UNAVAILABLE, "the provider failed", "provider_outage", 5
    ),
    domain.ProviderUnavailable: Outcome(
        503, 503, ErrorCode.TEMPORARILY_UNAVAILABLE, "the provider does not answer", "provider_outage", 5
    ),
    domain.ProviderThrottled: Outcome(
        503, 503, ErrorCode.TEMPORARILY_UNAVAILABLE, "the provider asks to slow down", "provider_throttled", 5
    ),
    domain.BreakerOpen: Outcome(
        503, 503, ErrorCode.TEMPORARILY_UNAVAILABLE, "calls to the provider are paused", "breaker_open", 5
    ),
    domain.ProviderRejected: Outcome(
        502,
        502,
        ErrorCode.SERVER_ERROR,
        "the provider refuses this installation; operators must act",
        "provider_rejected",
    ),
    domain.InvalidGrant: Outcome(
        409, 503, ErrorCode.TEMPORARILY_UNAVAILABLE, "the grant is in doubt", "grant_in_doubt", 5
    ),
    domain.RefreshInProgress: Outcome(
        503, 503, ErrorCode.TEMPORARILY_UNAVAILABLE, "a refresh is under way", "refresh_in_progress", 1
    ),
    domain.ValidityUnattainable: Outcome(
        400,
        400,
        ErrorCode.INVALID_REQUEST,
        "the provider gives no token that lives so long",
        "min_validity_unattainable",
    ),
    domain.StoreUnavailable: Outcome(
        503, 503, ErrorCode.TEMPORARILY_UNAVAILABLE, "the database does not answer", "store_unavailable", 5
    ),
    domain.StoreConflict: Outcome(
        503, 503, ErrorCode.TEMPORARILY_UNAVAILABLE, "another request came first", "conflict", 1
    ),
    domain.CipherError: Outcome(500, 500, ErrorCode.SERVER_ERROR, "unexpected error"),
    domain.ConfigurationError: Outcome(500, 500, ErrorCode.SERVER_ERROR, "unexpected error"),
}


def outcome_of(error: LatchkeyError) -> Outcome:
    """Return the row of the error's class, or of the nearest class above it."""
    return next(OUTCOMES[kind] for kind in type(error).__mro__ if kind in OUTCOMES)


def retry_after_s(error: LatchkeyError) -> int | None:
    """Return the seconds for ``Retry-After``, at least one; null when waiting does not help."""
    least = outcome_of(error).retry_after_s
    wish = error.retry_after_s if isinstance(error, domain.ProviderThrottled | domain.RateLimited) else None
    if least is None or wish is None:
        return least
    # Rounded up: a caller that comes a moment early makes things worse.
    return max(1, -int(-wish // 1))
