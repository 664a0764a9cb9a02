"""Show that the sandbox's identity half behaves as the providers document it, over plain HTTP."""

import base64
import json
import re
import subprocess
import sys
import threading
import time

import jwt
import pytest
import requests

from app.sandbox.server import serve
from app.sandbox.settings import SandboxSettings
from tests.contract.sandbox_walk import CALLBACKS, CLIENT_IDS, ISSUER, SECRETS, Walker, clients, flat

GOOGLE = "https://www.googleapis.com/auth/"
EVENTS = GOOGLE + "calendar.events.readonly"
FREEBUSY = GOOGLE + "calendar.freebusy"
OFFLINE = "openid email offline_access"
GRAPH = "openid profile offline_access User.Read Calendars.Read"


@pytest.fixture(scope="module")
def running():
    with serve(SandboxSettings(base_url="", clients=clients())) as served:
        yield served


@pytest.fixture
def walker(running):
    """A client of a sandbox in which nobody has granted anything and nothing goes wrong."""
    walker = Walker(running.base_url)
    with running.state.lock:
        running.state.grants.load({"grants": [], "refresh_tokens": [], "access_tokens": [], "tenant_consents": {}})
    running.state.faults.clear()
    running.state.request_log.clear()
    lifetimes = {"access_token_lifetime_s": None}
    rotation = {"google": "none", "microsoft": "overlap", "oidc": "strict"}
    walker.control("settings", lifetimes | {"refresh_rotation": rotation})
    with walker.http:
        yield walker


def claims_of(token):
    return jwt.decode(token["id_token"], options={"verify_signature": False})


def refusal(answer):
    return answer.status_code, answer.json()["error"]


# Google


def test_google_gives_a_refresh_token_only_at_the_first_consent_or_when_forced(walker):
    first = walker.connect("google", "ada", "openid email")
    second = walker.connect("google", "ada", "openid email")
    forced = walker.connect("google", "ada", "openid email", prompt="consent")
    online = walker.connect("google", "bruno", "openid email", access_type="online")

    assert "refresh_token" in first
    assert "refresh_token" not in second
    assert "refresh_token" in forced
    assert "refresh_token" not in online


def test_google_spells_scopes_out_and_leaves_unticked_ones_away(walker):
    url = walker.authorization_url("google", f"email {EVENTS} {FREEBUSY}")
    callback = walker.approve(url, "ada", unticked=[EVENTS])

    token = walker.exchange("google", callback["code"]).json()

    assert set(token["scope"].split()) == {"openid", GOOGLE + "userinfo.email", FREEBUSY}
    assert callback["hd"] == "example.com"


def test_google_shows_no_box_for_a_single_scope(walker):
    url = walker.authorization_url("google", f"openid email {EVENTS}")

    callback = walker.approve(url, "ada", unticked=[EVENTS])

    assert EVENTS in callback["scope"].split()


def test_google_includes_earlier_grants_when_asked(walker):
    walker.connect("google", "ada", f"openid email {EVENTS}")

    alone = walker.connect("google", "ada", f"openid {FREEBUSY}", prompt="consent")
    together = walker.connect("google", "ada", f"openid {FREEBUSY}", prompt="consent", include_granted_scopes="true")
    refreshed = walker.refresh("google", together["refresh_token"]).json()

    assert EVENTS not in alone["scope"]
    assert {EVENTS, FREEBUSY} <= set(together["scope"].split())
    assert set(refreshed["scope"].split()) == set(together["scope"].split())


def test_google_keeps_the_refresh_token_and_sends_none_back(walker):
    token = walker.connect("google", "ada", "openid email")

    answers = [walker.refresh("google", token["refresh_token"]) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert all("refresh_token" not in answer.json() for answer in answers)
    assert answers[0].headers["Cache-Control"] == "no-store"
    assert answers[0].json()["expires_in"] == 3599


def test_google_takes_the_client_from_the_basic_header(walker):
    callback = walker.approve(walker.authorization_url("google", "openid email"), "ada")
    form = {"grant_type": "authorization_code", "code": callback["code"], "redirect_uri": CALLBACKS["google"]}

    answer = walker.http.post(
        f"{walker.base_url}/token", data=form, auth=(CLIENT_IDS["google"], SECRETS["google"]), timeout=10
    )

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "unknown"}, 401, "invalid_client"),
        ({"redirect_uri": "http://localhost:8000/other"}, 400, "redirect_uri_mismatch"),
        ({"code": "4/0Aunknown"}, 400, "invalid_grant"),
        ({"code_verifier": "not-wanted"}, 400, "invalid_grant"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"code": ""}, 400, "invalid_request"),
    ],
)
def test_google_refuses_a_bad_exchange(walker, change, status, error):
    callback = walker.approve(walker.authorization_url("google", "openid email"), "ada")
    form = {"grant_type": "authorization_code", "code": callback["code"], "redirect_uri": CALLBACKS["google"]}

    answer = walker.token("google", **(form | change))

    assert refusal(answer) == (status, error)


