"""Entry point of ``celery -A workers.main``: the one place where the Celery object is made at import.

Celery's command line wants a module attribute; everything else builds through ``workers.celery_app``.
"""

from __future__ import annotations

import sys

from app.domain.errors import ConfigurationError
from workers.celery_app import from_environment

try:
    app = from_environment()
except ConfigurationError as error:
    # One message that lists every fault, and no traceback.
    sys.exit("Latchkey cannot start:\n" + "\n".join(f"  - {fault}" for fault in error.faults))
