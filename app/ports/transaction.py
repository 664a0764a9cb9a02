"""The unit of work that carries the stores."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from app.ports.audit import AuditLogStore, AuditStore
from app.ports.calendar_reading import CalendarReadingStore
from app.ports.calendars import CalendarStore
from app.ports.channels import ChannelStore
from app.ports.connect_links import ConnectLinkStore
from app.ports.connections import AttemptStore, ConnectionStore, TokenStore
from app.ports.credentials import CredentialStore, SigningKeyStore
from app.ports.gate import ProviderHealthStore
from app.ports.grant_care import GrantCareStore
from app.ports.identities import AuthorizationStore, PeopleStore, ServiceStore
from app.ports.policies import PolicyStore
from app.ports.staging import StagingStore


class Transaction(Protocol):
    """An open unit of work and the stores inside it. Commits on a clean exit, rolls back on an error."""

    @property
    def people(self) -> PeopleStore:
        """Return people and sessions."""

    @property
    def authorizations(self) -> AuthorizationStore:
        """Return pending authorization requests."""

    @property
    def connections(self) -> ConnectionStore:
        """Return connections."""

    @property
    def tokens(self) -> TokenStore:
        """Return tokens and leases."""

    @property
    def attempts(self) -> AttemptStore:
        """Return refresh attempts."""

    @property
    def provider_health(self) -> ProviderHealthStore:
        """Return the state of provider applications."""

    @property
    def grant_care(self) -> GrantCareStore:
        """Return grants that need looking after."""

    @property
    def calendars(self) -> CalendarStore:
        """Return calendars and events."""

    @property
    def calendar_reading(self) -> CalendarReadingStore:
        """Return calendars, events and changes as readers see them."""

    @property
    def staging(self) -> StagingStore:
        """Return what sync rounds have brought and nobody has applied yet."""

    @property
    def channels(self) -> ChannelStore:
        """Return push channels."""

    @property
    def services(self) -> ServiceStore:
        """Return internal services."""

    @property
    def policies(self) -> PolicyStore:
        """Return policies and people's blocks."""

    @property
    def connect_links(self) -> ConnectLinkStore:
        """Return connect links."""

    @property
    def credentials(self) -> CredentialStore:
        """Return what services prove themselves with."""

    @property
    def signing_keys(self) -> SigningKeyStore:
        """Return the keys that sign our own tokens."""

    @property
    def audit(self) -> AuditStore:
        """Return events and histories."""

    @property
    def audit_log(self) -> AuditLogStore:
        """Return the chained log."""


class Store(Protocol):
    """Opens units of work."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open a short write transaction; raises the guard's flag for its length."""

    def reading(self) -> AbstractContextManager[Transaction]:
        """Open a unit for reads only, each statement on its own (AUTOCOMMIT): no BEGIN, no lock held."""

    def snapshot(self) -> AbstractContextManager[Transaction]:
        """Open a unit for reads that all see the database as it was at the first of them."""

    def ping(self) -> None:
        """Raise ``StoreUnavailable`` when the database does not answer."""
