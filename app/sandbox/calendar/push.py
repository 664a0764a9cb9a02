"""Turn changes of calendars into push messages: Google channels and Graph subscriptions.

Push is a hint that real providers drop, repeat, delay and gather; scripted faults for `push.google` and `push.graph` do
the same here, and send what strangers would: wrong tokens or client states, unknown channels, garbage.
"""

import json
import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime

from app.sandbox.calendar.delivery import Courier, Message
from app.sandbox.calendar.graph_ids import MOVES, shown
from app.sandbox.calendar.world import Change, Json, Mailbox, World
from app.sandbox.fault_plan import FaultKind
from app.sandbox.faults import GARBAGE
from app.sandbox.state import Sandbox

_GOOGLE_REPEATS = (500, 502, 503, 504)
CALENDAR_LIST = ""
"""Stands for the calendar list where a channel names its calendar."""
_SUCCESS = range(200, 300)
_MARKS = {FaultKind.FORGE: "forged", FaultKind.STRANGER: "stranger", FaultKind.GARBAGE: "garbage"}
"""Words for the record of deliveries."""
_WAITING = (FaultKind.DELAY, FaultKind.BATCH)

Spoil = Callable[[Message, FaultKind], Message]
"""Returns what a fault of some kind makes of a message; kinds that change no message return it as it is."""


class PushSender:
    """Sends what the channels and subscriptions of a world ask for."""

    def __init__(self, sandbox: Sandbox, world: World, courier: Courier) -> None:
        """Listen to `world` and send through `courier`."""
        self.sandbox = sandbox
        self.world = world
        self.courier = courier
        world.listeners.append(self.on_change)

    def on_change(self, change: Change) -> None:
        """Send one message per channel or subscription that covers a change."""
        if change.mailbox.provider == "google":
            self._tell_channels(change)
        else:
            self._tell_subscriptions(change)

    def send_google(self, channel: Json, state: str) -> None:
        """Send one message on a Google channel; `state` is `sync`, `exists` or `not_exists`."""
        channel["number"] = 1 if state == "sync" else channel["number"] + 1 + secrets.randbelow(4)
        headers = {
            "Content-Length": "0",
            "User-Agent": "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)",
            "X-Goog-Channel-ID": channel["id"],
            "X-Goog-Channel-Expiration": format_datetime(_from_ms(channel["expiration_ms"]), usegmt=True),
            "X-Goog-Message-Number": str(channel["number"]),
            "X-Goog-Resource-ID": channel["resource_id"],
            "X-Goog-Resource-State": state,
            "X-Goog-Resource-URI": channel["resource_uri"],
        }
        if channel["token"] is not None:
            headers["X-Goog-Channel-Token"] = channel["token"]
        about = {"provider": "google", "account": channel["account"], "channel": channel["id"], "state": state}
        message = Message(channel["address"], headers, b"", lambda status: status in _GOOGLE_REPEATS, about)
        self._dispatch("push.google", channel["account"], message, _spoilt_google)

    def send_graph(self, subscription: Json, url: str, entry: Json, state: str) -> None:
        """Send one Graph notification; `entry` is the item of its `value` without the members common to all."""
        common = {
            "subscriptionId": subscription["id"],
            "subscriptionExpirationDateTime": subscription["expirationDateTime"],
            "tenantId": subscription["tenant_id"],
        }
        if subscription["clientState"] is not None:
            common["clientState"] = subscription["clientState"]
        about = {"provider": "graph", "account": subscription["account"], "channel": subscription["id"], "state": state}
        headers = {"Content-Type": "application/json; charset=utf-8"}
        message = Message(url, headers, _batch([common | entry]), lambda status: status not in _SUCCESS, about)
        self._dispatch("push.graph", subscription["account"], message, _spoilt_graph)

    def repeat(self, provider: str, account: str, count: int, *, to_stopped: bool) -> int:
        """Send `count` messages about nothing to everybody who listens to an account; return how many were sent.

        `to_stopped`: to Google channels that were stopped, which the service goes on telling for a while.
        """
        if provider == "google":
            known = self.world.stopped if to_stopped else list(self.world.channels.values())
            channels = [channel for channel in known if channel["account"] == account] * count
            for channel in channels:
                self.send_google(channel, "exists")
            return len(channels)
        subscriptions = [s for s in self.world.subscriptions.values() if s["account"] == account] * count
        for subscription in subscriptions:
            entry = {"changeType": "updated", "resource": f"Users/{subscription['creatorId']}/Events/nothing"}
            self.send_graph(subscription, subscription["notificationUrl"], entry, "updated")
        return len(subscriptions)

    def close(self) -> None:
        """Stop sending."""
        self.courier.close()

    def tell_of_list(self, mailbox: Mailbox) -> None:
        """Send one message per Google channel on the calendar list of a mailbox; Graph has no such thing."""
        if mailbox.provider == "google":
            self._tell_channels_of(mailbox, CALENDAR_LIST)

    def _tell_channels(self, change: Change) -> None:
        self._tell_channels_of(change.mailbox, change.calendar.calendar_id)

    def _tell_channels_of(self, mailbox: Mailbox, watched: str) -> None:
        now_ms = self.world.clock.now().timestamp() * 1000
        for channel in list(self.world.channels.values()):
            if channel["expiration_ms"] <= now_ms:
                del self.world.channels[channel["id"]]
            elif (channel["account"], channel["calendar"]) == (mailbox.account_key, watched):
                self.send_google(channel, "exists")

    def _tell_subscriptions(self, change: Change) -> None:
        now = self.world.clock.now()
        for subscription in list(self.world.subscriptions.values()):
            if datetime.fromisoformat(subscription["expirationDateTime"]) <= now:
                del self.world.subscriptions[subscription["id"]]
            elif _covers(subscription, change):
                self.send_graph(
                    subscription, subscription["notificationUrl"], _entry(subscription, change), change.kind
                )

    def _dispatch(self, operation: str, account: str, message: Message, spoil: Spoil) -> None:
        if not self.sandbox.runtime.push_enabled:
            return
        fault = self.sandbox.faults.take(operation, account)
        if fault is None:
            self.courier.send(message)
            return
        if fault.kind is FaultKind.DROP:
            return
        self.courier.send(spoil(message, fault.kind), fault.seconds if fault.kind in _WAITING else 0.0)
        if fault.kind is FaultKind.DUPLICATE:
            self.courier.send(message)


