"""Send push messages from a few background threads, with timeouts and repeats."""

import heapq
import http.client
import ipaddress
import itertools
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

_WORKERS = 4
_TIMEOUT_S = 10.0
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Waits before the repeats; real providers go on for hours, which nobody wants to wait for here."""
_KEPT = 500


@dataclass(frozen=True)
class Message:
    """One push message on its way."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    repeats_on: Callable[[int | None], bool] = field(repr=False)
    """Whether to try again after this status; None: no answer."""
    about: Mapping[str, str] = field(default_factory=dict)
    """Words for the record of deliveries: channel, kind of message."""
    join: Callable[[Sequence["Message"]], "Message"] | None = field(default=None, repr=False)
    """Makes one message of this one and others that wait for the same address and may join too; None: goes alone."""
    attempt: int = 0


class Courier:
    """A small pool of threads that deliver messages; started by the first message, ended by `close`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """`tls`: how receivers with https are verified; None: against the system's authorities."""
        self.tls = tls
        self.record: deque[dict[str, object]] = deque(maxlen=_KEPT)
        """What was sent and answered, oldest first."""
        self._waiting: list[tuple[float, int, Message]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._in_hand = 0
        self._is_closed = False

    def send(self, message: Message, delay_s: float = 0.0) -> None:
        """Deliver a message in the background, not before `delay_s` real seconds have passed."""
        with self._changed:
            if self._is_closed:
                return
            heapq.heappush(self._waiting, (time.monotonic() + delay_s, next(self._numbers), message))
            if len(self._threads) < _WORKERS:
                thread = threading.Thread(target=self._work, name="sandbox-push", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify_all()

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is waiting or under way; False when that took longer than `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._in_hand, timeout_s)

    def close(self) -> None:
        """Stop delivering; messages still waiting are lost."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(_TIMEOUT_S + 1)

    def _work(self) -> None:
        while (message := self._next()) is not None:
            began_at = time.time()
            status = post(message.url, message.headers, message.body, tls=self.tls)
            with self._changed:
                told: dict[str, object] = {
                    **message.about,
                    "attempt": message.attempt + 1,
                    "status": status,
                    "began_at": began_at,
                }
                self.record.append(told)
                self._in_hand -= 1
                self._changed.notify_all()
            if message.attempt < len(_PAUSES_S) and message.repeats_on(status):
                self.send(replace(message, attempt=message.attempt + 1), _PAUSES_S[message.attempt])

    def _next(self) -> Message | None:
        with self._changed:
            while not self._is_closed:
                wait_s = self._waiting[0][0] - time.monotonic() if self._waiting else None
                if wait_s is not None and wait_s <= 0:
                    self._in_hand += 1
                    return self._with_company(heapq.heappop(self._waiting)[2])
                self._changed.wait(wait_s)
            return None

    def _with_company(self, message: Message) -> Message:
        """Return a message that is due, joined with those that wait to go along, due or not."""
        if message.join is None:
            return message
        company = [entry for entry in sorted(self._waiting) if _may_join(message, entry[2])]
        self._waiting = [entry for entry in self._waiting if not _may_join(message, entry[2])]
        heapq.heapify(self._waiting)
        return message.join([message, *(entry[2] for entry in company)])


def _may_join(message: Message, other: Message) -> bool:
    return other.join is not None and other.url == message.url


@dataclass(frozen=True)
class Answer:
    """What a receiver answered."""

    status: int
    content_type: str
    body: bytes
    """At most the first 64 kB."""


def post(url: str, headers: Mapping[str, str], body: bytes, *, tls: ssl.SSLContext | None = None) -> int | None:
    """POST and return the status, None when no answer came."""
    answer = exchange(url, headers, body, tls=tls)
    return None if answer is None else answer.status


def exchange(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    tls: ssl.SSLContext | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> Answer | None:
    """POST and return the answer, None when none came within `timeout_s`; redirects are not followed."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection = _connection(parts.scheme, host, parts.port, tls, timeout_s)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", path, body, dict(headers))
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers.get("Content-Type", ""), answer.read(65_536))
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _connection(
    scheme: str, host: str, port: int | None, tls: ssl.SSLContext | None, timeout_s: float
) -> http.client.HTTPConnection:
    if scheme == "https":
        context = tls or ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
    return http.client.HTTPConnection(host, port, timeout=timeout_s)


def is_allowed_address(url: str) -> bool:
    """Tell whether push may go to this address: https anywhere, plain http on this machine only."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
