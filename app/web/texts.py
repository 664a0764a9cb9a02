"""The words of the pages, in one place, ready to translate; those of errors are next door in ``error_texts``.

Templates see this module as ``texts``.

Rules: short sentences, no jargon before its plain word, say what happens next, never blame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.connections import Reason
from app.domain.features import Feature

PRODUCT = "Latchkey"
SKIP = "Skip to content"
NAVIGATION = "Main"
NAV_CONNECTIONS = "Connections"
NAV_AGENDA = "Calendar"
SIGN_OUT = "Sign out"
SIGNED_IN_AS = "Signed in as"

HOME_TITLE = "Your accounts, lent with care"
HOME_LEAD = (
    "Latchkey connects your work calendar and mail accounts to your organisation's internal tools. You decide what "
    "each account shares, you see what happens with it, and you can end it at any time."
)
HOME_POINTS = (
    (
        "Never your password",
        "You sign in at Google, Microsoft or your company. Latchkey only receives a key you can take back.",
    ),
    (
        "Only what you agree to",
        "Each ability is asked for in plain words. What you decline stays off, and the rest still works.",
    ),
    (
        "Gone when you say so",
        "Disconnecting ends the access at the provider, deletes the copied data and gives you a receipt.",
    ),
)
SIGN_IN_TITLE = "Sign in"
SIGN_IN_HINT = (
    "Signing in only tells Latchkey who you are. Calendars and mail come later, and only if you connect them."
)
SIGN_IN_WITH = "Sign in with {provider}"
NO_PROVIDERS = "No sign-in provider has been configured yet. The operator of this installation can add one."

CONNECT_TITLE = "Connect an account"
CONNECT_LEAD = "Choose where the account lives, then what Latchkey may do with it."
CONNECT_TO = "Continue to {provider}"
CONNECT_FEATURES = "What may Latchkey do with this account?"
CONNECT_IDENTITY_ONLY = "This provider only confirms who you are. There is nothing else to choose."
CONNECT_WHO_TITLE = "Who will use it"
CONNECT_WHO = (
    "Internal services that your organisation's operator has allowed, each only for the abilities allowed to it. "
    "Every key that is handed out is written down."
)
CONNECT_KEEP_TITLE = "How long data is kept"
CONNECT_KEEP = (
    "Keys are stored encrypted and calendars are copied for as long as the account is connected. Disconnect deletes "
    "both at once; a short record of what happened stays as your receipt."
)
CONNECT_BACK_TITLE = "Changing your mind"
CONNECT_BACK = "You can say no to single items at the provider, and disconnect here at any time."

LEAVE_TITLE = "Taking you to {provider}"
LEAVE_TEXT = "If nothing happens in a moment, use the button."
LEAVE_BUTTON = "Continue to {provider}"

LINK_TITLE = "{service} asks you to connect an account"
LINK_SIGN_IN_TITLE = "{service} sent you here"
LINK_SIGN_IN = (
    "It would like you to connect an account. Sign in first, so that Latchkey knows whom it asks; nothing is connected "
    "by signing in."
)
LINK_LEAD = "Nothing happens before you go on. What you decline stays off, and you can end it at any time."
LINK_SERVICE = "Asked for by"
LINK_PERSON = "For"
LINK_ACCOUNT = "Account"
LINK_ACCOUNT_ANY = "Any account at {provider}"
LINK_ACCOUNT_HINT = "{account} at {provider}"
LINK_BACK = "Afterwards"
LINK_BACK_TO = "You return to {host}"
LINK_FEATURES = "What Latchkey may do with it"
LINK_WHO = (
    "{service} may use this account only as far as your organisation's operator allows it, and so may other internal "
    "services they allow. Every key that is handed out is written down."
)
LINK_HOST_CONFIRMS = "{service} has to confirm the connection within ten minutes. Otherwise it is ended again."
LINK_DECLINE = "No, thanks"
LINK_CAUTION = "Did somebody you do not know send you this link? Then do not go on."

CONNECTIONS_TITLE = "Connections"
CONNECTIONS_EMPTY_TITLE = "Nothing connected yet"
CONNECTIONS_EMPTY = "Connect a work account and its calendars appear here within seconds."
CONNECT_FIRST = "Connect your first account"
CONNECT_ANOTHER = "Connect another account"
UNNAMED_ACCOUNT = "Account without e-mail address"

GRANTED = "Allowed"
DECLINED = "Not allowed, stays off"
CALENDARS = "Calendars"
NO_CALENDARS = "No calendars to show."
PROGRESS = "{done} of {total} calendars read"
LISTING = "Looking for calendars"
CALENDAR_READ = "{events}, updated {ago}"
CALENDAR_WAITING = "Being read for the first time"
CALENDAR_FREEBUSY = "Only free and busy times are shared"
CALENDAR_FILE = "Download as .ics"
CALENDAR_PAUSED = "Paused, kept as it was"
CALENDAR_LEFT_OUT = "Left out, nothing of it is kept here"
CALENDAR_READING = "Being read for the first time, {events} so far"
CALENDARS_CHOOSE = "Choose calendars"
CALENDARS_CHOOSE_HINT = (
    "Internal tools see the calendars kept here, within what you allowed. Leaving one out deletes its copy here at "
    "once; nothing changes at {provider}."
)
CALENDARS_SAVE = "Save choice"
CALENDAR_CHOICES = {
    "sync": "Keep up to date",
    "pause": "Pause: keep it as it is",
    "leave_out": "Leave out",
}
CALENDAR_PROBLEM = "Could not be read; Latchkey keeps trying"
CALENDAR_BEHIND = "As it was {ago}; it could not be read since then, and Latchkey keeps trying"
PRIMARY = "Main"
HISTORY = "What happened"
NO_HISTORY = "Nothing yet."
DETAILS = "Details"
BACK_TO_CONNECTIONS = "Back to connections"
ACCOUNT_PAGE = "See this access at {provider}"
WIDEN_TITLE = "Allow more"
WIDEN_HINT = "{provider} will ask you to confirm. What is connected now stays connected."
WIDEN = "Allow selected at {provider}"
DISCONNECT = "Disconnect"
FACTS = "About this connection"
FACT_SINCE = "Connected"
FACT_REFRESHED = "Key last renewed"
FACT_ORGANISATION = "Organisation"
FACT_NEVER = "Not yet"
LIVE_OFF = "Updates paused; trying again."

STATE_WORKING = "Working"
STATE_SYNCING = "Working, reading calendars"
STATE_PARTLY = "Working, some abilities are off"
STATE_NEEDS_YOU = "Needs you"
STATE_CONFIRMING = "Waiting for the service"
STATE_CONFIRMING_SENTENCE = (
    "The service that asked for this connection has to confirm it. Nothing is handed out before; without a "
    "confirmation it is ended again."
)
STATE_WORKING_SENTENCE = "Everything you allowed is available."
STATE_SYNCING_SENTENCE = "The first read takes a moment. You can leave this page."
STATE_PARTLY_SENTENCE = "You declined: {features}."
ACTION_RECONNECT = "Reconnect"
ACTION_GRANT = "Allow what is missing"

REPAIR_TITLE = "{provider} needs you once more"
REPAIR_WORKING_TITLE = "This connection works"
REPAIR_WORKING = (
    "Nothing to repair: the connection is working. You can still renew your consent if a service asked you to."
)
REPAIR_RENEW = "Renew consent at {provider}"
REPAIR_HINT = "Use the same account again: {account}. Your calendars and settings stay."

DISCONNECT_TITLE = "Disconnect {account}?"
DISCONNECT_LEAD = "This ends the access for good. You can connect the account again later."
DISCONNECT_STEPS = (
    "Latchkey tells {provider} to withdraw the access, and checks that the key no longer works.",
    "The stored keys and the copied calendars are deleted here at once.",
    "Services that used this account get no more keys.",
)
DISCONNECT_CONFIRM = "Disconnect now"
DISCONNECT_KEEP = "Keep the connection"

RECEIPT_TITLE = "Disconnected"
RECEIPT_LEAD = "Keep this page if you need proof; it is shown once."
RECEIPT_ACCOUNT = "Account"
RECEIPT_AT = "When"
RECEIPT_PROVIDER = "{provider} answered"
RECEIPT_PROOF = "Does the old key still work?"
RECEIPT_DELETED = "Deleted here"
RECEIPT_NUMBER = "Receipt number"
RECEIPT_REMOVE_TITLE = "One more step at {provider}"
RECEIPT_REMOVE = (
    "Latchkey has deleted its keys. To remove the entry from your account as well, open the provider's page."
)

REVOCATIONS: Mapping[str, str] = {
    "revoked": "The access was withdrawn.",
    "already_dead": "There was nothing left to withdraw: the access had ended before.",
    "unsupported": "This provider cannot withdraw a single access for us. The key was deleted here instead.",
    "failed": "The provider did not confirm. The key was deleted here all the same.",
}
PROOFS: Mapping[bool | None, str] = {
    True: "No. Latchkey tried it once more and it was refused.",
    False: (
        "The provider still accepted it when Latchkey tried. Latchkey has deleted its copy; please end the access at "
        "the provider as well."
    ),
    None: "Not tested. Latchkey has deleted its only copy.",
}

AGENDA_TITLE = "Calendar"
AGENDA_EMPTY_DAY = "Nothing planned."
AGENDA_ALL_DAY = "All day"
AGENDA_UNTITLED = "Busy"
AGENDA_PRIVATE = "Private"
AGENDA_PRIVATE_UNTITLED = "Private event"
AGENDA_TENTATIVE = "Not confirmed"
AGENDA_CANCELLED = "Cancelled"
AGENDA_REPEATS = "Repeats"
AGENDA_FREE = "Shown as free"
AGENDA_OPEN = "Open at the provider"
AGENDA_EARLIER = "Earlier"
AGENDA_LATER = "Later"
AGENDA_TODAY = "Today"
AGENDA_ZONE = "Times in {zone}"
AGENDA_CUT = "There is more than fits here; choose fewer days."
AGENDA_FROM_BEFORE = "until {end}"
AGENDA_CONTINUES = "from {start}"

NEWS: Mapping[str, str] = {
    "connected": "Connected. Latchkey tried the access once and it works.",
    "reconnected": "Consent renewed. Latchkey tried the access once and it works.",
    "signed-out": "You are signed out of this browser.",
    "calendars-chosen": "Saved. Your choice holds from now on.",
}


@dataclass(frozen=True, slots=True)
class FeatureWords:
    """How a feature is offered: a short name and what it means."""

    name: str
    meaning: str


FEATURES: Mapping[Feature, FeatureWords] = {
    Feature.IDENTITY: FeatureWords("Know who you are", "Your name and e-mail address at this account."),
    Feature.CALENDAR_FREEBUSY: FeatureWords(
        "See when you are free or busy", "Only times, no titles, places or guests."
    ),
    Feature.CALENDAR_READ: FeatureWords(
        "Read your calendars", "Titles, times, places and guests of your events. Nothing is changed."
    ),
    Feature.CALENDAR_WRITE: FeatureWords(
        "Change your calendars", "Create, move and cancel events for you. Includes reading them."
    ),
    Feature.PREFERENCES_READ: FeatureWords(
        "Read your scheduling preferences", "Working hours, time zone and language settings."
    ),
    Feature.MAIL_METADATA: FeatureWords(
        "See who mails are from and about what", "Sender, recipients, subject and date. Never the text of a mail."
    ),
    Feature.MAIL_SEND: FeatureWords(
        "Send follow-up mails for you", "Mails go out from your address. It cannot read your inbox."
    ),
}

REASONS: Mapping[Reason, str] = {
    Reason.REVOKED_BY_USER: "You, or somebody with your password, withdrew the access at the provider.",
    Reason.REVOKED_BY_ADMIN: "Your organisation's administrator withdrew the access.",
    Reason.CREDENTIAL_CHANGED: "Your password or sign-in method changed, which ended the access.",
    Reason.EXPIRED_INACTIVE: "The access was not used for a long time and expired.",
    Reason.ACCOUNT_DISABLED: "The provider says this account is disabled.",
    Reason.SESSION_POLICY: "Your organisation wants you to sign in again from time to time.",
    Reason.CONSENT_NEEDED: "The provider wants your consent once more.",
    Reason.TEST_MODE_EXPIRED: "This application is in test mode at the provider, where access ends after seven days.",
    Reason.ROTATION_LOST: "A renewed key was lost on its way, so the old one ended.",
    Reason.GRANT_REJECTED: "The provider no longer accepts the access and gave no reason.",
}
REASON_UNKNOWN = "The access has ended."

HISTORY_EVENTS: Mapping[str, str] = {
    "connected": "Connected",
    "reconnected": "Reconnected",
    "needs_reconnect": "The access ended at the provider",
    "disconnected": "Disconnected",
    "calendar_chosen": "You chose what is done with a calendar",
    "paused": "Paused: internal tools get nothing of this account",
    "resumed": "Internal tools may use this account again",
    "first_call_failed": "The first call with the new access failed",
    "let_go": "Let go because nobody used it",
    "tokens_deleted": "Stored access deleted, because the account was not reconnected",
    "test_mode_expired": "The provider ends every access to this application after seven days",
}

SUPPORT_CODE = "Support code"


def counted(number: int, singular: str, plural: str) -> str:
    """Return the number with the word that fits it."""
    return f"{number} {singular if number == 1 else plural}"


def events(number: int) -> str:
    """Return for example ``3 events``."""
    return counted(number, "event", "events")


def calendars(number: int) -> str:
    """Return for example ``1 calendar``."""
    return counted(number, "calendar", "calendars")


REFERENCE_TITLE = "Interface for services"
REFERENCE_MACHINES = "For programs, the same as OpenAPI 3.1:"
REFERENCE_AUTHENTICATION = "How a service proves who it is"
REFERENCE_BASIC = (
    "HTTP Basic with the service's name and secret, each form-encoded first. The simplest way to try things out."
)
REFERENCE_ASSERTION = (
    "`client_assertion` in the form of the token endpoint: signed with a key the operator has registered, or made by "
    "the platform the service runs on. No secret to keep."
)
REFERENCE_TOKEN = "`Authorization: Bearer …` with a token that `client_credentials` gave a few minutes ago."
REFERENCE_SECURITY: Mapping[str, tuple[str, str]] = {
    "basic": ("Name and secret", REFERENCE_BASIC),
    "client_assertion": ("Signed statement", REFERENCE_ASSERTION),
    "latchkey_token": ("Latchkey token", REFERENCE_TOKEN),
}
REFERENCE_PROOF = "Proof:"
REFERENCE_OR = "or"
REFERENCE_CURL = "Try it"
REFERENCE_PARAMETERS = "Parameters"
REFERENCE_BODY = "Body"
REFERENCE_REQUIRED = "required"
REFERENCE_ONE_OF = "One of"
REFERENCE_ANSWER = "Answer {status}"
REFERENCE_HEADERS = "Headers:"
REFERENCE_EXAMPLE = "Example of the answer"
REFERENCE_MEMBERS = "Members of {name}"
REFERENCE_ERRORS = "Errors"
REFERENCE_ERRORS_LEAD = "Every value of `error`. It alone decides what the caller does."
REFERENCE_REASONS = "Reasons"
REFERENCE_REASONS_LEAD = (
    "Values of `reason`, which tell apart the causes of one error. New ones may come: treat an unknown one by its "
    "`error`."
)
REFERENCE_ACTION = "Do:"
