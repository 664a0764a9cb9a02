import pytest

from app.domain.resources import kind_of_resource


@pytest.mark.parametrize(
    ("resource", "kind"),
    [
        ("https://www.googleapis.com/auth/calendar", "google"),
        ("https://www.googleapis.com", "google"),
        ("https://gmail.googleapis.com/gmail/v1/users/me", "google"),
        ("https://graph.microsoft.com/Calendars.Read", "microsoft"),
        ("https://graph.microsoft.com/v1.0/me", "microsoft"),
        ("https://graph.microsoft.com/#fragment", None),
        ("https://graph.microsoft.com#", None),
        ("http://graph.microsoft.com/", None),
        ("https://graph.microsoft.com.example.org/", None),
        ("https://graph.microsoft.com:443/", None),
        ("https://user@graph.microsoft.com/", None),
        ("https://[graph", None),
        ("graph.microsoft.com", None),
        ("", None),
    ],
)
def test_only_the_whole_origin_counts(resource: str, kind: str | None) -> None:
    assert kind_of_resource(resource) == kind
