"""Issuers whose tokens the operator trusts, for workloads or for people, by their published keys.

The keys' address is configured or discovered (OpenID Connect Discovery 1.0 section 4), which Kubernetes API servers
and all common identity providers serve.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from app.domain.errors import KeysUnavailable, ProviderUnavailable, SignedTokenInvalid
from app.domain.people import Service
from app.domain.signed_tokens import SignedToken
from app.ports.surroundings import Clock
from app.providers.http import OutboundClient
from app.providers.json_reader import read_object
from app.providers.key_sets import KeySets
from app.providers.metadata import WELL_KNOWN
from app.providers.signed_tokens import SignedTokenReader

RENEW_AFTER = timedelta(hours=1)
RETRY_GAP = timedelta(seconds=5)
"""Between attempts that fail, so that a queue behind an issuer that hangs fails together."""
MAX_BYTES = 64 * 1024
DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """One trusted issuer, as the operator describes it."""

    key: str
    """Name in the providers file."""
    issuer: str
    """Compared byte by byte with ``iss`` and with discovery."""
    audience: str
    jwks_uri: str | None = None
    """Null: discovered."""
    subject_claim: str = "sub"
    clients: Mapping[str, str] = field(default_factory=dict)
    """Client id in the token (``azp`` or ``client_id``) to the one service that may use such tokens; empty: any."""


class PublishedIssuer:
    """Implements ``ports.TrustedIssuer``."""

    def __init__(self, settings: IssuerSettings, http: OutboundClient, clock: Clock) -> None:
        """Fetch keys through ``http``, which may have a CA of its own; nothing is fetched yet."""
        self._settings = settings
        self._reader = SignedTokenReader(KeySets(http, clock))
        self._http = http
        self._clock = clock
        self._lock = threading.Lock()
        self._discovered: tuple[datetime, str] | None = None
        self._attempted_at: datetime | None = None

    @property
    def key(self) -> str:
        """Return its name in the providers file."""
        return self._settings.key

    @property
    def issuer(self) -> str:
        """Return the ``iss`` it writes."""
        return self._settings.issuer

    @property
    def audience(self) -> str:
        """Return what its tokens must be meant for."""
        return self._settings.audience

    @property
    def subject_claim(self) -> str:
        """Return the claim that names who the token is about."""
        return self._settings.subject_claim

    def lets_use(self, token: SignedToken, service: Service) -> bool:
        """Return whether ``service`` may use a token made for the client that stands in it.

        ``may_act`` in the token binds as well (RFC 8693 section 4.4): it names who may act for the person.
        """
        actor = token.claims.get("may_act")
        if actor is not None and not (isinstance(actor, dict) and actor.get("sub") == service.name):
            return False
        if not self._settings.clients:
            return True
        client = token.claims.get("azp", token.claims.get("client_id"))
        return isinstance(client, str) and self._settings.clients.get(client) == service.name

    def verify(self, token: str) -> SignedToken:
        """Return the token if this issuer signed it. Raises ``SignedTokenInvalid``, ``KeysUnavailable``."""
        verified = self._reader.verify_published(token, self._settings.jwks_uri or self._discover())
        if verified.issuer != self.issuer:
            raise SignedTokenInvalid("iss")
        return verified

    def _discover(self) -> str:
        known, now = self._discovered, self._clock()
        if known is not None and now - known[0] < RENEW_AFTER:
            return known[1]
        # An address that was good an hour ago most likely still is, and its keys are renewed on their own: one caller
        # asks for it anew, and only those who have none wait for the answer.
        has_turn = self._lock.acquire(blocking=known is None)
        try:
            if has_turn and (self._attempted_at is None or self._clock() - self._attempted_at >= RETRY_GAP):
                self._fetch_and_note()
        finally:
            if has_turn:
                self._lock.release()
        known = self._discovered
        if known is None:
            raise KeysUnavailable("discovery")
        return known[1]

    def _fetch_and_note(self) -> None:
        try:
            self._discovered = (self._clock(), self._fetch())
        except ProviderUnavailable:
            pass
        finally:
            self._attempted_at = self._clock()

    def _fetch(self) -> str:
        address = self.issuer.rstrip("/") + WELL_KNOWN
        reply = self._http.request(
            "GET", address, max_bytes=MAX_BYTES, deadline_s=DEADLINE_S, accept_encoding_identity=True
        )
        if reply.status != 200:
            raise ProviderUnavailable(f"discovery_http_{reply.status}")
        document = read_object(reply.body, max_bytes=MAX_BYTES)
        jwks_uri = document.get("jwks_uri")
        if document.get("issuer") != self.issuer or not isinstance(jwks_uri, str):
            raise ProviderUnavailable("discovery_issuer")
        return jwks_uri


class IssuerRegistry:
    """Implements ``ports.TrustedIssuers``."""

    def __init__(self, issuers: Sequence[PublishedIssuer]) -> None:
        """Keep ``issuers``; no two write the same ``iss``."""
        self._by_issuer = {issuer.issuer: issuer for issuer in issuers}

    def of(self, issuer: str) -> PublishedIssuer | None:
        """Return who writes this ``iss``; null when nobody trusted does."""
        return self._by_issuer.get(issuer)

    def keys(self) -> tuple[str, ...]:
        """Return the names of all, in the order of the configuration."""
        return tuple(issuer.key for issuer in self._by_issuer.values())
