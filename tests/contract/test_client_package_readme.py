"""The examples in the client package's README, as they stand there, against the running product and its sandbox.

Nothing but addresses and the name of the service is put in their place.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from msgraph import GraphServiceClient
from msgraph.graph_request_adapter import GraphRequestAdapter

from latchkey_client import AsyncLatchkeyClient, ClientSecret

# Warned about inside the SDK, when it loads its own request builders.
pytestmark = [
    pytest.mark.filterwarnings("ignore:GetQueryParameters is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This class is deprecated:DeprecationWarning"),
]

README = Path(__file__).resolve().parents[2] / "clients" / "python" / "README.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
PLACES = {
    '"https://latchkey.example.com"': "latchkey_url",
    '"planner"': '"demo"',
    '"https://www.googleapis.com/calendar': 'sandbox_url + "/calendar',
    'build("calendar", "v3", ': 'build("calendar", "v3", client_options=sandbox_options, ',
    "GraphServiceClient(AsyncAzureCredential": "sandbox_graph(AsyncAzureCredential",
    "GraphServiceClient(request_adapter=": "sandbox_graph(",
}


def in_place(example):
    for text, put in PLACES.items():
        example = example.replace(text, put)
    return example


def sandbox_graph(product):
    """Return a function that makes a Graph client of the sandbox, of a credential or of an adapter."""

    def make(given):
        adapter = given
        if not isinstance(given, GraphRequestAdapter):
            adapter = GraphRequestAdapter(AzureIdentityAuthenticationProvider(given, allowed_hosts=["127.0.0.1"]))
        adapter.base_url = f"{product.sandbox_url}/v1.0"
        return GraphServiceClient(request_adapter=adapter)

    return make


@pytest.fixture
def names(product):
    """What the examples take for given."""
    person = product.http()
    person.sign_in("acme", "farid")
    return {
        "latchkey_url": product.public_url,
        "sandbox_url": product.sandbox_url,
        "sandbox_options": {"api_endpoint": f"{product.sandbox_url}/calendar/v3/"},
        "sandbox_graph": sandbox_graph(product),
        "secret": product.service_secret,
        "connection_id": person.connect("google", "ada-home", "calendar.read"),
        "graph_connection_id": person.connect("microsoft", "chiara", "calendar.read"),
    }


def test_every_example_runs(product, names, capsys):
    for number, example in enumerate(EXAMPLES):
        exec(compile(in_place(example), f"example {number}", "exec"), names)  # noqa: S102 - our own README

    async def in_asyncio():
        async with AsyncLatchkeyClient(product.public_url, ClientSecret("demo", product.service_secret)) as client:
            return [
                await names["fetch"](),
                await names["read_events"](client),
                await names["read_events_with_repair"](client),
            ]

    fetched, events, repaired = asyncio.run(in_asyncio())
    names["client"].close()
    printed = capsys.readouterr().out

    assert fetched == names["token"].value
    assert [event.subject for event in events] == [event.subject for event in repaired]
    assert len(events) > 0
    # Of the explanation and of the refusal, of requests and of httpx, of Google's library.
    assert printed.count("scope_insufficient") == 2
    assert printed.count("calendar#calendarList'") == 2
    assert printed.count("'calendar#event'") > 0
    assert fetched not in printed
