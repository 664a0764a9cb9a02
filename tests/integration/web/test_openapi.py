"""The OpenAPI document: complete, valid, one with the registry of errors; and the page made from it."""

import ast
import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Annotated

import jsonschema
import pytest
from openapi_spec_validator import validate
from typing_extensions import TypedDict

from app.domain.connections import Reason
from app.web.access import caller, declaration
from app.web.api.error_registry import CODES, REASONS
from app.web.api.openapi import Answer, Group, Operation, operation_of
from app.web.api.openapi_document import VERSION, document, routes
from app.web.application import rules
from app.web.errors import OUTCOMES, ErrorCode
from tests.integration.web.conftest import PUBLIC_URL

ROOT = Path(__file__).parents[3]
PAGES = ("app.web.pages.", "app.web.assets")
PAGE_OF_THE_DOCUMENT = "documentation.reference"


def undocumented(app):
    """Return the routes for programs that the document leaves out."""
    return [
        rule.rule
        for rule in rules(app)
        if operation_of(view := app.view_functions[rule.endpoint]) is None
        and not (declaration(view).who in {"person", "anyone"} and view.__module__.startswith(PAGES))
        and rule.endpoint != PAGE_OF_THE_DOCUMENT
    ]


@pytest.fixture
def described(app):
    return document(app, PUBLIC_URL)


@pytest.fixture
def planted(app):
    """Return a function that adds a route for services."""

    def plant(path, operation=None, endpoint="planted"):
        def view():
            return "answer"

        app.add_url_rule(path, endpoint, caller("service")(operation(view) if operation else view))

    return plant


def test_every_route_for_programs_is_in_the_document(app, described):
    methods = {(path, method.upper()) for path, operations in described["paths"].items() for method in operations}

    assert undocumented(app) == []
    assert methods == {(route.path, route.method) for route in routes(app)}
    assert {"/oauth2/token", "/v1/tokens", "/v1/connections", "/hooks/google", "/healthz"} <= set(described["paths"])


def test_a_planted_route_without_a_contract_is_found(app, planted):
    planted("/v1/planted")

    assert undocumented(app) == ["/v1/planted"]


def test_the_document_names_only_routes_that_are_there(app, described):
    adapter = app.url_map.bind("latchkey.example.test")

    for path, operations in described["paths"].items():
        filled = re.sub(r"\{\w+_id\}", "33333333-3333-4333-8333-333333333333", path)
        assert "{" not in filled
        for method, operation in operations.items():
            endpoint, _ = adapter.match(filled, method=method.upper())
            assert operation_of(app.view_functions[endpoint]).id == operation["operationId"]


def test_the_document_is_valid_openapi(described):
    validate(described)

    assert described["openapi"].startswith("3.1.")


def test_a_flaw_would_be_noticed(described):
    described["components"]["securitySchemes"] = None

    with pytest.raises(Exception, match="securitySchemes"):
        validate(described)


def examples(described):
    """Yield every example with the schema it belongs to."""
    for operations in described["paths"].values():
        for operation in operations.values():
            for part in (operation.get("requestBody", {}), *operation["responses"].values()):
                for content in part.get("content", {}).values():
                    if "example" in content:
                        yield operation["operationId"], content["schema"], content["example"]


def test_examples_are_what_their_schemas_say(described):
    found = list(examples(described))

    for _, schema, example in found:
        whole = schema | {"components": described["components"]}
        jsonschema.Draft202012Validator(whole).validate(json.loads(json.dumps(example)))
    assert len(found) > 8


def test_every_body_that_a_service_sends_has_an_example(described):
    without = [
        operation["operationId"]
        for path, operations in described["paths"].items()
        for operation in operations.values()
        if not path.startswith("/hooks/")
        for content in operation.get("requestBody", {}).get("content", {}).values()
        if "example" not in content
    ]

    assert without == []