@pytest.mark.parametrize("verifier", [None, "wrong"])
def test_google_refuses_a_missing_or_wrong_verifier(walker, verifier):
    url = walker.authorization_url("google", "openid", code_challenge="c" * 43, code_challenge_method="S256")
    callback = walker.approve(url, "ada")

    answer = walker.exchange("google", callback["code"], **({"code_verifier": verifier} if verifier else {}))

    assert refusal(answer) == (400, "invalid_grant")


def test_google_codes_work_once(walker):
    callback = walker.approve(walker.authorization_url("google", "openid email"), "ada")

    answers = [walker.exchange("google", callback["code"]) for _ in range(2)]

    assert answers[0].status_code == 200
    assert refusal(answers[1]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("change", "page"),
    [
        ({"redirect_uri": "http://localhost:8000/callback/google/"}, "redirect_uri_mismatch"),
        ({"client_id": "unknown"}, "invalid_client"),
        ({"response_type": "token"}, "invalid_request"),
        ({"scope": "openid https://www.googleapis.com/auth/nonsense"}, "invalid_scope"),
        ({"prompt": "none consent"}, "invalid_request"),
    ],
)
def test_google_shows_bad_requests_on_its_own_page(walker, change, page):
    url = walker.authorization_url("google", **({"scope": "openid"} | change))

    answer = walker.http.get(url, allow_redirects=False, timeout=10)

    assert answer.status_code in (400, 401)
    assert page in answer.text
    assert "Location" not in answer.headers


def test_google_sends_only_refusals_of_the_person_back(walker):
    callback = walker.approve(walker.authorization_url("google", "openid"), "ada", decision="deny")

    assert callback == {"error": "access_denied", "state": "the-state"}


def test_google_revocation_takes_down_the_whole_grant_once(walker):
    first = walker.connect("google", "ada", "openid email")
    second = walker.connect("google", "ada", "openid email", prompt="consent")
    revoke = f"{walker.base_url}/revoke"

    answers = [walker.http.post(revoke, data={"token": second["access_token"]}, timeout=10) for _ in range(2)]

    assert answers[0].status_code == 200
    assert refusal(answers[1]) == (400, "invalid_token")
    assert walker.http.get(revoke, params={"token": "x"}, timeout=10).status_code == 404
    assert refusal(walker.refresh("google", first["refresh_token"])) == (400, "invalid_grant")
    assert userinfo(walker, first).status_code == 401


def userinfo(walker, token):
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    return walker.http.get(f"{walker.base_url}/v1/userinfo", headers=headers, timeout=10)


def test_google_keeps_a_hundred_refresh_tokens_and_kills_the_oldest(walker):
    tokens = [walker.connect("google", "ada", "openid", prompt="consent") for _ in range(101)]

    assert refusal(walker.refresh("google", tokens[0]["refresh_token"])) == (400, "invalid_grant")
    assert walker.refresh("google", tokens[1]["refresh_token"]).status_code == 200


def test_google_access_tokens_end_with_their_lifetime(walker, running):
    walker.control("settings", {"access_token_lifetime_s": 90})
    token = walker.connect("google", "ada", "openid email")

    assert token["expires_in"] == 90
    assert userinfo(walker, token).status_code == 200
    walker.control("clock", {"advance_s": 91})
    try:
        assert userinfo(walker, token).status_code == 401
    finally:
        running.state.clock.advance(-91)


