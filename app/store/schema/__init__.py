"""The tables, as the newest migration leaves them."""

from app.store.schema.audit import audit_events, audit_log
from app.store.schema.calendars import (
    calendars,
    changes,
    channels,
    drift_reports,
    events,
    occurrences,
    staged_items,
    staged_occurrences,
    sync_states,
)
from app.store.schema.connect_links import connect_links, service_return_uris
from app.store.schema.connections import (
    connections,
    data_keys,
    processes,
    refresh_attempts,
    token_generations,
)
from app.store.schema.credentials import (
    revoked_tokens,
    service_keys,
    service_workloads,
    signing_keys,
    spent_statements,
)
from app.store.schema.identities import (
    authorization_requests,
    people,
    sessions,
    sign_in_identities,
)
from app.store.schema.metadata import metadata
from app.store.schema.policies import policies, policy_usage, service_blocks
from app.store.schema.providers import provider_health
from app.store.schema.services import (
    key_checks,
    service_secrets,
    services,
)

__all__ = [
    "audit_events",
    "audit_log",
    "authorization_requests",
    "calendars",
    "changes",
    "channels",
    "connect_links",
    "connections",
    "data_keys",
    "drift_reports",
    "events",
    "key_checks",
    "metadata",
    "occurrences",
    "people",
    "policies",
    "policy_usage",
    "processes",
    "provider_health",
    "refresh_attempts",
    "revoked_tokens",
    "service_blocks",
    "service_keys",
    "service_return_uris",
    "service_secrets",
    "service_workloads",
    "services",
    "sessions",
    "sign_in_identities",
    "signing_keys",
    "spent_statements",
    "staged_items",
    "staged_occurrences",
    "sync_states",
    "token_generations",
]
