"""Microsoft's identity endpoints below a tenant segment: `common`, `organizations`, `consumers`, a GUID or a domain."""

from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from flask import Blueprint, Response, jsonify, redirect, render_template, request
from flask.typing import ResponseReturnValue

from app.sandbox.accounts import CONSUMER_TENANT_ID, Tenant
from app.sandbox.authorization_pages import begin
from app.sandbox.faults import with_faults
from app.sandbox.keys import SigningKey
from app.sandbox.microsoft_clients import ORIGIN
from app.sandbox.microsoft_consent import is_known_segment, issuer_in_discovery, issuer_of
from app.sandbox.microsoft_errors import EntraFault, microsoft_error
from app.sandbox.microsoft_tokens import answer_token_request, pairwise_subject
from app.sandbox.oauth_errors import no_store
from app.sandbox.scopes import in_words, microsoft_scopes, unknown_scopes
from app.sandbox.state import Sandbox, current_sandbox
from app.sandbox.tokens import AccessDenied, check_access

blueprint = Blueprint("microsoft_identity", __name__)


@blueprint.get("/<segment>/v2.0/.well-known/openid-configuration")
def discovery(segment: str) -> ResponseReturnValue:
    """Answer OpenID Connect discovery for a tenant segment, with Microsoft's real addresses."""
    state = current_sandbox()
    if not is_known_segment(state, segment):
        return microsoft_error("invalid_tenant", f"AADSTS90002: Tenant '{segment}' not found.")
    root = f"{ORIGIN}/{segment}"
    document: dict[str, Any] = {
        "issuer": issuer_in_discovery(state, segment),
        "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
        "token_endpoint": f"{root}/oauth2/v2.0/token",
        "end_session_endpoint": f"{root}/oauth2/v2.0/logout",
        "jwks_uri": f"{root}/discovery/v2.0/keys",
        "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": [
            "sub",
            "iss",
            "aud",
            "exp",
            "iat",
            "nonce",
            "name",
            "preferred_username",
            "tid",
            "ver",
            "email",
        ],
        "cloud_instance_name": "microsoftonline.com",
        "msgraph_host": "graph.microsoft.com",
    }
    return jsonify(document)


@blueprint.get("/common/discovery/instance")
def instance_discovery() -> Response:
    """Tell msal which hosts are the same cloud."""
    endpoint = request.args.get("authorization_endpoint", f"{ORIGIN}/common/oauth2/v2.0/authorize")
    segment = urlsplit(endpoint).path.strip("/").split("/")[0] or "common"
    hosts = ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"]
    cloud = {"preferred_network": hosts[0], "preferred_cache": hosts[1], "aliases": hosts}
    return jsonify(
        {
            "tenant_discovery_endpoint": f"{ORIGIN}/{segment}/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [cloud],
        }
    )


@blueprint.get("/<segment>/discovery/v2.0/keys")
@with_faults("microsoft.jwks")
def key_set(segment: str) -> ResponseReturnValue:
    """Publish the signing keys; each names the issuer it may be used for."""
    state = current_sandbox()
    if not is_known_segment(state, segment):
        return microsoft_error("invalid_tenant", f"AADSTS90002: Tenant '{segment}' not found.")
    work = [_published(key, issuer_of("{tenantid}")) for key in state.keys.published("microsoft")]
    personal = [_published(key, issuer_of(CONSUMER_TENANT_ID)) for key in state.keys.published("microsoft-personal")]
    return jsonify({"keys": work + personal})


@blueprint.get("/<segment>/oauth2/v2.0/authorize")
def authorize(segment: str) -> ResponseReturnValue:
    """Start the authorization code flow in the browser."""
    return begin("microsoft", request.args, segment)


@blueprint.post("/<segment>/oauth2/v2.0/token")
@with_faults("microsoft.token")
def token(segment: str) -> ResponseReturnValue:
    """Answer a token request."""
    state = current_sandbox()
    try:
        with state.lock:
            return no_store(jsonify(answer_token_request(state, request, segment)))
    except EntraFault as fault:
        return microsoft_error(fault.error, fault.words, suberror=fault.suberror, status=fault.status)


@blueprint.route("/oidc/userinfo", methods=["GET", "POST"])
def userinfo() -> ResponseReturnValue:
    """Answer the userinfo request, which Microsoft serves from the Graph host."""
    try:
        access = check_access(request.headers.get("Authorization"), "microsoft", {"openid"})
    except AccessDenied as denial:
        words = "Access token validation failure." if denial.status == 401 else "Insufficient privileges."
        code = "InvalidAuthenticationToken" if denial.status == 401 else "Authorization_RequestDenied"
        return jsonify({"error": {"code": code, "message": words}}), denial.status
    account = access.account
    claims = {
        "sub": pairwise_subject(account, access.client_id),
        "name": account.name,
        "given_name": account.given_name,
        "family_name": account.family_name,
    }
    has_email = account.has_email_claim and "email" in access.scopes
    return jsonify(claims | {"email": account.email} if has_email else claims)


