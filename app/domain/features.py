"""What a person can agree to, and the least scopes each provider needs for it.

Sources: Google's Calendar and Gmail discovery documents (scopes accepted per method) and Microsoft's
permission reference. Microsoft scopes are written short, as Entra prints them; Google's in full.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

_G = "https://www.googleapis.com/auth/"


class Feature(StrEnum):
    """One thing a person agrees to; the value is used in URLs, policies and rows."""

    IDENTITY = "identity"
    CALENDAR_FREEBUSY = "calendar.freebusy"
    CALENDAR_READ = "calendar.read"
    CALENDAR_WRITE = "calendar.write"
    PREFERENCES_READ = "preferences.read"
    MAIL_METADATA = "mail.metadata"
    MAIL_SEND = "mail.send"


GOOGLE_SCOPES: Mapping[Feature, frozenset[str]] = {
    Feature.IDENTITY: frozenset({"openid", "email", "profile"}),
    Feature.CALENDAR_FREEBUSY: frozenset({f"{_G}calendar.freebusy", f"{_G}calendar.calendarlist.readonly"}),
    Feature.CALENDAR_READ: frozenset(
        {f"{_G}calendar.events.readonly", f"{_G}calendar.calendarlist.readonly", f"{_G}calendar.freebusy"}
    ),
    Feature.CALENDAR_WRITE: frozenset(
        {f"{_G}calendar.events", f"{_G}calendar.calendarlist.readonly", f"{_G}calendar.freebusy"}
    ),
    Feature.PREFERENCES_READ: frozenset({f"{_G}calendar.settings.readonly", f"{_G}calendar.calendars.readonly"}),
    Feature.MAIL_METADATA: frozenset({f"{_G}gmail.metadata"}),
    Feature.MAIL_SEND: frozenset({f"{_G}gmail.send"}),
}

MICROSOFT_SCOPES: Mapping[Feature, frozenset[str]] = {
    Feature.IDENTITY: frozenset({"openid", "profile", "email", "offline_access", "User.Read"}),
    Feature.CALENDAR_FREEBUSY: frozenset({"Calendars.ReadBasic"}),
    Feature.CALENDAR_READ: frozenset({"Calendars.Read"}),
    Feature.CALENDAR_WRITE: frozenset({"Calendars.ReadWrite"}),
    Feature.PREFERENCES_READ: frozenset({"MailboxSettings.Read"}),
    Feature.MAIL_METADATA: frozenset({"Mail.ReadBasic"}),
    Feature.MAIL_SEND: frozenset({"Mail.Send"}),
}

OIDC_SCOPES: Mapping[Feature, frozenset[str]] = {
    Feature.IDENTITY: frozenset({"openid", "email", "profile", "offline_access"}),
}

SCOPES: Mapping[str, Mapping[Feature, frozenset[str]]] = {
    "google": GOOGLE_SCOPES,
    "microsoft": MICROSOFT_SCOPES,
    "oidc": OIDC_SCOPES,
}
"""Provider kind to feature to scopes. A feature that a kind cannot serve is absent."""

_INCLUDES: Mapping[str, str] = {
    f"{_G}calendar.events.readonly": f"{_G}calendar.events",
    "Calendars.ReadBasic": "Calendars.Read",
    "Calendars.Read": "Calendars.ReadWrite",
}
"""Scope to the wider scope that includes it, so that a union asks for the smaller list."""

_UNSEEN = frozenset({"offline_access", "openid", "email", "profile"})
"""Scopes some providers leave out of the token answer although they were granted."""


def scopes_for(kind: str, features: Iterable[Feature]) -> frozenset[str]:
    """Return the smallest scopes for ``features`` (identity always) at a provider of ``kind``.

    Features the kind cannot serve contribute nothing.
    """
    table = SCOPES[kind]
    wanted = {*features, Feature.IDENTITY}
    union = frozenset().union(*(table.get(feature, frozenset()) for feature in wanted))
    return frozenset(scope for scope in union if not _wider_in(scope, union))


def missing_scopes(kind: str, feature: Feature, granted: Iterable[str]) -> frozenset[str]:
    """Return the scopes ``feature`` still lacks; a wider granted scope counts."""
    have = {scope.lower() for scope in granted}
    return frozenset(
        scope
        for scope in SCOPES[kind].get(feature, frozenset())
        if scope not in _UNSEEN and scope.lower() not in have and not _wider_granted(scope, have)
    )


def scopes_beyond(kind: str, granted: Iterable[str], allowed: Iterable[Feature]) -> frozenset[str]:
    """Return what of ``granted`` goes beyond ``allowed`` (identity always is): a token carries every granted scope.

    A narrower scope than an allowed one is inside; a scope nobody here knows is beyond.
    """
    table = SCOPES[kind]
    reach = {scope.lower() for f in {*allowed, Feature.IDENTITY} for scope in table.get(f, frozenset())}
    narrower = {scope.lower(): scope for scope in _INCLUDES}
    return frozenset(
        scope
        for scope in granted
        if scope.lower() not in reach and not _wider_granted(narrower.get(scope.lower(), scope), reach)
    )


def granted_features(kind: str, granted: Iterable[str]) -> frozenset[Feature]:
    """Return every feature that ``granted`` fully covers; identity always."""
    scopes = tuple(granted)
    return frozenset(f for f in SCOPES[kind] if not missing_scopes(kind, f, scopes)) | {Feature.IDENTITY}


def offered_features(kind: str) -> tuple[Feature, ...]:
    """Return the features a provider of ``kind`` can serve, in the order people read them."""
    return tuple(feature for feature in Feature if feature in SCOPES[kind])


def _wider_in(scope: str, scopes: frozenset[str]) -> bool:
    wider = _INCLUDES.get(scope)
    return wider is not None and (wider in scopes or _wider_in(wider, scopes))


def _wider_granted(scope: str, have: set[str]) -> bool:
    wider = _INCLUDES.get(scope)
    return wider is not None and (wider.lower() in have or _wider_granted(wider, have))