def test_operations_say_enough_for_a_stranger(described):
    for operations in described["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert not operation["summary"].endswith(".")
            assert all(answer["description"] for answer in operation["responses"].values())
            assert any(status.startswith("2") for status in operation["responses"])


def test_services_prove_themselves_and_are_told_when_to_come_back(described):
    for path, operations in described["paths"].items():
        for operation in operations.values():
            is_for_services = path.startswith("/v1/") or path in {"/oauth2/token", "/oauth2/revoke"}
            assert bool(operation["security"]) == is_for_services, path
            if is_for_services:
                assert "WWW-Authenticate" in operation["responses"]["401"]["headers"]
                assert "Retry-After" in operation["responses"]["503"]["headers"]
                assert "Retry-After" in operation["responses"]["429"]["headers"]


# --- what contradicts itself is refused when the document is made


def contract(name="planted", **members):
    return Operation(id=name, group=Group.HEALTH, summary="Plant", **{"answers": (Answer(200, "Planted."),), **members})


def test_two_operations_of_one_name_are_refused(app, planted):
    planted("/v1/planted", contract("alive"))

    with pytest.raises(ValueError, match="used twice: alive"):
        document(app, PUBLIC_URL)


def test_a_status_with_and_without_an_error_is_refused(app, planted):
    errors = {200: (ErrorCode.NOT_FOUND,)}
    planted("/v1/planted", contract(errors=errors))

    with pytest.raises(ValueError, match="planted answers 200 with and without an error"):
        document(app, PUBLIC_URL)


def test_two_schemas_of_one_name_are_refused(app, planted):
    alive = TypedDict("Alive", {"planted": Annotated[int, "Not the other one."]})  # noqa: UP013  # made in a test
    planted("/v1/planted", contract(answers=(Answer(200, "Planted.", alive),)))

    with pytest.raises(ValueError, match="share a name"):
        document(app, PUBLIC_URL)


# --- one registry of errors


def reasons_given_in_place():
    """Return the reasons that views name where they refuse, as text in the source."""
    for path in (ROOT / "app" / "web").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "reason" and isinstance(node.value, ast.Constant):
                yield node.value.value


def test_every_code_and_reason_has_its_words():
    reasons = {outcome.reason for outcome in OUTCOMES.values()} | set(Reason) | set(reasons_given_in_place())

    assert set(CODES) == set(ErrorCode)
    assert reasons - {None} - set(REASONS) == set()
    assert {"policy"} <= set(reasons_given_in_place())


def test_the_document_carries_the_registry(described):
    registry = described["x-error-registry"]

    assert registry["codes"]["interaction_required"]["action"].startswith("Show the person")
    assert set(described["components"]["schemas"]["ErrorAnswer"]["properties"]["error"]["enum"]) == set(ErrorCode)
    assert set(registry["reasons"]) == set(REASONS)


# --- how it is read


def test_the_document_is_served_to_everybody(client):
    answer = client.get("/openapi.json", base_url=PUBLIC_URL)

    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    assert answer.json["servers"] == [{"url": PUBLIC_URL}]


def test_the_document_is_built_once(app, client):
    first = client.get("/openapi.json", base_url=PUBLIC_URL).data
    kept = app.extensions["latchkey.openapi"]

    assert client.get("/openapi.json", base_url=PUBLIC_URL).data == first
    assert app.extensions["latchkey.openapi"] is kept


def test_the_page_shows_every_operation_and_every_code(client, described):
    answer = client.get("/docs", base_url=PUBLIC_URL)
    text = unescape(answer.get_data(as_text=True))

    assert answer.status_code == 200
    for path, operations in described["paths"].items():
        assert path in text
        assert all(operation["summary"] in text for operation in operations.values())
    for name, entry in (*CODES.items(), *REASONS.items()):
        assert f"<code>{name}</code>" in text
        assert entry.meaning.split("`")[0] in text


def test_the_page_needs_nothing_from_elsewhere(client):
    text = client.get("/docs", base_url=PUBLIC_URL).get_data(as_text=True)

    assert "<script" not in text
    assert "style=" not in text
    assert "``" not in text


def test_the_page_shows_how_to_call(client):
    text = unescape(client.get("/docs", base_url=PUBLIC_URL).get_data(as_text=True))

    assert f"curl {PUBLIC_URL}/oauth2/token" in text
    assert '-u "$SERVICE_NAME:$SERVICE_SECRET"' in text
    assert f'curl "{PUBLIC_URL}/v1/connect-links/$LINK_ID"' in text
    assert "--data-urlencode subject_token_type=urn:latchkey:params:oauth:token-type:connection" in text


def test_the_command_prints_the_document_without_any_configuration():
    ours = ("DATABASE_URL", "REDIS_URL", "HOST", "PORT")
    environment = {k: v for k, v in os.environ.items() if k not in ours and not k.startswith("LATCHKEY_")}
    command = [sys.executable, "-m", "app.cli", "openapi"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60)

    printed = json.loads(done.stdout)

    validate(printed)
    assert printed["servers"] == [{"url": "/"}]


def test_the_document_has_the_version_of_the_product():
    assert f'\nversion = "{VERSION}"\n' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
