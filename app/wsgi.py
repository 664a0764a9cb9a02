"""The web process: ``granian --interface wsgi --factory app.wsgi:create``.

The server calls ``create`` once in every worker process, after the fork, so nothing is shared between them.
"""

from __future__ import annotations

import sys

from flask import Flask

from app.bootstrap import start
from app.domain.errors import ConfigurationError
from app.web.application import create_app
from app.web.settings import WebSettings

SWITCH_INTERVAL_S = 0.001
"""How long a busy thread keeps the interpreter from others. A request gives it up several times, at every call of the
system; with the default of five milliseconds each time may cost that while hand-outs are carried into the log."""


def create() -> Flask:
    """Load the configuration, build the services and return the application.

    Ends the process with every fault in one message when the configuration cannot work.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        beginning = start()
        beginning.configure_logs()
        beginning.check()
        services = beginning.build()
        return create_app(services, WebSettings(beginning.public_url, services.csrf_key))
    except ConfigurationError as error:
        sys.exit("Latchkey cannot start:\n" + "\n".join(f"  - {fault}" for fault in error.faults))
