"""Show the sandbox's calendars to clients nobody here wrote: google-api-python-client and msgraph-sdk."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from azure.core.credentials import AccessToken
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from msgraph import GraphServiceClient
from msgraph.generated.models.date_time_time_zone import DateTimeTimeZone
from msgraph.generated.models.event import Event
from msgraph.generated.models.event_type import EventType
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.subscription import Subscription
from msgraph.graph_request_adapter import GraphRequestAdapter, options
from msgraph_core import GraphClientFactory

from tests.contract.sandbox_calendars import GOOGLE, calendars, receiver

# Warned about inside the SDK, when it loads its own request builders.
pytestmark = [
    pytest.mark.filterwarnings("ignore:GetQueryParameters is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This class is deprecated:DeprecationWarning"),
]


@pytest.fixture
def served():
    with calendars(google_page_size=10, graph_page_size=25) as running:
        yield running


@pytest.fixture
def google(served):
    credentials = Credentials(served.token("google", "ada", [GOOGLE + "calendar"]))
    endpoint = {"api_endpoint": f"{served.base_url}/calendar/v3/"}
    with build("calendar", "v3", credentials=credentials, client_options=endpoint, static_discovery=True) as service:
        yield service


def google_sync(service, calendar_id, **start):
    """Read a whole round the way Google's guide shows it; return items and the next sync token."""
    items, request = [], service.events().list(calendarId=calendar_id, **start)
    while True:
        answer = request.execute()
        items += answer["items"]
        following = service.events().list_next(request, answer)
        if following is None:
            return items, answer["nextSyncToken"]
        assert "nextSyncToken" not in answer
        request = following


def test_google_client_lists_calendars_and_reads_events_in_pages(google):
    listed = google.calendarList().list().execute()
    primary = next(entry for entry in listed["items"] if entry.get("primary"))

    items, token = google_sync(google, primary["id"], maxResults=7)

    assert len(listed["items"]) == 3
    assert token
    assert {"Stand-up", "Budget review"} <= {item.get("summary") for item in items}
    assert len({item["id"] for item in items}) == len(items)


def test_google_client_sees_its_own_writes_in_the_next_delta(google):
    _, token = google_sync(google, "primary")
    times = {
        "start": {"dateTime": "2031-03-03T10:00:00", "timeZone": "Europe/Stockholm"},
        "end": {"dateTime": "2031-03-03T11:00:00", "timeZone": "Europe/Stockholm"},
    }
    made = google.events().insert(calendarId="primary", body={"summary": "Written back", **times}).execute()
    google.events().patch(calendarId="primary", eventId=made["id"], body={"location": "Here"}).execute()

    changed, token = google_sync(google, "primary", syncToken=token)
    google.events().delete(calendarId="primary", eventId=made["id"]).execute()
    deleted, _ = google_sync(google, "primary", syncToken=token)

    assert [(item["summary"], item["location"]) for item in changed] == [("Written back", "Here")]
    assert changed[0]["start"]["dateTime"] == "2031-03-03T10:00:00+01:00"
    assert [(item["id"], item["status"]) for item in deleted] == [(made["id"], "cancelled")]
    assert "summary" not in deleted[0]
    with pytest.raises(HttpError) as refused:
        google.events().delete(calendarId="primary", eventId=made["id"]).execute()
    assert refused.value.status_code == 410


def test_google_client_is_told_to_start_over_when_its_token_is_gone(served, google):
    _, token = google_sync(google, "primary")
    served.control("/expire_sync_tokens", provider="google", account="ada")

    with pytest.raises(HttpError) as refused:
        google_sync(google, "primary", syncToken=token)

    assert refused.value.status_code == 410
    assert refused.value.error_details[0]["reason"] == "fullSyncRequired"


def test_google_client_follows_the_calendar_list_and_asks_for_busy_times(served, google):
    start = google.calendarList().list().execute()
    made = served.control("/calendars", provider="google", account="ada", action="add", name="Shared")
    who = {"provider": "google", "account": "ada", "calendar": made["id"]}
    times = {"start": "2031-03-03T10:00:00", "end": "2031-03-03T11:00:00"}
    served.control("/events", **who, action="add", title="Not for everybody", **times)
    served.control("/calendars", **who, action="role", role="freeBusyReader", told=True)

    delta = google.calendarList().list(syncToken=start["nextSyncToken"]).execute()
    asked = {"timeMin": "2031-03-03T00:00:00Z", "timeMax": "2031-03-04T00:00:00Z", "items": [{"id": made["id"]}]}
    busy = google.freebusy().query(body=asked).execute()["calendars"][made["id"]]["busy"]
    blocks, _ = google_sync(google, made["id"])
    served.control("/calendars", **who, action="remove")
    removed = google.calendarList().list(syncToken=delta["nextSyncToken"]).execute()["items"]

    assert [(entry["id"], entry["accessRole"]) for entry in delta["items"]] == [(made["id"], "freeBusyReader")]
    assert busy == [{"start": "2031-03-03T09:00:00Z", "end": "2031-03-03T10:00:00Z"}]
    assert [block["start"]["dateTime"] for block in blocks] == ["2031-03-03T10:00:00+01:00"]
    assert "summary" not in blocks[0]
    assert [(entry["id"], entry["deleted"]) for entry in removed] == [(made["id"], True)]


class FixedToken:
    """A credential that has one token."""

    def __init__(self, token):
        self._token = token

    def get_token(self, *_scopes, **_options):
        return AccessToken(self._token, int((datetime.now(UTC) + timedelta(hours=1)).timestamp()))


