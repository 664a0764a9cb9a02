"""``latchkey openapi``: print the OpenAPI document of this version; needs neither a configuration nor a database.

A program of its own, so that no other command loads the web edge.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from flask import Flask

from app.web.api.documentation import as_json
from app.web.api.openapi_document import document
from app.web.application import register_routes


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the document; its server is LATCHKEY_PUBLIC_URL when that is set, otherwise wherever it is read from."""
    summary = "Print the OpenAPI 3.1 document of the interface for services."
    argparse.ArgumentParser(prog="latchkey openapi", description=summary).parse_args(arguments)
    app = Flask("app.web", static_folder=None)
    register_routes(app)
    sys.stdout.write(as_json(document(app, os.environ.get("LATCHKEY_PUBLIC_URL", "/"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
