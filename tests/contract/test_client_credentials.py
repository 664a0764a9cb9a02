"""Replacing a client's secret or certificate while it works, against the sandbox and through the real client."""

import itertools
import shutil
import threading
from dataclasses import replace

import pytest

from app.domain.errors import InvalidGrant, ProviderRejected
from app.domain.secret import Secret
from app.providers.secret_files import keep_newest, put_first
from app.sandbox.faults import FaultKind
from tests.contract.sandbox_walk import SECRETS
from tests.contract.test_providers_identity import (
    KINDS,
    certificate,  # noqa: F401 - a fixture
    consent,
    make_certificate,
    running,  # noqa: F401 - a fixture
    there,  # noqa: F401 - a fixture
)

OLD, NEW = "an-old-secret", "a-new-secret"
NOTICED_S = 1.1
"""Just above the time within which a changed file is used."""


@pytest.fixture
def sandbox_accepts(running):  # noqa: F811 - a fixture
    """Let the sandbox accept one secret for each client from now on; as before afterwards."""
    before = running.state.settings

    def accept(secret):
        clients = tuple(replace(client, client_secret=secret) for client in before.clients)
        running.state.settings = replace(before, clients=clients)

    yield accept
    running.state.settings = before


def with_secrets(there, kind, *secrets, **changes):  # noqa: F811 - the installation of this test
    newest, *others = map(Secret, secrets)
    return there.provider(kind, client_secret=newest, client_secrets=tuple(others), **changes)


@pytest.mark.parametrize("kind", KINDS)
def test_an_older_secret_serves_while_the_newest_is_refused_and_is_remembered(there, kind, caplog):  # noqa: F811
    _provider, _start, answer = consent(there, kind)
    provider = with_secrets(there, kind, "not-yet-known", SECRETS[kind])
    before = there.calls(f"{kind}.token")

    tokens = [answer.refresh_token]
    for _ in range(3):
        tokens.append(provider.refresh(tokens[-1], answer.granted_scopes()).refresh_token or tokens[-1])

    # One wasted call in all; the strict server's refresh token survived it.
    assert there.calls(f"{kind}.token") == before + 4
    (warning,) = [record.getMessage() for record in caplog.records if "refuses credential" in record.getMessage()]
    assert warning.endswith("refuses credential 1; number 2 is in use, the newest being 1")
    assert "not-yet-known" not in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_when_the_older_secret_ends_the_newest_takes_over_without_a_failed_refresh(there, kind, sandbox_accepts):  # noqa: F811
    sandbox_accepts(OLD)
    provider, _start, answer = consent(there, kind, provider=with_secrets(there, kind, NEW, OLD))

    sandbox_accepts(NEW)
    before = there.calls(f"{kind}.token")
    refreshed = provider.refresh(answer.refresh_token, answer.granted_scopes())
    provider.refresh(refreshed.refresh_token or answer.refresh_token, answer.granted_scopes())

    assert there.calls(f"{kind}.token") == before + 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_code_survives_a_refused_secret(there, kind):  # noqa: F811
    provider, _start, answer = consent(there, kind, provider=with_secrets(there, kind, "not-yet-known", SECRETS[kind]))

    assert answer.refresh_token
    assert provider.refresh(answer.refresh_token, answer.granted_scopes()).access_token


