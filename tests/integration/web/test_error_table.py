from app.domain.errors import LatchkeyError
from app.web import error_texts
from app.web.errors import OUTCOMES, ErrorCode, outcome_of
from tests.fakes import all_leaves

WORKERS_ONLY = {
    "AccessTokenRejected",
    "CalendarGone",
    "CallMalformed",
    "CursorExpired",
    "PushNotSupported",
    "Unrepresentable",
}
"""These never reach the web edge by themselves; the row above them serves if one ever does."""


def test_every_leaf_has_a_row():
    product = [leaf for leaf in all_leaves(LatchkeyError) if leaf.__module__.startswith("app.domain.")]

    missing = {leaf.__name__ for leaf in product if leaf not in OUTCOMES}

    assert len(product) > 20
    assert missing <= WORKERS_ONLY


def test_rows_keep_to_the_characters_and_codes_of_the_registry():
    for outcome in OUTCOMES.values():
        assert isinstance(outcome.error, ErrorCode)
        assert all(0x20 <= ord(c) <= 0x7E and c not in '"\\' for c in outcome.description)
        assert 400 <= outcome.status < 600
        assert 400 <= outcome.page_status < 600
        waits = outcome.error in {ErrorCode.TEMPORARILY_UNAVAILABLE, ErrorCode.RATE_LIMITED}
        assert waits == (outcome.retry_after_s is not None)


def test_an_unknown_error_is_the_nearest_one_above_it():
    class Planted(LatchkeyError):
        code = "planted"

    assert outcome_of(Planted()).status == 500


def test_every_error_page_offers_one_way_on():
    for words in error_texts.ERROR_PAGES.values():
        assert words.href.startswith("/")
        assert words.title
        assert words.text
        assert words.action