@blueprint.route("/<segment>/oauth2/v2.0/logout", methods=["GET", "POST"])
def logout(segment: str) -> ResponseReturnValue:
    """End the browser's session here; go back only to a registered address."""
    del segment
    target = request.values.get("post_logout_redirect_uri", "")
    clients = [c for c in current_sandbox().settings.clients if c.provider == "microsoft"]
    known = any(_same_origin(target, uri) for client in clients for uri in client.redirect_uris)
    answer = redirect(target) if known else Response(render_template("sandbox/signed_out.html"))
    answer.delete_cookie("sandbox_microsoft")
    return answer


@blueprint.get("/<segment>/v2.0/adminconsent")
def admin_consent(segment: str) -> ResponseReturnValue:
    """Ask an administrator to consent for everyone in a tenant."""
    state = current_sandbox()
    problem = _admin_problem(state, segment)
    if problem is not None:
        return render_template("sandbox/message.html", heading="This request cannot be used", text=problem), 400
    scopes = _admin_scopes(state)
    return render_template(
        "sandbox/admin_consent.html",
        tenants=_choices(state, segment),
        scopes=[(scope, in_words("microsoft", scope)) for scope in scopes],
    )


@blueprint.post("/<segment>/v2.0/adminconsent")
def decide_admin_consent(segment: str) -> ResponseReturnValue:
    """Record the administrator's decision and send the browser back; the callback proves nothing by itself."""
    state = current_sandbox()
    problem = _admin_problem(state, segment)
    tenant = state.accounts.tenants.get(request.values.get("tenant", ""))
    if problem is not None or tenant is None or tenant not in _choices(state, segment):
        text = problem or "Choose one of the organisations."
        return render_template("sandbox/message.html", heading="This request cannot be used", text=text), 400
    parameters = {"admin_consent": "True"}
    if request.form.get("decision") == "allow":
        scopes = _admin_scopes(state)
        with state.lock:
            state.grants.allow_tenant(tenant.tid, request.args["client_id"], set(scopes))
        parameters |= {"tenant": tenant.tid, "scope": " ".join(f"https://graph.microsoft.com/{s}" for s in scopes)}
    else:
        words = "AADSTS65004: The resource owner or authorization server denied the request."
        parameters |= {"error": "consent_required", "error_description": words}
    if "state" in request.args:
        parameters["state"] = request.args["state"]
    target = urlsplit(request.args["redirect_uri"])
    return redirect(urlunsplit(target._replace(query=urlencode(parameters))))


def _admin_problem(state: Sandbox, segment: str) -> str | None:
    client = state.settings.client("microsoft", request.args.get("client_id", ""))
    if segment == "common" or not is_known_segment(state, segment):
        return f"AADSTS90002: Tenant '{segment}' not found."
    if client is None:
        return "AADSTS700016: The application was not found in the directory."
    if request.args.get("redirect_uri") not in client.redirect_uris:
        return "AADSTS50011: The redirect URI is not registered."
    scopes = microsoft_scopes(request.args.get("scope", ""))
    if not scopes or unknown_scopes("microsoft", [s for s in scopes if s != ".default"]):
        return "AADSTS70011: The scope is not valid."
    return None


def _admin_scopes(state: Sandbox) -> list[str]:
    scopes = microsoft_scopes(request.args.get("scope", ""))
    if ".default" not in scopes:
        return scopes
    # The sandbox has no list of permissions in a registration: everything anyone was asked for so far stands in.
    asked = [g.scopes for g in state.grants.grants.values() if g.client_id == request.args["client_id"]]
    return sorted(set().union({"User.Read"}, *asked))


def _choices(state: Sandbox, segment: str) -> list[Tenant]:
    directories = [t for t in state.accounts.tenants.values() if t.tid != CONSUMER_TENANT_ID]
    return [t for t in directories if segment == "organizations" or segment.lower() in (t.tid, t.domain)]


def _published(key: SigningKey, issuer: str) -> dict[str, Any]:
    jwk = key.jwk()
    # Microsoft's key documents name no algorithm.
    del jwk["alg"]
    return jwk | {"x5t": key.kid, "issuer": issuer}


def _same_origin(left: str, right: str) -> bool:
    return bool(left) and urlsplit(left)[:2] == urlsplit(right)[:2]
