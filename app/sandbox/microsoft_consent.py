"""Microsoft's side of the authorization request: tenants, consent to what is missing, administrator approval."""

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from app.sandbox.accounts import CONSUMER_TENANT_ID, Account
from app.sandbox.authorization import (
    AuthorizationRequest,
    Callback,
    CallbackFault,
    PageFault,
    Question,
    new_code,
    with_state,
)
from app.sandbox.microsoft_errors import aadsts_code
from app.sandbox.scopes import MICROSOFT_SIGN_IN, microsoft_scopes, unknown_scopes
from app.sandbox.settings import ClientRegistration, Provider
from app.sandbox.state import Sandbox

MODES = ("query", "fragment", "form_post")
PROMPTS = frozenset({"login", "none", "consent", "select_account"})
DECLINED = "AADSTS65004: The user declined to consent to access the app."
ADMIN_NEEDED = (
    "AADSTS90094: The application needs permission to access resources in your organization that only an admin can "
    "grant. Please ask an admin to grant permission to this app before you can use it."
)


@dataclass(frozen=True)
class MicrosoftConsent:
    """Rules of Microsoft's authorization endpoint (Microsoft identity platform, authorization code flow v2.0)."""

    provider: Provider = "microsoft"
    title: str = "Microsoft, emulated"

    def read(self, state: Sandbox, args: Mapping[str, str], tenant: str | None) -> AuthorizationRequest:
        """Check a request: unknown tenant, client or redirect URI end on a page, all else goes to the redirect URI."""
        segment = tenant or "common"
        client = _known_client(state, args, segment)
        request = AuthorizationRequest(
            provider="microsoft",
            client_id=client.client_id,
            redirect_uri=args["redirect_uri"],
            scopes=tuple(microsoft_scopes(args.get("scope", ""))),
            state=args.get("state"),
            nonce=args.get("nonce"),
            code_challenge=args.get("code_challenge"),
            code_challenge_method=args.get("code_challenge_method", "plain"),
            prompt=frozenset(args.get("prompt", "").split()),
            login_hint=args.get("login_hint"),
            response_mode=args.get("response_mode", "query"),
            is_offline="offline_access" in microsoft_scopes(args.get("scope", "")),
            tenant_segment=segment,
            wants_client_info=args.get("client_info") == "1",
        )
        problem = _problem(args, request)
        if problem is not None:
            raise CallbackFault(self.refuse(state, request, *problem))
        return request

    def accounts(self, state: Sandbox, request: AuthorizationRequest) -> list[Account]:
        """Return the accounts that may sign in at the request's tenant segment."""
        segment = request.tenant_segment or "common"
        everyone = state.accounts.all("microsoft")
        if segment == "common":
            return everyone
        if segment == "organizations":
            return [a for a in everyone if not a.is_personal]
        tenant = state.accounts.tenant(segment)
        return [a for a in everyone if tenant is not None and a.tid == tenant.tid]

    def question(self, state: Sandbox, request: AuthorizationRequest, account: Account) -> Question:
        """Ask for what is missing, without boxes; for everything when `prompt=consent`."""
        if "consent" in request.prompt:
            return Question(request.scopes)
        held = held_scopes(state, account, request.client_id)
        return Question(tuple(scope for scope in request.scopes if scope not in held))

    def obstacle(self, state: Sandbox, request: AuthorizationRequest, account: Account) -> str | None:
        """Return AADSTS90094 when an administrator must consent to something that is asked and missing."""
        tenant = state.accounts.tenants.get(account.tid or "")
        demands = request.needs_admin or (tenant is not None and tenant.demands_admin_consent)
        held = state.grants.tenant_scopes(account.tid or "", request.client_id)
        missing = set(request.scopes) - MICROSOFT_SIGN_IN - held
        return ADMIN_NEEDED if demands and (missing or request.needs_admin) else None

    def allow(self, state: Sandbox, request: AuthorizationRequest, account: Account, chosen: set[str]) -> Callback:
        """Record the consent and return the callback with the code."""
        state.grants.allow("microsoft", account.key, request.client_id, chosen, state.clock.now())
        prefix = "M.C5" if account.is_personal else "0.A"
        code = new_code(state, request, account, prefix=prefix, granted=set(chosen), is_offline=request.is_offline)
        parameters = with_state({"code": code}, request) | {"session_state": str(uuid.uuid4())}
        if request.wants_client_info:
            parameters["client_info"] = client_info(account)
        return Callback(request.redirect_uri, parameters, request.response_mode)

    def refuse(self, state: Sandbox, request: AuthorizationRequest, error: str, words: str | None) -> Callback:
        """Return the callback with `error`, its description and Microsoft's extra members."""
        del state
        description = words or (DECLINED if error == "access_denied" else f"AADSTS50058: {error}")
        parameters = {
            "error": error,
            "error_description": description,
            "error_uri": f"https://login.microsoftonline.com/error?code={aadsts_code(description)}",
        }
        if description == DECLINED:
            parameters["error_subcode"] = "cancel"
        mode = request.response_mode if request.response_mode in MODES else "query"
        return Callback(request.redirect_uri, with_state(parameters, request), mode)


