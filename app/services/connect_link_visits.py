"""Connect links, the person's side: look at one, confirm or decline it, come back from the provider.

Looking changes nothing: mail scanners and previews look too. Confirming takes the link for this browser and this
person, and what they began there only they can finish.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from uuid import UUID

from app.domain.authorizations import Callback, Started
from app.domain.connect_link_errors import ConnectLinkTaken, ConnectLinkUsed, UnknownConnectLink
from app.domain.connect_links import ConnectLink, LinkState, Visitor, check_visitor, return_address
from app.domain.errors import ConsentDenied, LatchkeyError, StateMismatch
from app.domain.secret import Secret
from app.ports import Clock, Store, Transaction
from app.services.authorization import Authorization, Connected, SignedIn, Taken
from app.services.connect_links import ConnectLinks, note_link
from app.services.sessions import new_token, token_hash


@dataclass(frozen=True, slots=True)
class Returned:
    """A connect link has come to its end: where to send the browser."""

    link: ConnectLink
    address: str


@dataclass(frozen=True)
class ConnectLinkVisits:
    """Takes people through a connect link."""

    store: Store
    authorization: Authorization
    links: ConnectLinks
    clock: Clock

    def recognise(self, secret: Secret) -> ConnectLink:
        """Return the link of an address and change nothing; raises ``UnknownConnectLink``."""
        with self.store.reading() as tx:
            link = tx.connect_links.by_secret(token_hash(secret.reveal()))
        if link is None:
            raise UnknownConnectLink
        return link

    def show(self, link_id: UUID, secret: Secret | None, person_id: UUID, browser_token: Secret | None) -> ConnectLink:
        """Return a link this person may confirm, for the page that asks; changes nothing.

        Raises ``UnknownConnectLink`` without the address's secret, and what ``check_visitor`` raises.
        """
        with self.store.reading() as tx:
            link = _known(tx.connect_links.get(link_id), secret)
        check_visitor(link, _visitor(person_id, browser_token), self.clock())
        return link

    def start(
        self, link_id: UUID, secret: Secret | None, person_id: UUID, browser_token: Secret | None
    ) -> tuple[ConnectLink, Started]:
        """Take the link for this browser and person and begin the consent; raises as ``show`` does.

        Who has it already begins again: the provider's page may have been left by the back button.
        """
        link = self.show(link_id, secret, person_id, browser_token)
        browser = browser_token or new_token()
        # Before the link is taken: the provider's metadata may have to be fetched, and that may fail.
        started = self.authorization.start_linked(link, person_id, browser)
        with self.store.transaction() as tx:
            link = self._checked(tx, link_id, _visitor(person_id, browser))
            if link.state is LinkState.OPEN:
                link = replace(
                    link, state=LinkState.STARTED, browser_hash=token_hash(browser.reveal()), taken_by=person_id
                )
                tx.connect_links.put(link)
                note_link(tx, "connect_link_opened", link, self.clock(), person_id)
        return link, started

    def decline(self, link_id: UUID, secret: Secret | None, person_id: UUID, browser_token: Secret | None) -> Returned:
        """End the link by the person's word, before anything was asked at the provider; raises as ``show`` does."""
        self.show(link_id, secret, person_id, browser_token)
        with self.store.transaction() as tx:
            link = self._checked(tx, link_id, _visitor(person_id, browser_token))
            declined = replace(link, state=LinkState.DECLINED, used_at=self.clock(), email_hint=None)
            tx.connect_links.put(declined)
            note_link(tx, "connect_link_used", declined, self.clock(), person_id)
        return Returned(declined, return_address(declined))

    def finish(self, callback: Callback) -> SignedIn | Connected | Returned:
        """Finish whatever ``callback`` belongs to; a consent of a link ends it, well or not.

        Raises as ``Authorization.finish`` does for everything that belongs to no link. For a link only what shows
        that this is the wrong browser, person or moment is raised: then nobody is sent to the service.
        """
        taken = self.authorization.take(callback)
        if taken.connect_link_id is None:
            return self.authorization.complete(taken)
        link = self._use(taken, taken.connect_link_id)
        try:
            self.authorization.complete(taken, lambda tx, *stored: self.links.settle(tx, link.id, *stored))
        except ConsentDenied:
            return self._end(link.id, LinkState.DECLINED, None)
        except LatchkeyError as error:
            return self._end(link.id, LinkState.FAILED, error.code)
        return self._end(link.id, None, None)

    def _use(self, taken: Taken, link_id: UUID) -> ConnectLink:
        """Use the link up, before the code is redeemed: of two tabs one comes through."""
        person_id, browser_hash = taken.request.person_id, taken.request.browser_hash
        if person_id is None:
            raise StateMismatch("person")
        with self.store.transaction() as tx:
            link = self._checked(tx, link_id, Visitor(person_id, browser_hash))
            if link.state is not LinkState.STARTED:
                # The request was begun by somebody who did not get the link.
                raise ConnectLinkTaken
            used = replace(link, used_at=self.clock())
            tx.connect_links.put(used)
        return used

    def _end(self, link_id: UUID, state: LinkState | None, reason: str | None) -> Returned:
        """Write the outcome down, unless the grant's own transaction has; ``state`` null then."""
        with self.store.transaction() as tx:
            link = tx.connect_links.lock(link_id)
            if link is None:
                raise ConnectLinkUsed
            if state is not None:
                link = replace(link, state=state, reason=reason, email_hint=None)
                tx.connect_links.put(link)
            note_link(tx, "connect_link_used", link, self.clock(), link.taken_by)
        return Returned(link, return_address(link))

    def _checked(self, tx: Transaction, link_id: UUID, visitor: Visitor) -> ConnectLink:
        link = tx.connect_links.lock(link_id)
        if link is None:
            raise UnknownConnectLink
        check_visitor(link, visitor, self.clock())
        return link


def _known(link: ConnectLink | None, secret: Secret | None) -> ConnectLink:
    """Return the link if the browser has opened its address; the id alone is no proof of anything."""
    if link is None or secret is None or not hmac.compare_digest(link.secret_hash, token_hash(secret.reveal())):
        raise UnknownConnectLink
    return link


def _visitor(person_id: UUID, browser_token: Secret | None) -> Visitor:
    return Visitor(person_id, None if browser_token is None else token_hash(browser_token.reveal()))
