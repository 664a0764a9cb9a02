"""What an OpenID provider says about itself, checked before it is believed.

The document names every address that will see codes, secrets and tokens, so the issuer must match byte for byte,
all addresses must be https on the issuer's own host (or hosts the operator named), and S256 must not be denied.
Sources: OpenID Connect Discovery 1.0 sections 3 and 4.3; RFC 8414; RFC 9207 section 3; RFC 7636 section 4.2.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from app.domain.errors import ProviderRejected, ProviderUnavailable
from app.ports.surroundings import Clock
from app.providers.http import OutboundClient
from app.providers.json_reader import JSONObject, read_object

WELL_KNOWN = "/.well-known/openid-configuration"
RENEW_AFTER = timedelta(hours=1)
DROP_AFTER = timedelta(hours=24)
RENEWAL_GAP = timedelta(seconds=30)
FIRST_GAP = timedelta(seconds=1)
"""Between attempts while nothing is known: long enough that a queue behind a hanging provider fails together."""
MAX_BYTES = 256 * 1024
DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """The members of a discovery document that we use."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    revocation_endpoint: str | None
    id_token_algorithms: frozenset[str]
    token_auth_methods: frozenset[str]
    promises_iss: bool
    """Whether authorization answers carry ``iss`` (RFC 9207)."""


def read_metadata(document: JSONObject, issuer: str, is_allowed: Callable[[str], bool]) -> ProviderMetadata:
    """Return the checked metadata; ``is_allowed`` judges each endpoint address.

    Raises ``ProviderRejected``: such a provider must be looked at by the operator, not tried again.
    """
    if document.get("issuer") != issuer:
        raise ProviderRejected("discovery_issuer")
    challenges = document.get("code_challenge_methods_supported")
    # Absence says nothing (S256 is sent anyway); a list without S256 would mean a downgrade to plain.
    if challenges is not None and "S256" not in _texts(challenges):
        raise ProviderRejected("discovery_pkce")

    def endpoint(name: str) -> str | None:
        value = document.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not is_allowed(value):
            raise ProviderRejected(f"discovery_{name}")
        return value

    def needed(name: str) -> str:
        value = endpoint(name)
        if value is None:
            raise ProviderRejected(f"discovery_{name}")
        return value

    return ProviderMetadata(
        issuer=issuer,
        authorization_endpoint=needed("authorization_endpoint"),
        token_endpoint=needed("token_endpoint"),
        jwks_uri=needed("jwks_uri"),
        userinfo_endpoint=endpoint("userinfo_endpoint"),
        revocation_endpoint=endpoint("revocation_endpoint"),
        id_token_algorithms=_texts(document.get("id_token_signing_alg_values_supported")) or frozenset({"RS256"}),
        token_auth_methods=_texts(document.get("token_endpoint_auth_methods_supported"))
        or frozenset({"client_secret_basic"}),
        promises_iss=document.get("authorization_response_iss_parameter_supported") is True,
    )


class MetadataSource:
    """The current metadata of one issuer: renewed hourly, the last good one kept for a day through outages."""

    def __init__(
        self, http: OutboundClient, issuer: str, clock: Clock, allowed_hosts: frozenset[str] = frozenset()
    ) -> None:
        self.issuer = issuer
        self._http = http
        self._clock = clock
        self._hosts = allowed_hosts | {urlsplit(issuer).netloc}
        self._lock = threading.Lock()
        self._known: tuple[datetime, ProviderMetadata] | None = None
        self._attempted_at: datetime | None = None

    def get(self) -> ProviderMetadata:
        """Return the metadata. Raises ``ProviderRejected`` and, without a good copy, ``ProviderUnavailable``."""
        known = self._known
        if known is not None and self._clock() - known[0] < RENEW_AFTER:
            return known[1]
        with self._lock:
            return self._renewed()

    def _renewed(self) -> ProviderMetadata:
        now = self._clock()
        known = self._known if self._known and now - self._known[0] < DROP_AFTER else None
        since = now - self._attempted_at if self._attempted_at else None
        if known is not None and (now - known[0] < RENEW_AFTER or (since is not None and since < RENEWAL_GAP)):
            return known[1]
        if known is None and since is not None and since < FIRST_GAP:
            raise ProviderUnavailable("discovery")
        try:
            known = self._known = self._fetch()
        except ProviderUnavailable:
            if known is None:
                raise
        except ProviderRejected:
            # What it says now is unacceptable; going on with the old copy would hide that from the operator.
            self._known = None
            raise
        finally:
            self._attempted_at = self._clock()
        return known[1]

    def _fetch(self) -> tuple[datetime, ProviderMetadata]:
        reply = self._http.request(
            "GET",
            self.issuer.rstrip("/") + WELL_KNOWN,
            max_bytes=MAX_BYTES,
            deadline_s=DEADLINE_S,
            accept_encoding_identity=True,
        )
        if reply.status != 200:
            raise ProviderUnavailable(f"discovery_http_{reply.status}")
        return self._clock(), read_metadata(read_object(reply.body), self.issuer, self._may_use)

    def _may_use(self, address: str) -> bool:
        """Return whether a secret may go to ``address``: https, no credentials or fragment in it, a known host."""
        try:
            parts = urlsplit(address)
            is_known = parts.netloc in self._hosts or self._http.is_routed(address)
        except ValueError:
            return False
        return parts.scheme == "https" and "@" not in parts.netloc and not parts.fragment and is_known


def _texts(value: object) -> frozenset[str]:
    return frozenset(item for item in value if isinstance(item, str)) if isinstance(value, list) else frozenset()
