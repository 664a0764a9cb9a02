"""Error answers of OAuth endpoints in the plain form of RFC 6749 section 5.2."""

from flask import Response, jsonify


class OAuthFault(Exception):
    """A token request that is to be refused."""

    def __init__(self, status: int, error: str, description: str) -> None:
        """Keep the HTTP status, the `error` code and the `error_description`."""
        super().__init__(error)
        self.status = status
        self.error = error
        self.description = description


def oauth_error(status: int, error: str, description: str, **extra: str) -> Response:
    """Return a JSON error answer that must not be stored; `extra` members are added as they are."""
    answer = jsonify({"error": error, "error_description": description, **extra})
    answer.status_code = status
    return no_store(answer)


def no_store(answer: Response) -> Response:
    """Mark an answer as one that no cache may keep (RFC 6749 section 5.1)."""
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Pragma"] = "no-cache"
    return answer
