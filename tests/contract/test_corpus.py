"""Published calendar payloads and recurrence cases that nobody here wrote, read and expanded.

The corpus is named by LATCHKEY_CORPUS; without it these tests are skipped.
"""

import json
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta

import pytest

from app.domain.calendars import EventKind, Series, Window
from app.domain.recurrence import expand, single_occurrence
from app.providers.google.parse import parse_items
from app.providers.microsoft.parse import ItemKind, kind_of, parse_event
from tests.contract.ics import read_ics

CONTESTED_OTHERWISE = {
    "derived-025": "a whole day that a zone skipped: two instances fall on one instant, and are one here",
    "sabre-untilrespectstimezonetest": "a floating UNTIL is read in the zone of the series here, as UTC there",
}
"""Contested cases decided against the expectation, each with its reason. In every other one we agree."""


def documents(folder):
    for path in sorted(folder.glob("*.json")):
        yield path, json.loads(path.read_text())


def cases(corpus_dir, member):
    for path, case in documents(corpus_dir / "recurrence" / "cases"):
        if member in case:
            yield path.stem, case


def items_of(document, member):
    return document[member] if isinstance(document.get(member), list) else [document]


def is_about_events(kind):
    return kind in ("google-event", "google-events-list", "graph-event", "graph-events-page")


def kinds(corpus_dir):
    index = json.loads((corpus_dir / "index.json").read_text())
    return {entry["file"]: entry["kind"] for entry in index["payloads"]}


def bounds(window):
    low, high = date.fromisoformat(window["from"]), date.fromisoformat(window["to_exclusive"])
    slack = timedelta(days=2)
    return low, high, Window(datetime.combine(low, time(), UTC) - slack, datetime.combine(high, time(), UTC) + slack)


def written(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(moment, datetime) else moment.isoformat()


def day_of(moment):
    return moment.date() if isinstance(moment, datetime) else moment


def occurrences(events, window):
    """Expand everything in a list of events, sorted as written."""
    low, high, whole = bounds(window)
    found = []
    for event in events:
        own = tuple(e for e in events if e.kind is EventKind.EXCEPTION and e.series_id == event.provider_id)
        if event.kind is EventKind.MASTER:
            found += expand(Series(event, own), whole)
        elif event.kind is EventKind.SINGLE:
            found += single_occurrence(event, whole)
    return sorted((written(o.start), written(o.end)) for o in found if low <= day_of(o.start) < high)


def expected(case):
    return sorted((o["start"], o["end"]) for o in case["expected_occurrences"])


def read_google(items, zone):
    return parse_items(items, zone).events


def read_graph(items):
    return [parse_event(item) for item in items if kind_of(item) is not ItemKind.REMOVED]


def test_every_google_payload_is_read_and_every_event_has_a_time_or_a_reason(corpus_dir):
    about, problems, count = kinds(corpus_dir), {}, Counter()

    for path, document in documents(corpus_dir / "google"):
        items = items_of(document, "items")
        found = parse_items(items, document.get("timeZone"))
        if not is_about_events(about[f"google/{path.name}"]):
            continue
        count += Counter(
            files=1, items=len(items), events=len(found.events), removed=len(found.removed), dropped=found.dropped
        )
        problems.update((path.stem, event.problem) for event in found.events if event.problem)

    print(dict(count), problems)
    assert count["items"] == count["events"] + count["removed"] + count["dropped"]
    assert count["events"] > count["files"]
    # A time without offset, zone or calendar zone is the one thing nobody can place.
    assert set(problems.values()) <= {"floating_time"}


def test_every_graph_payload_is_read_and_every_event_has_a_time_or_a_reason(corpus_dir):
    about, problems, count = kinds(corpus_dir), {}, Counter()

    for path, document in documents(corpus_dir / "graph"):
        items = items_of(document, "value")
        events = read_graph([item for item in items if isinstance(item, dict)])
        if not is_about_events(about[f"graph/{path.name}"]):
            continue
        count += Counter(files=1, items=len(items), events=len(events))
        problems.update((path.stem, event.problem) for event in events if event.problem)

    print(dict(count), problems)
    assert count["events"] > 0
    # Examples of the reference that leave out the times on purpose.
    assert set(problems.values()) <= {"no_time"}


def test_what_was_read_is_what_the_collector_derived(corpus_dir):
    derived = json.loads((corpus_dir / "derived_expected.json").read_text())["files"]
    differences, compared = [], 0

    for name, content in derived.items():
        document = json.loads((corpus_dir / name).read_text())
        if name.startswith("google/"):
            read = parse_items(items_of(document, "items"), document.get("timeZone")).events
        else:
            read = read_graph(items_of(document, "value"))
        # Files hold an id twice now and then: a master and its successor. Times tell them apart.
        spans = {(e.provider_id, written(e.start), written(e.end)) for e in read if e.start and e.end}
        for item in content["derived_expected"]:
            if item.get("start_utc") and item["provider_id"]:
                compared += 1
                if (item["provider_id"], item["start_utc"], item["end_utc"]) not in spans:
                    differences.append((name, item))

    assert compared > 50
    assert differences == []


def test_expansion_of_live_answers_is_what_the_collector_derived(corpus_dir):
    derived = json.loads((corpus_dir / "derived_expected.json").read_text())["files"]
    compared = 0

    for name, content in derived.items():
        if "derived_expected_instances" not in content:
            continue
        wanted = content["derived_expected_instances"]
        window = dict(zip(("from", "to_exclusive"), wanted["window"], strict=True))
        document = json.loads((corpus_dir / name).read_text())
        events = parse_items(document["items"], document["timeZone"]).events
        for series_id, instances in wanted["by_series"].items():
            own = [e for e in events if series_id in (e.provider_id, e.series_id)]
            compared += 1

            assert occurrences(own, window) == sorted(map(tuple, instances)), (name, series_id)

    assert compared > 5


FORMS = {
    "ics": lambda case, corpus_dir: read_ics((corpus_dir / "recurrence" / case["ics"]).read_bytes()),
    "google_events_list": lambda case, _: read_google(
        case["google_events_list"]["items"], case["google_events_list"]["timeZone"]
    ),
    "graph_events": lambda case, _: read_graph(case["graph_events"]["value"]),
}


@pytest.mark.parametrize(("form", "count"), [("ics", 103), ("google_events_list", 102), ("graph_events", 83)])
def test_recurrence_cases_are_exact_in_every_form(corpus_dir, form, count):
    compared, different = 0, {}

    for name, case in cases(corpus_dir, form):
        compared += 1
        found = occurrences(FORMS[form](case, corpus_dir), case["window"])
        if found != expected(case):
            different[name] = sorted(set(found) ^ set(expected(case)))
        assert all(start <= end for start, end in found), name
        assert len(set(found)) == len(found), name

    assert compared >= count
    assert different.keys() <= CONTESTED_OTHERWISE.keys(), different
