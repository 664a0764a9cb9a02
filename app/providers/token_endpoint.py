"""One client for every token endpoint: two grants, one call each, no retries but with another credential of ours.

requests-oauthlib is not used for this leg: it raises after a rotation when the scope changed (and the new refresh
token sits only in the exception), ignores the HTTP status, reads any body as a form when it is not JSON, follows
redirects with the secret, and drops the members that tell one refusal from another.
Source: RFC 6749 sections 4.1.3, 5 and 6.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from app.domain.errors import ProviderError
from app.domain.secret import Secret
from app.domain.tokens import TokenAnswer
from app.providers.client_authentication import ClientAuthentication
from app.providers.credential_list import CredentialList
from app.providers.http import OutboundClient
from app.providers.token_answers import Refusal, general_failure, read_token_answer

DEADLINE_S = 20.0
MAX_BYTES = 64 * 1024

Classify = Callable[[Refusal], ProviderError]
"""A provider's error table: returns the error a refusal stands for."""


def judge(answer: TokenAnswer | Refusal, classify: Classify) -> TokenAnswer:
    """Return the tokens, or raise what the refusal stands for by the general rules and then ``classify``."""
    if isinstance(answer, TokenAnswer):
        return answer
    raise general_failure(answer) or classify(answer)


class TokenEndpoint:
    """A token endpoint with our way of authenticating there."""

    def __init__(
        self, http: OutboundClient, url: str, credentials: CredentialList[ClientAuthentication], classify: Classify
    ) -> None:
        self._http = http
        self._url = url
        self._credentials = credentials
        self._classify = classify

    def redeem_code(self, code: Secret, code_verifier: Secret, redirect_uri: str) -> TokenAnswer:
        """Redeem an authorization code (RFC 6749 section 4.1.3, RFC 7636 section 4.5).

        Raises ``InvalidGrant``, ``ProviderRejected``, ``ProviderThrottled``, ``ProviderUnavailable``.
        """
        return self._ask(
            {
                "grant_type": "authorization_code",
                "code": code.reveal(),
                "code_verifier": code_verifier.reveal(),
                "redirect_uri": redirect_uri,
            }
        )

    def refresh(self, refresh_token: Secret) -> TokenAnswer:
        """Make one refresh call without ``scope``: as granted (RFC 6749 section 6). Raises as ``redeem_code``."""
        return self._ask({"grant_type": "refresh_token", "refresh_token": refresh_token.reveal()})

    def check_credentials(self) -> tuple[str, ...]:
        """Ask once per credential, newest first, with a refresh token nobody ever got.

        Returns ``accepted`` (the answer was about the token), ``refused`` (about the credential), or another code.
        """
        grant = {"grant_type": "refresh_token", "refresh_token": secrets.token_urlsafe(32)}
        return self._credentials.check(lambda authentication: self._ask_as(authentication, grant))

    def _ask(self, grant: dict[str, str]) -> TokenAnswer:
        return self._credentials.attempt(lambda authentication: self._ask_as(authentication, grant))

    def _ask_as(self, authentication: ClientAuthentication, grant: dict[str, str]) -> TokenAnswer:
        proof = authentication.credentials()
        reply = self._http.request(
            "POST",
            self._url,
            headers=proof.headers,
            form={**grant, **proof.form},
            max_bytes=MAX_BYTES,
            deadline_s=DEADLINE_S,
            accept_encoding_identity=True,
        )
        return judge(read_token_answer(reply), self._classify)
