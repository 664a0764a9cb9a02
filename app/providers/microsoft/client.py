"""Call Graph with a person's token, and follow its pages without being led astray or round in circles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from app.domain.errors import ProviderUnavailable
from app.domain.secret import AccountToken, Secret
from app.ports.gate import CallSlots
from app.providers.fields import Item, children, text
from app.providers.http import OutboundClient, Reply
from app.providers.json_reader import JSONObject, read_object
from app.providers.microsoft.refusals import refusal
from app.providers.microsoft.wire import PREFER, READ_SCOPE, is_own_link
from app.providers.page_guard import PageGuard

MOST_PAGES: Final = 20_000
"""A million items; more is a paging loop."""
MOST_AT_A_TIME: Final = 4
"""Calls for one mailbox and application, beyond which Exchange answers 429."""
_WAIT_S: Final = 10.0
"""For one of these; a call takes a second, and who waits keeps a thread from others."""
_DEADLINE_S: Final = 60.0
_MAX_BYTES: Final = 10 * 1024 * 1024


class GraphClient:
    """Graph on behalf of one person, for one use."""

    def __init__(self, http: OutboundClient, access_token: Secret, slots: CallSlots) -> None:
        self._http = http
        self._access_token = access_token
        self._slots = slots

    def get(self, url: str, params: Mapping[str, str] | None = None) -> JSONObject:
        """Return the object at ``url``. Raises leaves of ``ProviderError``, or ``ScopesMissing``."""
        return self.call("GET", url, params=params)

    def call(
        self, method: str, url: str, *, params: Mapping[str, str] | None = None, json_body: object = None
    ) -> JSONObject:
        """Make a call and return its object. Raises as ``get``."""
        reply = self.send(method, url, params=params, json_body=json_body)
        if reply.status // 100 != 2:
            raise refusal(reply, READ_SCOPE)
        return read_object(reply.body, max_bytes=_MAX_BYTES)

    def send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        json_body: object = None,
        deadline_s: float = _DEADLINE_S,
    ) -> Reply:
        """Make a call and return its answer, whatever the status.

        Raises ``ProviderThrottled`` also without a call, when too many for this mailbox are under way.
        """
        with self._slots.hold(_account(self._access_token), min(_WAIT_S, deadline_s)):
            return self._http.request(
                method,
                url,
                headers={"Authorization": f"Bearer {self._access_token.reveal()}", "Prefer": PREFER},
                params=dict(params or {}),
                json_body=json_body,
                max_bytes=_MAX_BYTES,
                deadline_s=deadline_s,
            )

    def pages(self, url: str, params: Mapping[str, str] | None = None) -> Iterator[JSONObject]:
        """Yield the page at ``url`` and those that follow it; pages may be empty and still have successors.

        Raises ``ProviderUnavailable``: ``endless_paging`` (a known fault of delta: links change, contents repeat, no
        end comes) or ``foreign_link``.
        """
        guard = PageGuard()
        for _ in range(MOST_PAGES):
            page = self.get(own_link(url), params)
            yield page
            following = text(page, "@odata.nextLink")
            if following is None:
                return
            # The link holds all parameters.
            url, params = following, None
            items = children(page, "value")
            guard.take((f"{text(item, 'id')} {text(item, '@odata.etag')}" for item in items), following)
        raise ProviderUnavailable("endless_paging")

    def items(self, url: str, params: Mapping[str, str] | None = None) -> Iterator[Item]:
        """Yield the objects of all pages."""
        for page in self.pages(url, params):
            yield from children(page, "value")


def _account(access_token: Secret) -> str:
    """Return whose calls are counted together; a token that does not say whose it is stands for itself."""
    return access_token.account if isinstance(access_token, AccountToken) else access_token.sha256()


def own_link(link: str) -> str:
    """Return ``link`` when it leads to Graph; raises ``ProviderUnavailable('foreign_link')``."""
    if not is_own_link(link):
        raise ProviderUnavailable("foreign_link")
    return link
