"""Google's side of the authorization request: checks, consent by checkbox, callback."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.sandbox.accounts import Account
from app.sandbox.authorization import (
    AuthorizationRequest,
    Callback,
    PageFault,
    Question,
    new_code,
    with_state,
)
from app.sandbox.scopes import GOOGLE_SIGN_IN, google_scopes, unknown_scopes
from app.sandbox.settings import Provider
from app.sandbox.state import Sandbox

PROMPTS = frozenset({"none", "consent", "select_account"})


@dataclass(frozen=True)
class GoogleConsent:
    """Rules of Google's authorization endpoint (developers.google.com/identity/protocols/oauth2/web-server)."""

    provider: Provider = "google"
    title: str = "Google, emulated"

    def read(self, state: Sandbox, args: Mapping[str, str], tenant: str | None = None) -> AuthorizationRequest:
        """Check a request; every fault but those of `prompt=none` is a page, as at Google."""
        del tenant
        client = state.settings.client("google", args.get("client_id", ""))
        if client is None:
            raise PageFault(401, "invalid_client", "The OAuth client was not found.")
        if args.get("redirect_uri") not in client.redirect_uris:
            raise PageFault(400, "redirect_uri_mismatch", "The redirect URI is not registered for this client.")
        _check_values(args)
        request = AuthorizationRequest(
            provider="google",
            client_id=client.client_id,
            redirect_uri=args["redirect_uri"],
            scopes=tuple(google_scopes(args.get("scope", ""))),
            state=args.get("state"),
            nonce=args.get("nonce"),
            code_challenge=args.get("code_challenge"),
            code_challenge_method=args.get("code_challenge_method", "plain"),
            prompt=frozenset(args.get("prompt", "").split()),
            login_hint=args.get("login_hint"),
            is_offline=args.get("access_type") == "offline",
            includes_granted=args.get("include_granted_scopes") == "true",
        )
        if not request.scopes:
            raise PageFault(400, "invalid_request", "Missing required parameter: scope")
        if unknown := unknown_scopes("google", request.scopes):
            raise PageFault(400, "invalid_scope", f"Some requested scopes were invalid: {' '.join(unknown)}")
        return request

    def accounts(self, state: Sandbox, request: AuthorizationRequest) -> list[Account]:
        """Return all Google accounts."""
        del request
        return state.accounts.all("google")

    def question(self, state: Sandbox, request: AuthorizationRequest, account: Account) -> Question:
        """Ask for all at the first time and when consent is forced; box scopes when two or more are no sign-in."""
        grant = state.grants.find("google", account.key, request.client_id)
        held = grant.scopes if grant else set()
        if "consent" not in request.prompt and set(request.scopes) <= held:
            return Question(())
        others = frozenset(request.scopes) - GOOGLE_SIGN_IN
        return Question(request.scopes, others if len(others) > 1 else frozenset())

    def obstacle(self, state: Sandbox, request: AuthorizationRequest, account: Account) -> str | None:
        """Return None: nothing stops a person here."""
        del state, request, account
        return None

    def allow(self, state: Sandbox, request: AuthorizationRequest, account: Account, chosen: set[str]) -> Callback:
        """Record the consent; the code covers what was chosen, with earlier grants when they were to be included."""
        before = state.grants.find("google", account.key, request.client_id)
        is_first = before is None or not before.scopes
        grant = state.grants.allow("google", account.key, request.client_id, chosen, state.clock.now())
        granted = set(grant.scopes) if request.includes_granted else set(chosen)
        gives_refresh = request.is_offline and (is_first or "consent" in request.prompt)
        code = new_code(state, request, account, prefix="4/0A", granted=granted, is_offline=gives_refresh)
        parameters = {
            "code": code,
            "scope": " ".join(_callback_spelling(granted)),
            "authuser": "0",
            "prompt": "consent" if is_first or "consent" in request.prompt else "none",
        }
        if account.hd is not None:
            parameters["hd"] = account.hd
        return Callback(request.redirect_uri, with_state(parameters, request))

    def refuse(self, state: Sandbox, request: AuthorizationRequest, error: str, words: str | None = None) -> Callback:
        """Return the callback with `error`; Google sends no description along."""
        del state, words
        return Callback(request.redirect_uri, with_state({"error": error}, request))


def _check_values(args: Mapping[str, str]) -> None:
    prompt = set(args.get("prompt", "").split())
    faults = {
        "response_type": args.get("response_type") != "code",
        "access_type": args.get("access_type", "online") not in ("online", "offline"),
        "prompt": not prompt <= PROMPTS or ("none" in prompt and len(prompt) > 1),
        "code_challenge_method": args.get("code_challenge_method", "plain") not in ("plain", "S256"),
        "code_challenge": "code_challenge_method" in args and not args.get("code_challenge"),
        "include_granted_scopes": args.get("include_granted_scopes", "false") not in ("true", "false"),
    }
    for name, is_wrong in faults.items():
        if is_wrong:
            raise PageFault(400, "invalid_request", f"Invalid value or missing parameter: {name}")


def _callback_spelling(scopes: set[str]) -> list[str]:
    # Google's callback lists the short aliases first and the full addresses after them.
    short = [name.rsplit(".", 1)[1] for name in sorted(scopes & GOOGLE_SIGN_IN) if name != "openid"]
    return [*short, *sorted(scopes, reverse=True)]