def held_scopes(state: Sandbox, account: Account, client_id: str) -> set[str]:
    """Return what a client may use for an account: the person's own grant and the administrator's."""
    grant = state.grants.find("microsoft", account.key, client_id)
    own = grant.scopes if grant else set()
    return own | state.grants.tenant_scopes(account.tid or "", client_id)


def client_info(account: Account) -> str:
    """Return the base64url JSON with `uid` and `utid` that msal keys accounts on."""
    body = json.dumps({"uid": account.oid, "utid": account.tid}).encode()
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def is_known_segment(state: Sandbox, segment: str) -> bool:
    """Tell whether a path segment names a tenant, or one of the three words for several."""
    return segment in ("common", "organizations", "consumers") or state.accounts.tenant(segment) is not None


def issuer_of(tid: str) -> str:
    """Return the issuer of a tenant's tokens."""
    return f"https://login.microsoftonline.com/{tid}/v2.0"


def issuer_in_discovery(state: Sandbox, segment: str) -> str:
    """Return the issuer a discovery document names: a template where several tenants share it."""
    if segment in ("common", "organizations"):
        return issuer_of("{tenantid}")
    if segment == "consumers":
        return issuer_of(CONSUMER_TENANT_ID)
    tenant = state.accounts.tenant(segment)
    return issuer_of(tenant.tid if tenant else segment)


def _known_client(state: Sandbox, args: Mapping[str, str], segment: str) -> ClientRegistration:
    if not is_known_segment(state, segment):
        raise PageFault(400, "invalid_request", f"AADSTS90002: Tenant '{segment}' not found.")
    client_id = args.get("client_id", "")
    client = state.settings.client("microsoft", client_id)
    if client is None:
        words = f"AADSTS700016: Application with identifier '{client_id}' was not found in the directory."
        raise PageFault(400, "unauthorized_client", words)
    if args.get("redirect_uri") not in client.redirect_uris:
        words = "AADSTS50011: The redirect URI specified in the request does not match the redirect URIs configured."
        raise PageFault(400, "invalid_request", words)
    return client


def _problem(args: Mapping[str, str], request: AuthorizationRequest) -> tuple[str, str] | None:
    """Return error and words for the first thing wrong with a request, None when all is well."""
    if args.get("response_type") != "code":
        return "unsupported_response_type", "AADSTS700054: response_type is not enabled for the application."
    if request.response_mode not in MODES:
        return "invalid_request", "AADSTS900235: The response_mode is not supported."
    if len(request.prompt) > 1 or not request.prompt <= PROMPTS:
        return "invalid_request", "AADSTS90023: Unsupported 'prompt' value."
    if request.code_challenge_method not in ("plain", "S256"):
        return "invalid_request", "AADSTS501491: Invalid size or method of Code_Challenge parameter."
    unknown = unknown_scopes("microsoft", request.scopes)
    if unknown or not request.scopes:
        words = f"AADSTS70011: The provided value for the input parameter 'scope' is not valid: {' '.join(unknown)}"
        return "invalid_scope", words
    return None