def test_google_answers_silently_only_what_was_granted(walker):
    url = walker.authorization_url("google", "openid", prompt="none", login_hint="ada@example.com")

    before = flat(walker.http.get(url, allow_redirects=False, timeout=10).headers["Location"])
    walker.connect("google", "ada", "openid")
    after = flat(walker.http.get(url, allow_redirects=False, timeout=10).headers["Location"])

    assert before["error"] == "interaction_required"
    assert "code" in after


# Microsoft


def test_microsoft_names_real_hosts_and_a_template_issuer(walker):
    common = walker.http.get(f"{walker.base_url}/common/v2.0/.well-known/openid-configuration", timeout=10).json()
    alder = walker.http.get(
        f"{walker.base_url}/alder.example.org/v2.0/.well-known/openid-configuration", timeout=10
    ).json()
    nowhere = walker.http.get(f"{walker.base_url}/nowhere.example/v2.0/.well-known/openid-configuration", timeout=10)

    assert common["issuer"] == "https://login.microsoftonline.com/{tenantid}/v2.0"
    assert common["token_endpoint"] == "https://login.microsoftonline.com/common/oauth2/v2.0/token"
    assert "{" not in alder["issuer"]
    assert refusal(nowhere) == (400, "invalid_tenant")


@pytest.mark.parametrize(("account", "tenant"), [("chiara", "organizations"), ("ada-personal", "common")])
def test_microsoft_id_tokens_verify_with_the_key_of_their_issuer(walker, account, tenant):
    url = walker.authorization_url("microsoft", GRAPH, tenant=tenant, nonce="n-3")
    callback = walker.approve(url, account)
    token = walker.token(
        "microsoft",
        tenant,
        grant_type="authorization_code",
        code=callback["code"],
        redirect_uri=CALLBACKS["microsoft"],
    ).json()
    document = walker.http.get(f"{walker.base_url}/{tenant}/discovery/v2.0/keys", timeout=10).json()
    kid = jwt.get_unverified_header(token["id_token"])["kid"]
    [key] = [key for key in document["keys"] if key["kid"] == kid]

    claims = jwt.decode(
        token["id_token"], jwt.PyJWK.from_dict(key), algorithms=["RS256"], audience=CLIENT_IDS["microsoft"], leeway=5
    )

    assert claims["iss"] == key["issuer"].replace("{tenantid}", claims["tid"])
    assert (claims["ver"], claims["nonce"]) == ("2.0", "n-3")
    assert claims["sub"] != claims["oid"]


def test_microsoft_lists_everything_granted_but_not_offline_access(walker):
    walker.connect("microsoft", "chiara", "openid offline_access Mail.Send")

    token = walker.connect("microsoft", "chiara", "openid offline_access https://graph.microsoft.com/calendars.read")

    assert set(token["scope"].split()) == {"openid", "Mail.Send", "Calendars.Read"}
    assert 3600 <= token["expires_in"] <= 5399


def test_microsoft_replaces_the_refresh_token_and_keeps_the_old_one_good(walker):
    token = walker.connect("microsoft", "chiara", GRAPH)

    first = walker.refresh("microsoft", token["refresh_token"], scope="User.Read offline_access")
    again = walker.refresh("microsoft", token["refresh_token"], scope="User.Read offline_access")

    assert first.json()["refresh_token"] != token["refresh_token"]
    assert again.status_code == 200
    assert walker.refresh("microsoft", first.json()["refresh_token"]).status_code == 200


def test_microsoft_gives_no_refresh_token_without_offline_access(walker):
    token = walker.connect("microsoft", "chiara", "openid User.Read")

    assert "refresh_token" not in token
    assert "id_token" in token


def test_microsoft_asks_again_for_a_scope_never_consented(walker):
    token = walker.connect("microsoft", "chiara", GRAPH)

    answer = walker.refresh("microsoft", token["refresh_token"], scope="Mail.Send")

    assert refusal(answer) == (400, "invalid_grant")
    assert answer.json()["suberror"] == "consent_required"
    assert answer.json()["error_codes"] == [65001]
    assert walker.refresh("microsoft", token["refresh_token"]).status_code == 200


