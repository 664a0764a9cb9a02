"""Errors of connect links: leaves of the one tree in ``domain.errors``."""

from __future__ import annotations

from app.domain.errors import AuthorizationError, LatchkeyError


class ConnectLinkForAnother(AuthorizationError):
    """The connect link names somebody else than who is signed in; it stays usable for whom it names."""

    code = "connect_link_for_another"


class ConnectLinkTaken(AuthorizationError):
    """Another browser or person has confirmed the connect link first."""

    code = "connect_link_taken"


class ConnectLinkUsed(AuthorizationError):
    """The connect link has come to its end before: it works once."""

    code = "connect_link_used"


class ConnectLinkExpired(AuthorizationError):
    """The connect link is older than its thirty minutes."""

    code = "connect_link_expired"


class UnknownConnectLink(LatchkeyError):
    """No such connect link, or not one this caller may know of."""

    code = "unknown_connect_link"


class ConnectLinkRefused(LatchkeyError):
    """A connect link cannot be made as asked; ``detail`` is ``return_uri_not_allowed`` or ``unknown_person``."""

    code = "connect_link_refused"


class NotAwaitingCompletion(LatchkeyError):
    """A host confirms a connect link that is not, or no longer, waiting for it; ``detail`` is the link's state."""

    code = "not_awaiting_completion"