def _spoilt_google(message: Message, kind: FaultKind) -> Message:
    match kind:
        case FaultKind.FORGE:
            spoilt = replace(message, headers={**message.headers, "X-Goog-Channel-Token": "forged"})
        case FaultKind.STRANGER:
            spoilt = replace(message, headers={**message.headers, "X-Goog-Channel-ID": str(uuid.uuid4())})
        case FaultKind.GARBAGE:
            plain = {name: value for name, value in message.headers.items() if not name.startswith("X-Goog-")}
            spoilt = replace(message, headers=plain)
        case _:
            return message
    return replace(_marked(spoilt, kind), repeats_on=_never)


def _spoilt_graph(message: Message, kind: FaultKind) -> Message:
    match kind:
        case FaultKind.FORGE:
            return _marked(_with_members(message, clientState="forged"), kind)
        case FaultKind.STRANGER:
            return _marked(_with_members(message, subscriptionId=str(uuid.uuid4())), kind)
        case FaultKind.GARBAGE:
            return _marked(replace(message, body=GARBAGE, repeats_on=_never), kind)
        case FaultKind.BATCH:
            return replace(message, join=_joined)
        case _:
            return message


def _marked(message: Message, kind: FaultKind) -> Message:
    return replace(message, about={**message.about, "is": _MARKS[kind]})


def _with_members(message: Message, **members: str) -> Message:
    return replace(message, body=_batch([item | members for item in _items(message)]))


def _joined(messages: Sequence[Message]) -> Message:
    items = [item for message in messages for item in _items(message)]
    first = messages[0]
    return replace(first, body=_batch(items), about={**first.about, "is": f"batch of {len(items)}"})


def _items(message: Message) -> list[Json]:
    items: list[Json] = json.loads(message.body)["value"]
    return items


def _batch(items: list[Json]) -> bytes:
    return json.dumps({"value": items}).encode()


def _never(_status: int | None) -> bool:
    return False


def _covers(subscription: Json, change: Change) -> bool:
    # What happens while the service waits for a reauthorization is never told.
    is_mine = subscription["account"] == change.mailbox.account_key
    return is_mine and change.kind in subscription["kinds"] and not subscription.get("is_paused")


def _entry(subscription: Json, change: Change) -> Json:
    item = change.calendar.items.get(change.item_id)
    moves = 0 if item is None else item.body.get(MOVES, 0)
    item_id = shown(change.item_id, is_immutable=bool(subscription.get("is_immutable")), moves=moves)
    resource = f"Users/{subscription['creatorId']}/Events/{item_id}"
    data = {
        "@odata.type": "#Microsoft.Graph.Event",
        "@odata.id": resource,
        "@odata.etag": change.etag,
        "id": item_id,
    }
    return {"changeType": change.kind, "resource": resource, "resourceData": data}


def _from_ms(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
