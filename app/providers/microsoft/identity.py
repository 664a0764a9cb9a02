"""The Microsoft identity platform (Entra ID and personal accounts) as an authorization server.

msal builds and authenticates the token calls (secret or certificate, telemetry headers); the URL, the reading of
answers and the validation of ID tokens are ours, see ``msal_http`` for why. There is no revocation endpoint.
Sources: Microsoft identity platform, "authorization code flow" and "refresh tokens".
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msal
from msal.exceptions import MsalError

from app.domain.connections import Identity
from app.domain.errors import IDTokenInvalid, ProviderRejected, ProviderUnavailable
from app.domain.secret import Secret
from app.domain.tokens import RotationClass, TokenAnswer
from app.ports.providers import AuthorizationStart, CalendarProvider, Revocation
from app.ports.surroundings import Clock
from app.providers.authorization_requests import build_authorization_url
from app.providers.configured_credentials import ClientCredential
from app.providers.credential_list import CredentialList
from app.providers.http import OutboundClient
from app.providers.id_tokens import IDTokenValidator, TokenRules
from app.providers.live_calls import fetch_profile
from app.providers.microsoft.issuer import TenantRule
from app.providers.microsoft.msal_http import DiscoveryCache, MSALTransport
from app.providers.microsoft.scopes import for_refresh, short_list
from app.providers.microsoft.token_refusals import classify
from app.providers.settings import ProviderSettings
from app.providers.token_answers import read_token_answer
from app.providers.token_endpoint import judge

AUTHORITY = "https://login.microsoftonline.com"
ME = "https://graph.microsoft.com/v1.0/me"
WORK_ACCOUNT_PAGE = "https://myapps.microsoft.com"
PERSONAL_ACCOUNT_PAGE = "https://account.live.com/consent/Manage"


class NoTokenCache(msal.TokenCache):  # type: ignore[misc]  # msal ships no type information
    """Keeps nothing: tokens are sealed and stored by the services, in one place."""

    def add(self, event: object, now: object = None) -> None:
        """Forget a new token."""

    def modify(self, *args: object, **kwargs: object) -> None:
        """Forget a change."""


class MicrosoftProvider:
    """One Entra application registration. Implements ``ports.Provider``; errors as documented there."""

    kind = "microsoft"

    def __init__(
        self,
        settings: ProviderSettings,
        credentials: CredentialList[ClientCredential],
        http: OutboundClient,
        validator: IDTokenValidator,
        calendars: CalendarProvider,
        clock: Clock,
    ) -> None:
        self.key = settings.key
        self.display_name = settings.display_name
        self.rotation = settings.rotation or RotationClass.OVERLAP
        self.calendars = calendars
        self._settings = settings
        self._credentials = credentials
        self._http = http
        self._validator = validator
        self._discovery = DiscoveryCache(clock)
        self._authority = f"{AUTHORITY}/{settings.tenant}"
        self._rules = TokenRules(
            settings.client_id,
            f"{self._authority}/discovery/v2.0/keys",
            frozenset({"RS256"}),
            TenantRule(
                settings.tenant,
                frozenset(tenant.lower() for tenant in settings.allowed_tenants),
                settings.allow_personal_accounts,
            ),
        )

    def issuer(self) -> None:
        """Return null: the authorization answers name no issuer; the redirect URI of its own tells providers apart."""

    def promises_iss(self) -> bool:
        """Return false: the metadata does not announce the parameter."""
        return False

    def authorization_url(self, start: AuthorizationStart) -> str:
        """Return the sign-in page. ``select_account`` and a hint exclude each other at Entra."""
        extra = {"response_mode": "query"}
        extra |= {"login_hint": start.login_hint} if start.login_hint else {"prompt": "select_account"}
        scopes = start.scopes if start.offline else tuple(s for s in start.scopes if s != "offline_access")
        return build_authorization_url(
            f"{self._authority}/oauth2/v2.0/authorize",
            self._settings.authorization_endpoint,
            self._settings.client_id,
            replace(start, scopes=scopes),
            extra,
        )

    def exchange_code(self, code: Secret, code_verifier: Secret, redirect_uri: str) -> TokenAnswer:
        """Redeem an authorization code. State and nonce were and will be checked by us, so msal gets a blank state."""
        flow = {"state": "-", "redirect_uri": redirect_uri, "code_verifier": code_verifier.reveal()}
        answer = {"state": "-", "code": code.reveal()}
        return self._call(lambda app: app.acquire_token_by_auth_code_flow(flow, answer))

    def refresh(self, refresh_token: Secret, scopes: Sequence[str]) -> TokenAnswer:
        """Make one refresh call for the granted scopes; Entra needs them to choose the resource."""
        wanted = for_refresh(scopes)
        return self._call(lambda app: app.acquire_token_by_refresh_token(refresh_token.reveal(), wanted))

    def identify(self, id_token: Secret, *, nonce: str | None, access_token: Secret | None) -> Identity:
        """Return the account; its key is tenant and ``oid``, never a name or address, which a tenant can invent."""
        token = self._validator.validate(id_token, self._rules, nonce=nonce, access_token=access_token)
        return Identity(
            issuer=token.issuer,
            subject=str(token.claims["oid"]),
            tenant=str(token.claims["tid"]),
            email=token.text("email") or token.text("preferred_username"),
            name=token.text("name"),
        )

    def probe(self, access_token: Secret, *, subject: str | None = None) -> None:
        """Ask Graph who the token belongs to."""
        profile = fetch_profile(self._http, ME, access_token)
        if subject is not None and not _is_account(profile.get("id"), subject):
            raise IDTokenInvalid("userinfo_sub")

    def revoke(self, token: Secret) -> Revocation:  # noqa: ARG002 - nowhere to send it
        """Say that Entra cannot: the nearest call would end every session of the person in every application."""
        return Revocation("unsupported", self.account_page())

    def check_credentials(self) -> tuple[str, ...]:
        """Ask Entra once per credential, newest first, with a refresh token nobody ever got."""
        invented, scopes = secrets.token_urlsafe(32), ["User.Read"]
        return self._credentials.check(
            lambda credential: self._call_as(
                credential, lambda app: app.acquire_token_by_refresh_token(invented, scopes)
            )
        )

    def account_page(self) -> str:
        """Return the page where people remove an application's access."""
        return PERSONAL_ACCOUNT_PAGE if self._settings.tenant == "consumers" else WORK_ACCOUNT_PAGE

    def _call(self, ask: Callable[[Any], object]) -> TokenAnswer:
        """Let msal make the call, with the first credential Entra accepts."""
        return self._credentials.attempt(lambda credential: self._call_as(credential, ask))

    def _call_as(self, credential: ClientCredential, ask: Callable[[Any], object]) -> TokenAnswer:
        """Let msal make one call and read the answer ourselves, also when msal stumbled over it."""
        transport = MSALTransport(self._http, self._discovery)
        try:
            ask(self._application(credential, transport))
        except (MsalError, ValueError, RuntimeError, KeyError, TypeError) as error:
            # Once there is an answer it decides, whatever msal thought of it. Before, msal could not even ask.
            if transport.token_reply is None:
                raise _never_asked(error) from None
        if transport.token_reply is None:
            raise ProviderUnavailable("not_asked")
        answer = judge(read_token_answer(transport.token_reply), classify)
        return answer if answer.scope is None else replace(answer, scope=short_list(answer.scope))

    def _application(
        self, credential: ClientCredential, transport: MSALTransport
    ) -> msal.ConfidentialClientApplication:
        return msal.ConfidentialClientApplication(
            self._settings.client_id,
            client_credential=credential,
            authority=self._authority,
            instance_discovery=False,
            azure_region=False,
            http_client=transport,
            http_cache={},
            token_cache=NoTokenCache(),
        )


def _is_account(graph_id: object, oid: str) -> bool:
    """Return whether both name one account; Graph shows a personal one by the last 16 digits of its ``oid``."""
    personal = oid.startswith("00000000-0000-0000-") and graph_id == oid.replace("-", "")[16:]
    return graph_id == oid or personal


def _never_asked(error: Exception) -> ProviderRejected | ProviderUnavailable:
    """Return an outage for a broken discovery document; anything else msal refuses is our configuration."""
    return ProviderUnavailable("discovery") if isinstance(error, KeyError) else ProviderRejected("msal_configuration")
