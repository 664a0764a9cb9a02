"""Every error the product raises on purpose, one tree, a leaf per cause.

::

    LatchkeyError
     ├─ ConfigurationError
     ├─ UnknownConnection  UnknownProvider  UnknownCalendar
     ├─ InvalidClient  ClientFrozen  NotAllowed  ScopeNotAllowed  ScopeNotGranted  RateLimited
     ├─ ServiceBlocked  ConnectionPaused  NeverConnected  AccountAmbiguous
     ├─ (reading_errors)
     ├─ SignedTokenInvalid  SubjectTokenInvalid  UnknownPerson  KeysUnavailable
     ├─ AuthorizationError
     │   ├─ StateMismatch  ConsentExpired  ConsentAlreadyUsed  ConsentDenied
     │   ├─ AdminApprovalRequired  AccountMismatch  IDTokenInvalid  NoOfflineAccess
     │   └─ (connect_link_errors)
     ├─ AwaitingCompletion  (connect_link_errors)
     ├─ ScopesMissing  ReconnectRequired
     ├─ ProviderError
     │   ├─ ProviderUnavailable  ProviderThrottled  (BreakerOpen)  ProviderRejected
     │   ├─ InvalidGrant  AccessTokenRejected
     │   └─ CursorExpired  CalendarGone  PushNotSupported
     ├─ RefreshInProgress  ValidityUnattainable
     ├─ StoreUnavailable  StoreConflict
     └─ CipherError

Two tables turn a leaf into an outcome: ``app/web/errors.py`` (HTTP) and ``workers/failures.py`` (retries).
Messages carry codes only; never a body, a header, a token or an authorization code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID


class LatchkeyError(Exception):
    """Base of every expected error; ``code`` is stable and safe to log and to show."""

    code = "error"

    def __init__(self, detail: str = "") -> None:
        """Keep ``detail``: a short text without secrets, for operators."""
        super().__init__(f"{self.code}: {detail}" if detail else self.code)
        self.detail = detail


class ConfigurationError(LatchkeyError):
    """The configuration cannot work; ``faults`` lists every fault found, one line each."""

    code = "configuration"

    def __init__(self, faults: Sequence[str]) -> None:
        """Keep all ``faults`` so that one start shows everything there is to mend."""
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


class UnknownConnection(LatchkeyError):
    """No such connection, or not one this caller may know of."""

    code = "unknown_connection"


class UnknownProvider(LatchkeyError):
    """The provider key is not configured."""

    code = "unknown_provider"


class UnknownCalendar(LatchkeyError):
    """No such calendar, or its connection is gone."""

    code = "unknown_calendar"


class InvalidClient(LatchkeyError):
    """A service could not be authenticated (RFC 6749 section 5.2)."""

    code = "invalid_client"


class ClientFrozen(LatchkeyError):
    """The service proved who it is, but operators have frozen it: nothing is given to it until they say so."""

    code = "client_frozen"


class SignedTokenInvalid(LatchkeyError):
    """A signed token failed a check; ``detail`` names the check. Services turn it into what the caller may know."""

    code = "signed_token_invalid"


class IssuedToAnother(LatchkeyError):
    """A service wants to revoke a Latchkey token that another service holds (RFC 7009 section 2.1)."""

    code = "issued_to_another"


class SubjectTokenInvalid(LatchkeyError):
    """The subject of an exchange cannot be believed (RFC 8693 section 2.2.2); ``detail`` names the check."""

    code = "subject_token_invalid"


class UnknownPerson(LatchkeyError):
    """A genuine user token names somebody who never signed in here: they have to connect first."""

    code = "unknown_person"


class KeysUnavailable(LatchkeyError):
    """The published keys a signature must be checked with cannot be had at the moment."""

    code = "keys_unavailable"


class NotAllowed(LatchkeyError):
    """Policy says no; ``detail`` names the rule, not the data."""

    code = "not_allowed"

    def __init__(self, detail: str = "", *, policy_id: UUID | None = None) -> None:
        """Keep ``policy_id``, the one policy that came closest; null when there are several or none."""
        super().__init__(detail)
        self.policy_id = policy_id


class ScopeNotAllowed(LatchkeyError):
    """A scope was asked for by name that policy does not allow (RFC 6749 section 5.2, ``invalid_scope``)."""

    code = "scope_not_allowed"


class ScopeNotGranted(LatchkeyError):
    """A scope was asked for by name that policy allows and the person has not granted: ``missing``."""

    code = "scope_not_granted"

    def __init__(self, missing: Iterable[str]) -> None:
        """Keep the missing scopes, sorted."""
        self.missing = tuple(sorted(missing))
        super().__init__(" ".join(self.missing))


class ServiceBlocked(LatchkeyError):
    """The person has switched this service off, until ``until``; null until they lift it."""

    code = "service_blocked"

    def __init__(self, until: datetime | None) -> None:
        """Keep until when."""
        super().__init__()
        self.until = until


class ConnectionPaused(LatchkeyError):
    """The person lets nothing be handed out from this connection before ``until``."""

    code = "connection_paused"

    def __init__(self, until: datetime) -> None:
        """Keep until when."""
        super().__init__()
        self.until = until


class NeverConnected(LatchkeyError):
    """The person has no connection that fits, and the service may know that; ``provider`` null: several would do."""

    code = "never_connected"

    def __init__(self, provider: str | None) -> None:
        """Keep the provider's key."""
        super().__init__(provider or "")
        self.provider = provider


