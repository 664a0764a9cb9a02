"""The control interface for tests and scripts: JSON below `/_control/`."""

import uuid
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request
from flask.typing import ResponseReturnValue

from app.sandbox.accounts import Account, UnknownAccountError
from app.sandbox.authorization import Callback, CallbackFault, PageFault
from app.sandbox.consent import approve
from app.sandbox.crowd import ledger_of, settle_crowd
from app.sandbox.fault_plan import Fault
from app.sandbox.grants import Grant
from app.sandbox.keys import RINGS
from app.sandbox.state import current_sandbox

blueprint = Blueprint("control", __name__, url_prefix="/_control")


@blueprint.post("/faults")
def add_fault() -> ResponseReturnValue:
    """Script one fault; the body has the members of `Fault`. Answer 201 with the fault and its id."""
    try:
        fault = Fault.from_json(_body())
    except ValueError as error:
        return _bad(str(error))
    return jsonify(current_sandbox().faults.add(fault).as_json()), 201


@blueprint.get("/faults")
def list_faults() -> Response:
    """List the faults still waiting."""
    return jsonify([fault.as_json() for fault in current_sandbox().faults.all()])


@blueprint.delete("/faults")
def clear_faults() -> ResponseReturnValue:
    """Remove all faults, or the one named by `?id=`."""
    plan = current_sandbox().faults
    fault_id = request.args.get("id", type=int)
    if fault_id is None:
        plan.clear()
    elif not plan.remove(fault_id):
        abort(404, "No fault has that id.")
    return "", 204


@blueprint.post("/settings")
def change_settings() -> ResponseReturnValue:
    """Change run-time settings by name; answer all of them."""
    state = current_sandbox()
    try:
        with state.lock:
            state.runtime.update(_body())
    except ValueError as error:
        return _bad(str(error))
    return jsonify(state.runtime.as_json())


@blueprint.get("/settings")
def show_settings() -> Response:
    """Show the run-time settings."""
    return jsonify(current_sandbox().runtime.as_json())


@blueprint.post("/clock")
def change_clock() -> ResponseReturnValue:
    """Move the clock by `advance_s` and set its `speed`, each when given; answer the time."""
    clock = current_sandbox().clock
    body = _body()
    try:
        if "speed" in body:
            clock.set_speed(float(body["speed"]))
        if "advance_s" in body:
            clock.advance(float(body["advance_s"]))
    except (TypeError, ValueError, OverflowError) as error:
        return _bad(str(error))
    return jsonify({"now": clock.now().isoformat(), "speed": clock.speed})


@blueprint.post("/keys/rotate")
def rotate_keys() -> ResponseReturnValue:
    """Sign with new keys of `provider`; with `retire` the old ones leave the key document at once."""
    body = _body()
    keys = current_sandbox().keys
    rings = [ring for ring in RINGS if ring.split("-")[0] == body.get("provider")]
    if not rings:
        return _bad("unknown provider")
    for ring in rings:
        keys.rotate(ring)
        if body.get("retire") is True:
            keys.retire_old(ring)
    return jsonify({"kid": keys.current(rings[0]).kid})


@blueprint.post("/grants/revoke")
def revoke_grants() -> ResponseReturnValue:
    """Take back all grants of `account` at `provider`, as the person or an administrator would."""
    state = current_sandbox()
    with state.lock:
        grants = _grants_of_body()
        for grant in grants:
            state.grants.revoke_grant(grant)
    return jsonify({"revoked": len(grants)})


@blueprint.post("/grants/expire")
def expire_tokens() -> ResponseReturnValue:
    """Let all access tokens of `account` at `provider` expire now."""
    state = current_sandbox()
    with state.lock:
        expired = sum(state.grants.expire_access_tokens(g, state.clock.now()) for g in _grants_of_body())
    return jsonify({"expired": expired})


