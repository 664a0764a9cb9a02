"""A connection in words: its state, one main action, and its calendars' progress. Pure, for templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from app.domain.connections import Connection, Reason, Status
from app.domain.features import Feature, offered_features
from app.services.calendar_choices import Choice, choice_of
from app.services.connections import ConnectionView
from app.web import texts
from app.web.paths import calendar_file_path, connection_path
from app.web.times import ago, moment

_BEHIND_AFTER = timedelta(minutes=10)
"""A calendar that fails for less is mended by the next try; nobody need know."""


class ShownProgress(Protocol):
    """What the pages read of a run under way."""

    @property
    def items(self) -> int:
        """Return how many items it has read so far."""


class ShownCalendar(Protocol):
    """What the pages read of a stored calendar."""

    @property
    def id(self) -> UUID:
        """Return the id."""

    @property
    def name(self) -> str:
        """Return the name people know."""

    @property
    def is_primary(self) -> bool:
        """Return whether it is the account's main calendar."""

    @property
    def is_times_only(self) -> bool:
        """Return whether it shows when it is busy and nothing else."""

    @property
    def is_selected(self) -> bool:
        """Return whether the person wants it here."""

    @property
    def paused_at(self) -> datetime | None:
        """Return since when it is kept and not synced; null when it is synced."""

    @property
    def progress(self) -> ShownProgress | None:
        """Return the run under way; null when there is none."""

    @property
    def last_success_at(self) -> datetime | None:
        """Return when it was last read; null before the first time."""

    @property
    def last_error(self) -> str | None:
        """Return the code of the last failure; null when there is none."""

    @property
    def event_count(self) -> int:
        """Return how many events are stored."""


class Tone(StrEnum):
    """How a state looks: never by colour alone, the words say it too."""

    GOOD = "good"
    BUSY = "busy"
    PARTLY = "partly"
    ACT = "act"


@dataclass(frozen=True, slots=True)
class Action:
    """The one thing to do now. ``is_post`` makes it a form, otherwise it is a link."""

    label: str
    href: str
    is_post: bool


@dataclass(frozen=True, slots=True)
class State:
    """A state in words."""

    tone: Tone
    label: str
    sentence: str
    action: Action


@dataclass(frozen=True, slots=True)
class CalendarLine:
    """One calendar as shown."""

    id: UUID
    name: str
    is_primary: bool
    status: str
    is_waiting: bool
    choice: Choice
    file: str | None
    """Where it can be downloaded; null until it has been read."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the first read is; ``total`` 0 while the list itself is still to come."""

    done: int
    total: int
    label: str


