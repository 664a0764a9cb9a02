"""Other people's HTTP libraries, authorized by the client."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import UTC, datetime

import httpx
import pytest
import requests
from azure.core.credentials import TokenCredential
from azure.core.credentials_async import AsyncTokenCredential
from google.auth.transport.requests import AuthorizedSession
from google.auth.transport.requests import Request as GoogleRequest

from fake_latchkey import ADA, SECRET
from latchkey_client import AsyncLatchkeyClient, TokenRequest
from latchkey_client.azure_core import AsyncAzureCredential, AzureCredential
from latchkey_client.google_auth import GoogleCredentials
from latchkey_client.httpx_auth import AsyncHttpxAuth, HttpxAuth
from latchkey_client.requests_auth import RequestsAuth

WANTED = TokenRequest(ADA, "google", features=("calendar.read",))


@pytest.fixture
def api(latchkey):
    return f"{latchkey.url}/api/calendars"


@pytest.fixture
def session(client):
    with requests.Session() as session:
        session.trust_env = False
        session.auth = RequestsAuth(client, WANTED)
        yield session


def tokens_seen(latchkey):
    return [asked.headers.get("authorization") for asked in latchkey.api_calls()]


def kill(latchkey, client):
    """Let the provider refuse the token that the client holds."""
    token = client.token_for(WANTED)
    latchkey.dead.add(token.value)
    return token


# --- requests


def test_requests_repeats_a_refused_call_once_with_another_token(latchkey, client, session, api):
    dead = kill(latchkey, client)

    answer = session.post(api, data=b"12345", timeout=5)

    assert (answer.status_code, answer.json()["length"]) == (200, 5)
    assert answer.json()["token"] != dead.value
    assert [response.status_code for response in answer.history] == [401]
    assert latchkey.exchanges()[-1].form["rejected_token_sha256"] == dead.sha256()


def test_requests_sends_a_file_again_from_where_it_began(latchkey, client, session, api):
    kill(latchkey, client)
    file = io.BytesIO(b"skipped|12345")
    file.seek(8)

    assert session.post(api, data=file, timeout=5).json()["length"] == 5


def test_requests_gives_up_after_the_second_refusal(latchkey, client, session, api):
    kill(latchkey, client)
    latchkey.dead.update(f"token-{number}" for number in range(20))

    assert session.get(api, timeout=5).status_code == 401
    assert len(tokens_seen(latchkey)) == 2


def test_requests_gives_no_token_to_where_a_redirect_leads(latchkey, session, api):
    answer = session.get(f"{latchkey.url}/api/elsewhere", timeout=5)

    assert answer.status_code == 401
    assert [bool(seen) for seen in tokens_seen(latchkey)] == [True, False]


# --- httpx


def test_httpx_repeats_a_refused_call_once_with_another_token(latchkey, client, api):
    dead = kill(latchkey, client)
    with httpx.Client(auth=HttpxAuth(client, WANTED), trust_env=False) as http:
        answer = http.post(api, content=b"12345")

    assert (answer.status_code, answer.json()["length"]) == (200, 5)
    assert len(tokens_seen(latchkey)) == 2
    assert latchkey.exchanges()[-1].form["rejected_token_sha256"] == dead.sha256()


def test_httpx_repeats_a_refused_call_in_asyncio(latchkey, api):
    async def work():
        async with AsyncLatchkeyClient(latchkey.url, SECRET) as client:
            latchkey.dead.add((await client.token_for(WANTED)).value)
            async with httpx.AsyncClient(auth=AsyncHttpxAuth(client, WANTED), trust_env=False) as http:
                return await http.get(api)

    assert asyncio.run(work()).status_code == 200
    assert len(tokens_seen(latchkey)) == 2


def test_httpx_gives_up_after_the_second_refusal(latchkey, client, api):
    latchkey.dead.update(f"token-{number}" for number in range(20))
    with httpx.Client(auth=HttpxAuth(client, WANTED), trust_env=False) as http:
        assert http.get(api).status_code == 401

    assert len(tokens_seen(latchkey)) == 2


def test_httpx_wants_the_client_that_fits(latchkey, client, api):
    auth = AsyncHttpxAuth(AsyncLatchkeyClient(latchkey.url, SECRET), WANTED)

    with httpx.Client(auth=auth) as http, pytest.raises(TypeError, match="HttpxAuth"):
        http.get(api)


# --- google-auth


@pytest.fixture
def google(client):
    credentials = GoogleCredentials(client, WANTED)
    with AuthorizedSession(credentials, auth_request=GoogleRequest(requests.Session())) as session:
        session.trust_env = False
        yield session


def test_google_takes_expiry_and_validity(latchkey, client, google, api):
    assert google.get(api).status_code == 200

    credentials = google.credentials
    assert credentials.valid
    assert credentials.expiry.tzinfo is None
    assert abs((credentials.expiry - datetime.now(UTC).replace(tzinfo=None)).total_seconds() - 3600) < 30
    assert latchkey.exchanges()[0].form["min_validity"] == "240"
    assert credentials.token not in repr(credentials)


def test_google_reports_the_token_of_a_refused_call(latchkey, google, api):
    google.get(api)
    latchkey.dead.add(dead := google.credentials.token)

    assert google.get(api).status_code == 200
    assert google.credentials.token != dead
    assert "rejected_token_sha256" in latchkey.exchanges()[-1].form


def test_google_renews_an_ending_token_without_calling_it_rejected(latchkey, google, api):
    latchkey.expires_in = 200
    google.get(api)

    google.get(api)

    assert len(latchkey.exchanges()) == 2
    assert "rejected_token_sha256" not in latchkey.exchanges()[-1].form


def test_google_does_not_reject_a_token_that_replaced_the_refused_one(latchkey, client, google, api):
    google.get(api)
    latchkey.dead.add(google.credentials.token)
    other = GoogleCredentials(client, WANTED)
    client.rejected(google.credentials._current)
    # What another thread with the same credentials does after its own refusal.
    google.credentials._current = replaced = client.token_for(WANTED)
    google.credentials.token = replaced.value

    google.credentials.refresh(GoogleRequest(requests.Session()))
    other.refresh(GoogleRequest(requests.Session()))

    assert google.credentials.token == other.token == replaced.value
    assert len(latchkey.exchanges()) == 2


# --- azure-core


def test_azure_takes_it_for_its_own(latchkey, client):
    credential = AzureCredential(client, WANTED)

    token = credential.get_token("https://graph.microsoft.com/.default", enable_cae=True)

    assert isinstance(credential, TokenCredential)
    assert token.token.startswith("token-")
    assert abs(token.expires_on - datetime.now(UTC).timestamp() - 3600) < 30
    assert credential.get_token("https://graph.microsoft.com/.default") == token
    assert len(latchkey.exchanges()) == 1


def test_azure_gets_another_token_for_a_challenge(latchkey, client):
    credential = AzureCredential(client, WANTED)
    first = credential.get_token("scope", claims=json.dumps({"access_token": {}}))

    second = credential.get_token("scope", claims=json.dumps({"access_token": {"nbf": {"value": "1"}}}))

    assert second.token != first.token
    assert ["rejected_token_sha256" in asked.form for asked in latchkey.exchanges()] == [False, True]


def test_azure_in_asyncio(latchkey):
    async def work():
        async with AsyncLatchkeyClient(latchkey.url, SECRET) as client, AsyncAzureCredential(client, WANTED) as made:
            assert isinstance(made, AsyncTokenCredential)
            first = await made.get_token("scope")
            return first, await made.get_token("scope"), await made.get_token("scope", claims="{}")

    first, again, another = asyncio.run(work())

    assert first == again
    assert another.token != first.token
