"""Let it rain: edit calendars at a set rate in every way a person can, the same way for the same seed.

Every edit is one gesture under the sandbox's lock, so whoever reads by HTTP sees a calendar before or after it. What is
drawn follows from the seed and the state of the calendars at the start; ids are fresh each time.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from datetime import time as clock_time
from types import MappingProxyType

from app.sandbox.calendar.chaos_draws import ZONES, Dice, NothingToDoError, Span
from app.sandbox.calendar.chaos_hands import REFUSALS, Hand, hand_for
from app.sandbox.calendar.world import Json, World
from app.sandbox.state import Sandbox

_MOST_EVENTS = 40
"""A calendar with more loses something instead of being added to, or hours of rain would fill it without end."""
_TRIES = 5


@dataclass(frozen=True)
class Place:
    """One calendar that is edited."""

    provider: str
    account: str
    calendar_id: str


@dataclass(frozen=True)
class Weather:
    """How it rains."""

    places: tuple[Place, ...]
    rate_per_s: float
    seconds: float
    seed: int
    kinds: tuple[str, ...]

    @property
    def planned(self) -> int:
        """Return how many edits there will be."""
        return max(1, round(self.rate_per_s * self.seconds))


class Rain:
    """Makes one edit after the other; the caller holds the sandbox's lock around `step`."""

    def __init__(self, sandbox: Sandbox, world: World, weather: Weather) -> None:
        """Draw from the seed of `weather`."""
        self.sandbox = sandbox
        self.world = world
        self.weather = weather
        self.counts: Counter[str] = Counter()
        """Edits made, by kind."""
        self.dice = Dice(random.Random(weather.seed), world.clock.now().date())

    def step(self) -> str:
        """Make one edit; return its kind."""
        place = self.dice.pick(self.weather.places)
        for _ in range(_TRIES):
            kind = self.dice.pick(self.weather.kinds)
            if self._is_made(place, kind):
                return kind
        # A calendar with nothing in it, or kinds that never fit: there is always room for something new.
        self._is_made(place, "create_single")
        return "create_single"

    def _is_made(self, place: Place, kind: str) -> bool:
        account = self.sandbox.accounts.by_key(place.provider, place.account)
        calendar = self.world.mailbox(place.provider, place.account).calendar(place.calendar_id)
        hand = hand_for(self.world, account, calendar)
        if kind.startswith("create") and len(hand.singles()) + len(hand.series()) > _MOST_EVENTS:
            kind = "cancel_all"
        others = [p.calendar_id for p in self.weather.places if _is_neighbour(p, place)]
        try:
            if kind == "move_to_other_calendar":
                self._carry(hand, place, others)
            else:
                KINDS[kind](hand, self.dice)
        except (NothingToDoError, *REFUSALS):
            return False
        self.counts[kind] += 1
        return True

    def _carry(self, hand: Hand, place: Place, others: Sequence[str]) -> None:
        target = self.world.mailbox(place.provider, place.account).calendar(self.dice.pick(others))
        hand.carry(self.dice.pick([*hand.singles(), *hand.series()]), target)