@pytest.mark.parametrize("kind", KINDS)
def test_when_all_secrets_are_refused_it_is_our_fault_and_each_was_asked_once(there, kind):  # noqa: F811
    _provider, _start, answer = consent(there, kind)
    provider = with_secrets(there, kind, "wrong", "wrong-too", "wrong-as-well")
    before = there.calls(f"{kind}.token")

    with pytest.raises(ProviderRejected) as caught:
        provider.refresh(answer.refresh_token, answer.granted_scopes())

    assert type(caught.value) is ProviderRejected
    assert there.calls(f"{kind}.token") == before + 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_grant_is_not_tried_with_other_secrets(there, kind):  # noqa: F811
    _provider, _start, answer = consent(there, kind)
    provider = with_secrets(there, kind, SECRETS[kind], "older")
    there.fault(f"{kind}.token", FaultKind.INVALID_GRANT)
    before = there.calls(f"{kind}.token")

    with pytest.raises(InvalidGrant):
        provider.refresh(answer.refresh_token, answer.granted_scopes())

    assert there.calls(f"{kind}.token") == before + 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_rotation_through_the_file_loses_no_refresh(there, kind, tmp_path, sandbox_accepts):  # noqa: F811
    path = tmp_path / "secret"
    path.write_text(OLD + "\n")
    path.chmod(0o600)
    sandbox_accepts(OLD)
    provider = there.provider(kind, client_secret=None, client_secret_files=(path,))
    _provider, _start, answer = consent(there, kind, provider=provider)
    stop, failures, refreshed = threading.Event(), [], itertools.count()

    def refresh_on_and_on():
        token = answer.refresh_token
        while not stop.wait(0.02):
            try:
                token = provider.refresh(token, answer.granted_scopes()).refresh_token or token
                next(refreshed)
            except Exception as error:  # noqa: BLE001 - whatever it is fails the test
                failures.append(error)

    thread = threading.Thread(target=refresh_on_and_on)
    thread.start()
    try:
        assert put_first(path, Secret(NEW)) == 2
        stop.wait(NOTICED_S)
        sandbox_accepts(NEW)
        stop.wait(0.2)
        assert keep_newest(path) == 1
        stop.wait(NOTICED_S)
    finally:
        stop.set()
        thread.join(20)

    assert failures == []
    assert next(refreshed) > 3
    assert provider.check_credentials() == ("accepted",)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_cannot_be_read_any_more_leaves_what_is_in_use(there, kind, tmp_path):  # noqa: F811
    path = tmp_path / "secret"
    path.write_text(SECRETS[kind] + "\n")
    provider = there.provider(kind, client_secret=None, client_secret_files=(path,))
    _provider, _start, answer = consent(there, kind, provider=provider)

    path.unlink()
    threading.Event().wait(NOTICED_S)

    assert provider.refresh(answer.refresh_token, answer.granted_scopes()).access_token


@pytest.mark.parametrize("kind", KINDS)
def test_credentials_are_checked_one_by_one_without_touching_a_grant(there, kind):  # noqa: F811
    _provider, _start, answer = consent(there, kind)
    provider = with_secrets(there, kind, "wrong", SECRETS[kind], "wrong-too")

    assert provider.check_credentials() == ("refused", "accepted", "refused")
    assert provider.refresh(answer.refresh_token, answer.granted_scopes()).access_token


def test_of_two_certificates_the_registered_one_is_used(there, certificate, tmp_path):  # noqa: F811
    directory, _text = certificate
    other = make_certificate(tmp_path)
    files = {
        "client_secret": None,
        "certificate_file": other / "certificate.pem",
        "private_key_file": other / "key.pem",
        "certificate_files": (directory / "certificate.pem",),
        "private_key_files": (directory / "key.pem",),
    }
    provider, _start, answer = consent(there, "microsoft", provider=there.provider("microsoft", **files))
    before = there.calls("microsoft.token")

    assert provider.refresh(answer.refresh_token, answer.granted_scopes()).access_token
    assert there.calls("microsoft.token") == before + 1
    assert provider.check_credentials() == ("refused", "accepted")


def test_a_certificate_that_replaces_another_is_noticed(there, certificate, tmp_path):  # noqa: F811
    directory, _text = certificate
    place = tmp_path / "mounted"
    place.mkdir()
    make_certificate(place)
    files = {"certificate_file": place / "certificate.pem", "private_key_file": place / "key.pem"}
    provider = there.provider("microsoft", client_secret=None, **files)
    assert provider.check_credentials() == ("refused",)

    for name in ("key.pem", "certificate.pem"):
        shutil.copy(directory / name, place / name)
    threading.Event().wait(NOTICED_S)

    assert provider.check_credentials() == ("accepted",)
