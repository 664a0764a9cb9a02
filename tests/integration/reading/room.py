"""One web process on a real database, and rows put in place as a sync would."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote_plus
from uuid import uuid4

from sqlalchemy import Engine, create_engine, delete, func, insert, select, text, update
from sqlalchemy.dialects import postgresql

from app.bootstrap import Services
from app.domain.calendars import EventKind, EventStatus, RemoteEvent, Series, Window
from app.domain.connections import Identity
from app.domain.features import Feature, scopes_for
from app.domain.people import Service
from app.domain.policies import Policy, Terms
from app.domain.recurrence import expand, single_occurrence
from app.store.schema import calendars, changes, connections, events, occurrences, sync_states
from app.web.application import create_app
from app.web.settings import WebSettings

PUBLIC_URL = "http://localhost:8080"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(days=31), NOW + timedelta(days=396))
READ = (Feature.IDENTITY, Feature.CALENDAR_READ)


def single(provider_id, start=NOW, length=timedelta(minutes=30), **changed):
    """Return a single event; dates make it an all-day one."""
    values = {
        "status": EventStatus.CONFIRMED,
        "summary": f"Event {provider_id}",
        "time_zone": "Europe/Berlin",
        "all_day": not isinstance(start, datetime),
    }
    values |= {"series_id": None, "recurrence_id": None} | changed
    return RemoteEvent(provider_id, EventKind.SINGLE, start=start, end=start + length, **values)


def master(provider_id, start, length, *rules, **changed):
    values = {"summary": f"Series {provider_id}", "time_zone": "Europe/Berlin"} | changed
    return RemoteEvent(
        provider_id, EventKind.MASTER, EventStatus.CONFIRMED, None, None,
        all_day=not isinstance(start, datetime), start=start, end=start + length, rules=rules, **values,
    )  # fmt: skip


def exception(provider_id, series_id, recurrence_id, **changed):
    values = {"status": EventStatus.CONFIRMED, "time_zone": "Europe/Berlin"} | changed
    if values.get("start") is not None:
        values["all_day"] = not isinstance(values["start"], datetime)
    return RemoteEvent(provider_id, EventKind.EXCEPTION, series_id=series_id, recurrence_id=recurrence_id, **values)


@dataclass
class Room:
    """What a test works with."""

    services: Services
    engine: Engine
    app: object

    # --- services

    def service(self, name="reader", features=(Feature.CALENDAR_READ,), **terms):
        """Register a service with one policy; returns its Basic credentials."""
        secret = self.services.callers.registry.add(name, features, None, act_as=terms.pop("act_as", True)).reveal()
        if terms:
            with self.store.transaction() as tx:
                service = tx.services.by_name(name)
                for policy in tx.policies.all_for_change([service.id])[name]:
                    tx.policies.remove(policy.id)
            self.allow(name, features, **terms)
        pair = f"{quote_plus(name)}:{quote_plus(secret)}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def known(self, name="reader") -> Service:
        with self.store.reading() as tx:
            return tx.services.by_name(name)

    def allow(self, name, features=(Feature.CALENDAR_READ,), **terms):
        terms = {"provider": None, "act_as": True} | terms
        with self.store.transaction() as tx:
            service = tx.services.by_name(name)
            tx.policies.add(Policy(uuid4(), service.id, Terms(features=frozenset(features), **terms)), NOW)

    @property
    def store(self):
        return self.services.connections.store

    # --- requests

    def get(self, path, headers, **query):
        client = self.app.test_client(use_cookies=False)
        return client.get(path, base_url=PUBLIC_URL, headers=headers, query_string=query)

    def pages(self, path, headers, **query):
        """Yield every page from the beginning, by the cursor of the one before."""
        cursor = None
        while True:
            answer = self.get(path, headers, **query, **({"cursor": cursor} if cursor else {}))
            assert answer.status_code == 200, answer.json
            yield answer.json
            cursor = answer.json["next_cursor"]
            if cursor is None or not answer.json.get("has_more", True):
                return

    def audit(self, kind):
        """Return the details of the log's entries of a kind, after what waits on the disk."""
        self.services.hand_out_log._spool.drain(self.services.audit.chain)  # at once, not in 0.2 s
        with self.store.reading() as tx:
            return [one.entry for one in tx.audit_log.after(0, 1000) if one.entry.kind == kind]

    # --- people and what they connected

    def person(self, name="ada", zone="Europe/Berlin"):
        identity = Identity("https://accounts.google.com", name, None, f"{name}@example.test", name)
        with self.store.transaction() as tx:
            person = tx.people.sign_in("google", identity, NOW)
            tx.people.set_time_zone(person.id, zone)
        return person.id

    def connection(self, person_id, provider="google", account="ada", features=READ, **values):
        connection_id = uuid4()
        row = {
            "id": connection_id,
            "person_id": person_id,
            "provider": provider,
            "kind": provider,
            "issuer": f"https://{provider}.test",
            "subject": account,
            "email": f"{account}@example.test",
            "status": "active",
            "status_since": NOW,
            "requested_features": list(features),
            "granted_scopes": sorted(scopes_for(provider, features)),
            "created_at": NOW,
            "calendars_listed_at": NOW,
        } | values
        self.run(insert(connections).values(row))
        return connection_id

    def change_connection(self, connection_id, **values):
        self.run(update(connections).where(connections.c.id == connection_id).values(values))

    def calendar(self, connection_id, name="Work", **values):
        calendar_id = uuid4()
        state = {"last_success_at": func.now(), "last_error": None}
        state |= {key: values.pop(key) for key in list(values) if key in state}
        row = {"provider_id": name, "time_zone": "Europe/Berlin", "access_role": "owner", "is_primary": False} | values
        self.run(
            insert(calendars).values(id=calendar_id, connection_id=connection_id, name=name, created_at=NOW, **row)
        )
        self.run(
            insert(sync_states).values(
                calendar_id=calendar_id,
                cursor="c",
                window_start=WINDOW.start,
                window_end=WINDOW.end,
                due_at=NOW,
                **state,
            )
        )
        return calendar_id

    def calendar_of(self, name="ada", **values):
        """Return person, connection and calendar of somebody with one calendar."""
        person_id = self.person(name)
        connection_id = self.connection(person_id, account=name)
        return person_id, connection_id, self.calendar(connection_id, **values)

    # --- what a sync writes

    def put(self, calendar_id, *found, using=None):
        """Store an event, or a series with its exceptions, in the place of what was stored, and tell the change."""
        first = found[0]
        event_id = first.series_id or first.provider_id
        with Engine.begin(self.engine) if using is None else _left_open(using) as connection:
            seq = _next_seq(connection, calendar_id)
            _forget(connection, calendar_id, event_id)
            for event in found:
                connection.execute(insert(events).values(_event_row(calendar_id, event)))
            person_id = connection.scalar(
                select(connections.c.person_id).join(calendars).where(calendars.c.id == calendar_id)
            )
            for one in _occurrences(found):
                connection.execute(insert(occurrences).values(_occurrence_row(calendar_id, person_id, one)))
            _tell(connection, calendar_id, event_id, seq, fingerprint=uuid4().bytes)

    def remove(self, calendar_id, event_id):
        with self.engine.begin() as connection:
            seq = _next_seq(connection, calendar_id)
            _forget(connection, calendar_id, event_id)
            _tell(connection, calendar_id, event_id, seq, fingerprint=None)

    def run(self, statement, **values):
        with self.engine.begin() as connection:
            return connection.execute(statement, values) if values else connection.execute(statement)


