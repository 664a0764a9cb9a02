"""Say why there is no token, in types a caller can act on: show a link, stop, wait, or mend the program.

No message holds a token, a secret or a link. Sources: RFC 6749 section 5.2, RFC 8693 section 2.2.2, Latchkey's registry
of error codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime


class LatchkeyError(Exception):
    """Something stands between the caller and a token."""


class InteractionRequired(LatchkeyError):
    """Only the person can mend it: show them `connect_uri`."""

    def __init__(
        self,
        reason: str | None,
        *,
        connect_uri: str | None = None,
        missing_scopes: Sequence[str] = (),
        since: datetime | None = None,
        admin_uri: str | None = None,
    ) -> None:
        """Keep what the answer said; every part but `missing_scopes` is null when it did not say."""
        super().__init__(f"the person must act: {reason or 'no reason given'}")
        self.reason = reason
        """Stable code such as `revoked_by_user`, `scope_insufficient` or `never_connected`."""
        self.connect_uri = connect_uri
        self.missing_scopes = tuple(missing_scopes)
        self.since = since
        """Aware UTC."""
        self.admin_uri = admin_uri
        """Where an administrator approves; null unless that is what is missing."""


class NotAllowed(LatchkeyError):
    """Policy says no; ask the operator, do not retry."""

    def __init__(self, reason: str | None = None) -> None:
        """Keep `reason`, such as `policy` or `client_frozen`; null when the answer gave none."""
        super().__init__(f"policy does not allow it: {reason or 'no reason given'}")
        self.reason = reason


class InvalidTarget(LatchkeyError):
    """No such connection or provider for this service, or the person switched it off; stop until `until`."""

    def __init__(self, reason: str | None = None, until: datetime | None = None) -> None:
        """Keep `reason` (such as `paused_by_user`) and `until` (aware UTC); each null when the answer gave none."""
        super().__init__(f"not available to this service: {reason or 'no such connection or provider'}")
        self.reason = reason
        self.until = until


class RateLimited(LatchkeyError):
    """The service asks too often."""

    def __init__(self, retry_after: float | None = None) -> None:
        """Keep `retry_after`, seconds; null when the answer gave none."""
        super().__init__("too many requests")
        self.retry_after = retry_after


class TemporarilyUnavailable(LatchkeyError):
    """Nobody is at fault here and now; a later call may work."""

    def __init__(self, reason: str | None, retry_after: float | None = None) -> None:
        """Keep `reason` and `retry_after` (seconds, null when nobody said).

        `reason` is Latchkey's (`provider_outage`, `breaker_open` and others), or ours: `no_connection`, `no_answer`,
        `deadline`.
        """
        super().__init__(f"temporarily unavailable: {reason or 'no reason given'}")
        self.reason = reason
        self.retry_after = retry_after


class InvalidClient(LatchkeyError):
    """Latchkey does not accept the service's credential."""

    def __init__(self) -> None:
        """Say so; the answer never says which part was wrong."""
        super().__init__("the service's credential was not accepted")


class InvalidRequest(LatchkeyError):
    """The call is malformed, or names an unusable person; do not repeat it unchanged."""

    def __init__(self, reason: str | None, description: str | None = None) -> None:
        """Keep `reason` (a code, such as `subject_token_invalid`) and Latchkey's `description` for programmers."""
        super().__init__(f"{reason or 'invalid_request'}: {description or 'no description given'}")
        self.reason = reason
        self.description = description


class ProtocolError(LatchkeyError):
    """The answer is not one Latchkey gives: a wrong address, or something in between."""
