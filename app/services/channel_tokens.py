"""What every notification of a channel must carry: checked by arithmetic alone, a flood of forged ones asks nobody."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from uuid import UUID

from app.domain.secret import Secret
from app.ports import Sealer


@dataclass(frozen=True)
class ChannelTokens:
    """Issues tokens and knows its own again; nothing secret is stored.

    A token names its channel, and fits the 128 characters of Graph's ``clientState`` and the 256 of Google's ``token``.
    """

    sealer: Sealer

    def issue(self, channel_id: UUID) -> Secret:
        """Return the token of a channel, the same each time."""
        return Secret(f"{channel_id}.{self.sealer.keyed_hash('channel', str(channel_id)).hex()}")

    def channel_of(self, token: str) -> UUID | None:
        """Return the channel a token was issued for; null for one that was not issued here. In constant time."""
        name, _, _ = token.partition(".")
        try:
            channel_id = UUID(name)
        except ValueError:
            return None
        expected = self.issue(channel_id).reveal()
        return channel_id if hmac.compare_digest(token.encode(), expected.encode()) else None