class Chaos:
    """The rain of one sandbox: at most one at a time, in a thread that ends by itself."""

    def __init__(self, sandbox: Sandbox, world: World) -> None:
        """Wait for `start`."""
        self.sandbox = sandbox
        self.world = world
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._rain: Rain | None = None

    def start(self, weather: Weather) -> None:
        """Begin.

        Raises ValueError while it rains already, and for an empty or unknown list of places or kinds.
        """
        if self.is_running:
            raise ValueError("it rains already")
        if not weather.places or not weather.kinds or not set(weather.kinds) <= set(ALL_KINDS):
            raise ValueError("places and known kinds are needed")
        self._stop.clear()
        self._rain = Rain(self.sandbox, self.world, weather)
        self._thread = threading.Thread(target=self._run, args=(self._rain,), name="sandbox-chaos", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Tell whether it rains."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """End it now."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)

    def wait(self, timeout_s: float) -> None:
        """Wait until it has stopped, at most `timeout_s`."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def state(self) -> Json:
        """Return what was planned and done, counts by kind."""
        rain = self._rain
        if rain is None:
            return {"running": False, "done": False, "planned": 0, "edits": 0, "counts": {}}
        counts = dict(sorted(rain.counts.items()))
        edits, planned = sum(counts.values()), rain.weather.planned
        running = self.is_running
        return {
            "running": running,
            "done": not running and edits >= planned,
            "planned": planned,
            "edits": edits,
            "counts": counts,
            "seed": rain.weather.seed,
        }

    def _run(self, rain: Rain) -> None:
        begin = time.monotonic()
        for number in range(rain.weather.planned):
            # Late edits are made up for at once: the rate is that of the whole.
            if self._stop.wait(max(0.0, begin + number / rain.weather.rate_per_s - time.monotonic())):
                return
            with self.sandbox.lock:
                rain.step()


def _is_neighbour(other: Place, place: Place) -> bool:
    return other != place and (other.provider, other.account) == (place.provider, place.account)


def _event(hand: Hand, dice: Dice) -> str:
    """Return a single event or a series."""
    return dice.pick([*hand.singles(), *hand.series()])


def _instance(hand: Hand, dice: Dice) -> str:
    return dice.pick(hand.instances(dice.pick(hand.series())))


def _anything(hand: Hand, dice: Dice) -> str:
    """Return a single event, a series or an instance."""
    return _instance(hand, dice) if dice.source.randrange(2) and hand.series() else _event(hand, dice)


def _one(hand: Hand, dice: Dice) -> str:
    """Return a single event or an instance."""
    return _instance(hand, dice) if dice.source.randrange(2) and hand.series() else dice.pick(hand.singles())


def _create_single(hand: Hand, dice: Dice) -> None:
    hand.add(dice.title("Single"), dice.span())


def _create_all_day(hand: Hand, dice: Dice) -> None:
    hand.add(dice.title("Whole day"), dice.span(is_all_day=True))


def _create_series(hand: Hand, dice: Dice) -> None:
    is_all_day = dice.source.randrange(4) == 0
    hand.add(dice.title("Series"), dice.span(is_all_day=is_all_day, is_series=True), dice.rule())


def _move_one(hand: Hand, dice: Dice) -> None:
    event = _one(hand, dice)
    before = hand.span(event)
    hand.reshape(event, dice.span(is_all_day=before.is_all_day, zone=before.zone))


def _move_all(hand: Hand, dice: Dice) -> None:
    series = dice.pick(hand.series())
    before = hand.span(series)
    minutes = 0 if before.is_all_day else dice.source.choice((-90, -30, 30, 60))
    start = before.start + timedelta(days=dice.source.randint(-3, 3), minutes=minutes)
    hand.reshape(series, before.at(start), dice.rule())


def _split(hand: Hand, dice: Dice) -> None:
    series = dice.pick(hand.series())
    hand.split(series, dice.pick(hand.instances(series)[1:]), None, dice.rule())


def _split_and_move(hand: Hand, dice: Dice) -> None:
    series = dice.pick(hand.series())
    instance = dice.pick(hand.instances(series)[1:])
    before = hand.span(instance)
    start = before.start + (timedelta(days=1) if before.is_all_day else timedelta(minutes=45))
    hand.split(series, instance, _for_series(before.at(start)), dice.rule())


def _change_rule(hand: Hand, dice: Dice) -> None:
    series = dice.pick(hand.series())
    hand.reshape(series, hand.span(series), dice.rule())


def _cancel_one(hand: Hand, dice: Dice) -> None:
    hand.remove(_one(hand, dice))


def _cancel_all(hand: Hand, dice: Dice) -> None:
    hand.remove(_event(hand, dice))


def _toggle_all_day(hand: Hand, dice: Dice) -> None:
    event = _anything(hand, dice)
    before = hand.span(event)
    is_series = event in hand.series()
    midnight = datetime.combine(before.start.date(), clock_time())
    whole = Span(midnight, midnight + timedelta(days=1), before.zone, is_all_day=True)
    ten = midnight + timedelta(hours=10)
    after = Span(ten, ten + timedelta(hours=1), before.zone) if before.is_all_day else whole
    hand.reshape(event, after, dice.rule() if is_series else None)


def _change_zone(hand: Hand, dice: Dice) -> None:
    event = _event(hand, dice)
    before = hand.span(event)
    if before.is_all_day:
        raise NothingToDoError
    zone = dice.pick([name for name in ZONES if name != before.zone])
    hand.reshape(event, before.at(before.start, zone), dice.rule() if event in hand.series() else None)


def _rename(hand: Hand, dice: Dice) -> None:
    hand.rename(_anything(hand, dice), dice.title("Renamed"))


def _change_show(hand: Hand, dice: Dice) -> None:
    hand.show(_anything(hand, dice), dice)


def _decline(hand: Hand, dice: Dice) -> None:
    hand.decline(_anything(hand, dice))


def _hand_over(hand: Hand, dice: Dice) -> None:
    hand.hand_over(_event(hand, dice))


def _bring_back(hand: Hand, dice: Dice) -> None:
    hand.restore(dice.pick(hand.gone()))


def _for_series(span: Span) -> Span:
    longest = timedelta(days=1) if span.is_all_day else timedelta(hours=4)
    return replace(span, end=min(span.end, span.start + longest))


KINDS: Mapping[str, Callable[[Hand, Dice], None]] = MappingProxyType(
    {
        "create_single": _create_single,
        "create_all_day": _create_all_day,
        "create_series": _create_series,
        "move_one": _move_one,
        "move_all": _move_all,
        "split": _split,
        "split_and_move": _split_and_move,
        "change_rule": _change_rule,
        "cancel_one": _cancel_one,
        "cancel_all": _cancel_all,
        "toggle_all_day": _toggle_all_day,
        "change_zone": _change_zone,
        "rename": _rename,
        "change_show": _change_show,
        "decline": _decline,
        "hand_over": _hand_over,
        "bring_back": _bring_back,
    }
)
"""What each kind of edit does to one calendar."""
ALL_KINDS = (*KINDS, "move_to_other_calendar")
"""All kinds of edits; the last one needs a second calendar of the same mailbox among the places."""
