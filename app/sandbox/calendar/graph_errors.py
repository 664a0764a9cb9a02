"""Say no in the words of Microsoft Graph."""

import uuid
from datetime import datetime

from flask import Response, jsonify, request

from app.sandbox.calendar.world import Json
from app.sandbox.tokens import AccessDenied, DenialKind


class GraphError(Exception):
    """An answer other than success."""

    def __init__(self, status: int, code: str, message: str) -> None:
        """Keep what the answer says."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def bad_request(message: str, code: str = "ErrorInvalidRequest") -> GraphError:
    """Return the error for a call that cannot be understood."""
    return GraphError(400, code, message)


def not_found() -> GraphError:
    """Return the error for an item that is not in the mailbox."""
    return GraphError(404, "ErrorItemNotFound", "The specified object was not found in the store.")


def changed_meanwhile() -> GraphError:
    """Return the error for an If-Match that names another version."""
    message = "The send or update operation could not be performed because the change key passed in is out of date."
    return GraphError(412, "ErrorIrresolvableConflict", message)


def sync_state_gone(generation: int, current: int) -> GraphError:
    """Return the error for a delta token of a generation that is no longer kept."""
    message = f"The sync state generation is not found; generation={generation};[highest={current}][{current}]."
    return GraphError(410, "SyncStateNotFound", message)


def rendered(error: GraphError, now: datetime) -> Response:
    """Return the answer for an error."""
    response = jsonify(error_body(error.code, error.message, now))
    response.status_code = error.status
    return response


def denied(denial: AccessDenied, now: datetime) -> Response:
    """Render a refused access token."""
    if denial.kind is DenialKind.SCOPE:
        return rendered(GraphError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again."), now)
    words = {
        DenialKind.MISSING: "Access token is empty.",
        DenialKind.EXPIRED: "Lifetime validation failed, the token is expired.",
    }
    message = words.get(denial.kind, "Access token validation failure.")
    response = rendered(GraphError(401, "InvalidAuthenticationToken", message), now)
    response.headers["WWW-Authenticate"] = (
        'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize"'
    )
    return response


def error_body(code: str, message: str, now: datetime) -> Json:
    """Return the JSON body of an error."""
    request_id = str(uuid.uuid4())
    inner = {
        "date": now.strftime("%Y-%m-%dT%H:%M:%S"),
        "request-id": request_id,
        "client-request-id": request.headers.get("client-request-id", request_id),
    }
    return {"error": {"code": code, "message": message, "innerError": inner}}
