"""A web process over real authentication, and a service that calls it."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any
from uuid import uuid4

from flask.testing import FlaskClient

from app.domain.features import Feature
from app.services.client_assertions import ASSERTION_TYPE
from app.services.subjects import CONNECTION_TYPE
from app.web.api.token_request import TOKEN_EXCHANGE
from app.web.application import create_app
from app.web.settings import WebSettings
from tests.fakes import CONNECTION_ID, FakeServices
from tests.integration.services.conftest import House
from tests.integration.services.nodes import US, Node
from tests.signing import Signer, statement

CREDENTIALS = {"grant_type": "client_credentials"}
HANDLE = {"grant_type": TOKEN_EXCHANGE, "subject_token": str(CONNECTION_ID), "subject_token_type": CONNECTION_TYPE}


class Web:
    """One web process: real authentication, everything behind it a stand-in."""

    def __init__(self, house: House) -> None:
        self.node = Node(house)
        self.house = house
        services = replace(FakeServices(), clients=self.node.clients, callers=self.node.callers)
        self.app = create_app(services, WebSettings(US, b"k" * 32, house.clock))

    def client(self) -> FlaskClient:
        return self.app.test_client(use_cookies=False)

    def token(self, form: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
        return self.post("/oauth2/token", form, headers)

    def revoke(self, token: str, headers: dict[str, str] | None = None, **more: str) -> Any:
        return self.post("/oauth2/revoke", {"token": token, **more}, headers)

    def post(self, path: str, form: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
        """Post a form, from an address of its own: failed attempts of one are slowed down."""
        address = {"REMOTE_ADDR": f"192.0.2.{uuid4().int % 250 + 1}"}
        return self.client().post(path, base_url=US, data=form, headers=headers, environ_overrides=address)

    def get(self, path: str, headers: dict[str, str] | None = None) -> Any:
        return self.client().get(path, base_url=US, headers=headers)


class Scheduler:
    """A service with a key and a secret."""

    def __init__(self, web: Web, name: str = "scheduler") -> None:
        self.web, self.name, self.signer = web, name, Signer()
        self.secret = web.node.callers.registry.add(name, tuple(Feature)).reveal()
        web.node.callers.registry.add_key(name, json.dumps(self.signer.jwk()), None)

    def claims(self, **changes: object) -> dict[str, object]:
        return statement(self.name, US, self.web.house.clock(), **changes)

    def assertion(self, **changes: object) -> dict[str, str]:
        return by_assertion(self.signer.sign(self.claims(**changes)))

    def basic(self, secret: str | None = None) -> dict[str, str]:
        return basic(f"{self.name}:{secret or self.secret}")

    def bearer(self) -> dict[str, str]:
        token = self.web.token(CREDENTIALS, self.basic()).json["access_token"]
        return {"Authorization": f"Bearer {token}"}


def basic(pair: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def by_assertion(assertion: str, **more: str) -> dict[str, str]:
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion, **more}


def refusal(answer: Any) -> tuple[int, str, str | None]:
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.mimetype == "application/json"
    return answer.status_code, answer.json["error"], answer.json.get("reason")
