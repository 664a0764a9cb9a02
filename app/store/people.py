"""People, the identities they sign in with, and their browser sessions."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.dialects import postgresql

from app.domain.connections import Identity
from app.domain.errors import StoreConflict
from app.domain.people import SESSION_IDLE, BrowserSession, Person
from app.store.schema import people, sessions, sign_in_identities

SEEN_EVERY = timedelta(minutes=1)
"""How exactly the last use of a session is known; finer would write on every request."""

_PERSON = (people.c.id, people.c.display_name, people.c.email, people.c.time_zone)


class PostgresPeople:
    """Implements ``ports.PeopleStore``."""

    def __init__(self, connection: Connection) -> None:
        """Work on ``connection``."""
        self._connection = connection

    def sign_in(self, provider: str, identity: Identity, now: datetime) -> Person:
        """Return the person of this (issuer, subject), made on first sight.

        Two first sign-ins at once agree on one person: the key decides, the slower one takes its own back.
        """
        known = self._of_identity(identity, now)
        if known is not None:
            return known
        person = self._add(identity, now)
        is_first = self._connection.execute(
            postgresql.insert(sign_in_identities)
            .values(
                issuer=identity.issuer,
                subject=identity.subject,
                person_id=person.id,
                provider=provider,
                created_at=now,
                last_used_at=now,
            )
            .on_conflict_do_nothing()
            .returning(sign_in_identities.c.person_id)
        ).first()
        if is_first is not None:
            return person
        self._connection.execute(delete(people).where(people.c.id == person.id))
        known = self._of_identity(identity, now)
        if known is None:
            raise StoreConflict("sign_in_identity")
        return known

    def get(self, person_id: UUID) -> Person | None:
        """Return one person; null when unknown."""
        row = self._connection.execute(select(*_PERSON).where(people.c.id == person_id)).first()
        return None if row is None else _person(row)

    def known_as(self, issuer: str, subject: str) -> Person | None:
        """Return who signs in with this (issuer, subject); null when nobody ever did. Writes nothing."""
        row = self._connection.execute(
            select(*_PERSON).where(
                people.c.id == sign_in_identities.c.person_id,
                sign_in_identities.c.issuer == issuer,
                sign_in_identities.c.subject == subject,
            )
        ).first()
        return None if row is None else _person(row)

    def set_time_zone(self, person_id: UUID, time_zone: str) -> None:
        """Store the zone a person wants times shown in."""
        self._connection.execute(update(people).where(people.c.id == person_id).values(time_zone=time_zone))

    def start_session(self, token_hash: bytes, person_id: UUID, now: datetime, expires_at: datetime) -> None:
        """Store a session by the hash of its cookie; the person's dead sessions go at this occasion."""
        self._connection.execute(delete(sessions).where(sessions.c.person_id == person_id, sessions.c.expires_at < now))
        self._connection.execute(
            insert(sessions).values(
                id=uuid4(),
                token_hash=token_hash,
                person_id=person_id,
                created_at=now,
                seen_at=now,
                expires_at=expires_at,
            )
        )

    def session(self, token_hash: bytes, now: datetime) -> BrowserSession | None:
        """Return the live session and note that it was seen; null when unknown, idle too long, expired or ended."""
        row = self._connection.execute(
            select(sessions.c.id.label("session_id"), sessions.c.seen_at, sessions.c.expires_at, *_PERSON)
            .join(people, people.c.id == sessions.c.person_id)
            .where(
                sessions.c.token_hash == token_hash,
                sessions.c.expires_at > now,
                sessions.c.seen_at > now - SESSION_IDLE,
            )
        ).first()
        if row is None:
            return None
        if row.seen_at < now - SEEN_EVERY:
            self._connection.execute(update(sessions).where(sessions.c.id == row.session_id).values(seen_at=now))
        return BrowserSession(row.session_id, _person(row), row.expires_at)

    def end_session(self, token_hash: bytes) -> None:
        """End one session; an unknown one is no error."""
        self._connection.execute(delete(sessions).where(sessions.c.token_hash == token_hash))

    def _of_identity(self, identity: Identity, now: datetime) -> Person | None:
        row = self._connection.execute(
            update(sign_in_identities)
            .where(
                sign_in_identities.c.issuer == identity.issuer,
                sign_in_identities.c.subject == identity.subject,
                people.c.id == sign_in_identities.c.person_id,
            )
            .values(last_used_at=now)
            .returning(*_PERSON)
        ).first()
        return None if row is None else _person(row)

    def _add(self, identity: Identity, now: datetime) -> Person:
        person = Person(uuid4(), identity.name or identity.email or identity.subject, identity.email, "UTC")
        self._connection.execute(
            insert(people).values(
                id=person.id,
                display_name=person.display_name,
                email=person.email,
                time_zone=person.time_zone,
                created_at=now,
            )
        )
        return person


def _person(row: Row[*tuple[object, ...]]) -> Person:
    return Person(row.id, row.display_name, row.email, row.time_zone)
