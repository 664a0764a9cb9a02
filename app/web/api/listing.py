"""``GET /v1/connections``: what a service may know of, so that it can name a connection in an exchange."""

from __future__ import annotations

from typing import TypedDict

from flask import Blueprint, request
from werkzeug.wrappers import Response

from app.domain.connections import Connection
from app.domain.errors import UnknownProvider
from app.web import current
from app.web.access import caller
from app.web.api.token_answers import granted_at, timestamp
from app.web.errors import ErrorCode, RequestRefused
from app.web.rendering import json_answer

blueprint = Blueprint("listing", __name__, url_prefix="/v1")


class ConnectionItem(TypedDict):
    """One connection as services see it."""

    id: str
    provider: str
    account: str | None
    """The e-mail address at the provider, for display; never a key."""
    status: str
    reason: str | None
    features: list[str]
    granted_scopes: list[str]
    granted_at: str


@blueprint.get("/connections")
@caller("service")
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
        "provider": connection.provider,
        "account": connection.email,
        "status": connection.status.value,
        "reason": None if connection.reason is None else connection.reason.value,
        "features": sorted(feature.value for feature in connection.features()),
        "granted_scopes": sorted(connection.granted_scopes),
        "granted_at": timestamp(granted_at(connection)),
    }
