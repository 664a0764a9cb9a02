"""What the use cases need from outside, as small Protocols.

``providers``, ``store``, ``crypto`` and ``nudge`` implement them; ``bootstrap`` joins both sides.
Times are aware UTC. Store methods run inside the unit of work that carries them.
"""

from app.ports.calendars import (
    AgendaItem,
    AppliedChanges,
    CalendarRow,
    CalendarStore,
    ChannelRow,
    ChannelStore,
    SyncRun,
)
from app.ports.connections import ConnectionStore, Lease, NewGeneration, StoredTokens, TokenStore
from app.ports.crypto import DataKey, SealContext, Sealer
from app.ports.gate import ProviderGate
from app.ports.identities import AuditStore, AuthorizationStore, HandOut, PeopleStore, ServiceStore
from app.ports.providers import AuthorizationStart, CalendarProvider, Provider, Providers, Revocation
from app.ports.surroundings import Clock, Nudge, Spread
from app.ports.transaction import Store, Transaction

__all__ = [
    "AgendaItem",
    "AppliedChanges",
    "AuditStore",
    "AuthorizationStart",
    "AuthorizationStore",
    "CalendarProvider",
    "CalendarRow",
    "CalendarStore",
    "ChannelRow",
    "ChannelStore",
    "Clock",
    "ConnectionStore",
    "DataKey",
    "HandOut",
    "Lease",
    "NewGeneration",
    "Nudge",
    "PeopleStore",
    "Provider",
    "ProviderGate",
    "Providers",
    "Revocation",
    "SealContext",
    "Sealer",
    "ServiceStore",
    "Spread",
    "Store",
    "StoredTokens",
    "SyncRun",
    "TokenStore",
    "Transaction",
]
