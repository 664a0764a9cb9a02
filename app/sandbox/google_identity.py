"""Google's identity endpoints on the sandbox's root: all hosts of Google on one port, no paths collide."""

from typing import Any

import jwt
from flask import Blueprint, Response, abort, jsonify, request
from flask.typing import ResponseReturnValue
from jwt.types import Options

from app.sandbox.authorization_pages import begin
from app.sandbox.faults import with_faults
from app.sandbox.google_tokens import ISSUER, answer_token_request, profile_claims
from app.sandbox.grants import AccessToken, Grant, RefreshState, digest_of
from app.sandbox.oauth_errors import OAuthFault, no_store, oauth_error
from app.sandbox.scopes import GOOGLE_PREFIX
from app.sandbox.state import Sandbox, current_sandbox
from app.sandbox.tokens import AccessDenied, check_access

blueprint = Blueprint("google_identity", __name__)
KEYS_MAX_AGE_S = 19800
"""Google's key documents may be cached for some hours; the exact figure varies."""

DISCOVERY: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
    "token_endpoint": "https://oauth2.googleapis.com/token",
    "userinfo_endpoint": "https://openidconnect.googleapis.com/v1/userinfo",
    "revocation_endpoint": "https://oauth2.googleapis.com/revoke",
    "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
    "response_types_supported": ["code"],
    "response_modes_supported": ["query"],
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["RS256"],
    "scopes_supported": ["openid", "email", "profile"],
    "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
    "claims_supported": [
        "aud",
        "email",
        "email_verified",
        "exp",
        "family_name",
        "given_name",
        "iat",
        "iss",
        "name",
        "sub",
    ],
    "code_challenge_methods_supported": ["plain", "S256"],
    "grant_types_supported": ["authorization_code", "refresh_token"],
}
"""Google's real addresses: clients reach them through their own routes to the sandbox."""


@blueprint.get("/.well-known/openid-configuration")
def discovery() -> Response:
    """Answer OpenID Connect discovery for accounts.google.com."""
    return _cached(jsonify(DISCOVERY), 3600)


@blueprint.get("/o/oauth2/v2/auth")
def authorize() -> ResponseReturnValue:
    """Start the authorization code flow in the browser."""
    return begin("google", request.args)


@blueprint.post("/token")
@with_faults("google.token")
def token() -> ResponseReturnValue:
    """Answer a token request; form bodies only."""
    state = current_sandbox()
    try:
        with state.lock:
            return no_store(jsonify(answer_token_request(state, request)))
    except OAuthFault as fault:
        return oauth_error(fault.status, fault.error, fault.description)


@blueprint.post("/revoke")
@with_faults("google.revoke")
def revoke() -> ResponseReturnValue:
    """Take back a whole grant by any of its tokens, in the query or in the form."""
    state = current_sandbox()
    with state.lock:
        grant = _grant_of_live_token(state, request.values.get("token", ""))
        if grant is None:
            return oauth_error(400, "invalid_token", "Token expired or revoked")
        state.grants.revoke_grant(grant)
    return jsonify({})


@blueprint.get("/revoke")
def revoke_by_get() -> ResponseReturnValue:
    """Answer 404: Google revokes by POST only."""
    abort(404)


@blueprint.get("/oauth2/v3/certs")
@with_faults("google.jwks")
def key_set() -> ResponseReturnValue:
    """Publish the signing keys as a JWK set."""
    keys = current_sandbox().keys.published("google")
    return _cached(jsonify({"keys": [key.jwk() for key in keys]}), KEYS_MAX_AGE_S)


@blueprint.get("/oauth2/v1/certs")
@with_faults("google.jwks")
def certificates() -> ResponseReturnValue:
    """Publish the signing keys as X.509 certificates by key id."""
    keys = current_sandbox().keys.published("google")
    name = "federated-signon.system.gserviceaccount.com"
    return _cached(jsonify({key.kid: key.certificate_pem(name) for key in keys}), KEYS_MAX_AGE_S)


@blueprint.get("/v1/userinfo")
@with_faults("google.userinfo")
def userinfo() -> ResponseReturnValue:
    """Answer the OpenID Connect userinfo request."""
    try:
        access = check_access(request.headers.get("Authorization"), "google", {"openid"})
    except AccessDenied as denial:
        answer = oauth_error(denial.status, "invalid_request", "Invalid Credentials")
        answer.headers["WWW-Authenticate"] = 'Bearer realm="https://accounts.google.com/", error="invalid_token"'
        return answer
    return jsonify(profile_claims(access.account, access.scopes))


@blueprint.get("/tokeninfo")
def tokeninfo() -> ResponseReturnValue:
    """Explain an `id_token` or `access_token`, for debugging; all values are strings."""
    state = current_sandbox()
    claims = _id_token_info(state) if "id_token" in request.args else _access_token_info(state)
    if claims is None:
        return oauth_error(400, "invalid_token", "Invalid Value")
    return no_store(jsonify(claims))


def _id_token_info(state: Sandbox) -> dict[str, str] | None:
    text = request.args["id_token"]
    try:
        header = jwt.get_unverified_header(text)
        key = next(k for k in state.keys.published("google") if k.kid == header.get("kid"))
        # The sandbox's clock decides about expiry, not the machine's.
        options: Options = {"verify_aud": False, "verify_exp": False, "verify_iat": False}
        public_key = key.private_key.public_key()
        claims: dict[str, Any] = jwt.decode(text, public_key, algorithms=["RS256"], options=options)
    except (jwt.InvalidTokenError, StopIteration):
        return None
    if claims["exp"] <= state.clock.timestamp():
        return None
    return {name: str(value) for name, value in claims.items()} | {"alg": "RS256", "kid": key.kid, "typ": "JWT"}


def _access_token_info(state: Sandbox) -> dict[str, str] | None:
    with state.lock:
        token = state.grants.access_tokens.get(digest_of(request.args.get("access_token", "")))
        if token is None or not _is_live(state, token):
            return None
        grant = state.grants.grants[token.grant_id]
    account = state.accounts.by_key("google", grant.account_key)
    info = {
        "azp": grant.client_id,
        "aud": grant.client_id,
        "sub": account.sub,
        "scope": " ".join(sorted(token.scopes)),
        "exp": str(int(token.expires_at.timestamp())),
        "expires_in": str(int((token.expires_at - state.clock.now()).total_seconds())),
        "access_type": "offline",
    }
    if GOOGLE_PREFIX + "userinfo.email" in token.scopes:
        info |= {"email": account.email, "email_verified": "true"}
    return info


def _is_live(state: Sandbox, token: AccessToken) -> bool:
    is_google = state.grants.grants[token.grant_id].provider == "google"
    return is_google and not token.is_revoked and token.expires_at > state.clock.now()


def _grant_of_live_token(state: Sandbox, text: str) -> Grant | None:
    digest = digest_of(text)
    refresh_token = state.grants.refresh_tokens.get(digest)
    access_token = state.grants.access_tokens.get(digest)
    if refresh_token is not None and refresh_token.state is not RefreshState.REVOKED:
        grant = state.grants.grants[refresh_token.grant_id]
    elif access_token is not None and _is_live(state, access_token):
        grant = state.grants.grants[access_token.grant_id]
    else:
        return None
    return grant if grant.provider == "google" else None


def _cached(answer: Response, max_age_s: int) -> Response:
    answer.headers["Cache-Control"] = f"public, max-age={max_age_s}, must-revalidate, no-transform"
    return answer
