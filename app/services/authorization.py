"""Sign-in and consent: start a request, finish it once, store what the provider gave.

Order of the finish (RFC 9700, and the lost-rotation rule "store first, judge afterwards"): take the
request by its state, check browser, person and issuer, redeem the code, validate the ID token, seal and
store the token set, and only then judge scopes and try the grant with one harmless call.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from uuid import UUID, uuid4

from app.domain.authorizations import (
    LIFETIME,
    AuthorizationRequest,
    Callback,
    Purpose,
    Started,
    check_callback,
    check_issuer,
)
from app.domain.connect_links import ConnectLink
from app.domain.connections import Connection, Identity, Reason
from app.domain.errors import (
    AdminApprovalRequired,
    ConsentDenied,
    IDTokenInvalid,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    StateMismatch,
    UnknownConnection,
)
from app.domain.features import Feature, scopes_for
from app.domain.people import Person
from app.domain.secret import Secret
from app.domain.tokens import TokenAnswer
from app.ports import AuthorizationStart, Clock, Provider, Providers, Sealer, Store
from app.services.grants import Alongside, Grants
from app.services.sessions import Sessions, new_token, token_hash

SIGN_IN_FEATURES = (Feature.IDENTITY,)
_ADMIN_CODES = ("AADSTS90094", "AADSTS90095", "AADSTS90093")
"""Entra's words for "an administrator must approve this first"."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A finished sign-in."""

    person: Person
    session_token: Secret
    return_to: str


@dataclass(frozen=True, slots=True)
class Connected:
    """A finished consent."""

    connection: Connection
    is_new: bool
    declined: tuple[Feature, ...]
    return_to: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A callback that belongs to its request, which nobody can use again. Its code has not been redeemed yet."""

    request: AuthorizationRequest
    callback: Callback
    code_verifier: Secret
    nonce: str
    connect_link_id: UUID | None
    """The connect link this consent was started from; null when the person started it here."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What somebody wants to begin."""

    provider: str
    purpose: Purpose
    features: tuple[Feature, ...]
    return_to: str
    person_id: UUID | None = None
    existing: Connection | None = None
    link: ConnectLink | None = None

    def login_hint(self) -> str | None:
        """Return which account the provider should suggest; null when nobody has said."""
        if self.existing is not None:
            return self.existing.email
        return None if self.link is None else self.link.email_hint