def graph_run(served, work):
    """Run `work` with a Graph client that talks to the sandbox."""
    served.control("/links", public=False)

    async def inside():
        token = served.token("microsoft", "chiara", ["Calendars.ReadWrite", "User.Read"])
        host = served.base_url.removeprefix("http://").partition(":")[0]
        provider = AzureIdentityAuthenticationProvider(FixedToken(token), allowed_hosts=[host])
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            client = GraphClientFactory.create_with_default_middleware(client=http, options=options)
            adapter = GraphRequestAdapter(provider, client)
            adapter.base_url = f"{served.base_url}/v1.0"
            return await work(GraphServiceClient(request_adapter=adapter))

    return asyncio.run(inside())


async def graph_round(builder, window=None, size=25):
    """Read a whole delta round with the SDK; return items, the delta link and the number of pages."""
    parameters = window and type(builder).DeltaRequestBuilderGetQueryParameters(**window)
    configuration = RequestConfiguration(query_parameters=parameters)
    configuration.headers.add("Prefer", f'outlook.timezone="UTC", odata.maxpagesize={size}')
    items, pages = [], 0
    while True:
        page = await builder.get(configuration)
        pages += 1
        items += page.value
        if page.odata_next_link is None:
            return items, page.odata_delta_link, pages
        builder = builder.with_url(page.odata_next_link)
        configuration.query_parameters = None


def window_around_now():
    now = datetime.now(UTC)
    low, high = (now + timedelta(days=days) for days in (-31, 90))
    form = "%Y-%m-%dT%H:%M:%SZ"
    return {"start_date_time": low.strftime(form), "end_date_time": high.strftime(form)}


def test_graph_client_reads_a_calendar_view_in_pages(served):
    async def work(client):
        listed = await client.me.calendars.get()
        own = next(calendar for calendar in listed.value if calendar.is_default_calendar)
        builder = client.me.calendars.by_calendar_id(own.id).calendar_view.delta
        return len(listed.value), await graph_round(builder, window_around_now())

    count, (items, delta_link, pages) = graph_run(served, work)

    kinds = {item.type for item in items}
    occurrences = [item for item in items if item.type is EventType.Occurrence]
    assert count == 2
    assert pages > 1
    assert delta_link.startswith(served.base_url)
    assert kinds == {EventType.SingleInstance, EventType.SeriesMaster, EventType.Occurrence, EventType.Exception}
    assert all(item.subject is None and item.series_master_id for item in occurrences)


def test_graph_client_creates_patches_and_deletes(served):
    start = datetime.now(UTC).replace(tzinfo=None, microsecond=0) + timedelta(days=2)

    async def work(client):
        own = await client.me.calendar.get()
        delta = client.me.calendars.by_calendar_id(own.id).calendar_view.delta
        _, link, _ = await graph_round(delta, window_around_now())
        made = await client.me.events.post(
            Event(
                subject="Written back",
                transaction_id="once-only",
                start=DateTimeTimeZone(date_time=start.isoformat(), time_zone="UTC"),
                end=DateTimeTimeZone(date_time=(start + timedelta(hours=1)).isoformat(), time_zone="UTC"),
            )
        )
        await client.me.events.by_event_id(made.id).patch(Event(subject="Renamed"))
        changed, link, _ = await graph_round(delta.with_url(link))
        await client.me.events.by_event_id(made.id).delete()
        gone, _, _ = await graph_round(delta.with_url(link))
        with pytest.raises(ODataError) as refused:
            await client.me.events.by_event_id(made.id).get()
        return made, changed, gone, refused.value

    made, changed, gone, refused = graph_run(served, work)

    assert [(item.id, item.subject) for item in changed] == [(made.id, "Renamed")]
    assert [(item.id, item.additional_data["@removed"]["reason"]) for item in gone] == [(made.id, "deleted")]
    assert (refused.response_status_code, refused.error.code) == (404, "ErrorItemNotFound")


def test_graph_client_subscribes_renews_and_unsubscribes(served):
    now = datetime.now(UTC).replace(microsecond=0)
    later = now + timedelta(days=6)

    async def work(client, url):
        asked = Subscription(
            change_type="created,updated,deleted",
            notification_url=f"{url}/hook",
            lifecycle_notification_url=f"{url}/life",
            resource="me/events",
            expiration_date_time=now + timedelta(days=1),
            client_state="state",
        )
        made = await client.subscriptions.post(asked)
        one = client.subscriptions.by_subscription_id(made.id)
        renewed = await one.patch(Subscription(expiration_date_time=later))
        await one.reauthorize.post()
        await client.me.events.post(event_at(now + timedelta(days=2)))
        listed = await client.subscriptions.get()
        await one.delete()
        with pytest.raises(ODataError) as gone:
            await one.get()
        return made, renewed, listed.value, gone.value

    with receiver() as hook:
        made, renewed, listed, gone = graph_run(served, lambda client: work(client, hook.url))
        (told,) = hook.wait_for(1)

    assert renewed.expiration_date_time == later
    assert [subscription.id for subscription in listed] == [made.id]
    assert json.loads(told.body)["value"][0]["subscriptionId"] == made.id
    assert gone.response_status_code == 404


def event_at(start):
    times = (start, start + timedelta(hours=1))
    begin, end = (DateTimeTimeZone(date_time=t.replace(tzinfo=None).isoformat(), time_zone="UTC") for t in times)
    return Event(subject="Told of", start=begin, end=end)
