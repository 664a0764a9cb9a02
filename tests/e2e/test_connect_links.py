"""An internal service sends a person here to connect an account, in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from playwright.sync_api import expect

from tests.e2e.walk import card, choose_account, decide, enter, expect_calendars_read
from tests.running_product import Product

ACCOUNT = "ada@example.com"


@dataclass
class Host:
    """The service's own site: remembers with what browsers come back to it."""

    uri: str
    came_back: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def host(product: Product) -> Iterator[Host]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/back":
                host.came_back.append({name: values[0] for name, values in parse_qs(parts.query).items()})
            body = b"<!doctype html><title>Host</title><link rel=icon href=data:,><h1>Back at the host</h1>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    host = Host(f"http://127.0.0.1:{server.server_port}/back")
    with product.database() as connection:
        connection.execute(
            "INSERT INTO service_return_uris SELECT id, %s, now() FROM services WHERE name = 'demo'", (host.uri,)
        )
    yield host
    with product.database() as connection:
        connection.execute("DELETE FROM service_return_uris")
    server.shutdown()
    thread.join()
    server.server_close()


def ask(product: Product, method: str, path: str = "", **body: object) -> dict[str, Any]:
    """Call the API of connect links as the service `demo`."""
    answer = requests.request(
        method, f"{product.public_url}/v1/connect-links{path}", json=body or None,
        auth=("demo", product.service_secret), timeout=30,
    )  # fmt: skip
    assert answer.ok, answer.text
    return answer.json()


def make(product: Product, host: Host, **changes: object) -> dict[str, Any]:
    wanted = {"provider": "google", "features": ["calendar.read"], "return_uri": host.uri, "completion": "host"}
    return ask(product, "POST", **wanted | changes)


def test_a_person_follows_a_link_and_the_host_completes_the_connection(page, product, host, watch):
    link = make(product, host)

    page.goto(link["connect_uri"])
    expect(page.get_by_role("heading", name="demo sent you here")).to_be_visible()
    assert link["connect_uri"] not in page.url
    page.get_by_role("button", name="Sign in with Acme").click()
    choose_account(page, ACCOUNT)
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("heading", name="demo asks you to connect an account")).to_be_visible()
    expect(page.get_by_text("Read your calendars")).to_be_visible()
    page.get_by_role("button", name="Continue to Google").click()
    decide(page, ACCOUNT)

    expect(page.get_by_role("heading", name="Back at the host")).to_be_visible()
    told = host.came_back[-1]
    assert told == {"connect_link": link["id"], "status": "connected", "connection_id": told["connection_id"]}
    state = ask(product, "GET", f"/{link['id']}")
    assert (state["state"], state["connection_id"]) == ("awaiting_completion", told["connection_id"])
    refused = product.exchange(told["connection_id"])
    assert (refused.status_code, refused.json()["reason"]) == (400, "awaiting_completion")
    page.goto(f"{product.public_url}/connections")
    expect(card(page, ACCOUNT).locator(".state")).to_have_text("Waiting for the service")

    assert ask(product, "POST", f"/{link['id']}/complete")["state"] == "connected"

    assert product.access_token(told["connection_id"])
    page.goto(f"{product.public_url}/connections")
    expect_calendars_read(page, ACCOUNT)
    watch.expected.add(410)
    page.goto(link["connect_uri"])
    expect(page.get_by_role("heading", name="This link has been used")).to_be_visible()


def test_saying_no_leads_back_to_the_host(page, product, ada, host):
    enter(page, ada)
    link = make(product, host)
    page.goto(link["connect_uri"])
    page.get_by_role("button", name="No, thanks").click()

    expect(page.get_by_role("heading", name="Back at the host")).to_be_visible()
    assert host.came_back == [{"connect_link": link["id"], "status": "declined"}]

    link = make(product, host)
    page.goto(link["connect_uri"])
    page.get_by_role("button", name="Continue to Google").click()
    decide(page, ACCOUNT, press="Cancel")

    expect(page.get_by_role("heading", name="Back at the host")).to_be_visible()
    assert host.came_back[1:] == [{"connect_link": link["id"], "status": "declined"}]
    assert product.rows("SELECT count(*) FROM connections") == [(0,)]
