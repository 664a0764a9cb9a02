"""Logs: one JSON line per event, one place that keeps secrets out of them.

Standard-library loggers (Celery, granian, msal, urllib3) go through the same chain. Libraries that print
tokens at DEBUG are held at WARNING whatever the level is.
"""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from typing import Any

import structlog

_QUIET = ("requests_oauthlib", "oauthlib", "urllib3", "msal", "google", "kombu")
_CHATTY = ("celery.beat", "celery.app.trace", "celery.worker.strategy")
"""One line per tick and task, several a second, that say nothing a row does not say."""
_NAMES = re.compile(
    r"token|secret|password|authorization|cookie|^code$|^state$|verifier|assertion|nonce|^key$", re.IGNORECASE
)
_PATTERNS = (
    re.compile(r"ya29\.[\w.-]+"),
    re.compile(r"\b1//[\w-]{8,}"),
    re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"),
    re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"),
    re.compile(
        r"(?i)\b(code|state|token|access_token|refresh_token|id_token|client_secret|code_verifier|validationToken)=[^&\s\"']+"
    ),
)
_SAFE_NAMES = frozenset({"token_type", "token_fingerprint"})


def redact_text(text: str) -> str:
    """Return ``text`` with everything that looks like a credential replaced."""
    for pattern in _PATTERNS:
        text = pattern.sub("[redacted]", text)
    return text


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Redact by field name and by pattern; the last processor before the renderer."""
    for name, value in event.items():
        if _NAMES.search(name) and name not in _SAFE_NAMES:
            event[name] = "[redacted]"
        elif isinstance(value, str):
            event[name] = redact_text(value)
    return event


def configure_logs(level: str = "INFO") -> None:
    """Send every logger of the process through one redacting JSON chain on standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
        _plain_exceptions,
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in (*_QUIET, *_CHATTY):
        logging.getLogger(name).setLevel(logging.WARNING)


def _plain_exceptions(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Reduce a traceback to type, message and places: frames help, values leak."""
    chain = event.pop("exception", None)
    if isinstance(chain, list) and chain:
        event["error_type"] = chain[0].get("exc_type")
        event["error_message"] = redact_text(str(chain[0].get("exc_value", "")))[:300]
        event["frames"] = [f"{f['filename']}:{f['lineno']} {f['name']}" for f in chain[0].get("frames", [])[-12:]]
    elif chain is not None:
        event["exception"] = redact_text(str(chain))
    return event
