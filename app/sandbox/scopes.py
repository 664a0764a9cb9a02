"""The scopes the emulated providers know, in plain words, and how each provider spells them."""

from collections.abc import Iterable

GOOGLE_PREFIX = "https://www.googleapis.com/auth/"
GRAPH_PREFIX = "https://graph.microsoft.com/"

GOOGLE_SIGN_IN = frozenset({"openid", GOOGLE_PREFIX + "userinfo.email", GOOGLE_PREFIX + "userinfo.profile"})
MICROSOFT_SIGN_IN = frozenset({"openid", "profile", "email", "offline_access", "User.Read"})
"""What people may always consent to by themselves."""
MICROSOFT_OIDC = frozenset({"openid", "profile", "email", "offline_access"})
"""Scopes that belong to no resource."""
OIDC_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})

_ALIASES = {"email": GOOGLE_PREFIX + "userinfo.email", "profile": GOOGLE_PREFIX + "userinfo.profile"}

GOOGLE_WORDS = {
    "openid": "Associate you with your personal info",
    GOOGLE_PREFIX + "userinfo.email": "See your primary e-mail address",
    GOOGLE_PREFIX + "userinfo.profile": "See your name and picture",
    **{
        GOOGLE_PREFIX + name: words
        for name, words in {
            "calendar": "See, edit, share and delete all your calendars",
            "calendar.readonly": "See and download all your calendars",
            "calendar.events": "See and edit events on all your calendars",
            "calendar.events.readonly": "See events on all your calendars",
            "calendar.events.owned": "See and edit events on calendars you own",
            "calendar.events.owned.readonly": "See events on calendars you own",
            "calendar.events.freebusy": "See availability on calendars you can see",
            "calendar.events.public.readonly": "See events on public calendars",
            "calendar.freebusy": "See when you are free or busy",
            "calendar.calendarlist": "See, add and remove calendars in your list",
            "calendar.calendarlist.readonly": "See the list of your calendars",
            "calendar.calendars": "See and change properties of your calendars",
            "calendar.calendars.readonly": "See properties of your calendars",
            "calendar.settings": "See and change your calendar settings",
            "calendar.settings.readonly": "See your calendar settings",
            "calendar.app.created": "Make secondary calendars and manage their events",
            "gmail.metadata": "See headers and labels of your messages, not their text",
            "gmail.readonly": "See your messages and settings",
            "gmail.send": "Send e-mail on your behalf",
            "gmail.compose": "Manage drafts and send e-mail",
            "gmail.modify": "Read, write and send e-mail",
            "gmail.labels": "See and edit your mail labels",
        }.items()
    },
}
"""Google's scopes as they appear in token answers, with words for the consent page."""

MICROSOFT_WORDS = {
    "openid": "Sign you in",
    "profile": "See your basic profile",
    "email": "See your e-mail address",
    "offline_access": "Keep access to what you allow here while you are away",
    "User.Read": "Sign you in and read your profile",
    "Calendars.ReadBasic": "See times of your events, not their text",
    "Calendars.Read": "Read your calendars",
    "Calendars.Read.Shared": "Read calendars you can access",
    "Calendars.ReadWrite": "Read and change your calendars",
    "Calendars.ReadWrite.Shared": "Read and change calendars you can access",
    "MailboxSettings.Read": "Read your mailbox settings",
    "MailboxSettings.ReadWrite": "Read and change your mailbox settings",
    "Mail.ReadBasic": "Read headers of your mail, not its text",
    "Mail.Read": "Read your mail",
    "Mail.Send": "Send mail as you",
    "Contacts.Read": "Read your contacts",
    "People.Read": "Read your list of relevant people",
}
"""Microsoft's delegated permissions in their short form, with words for the consent page."""

OIDC_WORDS = {
    "openid": "Sign you in",
    "profile": "See your name",
    "email": "See your e-mail address",
    "offline_access": "Keep access while you are away",
}

WORDS = {"google": GOOGLE_WORDS, "microsoft": MICROSOFT_WORDS, "oidc": OIDC_WORDS}


def google_scopes(asked: str) -> list[str]:
    """Return the scopes of a Google request in the spelling of token answers, in the order asked, without repeats.

    `email` and `profile` become full addresses, and each of them brings `openid` (observed at Google).
    """
    spelled = [_ALIASES.get(scope, scope) for scope in asked.split()]
    if set(spelled) & set(_ALIASES.values()):
        spelled.append("openid")
    return list(dict.fromkeys(spelled))


def microsoft_scopes(asked: str) -> list[str]:
    """Return the scopes of a Microsoft request in short form and proper case, in the order asked, without repeats."""
    return list(dict.fromkeys(_microsoft_scope(scope) for scope in asked.split()))


def unknown_scopes(provider: str, scopes: Iterable[str]) -> list[str]:
    """Return those scopes that the emulated provider does not have."""
    return [scope for scope in scopes if scope not in WORDS[provider]]


def in_words(provider: str, scope: str) -> str:
    """Return a scope in plain words, or its own text when there are none."""
    return WORDS[provider].get(scope, scope)


def _microsoft_scope(scope: str) -> str:
    bare = scope[len(GRAPH_PREFIX) :] if scope.lower().startswith(GRAPH_PREFIX) else scope
    known = (name for name in MICROSOFT_WORDS if name.lower() == bare.lower())
    return next(known, bare)