class AccountAmbiguous(LatchkeyError):
    """The person has several accounts that fit; the caller must name one."""

    code = "account_ambiguous"


class RateLimited(LatchkeyError):
    """This caller asks too often; ``detail`` names the limit. Others are not affected."""

    code = "rate_limited"

    def __init__(self, detail: str, *, retry_after_s: float) -> None:
        """Keep the seconds after which to try again."""
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class AuthorizationError(LatchkeyError):
    """A sign-in or consent could not be completed; the person can start again."""

    code = "authorization"


class StateMismatch(AuthorizationError):
    """The answer belongs to no pending request of this browser and person (RFC 6749 section 10.12)."""

    code = "state_mismatch"


class ConsentExpired(AuthorizationError):
    """The pending request is older than its ten minutes."""

    code = "consent_expired"


class ConsentAlreadyUsed(AuthorizationError):
    """The pending request was finished before: a reload or a double click."""

    code = "consent_already_used"


class ConsentDenied(AuthorizationError):
    """The person, or the provider on their behalf, said no."""

    code = "consent_denied"


class AdminApprovalRequired(AuthorizationError):
    """The organisation's administrator must approve this application first."""

    code = "admin_approval_required"


class AccountMismatch(AuthorizationError):
    """Another account came back than the connection that was to be repaired."""

    code = "account_mismatch"


class IDTokenInvalid(AuthorizationError):
    """The ID token failed a check of OpenID Connect Core section 3.1.3.7; ``detail`` names the check."""

    code = "id_token_invalid"


class NoOfflineAccess(AuthorizationError):
    """The provider gave no refresh token, so the connection could not be kept alive."""

    code = "no_offline_access"


class AwaitingCompletion(LatchkeyError):
    """The connection waits until the host of its connect link confirms it; nothing is handed out before."""

    code = "awaiting_completion"


class ScopesMissing(LatchkeyError):
    """The grant lacks ``missing`` (provider scope strings); the person can grant them."""

    code = "scopes_missing"

    def __init__(self, missing: Iterable[str]) -> None:
        """Keep the missing scopes, sorted."""
        self.missing = tuple(sorted(missing))
        super().__init__(" ".join(self.missing))


class ReconnectRequired(LatchkeyError):
    """The grant is dead and only the person can repair it; ``reason`` says why."""

    code = "reconnect_required"

    def __init__(self, reason: str) -> None:
        """Keep ``reason``, a value of ``domain.connections.Reason``."""
        super().__init__(reason)
        self.reason = reason


class ProviderError(LatchkeyError):
    """The provider, or the way to it, failed; ``detail`` is its stable error code."""

    code = "provider"


class ProviderUnavailable(ProviderError):
    """No usable answer: network fault, deadline, 5xx, or a body that is not what was promised."""

    code = "provider_unavailable"


class ProviderThrottled(ProviderError):
    """The provider asks to slow down."""

    code = "provider_throttled"

    def __init__(self, detail: str = "", *, retry_after_s: float | None = None) -> None:
        """Keep ``retry_after_s``, the provider's wish in seconds; null when it gave none."""
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class BreakerOpen(ProviderThrottled):
    """We do not ask the provider application for now; ``detail`` names the trouble, a value of ``breaker.Cause``."""

    code = "breaker_open"


class ProviderRejected(ProviderError):
    """The provider refuses *us* (client credentials, registration, malformed call): operators must act."""

    code = "provider_rejected"


class CallMalformed(ProviderRejected):
    """The provider cannot make sense of a call (HTTP 400): of the cursor in it, if the rest of it was right before."""


class InvalidGrant(ProviderError):
    """The token endpoint answered that the grant is dead; ``reason`` is our reading of why.

    One such answer is a suspicion; ``services.access_tokens`` asks again before it ends a connection.
    """

    code = "invalid_grant"

    def __init__(self, detail: str = "", *, reason: str) -> None:
        """Keep ``reason``, a value of ``domain.connections.Reason``."""
        super().__init__(detail)
        self.reason = reason


class AccessTokenRejected(ProviderError):
    """An API answered 401 to an access token that should have been good."""

    code = "access_token_rejected"


class CursorExpired(ProviderError):
    """The provider forgot the cursor (410): a full pass under a new generation is due."""

    code = "cursor_expired"


class CalendarGone(ProviderError):
    """The calendar does not exist any more, or is no longer visible (404)."""

    code = "calendar_gone"


class PushNotSupported(ProviderError):
    """This calendar cannot be watched; polling alone keeps it current."""

    code = "push_not_supported"


class RefreshInProgress(LatchkeyError):
    """Somebody else is refreshing and took longer than this caller may wait."""

    code = "refresh_in_progress"


class ValidityUnattainable(LatchkeyError):
    """The caller wants a token to live longer than this provider's tokens do."""

    code = "min_validity_unattainable"


class StoreUnavailable(LatchkeyError):
    """The database does not answer; nothing was changed."""

    code = "store_unavailable"


class StoreConflict(LatchkeyError):
    """Somebody else stored the same thing a moment before; read again, then decide anew."""

    code = "store_conflict"


class Unrepresentable(LatchkeyError):
    """A series cannot be expanded; ``detail`` is a stable code for ``RemoteEvent.problem``.

    It concerns that one series only: store the problem, show no occurrences of it, go on with the rest.
    """

    code = "unrepresentable"


class CipherError(LatchkeyError):
    """A sealed value cannot be opened: wrong key, unknown format, or not the row it was sealed for."""

    code = "cipher"
