"""``GET /v1/connections``: what a service may know of, so that it can name a connection in an exchange."""

from __future__ import annotations

from flask import Blueprint, request
from typing_extensions import TypedDict
from werkzeug.wrappers import Response

from app.domain.connections import Connection, Reason, Status
from app.domain.errors import UnknownProvider
from app.domain.features import Feature
from app.web import current
from app.web.access import caller
from app.web.api.openapi import Answer, Group, Identifier, Operation, Parameter, Timestamp
from app.web.api.token_answers import granted_at, timestamp
from app.web.errors import ErrorCode, RequestRefused
from app.web.rendering import json_answer

blueprint = Blueprint("listing", __name__, url_prefix="/v1")


class ConnectionItem(TypedDict):
    """One connection as services see it."""

    id: Identifier
    """Stays the same when the person reconnects the account."""
    person_id: Identifier
    """Whose it is: names them at `/v1/calendars` and `/v1/events`, and in a token exchange."""
    provider: str
    """Key of the provider in this installation."""
    account: str | None
    """The e-mail address at the provider, for display; never a key."""
    status: Status
    reason: Reason | None
    """Why the connection needs the person; null while it works."""
    features: list[Feature]
    """What the person granted, in words of this product."""
    granted_scopes: list[str]
    """What the person granted, in the provider's words."""
    granted_at: Timestamp
    """When the person last made the grant work."""


class ConnectionList(TypedDict):
    """All connections policy lets the service know of."""

    connections: list[ConnectionItem]


_EXAMPLE: ConnectionList = {
    "connections": [
        {
            "id": "8f14e45f-ceea-467f-a3c1-3b1d2f0a9c11",
            "person_id": "5f0c6a1e-9f0e-4a55-8f0e-2d1c7b8a9e10",
            "provider": "google",
            "account": "ada@example.com",
            "status": Status.ACTIVE,
            "reason": None,
            "features": [Feature.CALENDAR_READ, Feature.IDENTITY],
            "granted_scopes": ["email", "https://www.googleapis.com/auth/calendar.events.readonly", "openid"],
            "granted_at": "2026-11-23T09:30:00Z",
        }
    ]
}


@blueprint.get("/connections")
@caller("service")
@Operation(
    id="list_connections",
    group=Group.CONNECTIONS,
    summary="List the connections the service may know of",
    description="Policy decides which; a connection of a provider without any policy for the service is not listed.",
    parameters=(Parameter("provider", "Key of a provider; without it, all."),),
    answers=(Answer(200, "The connections, in no particular order.", ConnectionList, _EXAMPLE),),
    errors={400: (ErrorCode.INVALID_TARGET,)},
)
def connections() -> Response:
    """List the connections policy lets the service see; ``?provider=`` narrows."""
    if any(len(request.args.getlist(name)) > 1 for name in request.args):
        raise RequestRefused(ErrorCode.INVALID_REQUEST, "a parameter is repeated")
    provider = request.args.get("provider") or None
    if provider is not None and provider not in {p.key for p in current.services().providers.all()}:
        raise UnknownProvider
    found = current.services().clients.connections(current.service(), provider)
    return json_answer({"connections": [item_of(connection) for connection in found]})


def item_of(connection: Connection) -> ConnectionItem:
    """Return one connection for the list."""
    return {
        "id": str(connection.id),
        "person_id": str(connection.person_id),
        "provider": connection.provider,
        "account": connection.email,
        "status": connection.status,
        "reason": connection.reason,
        "features": sorted(connection.features()),
        "granted_scopes": sorted(connection.granted_scopes),
        "granted_at": timestamp(granted_at(connection)),
    }
