"""Serve Graph's subscriptions: create with validation of both addresses, read, renew, reauthorize, delete.

Source: Graph guides on change notifications and lifecycle events.
"""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Concatenate, ParamSpec
from urllib.parse import quote

from flask import Blueprint, Response, g, jsonify

from app.sandbox.calendar.delivery import Answer, exchange, is_allowed_address
from app.sandbox.calendar.graph_access import READ_FULL, Caller, caller_of, graph_route, sent_json
from app.sandbox.calendar.graph_errors import GraphError, bad_request, denied, rendered
from app.sandbox.calendar.graph_times import parse_bound
from app.sandbox.calendar.state import current_side
from app.sandbox.calendar.world import Json, new_id
from app.sandbox.faults import FaultKind, meets, with_faults
from app.sandbox.tokens import AccessDenied

blueprint = Blueprint("sandbox_graph_subscriptions", __name__, url_prefix="/v1.0/subscriptions")
LONGEST = timedelta(minutes=10_080)
SHORTEST = timedelta(minutes=45)
_VALIDATION_S = 10.0
_KINDS = ("created", "updated", "deleted")
_SHOWN = (
    "id",
    "resource",
    "applicationId",
    "changeType",
    "clientState",
    "notificationUrl",
    "lifecycleNotificationUrl",
    "expirationDateTime",
    "creatorId",
    "includeResourceData",
    "latestSupportedTlsVersion",
)
P = ParamSpec("P")


def _checked_route(view: Callable[Concatenate[Caller, P], Json]) -> Callable[P, Response]:
    """Check the token and run a view without the sandbox's lock, because it waits for the receiver."""

    @wraps(view)
    def checked(*args: P.args, **kwargs: P.kwargs) -> Response:
        side = current_side()
        try:
            body = view(caller_of(side, READ_FULL), *args, **kwargs)
        except AccessDenied as denial:
            return denied(denial, side.world.clock.now())
        except GraphError as error:
            return rendered(error, side.world.clock.now())
        response = jsonify(body)
        response.headers["request-id"] = str(uuid.uuid4())
        return response

    return checked


@blueprint.post("")
@with_faults("graph.subscriptions")
def create() -> Response:
    """Open a subscription; both addresses are called before the answer is given."""
    response = _create()
    if response.status_code == 200:
        response.status_code = 201
    return response


@_checked_route
def _create(caller: Caller) -> Json:
    asked = sent_json()
    kinds = _check(asked, caller)
    for name in ("notificationUrl", "lifecycleNotificationUrl"):
        if asked.get(name):
            _validate_address(caller, asked[name])
    subscription = {
        "id": str(uuid.uuid4()),
        "resource": asked["resource"],
        "applicationId": caller.client_id,
        "changeType": asked["changeType"],
        "clientState": asked.get("clientState"),
        "notificationUrl": asked["notificationUrl"],
        "lifecycleNotificationUrl": asked.get("lifecycleNotificationUrl"),
        "expirationDateTime": _expiration(caller, asked),
        "creatorId": caller.account.oid,
        "includeResourceData": None,
        "latestSupportedTlsVersion": asked.get("latestSupportedTlsVersion") or "v1_2",
        "kinds": kinds,
        "is_immutable": caller.preferences.is_immutable,
        "is_paused": False,
        "account": caller.account.key,
        "tenant_id": caller.account.tid,
    }
    with caller.side.sandbox.lock:
        caller.side.world.subscriptions[subscription["id"]] = subscription
    return _shown(caller, subscription)


@blueprint.get("")
@with_faults("graph.subscriptions")
@graph_route(READ_FULL)
def list_all(caller: Caller) -> tuple[Json, int]:
    """List the subscriptions of this account and client."""
    mine = [s for s in caller.side.world.subscriptions.values() if _is_mine(caller, s)]
    value = [{name: s[name] for name in _SHOWN} for s in mine]
    return {"@odata.context": caller.context("subscriptions"), "value": value}, 200


@blueprint.get("/<subscription_id>")
@with_faults("graph.subscriptions")
@graph_route(READ_FULL)
def get(caller: Caller, subscription_id: str) -> tuple[Json, int]:
    """Return one subscription."""
    return _shown(caller, _find(caller, subscription_id)), 200