class _left_open:  # noqa: N801  # reads as a context manager
    """Leave a transaction to whoever began it."""

    def __init__(self, connection):
        self.connection = connection

    def __enter__(self):
        return self.connection

    def __exit__(self, *_):
        return None


def make_room(services: Services, database_url: str) -> Room:
    app = create_app(services, WebSettings(PUBLIC_URL, b"k" * 32, lambda: datetime.now(UTC)))
    return Room(services, create_engine(database_url), app)


def _next_seq(connection, calendar_id):
    """Lock the sync state, as a sync does, and count."""
    return connection.scalar(
        update(sync_states)
        .where(sync_states.c.calendar_id == calendar_id)
        .values(change_seq=sync_states.c.change_seq + 1)
        .returning(sync_states.c.change_seq)
    )


def _forget(connection, calendar_id, event_id):
    for table, column in ((occurrences, "series_id"), (events, "series_id"), (events, "provider_id")):
        connection.execute(delete(table).where(table.c.calendar_id == calendar_id, table.c[column] == event_id))


def _tell(connection, calendar_id, event_id, seq, *, fingerprint):
    values = {
        "seq": seq,
        "is_removed": fingerprint is None,
        "fingerprint": fingerprint,
        "changed_at": NOW,
        "written_by": text("pg_current_xact_id()::text::bigint"),
    }
    connection.execute(
        postgresql.insert(changes)
        .values(calendar_id=calendar_id, event_id=event_id, **values)
        .on_conflict_do_update(index_elements=["calendar_id", "event_id"], set_=values)
    )


def _occurrences(found):
    first = found[0]
    if first.kind is EventKind.SINGLE:
        return single_occurrence(first, WINDOW)
    own = first if first.kind is EventKind.MASTER else None
    return expand(Series(own, tuple(one for one in found if one is not own)), WINDOW)


def _event_row(calendar_id, event):
    plain = (
        "provider_id", "kind", "status", "series_id", "recurrence_id", "all_day", "time_zone", "time_zone_raw",
        "rules_raw", "busy", "event_type", "privacy", "self_response", "is_organizer", "organizer",
        "attendees_omitted", "summary", "location", "description", "html_link", "conference_url", "ical_uid", "etag",
        "sequence", "problem",
    )  # fmt: skip
    return {
        **{name: getattr(event, name) for name in plain},
        **_span(event),
        "calendar_id": calendar_id,
        "rules": list(event.rules),
        "attendees": [dict(one) for one in event.attendees],
        "provider_updated_at": event.updated_at,
        "content_hash": uuid4().bytes,
        "generation": 1,
        "first_seen_at": NOW,
        "changed_at": NOW,
    }


def _occurrence_row(calendar_id, person_id, one):
    names = ("series_id", "recurrence_id", "source_id", "all_day", "busy")
    return {
        **{name: getattr(one, name) for name in names}, **_span(one), "calendar_id": calendar_id, "person_id": person_id
    }  # fmt: skip


def _span(one):
    suffix = "date" if one.all_day else "at"
    rest = "at" if one.all_day else "date"
    return {f"start_{suffix}": one.start, f"end_{suffix}": one.end, f"start_{rest}": None, f"end_{rest}": None}
