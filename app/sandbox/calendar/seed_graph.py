"""Fill the mailboxes of the Microsoft accounts."""

import base64
from datetime import datetime, timedelta

from app.sandbox.accounts import Account
from app.sandbox.calendar import plans
from app.sandbox.calendar.graph_events import GraphEvents
from app.sandbox.calendar.graph_ids import occurrence_id
from app.sandbox.calendar.plans import Every, Plan, Show
from app.sandbox.calendar.recurrence import instant, slots
from app.sandbox.calendar.world import Calendar, Json, Mailbox, World
from app.sandbox.calendar.zones import windows_name

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SHOW_AS = {Show.BUSY: "busy", Show.FREE: "free", Show.TENTATIVE: "tentative", Show.OUT_OF_OFFICE: "oof"}
_NEVER = "0001-01-01"


def seed_graph(world: World, account: Account, *, has_events: bool = True) -> Mailbox:
    """Add the mailbox of an account: own calendar and family calendar."""
    mailbox = world.add_mailbox(Mailbox("microsoft", account.key, account.time_zone, settings=_settings(account)))
    owner = {"name": account.name, "address": account.email}
    for name, chosen in (("Calendar", plans.OWN), ("Family", plans.FAMILY)):
        calendar = _calendar(world, account, name, owner, is_default=name == "Calendar")
        mailbox.calendars[calendar.calendar_id] = calendar
        events = GraphEvents(world, mailbox, calendar, owner)
        for plan in plans.for_person(chosen, f"microsoft {account.key}") if has_events else ():
            add_graph(events, plan)
    return mailbox


def add_graph(events: GraphEvents, plan: Plan) -> Json:
    """Add the event of a plan, with its moved and cancelled occurrences; return the stored event."""
    zone_name = windows_name(plan.zone or events.mailbox.time_zone)
    start = plan.start(plans.monday_of(events.world.clock.now().date()))
    body = events.create(_body(plan, start, zone_name))
    if plan.is_cancelled:
        # Called off by an organizer: it stays in the calendar, marked.
        item = events.calendar.items[body["id"]]
        item.body |= {"isCancelled": True, "isOrganizer": False, "subject": f"Canceled: {plan.title}"}
    if plan.is_declined:
        answer = {"response": "declined", "time": body["createdDateTime"]}
        events.calendar.items[body["id"]].body |= {"responseStatus": answer, "isOrganizer": False}
    if plan.skipped or plan.moved:
        _except(events, body, plan)
    return body


def _calendar(world: World, account: Account, name: str, owner: Json, *, is_default: bool) -> Calendar:
    rng = world.rng("microsoft", account.key, name)
    calendar_id = "AAMkADcal" + base64.urlsafe_b64encode(rng.randbytes(47)).decode()
    entry = {
        "id": calendar_id,
        "name": name,
        "color": "auto",
        "hexColor": "",
        "isDefaultCalendar": is_default,
        "changeKey": base64.b64encode(rng.randbytes(16)).decode(),
        "canShare": True,
        "canViewPrivateItems": True,
        "canEdit": True,
        "allowedOnlineMeetingProviders": ["teamsForBusiness"],
        "defaultOnlineMeetingProvider": "teamsForBusiness",
        "isTallyingResponses": is_default,
        "isRemovable": not is_default,
        "owner": owner,
    }
    return Calendar(calendar_id, entry, account.time_zone)


def _settings(account: Account) -> Json:
    zone_name = windows_name(account.time_zone)
    hours = {"daysOfWeek": list(_DAYS[:5]), "startTime": "08:00:00.0000000", "endTime": "17:00:00.0000000"}
    return {
        "timeZone": zone_name,
        "language": {"locale": "en-GB", "displayName": "English (United Kingdom)"},
        "dateFormat": "dd/MM/yyyy",
        "timeFormat": "HH:mm",
        "delegateMeetingMessageDeliveryOptions": "sendToDelegateOnly",
        "workingHours": {**hours, "timeZone": {"name": zone_name}},
        "automaticRepliesSetting": {"status": "disabled", "externalAudience": "all"},
        "userPurpose": {"value": "user"},
    }


def _body(plan: Plan, start: datetime, zone_name: str) -> Json:
    body: Json = {
        "subject": plan.title,
        "body": {"contentType": "html", "content": plan.notes},
        "start": {"dateTime": start.isoformat(), "timeZone": zone_name},
        "end": {"dateTime": (start + plan.length()).isoformat(), "timeZone": zone_name},
        "isAllDay": plan.at is None,
        "showAs": _SHOW_AS[plan.show],
        "sensitivity": "private" if plan.is_private else "normal",
        "location": {"displayName": plan.place, "locationType": "default"},
        "attendees": [{"emailAddress": {"name": guest, "address": guest}} for guest in plan.guests],
    }
    if plan.every is not None:
        body["recurrence"] = {"pattern": _pattern(plan, start), "range": _range(plan, start, zone_name)}
    return body


def _pattern(plan: Plan, start: datetime) -> Json:
    unused = {"month": 0, "dayOfMonth": 0, "index": "first", "firstDayOfWeek": "monday", "interval": 1}
    if plan.every is Every.WEEK:
        days = [_DAYS[day] for day in plan.weekdays or (start.weekday(),)]
        return unused | {"type": "weekly", "daysOfWeek": days}
    if plan.every is Every.MONTH:
        return unused | {"type": "absoluteMonthly", "dayOfMonth": start.day}
    if plan.every is Every.YEAR:
        return unused | {"type": "absoluteYearly", "dayOfMonth": start.day, "month": start.month}
    return unused | {"type": "daily"}


def _range(plan: Plan, start: datetime, zone_name: str) -> Json:
    limits = {"startDate": start.date().isoformat(), "endDate": _NEVER, "recurrenceTimeZone": zone_name}
    kind = "noEnd" if plan.times is None else "numbered"
    return limits | {"type": kind, "numberOfOccurrences": plan.times or 0}


def _except(events: GraphEvents, master: Json, plan: Plan) -> None:
    series = events.series(master)
    monday = datetime.combine(plans.monday_of(events.world.clock.now().date()), datetime.min.time(), series.zone)
    coming = slots(series, monday, monday + timedelta(days=120), 20)
    for index in plan.skipped:
        events.delete(occurrence_id(master["id"], coming[index].date()))
    for index, minutes in plan.moved:
        start = (instant(coming[index], series.zone) + timedelta(minutes=minutes)).replace(tzinfo=None)
        times = [{"dateTime": moment.isoformat(), "timeZone": "UTC"} for moment in (start, start + series.length)]
        changes = {"start": times[0], "end": times[1], "subject": f"{plan.title} (moved)"}
        events.update(occurrence_id(master["id"], coming[index].date()), changes)
