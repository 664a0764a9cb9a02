"""A connection: one person's grant at one provider account, its state and the reasons it can have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.domain.features import Feature, granted_features


class Status(StrEnum):
    """The state of a connection, as stored."""

    ACTIVE = "active"
    NEEDS_RECONNECT = "needs_reconnect"
    DISCONNECTED = "disconnected"


class Reason(StrEnum):
    """Why a connection needs the person; each has its own sentence on the pages."""

    REVOKED_BY_USER = "revoked_by_user"
    REVOKED_BY_ADMIN = "revoked_by_admin"
    CREDENTIAL_CHANGED = "credential_changed"
    EXPIRED_INACTIVE = "expired_inactive"
    ACCOUNT_DISABLED = "account_disabled"
    SESSION_POLICY = "session_policy"
    CONSENT_NEEDED = "consent_needed"
    TEST_MODE_EXPIRED = "test_mode_expired"
    ROTATION_LOST = "rotation_lost"
    GRANT_REJECTED = "grant_rejected"
    """The provider gave no usable reason."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a provider says somebody is. The key is (``issuer``, ``subject``), never the e-mail."""

    issuer: str
    subject: str
    """``sub`` (Google, OIDC) or ``oid`` (Microsoft)."""
    tenant: str | None
    """``tid`` at Microsoft, ``hd`` at Google Workspace, otherwise null. For display and policy."""
    email: str | None
    """Display text only: it may change, be absent, or be chosen by an attacker."""
    name: str | None


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection as pages and services see it. No secrets in here."""

    id: UUID
    person_id: UUID
    provider: str
    """Key of the provider in the configuration."""
    kind: str
    """``google``, ``microsoft`` or ``oidc``."""
    issuer: str
    subject: str
    tenant: str | None
    email: str | None
    display_name: str | None
    status: Status
    reason: Reason | None
    """Null while active."""
    status_since: datetime
    requested_features: tuple[Feature, ...]
    granted_scopes: tuple[str, ...]
    generation: int
    """The current token generation; 0 before the first."""
    access_expires_at: datetime | None
    last_refreshed_at: datetime | None
    created_at: datetime
    calendars_listed_at: datetime | None
    """When the calendar list was last read; null before the first time."""
    paused_until: datetime | None = None
    """Until when the person lets nothing be handed out; null, or past, when not paused."""
    completion_due_at: datetime | None = None
    """Until when the host of a connect link may confirm it, with no hand-outs before; null: nothing to confirm."""

    def features(self) -> frozenset[Feature]:
        """Return what the provider granted, in the product's words."""
        return granted_features(self.kind, self.granted_scopes)

    def still_serves(self, now: datetime) -> bool:
        """Return whether the access token at hand may be given out.

        A lost rotation took the refresh token only: the access token is good until its end.
        """
        if self.status is Status.NEEDS_RECONNECT and self.reason is Reason.ROTATION_LOST:
            return self.access_expires_at is not None and self.access_expires_at > now
        return self.status is Status.ACTIVE

    def declined(self) -> tuple[Feature, ...]:
        """Return the features that were asked for and not granted."""
        return tuple(f for f in self.requested_features if f not in self.features())


def same_account(connection: Connection, identity: Identity) -> bool:
    """Return whether ``identity`` is the account of ``connection``."""
    return (connection.issuer, connection.subject) == (identity.issuer, identity.subject)


def reads_calendars(granted: Iterable[Feature]) -> bool:
    """Return whether any of ``granted`` lets us read events."""
    return any(f in (Feature.CALENDAR_READ, Feature.CALENDAR_WRITE) for f in granted)


def reads_busy_times(granted: Iterable[Feature]) -> bool:
    """Return whether any of ``granted`` lets us see when somebody is busy."""
    features = frozenset(granted)
    return Feature.CALENDAR_FREEBUSY in features or reads_calendars(features)
