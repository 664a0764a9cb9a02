"""Error answers in the words of Microsoft's token endpoint: AADSTS codes, trace ids, `suberror`."""

import re
import uuid
from typing import Any

from flask import Response, jsonify

from app.sandbox.oauth_errors import no_store
from app.sandbox.state import current_sandbox


class EntraFault(Exception):
    """A request that Microsoft refuses; `words` start with the AADSTS code."""

    def __init__(self, error: str, words: str, *, suberror: str | None = None, status: int = 400) -> None:
        """Keep the parts of the answer."""
        super().__init__(error)
        self.error = error
        self.words = words
        self.suberror = suberror
        self.status = status


def microsoft_error(error: str, words: str, *, suberror: str | None = None, status: int = 400) -> Response:
    """Return Microsoft's JSON error body; `words` start with `AADSTS<code>:`."""
    timestamp = current_sandbox().clock.now().strftime("%Y-%m-%d %H:%M:%SZ")
    trace_id, correlation_id = str(uuid.uuid4()), str(uuid.uuid4())
    code = aadsts_code(words)
    body: dict[str, Any] = {
        "error": error,
        "error_description": f"{words} Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {timestamp}",
        "error_codes": [code],
        "timestamp": timestamp,
        "trace_id": trace_id,
        "correlation_id": correlation_id,
        "error_uri": f"https://login.microsoftonline.com/error?code={code}",
    }
    if suberror is not None:
        body["suberror"] = suberror
    answer = jsonify(body)
    answer.status_code = status
    answer.headers["x-ms-request-id"] = trace_id
    return no_store(answer)


def aadsts_code(words: str) -> int:
    """Return the number after `AADSTS`, 0 when there is none."""
    found = re.match(r"AADSTS(\d+)", words)
    return int(found.group(1)) if found else 0
