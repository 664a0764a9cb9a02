"""Every error has an outcome, and leaves stand before their parents."""

import inspect
import logging

import pytest

from app.domain import errors
from workers.failures import TABLE, Outcome, outcome_of, run

RAISED_BY_WORK = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.ProviderError | errors.StoreUnavailable | errors.CipherError)
]


@pytest.mark.parametrize("kind", RAISED_BY_WORK)
def test_no_row_is_hidden_by_one_above_it(kind: type[errors.LatchkeyError]) -> None:
    fitting = [row for row in TABLE if issubclass(kind, row[0])]

    assert fitting
    assert fitting[0][0] in kind.__mro__
    assert all(not issubclass(lower[0], fitting[0][0]) for lower in fitting[1:])


def test_refusals_of_us_raise_an_alarm_and_outages_do_not() -> None:
    assert outcome_of(errors.ProviderRejected("invalid_client")) is Outcome.ALARM
    assert outcome_of(errors.ProviderUnavailable("timeout")) is Outcome.LATER
    assert outcome_of(errors.ReconnectRequired("revoked_by_user")) is Outcome.STOP


def test_an_expected_error_is_logged_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    def work() -> None:
        raise errors.ProviderRejected("invalid_client")

    with caplog.at_level(logging.INFO):
        run("refresh", "row", work)

    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_an_unexpected_error_goes_up() -> None:
    def work() -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        run("refresh", "row", work)
