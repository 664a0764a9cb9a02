"""The OpenAPI document against the running product, judged by schemathesis over HTTP.

Real PostgreSQL, Redis and sandbox; a service with a real Latchkey token; one connection that works and one that needs
its person. The judge gets a stricter document than callers do: objects in answers are closed, so that a member nobody
declared counts, and the ids of the seeded connections are what it may choose from, so that it meets real answers.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus
from uuid import uuid4

import pytest
import requests
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from app.domain.connections import Connection, Status
from app.domain.features import Feature
from app.web.api.token_request import CLIENT_CREDENTIALS, CONNECTION_TYPE, TOKEN_EXCHANGE
from app.web.application import create_app
from app.web.rendering import json_answer
from app.web.settings import WebSettings
from tests.faults.installation import Installation, installation

JUDGE = Path(sys.executable).with_name("schemathesis")
SERVICE = "judge"
SEED = 20
RETURN_URI = "https://assistant.example.com/connected"
# Valid data is often refused for good: policy, rates and people decide, not schemas. Hooks never say what is wrong.
# A form is read leniently as RFC 6749 section 3.2 wants it; JSON bodies stay under the check.
SETTINGS = """
[checks]
positive_data_acceptance.enabled = false
ensure_resource_availability.enabled = false

[[operations]]
include-name = "POST /oauth2/token"
checks.negative_data_rejection.enabled = false
headers = {{ Authorization = "{basic}" }}

[[operations]]
include-name = "POST /oauth2/revoke"
checks.negative_data_rejection.enabled = false

