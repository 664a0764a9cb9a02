"""The OIDC provider's side of the authorization request: PKCE demanded, issuer named in every answer."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.sandbox.accounts import Account
from app.sandbox.authorization import (
    AuthorizationRequest,
    Callback,
    CallbackFault,
    PageFault,
    Question,
    new_code,
    with_state,
)
from app.sandbox.scopes import unknown_scopes
from app.sandbox.settings import Provider
from app.sandbox.state import Sandbox

PROMPTS = frozenset({"none", "login", "consent", "select_account"})
CHALLENGE_LENGTH = 43
"""Characters of a base64url SHA-256 (RFC 7636 section 4.2)."""


@dataclass(frozen=True)
class OIDCConsent:
    """Rules of a strict provider: OpenID Connect Core, RFC 7636, RFC 9207, RFC 9700."""

    provider: Provider = "oidc"
    title: str = "Acme sign-in"

    def read(self, state: Sandbox, args: Mapping[str, str], tenant: str | None = None) -> AuthorizationRequest:
        """Check a request: unknown client or redirect URI end on a page, all else goes to the redirect URI."""
        del tenant
        client = state.settings.client("oidc", args.get("client_id", ""))
        if client is None:
            raise PageFault(400, "invalid_client", "The client is not registered.")
        if args.get("redirect_uri") not in client.redirect_uris:
            raise PageFault(400, "invalid_request", "The redirect URI is not registered for this client.")
        request = AuthorizationRequest(
            provider="oidc",
            client_id=client.client_id,
            redirect_uri=args["redirect_uri"],
            scopes=tuple(dict.fromkeys(args.get("scope", "").split())),
            state=args.get("state"),
            nonce=args.get("nonce"),
            code_challenge=args.get("code_challenge"),
            code_challenge_method=args.get("code_challenge_method", "plain"),
            prompt=frozenset(args.get("prompt", "").split()),
            login_hint=args.get("login_hint"),
            is_offline="offline_access" in args.get("scope", "").split(),
        )
        problem = _problem(args, request)
        if problem is not None:
            raise CallbackFault(self.refuse(state, request, *problem))
        return request

    def accounts(self, state: Sandbox, request: AuthorizationRequest) -> list[Account]:
        """Return all accounts of the provider."""
        del request
        return state.accounts.all("oidc")

    def question(self, state: Sandbox, request: AuthorizationRequest, account: Account) -> Question:
        """Ask at the first time, for anything new, and when consent is forced."""
        grant = state.grants.find("oidc", account.key, request.client_id)
        if "consent" in request.prompt or grant is None or not set(request.scopes) <= grant.scopes:
            return Question(request.scopes)
        return Question(())

    def obstacle(self, state: Sandbox, request: AuthorizationRequest, account: Account) -> str | None:
        """Return None: nothing stops a person here."""
        del state, request, account
        return None

    def allow(self, state: Sandbox, request: AuthorizationRequest, account: Account, chosen: set[str]) -> Callback:
        """Record the consent and return the callback with the code."""
        state.grants.allow("oidc", account.key, request.client_id, chosen, state.clock.now())
        code = new_code(state, request, account, prefix="", granted=set(chosen), is_offline=request.is_offline)
        return self._callback(state, request, {"code": code})

    def refuse(self, state: Sandbox, request: AuthorizationRequest, error: str, words: str | None = None) -> Callback:
        """Return the callback with `error`."""
        description = {"error_description": words} if words else {}
        return self._callback(state, request, {"error": error, **description})

    def _callback(self, state: Sandbox, request: AuthorizationRequest, parameters: dict[str, str]) -> Callback:
        named = {**parameters, "iss": state.settings.oidc_issuer}
        return Callback(request.redirect_uri, with_state(named, request))


def _problem(args: Mapping[str, str], request: AuthorizationRequest) -> tuple[str, str] | None:
    """Return error and words for the first thing wrong with a request, None when all is well."""
    if args.get("response_type") != "code":
        return "unsupported_response_type", "Only the code response type is supported."
    if args.get("response_mode", "query") != "query":
        return "invalid_request", "Only the query response mode is supported."
    if "openid" not in request.scopes or unknown_scopes("oidc", request.scopes):
        return "invalid_scope", "The scope must contain openid and nothing unknown."
    if request.code_challenge_method != "S256" or len(request.code_challenge or "") != CHALLENGE_LENGTH:
        return "invalid_request", "A code challenge with method S256 is required."
    if not request.prompt <= PROMPTS or ("none" in request.prompt and len(request.prompt) > 1):
        return "invalid_request", "Unsupported prompt value."
    return None
