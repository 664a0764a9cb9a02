"""Edit one calendar of either provider in one set of words, sync it, and compare."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from app.sandbox.calendar.state import side_of
from tests.integration.sync.compare import assert_equal, query

ZONE = "Europe/Berlin"
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def monday(weeks=1, hour=10, days=0):
    """Return a naive local time on a Monday some weeks from now, plus days."""
    today = datetime.now(UTC).date()
    first = today + timedelta(days=7 * weeks - today.weekday() + days)
    return datetime.combine(first, time(hour))


@dataclass
class Desk:
    """One calendar of a connected account, its own and empty when it begins."""

    mailbox: object
    calendar: object

    @property
    def is_google(self):
        return self.mailbox.provider == "google"

    def sync(self):
        """Sync and compare with the provider; return what is stored."""
        self.mailbox.sync(self.calendar)
        return assert_equal(self.mailbox, self.calendar)

    def titles(self, rows):
        return sorted({row[5] for row in rows})

    def body(self, title=None, start=None, *, minutes=60, all_day_for=None, repeat=None, times=None, **more):
        """Return the provider's JSON of an event; `all_day_for` counts days, `repeat` is daily or weekly."""
        body = {} if title is None else {"summary" if self.is_google else "subject": title}
        if start is not None:
            length = timedelta(days=all_day_for) if all_day_for else timedelta(minutes=minutes)
            body |= self._times(start, start + length, is_all_day=bool(all_day_for))
        if repeat is not None:
            body["recurrence"] = self.rule(start, repeat, times)
        return body | more

    def rule(self, start, repeat, times=None, until=None):
        """Return a recurrence; `until` is the last local date."""
        if self.is_google:
            parts = [f"FREQ={repeat.upper()}"]
            parts += [f"COUNT={times}"] if times else []
            parts += [f"UNTIL={until:%Y%m%d}T215959Z"] if until else []
            return ["RRULE:" + ";".join(parts)]
        pattern = {"type": repeat, "interval": 1, "firstDayOfWeek": "monday"}
        if repeat == "weekly":
            pattern["daysOfWeek"] = [DAYS[start.weekday()]]
        limits = {"type": "noEnd", "startDate": start.date().isoformat(), "recurrenceTimeZone": ZONE}
        if times:
            limits |= {"type": "numbered", "numberOfOccurrences": times}
        if until:
            limits |= {"type": "endDate", "endDate": until.isoformat()}
        return {"pattern": pattern, "range": limits}

    def _times(self, start, end, *, is_all_day):
        if self.is_google and is_all_day:
            # The other form is taken away, as a PATCH merges members.
            gone = {"dateTime": None, "timeZone": None}
            return {name: {"date": day.date().isoformat(), **gone} for name, day in (("start", start), ("end", end))}
        times = {
            name: {"dateTime": moment.isoformat(), "timeZone": ZONE} | ({"date": None} if self.is_google else {})
            for name, moment in (("start", start), ("end", end))
        }
        return times if self.is_google else times | {"isAllDay": is_all_day}

    def add(self, title, start, **words):
        """Add an event and return its id at the sandbox."""
        sent = self.body(title, start, **words)
        for name in ("start", "end"):
            sent[name] = {key: value for key, value in sent[name].items() if value is not None}
        return self.mailbox.edit("add", calendar=self.calendar.provider_id, body=sent)["id"]

    def change(self, event_id, title=None, start=None, **words):
        """Change an event or a series."""
        return self.mailbox.edit(
            "patch", calendar=self.calendar.provider_id, event_id=event_id, body=self.body(title, start, **words)
        )

    def remove(self, event_id):
        """Delete an event or a series."""
        self.mailbox.edit("delete", calendar=self.calendar.provider_id, event_id=event_id)

    def change_instance(self, series_id, day, title=None, start=None, **words):
        """Change the instance a series has on a local day."""
        return self.mailbox.edit(
            "move_instance", calendar=self.calendar.provider_id, series_id=series_id, day=day.date().isoformat(),
            body=self.body(title, start, **words),
        )  # fmt: skip

    def cancel_instance(self, series_id, day):
        """Delete the instance a series has on a local day."""
        self.mailbox.edit(
            "delete_instance", calendar=self.calendar.provider_id, series_id=series_id, day=day.date().isoformat()
        )

    def plant(self, *bodies):
        """Put items into the sandbox's calendar as they stand, in this order, past all its rules."""
        house = self.mailbox.house
        world, calendar = side_of(house.running.app).world, self.mailbox.at_sandbox(self.calendar)
        with house.running.state.lock:
            for body in bodies:
                series_id = body.get("recurringEventId") or body.get("seriesMasterId")
                item = world.store(calendar, body["id"], body, series_id=series_id)
                item.is_gone = body.get("status") == "cancelled" and series_id is None

    def stored(self, event_id):
        """Return the stored row of an event, or none."""
        shown = event_id.replace("AAMkADsbx", "AAkALgsbxIMM", 1)
        rows = query(
            self.mailbox, "SELECT * FROM events WHERE calendar_id = %s AND provider_id = ANY(%s)", self.calendar.id,
            [event_id, shown],
        )  # fmt: skip
        return rows[0] if rows else None


def google_time(moment):
    """Return a Google time in the zone of these tests."""
    return {"dateTime": moment.isoformat() + "Z", "timeZone": "UTC"}
