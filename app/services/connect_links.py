"""Connect links, the service's side: make one, ask how it went, confirm the connection; and what time ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from app.domain.connect_link_errors import (
    ConnectLinkRefused,
    ConnectLinkUsed,
    NotAwaitingCompletion,
    UnknownConnectLink,
)
from app.domain.connect_links import (
    COMPLETION_WITHIN,
    LIFETIME,
    Completion,
    ConnectLink,
    LinkState,
    check_return_uri,
)
from app.domain.connections import Connection, Status
from app.domain.errors import NotAllowed, RateLimited, UnknownConnection
from app.domain.features import Feature
from app.domain.people import Service
from app.domain.secret import Secret
from app.ports import Clock, Nudge, Store, Transaction
from app.services.disconnect import Disconnect
from app.services.sessions import new_token, token_hash

PER_MINUTE = 60
"""Links one service may make within a minute: far above what people open, far below what fills a table."""

WINDOW = timedelta(minutes=1)

KEPT_FOR = timedelta(days=30)
"""How long a service can ask what became of a link."""

BATCH = 50
HOLD = timedelta(seconds=30)
"""How long a connection that is being let go is left to whoever does it."""


@dataclass(frozen=True, slots=True)
class ConnectLinkWish:
    """What a service wants a link for."""

    person_id: UUID | None
    identity: tuple[str, str] | None
    """Issuer and subject, instead of the person's id; null together when the link names nobody."""
    email_hint: str | None
    provider: str
    features: tuple[Feature, ...]
    return_uri: str
    completion: Completion


@dataclass(frozen=True, slots=True)
class MadeLink:
    """A new link and the secret of its address, which is kept nowhere else."""

    link: ConnectLink
    secret: Secret


