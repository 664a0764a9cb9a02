"""The keys that sign Latchkey's own tokens, and their rotation.

``next`` is published before it signs for longer than any verifier keeps the published set; ``active`` signs;
``retired`` stays published until the last token it signed has ended. So nobody who caches the set ever meets a key
that is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from app.domain.secret import Secret
from app.ports import JWK, Clock, Sealer, SigningKeyRow, SigningKeyState, Store, TokenSigner, Transaction
from app.services.brief_cache import BriefCache

KEY_SET_KEPT = timedelta(minutes=5)
"""How long a verifier may keep the published set; the answer says so."""
PUBLISHED_AHEAD = KEY_SET_KEPT + timedelta(minutes=1)
"""How long a key is published before it signs: every copy of the set that lacks it has been dropped by then."""
LONGEST_TOKEN_LIFE = timedelta(minutes=10)
PUBLISHED_AFTER = LONGEST_TOKEN_LIFE + timedelta(minutes=1)
"""How long a key is published after it signed for the last time; other processes learn of a rotation in a second."""
ROTATED_AFTER = timedelta(days=30)

_PURPOSE = "signing_key"


class SigningKeys:
    """Signs with the active key, publishes all, rotates. The private halves are sealed with the key ring."""

    def __init__(self, store: Store, signer: TokenSigner, sealer: Sealer, clock: Clock) -> None:
        self.store = store
        self.signer = signer
        self.sealer = sealer
        self.clock = clock
        self._known: BriefCache[str, Mapping[str, SigningKeyRow]] = BriefCache()

    def sign(self, token_type: str, claims: Mapping[str, object]) -> Secret:
        """Return a token of ``token_type`` with ``claims``, signed with the active key."""
        active = _of(tuple(self._keys().values()), SigningKeyState.ACTIVE)
        if active.sealed_private_key is None:
            raise RuntimeError("the active signing key has no private half")
        private_key = self.sealer.open_record(active.id, _PURPOSE, active.sealed_private_key)
        return self.signer.sign(private_key, {"typ": token_type, "kid": str(active.id)}, claims)

    def published(self) -> tuple[JWK, ...]:
        """Return every key our tokens may be signed with, the next one included (RFC 7517); never empty."""
        return tuple(row.public_jwk for row in self._keys().values())

    def public_key(self, kid: str) -> JWK | None:
        """Return one published key; null for one that is not, or is not any more."""
        row = self._keys().get(kid)
        return None if row is None else row.public_jwk

    def rotate(self) -> str:
        """Let the next key sign from now on and return its ``kid``.

        Raises ``ValueError`` while the next key has been published for too short a time.
        """
        # First keys stay, also when the rotation is refused.
        self._read()
        with self.store.transaction() as tx:
            now, rows = self._complete(tx)
            ready_at = _of(rows, SigningKeyState.NEXT).state_since + PUBLISHED_AHEAD
            if now < ready_at:
                wait_s = int((ready_at - now).total_seconds()) + 1
                raise ValueError(f"verifiers may not know the next key yet; rotate in {wait_s} s")
            self._rotate(tx, rows, now)
            tx.audit.event("signing_key_rotated", now, detail={"by": "command"})
        return str(_of(rows, SigningKeyState.NEXT).id)

    def keep_up(self) -> None:
        """Rotate a key that has signed long enough, and drop those whose tokens have all ended. Safe to repeat."""
        with self.store.transaction() as tx:
            now, rows = self._complete(tx)
            for row in rows:
                if row.state is SigningKeyState.RETIRED and row.state_since + PUBLISHED_AFTER <= now:
                    tx.signing_keys.delete(row.id)
            is_old = _of(rows, SigningKeyState.ACTIVE).state_since + ROTATED_AFTER <= now
            if is_old and _of(rows, SigningKeyState.NEXT).state_since + PUBLISHED_AHEAD <= now:
                self._rotate(tx, rows, now)
                tx.audit.event("signing_key_rotated", now, detail={"by": "age"})

    def _keys(self) -> Mapping[str, SigningKeyRow]:
        return self._known.get("all", lambda: {str(row.id): row for row in self._read()})

    def _read(self) -> tuple[SigningKeyRow, ...]:
        with self.store.reading() as tx:
            rows = tx.signing_keys.all()
        if len({row.state for row in rows} & {SigningKeyState.ACTIVE, SigningKeyState.NEXT}) == 2:
            return rows
        with self.store.transaction() as tx:
            return self._complete(tx)[1]

    def _complete(self, tx: Transaction) -> tuple[datetime, tuple[SigningKeyRow, ...]]:
        """Return now and all keys, with a first active and a first next one made if there are none.

        The very first key signs at once: nobody can have kept a set from before there was one.
        """
        rows, now = tx.signing_keys.all_for_change(), self.clock()
        for state in (SigningKeyState.ACTIVE, SigningKeyState.NEXT):
            if all(row.state is not state for row in rows):
                rows += (self._add(tx, state, now),)
        return now, rows

    def _rotate(self, tx: Transaction, rows: Sequence[SigningKeyRow], now: datetime) -> None:
        tx.signing_keys.retire(_of(rows, SigningKeyState.ACTIVE).id, now)
        tx.signing_keys.activate(_of(rows, SigningKeyState.NEXT).id, now)
        self._add(tx, SigningKeyState.NEXT, now)

    def _add(self, tx: Transaction, state: SigningKeyState, now: datetime) -> SigningKeyRow:
        key_id = uuid4()
        made = self.signer.new_key(str(key_id))
        sealed = self.sealer.seal_record(key_id, _PURPOSE, made.private_key)
        row = SigningKeyRow(key_id, state, made.public_jwk, sealed, now, now)
        tx.signing_keys.add(row)
        return row


def _of(rows: Sequence[SigningKeyRow], state: SigningKeyState) -> SigningKeyRow:
    return next(row for row in rows if row.state is state)
