"""What a task does with an error: the only table of it. Retries are rows with a due time, never Celery's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum

from app.domain.errors import (
    BreakerOpen,
    CipherError,
    ConfigurationError,
    InvalidGrant,
    LatchkeyError,
    ProviderError,
    ProviderRejected,
    ReconnectRequired,
    RefreshInProgress,
    ScopesMissing,
    StoreUnavailable,
    UnknownCalendar,
    UnknownConnection,
    UnknownProvider,
    ValidityUnattainable,
)

logger = logging.getLogger("latchkey.work")


class Outcome(Enum):
    """What follows from an error."""

    DROP = "drop"
    """The row is gone or is nobody's business any more."""
    LATER = "later"
    """The row carries its next attempt."""
    STOP = "stop"
    """Only the person can go on; the row says so."""
    ALARM = "alarm"
    """Operators must act; the row carries its next attempt."""


TABLE: tuple[tuple[type[LatchkeyError], Outcome], ...] = (
    (UnknownConnection, Outcome.DROP),
    (UnknownCalendar, Outcome.DROP),
    (UnknownProvider, Outcome.ALARM),
    (ReconnectRequired, Outcome.STOP),
    (ScopesMissing, Outcome.STOP),
    # The alarm is raised once, when the breaker opens; every row it holds back after that is no news.
    (BreakerOpen, Outcome.LATER),
    (ProviderRejected, Outcome.ALARM),
    (InvalidGrant, Outcome.LATER),
    (ProviderError, Outcome.LATER),
    (RefreshInProgress, Outcome.LATER),
    (ValidityUnattainable, Outcome.LATER),
    (StoreUnavailable, Outcome.LATER),
    (CipherError, Outcome.ALARM),
    (ConfigurationError, Outcome.ALARM),
)


def outcome_of(error: LatchkeyError) -> Outcome:
    """Return what follows from ``error``: the first row that fits, so leaves stand before their parents."""
    return next((outcome for kind, outcome in TABLE if isinstance(error, kind)), Outcome.ALARM)


def run(name: str, row_id: str, work: Callable[[], object]) -> None:
    """Do ``work`` and turn an expected error into its outcome; unexpected ones go up to Celery's log."""
    try:
        work()
    except LatchkeyError as error:
        outcome = outcome_of(error)
        level = logging.ERROR if outcome is Outcome.ALARM else logging.INFO
        logger.log(level, "%s %s: %s -> %s", name, row_id, error.code, outcome.value)
