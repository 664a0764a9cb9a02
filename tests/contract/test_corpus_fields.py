"""Published payloads nobody here wrote: every field that is known of them, and the kinds that are no events.

The corpus is named by LATCHKEY_CORPUS; without it these tests are skipped.
"""

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from app.domain.calendars import Busy, EventKind, EventStatus, Series, Window, canonical_recurrence_id
from app.domain.errors import CalendarGone, CursorExpired, ProviderThrottled
from app.domain.recurrence import expand
from app.domain.secret import Secret
from app.domain.zones import find_zone
from app.providers.google.calendar import GoogleCalendars
from app.providers.google.parse import parse_calendar as google_calendar
from app.providers.google.parse import parse_event as google_event
from app.providers.google.parse import parse_items
from app.providers.google.refusals import refusal
from app.providers.http import Reply
from app.providers.microsoft.parse import ItemKind, kind_of
from app.providers.microsoft.parse import parse_calendar as graph_calendar
from app.providers.microsoft.parse import parse_event as graph_event
from app.providers.microsoft.rounds import Round
from app.providers.microsoft.zones import zone_name

KINDS = {"single": EventKind.SINGLE, "series-master": EventKind.MASTER, "exception-instance": EventKind.EXCEPTION}
ERRORS = {
    "google-calendar-error-403-forbidden.json": CalendarGone,
    "google-calendar-error-403-rate-limit.json": ProviderThrottled,
    "google-calendar-error-403-user-rate-limit.json": ProviderThrottled,
    "google-calendar-error-404.json": CalendarGone,
    "google-calendar-error-410.json": CursorExpired,
}
NO_READER = {
    # What a program sends, not what it gets.
    "graph-request-event",
    "graph-request-getSchedule",
    "graph-request-mailboxSettings",
    "graph-request-subscription",
    "graph-request-write-back",
    # Other people's time, and settings: nothing here asks for them.
    "graph-getSchedule",
    "graph-mailboxSettings",
    "google-calendar",
    # Of other resources than events. The hooks and the subscriptions have tests of their own.
    "graph-notification",
    "graph-subscription",
}
DIFFERENT = {
    # A full time stands under `date`: the day is read, as for any other date.
    ("google/google-calendar-event-find-all-day-event-by-id.json", "start"),
    ("google/google-calendar-event-find-all-day-event-by-id.json", "end_exclusive"),
    # It ends the day before it starts; an all-day event lasts a day at least.
    ("google/gcal-sync-event-test-invalid-rrule-until-spurious-date-l612.json", "end_exclusive"),
}
"""Where the collector derived something else than is read here, each with its reason."""


def payloads(corpus_dir, *kinds):
    for entry in json.loads((corpus_dir / "index.json").read_text())["payloads"]:
        if entry["kind"] in kinds:
            yield entry, json.loads((corpus_dir / entry["file"]).read_text())


def in_list(document, member):
    return document[member] if isinstance(document.get(member), list) else [document]


def read_all(name, document):
    """Return events by id and, where an id comes twice, by start, ids that are gone, and the raw items."""
    if name.startswith("google/"):
        items = in_list(document, "items")
        found = parse_items(items, document.get("timeZone"))
        return list(found.events), set(found.removed)
    items = in_list(document, "value")
    full = [item for item in items if kind_of(item) is not ItemKind.REMOVED]
    _, removed = Round().take(items)
    return [graph_event(item) for item in full], set(removed)


def written(moment):
    if moment is None:
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(moment, datetime) else moment.isoformat()


def as_read(event):
    """Return an event in the collector's words."""
    start, end = written(event.start), written(event.end)
    instants = {} if event.all_day else {"start_utc": start, "end_utc": end}
    dates = {"start": start, "end_exclusive": end} if event.all_day else {}
    return {
        "all_day": event.all_day,
        "status": event.status.value,
        "cancelled": event.status is EventStatus.CANCELLED,
        "transparent": event.busy is Busy.FREE,
        "time_zone": event.time_zone or event.time_zone_raw,
        "event_type": event.event_type,
        "series_provider_id": event.series_id,
        "self_response": event.self_response,
        "show_as": event.busy.value,
        "sensitivity": "normal" if event.privacy == "default" else event.privacy,
        "visibility": event.privacy,
        **instants,
        **dates,
    }


def recurrence_id(text):
    is_instant = "T" in text
    return canonical_recurrence_id(datetime.fromisoformat(text) if is_instant else date.fromisoformat(text))


def differences(derived, event):
    """Return the fields of a derived item that were read otherwise."""
    read, passed_over = as_read(event), {"provider_id", "kind", "reason"}
    if derived.get("recurrence_id") and recurrence_id(derived["recurrence_id"]) != event.recurrence_id:
        return ["recurrence_id"]
    if derived["kind"] in KINDS and KINDS[derived["kind"]] is not event.kind:
        return ["kind"]
    known = derived.keys() - passed_over - {"recurrence_id"}
    return [name for name in known if derived[name] is not None and derived[name] != read.get(name)]


