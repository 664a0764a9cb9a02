"""What the use cases need from outside, as small Protocols.

``providers``, ``store``, ``crypto`` and ``nudge`` implement them; ``bootstrap`` joins both sides.
Times are aware UTC. Store methods run inside the unit of work that carries them.
"""

from app.ports.audit import AuditLogStore, AuditStore, HandOut, Spool
from app.ports.calendar_reading import (
    CalendarReadingStore,
    ChangedEvent,
    Days,
    Look,
    Origin,
    PeopleStanding,
    Span,
)
from app.ports.calendars import (
    AgendaItem,
    CalendarRow,
    CalendarStore,
    SyncProgress,
    SyncRound,
    SyncRun,
    WindowState,
)
from app.ports.channels import ChannelRow, ChannelStore
from app.ports.connect_links import ConnectLinkStore
from app.ports.connections import (
    AttemptStore,
    ConnectionStore,
    Lease,
    NewGeneration,
    OpenAttempt,
    StoredTokens,
    TokenStore,
)
from app.ports.credentials import (
    JWK,
    CredentialStore,
    RegisteredKey,
    ServiceKeys,
    ServiceOverview,
    SigningKeyRow,
    SigningKeyState,
    SigningKeyStore,
    TokenReader,
    TrustedIssuer,
    TrustedIssuers,
    Workload,
)
from app.ports.crypto import DataKey, SealContext, Sealer, TokenSigner
from app.ports.gate import CallBudget, Draw, ProviderGate, ProviderHealthStore
from app.ports.grant_care import GrantCareStore
from app.ports.identities import AuthorizationStore, PeopleStore, ServiceStore
from app.ports.policies import Block, Chunk, PolicyStore, Standing
from app.ports.providers import AuthorizationStart, CalendarProvider, Provider, Providers, Revocation
from app.ports.staging import Differences, Losses, RoundKey, StagedPage, StagingStore, Tally
from app.ports.surroundings import Clock, Nudge, Spread
from app.ports.transaction import Store, Transaction
from app.ports.watching import Escrow, Presence

__all__ = [
    "JWK",
    "AgendaItem",
    "AttemptStore",
    "AuditLogStore",
    "AuditStore",
    "AuthorizationStart",
    "AuthorizationStore",
    "Block",
    "CalendarProvider",
    "CalendarReadingStore",
    "CalendarRow",
    "CalendarStore",
    "CallBudget",
    "ChangedEvent",
    "ChannelRow",
    "ChannelStore",
    "Chunk",
    "Clock",
    "ConnectLinkStore",
    "ConnectionStore",
    "CredentialStore",
    "DataKey",
    "Days",
    "Differences",
    "Draw",
    "Escrow",
    "GrantCareStore",
    "HandOut",
    "Lease",
    "Look",
    "Losses",
    "NewGeneration",
    "Nudge",
    "OpenAttempt",
    "Origin",
    "PeopleStanding",
    "PeopleStore",
    "PolicyStore",
    "Presence",
    "Provider",
    "ProviderGate",
    "ProviderHealthStore",
    "Providers",
    "RegisteredKey",
    "Revocation",
    "RoundKey",
    "SealContext",
    "Sealer",
    "ServiceKeys",
    "ServiceOverview",
    "ServiceStore",
    "SigningKeyRow",
    "SigningKeyState",
    "SigningKeyStore",
    "Span",
    "Spool",
    "Spread",
    "StagedPage",
    "StagingStore",
    "Standing",
    "Store",
    "StoredTokens",
    "SyncProgress",
    "SyncRound",
    "SyncRun",
    "Tally",
    "TokenReader",
    "TokenSigner",
    "TokenStore",
    "Transaction",
    "TrustedIssuer",
    "TrustedIssuers",
    "WindowState",
    "Workload",
]
