"""Serve Graph's resources about the person, their calendars, settings and availability."""

from datetime import datetime

from flask import Blueprint, request

from app.sandbox.calendar.busy_graph import availability
from app.sandbox.calendar.graph_access import READ, Caller, graph_route, option, sent_json, take_user
from app.sandbox.calendar.graph_errors import GraphError, bad_request, not_found
from app.sandbox.calendar.graph_events import GraphEvents
from app.sandbox.calendar.graph_times import moment_of
from app.sandbox.calendar.world import Calendar, Json
from app.sandbox.calendar.zones import windows_zones
from app.sandbox.faults import overfull, with_faults

blueprint = Blueprint("sandbox_graph_calendars", __name__)
blueprint.url_value_preprocessor(take_user)
_MOST_SCHEDULES = 20
_MOST_DAYS = 62
_SETTINGS = {"MailboxSettings.Read", "MailboxSettings.ReadWrite"}


@blueprint.get("")
@with_faults("graph.me")
@graph_route({"User.Read"})
def me(caller: Caller) -> tuple[Json, int]:
    """Return the person."""
    account = caller.account
    body = {
        "@odata.context": caller.context("users/$entity"),
        "id": account.oid,
        "displayName": account.name,
        "givenName": account.given_name,
        "surname": account.family_name,
        "mail": account.email,
        "userPrincipalName": account.email,
        "preferredLanguage": "en-US",
    }
    return _select(body), 200


@blueprint.get("/calendars")
@with_faults("graph.calendars")
@graph_route(READ)
def list_calendars(caller: Caller) -> tuple[Json, int]:
    """List the calendars of the person."""
    calendars = list(caller.mailbox.calendars.values())
    start, size = _skip(), caller.page_size(default=10, most=1000)
    end = start + overfull(size)
    answer: Json = {
        "@odata.context": caller.context(f"users('{caller.account.oid}')/calendars"),
        "value": [_select(calendar.entry) for calendar in calendars[start:end]],
    }
    if len(calendars) > end:
        answer["@odata.nextLink"] = f"{caller.root}/v1.0/me/calendars?$top={size}&$skip={end}"
    return answer, 200


@blueprint.get("/calendars/<calendar_id>")
@with_faults("graph.calendars")
@graph_route(READ)
def get_calendar(caller: Caller, calendar_id: str) -> tuple[Json, int]:
    """Return one calendar."""
    return _entity(caller, caller.calendar(calendar_id)), 200


@blueprint.get("/calendar")
@with_faults("graph.calendars")
@graph_route(READ)
def get_own_calendar(caller: Caller) -> tuple[Json, int]:
    """Return the person's own calendar."""
    return _entity(caller, caller.calendar(None)), 200


@blueprint.get("/mailboxSettings")
@with_faults("graph.settings")
@graph_route(_SETTINGS)
def mailbox_settings(caller: Caller) -> tuple[Json, int]:
    """Return time zone, language, working hours and formats."""
    context = caller.context(f"users('{caller.account.oid}')/mailboxSettings")
    return {"@odata.context": context, **_select(caller.mailbox.settings)}, 200


@blueprint.get("/mailboxSettings/<name>")
@with_faults("graph.settings")
@graph_route(_SETTINGS)
def mailbox_setting(caller: Caller, name: str) -> tuple[Json, int]:
    """Return one of the mailbox settings."""
    if name not in caller.mailbox.settings:
        raise not_found()
    value = caller.mailbox.settings[name]
    context = caller.context(f"users('{caller.account.oid}')/mailboxSettings/{name}")
    return {"@odata.context": context} | (value if isinstance(value, dict) else {"value": value}), 200


@blueprint.get("/outlook/supportedTimeZones")
@with_faults("graph.settings")
@graph_route({"User.Read"})
def supported_time_zones(caller: Caller) -> tuple[Json, int]:
    """List the Windows names of the time zones."""
    context = caller.context("Collection(microsoft.graph.timeZoneInformation)")
    return {"@odata.context": context, "value": [{"alias": name, "displayName": name} for name in windows_zones()]}, 200


@blueprint.post("/calendar/getSchedule")
@with_faults("graph.schedule")
@graph_route(READ)
def get_schedule(caller: Caller) -> tuple[Json, int]:
    """Return when people of the same organisation are busy; personal accounts cannot ask."""
    if caller.account.is_personal:
        raise GraphError(403, "ErrorAccessDenied", "This operation is not supported for personal accounts.")
    asked = {name[:1].lower() + name[1:]: value for name, value in sent_json().items()}
    try:
        low, high = moment_of(asked["startTime"]), moment_of(asked["endTime"])
        addresses = [str(address) for address in asked["schedules"]]
        step_min = int(asked.get("availabilityViewInterval") or 30)
    except (KeyError, TypeError, ValueError) as error:
        raise bad_request("schedules, startTime and endTime are required.", "ErrorInvalidParameter") from error
    _check_schedule(len(addresses), (high - low).days, step_min, is_forward=high > low)
    values = [_schedule(caller, address, low, high, step_min) for address in addresses]
    return {"@odata.context": caller.context("Collection(microsoft.graph.scheduleInformation)"), "value": values}, 200


def _check_schedule(count: int, days: int, step_min: int, *, is_forward: bool) -> None:
    if count > _MOST_SCHEDULES or days > _MOST_DAYS:
        raise bad_request("The request asks for too many schedules or too long a time.", "ErrorInvalidParameter")
    if not 5 <= step_min <= 1440 or not is_forward:
        raise bad_request("The interval or the time window is not valid.", "ErrorInvalidParameter")


def _schedule(caller: Caller, address: str, low: datetime, high: datetime, step_min: int) -> Json:
    account = caller.side.sandbox.accounts.by_email("microsoft", address)
    if account is None or account.tid != caller.account.tid:
        error = {"message": "The requested user was not found.", "responseCode": "ErrorMailRecipientNotFound"}
        return {"scheduleId": address, "availabilityView": "", "error": error}
    mailbox = caller.side.world.mailbox("microsoft", account.key)
    owner = {"name": account.name, "address": account.email}
    events = GraphEvents(caller.side.world, mailbox, mailbox.main, owner)
    is_own = account.key == caller.account.key
    found = availability(events, low, high, step_min, caller.preferences.zone_name, is_own=is_own)
    return {"scheduleId": address, **found, "workingHours": mailbox.settings["workingHours"]}


def _entity(caller: Caller, calendar: Calendar) -> Json:
    context = caller.context(f"users('{caller.account.oid}')/calendars/$entity")
    return {"@odata.context": context, **_select(calendar.entry)}


def _select(body: Json) -> Json:
    select = option("$select")
    if not select:
        return body
    names = {name.strip() for name in select.split(",")} | {"id"}
    return {name: value for name, value in body.items() if name in names or name.startswith("@")}


def _skip() -> int:
    value = request.args.get("$skip", "0")
    return int(value) if value.isdecimal() else 0