@dataclass(frozen=True)
class Authorization:
    """The browser leg of OAuth for sign-in and for connections."""

    store: Store
    providers: Providers
    sealer: Sealer
    sessions: Sessions
    grants: Grants
    clock: Clock
    public_url: str

    def start_sign_in(self, provider_key: str, return_to: str, browser_token: Secret | None) -> Started:
        """Begin a sign-in; ``browser_token`` is the binding cookie if the browser has one."""
        wish = _Wish(provider_key, Purpose.SIGN_IN, SIGN_IN_FEATURES, return_to)
        return self._start(wish, browser_token)

    def start_connect(
        self,
        person_id: UUID,
        provider_key: str,
        features: tuple[Feature, ...],
        return_to: str,
        *,
        connection_id: UUID | None = None,
        browser_token: Secret | None = None,
    ) -> Started:
        """Begin a consent; with ``connection_id`` that connection is repaired or widened.

        Raises ``UnknownConnection`` when it is not this person's.
        """
        existing = self._own(person_id, connection_id)
        if existing is not None:
            provider_key = existing.provider
            features = features or existing.requested_features
        wish = _Wish(provider_key, Purpose.CONNECT, features, return_to, person_id, existing)
        return self._start(wish, browser_token)

    def start_linked(self, link: ConnectLink, person_id: UUID, browser_token: Secret) -> Started:
        """Begin the consent a connect link asks for. The link's id travels in the sealed part of the request."""
        wish = _Wish(link.provider, Purpose.CONNECT, link.features, "/connections", person_id, link=link)
        return self._start(wish, browser_token)

    def finish(self, callback: Callback) -> SignedIn | Connected:
        """Finish what ``callback`` belongs to; raises leaves of ``AuthorizationError`` and ``ProviderError``."""
        return self.complete(self.take(callback))

    def take(self, callback: Callback) -> Taken:
        """Check that ``callback`` is this browser's and person's, and use its request up; nothing is redeemed yet.

        Raises ``StateMismatch``, ``ConsentExpired`` and ``ConsentAlreadyUsed``.
        """
        request = self._take(callback)
        kept = json.loads(self.sealer.open_record(request.id, "authorization_request", request.sealed).reveal())
        link_id = kept.get("connect_link")
        return Taken(
            request, callback, Secret(kept["code_verifier"]), kept["nonce"], None if link_id is None else UUID(link_id)
        )

    def complete(self, taken: Taken, alongside: Alongside | None = None) -> SignedIn | Connected:
        """Redeem the code of ``taken`` and store what it brings; ``alongside`` joins the transaction of a connection.

        Raises as ``finish`` does.
        """
        request, callback = taken.request, taken.callback
        provider = self.providers.get(request.provider)
        check_issuer(provider.issuer(), callback.iss, promised=provider.promises_iss())
        if callback.error is not None or callback.code is None:
            raise _refusal(callback)
        answer = provider.exchange_code(callback.code, taken.code_verifier, self.redirect_uri(provider.key))
        identity = _identity(provider, answer, taken.nonce)
        if request.purpose is Purpose.SIGN_IN:
            return self._sign_in(request, identity)
        stored = self.grants.store_consent(request, provider, answer, identity, alongside)
        self._try(provider, answer, stored.connection)
        return Connected(stored.connection, stored.is_new, stored.connection.declined(), request.return_to)

    def redirect_uri(self, provider_key: str) -> str:
        """Return the provider's own redirect URI, built from configuration and from nothing a request says."""
        return f"{self.public_url}/callback/{provider_key}"

    def _start(self, wish: _Wish, browser_token: Secret | None) -> Started:
        provider = self.providers.get(wish.provider)
        browser = browser_token or new_token()
        start = AuthorizationStart(
            state=new_token().reveal(),
            nonce=new_token().reveal(),
            code_verifier=new_token(),
            redirect_uri=self.redirect_uri(provider.key),
            scopes=tuple(sorted(scopes_for(provider.kind, wish.features))),
            login_hint=wish.login_hint(),
            offline=wish.purpose is Purpose.CONNECT,
        )
        # The metadata may have to be fetched for the URL: before the transaction, never inside it.
        url = provider.authorization_url(start)
        with self.store.transaction() as tx:
            tx.authorizations.add(self._request(wish, start, browser))
        return Started(url, browser)

    def _request(self, wish: _Wish, start: AuthorizationStart, browser: Secret) -> AuthorizationRequest:
        """Return the row of a pending request; its secrets are sealed, its state and cookie are hashes."""
        now, request_id = self.clock(), uuid4()
        kept = {"code_verifier": start.code_verifier.reveal(), "nonce": start.nonce}
        if wish.link is not None:
            kept["connect_link"] = str(wish.link.id)
        return AuthorizationRequest(
            id=request_id,
            state_hash=token_hash(start.state),
            browser_hash=token_hash(browser.reveal()),
            person_id=wish.person_id,
            connection_id=wish.existing.id if wish.existing else None,
            provider=wish.provider,
            purpose=wish.purpose,
            features=wish.features,
            scopes=start.scopes,
            return_to=wish.return_to,
            sealed=self.sealer.seal_record(request_id, "authorization_request", Secret(json.dumps(kept))),
            created_at=now,
            expires_at=now + LIFETIME,
        )

    def _own(self, person_id: UUID, connection_id: UUID | None) -> Connection | None:
        if connection_id is None:
            return None
        with self.store.reading() as tx:
            found = tx.connections.get(connection_id)
        if found is None or found.person_id != person_id:
            raise UnknownConnection
        return found

    def _take(self, callback: Callback) -> AuthorizationRequest:
        """Check the callback against its request, then use the request up.

        The checks run first on a look: a stranger's browser must not be able to burn somebody's request.
        """
        state_hash = token_hash(callback.state)
        browser_hash = token_hash(callback.browser_token.reveal()) if callback.browser_token else None
        with self.store.transaction() as tx:
            request = tx.authorizations.peek(state_hash)
            if request is not None:
                check_callback(request, callback, browser_hash, self.clock())
            taken = tx.authorizations.take(state_hash, self.clock())
        if taken is None:
            raise StateMismatch("unknown")
        return taken

    def _try(self, provider: Provider, answer: TokenAnswer, connection: Connection) -> None:
        """Make one harmless call with what has just been stored, before anything is called good.

        A fault is written into the history and raised; the grant stays, and workers go on with it. An answer
        for somebody else (OpenID Connect Core section 5.3.2) makes the grant unusable.
        """
        if answer.access_token is None:
            return
        try:
            provider.probe(answer.access_token, subject=connection.subject)
        except IDTokenInvalid:
            with self.store.transaction() as tx:
                now, generation = self.clock(), connection.generation
                tx.connections.mark_needs_reconnect(connection.id, generation, Reason.GRANT_REJECTED, now)
            raise
        except ProviderError as error:
            with self.store.transaction() as tx:
                tx.audit.event(
                    "first_call_failed", self.clock(), person_id=connection.person_id, connection_id=connection.id,
                    detail={"error": error.code},
                )  # fmt: skip
            raise

    def _sign_in(self, request: AuthorizationRequest, identity: Identity) -> SignedIn:
        with self.store.transaction() as tx:
            person = tx.people.sign_in(request.provider, identity, self.clock())
            token = self.sessions.start(tx, person.id)
            tx.audit.event("signed_in", self.clock(), person_id=person.id, detail={"provider": request.provider})
        return SignedIn(person, token, request.return_to)


def _identity(provider: Provider, answer: TokenAnswer, nonce: str) -> Identity:
    """Validate the ID token; raises ``IDTokenInvalid``.

    The tokens of an answer that fails are dropped, not revoked: at some providers revoking one token ends every
    grant of that account, and a clock that is wrong by a minute must not do that to everybody who signs in.
    """
    if answer.id_token is None:
        raise IDTokenInvalid("missing")
    return provider.identify(answer.id_token, nonce=nonce, access_token=answer.access_token)


def _refusal(callback: Callback) -> Exception:
    """Return the error for an answer without a code."""
    detail = callback.error_detail or ""
    if any(code in detail for code in _ADMIN_CODES) or callback.error == "admin_policy_enforced":
        return AdminApprovalRequired()
    if callback.error in {"access_denied", "consent_required", "interaction_required", "login_required"}:
        return ConsentDenied()
    if callback.error in {"server_error", "temporarily_unavailable"}:
        # RFC 6749 section 4.1.2.1: the provider's own trouble, carried by a redirect for want of a status.
        return ProviderUnavailable(callback.error)
    return ProviderRejected(_known(callback.error))


def _known(error: str | None) -> str:
    """Return an error code only if it looks like one: what comes in a query is never trusted as text."""
    return error if error and len(error) < 64 and error.replace("_", "").isalnum() else "unreadable_error"
