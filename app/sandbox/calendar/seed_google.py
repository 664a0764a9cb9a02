"""Fill the mailboxes of the Google accounts."""

from datetime import datetime, timedelta

from app.sandbox.accounts import Account
from app.sandbox.calendar import plans
from app.sandbox.calendar.google_events import GoogleEvents, instance_id
from app.sandbox.calendar.plans import Every, Plan, Show
from app.sandbox.calendar.recurrence import instant, slots
from app.sandbox.calendar.world import Calendar, Json, Mailbox, World

_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")


def seed_google(world: World, account: Account, *, has_events: bool = True) -> Mailbox:
    """Add the mailbox of an account: own calendar, family calendar, and generated holidays."""
    settings = {"timezone": account.time_zone, "weekStart": "1", "locale": "en_GB", "format24HourTime": "true"}
    mailbox = world.add_mailbox(Mailbox("google", account.key, account.time_zone, settings=settings))
    own = _calendar(world, account, account.email, account.email, primary=True)
    if account.hd is not None:
        period = {"periodStart": 9 * 60, "periodEnd": 17 * 60}
        times = [{"dayOfWeek": day, **period} for day in _WEEKDAYS]
        own.entry["workingHours"] = {"workingHoursEnabled": True, "availableTimes": times}
    family_id = f"{world.rng('google', account.key, 'family').randbytes(16).hex()}@group.calendar.google.com"
    family = _calendar(world, account, family_id, "Family")
    holidays = _calendar(world, account, "en.sandbox#holiday@group.v.calendar.google.com", "Holidays", role="reader")
    for calendar, chosen in ((own, plans.OWN), (family, plans.FAMILY), (holidays, plans.HOLIDAYS)):
        mailbox.calendars[calendar.calendar_id] = calendar
        events = GoogleEvents(world, mailbox, calendar, account.email)
        for plan in plans.for_person(chosen, account.key) if has_events else ():
            add_google(events, plan)
    return mailbox


def add_google(events: GoogleEvents, plan: Plan) -> Json:
    """Add the event of a plan, with its moved and cancelled instances; return the stored event."""
    zone_name = plan.zone or events.mailbox.time_zone
    monday = plans.monday_of(events.world.clock.now().date())
    body = events.insert(_body(plan, plan.start(monday), zone_name, events.owner_email))
    if plan.is_cancelled:
        events.delete(body["id"])
    if plan.skipped or plan.moved:
        _except(events, body, plan)
    return body


def _calendar(
    world: World, account: Account, calendar_id: str, summary: str, *, role: str = "owner", primary: bool = False
) -> Calendar:
    entry = {
        "kind": "calendar#calendarListEntry",
        "etag": f'"{world.rng("google", calendar_id).randrange(10**15)}"',
        "id": calendar_id,
        "summary": summary,
        "timeZone": account.time_zone,
        "colorId": "14",
        "backgroundColor": "#9fe1e7",
        "foregroundColor": "#000000",
        "selected": True,
        "accessRole": role,
        "defaultReminders": [{"method": "popup", "minutes": 10}] if primary else [],
        "conferenceProperties": {"allowedConferenceSolutionTypes": ["hangoutsMeet"]},
    }
    if primary:
        entry["primary"] = True
    return Calendar(calendar_id, entry, account.time_zone)


def _body(plan: Plan, start: datetime, zone_name: str, owner: str) -> Json:
    end = start + plan.length()
    body: Json = {"summary": plan.title, "start": _time(start, zone_name, plan), "end": _time(end, zone_name, plan)}
    if plan.every is not None:
        body["recurrence"] = [_rule(plan, start)]
    if plan.show is Show.FREE:
        body["transparency"] = "transparent"
    if plan.show is Show.TENTATIVE:
        body["status"] = "tentative"
    if plan.show is Show.OUT_OF_OFFICE:
        declining = {"autoDeclineMode": "declineNone", "declineMessage": "Away"}
        body |= {"eventType": "outOfOffice", "outOfOfficeProperties": declining}
    if plan.is_private:
        body["visibility"] = "private"
    body |= {name: text for name, text in (("location", plan.place), ("description", plan.notes)) if text}
    if plan.guests:
        answer = "declined" if plan.is_declined else "accepted"
        own = {"email": owner, "self": True, "organizer": True, "responseStatus": answer}
        body["attendees"] = [own, *({"email": guest, "responseStatus": "needsAction"} for guest in plan.guests)]
    return body


def _time(moment: datetime, zone_name: str, plan: Plan) -> Json:
    if plan.at is None:
        return {"date": moment.date().isoformat()}
    return {"dateTime": moment.isoformat(), "timeZone": zone_name}


def _rule(plan: Plan, start: datetime) -> str:
    parts = [f"FREQ={plan.every}"]
    if plan.every is Every.WEEK:
        parts.append("BYDAY=" + ",".join(_DAYS[day] for day in plan.weekdays or (start.weekday(),)))
    if plan.times is not None:
        parts.append(f"COUNT={plan.times}")
    return "RRULE:" + ";".join(parts)


def _except(events: GoogleEvents, master: Json, plan: Plan) -> None:
    series = events.series(master)
    monday = datetime.combine(plans.monday_of(events.world.clock.now().date()), datetime.min.time(), series.zone)
    coming = slots(series, monday, monday + timedelta(days=120), 20)
    for index in plan.skipped:
        events.delete(instance_id(series, master["id"], coming[index]))
    for index, minutes in plan.moved:
        start = instant(coming[index], series.zone) + timedelta(minutes=minutes)
        times = [{"dateTime": moment.isoformat()} for moment in (start, start + series.length)]
        changes = {"start": times[0], "end": times[1], "summary": f"{plan.title} (moved)"}
        events.patch(instance_id(series, master["id"], coming[index]), changes)