def test_every_derived_field_is_what_was_read(corpus_dir):
    files = json.loads((corpus_dir / "derived_expected.json").read_text())["files"]
    wrong, counts = [], Counter()

    for name, content in files.items():
        events, removed = read_all(name, json.loads((corpus_dir / name).read_text()))
        for derived in content.get("derived_expected", ()):
            provider_id = derived["provider_id"]
            if derived["kind"] in ("tombstone", "removed"):
                counts["gone"] += 1
                assert provider_id in removed, name
            elif provider_id is None:
                # Not yet stored by the provider when it was written down: nothing could be kept under no id.
                counts["without id"] += 1
            else:
                same = [event for event in events if event.provider_id == provider_id]
                found = min((differences(derived, event) for event in same), key=len, default=["missing"])
                counts["compared"] += 1
                wrong += [(name, field) for field in found if (name, field) not in DIFFERENT]
        assert set(content.get("derived_expected_deleted_ids", ())) <= removed

    print(dict(counts))
    assert wrong == []
    assert counts["compared"] > 80


def test_every_statement_of_an_origin_is_met(corpus_dir):
    met = 0

    for entry, document in payloads(corpus_dir, "google-event"):
        wanted = entry.get("expected_from_origin_test")
        if wanted is None:
            continue
        event = google_event(document, None)
        assert event.problem is None, entry["file"]
        window = Window(datetime(2012, 1, 1, tzinfo=UTC), datetime(2024, 12, 31, tzinfo=UTC))
        starts = [event.start] if event.kind is EventKind.SINGLE else [o.start for o in expand(Series(event), window)]
        assert starts, entry["file"]
        if "instance_starts" in wanted:
            days = [datetime.fromisoformat(text) for text in wanted["instance_starts"]]
            assert starts[: len(days)] == [day.astimezone(UTC) if day.tzinfo else day.date() for day in days]
        texts = [written(start)[:10] for start in starts]
        assert set(wanted.get("starts_include", ())) <= set(texts)
        assert not set(wanted.get("starts_exclude", ())) & set(texts)
        if "starts" in wanted:
            assert texts[: len(wanted["starts"])] == wanted["starts"]
        met += 1

    assert met == 9


def test_calendar_lists_are_read_whole(corpus_dir):
    count = 0

    kinds = {"google-calendarList": "items", "google-calendarListEntry": "items", "graph-calendars": "value"}
    for entry, document in payloads(corpus_dir, *kinds, "graph-calendar"):
        member = kinds.get(entry["kind"], "value")
        read = google_calendar if entry["kind"].startswith("google") else graph_calendar
        for item in in_list(document, member):
            calendar = read(item)
            assert (calendar is None) == ("id" not in item), entry["file"]
            if calendar is not None:
                count += 1
                assert calendar.access_role in ("free_busy", "reader", "writer", "owner")
                assert calendar.time_zone is None or find_zone(calendar.time_zone)
                assert calendar.name

    assert count > 15


def test_errors_mean_what_they_should(corpus_dir):
    met = {}

    for entry, document in payloads(corpus_dir, "google-error"):
        name = entry["file"].removeprefix("google/")
        reply = Reply(document["error"]["code"], {}, json.dumps(document).encode())
        met[name] = type(refusal(reply, "scope"))

    assert met == ERRORS


def test_an_answer_about_busy_times_is_read(corpus_dir):
    ((_, document),) = payloads(corpus_dir, "google-freebusy")

    class Recorded:
        """The one client whose answer is a file."""

        def request(self, *_arguments, **_options):
            return Reply(200, {}, json.dumps(document).encode())

    low = datetime.fromisoformat(document["timeMin"]).astimezone(UTC)
    window = Window(low, low + timedelta(days=1))
    read = {}
    for calendar_id, answer in document["calendars"].items():
        pages = GoogleCalendars(Recorded()).changes(Secret("t"), calendar_id, None, window, times_only=True)
        if answer.get("errors"):
            with pytest.raises(CalendarGone):
                list(pages)
        else:
            read[calendar_id] = [event for page in pages for event in page.events]

    assert sum(map(len, read.values())) >= 1
    assert all(event.privacy == "private" for events in read.values() for event in events)


def test_windows_zones_of_a_mailbox_are_all_known(corpus_dir):
    ((_, document),) = payloads(corpus_dir, "graph-supportedTimeZones")

    unknown = [zone["alias"] for zone in document["value"] if zone_name(zone["alias"]) is None]

    assert unknown == []
    assert len(document["value"]) > 0


def test_every_kind_of_payload_has_a_reader_or_a_reason(corpus_dir):
    index = json.loads((corpus_dir / "index.json").read_text())
    kinds = {entry["kind"] for entry in index["payloads"]}

    events = {"google-event", "google-events-list", "graph-event", "graph-events-page"}
    calendars = {"google-calendarList", "google-calendarListEntry", "graph-calendar", "graph-calendars"}
    assert kinds - NO_READER == events | calendars | {"google-error", "google-freebusy", "graph-supportedTimeZones"}