@blueprint.post("/accounts/move")
def move_account() -> ResponseReturnValue:
    """Move Microsoft `account` to another `tenant` (GUID or domain) until the sandbox stops; answer its ids.

    The address stays, the object id is a new one, and what was granted before is taken back.
    """
    state, body = current_sandbox(), _body()
    tenant = state.accounts.tenant(str(body.get("tenant", "")))
    if tenant is None:
        return _bad("unknown tenant")
    with state.lock:
        old = _account("microsoft", body)
        for grant in state.grants.of_account("microsoft", old.key):
            state.grants.revoke_grant(grant)
        moved = replace(old, subject=str(uuid.uuid4()), tid=tenant.tid)
        state.accounts.add([moved])
    return jsonify({"oid": moved.oid, "tid": moved.tid, "email": moved.email})


@blueprint.post("/tenant-consents")
def consent_for_tenant() -> ResponseReturnValue:
    """Consent to `scopes` of Microsoft client `client_id` for everyone in `tenant` (GUID or domain)."""
    state, body = current_sandbox(), _body()
    tenant = state.accounts.tenant(str(body.get("tenant", "")))
    scopes = body.get("scopes")
    if tenant is None or not isinstance(scopes, list):
        return _bad("tenant and scopes are needed")
    with state.lock:
        state.grants.allow_tenant(tenant.tid, str(body.get("client_id", "")), {str(s) for s in scopes})
    return jsonify({"tenant": tenant.tid})


@blueprint.get("/log")
def show_log() -> Response:
    """Show the latest requests, and calls with the most at once per operation and subject."""
    log = current_sandbox().request_log
    entries = [entry.__dict__ | {"at": entry.at.isoformat()} for entry in log.entries()]
    return jsonify({"counts": log.counts(), "requests": entries})


@blueprint.get("/ledger")
def show_ledger() -> Response:
    """Show every token call, and every token ever issued by digest with its account."""
    return jsonify(ledger_of(current_sandbox()))


@blueprint.post("/crowd")
def seed_crowd() -> ResponseReturnValue:
    """Let `count` new people at `provider` have granted `scopes` to its client.

    Answers their subjects and tokens, with access tokens that live `lifetime_s` seconds.
    """
    body = _body()
    try:
        crowd = settle_crowd(
            current_sandbox(),
            str(body["provider"]),
            [str(scope) for scope in body["scopes"]],
            count=int(body["count"]),
            lifetime_s=int(body["lifetime_s"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        return _bad(str(error))
    return jsonify([member.__dict__ for member in crowd])


@blueprint.delete("/log")
def clear_log() -> ResponseReturnValue:
    """Forget requests and counters."""
    current_sandbox().request_log.clear()
    return "", 204


@blueprint.post("/approve")
def approve_url() -> ResponseReturnValue:
    """Decide an authorization `url` as `account`, without a browser.

    Members: `url`, `account`, `decision` (`allow` or `deny`), `unticked` (scopes). Answers `location`, and `form` when
    the client asked for a form post; 400 with `page` when the provider would have shown an error page.
    """
    state, body = current_sandbox(), _body()
    try:
        with state.lock:
            callback = approve(
                state,
                str(body.get("url", "")),
                str(body.get("account", "")),
                allows=body.get("decision", "allow") == "allow",
                unticked=frozenset(body.get("unticked", ())),
            )
    except CallbackFault as fault:
        return jsonify(_described(fault.callback))
    except PageFault as fault:
        return jsonify({"page": fault.error, "error_description": fault.words}), 400
    except (UnknownAccountError, ValueError, TypeError) as error:
        return _bad(str(error))
    return jsonify(_described(callback))


def _described(callback: Callback) -> dict[str, Any]:
    described: dict[str, Any] = {"location": callback.location}
    return described | {"form": callback.parameters} if callback.mode == "form_post" else described


def _grants_of_body() -> list[Grant]:
    body = _body()
    account = _account(str(body.get("provider")), body)
    return current_sandbox().grants.of_account(account.provider, account.key)


def _account(provider: str, body: dict[str, Any]) -> Account:
    try:
        return current_sandbox().accounts.by_key(provider, str(body.get("account")))
    except UnknownAccountError:
        abort(404, "No such account.")


def _body() -> dict[str, Any]:
    # Only JSON is read, so that no foreign page can send one of these by a plain form.
    body = request.get_json()
    if not isinstance(body, dict):
        abort(400, "A JSON object is needed.")
    return body


def _bad(words: str) -> ResponseReturnValue:
    return jsonify({"error": "invalid_request", "error_description": words}), 400
