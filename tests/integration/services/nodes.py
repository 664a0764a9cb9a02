"""Several processes' worth of caller authentication over one database."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from uuid import uuid4

from app.crypto.token_signing import ES256Signer
from app.domain.features import Feature
from app.domain.people import Service
from app.domain.subjects import Subject
from app.providers.http import OutboundClient
from app.providers.key_sets import KeySets
from app.providers.signed_tokens import SignedTokenReader
from app.providers.trusted_issuers import IssuerRegistry, IssuerSettings, PublishedIssuer
from app.services.callers import Callers, SignedTokenParts, build_callers
from app.services.client_assertions import ASSERTION_TYPE
from app.services.service_clients import ServiceClients
from tests.integration.services.conftest import House
from tests.signing import Signer, statement

US = "https://latchkey.example.test"


@dataclass
class Issuers:
    """What the providers file says about trusted issuers."""

    workloads: list[IssuerSettings] = field(default_factory=list)
    users: list[IssuerSettings] = field(default_factory=list)
    ca: object = None
    trusted_origins: tuple[str, ...] = ()


class Node:
    """One process: nothing is shared with another but the database."""

    def __init__(self, house: House, issuers: Issuers | None = None) -> None:
        given = issuers or Issuers()
        http = OutboundClient(ca_bundle=given.ca, trusted_origins=given.trusted_origins)
        self.http, self.house = http, house
        parts = SignedTokenParts(
            ES256Signer(),
            SignedTokenReader(KeySets(http, house.clock)),
            IssuerRegistry([PublishedIssuer(one, http, house.clock) for one in given.workloads]),
            IssuerRegistry([PublishedIssuer(one, http, house.clock) for one in given.users]),
        )
        self.callers: Callers = build_callers(house.store, house.sealer, parts, US, house.clock)
        self.clients = ServiceClients(house.store, house.sealer, house.clock)

    def add_service(self, name: str | None = None, *signers: Signer) -> Service:
        """Register a service, with the public keys of ``signers``."""
        name = name or f"service-{uuid4().hex}"
        secret = self.callers.registry.add(name, (Feature.IDENTITY,))
        for signer in signers:
            self.callers.registry.add_key(name, json.dumps(signer.jwk()), None)
        return self.clients.authenticate(name, secret.reveal())

    def authenticate(self, assertion: str, client_id: str | None = None) -> Service:
        """Authenticate by assertion."""
        return self.callers.assertions.authenticate(ASSERTION_TYPE, assertion, client_id)

    def subject(self, service: Service, token_type: str | None, token: str) -> Subject:
        """Resolve whom ``service`` asks for."""
        return self.callers.subjects.resolve(service, token_type, token)

    def assertion(self, service: Service, signer: Signer, **changes: object) -> str:
        """Return what ``service`` would send, with ``changes`` of the claims."""
        return signer.sign(statement(service.name, US, self.house.clock(), **changes))
