"""Say no in the words of the Google Calendar API.

Envelope and reasons after Google's "Handle API errors" page; the newer `status` and `details` members where captured
answers carry them.
"""

from flask import Response, jsonify

from app.sandbox.calendar.world import Json
from app.sandbox.tokens import AccessDenied, DenialKind


class GoogleError(Exception):
    """An answer other than success."""

    def __init__(
        self, status: int, reason: str, message: str, domain: str = "global", location: str | None = None
    ) -> None:
        """Keep what the answer says; `location` is the parameter or header at fault, None when there is none."""
        super().__init__(message)
        self.status = status
        self.body = _envelope(status, reason, message, domain, location)


def _envelope(status: int, reason: str, message: str, domain: str, location: str | None) -> Json:
    detail: Json = {"domain": domain, "reason": reason, "message": message}
    if location is not None:
        kind = "header" if location in ("If-Match", "Authorization") else "parameter"
        detail |= {"locationType": kind, "location": location}
    return {"error": {"errors": [detail], "code": status, "message": message}}


def not_found() -> GoogleError:
    """Return the error for a calendar or event that is not there."""
    return GoogleError(404, "notFound", "Not Found")


def deleted() -> GoogleError:
    """Return the error for writing to an event that was deleted before."""
    return GoogleError(410, "deleted", "Resource has been deleted")


def duplicate() -> GoogleError:
    """Return the error for an event id that is taken, by a deleted event too."""
    return GoogleError(409, "duplicate", "The requested identifier already exists.")


def required(location: str) -> GoogleError:
    """Return the error for a missing member or parameter."""
    return GoogleError(400, "required", f"Missing {location}.", location=location)


def invalid(message: str, location: str | None = None) -> GoogleError:
    """Return the error for a value that cannot be used."""
    return GoogleError(400, "invalid", message, location=location)


def range_empty() -> GoogleError:
    """Return the error for an end that is not after its start."""
    return GoogleError(400, "timeRangeEmpty", "The specified time range is empty.", "calendar", "timeMax")


def sync_restricted() -> GoogleError:
    """Return the error for a sync token next to a parameter it does not go with."""
    return GoogleError(400, "badRequest", "Sync token cannot be used with other request restrictions.")


def full_sync_required() -> GoogleError:
    """Return the error for a sync or page token that is no longer known."""
    message = "Sync token is no longer valid, a full sync is required."
    return GoogleError(410, "fullSyncRequired", message, "calendar", "syncToken")


def updated_min_too_long_ago() -> GoogleError:
    """Return the error for an `updatedMin` of which nothing is known any more."""
    message = "The requested minimum modification time lies too far in the past."
    return GoogleError(410, "updatedMinTooLongAgo", message, "calendar", "updatedMin")


def condition_not_met() -> GoogleError:
    """Return the error for an If-Match that names another version."""
    return GoogleError(412, "conditionNotMet", "Precondition Failed", location="If-Match")


def denied(denial: AccessDenied, method: str) -> Response:
    """Render a refused access token; `method` such as `calendar.v3.Events.List`."""
    body = _scope_body(method) if denial.kind is DenialKind.SCOPE else _credentials_body()
    response = jsonify(body)
    response.status_code = denial.status
    if denial.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="https://accounts.google.com/", error="invalid_token"'
    return response


def _credentials_body() -> Json:
    message = "Request had invalid authentication credentials. Expected OAuth 2 access token or other valid credential."
    detail = {
        "message": "Invalid Credentials",
        "domain": "global",
        "reason": "authError",
        "location": "Authorization",
        "locationType": "header",
    }
    return {"error": {"code": 401, "message": message, "errors": [detail], "status": "UNAUTHENTICATED"}}


def _scope_body(method: str) -> Json:
    detail = {"message": "Insufficient Permission", "domain": "global", "reason": "insufficientPermissions"}
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        "domain": "googleapis.com",
        "metadata": {"service": "calendar-json.googleapis.com", "method": method},
    }
    message = "Request had insufficient authentication scopes."
    return {
        "error": {"code": 403, "message": message, "errors": [detail], "status": "PERMISSION_DENIED", "details": [info]}
    }
