"""The open unit of work: one database connection and the stores that use it."""

from __future__ import annotations

from functools import cached_property

from sqlalchemy import Connection

from app.store.attempts import PostgresAttempts
from app.store.audit import PostgresAudit
from app.store.audit_log import PostgresAuditLog
from app.store.authorizations import PostgresAuthorizations
from app.store.calendar_reading import PostgresCalendarReading
from app.store.calendars import PostgresCalendars
from app.store.channels import PostgresChannels
from app.store.connect_links import PostgresConnectLinks
from app.store.connections import PostgresConnections
from app.store.grant_care import PostgresGrantCare
from app.store.people import PostgresPeople
from app.store.policies import PostgresPolicies
from app.store.provider_health import PostgresProviderHealth
from app.store.service_credentials import PostgresCredentials
from app.store.services import PostgresServices
from app.store.signing_keys import PostgresSigningKeys
from app.store.staging import PostgresStaging
from app.store.tokens import PostgresTokens


class UnitOfWork:
    """Implements ``ports.Transaction`` over one connection; whoever opened it commits or rolls back."""

    def __init__(self, connection: Connection) -> None:
        """Keep ``connection``; the stores are made when first asked for."""
        self._connection = connection

    @cached_property
    def people(self) -> PostgresPeople:
        """Return people and sessions."""
        return PostgresPeople(self._connection)

    @cached_property
    def authorizations(self) -> PostgresAuthorizations:
        """Return pending authorization requests."""
        return PostgresAuthorizations(self._connection)

    @cached_property
    def connections(self) -> PostgresConnections:
        """Return connections."""
        return PostgresConnections(self._connection)

    @cached_property
    def tokens(self) -> PostgresTokens:
        """Return tokens and leases."""
        return PostgresTokens(self._connection)

    @cached_property
    def attempts(self) -> PostgresAttempts:
        """Return refresh attempts."""
        return PostgresAttempts(self._connection)

    @cached_property
    def provider_health(self) -> PostgresProviderHealth:
        """Return the state of provider applications."""
        return PostgresProviderHealth(self._connection)

    @cached_property
    def grant_care(self) -> PostgresGrantCare:
        """Return grants that need looking after."""
        return PostgresGrantCare(self._connection)

    @cached_property
    def calendars(self) -> PostgresCalendars:
        """Return calendars and events."""
        return PostgresCalendars(self._connection)

    @cached_property
    def calendar_reading(self) -> PostgresCalendarReading:
        """Return calendars, events and changes as readers see them."""
        return PostgresCalendarReading(self._connection)

    @cached_property
    def staging(self) -> PostgresStaging:
        """Return what sync rounds have brought and nobody has applied yet."""
        return PostgresStaging(self._connection)

    @cached_property
    def channels(self) -> PostgresChannels:
        """Return push channels."""
        return PostgresChannels(self._connection)

    @cached_property
    def services(self) -> PostgresServices:
        """Return internal services."""
        return PostgresServices(self._connection)

    @cached_property
    def policies(self) -> PostgresPolicies:
        """Return policies and people's blocks."""
        return PostgresPolicies(self._connection)

    @cached_property
    def connect_links(self) -> PostgresConnectLinks:
        """Return connect links."""
        return PostgresConnectLinks(self._connection)

    @cached_property
    def credentials(self) -> PostgresCredentials:
        """Return what services prove themselves with."""
        return PostgresCredentials(self._connection)

    @cached_property
    def signing_keys(self) -> PostgresSigningKeys:
        """Return the keys that sign our own tokens."""
        return PostgresSigningKeys(self._connection)

    @cached_property
    def audit(self) -> PostgresAudit:
        """Return events and histories."""
        return PostgresAudit(self._connection)

    @cached_property
    def audit_log(self) -> PostgresAuditLog:
        """Return the chained log."""
        return PostgresAuditLog(self._connection)