@pytest.mark.parametrize(
    ("tenant", "change", "status", "error", "code"),
    [
        ("organizations", {"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ("organizations", {"client_id": "unknown"}, 400, "unauthorized_client", 700016),
        ("organizations", {"code": "0.Aunknown"}, 400, "invalid_grant", 70000),
        ("common", {}, 400, "invalid_grant", 700005),
        ("nowhere.example", {}, 400, "invalid_request", 90002),
        ("organizations", {"code_verifier": "not-wanted"}, 400, "invalid_grant", 501481),
        ("organizations", {"scope": "Nonsense.Read"}, 400, "invalid_scope", 70011),
    ],
)
def test_microsoft_refuses_a_bad_exchange(walker, tenant, change, status, error, code):
    callback = walker.approve(walker.authorization_url("microsoft", GRAPH), "chiara")
    form = {"grant_type": "authorization_code", "code": callback["code"], "redirect_uri": CALLBACKS["microsoft"]}

    answer = walker.token("microsoft", tenant, **(form | change))

    assert refusal(answer) == (status, error)
    assert answer.json()["error_codes"] == [code]
    assert {"trace_id", "correlation_id", "timestamp"} <= set(answer.json())


def test_microsoft_codes_work_once(walker):
    callback = walker.approve(walker.authorization_url("microsoft", GRAPH), "chiara")
    walker.exchange("microsoft", callback["code"])

    answer = walker.exchange("microsoft", callback["code"])

    assert answer.json()["error_codes"] == [54005]


def test_microsoft_refuses_credentials_from_a_browser(walker):
    answer = walker.http.post(
        f"{walker.base_url}/common/oauth2/v2.0/token", data={}, headers={"Origin": "http://localhost"}, timeout=10
    )

    assert refusal(answer) == (400, "invalid_request")


def test_microsoft_refuses_an_unused_token_after_ninety_days(walker, running):
    token = walker.connect("microsoft", "chiara", GRAPH)

    running.state.clock.advance(91 * 86400)
    try:
        answer = walker.refresh("microsoft", token["refresh_token"])
    finally:
        running.state.clock.advance(-91 * 86400)

    assert answer.json()["error_codes"] == [700082]


def test_microsoft_demands_an_administrator_and_goes_on_after_approval(walker):
    url = walker.authorization_url("microsoft", GRAPH, tenant="birch.example.org")

    refused = walker.approve(url, "esra")
    query = {
        "client_id": CLIENT_IDS["microsoft"],
        "redirect_uri": CALLBACKS["microsoft"],
        "scope": "https://graph.microsoft.com/Calendars.Read",
        "state": "s",
    }
    page = f"{walker.base_url}/birch.example.org/v2.0/adminconsent"
    tenant_id = token_tenant(walker)
    approved = walker.http.post(
        page,
        params=query,
        data={"tenant": tenant_id, "decision": "allow"},
        allow_redirects=False,
        timeout=10,
    )
    granted = walker.approve(url, "esra")

    assert refused["error"] == "access_denied"
    assert refused["error_description"].startswith("AADSTS90094")
    assert flat(approved.headers["Location"])["admin_consent"] == "True"
    assert "code" in granted


def token_tenant(walker):
    document = walker.http.get(
        f"{walker.base_url}/birch.example.org/v2.0/.well-known/openid-configuration", timeout=10
    ).json()
    return document["issuer"].split("/")[3]


def test_microsoft_admin_consent_refuses_a_foreign_redirect(walker):
    answer = walker.http.get(
        f"{walker.base_url}/organizations/v2.0/adminconsent",
        params={"client_id": CLIENT_IDS["microsoft"], "redirect_uri": "http://evil.example/", "scope": "User.Read"},
        allow_redirects=False,
        timeout=10,
    )

    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_microsoft_lets_people_of_the_administered_tenant_sign_in(walker):
    url = walker.authorization_url("microsoft", "openid profile User.Read", tenant="birch.example.org")

    assert "code" in walker.approve(url, "esra")


def test_microsoft_sends_client_info_only_when_asked(walker):
    plain = walker.connect("microsoft", "chiara", GRAPH)
    asked = walker.refresh("microsoft", plain["refresh_token"], client_info="1", scope="openid profile User.Read")

    assert "client_info" not in plain
    uid = json.loads(base64.urlsafe_b64decode(asked.json()["client_info"] + "=="))["uid"]
    assert uid == claims_of(asked.json())["oid"]


def test_microsoft_posts_the_callback_as_a_form_when_asked(walker):
    url = walker.authorization_url("microsoft", "openid User.Read", response_mode="form_post")

    answer = walker.control("approve", {"url": url, "account": "chiara"}).json()

    assert answer["location"] == CALLBACKS["microsoft"]
    assert answer["form"]["state"] == "the-state"


# OIDC provider


def test_oidc_names_its_issuer_in_the_callback_and_in_the_id_token(walker):
    callback = walker.approve(walker.authorization_url("oidc", OFFLINE, nonce="n-4"), "farid")
    token = walker.exchange("oidc", callback["code"]).json()
    document = walker.http.get(f"{walker.base_url}/idp/jwks", timeout=10).json()

    claims = jwt.decode(
        token["id_token"],
        jwt.PyJWKSet.from_dict(document)[jwt.get_unverified_header(token["id_token"])["kid"]],
        algorithms=["ES256"],
        audience=CLIENT_IDS["oidc"],
        issuer=ISSUER,
        leeway=5,
    )

    assert callback["iss"] == ISSUER
    assert claims["nonce"] == "n-4"


@pytest.mark.parametrize("change", [{"code_challenge_method": "plain"}, {"code_challenge": ""}])
def test_oidc_demands_pkce_with_s256(walker, change):
    callback = walker.approve(walker.authorization_url("oidc", OFFLINE, **change), "farid")

    assert callback["error"] == "invalid_request"
    assert callback["iss"] == ISSUER


def test_oidc_refresh_tokens_work_once_and_reuse_kills_the_family(walker):
    first = walker.connect("oidc", "farid", OFFLINE)["refresh_token"]
    second = walker.refresh("oidc", first).json()["refresh_token"]

    reused = walker.refresh("oidc", first)
    newest = walker.refresh("oidc", second)

    assert refusal(reused) == (400, "invalid_grant")
    assert refusal(newest) == (400, "invalid_grant")


def test_oidc_reuse_leaves_another_family_alone(walker):
    first = walker.connect("oidc", "farid", OFFLINE)["refresh_token"]
    other = walker.connect("oidc", "farid", OFFLINE)["refresh_token"]
    walker.refresh("oidc", first)

    walker.refresh("oidc", first)

    assert walker.refresh("oidc", other).status_code == 200


def test_oidc_with_grace_takes_the_old_token_for_a_while(walker, running):
    walker.control("settings", {"refresh_rotation": {"oidc": "grace"}, "rotation_grace_s": 30})
    first = walker.connect("oidc", "farid", OFFLINE)["refresh_token"]
    walker.refresh("oidc", first)

    within = walker.refresh("oidc", first)
    running.state.clock.advance(31)
    try:
        after = walker.refresh("oidc", first)
    finally:
        running.state.clock.advance(-31)

    assert within.status_code == 200
    assert refusal(after) == (400, "invalid_grant")


def test_oidc_code_used_twice_takes_back_what_it_yielded(walker):
    callback = walker.approve(walker.authorization_url("oidc", OFFLINE), "farid")
    token = walker.exchange("oidc", callback["code"]).json()

    again = walker.exchange("oidc", callback["code"])

    assert refusal(again) == (400, "invalid_grant")
    assert refusal(walker.refresh("oidc", token["refresh_token"])) == (400, "invalid_grant")


def test_oidc_revocation_is_silent_and_thorough(walker):
    token = walker.connect("oidc", "farid", OFFLINE)
    credentials = (CLIENT_IDS["oidc"], SECRETS["oidc"])
    url = f"{walker.base_url}/idp/revoke"

    answers = [
        walker.http.post(url, data={"token": value}, auth=credentials, timeout=10).status_code
        for value in (token["refresh_token"], token["refresh_token"], "never-issued")
    ]

    assert answers == [200, 200, 200]
    assert refusal(walker.refresh("oidc", token["refresh_token"])) == (400, "invalid_grant")


def test_oidc_gives_no_refresh_token_without_offline_access(walker):
    assert "refresh_token" not in walker.connect("oidc", "farid", "openid email")


# Faults, log, control


@pytest.mark.parametrize("provider", ["google", "microsoft", "oidc"])
def test_a_lost_answer_comes_after_the_work(walker, provider):
    scope = {"google": "openid email", "microsoft": GRAPH, "oidc": OFFLINE}[provider]
    account = {"google": "ada", "microsoft": "chiara", "oidc": "farid"}[provider]
    token = walker.connect(provider, account, scope)
    walker.control("faults", {"operation": f"{provider}.token", "kind": "lose_answer", "account": account})

    with pytest.raises(requests.ConnectionError):
        walker.refresh(provider, token["refresh_token"])
    retried = walker.refresh(provider, token["refresh_token"])

    # Only the strict provider takes the retry for a theft.
    assert retried.status_code == (400 if provider == "oidc" else 200)


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ({"kind": "status", "status": 429, "retry_after": "7"}, 429, "temporarily_unavailable"),
        ({"kind": "status", "status": 502, "body": "html"}, 502, "<html>"),
        ({"kind": "status", "status": 500, "body": "empty"}, 500, ""),
        ({"kind": "invalid_grant"}, 400, "invalid_grant"),
        ({"kind": "invalid_client"}, 401, "invalid_client"),
        ({"kind": "oauth_error", "error": "admin_policy_enforced"}, 400, "admin_policy_enforced"),
        ({"kind": "invalid_grant", "suberror": "invalid_rapt"}, 400, "invalid_rapt"),
    ],
)
def test_a_scripted_fault_happens_as_often_as_it_says(walker, fault, status, body):
    token = walker.connect("google", "ada", "openid email")
    walker.control("faults", {"operation": "google.token", "count": 2} | fault)

    answers = [walker.refresh("google", token["refresh_token"]) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert body in answers[0].text
    assert answers[0].headers.get("Retry-After") == fault.get("retry_after")


def test_a_fault_for_one_account_spares_the_others(walker):
    ada = walker.connect("google", "ada", "openid email")
    bruno = walker.connect("google", "bruno", "openid email")
    walker.control("faults", {"operation": "google.token", "kind": "invalid_grant", "account": "ada", "count": None})

    assert walker.refresh("google", bruno["refresh_token"]).status_code == 200
    assert walker.refresh("google", ada["refresh_token"]).status_code == 400
    walker.http.delete(f"{walker.base_url}/_control/faults", timeout=10)
    assert walker.refresh("google", ada["refresh_token"]).status_code == 200


def test_a_truncated_answer_breaks_off(walker):
    token = walker.connect("google", "ada", "openid email")
    walker.control("faults", {"operation": "google.token", "kind": "truncate"})

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        walker.refresh("google", token["refresh_token"])


def test_the_log_counts_calls_that_ran_at_once(walker):
    token = walker.connect("google", "ada", "openid email")
    walker.http.delete(f"{walker.base_url}/_control/log", timeout=10)
    walker.control("faults", {"operation": "google.token", "kind": "hang", "seconds": 0.5, "count": 2})
    form = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    credentials = {"client_id": CLIENT_IDS["google"], "client_secret": SECRETS["google"]}

    threads = [
        threading.Thread(target=requests.post, args=(f"{walker.base_url}/token", form | credentials)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = walker.http.get(f"{walker.base_url}/_control/log", timeout=10).json()

    [count] = log["counts"]
    assert (count["operation"], count["calls"], count["max_in_flight"]) == ("google.token", 2, 2)


def test_the_log_shows_no_secret(walker):
    token = walker.connect("google", "ada", "openid email")
    walker.http.post(f"{walker.base_url}/revoke", params={"token": token["refresh_token"]}, timeout=10)

    text = "".join(
        walker.http.get(f"{walker.base_url}{path}", timeout=10).text for path in ("/_control/log", "/sandbox/log")
    )

    assert "/revoke" in text
    for secret in (token["refresh_token"], token["access_token"], SECRETS["google"], "the-state"):
        assert secret not in text


def test_an_unknown_path_is_refused_by_name_and_logged(walker):
    answer = walker.http.get(f"{walker.base_url}/oauth2/v9/nonsense", timeout=10)
    log = walker.http.get(f"{walker.base_url}/_control/log", timeout=10).json()

    assert answer.status_code == 404
    assert answer.json()["path"] == "/oauth2/v9/nonsense"
    assert log["requests"][-1]["path"] == "/oauth2/v9/nonsense"


def test_grants_survive_a_restart_with_a_state_file(tmp_path):
    settings = SandboxSettings(base_url="", clients=clients(), state_file=tmp_path / "state.json")
    with serve(settings) as first:
        walker = Walker(first.base_url)
        with walker.http:
            token = walker.connect("google", "ada", "openid email")
            kid = jwt.get_unverified_header(token["id_token"])["kid"]

    with serve(settings) as second:
        walker = Walker(second.base_url)
        with walker.http:
            refreshed = walker.refresh("google", token["refresh_token"]).json()

    assert jwt.get_unverified_header(refreshed["id_token"])["kid"] == kid
    assert token["refresh_token"] not in (tmp_path / "state.json").read_text()


def press(walker, page, action, **form):
    """Send the form of a page whose address ends in `action`, as its button would."""
    [target] = [found for found in re.findall(r'action="([^"]+)"', page.text) if found.endswith(action)]
    return walker.http.post(f"{walker.base_url}{target}", data=form, allow_redirects=False, timeout=10)


def test_a_person_chooses_an_account_and_unticks_a_box(walker):
    url = walker.authorization_url("google", f"openid {EVENTS} {FREEBUSY}")

    picker = walker.http.get(url, timeout=10)
    consent = press(walker, picker, "/account", account="bruno")
    sent = press(walker, consent, "/decision", account="bruno", decision="allow", scope=FREEBUSY)
    token = walker.exchange("google", flat(sent.headers["Location"])["code"]).json()

    assert "ada.lindqvist@example.org" in picker.text
    assert set(re.findall(r'name="scope" value="([^"]+)"', consent.text)) == {EVENTS, FREEBUSY}
    assert set(token["scope"].split()) == {"openid", FREEBUSY}


def test_a_person_is_not_asked_twice_for_the_same(walker):
    walker.connect("google", "ada", "openid email")
    picker = walker.http.get(walker.authorization_url("google", "openid email"), timeout=10)

    answer = press(walker, picker, "/account", account="ada")

    assert answer.status_code == 302
    assert "code" in flat(answer.headers["Location"])


def test_a_person_without_an_administrator_goes_back_refused(walker):
    url = walker.authorization_url("microsoft", GRAPH, tenant="birch.example.org")
    blocked = press(walker, walker.http.get(url, timeout=10), "/account", account="esra")

    answer = press(walker, blocked, "/decision", account="esra", decision="cancel")

    assert "AADSTS90094" in blocked.text
    assert flat(answer.headers["Location"])["error"] == "access_denied"


def test_a_person_can_approve_as_the_administrator_and_go_on(walker):
    url = walker.authorization_url("microsoft", GRAPH, tenant="birch.example.org")
    blocked = press(walker, walker.http.get(url, timeout=10), "/account", account="esra")

    answer = press(walker, blocked, "/administrator", account="esra")

    assert "code" in flat(answer.headers["Location"])


def test_a_scripted_fault_demands_an_administrator_of_anybody(walker):
    walker.control("faults", {"operation": "microsoft.authorize", "kind": "admin_consent", "account": "chiara"})
    url = walker.authorization_url("microsoft", GRAPH)

    callbacks = [walker.approve(url, "chiara") for _ in range(2)]

    assert callbacks[0]["error"] == "access_denied"
    assert "code" in callbacks[1]


def test_the_rotate_button_replaces_the_refresh_token_once(walker):
    token = walker.connect("google", "ada", "openid email")
    page = walker.http.get(f"{walker.base_url}/sandbox/grants", timeout=10)

    press(walker, page, "/rotate")
    answers = [walker.refresh("google", token["refresh_token"]).json() for _ in range(2)]

    assert "refresh_token" in answers[0]
    assert "refresh_token" not in answers[1]


def test_the_revoke_button_kills_the_grant(walker):
    token = walker.connect("microsoft", "chiara", GRAPH)
    page = walker.http.get(f"{walker.base_url}/sandbox/grants", timeout=10)

    press(walker, page, "/revoke")
    answer = walker.refresh("microsoft", token["refresh_token"])

    assert answer.json()["error_codes"] == [50173]
    assert answer.json()["suberror"] == "bad_token"


def test_the_expire_button_ends_access_tokens_only(walker):
    token = walker.connect("google", "ada", "openid email")
    page = walker.http.get(f"{walker.base_url}/sandbox/grants", timeout=10)

    press(walker, page, "/expire")

    assert userinfo(walker, token).status_code == 401
    assert walker.refresh("google", token["refresh_token"]).status_code == 200


def test_the_fault_form_scripts_a_fault(walker):
    token = walker.connect("google", "ada", "openid email")
    form = {"operation": "google.token", "kind": "status", "status": "429", "retry_after": "3", "account": "*"}

    walker.http.post(f"{walker.base_url}/sandbox/faults", data=form, timeout=10)
    answer = walker.refresh("google", token["refresh_token"])

    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "3"


def test_a_slow_answer_arrives_whole(walker):
    token = walker.connect("google", "ada", "openid email")
    walker.control("faults", {"operation": "google.token", "kind": "drip", "seconds": 0.3})

    started_s = time.monotonic()
    answer = walker.refresh("google", token["refresh_token"])

    assert "access_token" in answer.json()
    assert time.monotonic() - started_s >= 0.3


@pytest.mark.parametrize(
    ("variant", "error"),
    [
        ("issuer", jwt.InvalidIssuerError),
        ("audience", jwt.InvalidAudienceError),
        ("expired", jwt.ExpiredSignatureError),
        ("future", jwt.ImmatureSignatureError),
        ("forged", jwt.InvalidSignatureError),
        ("unsigned", jwt.InvalidAlgorithmError),
    ],
)
def test_a_spoilt_id_token_is_wrong_in_the_way_it_was_asked_for(walker, running, variant, error):
    token = walker.connect("google", "ada", "openid email")
    walker.control("faults", {"operation": "google.token", "kind": "bad_id_token", "error": variant})
    spoilt = walker.refresh("google", token["refresh_token"]).json()["id_token"]
    key = running.state.keys.current("google").private_key.public_key()

    with pytest.raises(error):
        jwt.decode(
            spoilt,
            key,
            algorithms=["RS256"],
            audience=CLIENT_IDS["google"],
            issuer="https://accounts.google.com",
            leeway=10,
        )


def test_a_reset_connection_does_no_work(walker):
    token = walker.connect("oidc", "farid", OFFLINE)
    walker.control("faults", {"operation": "oidc.token", "kind": "reset"})

    with pytest.raises(requests.ConnectionError):
        walker.refresh("oidc", token["refresh_token"])

    assert walker.refresh("oidc", token["refresh_token"]).status_code == 200


def test_rotated_keys_stay_published_until_retired(walker):
    def published():
        document = walker.http.get(f"{walker.base_url}/idp/jwks", timeout=10).json()
        return [key["kid"] for key in document["keys"]]

    before = published()[-1]
    newer = walker.control("keys/rotate", {"provider": "oidc"}).json()["kid"]
    overlapping = published()
    walker.control("keys/rotate", {"provider": "oidc", "retire": True})

    assert {before, newer} <= set(overlapping)
    assert before not in published()


def test_the_module_serves_until_it_is_told_to_stop(tmp_path):
    command = [sys.executable, "-m", "app.sandbox", "--port", "0", "--state", str(tmp_path / "state.json")]
    command += ["--client", "google:id:secret:http://localhost:8000/callback/google"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            base_url = process.stdout.readline().rsplit(" ", 1)[1].strip()
            answer = requests.get(f"{base_url}/", timeout=10)
        finally:
            process.terminate()
            status = process.wait(timeout=20)

    assert answer.status_code == 200
    assert status == 0
    assert (tmp_path / "state.json").stat().st_mode & 0o077 == 0


def test_foreign_pages_cannot_press_the_buttons(walker):
    answer = walker.http.post(
        f"{walker.base_url}/sandbox/clock",
        data={"advance_s": "3600"},
        headers={"Origin": "http://evil.example"},
        timeout=10,
    )

    assert answer.status_code == 403


def test_pages_name_themselves_a_sandbox(walker):
    walker.connect("microsoft", "chiara", GRAPH)
    walker.control("faults", {"operation": "google.events", "kind": "gone_410"})
    paths = ["/", "/sandbox/grants", "/sandbox/faults", "/sandbox/settings", "/sandbox/log"]
    pages = [walker.http.get(f"{walker.base_url}{path}", timeout=10) for path in paths]

    for page in pages:
        assert page.status_code == 200
        assert "nothing here is real" in page.text
        assert "<style" not in page.text
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
