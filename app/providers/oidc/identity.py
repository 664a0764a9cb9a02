"""An operator-defined OpenID Connect provider as an authorization server.

Addresses come from its discovery document. requests-oauthlib builds the URL; the code leg goes through our token
endpoint, because the library raises on a changed scope after the code is spent, follows redirects with the secret
and hides status and ``Retry-After``. Sources: OpenID Connect Core 1.0 and Discovery 1.0, RFC 7009, RFC 9207.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.domain.connections import Identity
from app.domain.errors import ProviderRejected, ProviderUnavailable
from app.domain.secret import Secret
from app.domain.tokens import RotationClass, TokenAnswer
from app.ports.providers import AuthorizationStart, Revocation
from app.providers.authorization_requests import build_authorization_url
from app.providers.client_authentication import ClientAuthentication
from app.providers.credential_list import CredentialList
from app.providers.http import OutboundClient
from app.providers.id_tokens import IDTokenValidator, TokenRules, exactly
from app.providers.live_calls import check_profile, fetch_profile, revoke_token
from app.providers.metadata import MetadataSource, ProviderMetadata
from app.providers.oidc.token_refusals import classify
from app.providers.settings import ProviderSettings
from app.providers.token_endpoint import TokenEndpoint

PINNED_ALGORITHMS = frozenset({"RS256", "PS256", "ES256"})
"""Asymmetric and in use; what a provider announces can narrow this list and never widen it."""


class OIDCProvider:
    """One client registration at one issuer. Implements ``ports.Provider``; errors as documented there.

    Every method that needs an address may raise ``ProviderUnavailable`` or ``ProviderRejected`` from discovery.
    """

    kind = "oidc"
    calendars = None

    def __init__(
        self,
        settings: ProviderSettings,
        credentials: CredentialList[ClientAuthentication],
        http: OutboundClient,
        validator: IDTokenValidator,
        metadata: MetadataSource,
    ) -> None:
        self.key = settings.key
        self.display_name = settings.display_name
        self.rotation = settings.rotation or RotationClass.STRICT
        self._settings = settings
        self._credentials = credentials
        self._http = http
        self._validator = validator
        self._metadata = metadata

    def issuer(self) -> str:
        """Return the configured issuer."""
        return self._metadata.issuer

    def promises_iss(self) -> bool:
        """Return what the metadata says about ``iss`` in authorization answers."""
        return self._metadata.get().promises_iss

    def authorization_url(self, start: AuthorizationStart) -> str:
        """Return the sign-in page. ``offline_access`` needs ``prompt=consent`` (Core section 11)."""
        extra = {"login_hint": start.login_hint} if start.login_hint else {}
        scopes = start.scopes
        if start.offline:
            extra["prompt"] = "consent"
        else:
            scopes = tuple(scope for scope in scopes if scope != "offline_access")
        return build_authorization_url(
            self._metadata.get().authorization_endpoint,
            self._settings.authorization_endpoint,
            self._settings.client_id,
            replace(start, scopes=scopes),
            extra,
        )

    def exchange_code(self, code: Secret, code_verifier: Secret, redirect_uri: str) -> TokenAnswer:
        """Redeem an authorization code."""
        return self._tokens().redeem_code(code, code_verifier, redirect_uri)

    def refresh(self, refresh_token: Secret, scopes: Sequence[str]) -> TokenAnswer:  # noqa: ARG002 - omitted means as granted
        """Make one refresh call."""
        return self._tokens().refresh(refresh_token)

    def identify(self, id_token: Secret, *, nonce: str | None, access_token: Secret | None) -> Identity:
        """Return the account; its key is ``sub`` under this issuer."""
        metadata = self._metadata.get()
        algorithms = PINNED_ALGORITHMS & metadata.id_token_algorithms
        rules = TokenRules(self._settings.client_id, metadata.jwks_uri, algorithms, exactly(metadata.issuer))
        token = self._validator.validate(id_token, rules, nonce=nonce, access_token=access_token)
        return Identity(
            issuer=token.issuer,
            subject=str(token.claims["sub"]),
            tenant=None,
            email=token.text("email"),
            name=token.text("name") or token.text("preferred_username"),
        )

    def probe(self, access_token: Secret, *, subject: str | None = None) -> None:
        """Ask the provider who the token belongs to. Without a userinfo endpoint there is no call to make."""
        endpoint = self._metadata.get().userinfo_endpoint
        if endpoint is not None:
            check_profile(fetch_profile(self._http, endpoint, access_token), subject)

    def revoke(self, token: Secret) -> Revocation:
        """Revoke a token by RFC 7009."""
        try:
            endpoint = self._metadata.get().revocation_endpoint
        except (ProviderRejected, ProviderUnavailable) as error:
            return Revocation("failed", error.detail)
        if endpoint is None:
            return Revocation("unsupported")
        return revoke_token(self._http, endpoint, token, self._credentials.in_use().credentials())

    def check_credentials(self) -> tuple[str, ...]:
        """Ask the provider once per credential, newest first."""
        return self._tokens().check_credentials()

    def account_page(self) -> None:
        """Return null: discovery names no such page."""

    def _tokens(self) -> TokenEndpoint:
        metadata = self._metadata.get()
        self._check_authentication(metadata)
        return TokenEndpoint(self._http, metadata.token_endpoint, self._credentials, classify)

    def _check_authentication(self, metadata: ProviderMetadata) -> None:
        """Refuse a method the provider does not list: better than sending a secret where it is not expected."""
        if self._settings.token_auth_method not in metadata.token_auth_methods:
            raise ProviderRejected("token_auth_method")
