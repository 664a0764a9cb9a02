"""What every error code and reason means to the caller, and what to do about it: the words beside ``ErrorCode``.

Both the OpenAPI document and the readable page are made from it; a test holds it against the codes and reasons that
the code can answer. Sources: RFC 6749 section 5.2, RFC 6750 section 3.1, RFC 8693 section 2.2.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NotRequired

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

from app.web.api.openapi import Identifier, Timestamp


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the registry; backticks stand around code."""

    meaning: str
    action: str
    """What the caller does."""


CODES: Mapping[str, Entry] = {
    "invalid_request": Entry(
        "The call is malformed: a parameter is missing, repeated or unreadable.",
        "Mend the calling program; do not repeat the call unchanged.",
    ),
    "invalid_client": Entry(
        "The service's credential is missing, wrong, expired or used before.",
        "Check the credential; a repetition with the same one is answered the same way.",
    ),
    "invalid_token": Entry(
        "The Latchkey token is wrong or has expired.",
        "Get a new one with `client_credentials` and repeat the call once.",
    ),
    "unsupported_grant_type": Entry(
        "`grant_type` is neither `client_credentials` nor token exchange.", "Mend the calling program."
    ),
    "unauthorized_client": Entry(
        "Policy does not let this service do this.", "Stop and ask the operator; `reason` says what kind of rule it is."
    ),
    "invalid_scope": Entry(
        "A scope asked for by name is not allowed by policy or was not granted by the person.",
        "With `connect_uri`, show it to the person; without, ask the operator, or leave `scope` out.",
    ),
    "invalid_target": Entry(
        "There is no such connection, person or provider for this service, or the person has closed it to the service.",
        "Stop. With a `reason`, do not ask again before `until`.",
    ),
    "interaction_required": Entry(
        "Only the person can make it work again.",
        "Show the person `connect_uri`; no repetition helps before they have been there.",
    ),
    "rate_limited": Entry("The service asks too often.", "Wait for `Retry-After` seconds, then go on more slowly."),
    "temporarily_unavailable": Entry(
        "It will probably work in a moment.", "Repeat the same call after `Retry-After` seconds."
    ),
    "not_found": Entry("There is nothing at this address for this service.", "Mend the address; do not repeat."),
    "server_error": Entry(
        "A fault on this side.", "Repeat once, later; then tell the operator the `error_id`, which is in the log."
    ),
}

