"""Connect links: an internal service asks one person to connect an account, by an address the person opens.

A link is used once, within half an hour, by the browser and the person that confirmed it first. Its states:

::

    open ──confirmed──► started ──► connected                    (completion "automatic")
                           │     └► awaiting_completion ──► connected   (completion "host")
                           └──────► declined, failed
    open, started, awaiting_completion ──too late──► expired
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from uuid import UUID

from app.domain.connect_link_errors import ConnectLinkExpired, ConnectLinkForAnother, ConnectLinkTaken, ConnectLinkUsed
from app.domain.features import Feature

LIFETIME = timedelta(minutes=30)
"""From the making of a link to the end of the consent: a link in an old mail is worth nothing."""

COMPLETION_WITHIN = timedelta(minutes=10)
"""How long the host's server may take to confirm a connection; the person's browser is on its way to it."""

ANSWER_WITHIN = timedelta(minutes=5)
"""How long after its end a link whose provider has answered is left alone: the answer is being worked on."""

LONGEST_RETURN_URI = 1000
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")
_URI = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?[]@!$&'()*+,;=%")
"""The characters of RFC 3986 without the fragment's ``#``."""
_OURS = frozenset({"connect_link", "status", "connection_id"})


class Completion(StrEnum):
    """Who says the last word on a new connection."""

    AUTOMATIC = "automatic"
    """The person's consent is enough."""
    HOST = "host"
    """The service confirms that the browser that came back belongs to the user it sent away."""


class LinkState(StrEnum):
    """Where a link stands, as stored; ``ConnectLink.state_at`` knows what time has done to it since."""

    OPEN = "open"
    STARTED = "started"
    AWAITING_COMPLETION = "awaiting_completion"
    CONNECTED = "connected"
    DECLINED = "declined"
    FAILED = "failed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class ConnectLink:
    """One connect link. The secret of its address exists only in that address."""

    id: UUID
    secret_hash: bytes
    """SHA-256 of the address's secret."""
    service_id: UUID
    service_name: str
    for_person_id: UUID | None
    """Whom it is for; null when it names nobody, or somebody who has never signed in."""
    for_issuer: str | None
    for_subject: str | None
    """With the issuer, the other way to name somebody; null together."""
    email_hint: str | None
    """Which account the person should choose. A suggestion for that person, never a key."""
    provider: str
    features: tuple[Feature, ...]
    return_uri: str
    completion: Completion
    created_at: datetime
    expires_at: datetime
    state: LinkState = LinkState.OPEN
    reason: str | None = None
    """Stable error code of a failure; null otherwise."""
    browser_hash: bytes | None = None
    """SHA-256 of the binding cookie of the browser that confirmed it; null before."""
    taken_by: UUID | None = None
    """The person who confirmed it; null before."""
    used_at: datetime | None = None
    """When the provider's answer came; null before. There is no second answer."""
    connection_id: UUID | None = None
    complete_by: datetime | None = None
    """Until when the host may confirm; null unless it has to."""

    def state_at(self, now: datetime) -> LinkState:
        """Return the state at ``now``, whether or not somebody has written the end of the time down already."""
        ends_at = self.expires_at if self.used_at is None else self.expires_at + ANSWER_WITHIN
        if self.state in {LinkState.OPEN, LinkState.STARTED} and now >= ends_at:
            return LinkState.EXPIRED
        if self.state is LinkState.AWAITING_COMPLETION and self.complete_by is not None and now >= self.complete_by:
            return LinkState.EXPIRED
        return self.state

    def names_somebody(self) -> bool:
        """Return whether it is for one person only."""
        return self.for_person_id is not None or self.for_issuer is not None


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who stands before a link."""

    person_id: UUID
    browser_hash: bytes | None
    """SHA-256 of the binding cookie; null when the browser has none."""


def check_visitor(link: ConnectLink, visitor: Visitor, now: datetime) -> None:
    """Let through only whom the link is for, in time, and in the browser that has it if one has.

    Raises ``ConnectLinkForAnother`` before anything else, so that a stranger learns no more than that.
    """
    if link.names_somebody() and link.for_person_id != visitor.person_id:
        raise ConnectLinkForAnother
    if link.state_at(now) is LinkState.EXPIRED:
        raise ConnectLinkExpired
    if link.state not in {LinkState.OPEN, LinkState.STARTED} or link.used_at is not None:
        raise ConnectLinkUsed
    if link.state is LinkState.STARTED and not _has_it(link, visitor):
        raise ConnectLinkTaken


def check_return_uri(uri: str) -> None:
    """Refuse an address a browser must not be sent to; raises ``ValueError`` that says why.

    RFC 9700 section 4.11: only addresses an operator wrote down, ``https`` or loopback (RFC 8252 section 7.3). What
    two readers could read differently (user information, odd hosts, other characters) is refused as a whole.
    """
    if len(uri) > LONGEST_RETURN_URI or not uri or not set(uri) <= _URI:
        raise ValueError(f"a return address has 1 to {LONGEST_RETURN_URI} characters of RFC 3986 and no fragment")
    try:
        parts = urlsplit(uri)
        host, has_port = parts.hostname or "", parts.port is not None
    except ValueError:
        raise ValueError("the return address cannot be read") from None
    written = f"[{host}]" if ":" in host else host
    if has_port:
        written = f"{written}:{parts.port}"
    if parts.scheme not in {"https", "http"} or not uri.startswith(f"{parts.scheme}://{written}/"):
        raise ValueError("a return address begins with https://host/ in small letters, without a user name")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise ValueError("a return address without TLS must be on this machine: localhost, 127.0.0.1 or [::1]")
    if host not in _LOOPBACK and (not set(host) <= _HOST or not host.strip(".-") or host[0] in ".-"):
        raise ValueError("the host of the return address is not a plain name")
    if _OURS & {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}:
        raise ValueError("the return address already has a parameter that Latchkey adds")


def return_address(link: ConnectLink) -> str:
    """Return where to send the browser at the end: what became of the link, never anything of the provider's."""
    connected = link.state in {LinkState.CONNECTED, LinkState.AWAITING_COMPLETION}
    values: Mapping[str, str] = {
        "connect_link": str(link.id),
        "status": LinkState.CONNECTED.value if connected else link.state.value,
        **({"connection_id": str(link.connection_id)} if connected else {}),
    }
    return f"{link.return_uri}{'&' if '?' in link.return_uri else '?'}{urlencode(values, quote_via=quote)}"


def return_host(link: ConnectLink) -> str:
    """Return the host people see as the place they go back to."""
    return urlsplit(link.return_uri).netloc


def _has_it(link: ConnectLink, visitor: Visitor) -> bool:
    if link.browser_hash is None or visitor.browser_hash is None or link.taken_by != visitor.person_id:
        return False
    return hmac.compare_digest(link.browser_hash, visitor.browser_hash)
