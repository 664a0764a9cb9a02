import html
from datetime import UTC, date, datetime, timedelta

import pytest

from app.domain.calendars import Window
from app.domain.errors import ProviderUnavailable
from app.web import texts
from tests.fakes import PERSON, make_item


def text_of(answer):
    assert answer.status_code == 200
    return html.unescape(answer.get_data(as_text=True))


def test_the_agenda_shows_seven_days_in_the_persons_zone(browser, services):
    services.agenda.items = (make_item(datetime(2026, 11, 23, 8, tzinfo=UTC), datetime(2026, 11, 23, 9, tzinfo=UTC)),)

    text = text_of(browser.get("/agenda"))

    berlin_midnight = datetime(2026, 11, 22, 23, tzinfo=UTC)
    assert services.agenda.calls == [
        ("of_person", PERSON.id, Window(berlin_midnight, berlin_midnight + timedelta(days=7)), 1000)
    ]
    assert "09:00\N{EN DASH}10:00" in text
    assert "Times in Europe/Berlin" in text
    assert "Today, Monday 23 November" in text
    assert text.count('class="day') == 7


def test_all_day_comes_first(browser, services):
    day = date(2026, 11, 23)
    timed = make_item(datetime(2026, 11, 23, 5, tzinfo=UTC), datetime(2026, 11, 23, 6, tzinfo=UTC), summary="Early")
    services.agenda.items = (timed, make_item(day, day + timedelta(days=1), summary="Holiday"))

    text = text_of(browser.get("/agenda"))

    assert text.index("Holiday") < text.index("Early")


def test_the_script_asks_for_the_same_days(browser, services):
    page = text_of(browser.get("/agenda?from=2026-12-01&days=3"))
    part = text_of(browser.get("/agenda/live?from=2026-12-01&days=3"))

    assert 'data-live="/agenda/live?from=2026-12-01&days=3" data-live-every-s="2"' in page
    assert '<noscript><meta http-equiv="refresh"' in page
    assert part.strip() in page
    assert "Tuesday 1 December" in part


@pytest.mark.parametrize(
    "query", ["from=yesterday", "days=-1", "days=x", "from=9999-12-31", "from=0001-01-01", "days=99999"]
)
def test_a_query_that_makes_no_sense_still_gets_an_agenda(browser, query):
    assert 'class="day' in text_of(browser.get(f"/agenda?{query}"))


def test_titles_are_escaped_and_only_https_links_are_made(browser, services):
    start = datetime(2026, 11, 23, 8, tzinfo=UTC)
    services.agenda.items = (
        make_item(start, start, summary="<script>alert(1)</script>", html_link="javascript:alert(2)"),
    )

    text = browser.get("/agenda").get_data(as_text=True)

    assert "<script>alert" not in text
    assert "javascript:" not in text


def test_a_cut_list_says_so(browser, services):
    start = datetime(2026, 11, 23, 8, tzinfo=UTC)
    services.agenda.items = tuple(make_item(start, start) for _ in range(1000))

    assert texts.AGENDA_CUT in text_of(browser.get("/agenda/live"))


def test_the_live_part_fails_with_a_status_the_script_understands(stranger, browser, services):
    services.agenda.error = ProviderUnavailable()

    assert browser.get("/agenda/live").status_code == 503
    assert stranger.get("/agenda/live").status_code == 401
