"""Let health probes in by any name: a platform asks a process at its address, not at its public name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PROBED = frozenset({"/healthz", "/readyz"})
"""They answer the same to everybody and build no address from the name they were called by."""


class ProbesByAnyName:
    """Gives probes the host name the application trusts; every other request keeps its own."""

    def __init__(self, application: WSGIApplication, host: str) -> None:
        self._application = application
        self._host = host

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        if environ.get("PATH_INFO") in PROBED:
            environ["HTTP_HOST"] = self._host
        return self._application(environ, start_response)
