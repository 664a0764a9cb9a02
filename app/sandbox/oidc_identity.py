"""The strict OpenID Connect provider below `/idp`; its issuer is a setting, usually not the sandbox's own address."""

from typing import Any

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from app.sandbox.authorization_pages import begin
from app.sandbox.client_authentication import authenticated_client, needed
from app.sandbox.faults import with_faults
from app.sandbox.grants import digest_of
from app.sandbox.oauth_errors import OAuthFault, no_store, oauth_error
from app.sandbox.oidc_tokens import answer_token_request, profile_claims
from app.sandbox.state import Sandbox, current_sandbox
from app.sandbox.tokens import AccessDenied, DenialKind, check_access

blueprint = Blueprint("oidc_identity", __name__, url_prefix="/idp")


@blueprint.get("/.well-known/openid-configuration")
def discovery() -> Response:
    """Answer OpenID Connect discovery; all endpoints lie below the issuer."""
    issuer = current_sandbox().settings.oidc_issuer
    document: dict[str, Any] = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "revocation_endpoint": f"{issuer}/revoke",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "authorization_response_iss_parameter_supported": True,
    }
    return jsonify(document)


@blueprint.get("/authorize")
def authorize() -> ResponseReturnValue:
    """Start the authorization code flow in the browser."""
    return begin("oidc", request.args)


@blueprint.post("/token")
@with_faults("oidc.token")
def token() -> ResponseReturnValue:
    """Answer a token request (RFC 6749 sections 4.1.3 and 6)."""
    state = current_sandbox()
    try:
        with state.lock:
            return no_store(jsonify(answer_token_request(state, request)))
    except OAuthFault as fault:
        return _refused(fault)


@blueprint.post("/revoke")
@with_faults("oidc.revoke")
def revoke() -> ResponseReturnValue:
    """Revoke a token of the calling client; 200 for unknown tokens too (RFC 7009 section 2.2)."""
    state = current_sandbox()
    try:
        with state.lock:
            client = authenticated_client(state, request, "oidc")
            _revoke(state, digest_of(needed(request, "token")), client.client_id)
    except OAuthFault as fault:
        return _refused(fault)
    return Response(b"", 200)


@blueprint.get("/jwks")
@with_faults("oidc.jwks")
def key_set() -> ResponseReturnValue:
    """Publish the signing keys."""
    return jsonify({"keys": [key.jwk() for key in current_sandbox().keys.published("oidc")]})


@blueprint.route("/userinfo", methods=["GET", "POST"])
@with_faults("oidc.userinfo")
def userinfo() -> ResponseReturnValue:
    """Answer the userinfo request (OIDC Core 5.3)."""
    try:
        access = check_access(request.headers.get("Authorization"), "oidc", {"openid"})
    except AccessDenied as denial:
        error = "insufficient_scope" if denial.kind is DenialKind.SCOPE else "invalid_token"
        answer = oauth_error(denial.status, error, "The access token does not allow this.")
        answer.headers["WWW-Authenticate"] = f'Bearer error="{error}"'
        return answer
    return jsonify(profile_claims(access.account, access.scopes))


def _revoke(state: Sandbox, digest: str, client_id: str) -> None:
    refresh_token = state.grants.refresh_tokens.get(digest)
    if refresh_token is not None and state.grants.grants[refresh_token.grant_id].client_id == client_id:
        state.grants.revoke_family(refresh_token.family)
    access_token = state.grants.access_tokens.get(digest)
    if access_token is not None and state.grants.grants[access_token.grant_id].client_id == client_id:
        access_token.is_revoked = True


def _refused(fault: OAuthFault) -> Response:
    answer = oauth_error(fault.status, fault.error, fault.description)
    if fault.error == "invalid_client":
        # Section 5.2 of RFC 6749 wants the scheme named when the client used the Authorization header.
        answer.headers["WWW-Authenticate"] = 'Basic realm="idp"'
    return answer
