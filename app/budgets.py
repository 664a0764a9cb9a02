"""Token buckets in Redis for calls to providers, with a share of each kept in memory for when Redis is away.

A budget is politeness, not correctness: losing it costs a burst, never a token. So nothing here may slow a call:
Redis gets 0.3 s, and after one failure it is left alone for a while.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.ports import Draw

logger = logging.getLogger("latchkey.gate")

SOCKET_TIMEOUT_S = 0.3
PAUSE_AFTER_FAILURE_S = 2.0
"""As for nudges: while Redis is away every call would cost its time-out."""

KEY_PREFIX = "latchkey:budget:"

LOCAL_SHARE = 0.25
"""Of each budget, per process, while Redis is away: two web processes, a worker or two. A guess on the polite side."""

MOST_LOCAL_BUCKETS = 10_000
"""Bounds memory; when it is reached all are forgotten, which costs a burst."""

DRAW = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local wait, levels = 0, {}
for i, key in ipairs(KEYS) do
    local rate, burst, calls = tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i]), tonumber(ARGV[3*i+1])
    local kept = redis.call('HMGET', key, 'level', 'at')
    local level = burst
    if kept[1] then
        level = math.min(burst, tonumber(kept[1]) + math.max(0, now - tonumber(kept[2])) * rate)
    end
    if level < 1 then wait = math.max(wait, (1 - level) / rate) end
    levels[i] = math.min(burst, level - calls)
end
if wait > 0 and ARGV[1] ~= 'charge' then return tostring(wait) end
for i, key in ipairs(KEYS) do
    local rate, burst, calls = tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i]), tonumber(ARGV[3*i+1])
    if calls ~= 0 then
        redis.call('HSET', key, 'level', tostring(levels[i]), 'at', string.format('%.6f', now))
        redis.call('EXPIRE', key, math.ceil((burst - levels[i]) / rate) + 1)
    end
end
return '0'
"""
"""All or nothing, by Redis's clock. A full bucket and a forgotten one are the same, so keys live until they are full.
Source: the token bucket as in RFC 2697's committed burst, one bucket per key."""


class RedisBudget:
    """Implements ``ports.CallBudget``."""

    def __init__(self, redis_url: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Prepare a client for ``redis_url``; it connects on first use, after any fork."""
        self._client = redis.Redis.from_url(
            redis_url,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=SOCKET_TIMEOUT_S,
            # The library's own retries would multiply the time-out.
            retry=Retry(NoBackoff(), 0),
        )
        self._script = self._client.register_script(DRAW)
        self._monotonic = monotonic
        self._silent_until = 0.0
        self._local = LocalBudget(monotonic)

    def draw(self, draws: Sequence[Draw]) -> float:
        """Take from all buckets when each has room for a call, else from none; returns 0 or the seconds to wait."""
        wait_s = self._ask("draw", draws)
        return self._local.draw(draws) if wait_s is None else wait_s

    def charge(self, draw: Draw) -> None:
        """Take from (or give back to) one bucket, whatever is in it. Never raises."""
        if self._ask("charge", (draw,)) is None:
            self._local.charge(draw)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, mode: str, draws: Sequence[Draw]) -> float | None:
        """Return Redis's answer; null when it gives none."""
        if self._monotonic() < self._silent_until:
            return None
        keys = [KEY_PREFIX + draw.bucket for draw in draws]
        numbers = [str(number) for draw in draws for number in (draw.rate_per_s, draw.burst, draw.calls)]
        try:
            return float(self._script(keys=keys, args=[mode, *numbers]))
        except (redis.RedisError, OSError) as error:
            self._silent_until = self._monotonic() + PAUSE_AFTER_FAILURE_S
            logger.warning("budgets kept per process for a while: %s", type(error).__name__)
            return None


class LocalBudget:
    """A share of every bucket, for this process alone."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Start with full buckets."""
        self._monotonic = monotonic
        self._levels: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def draw(self, draws: Sequence[Draw]) -> float:
        """Do as ``RedisBudget.draw``."""
        with self._lock:
            now = self._monotonic()
            wait_s = max((_shortage(self._level(draw, now)) / _share(draw.rate_per_s) for draw in draws), default=0.0)
            if wait_s == 0:
                for draw in draws:
                    self._take(draw, now)
            return wait_s

    def charge(self, draw: Draw) -> None:
        """Do as ``RedisBudget.charge``."""
        with self._lock:
            self._take(draw, self._monotonic())

    def _level(self, draw: Draw, now: float) -> float:
        full = max(_share(draw.burst), 1.0)
        level, at = self._levels.get(draw.bucket, (full, now))
        return min(full, level + (now - at) * _share(draw.rate_per_s))

    def _take(self, draw: Draw, now: float) -> None:
        if len(self._levels) >= MOST_LOCAL_BUCKETS:
            self._levels.clear()
        self._levels[draw.bucket] = (self._level(draw, now) - draw.calls, now)


def _share(number: float) -> float:
    return number * LOCAL_SHARE


def _shortage(level: float) -> float:
    """Return what is missing for one call; rounding must not ask anybody to wait for a millionth of one."""
    missing = 1.0 - level
    return 0.0 if missing <= 0 or math.isclose(missing, 0.0, abs_tol=1e-9) else missing
