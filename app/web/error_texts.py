"""The words for everything that can go wrong: what happened, why, and one way on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorWords:
    """An error page: what happened, why, and the one thing to do."""

    title: str
    text: str
    action: str
    href: str


_HOME = "/"
_AGAIN = "Try again"
_CONNECTIONS = "/connections"

ERROR_PAGES: Mapping[str, ErrorWords] = {
    "error": ErrorWords(
        "Something went wrong here",
        "This is a fault on our side, not yours. Nothing was lost.",
        "Go to the start page",
        _HOME,
    ),
    "not_found": ErrorWords(
        "There is nothing here",
        "The address may be mistyped, or the page is no longer there.",
        "Go to the start page",
        _HOME,
    ),
    "http_400": ErrorWords(
        "That request made no sense", "The address or form was incomplete.", "Go to the start page", _HOME
    ),
    "http_405": ErrorWords(
        "That does not work this way", "This address expects a form, not a link.", "Go to the start page", _HOME
    ),
    "http_413": ErrorWords("Too much at once", "What was sent is too large.", "Go to the start page", _HOME),
    "form_expired": ErrorWords(
        "This form is no longer valid",
        "The page was open for too long, you signed in or out meanwhile, or the form came from another site.",
        "Start again",
        _HOME,
    ),
    "unknown_connection": ErrorWords(
        "There is no such connection",
        "It was disconnected, or it belongs to another person.",
        "See your connections",
        _CONNECTIONS,
    ),
    "unknown_provider": ErrorWords(
        "This provider is not set up here", "The operator may have removed it.", "See your connections", _CONNECTIONS
    ),
    "not_allowed": ErrorWords(
        "Not allowed", "A rule of this installation forbids it.", "See your connections", _CONNECTIONS
    ),
    "authorization": ErrorWords(
        "This could not be completed",
        "The provider's answer could not be used. Nothing was changed.",
        _AGAIN,
        "/connect",
    ),
    "state_mismatch": ErrorWords(
        "This answer does not belong to this browser",
        "A sign-in or consent must start and end in the same browser, by the same person. If somebody sent you a "
        "link, do not use it. Nothing was connected.",
        "Start again here",
        "/connect",
    ),
    "consent_expired": ErrorWords(
        "That took a little too long",
        "For your safety a request is valid for ten minutes only. Nothing was connected.",
        _AGAIN,
        "/connect",
    ),
    "consent_already_used": ErrorWords(
        "This step is already finished",
        "The page was loaded twice, or the step was called off before. Your connections show what is in effect.",
        "See your connections",
        _CONNECTIONS,
    ),
    "consent_denied": ErrorWords(
        "You pressed cancel",
        "Nothing was connected and nothing was shared. You can choose again at any time.",
        "Choose again",
        "/connect",
    ),
    "admin_approval_required": ErrorWords(
        "Your administrator must approve this first",
        "Your organisation lets only administrators approve new applications. Ask yours to approve this one for "
        "your organisation, then connect again. Nothing was connected yet.",
        "Connect again once approved",
        "/connect",
    ),
    "account_mismatch": ErrorWords(
        "That was a different account",
        "You were repairing one account and came back with another. The first one is untouched. To use the other "
        "one as well, connect it as a new account.",
        "Connect it as a new account",
        "/connect",
    ),
    "id_token_invalid": ErrorWords(
        "The provider's answer failed a check",
        "Latchkey could not be sure who answered, so it stored nothing.",
        _AGAIN,
        "/connect",
    ),
    "no_offline_access": ErrorWords(
        "The provider gave no lasting access",
        "Without it the connection would end within the hour, so it was not made. Please connect once more and "
        "accept every question about staying connected.",
        _AGAIN,
        "/connect",
    ),
    "connect_link_for_another": ErrorWords(
        "This link is for somebody else",
        "It was made for another person than the one who is signed in here. Nothing happened, and it still works for "
        "them. If it is meant for you, sign out, sign in with the account your organisation knows you by, and open "
        "the link again.",
        "See your connections",
        _CONNECTIONS,
    ),
    "connect_link_taken": ErrorWords(
        "This link is in use elsewhere",
        "Somebody has already gone on with it in another browser, and only that browser can finish it. If that was "
        "you, go back there. If it was not, nothing of yours was connected; please ask for a new link.",
        "See your connections",
        _CONNECTIONS,
    ),
    "connect_link_used": ErrorWords(
        "This link has been used",
        "Every link works once. Your connections page shows what is in effect; for anything else, please ask for a "
        "new link where you got this one.",
        "See your connections",
        _CONNECTIONS,
    ),
    "connect_link_expired": ErrorWords(
        "This link is no longer valid",
        "For your safety it works for half an hour only. Nothing was connected. Please ask for a new one where you "
        "got it.",
        "See your connections",
        _CONNECTIONS,
    ),
    "unknown_connect_link": ErrorWords(
        "This link does not work here",
        "The address may be cut off, or it was opened in another browser before. Please open the whole link again in "
        "this one, or ask for a new one.",
        "Go to the start page",
        _HOME,
    ),
    "scopes_missing": ErrorWords(
        "Something was not allowed", "The provider did not grant what this needs.", "See your connections", _CONNECTIONS
    ),
    "reconnect_required": ErrorWords(
        "This account must be connected again",
        "The access has ended at the provider.",
        "See your connections",
        _CONNECTIONS,
    ),
    "provider_unavailable": ErrorWords(
        "The provider does not answer",
        "This usually passes within minutes. Your connections page shows what is in effect.",
        "See your connections",
        _CONNECTIONS,
    ),
    "provider_throttled": ErrorWords(
        "The provider is busy",
        "It asks us to slow down. Please wait a minute; your connections page shows what is in effect.",
        "See your connections",
        _CONNECTIONS,
    ),
    "breaker_open": ErrorWords(
        "The provider is having trouble",
        "We stopped asking it for a while and go on by ourselves. Nothing was disconnected.",
        "See your connections",
        _CONNECTIONS,
    ),
    "provider_rejected": ErrorWords(
        "The provider refuses this installation",
        "Its registration there needs attention from the operator. Please pass on the support code below.",
        "See your connections",
        _CONNECTIONS,
    ),
    "invalid_grant": ErrorWords(
        "The provider did not accept the answer",
        "It may have been used before. Nothing was connected.",
        _AGAIN,
        "/connect",
    ),
    "access_token_rejected": ErrorWords(
        "The new access did not work",
        "Latchkey tried it once and the provider refused. Your connections page shows what is in effect.",
        "See your connections",
        _CONNECTIONS,
    ),
    "store_unavailable": ErrorWords(
        "One moment, please", "The database does not answer right now. Nothing was changed.", _AGAIN, _HOME
    ),
    "store_conflict": ErrorWords(
        "Two things happened at once",
        "Another page changed the same thing first. Nothing was lost.",
        "See your connections",
        _CONNECTIONS,
    ),
    "refresh_in_progress": ErrorWords(
        "One moment", "The access is being renewed right now.", "See your connections", _CONNECTIONS
    ),
}

HTTP_DESCRIPTIONS: Mapping[int, str] = {
    400: "malformed request",
    403: "not allowed",
    404: "no such resource",
    405: "method not allowed",
    413: "request too large",
    415: "unsupported media type",
}
"""For programs; the characters of RFC 6749 section 5.2 only."""
