"""Call the Calendar API with a person's token, and follow its pages to their end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from app.domain.errors import ProviderUnavailable
from app.domain.secret import Secret
from app.providers.fields import children, text
from app.providers.google.refusals import refusal
from app.providers.http import OutboundClient, Reply
from app.providers.json_reader import JSONObject, read_object
from app.providers.page_guard import PageGuard

MOST_PAGES: Final = 4_000
"""Pages may be short for no reason given; a million events in pages of a tenth still is no paging loop."""
_DEADLINE_S: Final = 60.0
_MAX_BYTES: Final = 32 * 1024 * 1024
"""13 kB for each event of a page: long invitations with many guests reach a third of it. A page above would never be
read, nor anything after it."""


class GoogleClient:
    """The Calendar API on behalf of one person, for one use."""

    def __init__(self, http: OutboundClient, access_token: Secret) -> None:
        self._http = http
        self._access_token = access_token

    def call(
        self, method: str, url: str, scope: str, *, params: Mapping[str, str] | None = None, json_body: object = None
    ) -> JSONObject:
        """Make a call and return its object; ``scope`` is what it needs.

        Raises leaves of ``ProviderError``, or ``ScopesMissing``.
        """
        reply = self.send(method, url, params=params, json_body=json_body)
        if reply.status // 100 != 2:
            raise refusal(reply, scope)
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
        """Make a call and return its answer, whatever the status."""
        return self._http.request(
            method,
            url,
            headers={"Authorization": f"Bearer {self._access_token.reveal()}"},
            params=dict(params or {}),
            json_body=json_body,
            max_bytes=_MAX_BYTES,
            deadline_s=deadline_s,
        )


def pages(fetch: Callable[[str | None], JSONObject]) -> Iterator[JSONObject]:
    """Follow ``nextPageToken`` to its end, which a provider in trouble may never send."""
    token: str | None = None
    guard = PageGuard()
    for _ in range(MOST_PAGES):
        page = fetch(token)
        yield page
        token = text(page, "nextPageToken")
        if token is None:
            return
        guard.take((f"{text(item, 'id')} {text(item, 'etag')}" for item in children(page, "items")), token)
    raise ProviderUnavailable("endless_paging")
