"""Our own style sheet, script and icon, with addresses that change when they do."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flask import Blueprint, send_from_directory
from werkzeug.wrappers import Response

from app.web.access import caller

blueprint = Blueprint("assets", __name__)

_FOLDER = Path(__file__).parent / "static"
_KEEP_S = 365 * 24 * 3600


@blueprint.get("/static/<name>")
@caller("anyone")
def asset(name: str) -> Response:
    """Send one file; browsers keep it, because its address names its content."""
    return send_from_directory(_FOLDER, name, max_age=_KEEP_S)


def asset_addresses() -> dict[str, str]:
    """Return file name to address with a digest of the content."""
    return {
        path.name: f"/static/{path.name}?v={hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
        for path in sorted(_FOLDER.iterdir())
    }
