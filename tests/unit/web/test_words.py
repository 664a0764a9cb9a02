from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from app.domain.connections import Reason
from app.domain.features import Feature
from app.web import texts
from app.web.pages.connection_cards import Tone, account_name, can_be_added, card_of, reason_sentence, state_of
from app.web.paths import CONNECTIONS, own_path, repair_path
from app.web.times import ago, day_name, moment, zone_of
from tests.fakes import NOW, broken_connection, make_calendar, make_connection, make_view


def test_every_feature_and_every_reason_has_words():
    assert set(texts.FEATURES) == set(Feature)
    assert set(texts.REASONS) == set(Reason)
    assert len({words.name for words in texts.FEATURES.values()}) == len(Feature)
    assert len(set(texts.REASONS.values())) == len(Reason)


def test_no_word_for_people_is_a_scope_or_a_code():
    for words in texts.FEATURES.values():
        assert "." not in words.name
        assert "OAuth" not in words.meaning


@pytest.mark.parametrize("reason", [None, "never_heard_of"])
def test_an_unknown_reason_has_a_general_sentence(reason):
    assert reason_sentence(reason) == texts.REASON_UNKNOWN


def test_each_state_has_one_action():
    declined = make_connection(requested_features=(Feature.CALENDAR_READ, Feature.MAIL_SEND))
    views = {
        Tone.GOOD: make_view(),
        Tone.BUSY: make_view(is_syncing=True),
        Tone.PARTLY: make_view(declined),
        Tone.ACT: make_view(broken_connection(), is_syncing=False),
    }

    for tone, view in views.items():
        state = state_of(view)
        assert state.tone is tone
        assert state.action.is_post == (tone in {Tone.PARTLY, Tone.ACT})


def test_a_larger_feature_speaks_for_the_smaller_one():
    writer = make_connection(features=(Feature.IDENTITY, Feature.CALENDAR_WRITE))

    names = [words.name for words in card_of(make_view(writer), NOW).granted]

    assert names == [texts.FEATURES[Feature.IDENTITY].name, texts.FEATURES[Feature.CALENDAR_WRITE].name]


def test_calendars_say_how_they_are():
    rows = (
        make_calendar(event_count=1, last_success_at=NOW),
        make_calendar(last_success_at=None),
        make_calendar(last_success_at=NOW, access_role="free_busy"),
        make_calendar(last_success_at=None, last_error="provider_unavailable"),
        make_calendar(event_count=2, last_success_at=NOW - timedelta(minutes=1), last_error="provider_unavailable"),
        make_calendar(event_count=2, last_success_at=NOW - timedelta(hours=3), last_error="provider_unavailable"),
    )

    card = card_of(make_view(calendars=rows, is_syncing=True), NOW)

    assert [line.status for line in card.calendars] == [
        "1 event, updated just now",
        texts.CALENDAR_WAITING,
        texts.CALENDAR_FREEBUSY,
        texts.CALENDAR_PROBLEM,
        "2 events, updated 1 minute ago",
        texts.CALENDAR_BEHIND.format(ago="3 hours ago"),
    ]
    assert (card.progress.done, card.progress.total) == (5, 6)


def test_progress_before_the_list_is_known():
    card = card_of(make_view(calendars=(), is_syncing=True), NOW)

    assert (card.progress.total, card.progress.label) == (0, texts.LISTING)


def test_an_account_without_address_has_a_name():
    assert account_name(make_connection(email=None)) == "Ada Example"
    assert account_name(make_connection(email=None, display_name=None)) == texts.UNNAMED_ACCOUNT


def test_only_what_is_not_granted_can_be_added():
    assert Feature.CALENDAR_READ not in can_be_added(make_connection())
    assert Feature.MAIL_SEND in can_be_added(make_connection())


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (timedelta(seconds=-5), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(minutes=59), "59 minutes ago"),
        (timedelta(hours=23), "23 hours ago"),
        (timedelta(days=2, hours=5), "2 days ago"),
    ],
)
def test_how_long_ago(passed, words):
    assert ago(NOW - passed, NOW) == words


def test_days_and_moments_in_words():
    today = date(2026, 12, 31)

    assert day_name(today, today) == "Today, Thursday 31 December"
    assert day_name(today + timedelta(days=1), today) == "Tomorrow, Friday 1 January 2027"
    assert day_name(today - timedelta(days=1), today) == "Yesterday, Wednesday 30 December"
    assert moment(datetime(2026, 7, 1, 22, 30, tzinfo=UTC), ZoneInfo("Europe/Berlin")) == "2 July 2026, 00:30"


@pytest.mark.parametrize("name", ["Nowhere/City", "", "../../etc/passwd", "\0", "W. Europe Standard Time"])
def test_an_unknown_zone_is_utc(name):
    assert zone_of(name) is UTC


ID = UUID("33333333-3333-4333-8333-333333333333")


@pytest.mark.parametrize(
    "path",
    [
        "/connections",
        f"/connections/{ID}",
        repair_path(ID),
        "/connect?provider=google",
        "/agenda?from=2026-11-23&days=7",
    ],
)
def test_own_paths_stay(path):
    assert own_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "//evil.test",
        "https://evil.test/connections",
        "/connections?x=1",
        "/connections\n",
        "/sign-out",
        "/agenda?from=x",
    ],
)
def test_everything_else_leads_to_the_connections(path):
    assert own_path(path) == CONNECTIONS