@blueprint.patch("/<subscription_id>")
@with_faults("graph.subscriptions")
@_checked_route
def renew(caller: Caller, subscription_id: str) -> Json:
    """Give a subscription a new expiry, or a new address, which is validated again."""
    asked = sent_json()
    if "lifecycleNotificationUrl" in asked:
        raise bad_request("lifecycleNotificationUrl cannot be changed after creation.", "InvalidRequest")
    _find(caller, subscription_id)
    if asked.get("notificationUrl"):
        _validate_address(caller, asked["notificationUrl"])
    with caller.side.sandbox.lock:
        subscription = _find(caller, subscription_id)
        if "expirationDateTime" in asked:
            subscription |= {"expirationDateTime": _expiration(caller, asked), "is_paused": False}
        if asked.get("notificationUrl"):
            subscription["notificationUrl"] = asked["notificationUrl"]
        return _shown(caller, subscription)


@blueprint.post("/<subscription_id>/reauthorize")
@with_faults("graph.subscriptions")
@graph_route(READ_FULL)
def reauthorize(caller: Caller, subscription_id: str) -> tuple[None, int]:
    """Confirm that the account still allows a subscription; its expiry stays."""
    _find(caller, subscription_id)["is_paused"] = False
    return None, 204


@blueprint.delete("/<subscription_id>")
@with_faults("graph.subscriptions")
@graph_route(READ_FULL)
def delete(caller: Caller, subscription_id: str) -> tuple[None, int]:
    """Close a subscription."""
    del caller.side.world.subscriptions[_find(caller, subscription_id)["id"]]
    return None, 204


def _check(asked: Json, caller: Caller) -> list[str]:
    for name in ("changeType", "notificationUrl", "resource", "expirationDateTime"):
        if not asked.get(name):
            raise bad_request(f"The property '{name}' is required.", "InvalidRequest")
    resource = str(asked["resource"]).strip("/").lower()
    own = (f"users/{caller.account.oid}/events".lower(), f"users/{caller.account.email}/events".lower())
    if resource not in ("me/events", *own):
        raise GraphError(403, "ExtensionError", "Operation: Create; Exception: [Status Code: Forbidden]")
    if len(str(asked.get("clientState") or "")) > 128:
        raise bad_request("clientState is too long.", "InvalidRequest")
    kinds = [kind.strip().lower() for kind in str(asked["changeType"]).split(",")]
    if not set(kinds) <= set(_KINDS):
        raise bad_request("changeType is not valid.", "InvalidRequest")
    return kinds


def _expiration(caller: Caller, asked: Json) -> str:
    now = caller.side.world.clock.now()
    until = parse_bound(str(asked["expirationDateTime"]), "expirationDateTime")
    if until > now + LONGEST:
        message = f"Subscription expiration can only be {int(LONGEST.total_seconds() // 60)} minutes in the future."
        raise bad_request(message, "InvalidRequest")
    chosen = max(until, now + SHORTEST)
    return f"{chosen:%Y-%m-%dT%H:%M:%S}Z"


def _validate_address(caller: Caller, url: str) -> None:
    if not is_allowed_address(url):
        raise bad_request("Notification URL must use https.", "ValidationError")
    token = f"Validation: Testing client application reachability for subscription Request-Id: {new_id(8)}"
    address = f"{url}{'&' if '?' in url else '?'}validationToken={quote(token)}"
    answer = _called(caller, address)
    if answer is None:
        raise bad_request("Subscription validation request timed out.", "ValidationError")
    if answer.status != 200:
        message = (
            "Subscription validation request failed. Notification endpoint must respond with 200 OK to validation "
            f"request, but answered {answer.status}."
        )
        raise bad_request(message, "ValidationError")
    if not answer.content_type.startswith("text/plain") or answer.body.decode("utf-8", "replace") != token:
        message = "Subscription validation request failed. Response must exactly match validationToken query parameter."
        raise bad_request(message, "ValidationError")


def _called(caller: Caller, address: str) -> Answer | None:
    if meets(FaultKind.NO_VALIDATION):
        caller.side.sandbox.faults.hang(g.fault.seconds)
        return None
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    return exchange(address, headers, b"", tls=caller.side.push.courier.tls, timeout_s=_VALIDATION_S)


def _find(caller: Caller, subscription_id: str) -> Json:
    found = caller.side.world.subscriptions.get(subscription_id)
    if found is not None and datetime.fromisoformat(found["expirationDateTime"]) <= caller.side.world.clock.now():
        del caller.side.world.subscriptions[subscription_id]
        found = None
    if found is None or not _is_mine(caller, found):
        raise GraphError(404, "ResourceNotFound", "The object was not found.")
    return found


def _is_mine(caller: Caller, subscription: Json) -> bool:
    return (subscription["account"], subscription["applicationId"]) == (caller.account.key, caller.client_id)


def _shown(caller: Caller, subscription: Json) -> Json:
    context = caller.context("subscriptions/$entity")
    return {"@odata.context": context} | {name: subscription[name] for name in _SHOWN}
