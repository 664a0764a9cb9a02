"""Google as an authorization server.

Sources: Google's "Using OAuth 2.0 for Web Server Applications" and "OpenID Connect" pages; discovery document of
accounts.google.com. google-auth is given no refresh token: it would retry by itself, send ``scope`` and turn a 503
page into a final error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.domain.connections import Identity
from app.domain.errors import IDTokenInvalid
from app.domain.secret import Secret
from app.domain.tokens import RotationClass, TokenAnswer
from app.ports.providers import AuthorizationStart, CalendarProvider, Revocation
from app.providers.authorization_requests import build_authorization_url
from app.providers.client_authentication import ClientAuthentication, Credentials
from app.providers.credential_list import CredentialList
from app.providers.google.token_refusals import classify
from app.providers.http import OutboundClient
from app.providers.id_tokens import Claims, IDTokenValidator, TokenRules
from app.providers.key_sets import SigningKey
from app.providers.live_calls import check_profile, fetch_profile, revoke_token
from app.providers.settings import ProviderSettings
from app.providers.token_endpoint import TokenEndpoint

ISSUER = "https://accounts.google.com"
ISSUER_SPELLINGS = frozenset({ISSUER, "accounts.google.com"})
AUTHORIZATION_ENDPOINT = "https://accounts.google.com/o/oauth2/v2/auth"
TOKEN_ENDPOINT = "https://oauth2.googleapis.com/token"
REVOCATION_ENDPOINT = "https://oauth2.googleapis.com/revoke"
JWKS_URI = "https://www.googleapis.com/oauth2/v3/certs"
USERINFO_ENDPOINT = "https://openidconnect.googleapis.com/v1/userinfo"
ACCOUNT_PAGE = "https://myaccount.google.com/permissions"

_SCOPE_ALIASES = {
    "https://www.googleapis.com/auth/userinfo.email": "email",
    "https://www.googleapis.com/auth/userinfo.profile": "profile",
}
"""What Google answers for the two OpenID scopes that were asked by their short names."""


class GoogleProvider:
    """One Google client registration. Implements ``ports.Provider``; errors as documented there."""

    kind = "google"

    def __init__(
        self,
        settings: ProviderSettings,
        credentials: CredentialList[ClientAuthentication],
        http: OutboundClient,
        validator: IDTokenValidator,
        calendars: CalendarProvider,
    ) -> None:
        self.key = settings.key
        self.display_name = settings.display_name
        self.rotation = settings.rotation or RotationClass.NONE
        self.calendars = calendars
        self._settings = settings
        self._http = http
        self._validator = validator
        self._tokens = TokenEndpoint(http, TOKEN_ENDPOINT, credentials, classify)
        self._rules = TokenRules(settings.client_id, JWKS_URI, frozenset({"RS256"}), check_issuer)

    def issuer(self) -> str:
        """Return Google's issuer, which its authorization answers may name."""
        return ISSUER

    def promises_iss(self) -> bool:
        """Return false: Google's metadata does not announce the parameter."""
        return False

    def authorization_url(self, start: AuthorizationStart) -> str:
        """Return the consent page.

        Only ``prompt=consent`` brings a refresh token after the first time; the account is asked for unless the
        hint already names it. ``include_granted_scopes`` makes a later feature an addition.
        """
        prompts = [] if start.login_hint else ["select_account"]
        extra = {"access_type": "offline" if start.offline else "online", "include_granted_scopes": "true"}
        if start.offline:
            prompts.append("consent")
        if prompts:
            extra["prompt"] = " ".join(prompts)
        if start.login_hint:
            extra["login_hint"] = start.login_hint
        override = self._settings.authorization_endpoint
        return build_authorization_url(AUTHORIZATION_ENDPOINT, override, self._settings.client_id, start, extra)

    def exchange_code(self, code: Secret, code_verifier: Secret, redirect_uri: str) -> TokenAnswer:
        """Redeem an authorization code."""
        return with_short_scopes(self._tokens.redeem_code(code, code_verifier, redirect_uri))

    def refresh(self, refresh_token: Secret, scopes: Sequence[str]) -> TokenAnswer:  # noqa: ARG002 - see below
        """Make one refresh call; ``scopes`` stay here, because one the grant lost meanwhile would fail the call."""
        return with_short_scopes(self._tokens.refresh(refresh_token))

    def identify(self, id_token: Secret, *, nonce: str | None, access_token: Secret | None) -> Identity:
        """Return the account; its key is ``sub``, ``hd`` names the Workspace domain."""
        token = self._validator.validate(id_token, self._rules, nonce=nonce, access_token=access_token)
        return Identity(
            issuer=token.issuer,
            subject=str(token.claims["sub"]),
            tenant=token.text("hd"),
            email=token.text("email"),
            name=token.text("name"),
        )

    def probe(self, access_token: Secret, *, subject: str | None = None) -> None:
        """Ask Google who the token belongs to."""
        check_profile(fetch_profile(self._http, USERINFO_ENDPOINT, access_token), subject)

    def revoke(self, token: Secret) -> Revocation:
        """Revoke the whole grant of this account to this project: Google does not revoke single tokens."""
        return revoke_token(self._http, REVOCATION_ENDPOINT, token, Credentials({}, {}))

    def check_credentials(self) -> tuple[str, ...]:
        """Ask Google once per client secret, newest first."""
        return self._tokens.check_credentials()

    def account_page(self) -> str:
        """Return the page where people see which applications have access."""
        return ACCOUNT_PAGE


def check_issuer(claims: Claims, key: SigningKey) -> str:  # noqa: ARG001 - Google's keys carry no issuer
    """Return the one issuer we store for both spellings Google uses; raises ``IDTokenInvalid``."""
    if claims.get("iss") not in ISSUER_SPELLINGS:
        raise IDTokenInvalid("iss")
    return ISSUER


def with_short_scopes(answer: TokenAnswer) -> TokenAnswer:
    """Return ``answer`` with scopes as ``domain.features`` writes them."""
    if answer.scope is None:
        return answer
    return replace(answer, scope=" ".join(_SCOPE_ALIASES.get(scope, scope) for scope in answer.scope.split()))
