import re
from typing import get_args

import pytest

from app.domain.errors import ConfigurationError
from app.web.access import Who, admit, caller, declaration
from app.web.application import create_app, framework_faults, rules
from app.web.settings import WebSettings
from tests.integration.web.conftest import PUBLIC_URL


def undeclared(app):
    return [rule.rule for rule in rules(app) if declaration(app.view_functions[rule.endpoint]) is None]


def test_every_route_declares_who_may_call_it(app):
    assert len(rules(app)) >= 20
    assert undeclared(app) == []
    assert {declaration(view).who for view in app.view_functions.values()} == set(get_args(Who))


def test_a_planted_undeclared_route_is_found_and_serves_nobody(app, client):
    app.add_url_rule("/planted", view_func=lambda: "open to all", endpoint="planted")

    assert undeclared(app) == ["/planted"]
    assert client.get("/planted", base_url=PUBLIC_URL).status_code == 403


def test_the_declaration_is_enforced_before_every_view(app):
    assert admit in app.before_request_funcs[None]


@pytest.mark.parametrize("rule_kind", ["person"])
def test_every_page_of_a_person_leads_a_stranger_to_the_sign_in(app, stranger, rule_kind):
    paths = [
        r.rule
        for r in rules(app)
        if declaration(app.view_functions[r.endpoint]).who == rule_kind and "GET" in r.methods
    ]

    for path in paths:
        filled = re.sub(r"<uuid:\w+>", "33333333-3333-4333-8333-333333333333", path)
        answer = stranger.get(filled)
        assert answer.status_code in ({401} if filled.endswith("/live") else {303}), path
        assert "ada@example.test" not in answer.get_data(as_text=True)


def test_only_the_public_host_is_served(client):
    assert client.get("/", base_url="https://evil.example.test").status_code == 400
    assert client.get("/", base_url=PUBLIC_URL, headers={"X-Forwarded-Host": "evil.test"}).status_code == 200


def test_unsafe_framework_settings_are_named(app):
    assert framework_faults(app) == ()

    app.debug = True
    app.config["TRUSTED_HOSTS"] = None
    app.config["SECRET_KEY"] = "x"

    assert len(framework_faults(app)) == 3


def test_debug_mode_from_the_environment_refuses_the_start(services, monkeypatch):
    monkeypatch.setenv("FLASK_DEBUG", "1")

    with pytest.raises(ConfigurationError, match="debug"):
        create_app(services, WebSettings(PUBLIC_URL, b"k" * 32))


@pytest.mark.parametrize("url", ["latchkey.example.test", "https://a.test/", "https://a.test/path", "ftp://a.test"])
def test_a_public_url_that_is_no_origin_is_refused(url):
    with pytest.raises(ConfigurationError, match="public_url"):
        WebSettings(url, b"k" * 32)


def test_a_short_form_key_is_refused_and_never_printed():
    with pytest.raises(ConfigurationError, match="csrf_key"):
        WebSettings(PUBLIC_URL, b"short")
    assert "kkkk" not in repr(WebSettings(PUBLIC_URL, b"k" * 32))


def test_a_declaration_can_be_read_back():
    @caller("service", accepts="application/json")
    def view():
        return "answer"

    assert declaration(view).who == "service"
    assert declaration(view).accepts == "application/json"
