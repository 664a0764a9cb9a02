"""Features and the scopes they need."""

import pytest

from app.domain.features import (
    GOOGLE_SCOPES,
    MICROSOFT_SCOPES,
    Feature,
    granted_features,
    missing_scopes,
    offered_features,
    scopes_beyond,
    scopes_for,
)

G = "https://www.googleapis.com/auth/"


def test_several_features_ask_for_the_smallest_union() -> None:
    scopes = scopes_for("google", [Feature.CALENDAR_READ, Feature.CALENDAR_WRITE, Feature.CALENDAR_FREEBUSY])

    assert scopes == {
        "openid", "email", "profile",
        f"{G}calendar.events", f"{G}calendar.calendarlist.readonly", f"{G}calendar.freebusy",
    }  # fmt: skip


def test_microsoft_asks_for_the_widest_calendar_permission_only() -> None:
    scopes = scopes_for("microsoft", [Feature.CALENDAR_FREEBUSY, Feature.CALENDAR_READ, Feature.CALENDAR_WRITE])

    assert {s for s in scopes if s.startswith("Calendars")} == {"Calendars.ReadWrite"}


def test_identity_is_always_asked_for() -> None:
    assert scopes_for("oidc", []) == {"openid", "email", "profile", "offline_access"}


def test_features_a_provider_cannot_serve_add_nothing() -> None:
    assert scopes_for("oidc", [Feature.MAIL_SEND]) == scopes_for("oidc", [])
    assert offered_features("oidc") == (Feature.IDENTITY,)


@pytest.mark.parametrize("kind", ["google", "microsoft"])
@pytest.mark.parametrize("feature", [f for f in Feature if f is not Feature.IDENTITY])
def test_what_was_asked_for_a_feature_grants_it(kind: str, feature: Feature) -> None:
    assert feature in granted_features(kind, scopes_for(kind, [feature]))


@pytest.mark.parametrize("feature", [f for f in Feature if f is not Feature.IDENTITY])
def test_one_missing_scope_withholds_the_feature(feature: Feature) -> None:
    for table, kind in ((GOOGLE_SCOPES, "google"), (MICROSOFT_SCOPES, "microsoft")):
        for scope in table[feature]:
            assert feature not in granted_features(kind, table[feature] - {scope})


def test_a_wider_scope_serves_the_narrower_feature() -> None:
    assert not missing_scopes("microsoft", Feature.CALENDAR_FREEBUSY, ["Calendars.ReadWrite"])
    assert not missing_scopes("google", Feature.CALENDAR_READ, GOOGLE_SCOPES[Feature.CALENDAR_WRITE])


def test_a_narrower_scope_does_not_serve_the_wider_feature() -> None:
    assert missing_scopes("microsoft", Feature.CALENDAR_WRITE, ["Calendars.Read"]) == {"Calendars.ReadWrite"}


def test_microsoft_scopes_compare_without_case() -> None:
    assert not missing_scopes("microsoft", Feature.CALENDAR_READ, ["calendars.read"])


@pytest.mark.parametrize(
    ("kind", "granted", "allowed", "beyond"),
    [
        ("google", {"openid", "email", "profile"}, [], set()),
        ("google", GOOGLE_SCOPES[Feature.CALENDAR_READ], [Feature.CALENDAR_WRITE], set()),
        ("google", {f"{G}calendar.events"}, [], {f"{G}calendar.events"}),
        ("google", {f"{G}calendar.events"}, [Feature.CALENDAR_READ], {f"{G}calendar.events"}),
        ("google", {"https://mail.google.com/"}, list(Feature), {"https://mail.google.com/"}),
        ("microsoft", {"calendars.read"}, [Feature.CALENDAR_WRITE], set()),
        ("microsoft", {"Files.ReadWrite.All"}, list(Feature), {"Files.ReadWrite.All"}),
    ],
)
def test_a_scope_is_beyond_what_no_allowed_feature_covers(kind, granted, allowed, beyond):  # type: ignore[no-untyped-def]
    assert scopes_beyond(kind, granted, allowed) == beyond
