"""What internal services get over HTTP, with the tools they have."""

from __future__ import annotations

import json
import subprocess
import time

import requests

from tests.running_product import eventually

LIFETIME_S = 5


def calendar_list(product, access_token):
    url = f"{product.sandbox_url}/calendar/v3/users/me/calendarList"
    return requests.get(url, headers={"Authorization": f"Bearer {access_token}"}, timeout=10)


def test_the_printed_curl_line_fetches_a_token_that_the_provider_accepts(product, ada):
    connection_id = ada.connect("google", "ada")

    done = subprocess.run(["bash", "-c", product.curl], capture_output=True, text=True, timeout=30, check=True)

    answer = json.loads(done.stdout)
    assert answer["connection_id"] == connection_id
    assert answer["token_type"] == "Bearer"
    assert 60 <= answer["expires_in"] <= 90
    names = [entry["summary"] for entry in calendar_list(product, answer["access_token"]).json()["items"]]
    assert names == ["ada@example.com", "Family", "Holidays"]


def test_a_connection_outlives_its_tokens(product, ada):
    product.control("settings", access_token_lifetime_s=LIFETIME_S)
    connection_id = ada.connect("google", "bruno")
    ends_at = time.monotonic() + 2.2 * LIFETIME_S
    tokens = set()

    while time.monotonic() < ends_at:
        answer = product.exchange(connection_id, min_validity=2)
        assert answer.status_code == 200, answer.text
        assert answer.json()["expires_in"] >= 1
        assert calendar_list(product, answer.json()["access_token"]).status_code == 200
        tokens.add(answer.json()["access_token"])
        time.sleep(0.3)

    assert len(tokens) >= 3
    refreshes = [entry for entry in product.sandbox_log("google.token") if is_refresh(entry)]
    # One call for each new token and none beside them.
    assert len(refreshes) <= len(tokens) + 1
    at_once = [row["max_in_flight"] for row in product.control("log", "GET")["counts"] if "token" in row["operation"]]
    assert set(at_once) == {1}


def is_refresh(entry):
    return entry["parameters"].get("grant_type") == "refresh_token"


def test_a_token_that_was_rejected_is_replaced_at_once(product, ada):
    connection_id = ada.connect("microsoft", "chiara")
    first = product.access_token(connection_id)
    product.control("grants/expire", provider="microsoft", account="chiara")
    product.let_tokens_age()

    again = product.access_token(connection_id, rejected=first)

    assert again != first
    me = f"{product.sandbox_url}/v1.0/me"
    assert requests.get(me, headers={"Authorization": f"Bearer {first}"}, timeout=10).status_code == 401
    assert requests.get(me, headers={"Authorization": f"Bearer {again}"}, timeout=10).status_code == 200


def test_a_service_token_lists_connections_and_gets_no_token(product, ada):
    connection_id = ada.connect("google", "ada")
    issued = product.service("/oauth2/token", grant_type="client_credentials")
    assert issued.status_code == 200
    assert issued.headers["Cache-Control"] == "no-store"
    bearer = {"Authorization": f"Bearer {issued.json()['access_token']}"}

    listed = requests.get(f"{product.public_url}/v1/connections", headers=bearer, timeout=10)

    assert [item["id"] for item in listed.json()["connections"]] == [connection_id]
    assert listed.json()["connections"][0]["features"] == ["calendar.freebusy", "calendar.read", "identity"]
    url = f"{product.public_url}/oauth2/token"
    again = requests.post(url, headers=bearer, data={"grant_type": "client_credentials"}, timeout=10)
    assert again.status_code == 401


def test_a_wrong_secret_gets_nothing(product, ada):
    ada.connect("google", "ada")

    answer = requests.get(f"{product.public_url}/v1/connections", auth=("demo", "wrong"), timeout=10)

    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"
    assert "example.com" not in answer.text


def test_nothing_that_was_handed_out_is_in_the_output_of_the_product(product, ada):
    connection_id = ada.connect("google", "ada")
    token = product.access_token(connection_id)
    eventually(lambda: "/oauth2/token" in product.log(), within_s=5, what="the request in the log")

    log = product.log()

    # The secret of the demonstration is printed for people to copy, and never again.
    assert log.count(product.service_secret) == product.curl.count(product.service_secret)
    assert token not in log
    for cookie in ada.browser.cookies:
        assert cookie.value not in log
