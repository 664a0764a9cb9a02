"""Use a token with requests. Needs the extra `requests`."""

from __future__ import annotations

from typing import Any

from requests import PreparedRequest, Response
from requests.auth import AuthBase

from latchkey_client.client import LatchkeyClient
from latchkey_client.tokens import Token, TokenRequest


class RequestsAuth(AuthBase):
    """Authorizes every request of a session; a request that meets 401 is repeated once with another token."""

    def __init__(self, client: LatchkeyClient, request: TokenRequest, *, min_validity: int | None = None) -> None:
        """Use tokens of `request` that last at least `min_validity` seconds; null leaves that to Latchkey."""
        self._client, self._request, self._min_validity = client, request, min_validity

    def __call__(self, prepared: PreparedRequest) -> PreparedRequest:
        """Add the token. Raises `LatchkeyError`."""
        token = self._token()
        prepared.headers["Authorization"] = _header(token)
        body: Any = prepared.body
        start = body.tell() if hasattr(body, "seek") and hasattr(body, "tell") else None

        def answered(response: Response, **options: Any) -> Response:  # noqa: ANN401 - requests' own arguments
            # A redirect to somebody else has lost the header and must not get a token by answering 401.
            if response.status_code != 401 or response.request.headers.get("Authorization") != _header(token):
                return response
            return self._again(response, token, start, options)

        prepared.register_hook("response", answered)  # type: ignore[no-untyped-call]  # untyped in its stubs
        return prepared

    def _again(self, refused: Response, token: Token, body_start: int | None, options: dict[str, Any]) -> Response:
        self._client.rejected(token)
        another = self._token()
        # Read to its end, so that the connection can be used again.
        _ = refused.content
        refused.close()
        prepared = refused.request.copy()
        if body_start is not None:
            prepared.body.seek(body_start)  # type: ignore[union-attr]  # only files have a start
        prepared.headers["Authorization"] = _header(another)
        response: Response = refused.connection.send(prepared, **options)
        response.history.append(refused)
        response.request = prepared
        return response

    def _token(self) -> Token:
        return self._client.token_for(self._request, min_validity=self._min_validity)


def _header(token: Token) -> str:
    return f"Bearer {token.value}"
