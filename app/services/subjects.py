"""Whom an exchange is for: the token that names the subject, verified (RFC 8693 section 2.1).

A statement is believed when the calling service signed it itself, and from no other. A user token names its person to
whichever service shows it, unless it is bound to one: by ``clients`` in its issuer's table, or by ``may_act`` in the
token (RFC 8693 section 4.4).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.errors import SignedTokenInvalid, SubjectTokenInvalid, UnknownPerson
from app.domain.people import Service
from app.domain.policies import PURPOSE
from app.domain.signed_tokens import PLAIN_TYPES, check_issued
from app.domain.subjects import Subject, SubjectMode
from app.ports import Clock, Store, TokenReader, TrustedIssuer, TrustedIssuers
from app.services.brief_cache import BriefCache
from app.services.service_statements import ServiceStatements
from app.services.sessions import token_hash

JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
CONNECTION_TYPE = "urn:latchkey:params:oauth:token-type:connection"
PERSON_TYPE = "urn:latchkey:params:oauth:token-type:person"

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_LOGOUT_TYPES: frozenset[str | None] = frozenset({"logout+jwt", "application/logout+jwt"})
"""``typ`` of a logout token (OpenID Connect Back-Channel Logout section 2.4); the prefix may be left out (RFC 7515)."""


@dataclass(frozen=True, slots=True)
class _Known:
    subject: Subject
    expires_at: datetime


class Subjects:
    """Turns a subject token into a ``Subject``."""

    def __init__(
        self, store: Store, reader: TokenReader, statements: ServiceStatements, users: TrustedIssuers, clock: Clock
    ) -> None:
        self.store = store
        self.reader = reader
        self.statements = statements
        self.users = users
        self.clock = clock
        self._present: BriefCache[tuple[UUID, bytes], _Known] = BriefCache()

    def resolve(self, service: Service, token_type: str | None, token: str) -> Subject:
        """Return whom ``service`` asks for.

        Raises ``SubjectTokenInvalid`` for whatever is wrong with the token or its type, ``UnknownPerson`` for a
        genuine user token of somebody who never signed in here, and ``KeysUnavailable``. The ids of handles are
        not looked up.
        """
        if token_type == JWT_TYPE:
            try:
                return self._signed(service, token)
            except SignedTokenInvalid as cause:
                raise SubjectTokenInvalid(cause.detail) from cause
        if token_type not in {CONNECTION_TYPE, PERSON_TYPE}:
            raise SubjectTokenInvalid("subject_token_type")
        named = _uuid(token)
        if token_type == PERSON_TYPE:
            return Subject(SubjectMode.ABSENT, person_id=named)
        return Subject(SubjectMode.ABSENT, connection_id=named)

    def _signed(self, service: Service, token: str) -> Subject:
        issuer = self.reader.glance(token).issuer
        trusted = self.users.of(issuer)
        if trusted is None:
            return self._stated(service, issuer, token)
        known = self._present.get((service.id, token_hash(token)), lambda: self._user(service, trusted, issuer, token))
        if known.expires_at <= self.clock():
            raise SignedTokenInvalid("exp")
        return known.subject

    def _user(self, service: Service, trusted: TrustedIssuer, issuer: str, token: str) -> _Known:
        found = trusted.verify(token)
        if found.has_type(_LOGOUT_TYPES) or "events" in found.claims:
            # It tells what became of the person and shows no presence, though issuer, audience and subject are right.
            raise SignedTokenInvalid("typ")
        expires_at = check_issued(found, trusted.audience, self.clock(), alone=False)
        if not trusted.lets_use(found, service):
            raise SignedTokenInvalid("client")
        with self.store.reading() as tx:
            person = tx.people.known_as(issuer, found.text(trusted.subject_claim))
        if person is None:
            raise UnknownPerson
        return _Known(Subject(SubjectMode.PRESENT, person_id=person.id), expires_at)

    def _stated(self, service: Service, issuer: str, token: str) -> Subject:
        """Read what the service says itself: ``sub`` is the person's id, ``purpose`` what for, if anything."""
        if issuer != service.name:
            raise SignedTokenInvalid("iss")
        statement = self.statements.verify(service.name, token, PLAIN_TYPES)
        person_id, purpose = _uuid(statement.token.subject), statement.token.claims.get("purpose")
        if purpose is not None and not (isinstance(purpose, str) and PURPOSE.fullmatch(purpose)):
            raise SignedTokenInvalid("purpose")
        self.statements.use(statement)
        return Subject(SubjectMode.ABSENT, person_id=person_id, purpose=purpose)


def _uuid(text: str) -> UUID:
    if not _UUID.fullmatch(text):
        raise SubjectTokenInvalid("sub")
    return UUID(text)
