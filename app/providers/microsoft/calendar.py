"""Microsoft 365 calendars: the list, changes of a calendar view, subscriptions.

Graph expands series itself. A first round collects what it expanded; a later round reads every touched series anew,
because Graph says nothing of a deleted occurrence except by its absence.
Source: Graph v1.0, "Get incremental changes to events in a calendar view", "Change notifications".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Final

from app.domain.calendars import (
    CalendarListing,
    ChangePage,
    Channel,
    EventKind,
    RemoteEvent,
    Window,
)
from app.domain.errors import CalendarGone, CallMalformed, CursorExpired, ProviderUnavailable, PushNotSupported
from app.domain.secret import Secret
from app.ports.gate import CallSlots
from app.providers.call_slots import LocalCallSlots
from app.providers.fields import children, instant, text
from app.providers.http import OutboundClient
from app.providers.json_reader import JSONObject
from app.providers.microsoft.client import MOST_AT_A_TIME, GraphClient, own_link
from app.providers.microsoft.parse import parse_calendar, parse_event
from app.providers.microsoft.refusals import refusal
from app.providers.microsoft.rounds import Round, SeriesItems, read_orphans, read_series, without_details
from app.providers.microsoft.wire import (
    CALENDARS,
    CALENDARS_A_PAGE,
    INSTANCES_A_PAGE,
    READ_SCOPE,
    SUBSCRIPTION_LIFE_MIN,
    SUBSCRIPTIONS,
    RenewalRequest,
    SubscriptionRequest,
    delta_url,
    event_url,
    subscription_url,
    watched_resources,
)

logger = logging.getLogger(__name__)

_STAMP: Final = "%Y-%m-%dT%H:%M:%SZ"

SERIES_A_PAGE: Final = 5
"""Each may take several calls; whoever reads has to say with every page that they are still at it."""

STOP_DEADLINE_S = 5.0
"""A person may be waiting for it; a subscription that is not deleted runs out by itself."""


class MicrosoftCalendars:
    """The calendar side of Microsoft 365; implements ``app.ports.CalendarProvider``. Keeps no state between calls."""

    def __init__(
        self,
        http: OutboundClient,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        slots: CallSlots | None = None,
    ) -> None:
        """Call through ``http``; without ``slots`` the limit per mailbox holds for this process alone."""
        self._http = http
        self._clock = clock
        self._slots = slots or LocalCallSlots(MOST_AT_A_TIME)

    @property
    def expands_series(self) -> bool:
        """Return true: Graph expands."""
        return True

    def list_calendars(self, access_token: Secret, cursor: str | None = None) -> CalendarListing:
        """Return the whole calendar list: Graph has no changes of it.

        Raises ``CalendarGone`` when the account has no mailbox in the cloud.
        """
        del cursor
        items = self._graph(access_token).items(CALENDARS, {"$top": str(CALENDARS_A_PAGE)})
        calendars = [calendar for calendar in map(parse_calendar, items) if calendar is not None]
        return CalendarListing(tuple({calendar.provider_id: calendar for calendar in calendars}.values()))

    def changes(
        self, access_token: Secret, calendar_id: str, cursor: str | None, window: Window, *, times_only: bool = False
    ) -> Iterator[ChangePage]:
        """Yield pages of changes; the last one carries exceptions, the occurrences of every touched series, the cursor.

        The window is frozen in the cursor and must be the one the cursor was made for. Every ``SeriesOccurrences`` is
        the full set inside the window. A series that is gone comes as removed. The least that Graph lets anybody ask
        for says more than when a calendar is busy: with ``times_only`` the rest is left behind here.
        """
        found = self._changes(self._graph(access_token), calendar_id, cursor, window)
        yield from map(without_details, found) if times_only else found

    def _changes(
        self, graph: GraphClient, calendar_id: str, cursor: str | None, window: Window
    ) -> Iterator[ChangePage]:
        this_round = Round(is_full=cursor is None)
        for page in self._delta_pages(graph, calendar_id, cursor, window):
            events, removed = this_round.take(children(page, "value"))
            link = text(page, "@odata.deltaLink")
            if link is None:
                yield ChangePage(events=events, removed=removed)
            else:
                last = ChangePage(events=events, removed=removed)
                for following in self._series_pages(graph, this_round, window, is_full=cursor is None):
                    yield last
                    last = following
                yield replace(last, cursor=own_link(link))
                return
        raise ProviderUnavailable("no_cursor")

    def watch(self, access_token: Secret, calendar_id: str, channel_id: str, token: Secret, address: str) -> Channel:
        """Subscribe to a calendar's events. Graph calls ``address`` back before it answers.

        ``channel_id`` is not used: Graph names subscriptions itself. Raises ``PushNotSupported`` for mailboxes that
        refuse subscriptions, ``ProviderRejected`` when Graph could not validate ``address``.
        """
        del channel_id
        graph = self._graph(access_token)
        one_calendar, whole_mailbox = watched_resources(calendar_id)
        try:
            return self._subscribed(graph, one_calendar, token, address)
        except PushNotSupported:
            return self._subscribed(graph, whole_mailbox, token, address)

    def renew(self, access_token: Secret, channel: Channel) -> Channel | None:
        """Prolong a subscription, which also reauthorizes it; null when Graph does not know it any more."""
        body = RenewalRequest(expirationDateTime=self._expiry())
        url = subscription_url(channel.provider_channel_id)
        try:
            return self._channel(self._graph(access_token).call("PATCH", url, json_body=body))
        except CalendarGone:
            return None

    def stop(self, access_token: Secret, channel: Channel) -> None:
        """End a subscription; one that Graph does not know any more counts as ended."""
        reply = self._graph(access_token).send(
            "DELETE", subscription_url(channel.provider_channel_id), deadline_s=STOP_DEADLINE_S
        )
        if reply.status // 100 != 2 and reply.status != HTTPStatus.NOT_FOUND:
            raise refusal(reply, READ_SCOPE)

    def _graph(self, access_token: Secret) -> GraphClient:
        return GraphClient(self._http, access_token, self._slots)

    def _delta_pages(
        self, graph: GraphClient, calendar_id: str, cursor: str | None, window: Window
    ) -> Iterator[JSONObject]:
        if cursor is None:
            yield from graph.pages(delta_url(calendar_id), _bounds(window))
            return
        try:
            yield from graph.pages(cursor)
        except (CallMalformed, CalendarGone) as error:
            # The link worked before; a full pass tells a bad token from a calendar that is really gone.
            raise CursorExpired(error.detail) from error

    def _series_pages(
        self, graph: GraphClient, this_round: Round, window: Window, *, is_full: bool
    ) -> Iterator[ChangePage]:
        """Yield the touched series, in pages that stay small however many there are."""
        touched = tuple(this_round.series)
        for first in range(0, len(touched), SERIES_A_PAGE):
            found = [
                self._series(graph, this_round, series_id, window, is_full=is_full)
                for series_id in touched[first : first + SERIES_A_PAGE]
            ]
            yield ChangePage(
                tuple(event for page in found for event in page.events),
                tuple(gone for page in found for gone in page.removed),
                tuple(series for page in found for series in page.series),
            )

    def _series(
        self, graph: GraphClient, this_round: Round, series_id: str, window: Window, *, is_full: bool
    ) -> ChangePage:
        """Return one touched series as it is now: its exceptions, its occurrences, its master if the round had none."""
        sent, known = this_round.series[series_id], this_round.masters.get(series_id)
        try:
            master = known or self._master(graph, series_id)
            items = sent if is_full else self._instances(graph, series_id, window)
        except CalendarGone:
            alone, occurrences = read_orphans(series_id, sent, window)
            return ChangePage(alone, series=(occurrences,)) if alone else ChangePage(removed=(series_id,))
        exceptions, occurrences = read_series(master, items, window)
        return ChangePage(exceptions if known else (master, *exceptions), series=(occurrences,))

    def _master(self, graph: GraphClient, series_id: str) -> RemoteEvent:
        """Return a master the round did not bring. Raises ``CalendarGone`` when there is none (any more)."""
        master = parse_event(graph.get(event_url(series_id)))
        if master.kind is not EventKind.MASTER:
            logger.warning("an occurrence names a master that is none")
            raise CalendarGone("no_master")
        return replace(master, provider_id=series_id)

    def _instances(self, graph: GraphClient, series_id: str, window: Window) -> SeriesItems:
        """Return a series' instances as they are now, newer than what the round sent."""
        found = SeriesItems()
        parameters = {**_bounds(window), "$top": str(INSTANCES_A_PAGE)}
        for item in graph.items(f"{event_url(series_id)}/instances", parameters):
            if text(item, "id") is not None:
                found.take({**item, "seriesMasterId": series_id})
        return found

    def _subscribed(self, graph: GraphClient, resource: str, token: Secret, address: str) -> Channel:
        body = SubscriptionRequest(
            changeType="created,updated,deleted",
            notificationUrl=address,
            lifecycleNotificationUrl=address,
            resource=resource,
            expirationDateTime=self._expiry(),
            clientState=token.reveal(),
        )
        return self._channel(graph.call("POST", SUBSCRIPTIONS, json_body=body))

    def _channel(self, answer: JSONObject) -> Channel:
        subscription_id, expires_at = text(answer, "id"), instant(answer, "expirationDateTime")
        if subscription_id is None or expires_at is None:
            raise ProviderUnavailable("bad_subscription")
        return Channel(subscription_id, None, expires_at)

    def _expiry(self) -> str:
        return (self._clock() + timedelta(minutes=SUBSCRIPTION_LIFE_MIN)).strftime(_STAMP)


def _bounds(window: Window) -> dict[str, str]:
    return {"startDateTime": window.start.strftime(_STAMP), "endDateTime": window.end.strftime(_STAMP)}
