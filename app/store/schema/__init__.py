"""The tables, as the newest migration leaves them."""

from app.store.schema.calendars import calendars, channels, events, occurrences, sync_states
from app.store.schema.connections import connections, data_keys, refresh_attempts, token_generations
from app.store.schema.identities import (
    authorization_requests,
    people,
    sessions,
    sign_in_identities,
)
from app.store.schema.metadata import metadata
from app.store.schema.services import (
    audit_events,
    hand_outs,
    key_checks,
    policies,
    service_secrets,
    service_tokens,
    services,
)

__all__ = [
    "audit_events",
    "authorization_requests",
    "calendars",
    "channels",
    "connections",
    "data_keys",
    "events",
    "hand_outs",
    "key_checks",
    "metadata",
    "occurrences",
    "people",
    "policies",
    "refresh_attempts",
    "service_secrets",
    "service_tokens",
    "services",
    "sessions",
    "sign_in_identities",
    "sync_states",
    "token_generations",
]
