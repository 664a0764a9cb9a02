"""The line of an audit entry: one text for one entry, and never a part of one taken for the whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.audit import AuditEntry, has_readable_detail, is_whole, line_id, line_of

ID = UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
NOW = datetime(2026, 11, 23, 12, 0, 0, 7, tzinfo=UTC)

values = st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.lists(st.text(), max_size=3))
entries = st.builds(
    AuditEntry,
    id=st.uuids(),
    kind=st.sampled_from(("hand_out.released", "connected")),
    at=st.datetimes(timezones=st.just(UTC)),
    service_id=st.none() | st.uuids(),
    person_id=st.none() | st.uuids(),
    connection_id=st.none() | st.uuids(),
    detail=st.dictionaries(st.text(), values, max_size=4),
)


def entry(**changes: object) -> AuditEntry:
    values = {"id": ID, "kind": "connected", "at": NOW, "service_id": None, "person_id": ID, "connection_id": None}
    return AuditEntry(**{**values, "detail": {"b": "ü", "a": ["x"]}, **changes})


def test_the_line_of_an_entry_never_changes() -> None:
    hexadecimal = "0f8fad5bd9cb469fa16570867728950e"
    fields = [
        hexadecimal,
        "connected",
        "2026-11-23T12:00:00.000007+00:00",
        "",
        hexadecimal,
        "",
        r'{"a":["x"],"b":"\u00fc"}',
    ]

    # The codes of every log in the world are computed from this text.
    assert line_of(entry()) == "\t".join(fields)  # fmt: skip


@given(entries)
def test_a_line_is_whole_and_no_part_of_it_is(one: AuditEntry) -> None:
    line = line_of(one)

    assert "\n" not in line
    assert line.count("\t") == 6
    assert is_whole(line)
    assert has_readable_detail(line)
    assert line_id(line) == one.id
    assert not any(is_whole(line[:end]) and has_readable_detail(line[:end]) for end in range(len(line)))


@given(entries, entries)
def test_different_entries_have_different_lines(one: AuditEntry, other: AuditEntry) -> None:
    assert line_of(one) != line_of(other) or one == other


@given(entries)
def test_the_way_through_json_does_not_change_the_line(one: AuditEntry) -> None:
    line = line_of(one)

    read = AuditEntry(
        one.id, one.kind, one.at, one.service_id, one.person_id, one.connection_id, json.loads(line.rpartition("\t")[2])
    )

    assert line_of(read) == line


def test_the_zone_an_instant_is_told_in_does_not_matter() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))

    assert line_of(entry(at=elsewhere)) == line_of(entry())


@pytest.mark.parametrize("text", ["", "{}", "\t\t\t\t\t\t{}", "x" * 500])
def test_anything_else_is_no_line(text: str) -> None:
    assert not is_whole(text)
