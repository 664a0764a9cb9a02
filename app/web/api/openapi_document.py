"""One OpenAPI 3.1 document from the routes and what their views declare. Built once, at the first request for it.

Source: OpenAPI Specification 3.1.1; schemas are JSON Schema 2020-12.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from flask import Flask
from werkzeug.routing import Rule

from app.web.access import FORM, JSON, declaration
from app.web.api.error_registry import CODES, REASONS
from app.web.api.openapi import Group, Operation, Parameter, operation_of
from app.web.api.openapi_answers import HEADERS, responses
from app.web.api.openapi_schemas import Schemas
from app.web.api.openapi_security import SCHEMES, requirements

JSONObject = dict[str, object]

VERSION = "0.1.0"
"""Of the document: that of the product."""
_INTRODUCTION = (
    "Latchkey keeps the access that people lent to internal services and hands it out under policy. "
    "A service proves who it is, says whose account it needs and what for, and gets a provider access token that "
    "works, or an answer that says why not and what to do.\n\n"
    "Every error of `/oauth2` and `/v1` has the same form; `error` decides what the caller does. "
    "Nothing between may store an answer (`Cache-Control: no-store`), except where an operation says so."
)
_GROUPS: Mapping[Group, str] = {
    Group.TOKENS: "Provider access tokens for services, and Latchkey tokens to call this interface with.",
    Group.CONNECTIONS: "What people have connected, as far as policy lets the service know of it.",
    Group.CALENDARS: "People's calendars, from the copy that is kept here.",
    Group.CONNECT_LINKS: "Links a service sends a person to, so that they connect an account.",
    Group.DISCOVERY: "What programs can find out by themselves.",
    Group.HOOKS: "Where providers announce changes. Not for services: every call must prove itself.",
    Group.HEALTH: "For whoever keeps this installation running.",
}


@dataclass(frozen=True, slots=True)
class Route:
    """One rule of the application with the contract of its view."""

    rule: Rule
    method: str
    who: str
    operation: Operation

    @property
    def path(self) -> str:
        """Return the path as OpenAPI writes it: ``/things/{thing_id}``."""
        return re.sub(r"<(?:[^<>:]+:)?([^<>]+)>", r"{\1}", self.rule.rule)


def routes(app: Flask) -> tuple[Route, ...]:
    """Return every route whose view declares an operation, by group and path."""
    order = list(Group)
    return tuple(sorted(_declared(app), key=lambda r: (order.index(r.operation.group), r.path, r.method)))


def document(app: Flask, server_url: str) -> JSONObject:
    """Return the document; raises ``ValueError`` when declarations contradict each other."""
    found = routes(app)
    schemas = Schemas(route.operation for route in found)
    paths: dict[str, JSONObject] = {}
    for route in found:
        if route.method.lower() in paths.setdefault(route.path, {}):
            raise ValueError(f"{route.method} {route.path} is declared twice")
        paths[route.path][route.method.lower()] = _operation(route, schemas)
    _refuse_doubled_ids(found)
    used = {route.operation.group for route in found}
    return {
        "openapi": "3.1.1",
        "info": {"title": "Latchkey", "version": VERSION, "description": _INTRODUCTION},
        "servers": [{"url": server_url}],
        "tags": [{"name": group.value, "description": words} for group, words in _GROUPS.items() if group in used],
        "paths": paths,
        "components": {
            "schemas": schemas.components(),
            "headers": HEADERS,
            "securitySchemes": SCHEMES,
        },
        "x-error-registry": {
            "codes": {code: asdict(entry) for code, entry in CODES.items()},
            "reasons": {reason: asdict(entry) for reason, entry in REASONS.items()},
        },
    }


def _declared(app: Flask) -> Iterator[Route]:
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        operation, access = operation_of(view), declaration(view)
        if operation is not None and access is not None:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield Route(rule, method, access.who, operation)


def _refuse_doubled_ids(found: tuple[Route, ...]) -> None:
    ids = [route.operation.id for route in found]
    doubled = sorted({name for name in ids if ids.count(name) > 1})
    if doubled:
        raise ValueError(f"operation ids are used twice: {', '.join(doubled)}")


def _operation(route: Route, schemas: Schemas) -> JSONObject:
    operation = route.operation
    made: JSONObject = {
        "operationId": operation.id,
        "tags": [operation.group.value],
        "summary": operation.summary,
        "responses": responses(route.who, operation, schemas, varies=bool(route.rule.arguments)),
        "security": requirements(operation.security) if route.who == "service" else [],
    }
    if operation.description:
        made["description"] = operation.description
    parameters = [*_path_parameters(route.rule), *map(_parameter, operation.parameters)]
    if parameters:
        made["parameters"] = parameters
    kind = operation.body or operation.form
    if kind is not None:
        content: JSONObject = {"schema": schemas.of(kind)}
        if operation.example is not None:
            content["example"] = dict(operation.example)
        # Providers also call without one, to prove an address.
        is_required = route.who != "provider"
        made["requestBody"] = {"required": is_required, "content": {JSON if operation.body else FORM: content}}
    return made


def _path_parameters(rule: Rule) -> Iterator[JSONObject]:
    for name in sorted(rule.arguments):
        is_uuid = f"<uuid:{name}>" in rule.rule
        schema = {"type": "string", "format": "uuid"} if is_uuid else {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _parameter(parameter: Parameter) -> JSONObject:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.is_required,
        "description": parameter.description,
        "schema": dict(parameter.schema),
    }
