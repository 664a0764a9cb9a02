"""Whether this process lives, and whether it is of use."""

from __future__ import annotations

from flask import Blueprint
from werkzeug.wrappers import Response

from app.web import current
from app.web.access import caller
from app.web.rendering import json_answer

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@caller("anyone")
def alive() -> Response:
    """Answer 200 while the process answers at all; ask nothing else: a restart never cured a database."""
    return json_answer({"status": "alive"})


@blueprint.get("/readyz")
@caller("anyone")
def ready() -> Response:
    """Answer 200 when everything needed is there, otherwise 503 with the codes of what is missing."""
    faults = current.services().health.ready()
    if faults:
        return json_answer({"status": "not_ready", "faults": list(faults)}, 503)
    return json_answer({"status": "ready", "faults": []})
