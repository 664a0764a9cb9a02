"""``/openapi.json`` for programs and ``/docs`` for people, both from the one document; and the document by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from flask import Blueprint, current_app, make_response
from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict
from werkzeug.wrappers import Response

from app.web import current
from app.web.access import JSON, caller
from app.web.api.error_registry import ErrorAnswer
from app.web.api.openapi import Answer, Group, Operation
from app.web.api.openapi_document import document
from app.web.api.reference import sections, with_code
from app.web.api.reference_schemas import shapes_of
from app.web.rendering import page

blueprint = Blueprint("documentation", __name__)

_DOCUMENT = "latchkey.openapi"


@with_config(ConfigDict(extra="allow"))
class OpenAPIDocument(TypedDict):
    """OpenAPI Specification 3.1, which has more members."""

    openapi: str
    info: dict[str, object]
    paths: dict[str, object]


@blueprint.get("/openapi.json")
@caller("anyone")
@Operation(
    id="openapi",
    group=Group.DISCOVERY,
    summary="Read this interface as an OpenAPI 3.1 document",
    answers=(Answer(200, "The document.", OpenAPIDocument),),
)
def openapi() -> Response:
    """Send the document."""
    answer = make_response(as_json(_built()))
    answer.headers["Content-Type"] = JSON
    return answer


@blueprint.get("/docs")
@caller("anyone")
def reference() -> Response:
    """Show the same document to people."""
    built = _built()
    return page(
        "reference.html",
        document=built,
        sections=sections(built),
        error_shapes=shapes_of(built, built["components"]["schemas"][ErrorAnswer.__name__]),
        with_code=with_code,
        registry=built["x-error-registry"],
    )


def as_json(built: Mapping[str, Any]) -> str:
    """Return the document as it is sent and printed."""
    return json.dumps(built, indent=2, ensure_ascii=False) + "\n"


def _built() -> Mapping[str, Any]:
    """Return the document, built at the first request; two at once build it twice and alike."""
    if _DOCUMENT not in current_app.extensions:
        current_app.extensions[_DOCUMENT] = document(current_app, current.settings().public_url)
    return cast("Mapping[str, Any]", current_app.extensions[_DOCUMENT])