@dataclass(frozen=True)
class ConnectLinks:
    """Makes links for services and follows them to their end."""

    store: Store
    disconnect: Disconnect
    nudge: Nudge
    clock: Clock

    def create(self, service: Service, wish: ConnectLinkWish) -> MadeLink:
        """Make a link.

        Raises ``NotAllowed`` for a provider or features no policy of the service covers, ``ConnectLinkRefused``,
        ``RateLimited``.
        """
        now, secret = self.clock(), new_token()
        issuer, subject = wish.identity or (None, None)
        link = ConnectLink(
            id=uuid4(),
            secret_hash=token_hash(secret.reveal()),
            service_id=service.id,
            service_name=service.name,
            for_person_id=wish.person_id,
            for_issuer=issuer,
            for_subject=subject,
            email_hint=wish.email_hint,
            provider=wish.provider,
            features=wish.features,
            return_uri=wish.return_uri,
            completion=wish.completion,
            created_at=now,
            expires_at=now + LIFETIME,
        )
        with self.store.transaction() as tx:
            _check(tx, link)
            tx.connect_links.add(link)
            note_link(tx, "connect_link_created", link, now, link.for_person_id)
        return MadeLink(link, secret)

    def get(self, service: Service, link_id: UUID) -> ConnectLink:
        """Return a service's own link as it stands now; raises ``UnknownConnectLink`` for any other."""
        with self.store.reading() as tx:
            link = _own(service, tx.connect_links.get(link_id))
        return replace(link, state=link.state_at(self.clock()))

    def complete(self, service: Service, link_id: UUID) -> ConnectLink:
        """Confirm the connection of a link and return the link; doing so twice changes nothing.

        Raises ``UnknownConnectLink``, and ``NotAwaitingCompletion`` with the state when there is nothing to confirm.
        """
        now = self.clock()
        with self.store.transaction() as tx:
            link = _own(service, tx.connect_links.lock(link_id))
            if link.completion is Completion.HOST and link.state is LinkState.CONNECTED:
                return link
            if link.state_at(now) is not LinkState.AWAITING_COMPLETION or link.connection_id is None:
                raise NotAwaitingCompletion(link.state_at(now).value)
            connection = tx.connections.get(link.connection_id)
            if connection is None or connection.status is Status.DISCONNECTED:
                # The person has thought better of it.
                raise NotAwaitingCompletion("disconnected")
            completed = replace(link, state=LinkState.CONNECTED)
            tx.connect_links.put(completed)
            was_waiting = tx.connect_links.confirm(connection.id, now)
            note_link(tx, "connect_link_completed", completed, now, link.taken_by)
        if was_waiting:
            self.nudge.list_calendars(connection.id)
        return completed

    def settle(self, tx: Transaction, link_id: UUID, connection_id: UUID, before: Connection | None) -> None:
        """Note inside ``tx`` that a link's consent is being stored under ``connection_id``.

        A connection that was there before and needed no confirmation stays as usable as it was: others work with it.
        """
        now, link = self.clock(), tx.connect_links.lock(link_id)
        if link is None or link.state is not LinkState.STARTED:
            raise ConnectLinkUsed
        if link.completion is Completion.AUTOMATIC:
            tx.connect_links.put(replace(link, state=LinkState.CONNECTED, connection_id=connection_id, email_hint=None))
            return
        due_at = now + COMPLETION_WITHIN
        waiting = LinkState.AWAITING_COMPLETION
        tx.connect_links.put(
            replace(link, state=waiting, connection_id=connection_id, complete_by=due_at, email_hint=None)
        )
        if before is None or before.status is Status.DISCONNECTED or before.completion_due_at is not None:
            tx.connect_links.await_completion(connection_id, due_at)

    def lapse(self) -> None:
        """End what time has ended: links nobody used, and connections whose host did not confirm them."""
        now = self.clock()
        with self.store.transaction() as tx:
            for link in tx.connect_links.claim_late(now, BATCH):
                tx.connect_links.put(replace(link, state=LinkState.EXPIRED, email_hint=None))
                note_link(tx, "connect_link_expired", link, now, link.taken_by)
            tx.connect_links.forget(now - KEPT_FOR, BATCH)
        with self.store.transaction() as tx:
            unconfirmed = tx.connect_links.claim_unconfirmed(now, now + HOLD, BATCH)
        for connection_id in unconfirmed:
            self._let_go(connection_id)

    def allow_return(self, service_name: str, uri: str) -> None:
        """Let people be sent back to exactly ``uri``; raises ``ValueError`` for an unusable one or unknown service."""
        check_return_uri(uri)
        now = self.clock()
        with self.store.transaction() as tx:
            service = tx.connect_links.allow_return(service_name, uri, now)
            if service is None:
                raise ValueError(f"there is no service named {service_name}")
            tx.audit.event("return_uri_allowed", now, service_id=service.id, detail={"uri": uri})

    def _let_go(self, connection_id: UUID) -> None:
        with self.store.reading() as tx:
            connection = tx.connections.get(connection_id)
        # A consent on Latchkey's own pages may have made it good meanwhile.
        if connection is None or connection.completion_due_at is None:
            return
        try:
            self.disconnect.disconnect(connection.person_id, connection_id)
        except UnknownConnection:
            # The person was quicker.
            return


def note_link(tx: Transaction, kind: str, link: ConnectLink, at: datetime, person_id: UUID | None) -> None:
    """Write an audit event about ``link``; ``person_id`` null when nobody has taken it yet."""
    detail = {"connect_link": str(link.id), "provider": link.provider}
    if link.reason is not None:
        detail["error"] = link.reason
    tx.audit.event(
        kind, at, service_id=link.service_id, person_id=person_id, connection_id=link.connection_id, detail=detail
    )


def _own(service: Service, link: ConnectLink | None) -> ConnectLink:
    """Return a service's own link; another's and a missing one look alike."""
    if link is None or link.service_id != service.id:
        raise UnknownConnectLink
    return link


def _check(tx: Transaction, link: ConnectLink) -> None:
    """Refuse a link its service may not make."""
    now, wanted = link.created_at, set(link.features) - {Feature.IDENTITY}
    if tx.connect_links.made_since(link.service_id, now - WINDOW) >= PER_MINUTE:
        raise RateLimited("connect_links", retry_after_s=WINDOW.total_seconds())
    allowed = tx.policies.allowed_features(link.service_id, link.provider, now)
    if not allowed or not wanted <= allowed:
        raise NotAllowed("connect_link")
    if not tx.connect_links.may_return(link.service_id, link.return_uri):
        raise ConnectLinkRefused("return_uri_not_allowed")
    if link.for_person_id is not None and tx.people.get(link.for_person_id) is None:
        raise ConnectLinkRefused("unknown_person")