@dataclass(frozen=True, slots=True)
class Card:
    """One connection as its card and its page show it."""

    href: str
    provider_name: str
    account: str
    state: State
    granted: tuple[texts.FeatureWords, ...]
    declined: tuple[texts.FeatureWords, ...]
    calendars: tuple[CalendarLine, ...]
    progress: Progress | None
    """Null unless the first read is under way."""


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One thing that happened."""

    at: str
    text: str


def card_of(view: ConnectionView, now: datetime) -> Card:
    """Return what to show of ``view``."""
    connection = view.connection
    return Card(
        href=connection_path(connection.id),
        provider_name=view.provider_name,
        account=account_name(connection),
        state=state_of(view),
        granted=_words(connection, connection.features()),
        declined=_words(connection, connection.declined()),
        calendars=tuple(_line(row, now) for row in view.calendars),
        progress=_progress(view.calendars) if view.is_syncing and connection.completion_due_at is None else None,
    )


def account_name(connection: Connection) -> str:
    """Return what people know the account by."""
    return connection.email or connection.display_name or texts.UNNAMED_ACCOUNT


def state_of(view: ConnectionView) -> State:
    """Return the state of a connection with its one main action."""
    connection = view.connection
    page = connection_path(connection.id)
    reconnect = f"{page}/reconnect"
    if connection.status is not Status.ACTIVE:
        sentence = reason_sentence(connection.reason)
        return State(Tone.ACT, texts.STATE_NEEDS_YOU, sentence, Action(texts.ACTION_RECONNECT, reconnect, is_post=True))
    details = Action(texts.DETAILS, page, is_post=False)
    if connection.completion_due_at is not None:
        return State(Tone.BUSY, texts.STATE_CONFIRMING, texts.STATE_CONFIRMING_SENTENCE, details)
    if view.is_syncing:
        return State(Tone.BUSY, texts.STATE_SYNCING, texts.STATE_SYNCING_SENTENCE, details)
    declined = connection.declined()
    if declined:
        names = ", ".join(words.name.lower() for words in _words(connection, declined))
        sentence = texts.STATE_PARTLY_SENTENCE.format(features=names)
        return State(Tone.PARTLY, texts.STATE_PARTLY, sentence, Action(texts.ACTION_GRANT, reconnect, is_post=True))
    return State(Tone.GOOD, texts.STATE_WORKING, texts.STATE_WORKING_SENTENCE, details)


def reason_sentence(reason: str | None) -> str:
    """Return the sentence for a reason; a general one for null or an unknown code."""
    try:
        return texts.REASONS[Reason(reason or "")]
    except ValueError:
        return texts.REASON_UNKNOWN


def can_be_added(connection: Connection) -> tuple[Feature, ...]:
    """Return the features the person could still allow here."""
    have = connection.features()
    return tuple(feature for feature in offered_features(connection.kind) if feature not in have)


def history_of(view: ConnectionView, zone: tzinfo) -> tuple[HistoryLine, ...]:
    """Return what happened to a connection, newest first."""
    return tuple(HistoryLine(moment(at, zone), _happening(kind, detail)) for at, kind, detail in view.history)


def _happening(kind: str, detail: Mapping[str, str]) -> str:
    text = texts.HISTORY_EVENTS.get(kind, kind.replace("_", " ").capitalize())
    return f"{text}. {reason_sentence(detail['reason'])}" if "reason" in detail else text


def _words(
    connection: Connection, features: frozenset[Feature] | tuple[Feature, ...]
) -> tuple[texts.FeatureWords, ...]:
    """Return the words of ``features`` in reading order, without those a shown larger one includes."""
    shown = [feature for feature in offered_features(connection.kind) if feature in features]
    for larger, smaller in (
        (Feature.CALENDAR_WRITE, Feature.CALENDAR_READ),
        (Feature.CALENDAR_READ, Feature.CALENDAR_FREEBUSY),
    ):
        if larger in features and smaller in shown:
            shown.remove(smaller)
    return tuple(texts.FEATURES[feature] for feature in shown)


def _line(row: ShownCalendar, now: datetime) -> CalendarLine:
    file = None if row.last_success_at is None else calendar_file_path(row.id)
    return CalendarLine(
        row.id, row.name, row.is_primary, _status(row, now), _is_waiting(row),
        choice_of(is_selected=row.is_selected, paused_at=row.paused_at), file,
    )  # fmt: skip


def _status(row: ShownCalendar, now: datetime) -> str:
    if not row.is_selected:
        return texts.CALENDAR_LEFT_OUT
    if row.last_success_at is None:
        return _before_the_first_time(row)
    if row.paused_at is not None:
        return texts.CALENDAR_PAUSED
    if row.last_error is not None and row.last_success_at < now - _BEHIND_AFTER:
        return texts.CALENDAR_BEHIND.format(ago=ago(row.last_success_at, now))
    if row.is_times_only:
        return texts.CALENDAR_FREEBUSY
    return texts.CALENDAR_READ.format(events=texts.events(row.event_count), ago=ago(row.last_success_at, now))


def _before_the_first_time(row: ShownCalendar) -> str:
    if row.last_error is not None:
        return texts.CALENDAR_PROBLEM
    if row.progress is None or not row.progress.items:
        return texts.CALENDAR_WAITING
    return texts.CALENDAR_READING.format(events=texts.events(row.progress.items))


def _is_waiting(row: ShownCalendar) -> bool:
    is_wanted = row.is_selected and row.paused_at is None
    return is_wanted and row.last_success_at is None and row.last_error is None


def _progress(calendars: tuple[ShownCalendar, ...]) -> Progress:
    calendars = tuple(row for row in calendars if row.is_selected)
    total = len(calendars)
    done = total - sum(_is_waiting(row) for row in calendars)
    label = texts.PROGRESS.format(done=done, total=total) if total else texts.LISTING
    return Progress(done, total, label)
