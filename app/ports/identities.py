"""What the use cases need from the store: people, requests and services."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.domain.authorizations import AuthorizationRequest
from app.domain.connections import Identity
from app.domain.people import BrowserSession, Person, Service


class PeopleStore(Protocol):
    """People, their sign-in identities and browser sessions."""

    def sign_in(self, provider: str, identity: Identity, now: datetime) -> Person:
        """Return the person of this (issuer, subject), made on first sight; never matched by e-mail."""

    def get(self, person_id: UUID) -> Person | None:
        """Return one person."""

    def known_as(self, issuer: str, subject: str) -> Person | None:
        """Return who signs in with this (issuer, subject); null when nobody ever did. Writes nothing."""

    def set_time_zone(self, person_id: UUID, time_zone: str) -> None:
        """Store the zone a person wants times shown in; ``time_zone`` is a checked IANA name."""

    def start_session(self, token_hash: bytes, person_id: UUID, now: datetime, expires_at: datetime) -> None:
        """Store a session by the hash of its cookie."""

    def session(self, token_hash: bytes, now: datetime) -> BrowserSession | None:
        """Return the live session and note that it was seen; null when unknown, idle too long, expired or ended."""

    def end_session(self, token_hash: bytes) -> None:
        """End one session."""


class AuthorizationStore(Protocol):
    """Pending authorization requests."""

    def add(self, request: AuthorizationRequest) -> None:
        """Store a request; the oldest of the same browser go when it has more than ten."""

    def take(self, state_hash: bytes, now: datetime) -> AuthorizationRequest | None:
        """Return the request and mark it used, once and for all; null when unknown.

        Raises ``ConsentAlreadyUsed`` for the second taker.
        """

    def peek(self, state_hash: bytes) -> AuthorizationRequest | None:
        """Return the request without using it up; null when unknown or used."""


class ServiceStore(Protocol):
    """Internal services."""

    def add(self, service_id: UUID, name: str, now: datetime) -> None:
        """Store a service; raises ``ValueError`` when the name is taken."""

    def by_id(self, service_id: UUID) -> Service | None:
        """Return a service, frozen or not; null when unknown."""

    def by_name(self, name: str) -> Service | None:
        """Return a service, frozen or not; null when unknown."""

    def set_enabled(self, service_id: UUID, *, is_enabled: bool) -> None:
        """Freeze a service, or let it work again."""
