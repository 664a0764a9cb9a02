"""Push notifications from providers. They are hints: checked, noted, answered at once.

Sources: Google Calendar "Push notifications", Microsoft Graph "Receive change notifications through webhooks"
and "Lifecycle notifications". A server error makes the providers repeat, so garbage never gets one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NotRequired

from flask import Blueprint, abort, make_response, request
from typing_extensions import TypedDict
from werkzeug.wrappers import Response

from app.services.notifications import GraphNotification
from app.web import current
from app.web.access import JSON, caller
from app.web.api.openapi import Answer, Group, Operation, Parameter

blueprint = Blueprint("hooks", __name__, url_prefix="/hooks")

MOST_ITEMS = 1000
LONGEST_VALIDATION_TOKEN = 1024
"""Characters, after decoding. Graph's own are about a hundred."""
_LONGEST_VALUE = 512
_GOOGLE_VALUES = {
    "X-Goog-Channel-ID": "The channel's id, which we chose.",
    "X-Goog-Channel-Token": "The channel's secret, which we chose.",
    "X-Goog-Resource-ID": "Google's id of what is watched.",
    "X-Goog-Resource-State": "`sync` for a new channel, `exists` for a change.",
}

_UNREADABLE = Answer(415, "The body is encoded, or not of the expected media type.")
_FAILED = Answer(503, "Something failed here; send it again later.")


class GraphItem(TypedDict):
    """One notification; its other members are not read, and what cannot be read is passed over."""

    subscriptionId: NotRequired[str]
    clientState: NotRequired[str]
    """The subscription's secret, which we chose."""
    lifecycleEvent: NotRequired[str]


class GraphBatch(TypedDict):
    """Up to 1000 notifications."""

    value: list[GraphItem]


@blueprint.post("/google")
@caller("provider")
@Operation(
    id="google_notification",
    group=Group.HOOKS,
    summary="Take a push notification of Google Calendar",
    description="A hint to look, nothing more: what has changed is fetched from Google. The body is not read.",
    parameters=tuple(Parameter(name, words, place="header") for name, words in _GOOGLE_VALUES.items()),
    answers=(
        Answer(204, "Noted, or noted before."),
        Answer(404, "Not for a channel of ours."),
        _UNREADABLE,
        _FAILED,
    ),
)
def google() -> Response:
    """Take one notification: everything is in the headers, the body is not read."""
    _refuse_encoded_body()
    channel_id, token, resource_id, state = (request.headers.get(name, "") for name in _GOOGLE_VALUES)
    if not (channel_id and token) or max(map(len, (channel_id, token, resource_id, state))) > _LONGEST_VALUE:
        abort(404)
    number = request.headers.get("X-Goog-Message-Number", "")
    message_number = int(number) if number.isascii() and number.isdigit() and len(number) <= 18 else None
    taken = current.services().notifications.google(channel_id, token, resource_id, message_number, state)
    return make_response("", 204 if taken else 404)


@blueprint.post("/microsoft")
@caller("provider")
@Operation(
    id="microsoft_notification",
    group=Group.HOOKS,
    summary="Take change and lifecycle notifications of Microsoft Graph",
    description=(
        "A hint to look, nothing more: what has changed is fetched from Graph. With `validationToken` the call is the "
        "handshake of a new subscription and is answered only while one of ours waits for it."
    ),
    body=GraphBatch,
    parameters=(Parameter("validationToken", "Sent back as plain text.", {"type": "string", "maxLength": 1024}),),
    answers=(
        Answer(200, "The validation token.", str, media_type="text/plain"),
        Answer(202, "Noted; what is not from a subscription of ours is passed over."),
        Answer(400, "Unreadable."),
        Answer(404, "No subscription of ours is waiting."),
        Answer(413, "More than a batch can have."),
        _UNREADABLE,
        _FAILED,
    ),
)
def microsoft() -> Response:
    """Answer the validation of a subscription of ours, or take a batch of change or lifecycle notifications."""
    if "validationToken" in request.args:
        return _validate(request.args.getlist("validationToken"))
    _refuse_encoded_body()
    if request.mimetype != JSON:
        abort(415)
    items = _notifications(request.get_data())
    if items:
        current.services().notifications.graph(items)
    return make_response("", 202)


def _validate(tokens: Sequence[str]) -> Response:
    """Send the token back as plain text, only while a subscription request of ours waits for it.

    Nobody else gets to choose what an address of ours says.
    """
    if len(tokens) != 1 or len(tokens[0]) > LONGEST_VALIDATION_TOKEN:
        abort(400)
    if not current.services().notifications.expects_validation():
        abort(404)
    answer = make_response(tokens[0], 200)
    answer.headers["Content-Type"] = "text/plain; charset=utf-8"
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return answer


def _notifications(body: bytes) -> tuple[GraphNotification, ...]:
    """Return the readable elements of a batch; an unreadable one does not spoil the others."""
    try:
        batch = json.loads(body)
    except (ValueError, RecursionError):
        abort(400)
    items = batch.get("value") if isinstance(batch, dict) else None
    if not isinstance(items, list):
        abort(400)
    if len(items) > MOST_ITEMS:
        abort(413)
    # Sent with resource data, which no subscription of ours asks for.
    read = () if "validationTokens" in batch else (_notification(item) for item in items)
    return tuple(item for item in read if item is not None)


def _notification(item: object) -> GraphNotification | None:
    if not isinstance(item, dict) or "encryptedContent" in item:
        return None
    subscription_id, client_state = _short_text(item, "subscriptionId"), _short_text(item, "clientState")
    if subscription_id is None or client_state is None:
        return None
    # ``resource`` and ``resourceData`` are not read: what to fetch comes from our own rows alone.
    return GraphNotification(subscription_id, client_state, _short_text(item, "lifecycleEvent"))


def _short_text(item: dict[str, object], name: str) -> str | None:
    value = item.get(name)
    # What cannot be printed (U+0000, half a surrogate pair) cannot be stored either, so no row can match it.
    usable = isinstance(value, str) and 0 < len(value) <= _LONGEST_VALUE and value.isprintable()
    return value if isinstance(value, str) and usable else None


def _refuse_encoded_body() -> None:
    if request.headers.get("Content-Encoding", "identity") != "identity":
        abort(415)