[[operations]]
include-tag = "Provider hooks"
checks.negative_data_rejection.enabled = false
"""


class Quiet(WSGIRequestHandler):
    """Keeps connections open, and the terminal clean."""

    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:
        """Say nothing: the product logs by itself."""


@dataclass
class Served:
    """The product on a free port of this machine."""

    place: Installation
    url: str
    app: Flask
    basic: str = field(repr=False)
    directory: Path
    answers: list[tuple[str, int, str | None]] = field(default_factory=list)
    """Path, status and ``error`` of every answer so far."""
    link_id: str = ""

    def bearer(self) -> str:
        form = {"grant_type": "client_credentials"}
        headers = {"Authorization": self.basic}
        answer = requests.post(f"{self.url}/oauth2/token", data=form, headers=headers, timeout=10)
        return f"Bearer {answer.json()['access_token']}"

    def document(self) -> dict[str, Any]:
        return requests.get(f"{self.url}/openapi.json", timeout=10).json()

    def link(self) -> str:
        """Return the id of a fresh connect link."""
        self.place.services.connect_links.allow_return(SERVICE, RETURN_URI)
        person = self.place.sign_in()
        wanted = {"person": {"id": str(person.id)}, "provider": "google", "features": ["calendar.read"]}
        headers = {"Authorization": self.basic}
        answer = requests.post(
            f"{self.url}/v1/connect-links", json=wanted | {"return_uri": RETURN_URI}, headers=headers, timeout=10
        )
        self.link_id = answer.json()["id"]
        return self.link_id

    def judge(self, document: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
        """Let the judge call every operation of the document; it answers 0 when nothing differs from it."""
        read, settings = self.directory / "openapi.json", self.directory / "judge.toml"
        read.write_text(json.dumps(document))
        settings.write_text(SETTINGS.format(basic=self.basic))
        command = [
            str(JUDGE), "--config-file", str(settings), "run", str(read), "--url", self.url, "--no-color",
            "--header", f"Authorization: {self.bearer()}", "--seed", str(SEED), "--warnings", "off", *options,
        ]  # fmt: skip
        return subprocess.run(command, cwd=self.directory, capture_output=True, text=True, check=False, timeout=100)


@pytest.fixture
def served(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Served]:
    with installation(tmp_path, database_url, redis_url) as place, serving(place, tmp_path) as made:
        yield made


@contextmanager
def serving(place: Installation, directory: Path) -> Iterator[Served]:
    secret = place.services.callers.registry.add(SERVICE, tuple(Feature), None, act_as=True).reveal()
    pair = f"{quote_plus(SERVICE)}:{quote_plus(secret)}"
    basic = f"Basic {base64.b64encode(pair.encode()).decode()}"

    def answer(environ, start_response):
        return watched(environ, start_response)

    # The address is known only once the server has its port, and the application needs the address.
    server = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=Quiet)
    url = f"http://127.0.0.1:{server.server_port}"
    app = create_app(place.services, WebSettings(url, place.services.csrf_key))
    made = Served(place, url, app, basic, directory)
    watched = watching(app, made.answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def watching(app, answers):
    """Wrap a WSGI application to write down what it answers."""

    def wrapped(environ, start_response):
        seen = {}

        def started(status, headers, *more):
            seen["status"] = int(status[:3])
            return start_response(status, headers, *more)

        parts = list(app(environ, started))
        body = b"".join(parts)
        error = json.loads(body).get("error") if body.startswith(b"{") else None
        answers.append((environ["PATH_INFO"], seen["status"], error))
        return parts

    return wrapped


def seeded(place: Installation) -> tuple[Connection, Connection]:
    """Return a connection that works and one whose grant the person has taken back."""
    person = place.sign_in()
    working, broken = place.connect("google", person), place.connect("microsoft", person)
    place.rows(
        "UPDATE connections SET status = %s, reason = 'revoked_by_user', status_since = now() WHERE id = %s",
        Status.NEEDS_RECONNECT.value,
        broken.id,
    )
    return working, broken


def synced_calendar(place: Installation, connection: Connection) -> str:
    """Return the id of a calendar that has been read."""
    place.services.calendar_lists.read(connection.id)
    calendar_id = place.calendars(connection.id)[0]
    place.services.calendar_sync.sync(calendar_id)
    return str(calendar_id)


def strict(
    document: dict[str, Any], connections: tuple[Connection, ...], link_id: str, calendar_id: str
) -> dict[str, Any]:
    """Close the objects of the document, and let the judge choose from what there is."""
    for schema in document["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    seed_bodies(document["components"]["schemas"], connections)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            seed_operation(path, operation, connections, link_id, calendar_id)
    return document


def seed_bodies(schemas: dict[str, Any], connections: tuple[Connection, ...]) -> None:
    ids, provider = [str(c.id) for c in connections], {"enum": [c.provider for c in connections]}
    form = schemas["TokenForm"]["properties"]
    form |= {"subject_token": {"enum": ids}, "audience": provider, "scope": {"enum": ["openid"]}}
    form["features"] = {"enum": [Feature.CALENDAR_READ.value, Feature.MAIL_SEND.value]}
    wanted = schemas["TokenRequest"]
    wanted["properties"] |= {"connection_id": {"enum": ids}, "provider": {"enum": [*provider["enum"], None]}}
    wanted["required"] = ["connection_id"]
    for name in ("person_id", "subject_token", "resource", "account"):
        del wanted["properties"][name]
    person = {"type": "object", "properties": {"id": {"enum": [str(connections[0].person_id)]}}, "required": ["id"]}
    link = schemas["ConnectLinkRequest"]
    link["properties"] |= {"person": person, "return_uri": {"enum": [RETURN_URI]}, "provider": provider}
    link["required"].append("person")


def seed_operation(
    path: str, operation: dict[str, Any], connections: tuple[Connection, ...], link_id: str, calendar_id: str
) -> None:
    for parameter in operation.get("parameters", []):
        if parameter["name"] == "link_id":
            parameter["schema"]["enum"] = [link_id]
        if parameter["name"] == "calendar_id":
            parameter["schema"]["enum"] = [calendar_id]
        if parameter["name"] == "user":
            parameter["schema"] |= {"items": {"enum": [str(connections[0].person_id)]}, "minItems": 1}
            parameter["required"] = True
        if parameter["name"] in {"from", "to"}:
            at = datetime.now(UTC) + timedelta(days=14 if parameter["name"] == "to" else -14)
            parameter["schema"]["enum"] = [at.isoformat()]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        # Those of the document are about somebody else's connections.
        content.pop("example", None)
        if path == "/oauth2/token":
            content["examples"] = token_examples([str(c.id) for c in connections])


def token_examples(ids: list[str]) -> dict[str, Any]:
    exchange = {"grant_type": TOKEN_EXCHANGE, "subject_token_type": CONNECTION_TYPE}
    examples = [*(exchange | {"subject_token": one} for one in ids), {"grant_type": CLIENT_CREDENTIALS}]
    return {str(number): {"value": value} for number, value in enumerate(examples)}


def test_the_running_product_answers_as_its_document_says(served):
    connections = seeded(served.place)
    calendar_id = synced_calendar(served.place, connections[0])
    document = strict(served.document(), connections, served.link(), calendar_id)

    verdict = served.judge(document, "--phases", "examples,coverage,fuzzing", "--max-examples", "10")

    assert verdict.returncode == 0, verdict.stdout[-12000:] + verdict.stderr[-2000:]
    seen = set(served.answers)
    assert seen >= {
        ("/oauth2/token", 200, None),
        ("/oauth2/token", 400, "interaction_required"),
        ("/oauth2/revoke", 200, None),
        ("/v1/tokens", 200, None),
        ("/v1/tokens", 400, "interaction_required"),
        ("/v1/tokens/explain", 200, None),
        ("/v1/connections", 200, None),
        ("/v1/calendars", 200, None),
        (f"/v1/calendars/{calendar_id}.ics", 200, None),
        ("/v1/events", 200, None),
        ("/v1/changes", 200, None),
        ("/v1/connect-links", 201, None),
        (f"/v1/connect-links/{served.link_id}", 200, None),
    }
    assert {path for path, _, _ in seen} >= {path for path in document["paths"] if "{" not in path}


def test_planted_undocumented_answers_are_found(served):
    planted = {
        "health.alive": lambda: json_answer({"status": "alive"}, 203),
        "health.ready": lambda: "ready",
        "listing.connections": lambda: json_answer({"connections": [], "planted": 1}),
    }
    document = strict(served.document(), seeded(served.place), served.link(), str(uuid4()))
    for endpoint, view in planted.items():
        # Who may call stays declared, or the route would serve nobody.
        vars(view).update(vars(served.app.view_functions[endpoint]))
        served.app.view_functions[endpoint] = view

    operations = [part for name in ("alive", "ready", "list_connections") for part in ("--include-operation-id", name)]
    verdict = served.judge(document, "--phases", "fuzzing", "--max-examples", "2", *operations)

    assert verdict.returncode == 1, verdict.stdout[-4000:]
    for found in ("Undocumented status code: 1", "Undocumented Content-Type: 1", "Response violates schema: 1"):
        assert found in verdict.stdout, verdict.stdout[-8000:]
