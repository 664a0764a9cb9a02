"""The pages between an authorization request and its callback: account picker, consent, obstacle, refusal."""

from collections.abc import Mapping

from flask import Blueprint, Response, abort, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from app.sandbox.accounts import Account
from app.sandbox.authorization import AuthorizationRequest, Callback, CallbackFault, PageFault
from app.sandbox.consent import RULES, hinted_account, meet_fault, settle, settle_silently
from app.sandbox.scopes import in_words
from app.sandbox.state import Sandbox, current_sandbox

blueprint = Blueprint("authorization", __name__, url_prefix="/sandbox/authorize")


def begin(provider: str, args: Mapping[str, str], tenant: str | None = None) -> ResponseReturnValue:
    """Answer an authorization request: a page for the person, or the callback when nobody has to be asked."""
    state = current_sandbox()
    rules = RULES[provider]
    try:
        with state.lock:
            asked = rules.read(state, args, tenant)
            if "none" in asked.prompt:
                return _send(settle_silently(state, asked, request.cookies.get(_cookie(asked))))
            state.pending.add_request(asked)
            hinted = hinted_account(state, rules, asked)
            if hinted is not None and "select_account" not in asked.prompt:
                return _continue(state, asked, hinted)
            return _picker(state, asked)
    except PageFault as fault:
        return render_template("sandbox/authorization_error.html", title=rules.title, fault=fault), fault.status
    except CallbackFault as fault:
        return _send(fault.callback)


@blueprint.post("/<request_id>/account")
def choose_account(request_id: str) -> ResponseReturnValue:
    """Take the chosen account; show the consent, or finish when nothing is left to ask."""
    state = current_sandbox()
    with state.lock:
        asked = _waiting(state, request_id)
        return _continue(state, asked, _chosen_account(state, asked))


@blueprint.post("/<request_id>/administrator")
def approve_for_tenant(request_id: str) -> ResponseReturnValue:
    """Act as the tenant's administrator: consent for everyone, then go on with the person's own request."""
    state = current_sandbox()
    with state.lock:
        asked = _waiting(state, request_id)
        account = _chosen_account(state, asked)
        if account.tid is None:
            abort(404)
        state.grants.allow_tenant(account.tid, asked.client_id, set(asked.scopes))
        state.pending.add_request(asked.without_obstacle())
        return _continue(state, asked.without_obstacle(), account)


@blueprint.post("/<request_id>/decision")
def decide(request_id: str) -> ResponseReturnValue:
    """Take the person's decision and send the browser back to the client."""
    state = current_sandbox()
    with state.lock:
        asked = _waiting(state, request_id)
        account = _chosen_account(state, asked)
        allows = request.form.get("decision") == "allow"
        callback = settle(state, asked, account, allows=allows, ticked=set(request.form.getlist("scope")))
        del state.pending.requests[request_id]
    return _send(callback, account if allows else None)


def _continue(state: Sandbox, asked: AuthorizationRequest, account: Account) -> ResponseReturnValue:
    met = meet_fault(state, asked, account)
    if isinstance(met, Callback):
        return _send(met)
    state.pending.requests[met.request_id] = met
    rules = RULES[met.provider]
    shared = {"title": rules.title, "asked": met, "account": account, "client": _client_name(state, met)}
    obstacle = rules.obstacle(state, met, account)
    if obstacle is not None:
        return render_template("sandbox/administrator_needed.html", obstacle=obstacle, **shared)
    question = rules.question(state, met, account)
    if not question.scopes:
        del state.pending.requests[met.request_id]
        return _send(settle(state, met, account, allows=True), account)
    scopes = [(scope, in_words(met.provider, scope), scope in question.boxed) for scope in question.scopes]
    return render_template("sandbox/consent.html", scopes=scopes, **shared)


def _picker(state: Sandbox, asked: AuthorizationRequest) -> ResponseReturnValue:
    rules = RULES[asked.provider]
    return render_template(
        "sandbox/account_picker.html",
        title=rules.title,
        asked=asked,
        accounts=rules.accounts(state, asked),
        client=_client_name(state, asked),
        tenants=state.accounts.tenants,
    )


def _send(callback: Callback, account: Account | None = None) -> Response:
    if callback.mode == "form_post":
        answer = make_response(render_template("sandbox/form_post.html", callback=callback))
    else:
        answer = make_response(redirect(callback.location, 302))
    # The address or the page carries the code.
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Referrer-Policy"] = "no-referrer"
    if account is not None:
        answer.set_cookie(f"sandbox_{account.provider}", account.key, httponly=True, samesite="Lax")
    return answer


def _waiting(state: Sandbox, request_id: str) -> AuthorizationRequest:
    asked = state.pending.requests.get(request_id)
    if asked is None:
        abort(404, "This consent is no longer waiting. Start again in the application.")
    return asked


def _chosen_account(state: Sandbox, asked: AuthorizationRequest) -> Account:
    choices = {account.key: account for account in RULES[asked.provider].accounts(state, asked)}
    account = choices.get(request.form.get("account", ""))
    if account is None:
        abort(400, "That account cannot be chosen here.")
    return account


def _client_name(state: Sandbox, asked: AuthorizationRequest) -> str:
    client = state.settings.client(asked.provider, asked.client_id)
    return client.name if client else asked.client_id


def _cookie(asked: AuthorizationRequest) -> str:
    return f"sandbox_{asked.provider}"
