"""Error answers in each provider's own words, for scripted faults."""

from typing import Any

from flask import Response, jsonify, request

from app.sandbox.fault_plan import Fault, FaultKind
from app.sandbox.microsoft_errors import microsoft_error
from app.sandbox.oauth_errors import oauth_error
from app.sandbox.state import current_sandbox

GATEWAY_PAGE = "<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Server Error</h1></body></html>"
CLAIMS = "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNzAwMDAwMDAwIn19fQ=="
"""Base64 of a claims challenge, with padding as Graph sends it (Microsoft identity platform, claims challenge)."""

GOOGLE_REASONS = {
    400: ("badRequest", "global", "INVALID_ARGUMENT"),
    401: ("authError", "global", "UNAUTHENTICATED"),
    403: ("rateLimitExceeded", "usageLimits", "PERMISSION_DENIED"),
    404: ("notFound", "global", "NOT_FOUND"),
    410: ("fullSyncRequired", "calendar", "FAILED_PRECONDITION"),
    429: ("rateLimitExceeded", "usageLimits", "RESOURCE_EXHAUSTED"),
}
"""HTTP status to reason, domain and status name of a Google Calendar error."""
_GOOGLE_WORDS = {
    "fullSyncRequired": "Sync token is no longer valid, a full sync is required.",
    "updatedMinTooLongAgo": "The requested minimum modification time lies too far in the past.",
    "rateLimitExceeded": "Rate Limit Exceeded",
    "userRateLimitExceeded": "User Rate Limit Exceeded",
    "quotaExceeded": "Calendar usage limits exceeded.",
}
_GOOGLE_DOMAINS = {
    "updatedMinTooLongAgo": "calendar",
    "requiredAccessLevel": "calendar",
    "userRateLimitExceeded": "usageLimits",
    "quotaExceeded": "usageLimits",
    "accessNotConfigured": "usageLimits",
    "forbidden": "global",
    "insufficientPermissions": "global",
}
"""Domains of reasons that differ from the usual one of their status."""
GRAPH_CODES = {
    400: "BadRequest",
    401: "InvalidAuthenticationToken",
    403: "ErrorAccessDenied",
    404: "ErrorItemNotFound",
    410: "SyncStateNotFound",
    429: "ApplicationThrottled",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}
"""HTTP status to the `code` of a Microsoft Graph error."""
GRANT_WORDS = "AADSTS50173: The provided grant has expired due to it being revoked, a fresh auth token is needed."
SECRET_WORDS = "AADSTS7000215: Invalid client secret provided."


def scripted_answer(fault: Fault, operation: str) -> Response | None:
    """Return the answer a fault gives instead of the work, None for kinds that the route itself acts on."""
    match fault.kind:
        case FaultKind.STATUS:
            answer = _status_answer(fault, operation)
        case FaultKind.INVALID_GRANT | FaultKind.INVALID_CLIENT | FaultKind.OAUTH_ERROR:
            answer = _oauth_answer(fault, operation)
        case FaultKind.GONE:
            answer = api_error(410, operation, fault.reason)
        case FaultKind.CLAIMS_CHALLENGE:
            answer = _claims_challenge(fault.reason)
        case _:
            return None
    if fault.retry_after is not None:
        answer.headers["Retry-After"] = fault.retry_after
    return answer


def _status_answer(fault: Fault, operation: str) -> Response:
    if fault.body == "empty":
        return Response(b"", fault.status)
    if fault.body == "html":
        return Response(GATEWAY_PAGE, fault.status, mimetype="text/html")
    if operation.endswith((".token", ".revoke")):
        return oauth_error(fault.status, "temporarily_unavailable", "Try again later.")
    return api_error(fault.status, operation, fault.reason)


def _oauth_answer(fault: Fault, operation: str) -> Response:
    error = {FaultKind.INVALID_GRANT: "invalid_grant", FaultKind.INVALID_CLIENT: "invalid_client"}.get(
        fault.kind, fault.error
    )
    status = 401 if error in ("invalid_client", "deleted_client", "unauthorized_client") else 400
    if operation == "microsoft.token":
        words = SECRET_WORDS if error == "invalid_client" else GRANT_WORDS
        suberror = fault.suberror or ("bad_token" if error == "invalid_grant" else None)
        return microsoft_error(error, fault.description or words, suberror=suberror, status=status)
    extra = {"error_subtype": fault.suberror} if fault.suberror else {}
    return oauth_error(status, error, fault.description or _google_words(error), **extra)


def _google_words(error: str) -> str:
    words = {"invalid_grant": "Token has been expired or revoked.", "invalid_client": "Unauthorized"}
    return words.get(error, "Bad Request")


def api_error(status: int, operation: str, reason: str | None = None, message: str | None = None) -> Response:
    """Return an error of the calendar interface that an operation belongs to.

    `reason`: Google's reason or Graph's code, None for the usual one of the status; `message` likewise.
    """
    is_graph = operation.startswith("graph.")
    body = _graph_body(status, reason, message) if is_graph else _google_body(status, reason, message)
    answer = jsonify(body)
    answer.status_code = status
    if is_graph and reason == "resyncRequired":
        # The service names where to start over; a client must not follow it blindly.
        answer.headers["Location"] = f"https://graph.microsoft.com{request.path}?$deltatoken="
    return answer


def _google_body(status: int, reason: str | None, message: str | None) -> dict[str, Any]:
    usual, domain, name = GOOGLE_REASONS.get(status, ("backendError", "global", "UNAVAILABLE"))
    words = message or _GOOGLE_WORDS.get(reason or usual, "Backend Error")
    if reason == "":
        return {"error": {"code": status, "message": words}}
    item = {"message": words, "domain": _GOOGLE_DOMAINS.get(reason or usual, domain), "reason": reason or usual}
    return {"error": {"code": status, "message": words, "errors": [item], "status": name}}


def _graph_body(status: int, reason: str | None, message: str | None) -> dict[str, Any]:
    now = current_sandbox().clock.now()
    inner = {"date": now.strftime("%Y-%m-%dT%H:%M:%S"), "request-id": "sandbox", "client-request-id": "sandbox"}
    code = reason or GRAPH_CODES.get(status, "InternalServerError")
    return {"error": {"code": code, "message": message or "A fault scripted in the sandbox.", "innerError": inner}}


def _claims_challenge(form: str | None) -> Response:
    answer = api_error(401, "graph.")
    quote = "" if form == "unquoted" else '"'
    if form == "several":
        answer.headers.add("WWW-Authenticate", 'PoP realm="", error="invalid_token"')
    answer.headers.add(
        "WWW-Authenticate",
        f'Bearer realm="", authorization_uri={quote}https://login.microsoftonline.com/common/oauth2/authorize{quote}, '
        f'client_id="00000003-0000-0000-c000-000000000000", error="insufficient_claims", claims="{CLAIMS}"',
    )
    return answer