REASONS: Mapping[str, Entry] = {
    "never_connected": Entry("The person has never connected an account of this provider.", "Show `connect_uri`."),
    "revoked_by_user": Entry("The person took the access back at the provider.", "Show `connect_uri`."),
    "revoked_by_admin": Entry("The organisation's administrator took the access back.", "Show `connect_uri`."),
    "credential_changed": Entry("The password was changed, which ended the access.", "Show `connect_uri`."),
    "expired_inactive": Entry("The access was not used for so long that it ended.", "Show `connect_uri`."),
    "account_disabled": Entry("The account at the provider is disabled or gone.", "Show `connect_uri`."),
    "session_policy": Entry("A rule of the organisation asks for a new sign-in.", "Show `connect_uri`."),
    "consent_needed": Entry("The provider wants the person's consent anew.", "Show `connect_uri`."),
    "test_mode_expired": Entry(
        "The application is in test mode at the provider, where access ends after seven days.",
        "Show `connect_uri`, and tell the operator.",
    ),
    "rotation_lost": Entry("The provider's newest key was lost on its way here.", "Show `connect_uri`."),
    "grant_rejected": Entry("The provider refused the access without a usable reason.", "Show `connect_uri`."),
    "scope_insufficient": Entry(
        "The person has not granted what was asked for; `missing_scopes` names it.", "Show `connect_uri`."
    ),
    "service_blocked_by_user": Entry(
        "The person has switched this service off.", "Stop; do not ask again before `until`, if there is one."
    ),
    "paused_by_user": Entry("The person has paused this connection.", "Stop; do not ask again before `until`."),
    "calendars_unread": Entry(
        "The person has just connected, and the calendars are being read for the first time.", "Repeat in a moment."
    ),
    "calendar_too_large": Entry(
        "The calendar has more events than fit into one file.", "Read it in pages, with `/v1/events`."
    ),
    "cursor_damaged": Entry(
        "The cursor is not one of this address, or was made for other parameters or another service.",
        "Repeat the parameters that the cursor came with, or start again without a cursor.",
    ),
    "cursor_expired": Entry(
        "The database was restored, moved or replaced since the cursor was made.",
        "Forget all you have of the feed, then start again without a cursor: it tells everything there is.",
    ),
    "account_required": Entry("The person has several accounts at this provider.", "Name one with `account`."),
    "awaiting_completion": Entry(
        "The service that made the connect link has not confirmed the connection yet.",
        "Confirm it, if the link was yours; otherwise repeat in a few minutes.",
    ),
    "policy": Entry("No policy allows it.", "Ask the operator."),
    "issued_to_another": Entry(
        "The token to revoke was issued to another service and goes on working.",
        "Let its holder revoke it, or ask the operator to freeze that service.",
    ),
    "client_frozen": Entry("An operator has stopped this service.", "Stop, and ask the operator."),
    "subject_token_invalid": Entry(
        "The subject token is malformed, expired, or not meant for this installation.",
        "Get a new subject token; the service's own credential is not in doubt.",
    ),
    "min_validity_unattainable": Entry("The provider gives no token that lives so long.", "Ask for less."),
    "provider_outage": Entry("The provider does not answer, or answers with a fault of its own.", "Repeat later."),
    "provider_throttled": Entry("The provider asks this installation to slow down.", "Repeat later."),
    "provider_rejected": Entry(
        "The provider refuses this installation's registration.", "Operators must act; tell them the `error_id`."
    ),
    "grant_in_doubt": Entry("The provider refused once; it is asked again before anything ends.", "Repeat later."),
    "refresh_in_progress": Entry("The token is being renewed right now.", "Repeat later."),
    "breaker_open": Entry("So many calls to the provider failed that it is left alone for a while.", "Repeat later."),
    "keys_unavailable": Entry("The keys to verify a signed statement with cannot be had right now.", "Repeat later."),
    "store_unavailable": Entry("The database does not answer.", "Repeat later."),
    "conflict": Entry("Another request changed the same thing first.", "Repeat later."),
    "return_uri_not_allowed": Entry(
        "The address to return to is not allowed for this service.", "Ask the operator to allow it."
    ),
    "unknown_person": Entry("There is no person with this id.", "Name the person by `issuer` and `sub`."),
    "not_awaiting_completion": Entry(
        "The connect link is not waiting to be confirmed: nobody has used it, or its time is over.",
        "Ask for its state; make a new link if it has failed.",
    ),
}


def _of(registry: Mapping[str, Entry]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(registry)})


class ErrorAnswer(TypedDict):
    """Every error of ``/oauth2`` and ``/v1``. What came in is never repeated in it."""

    error: Annotated[str, _of(CODES)]
    """Decides what to do; the registry lists every value."""
    error_description: str
    """For the log of the caller's programmers; may change at any time."""
    reason: NotRequired[Annotated[str, _of(REASONS)]]
    """Tells apart the causes of one code. New ones may come; treat an unknown one by its `error` alone."""
    connect_uri: NotRequired[Annotated[str, Field(json_schema_extra={"format": "uri"})]]
    """Page on which the person can put it right."""
    missing_scopes: NotRequired[list[str]]
    """In the provider's words."""
    since: NotRequired[Timestamp]
    """When the connection stopped working."""
    last_ok: NotRequired[Timestamp]
    """When the provider last gave a token for it."""
    until: NotRequired[Timestamp]
    """When the person's own switch ends by itself; absent when it does not."""
    policy_id: NotRequired[Identifier]
    """The policy that came closest, for the operator."""
    error_id: NotRequired[str]
    """Finds the case in the log of this installation."""
