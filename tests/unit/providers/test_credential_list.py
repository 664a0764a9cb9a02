"""Which of several credentials is used, without any provider."""

import pytest

from app.domain.connections import Reason
from app.domain.errors import InvalidGrant, ProviderRejected, ProviderUnavailable
from app.domain.secret import Secret
from app.providers.credential_list import LOOK_AGAIN_S, CredentialList, CredentialRefused
from app.providers.secret_files import keep_newest, put_first, read_secrets, stamp


class Provider:
    """Accepts some credentials and remembers which it was asked with."""

    def __init__(self, *accepted, failure=None):
        self.accepted, self.failure, self.asked = accepted, failure, []

    def __call__(self, credential):
        self.asked.append(credential)
        if credential not in self.accepted:
            raise CredentialRefused("invalid_client")
        if self.failure:
            raise self.failure
        return f"by {credential}"


class Source:
    """A list of credentials somebody may change, or break."""

    def __init__(self, *credentials):
        self.credentials, self.fault, self.now = credentials, None, 0.0

    def read(self):
        if self.fault:
            raise self.fault
        return self.credentials

    def listed(self):
        return CredentialList("acme", self.read, lambda: self.credentials, lambda: self.now)


def test_the_newest_is_used_when_it_is_accepted():
    provider, listed = Provider("new", "old"), Source("new", "old").listed()

    assert [listed.attempt(provider) for _ in range(2)] == ["by new"] * 2
    assert provider.asked == ["new", "new"]


def test_the_one_that_worked_is_asked_first_from_then_on():
    provider, listed = Provider("older"), Source("new", "old", "older").listed()

    assert [listed.attempt(provider) for _ in range(2)] == ["by older"] * 2

    assert provider.asked == ["new", "old", "older", "older"]
    assert listed.in_use() == "older"


def test_an_answer_about_the_grant_shows_that_the_credential_is_accepted():
    refused = InvalidGrant("x", reason=Reason.GRANT_REJECTED)
    provider, listed = Provider("old", failure=refused), Source("new", "old").listed()

    for _ in range(2):
        with pytest.raises(InvalidGrant):
            listed.attempt(provider)

    assert provider.asked == ["new", "old", "old"]


def test_an_outage_is_not_answered_with_another_credential_and_tells_nothing():
    provider, listed = Provider("new", "old", failure=ProviderUnavailable("x")), Source("new", "old").listed()

    with pytest.raises(ProviderUnavailable):
        listed.attempt(provider)

    assert provider.asked == ["new"]


def test_when_none_is_accepted_the_answer_is_the_providers_refusal_of_us():
    with pytest.raises(ProviderRejected) as caught:
        Source("new", "old").listed().attempt(Provider())

    assert type(caught.value) is ProviderRejected
    assert caught.value.detail == "invalid_client"


def test_a_change_is_noticed_within_a_second_and_starts_with_the_newest_again():
    source, provider = Source("b", "a"), Provider("a", "c")
    listed = source.listed()
    listed.attempt(provider)
    source.credentials = ("c", "b", "a")

    listed.attempt(provider)
    source.now += LOOK_AGAIN_S
    listed.attempt(provider)

    assert provider.asked == ["b", "a", "a", "c"]


@pytest.mark.parametrize("fault", [OSError("gone"), ValueError("not a key")])
def test_a_change_that_cannot_be_read_leaves_what_is_known(fault):
    source, provider = Source("a"), Provider("a")
    listed = source.listed()
    source.credentials, source.fault = ("b",), fault
    source.now += LOOK_AGAIN_S

    assert listed.attempt(provider) == "by a"
    source.fault = None
    provider.accepted = ("b",)
    source.now += LOOK_AGAIN_S
    assert listed.attempt(provider) == "by b"


def test_an_emptied_source_leaves_what_is_known():
    source = Source("a")
    listed = source.listed()
    source.credentials = ()
    source.now += LOOK_AGAIN_S

    assert listed.attempt(Provider("a")) == "by a"


def test_each_is_checked_by_itself():
    verdicts = Source("new", "old", "older").listed().check(
        Provider("old", failure=InvalidGrant("x", reason=Reason.GRANT_REJECTED))
    )  # fmt: skip

    assert verdicts == ("refused", "accepted", "refused")


def test_a_secrets_file_is_read_written_and_shortened(tmp_path):
    path = tmp_path / "secret"
    path.write_text("\n  old  \n\nolder\n")
    link = tmp_path / "link"
    link.symlink_to(path)
    before = stamp([link])

    assert put_first(link, Secret("new")) == 3
    assert [secret.reveal() for secret in read_secrets(path)] == ["new", "old", "older"]
    assert stamp([link]) != before
    assert link.is_symlink()
    assert put_first(link, Secret("older")) == 3
    assert [secret.reveal() for secret in read_secrets(path)] == ["older", "new", "old"]
    assert keep_newest(path) == 2
    assert keep_newest(path) == 0
    assert path.read_text() == "older\n"
    assert path.stat().st_mode & 0o777 == 0o600
