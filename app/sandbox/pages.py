"""The sandbox's own pages: what is here, grants, faults, settings, request log."""

from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from app.sandbox.accounts import Account
from app.sandbox.fault_plan import OPERATIONS, Fault, FaultKind
from app.sandbox.grants import Grant, RefreshState
from app.sandbox.scopes import in_words
from app.sandbox.settings import NULLABLE, PROVIDERS
from app.sandbox.state import Sandbox, current_sandbox

blueprint = Blueprint("pages", __name__)

PROVIDER_NAMES = {"google": "Google", "microsoft": "Microsoft", "oidc": "Acme sign-in"}
ROTATION_WORDS = {
    "none": "stay the same",
    "overlap": "are replaced; old ones stay good",
    "grace": "are replaced; old ones work a little longer",
    "strict": "work once; reuse revokes all",
}
NUMBERS = (
    "access_token_lifetime_s",
    "rotation_grace_s",
    "google_refresh_life_s",
    "sync_token_life_s",
    "google_page_size",
    "graph_page_size",
    "graph_concurrency",
    "google_quota_per_min",
    "graph_quota_per_10_min",
)


@blueprint.before_app_request
def refuse_foreign_forms() -> None:
    """Refuse forms that another site's page sends to the sandbox's own pages."""
    origin = request.headers.get("Origin")
    is_own_page = request.path.startswith(("/sandbox/", "/people/", "/_control/"))
    if is_own_page and request.method == "POST" and origin not in (None, request.host_url.rstrip("/")):
        abort(403, "This form came from another site.")


@blueprint.app_template_global()
def provider_name(provider: str) -> str:
    """Return a provider's name as the pages write it."""
    return PROVIDER_NAMES[provider]


@blueprint.app_template_global()
def scope_words(provider: str, scope: str) -> str:
    """Return a scope in plain words."""
    return in_words(provider, scope)


@blueprint.get("/")
def home() -> ResponseReturnValue:
    """Show what is here and who lives here."""
    state = current_sandbox()
    people = {provider: state.accounts.all(provider) for provider in PROVIDERS}
    return render_template(
        "sandbox/home.html", people=people, tenants=state.accounts.tenants, now=state.clock.now(), page="home"
    )


@blueprint.get("/sandbox/grants")
def grants() -> ResponseReturnValue:
    """Show what every account granted to whom."""
    state = current_sandbox()
    with state.lock:
        rows = [_grant_row(state, account, grant) for account, grant in _living_grants(state)]
    return render_template("sandbox/grants.html", rows=rows, page="grants")


@blueprint.post("/sandbox/grants/<grant_id>/<action>")
def change_grant(grant_id: str, action: str) -> ResponseReturnValue:
    """Revoke a grant, let its access tokens expire, or have its refresh token replaced at the next use."""
    state = current_sandbox()
    with state.lock:
        grant = state.grants.grants.get(grant_id)
        if grant is None:
            abort(404, "That grant is not there.")
        match action:
            case "revoke":
                state.grants.revoke_grant(grant)
            case "expire":
                state.grants.expire_access_tokens(grant, state.clock.now())
            case "rotate":
                grant.rotates_next = True
            case _:
                abort(404)
    return redirect(url_for("pages.grants"), 303)


@blueprint.get("/sandbox/faults")
def faults() -> ResponseReturnValue:
    """Show the scripted faults and a form for another one."""
    state = current_sandbox()
    return render_template(
        "sandbox/faults.html",
        faults=state.faults.all(),
        operations=OPERATIONS,
        kinds=list(FaultKind),
        accounts=sorted({account.key for account in state.accounts.all()}),
        page="faults",
    )


@blueprint.post("/sandbox/faults")
def add_fault() -> ResponseReturnValue:
    """Script a fault from the form."""
    try:
        fault = Fault.from_json(_fault_members(request.form))
    except ValueError as error:
        abort(400, str(error))
    current_sandbox().faults.add(fault)
    return redirect(url_for("pages.faults"), 303)


@blueprint.post("/sandbox/faults/<int:fault_id>/remove")
def remove_fault(fault_id: int) -> ResponseReturnValue:
    """Remove a fault; one that is gone already is no error."""
    current_sandbox().faults.remove(fault_id)
    return redirect(url_for("pages.faults"), 303)


@blueprint.get("/sandbox/settings")
def settings() -> ResponseReturnValue:
    """Show the values that may change while the sandbox runs."""
    state = current_sandbox()
    return render_template(
        "sandbox/settings.html", runtime=state.runtime, clock=state.clock, rotations=ROTATION_WORDS, page="settings"
    )


@blueprint.post("/sandbox/settings")
def change_settings() -> ResponseReturnValue:
    """Change the run-time settings from the form."""
    state = current_sandbox()
    try:
        changes = _setting_changes(request.form)
        with state.lock:
            state.runtime.update(changes)
    except ValueError as error:
        abort(400, str(error))
    return redirect(url_for("pages.settings"), 303)


@blueprint.post("/sandbox/clock")
def advance_clock() -> ResponseReturnValue:
    """Move the clock forward by the form's number of seconds."""
    seconds = request.form.get("advance_s", type=float)
    if seconds is None or not 0 <= seconds <= 10 * 365 * 86400:
        abort(400, "Give seconds between nought and ten years.")
    current_sandbox().clock.advance(seconds)
    return redirect(url_for("pages.settings"), 303)


@blueprint.get("/sandbox/log")
def request_log() -> ResponseReturnValue:
    """Show the latest requests, newest first."""
    log = current_sandbox().request_log
    return render_template(
        "sandbox/log.html", entries=list(reversed(log.entries()))[:200], counts=log.counts(), page="log"
    )


def _living_grants(state: Sandbox) -> list[tuple[Account, Grant]]:
    return [
        (account, grant)
        for account in state.accounts.all()
        for grant in state.grants.of_account(account.provider, account.key)
        if grant.scopes
    ]


def _grant_row(state: Sandbox, account: Account, grant: Grant) -> dict[str, Any]:
    now = state.clock.now()
    refresh_tokens = state.grants.refresh_tokens_of(grant)
    client = state.settings.client(grant.provider, grant.client_id)
    return {
        "account": account,
        "grant": grant,
        "client": client.name if client else grant.client_id,
        "scopes": sorted(grant.scopes),
        "live_refresh": sum(t.state is RefreshState.LIVE for t in refresh_tokens),
        "live_access": sum(not t.is_revoked and t.expires_at > now for t in state.grants.access_tokens_of(grant)),
    }


def _fault_members(form: MultiDict[str, str]) -> dict[str, Any]:
    members: dict[str, Any] = {name: form[name] for name in ("operation", "kind", "account", "body") if form.get(name)}
    members |= {name: int(form[name]) for name in ("count", "status", "after") if form.get(name)}
    if form.get("seconds"):
        members["seconds"] = float(form["seconds"])
    if form.get("until_removed"):
        members["count"] = None
    texts = ("reason", "retry_after", "error", "suberror", "description")
    return members | {name: form[name] for name in texts if form.get(name)}


def _setting_changes(form: MultiDict[str, str]) -> dict[str, Any]:
    changes: dict[str, Any] = {name: int(form[name]) for name in NUMBERS if form.get(name)}
    changes |= {name: None for name in NULLABLE if not form.get(name)}
    changes["push_enabled"] = form.get("push_enabled") == "on"
    rotation = {provider: form[f"rotation_{provider}"] for provider in PROVIDERS if f"rotation_{provider}" in form}
    return changes | {"refresh_rotation": rotation}
