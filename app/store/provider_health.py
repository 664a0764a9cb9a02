"""The state of provider applications: one row each, written in trouble alone, by the database's clock."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Row, and_, case, extract, func, or_, select, update
from sqlalchemy.dialects import postgresql

from app.domain.breaker import (
    LEAST_RESUMPTION_PER_S,
    LIVELIEST_RESUMPTION,
    STEADY_AFTER_S,
    Cause,
    Health,
    cool_down_s,
)
from app.domain.connections import Status
from app.domain.tokens import EARLIEST_REFRESH, LATEST_REFRESH
from app.store.claims import lease_end as from_now
from app.store.schema import connections, provider_health
from app.store.storable import storable_text

RESUMPTION_REST_S = 60
LONGEST_RESUMPTION_S = 3600
"""A backlog is worked off in about the time it took to build up, and a minute; an hour at most."""

_H = provider_health.c
_C = connections.c
_NOW = func.clock_timestamp()


def _seconds_until(moment: ColumnElement[datetime | None]) -> ColumnElement[float]:
    return func.coalesce(extract("epoch", moment - _NOW), 0.0)


_HEALTH = select(
    _H.provider,
    _H.cause,
    _H.code,
    _H.opened_at,
    _seconds_until(_H.open_until).label("open_for_s"),
    _seconds_until(_H.probe_until).label("probing_for_s"),
    case((and_(_H.cause.is_(None), _H.resumption_until > _NOW), _H.resumption_per_s)).label("resumption_per_s"),
    func.coalesce(_H.believed_until > _NOW, False).label("is_believing"),
    _H.test_mode_since,
)


class PostgresProviderHealth:
    """Implements ``ports.ProviderHealthStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def all(self) -> tuple[Health, ...]:
        """Return the state of all of them."""
        return tuple(_read(row) for row in self._connection.execute(_HEALTH.order_by(_H.provider)))

    def open(self, provider: str, cause: Cause, code: str, spread: float, wish_s: float) -> bool:
        """Open a closed breaker; returns whether this did it."""
        self._make(provider)
        row = self._locked(provider)
        if row.cause is not None:
            return False
        openings = row.openings + 1 if row.is_recent else 1
        for_s = cool_down_s(openings, spread, wish_s)
        self._pause(provider, cause, code, openings, for_s, opened_at=_NOW, resumption_until=None)
        return True

    def claim_probe(self, provider: str, probe_s: float) -> bool:
        """Take the one probe of a breaker whose cool-down is over; returns whether it is ours."""
        return bool(
            self._connection.execute(
                update(provider_health)
                .where(
                    _H.provider == provider,
                    _H.cause.is_not(None),
                    _H.open_until <= _NOW,
                    or_(_H.probe_until.is_(None), _H.probe_until <= _NOW),
                )
                .values(probe_until=from_now(probe_s))
            ).rowcount
        )

    def reopen(self, provider: str, cause: Cause, code: str, spread: float, wish_s: float) -> None:
        """End a probe that failed: the next cool-down is longer."""
        row = self._locked(provider)
        if row.cause is not None:
            self._pause(provider, cause, code, row.openings + 1, cool_down_s(row.openings + 1, spread, wish_s))

    def close(self, provider: str) -> float:
        """End the trouble; calls resume at a spread rate, which is returned in calls per second."""
        rate = max(LEAST_RESUMPTION_PER_S, LIVELIEST_RESUMPTION * self._steady_per_s(provider))
        paused_s = func.least(extract("epoch", _NOW - _H.opened_at), LONGEST_RESUMPTION_S - RESUMPTION_REST_S)
        self._set(
            provider,
            cause=None,
            probe_until=None,
            closed_at=_NOW,
            resumption_per_s=rate,
            resumption_until=_NOW + func.make_interval(0, 0, 0, 0, 0, 0, paused_s + RESUMPTION_REST_S),
        )
        return rate

    def release_probe(self, provider: str) -> None:
        """End a probe that told nothing."""
        self._set(provider, probe_until=None)

    def retry_now(self, provider: str) -> bool:
        """End the cool-down; returns whether the breaker was open."""
        return bool(
            self._connection.execute(
                update(provider_health)
                .where(_H.provider == provider, _H.cause.is_not(None))
                .values(open_until=_NOW, probe_until=None)
            ).rowcount
        )

    def believe(self, provider: str, for_s: float) -> None:
        """Take refused grants as genuine for a while: they open nothing, and end what they opened."""
        self._make(provider)
        self._set(provider, believed_until=from_now(for_s))
        if self._locked(provider).cause == Cause.REFUSALS:
            self.close(provider)

    def suspects(self, provider: str, within_s: float) -> int:
        """Count active connections whose grant was first refused within the last seconds."""
        return self._connection.execute(
            select(func.count()).where(
                _C.provider == provider,
                _C.suspected_since > from_now(-within_s),
                _C.status == Status.ACTIVE,
            )
        ).scalar_one()

    def note_test_mode(self, provider: str) -> bool:
        """Note that grants of the provider end after seven days; returns whether that is news."""
        self._make(provider)
        return bool(
            self._connection.execute(
                update(provider_health)
                .where(_H.provider == provider, _H.test_mode_since.is_(None))
                .values(test_mode_since=_NOW)
            ).rowcount
        )

    def _make(self, provider: str) -> None:
        self._connection.execute(postgresql.insert(provider_health).values(provider=provider).on_conflict_do_nothing())

    def _locked(self, provider: str) -> Row[tuple[str | None, int, bool]]:
        is_recent = func.coalesce(_H.closed_at > from_now(-STEADY_AFTER_S), False).label("is_recent")
        return self._connection.execute(
            select(_H.cause, _H.openings, is_recent).where(_H.provider == provider).with_for_update()
        ).one()

    def _pause(self, provider: str, cause: Cause, code: str, openings: int, for_s: float, **more: object) -> None:
        self._set(
            provider,
            cause=cause,
            code=storable_text(code)[:100],
            openings=openings,
            open_until=from_now(for_s),
            probe_until=None,
            **more,
        )

    def _set(self, provider: str, **values: object) -> None:
        self._connection.execute(update(provider_health).where(_H.provider == provider).values(**values))

    def _steady_per_s(self, provider: str) -> float:
        """Return how many refreshes a second the provider's active connections need in ordinary times."""
        life_s = func.avg(extract("epoch", _C.access_expires_at - _C.last_refreshed_at))
        count, mean_life_s = self._connection.execute(
            select(func.count(), life_s).where(_C.provider == provider, _C.status == Status.ACTIVE)
        ).one()
        share = (EARLIEST_REFRESH + LATEST_REFRESH) / 2
        return float(count) / max(float(mean_life_s) * share, 1.0) if mean_life_s else 0.0


def _read(row: Row[tuple[object, ...]]) -> Health:
    return Health(
        provider=row.provider,
        cause=Cause(row.cause) if row.cause else None,
        code=row.code if row.cause else None,
        opened_at=row.opened_at if row.cause else None,
        open_for_s=float(row.open_for_s) if row.cause else 0.0,
        probing_for_s=float(row.probing_for_s),
        resumption_per_s=row.resumption_per_s,
        is_believing=row.is_believing,
        test_mode_since=row.test_mode_since,
    )
