"""An outbound client that answers from a script and notes what it was asked."""

import json
from datetime import UTC, datetime, timedelta

from app.domain.errors import ProviderUnavailable
from app.providers.http import Reply


class ScriptedHTTP:
    """Answers each address with what ``serve`` or ``fail`` said last."""

    def __init__(self):
        self.answers = {}
        self.asked = []

    def serve(self, url, document, status=200):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.answers[url] = Reply(status, {}, body)

    def fail(self, url, code="connect"):
        self.answers[url] = ProviderUnavailable(code)

    def request(self, _method, url, **_options):
        self.asked.append(url)
        answer = self.answers[url]
        if isinstance(answer, ProviderUnavailable):
            raise answer
        return answer

    def is_routed(self, _url):
        return False


class SetClock:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.now = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)

    def __call__(self):
        return self.now

    def advance(self, **duration):
        self.now += timedelta(**duration)
