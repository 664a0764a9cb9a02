"""Whether this process lives, and whether it is of use."""

from __future__ import annotations

from typing import Literal

from flask import Blueprint
from typing_extensions import TypedDict
from werkzeug.wrappers import Response

from app.web import current
from app.web.access import caller
from app.web.api.openapi import Answer, Group, Operation
from app.web.rendering import json_answer

blueprint = Blueprint("health", __name__)


class Alive(TypedDict):
    """A sign of life."""

    status: Literal["alive"]


class Readiness(TypedDict):
    """Whether this process is of use."""

    status: Literal["ready", "degraded", "not_ready"]
    faults: list[str]
    """Codes of what is missing; empty when all is well."""


@blueprint.get("/healthz")
@caller("anyone")
@Operation(
    id="alive",
    group=Group.HEALTH,
    summary="Say whether this process lives",
    answers=(Answer(200, "It lives. Nothing else was asked.", Alive, {"status": "alive"}),),
)
def alive() -> Response:
    """Answer 200 while the process answers at all; ask nothing else: a restart never cured a database."""
    return json_answer({"status": "alive"})


@blueprint.get("/readyz")
@caller("anyone")
@Operation(
    id="ready",
    group=Group.HEALTH,
    summary="Say whether this process is of use",
    answers=(
        Answer(
            200,
            "It is, though perhaps slower than usual: `degraded`.",
            Readiness,
            {"status": "degraded", "faults": ["broker_unavailable"]},
        ),
        Answer(503, "Send no requests here now.", Readiness, {"status": "not_ready", "faults": ["store_unavailable"]}),
    ),
)
def ready() -> Response:
    """Answer 200 when this process is of use, otherwise 503; name what is missing either way."""
    health = current.services().health
    faults = health.ready()
    if faults:
        return json_answer({"status": "not_ready", "faults": list(faults)}, 503)
    slowed_by = health.slowed_by()
    return json_answer({"status": "degraded" if slowed_by else "ready", "faults": list(slowed_by)})
