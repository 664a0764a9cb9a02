"""One sandbox and one installation per test."""

from __future__ import annotations

import pytest

from tests.integration.sync.desk import Desk
from tests.integration.sync.house import house as serve_house
from tests.integration.sync.house import keyring_text

ACCOUNTS = {"google": "ada", "microsoft": "chiara"}


@pytest.fixture
def keyring_file(tmp_path):
    """Return a key ring with one fresh key, readable by its owner alone."""
    path = tmp_path / "keyring.json"
    path.touch(mode=0o600)
    path.write_text(keyring_text())
    return path


@pytest.fixture
def house_settings():
    """Return settings of the sandbox (and `sync`, `push_enabled`); tests parametrize it to change them."""
    return {}


@pytest.fixture
def house(database_url, keyring_file, house_settings):
    """Serve a sandbox beside a fresh database."""
    with serve_house(database_url, keyring_file, **house_settings) as served:
        yield served


@pytest.fixture(params=sorted(ACCOUNTS))
def mailbox(house, request):
    """Connect an account of each provider in turn; its list is read, nothing is synced."""
    return house.connect(request.param, ACCOUNTS[request.param])


@pytest.fixture
def google(house):
    """Connect a Google account."""
    return house.connect("google", ACCOUNTS["google"])


@pytest.fixture
def microsoft(house):
    """Connect a Microsoft account."""
    return house.connect("microsoft", ACCOUNTS["microsoft"])


@pytest.fixture
def desk(mailbox):
    """Give an empty calendar of each provider in turn, synced once."""
    return _desk(mailbox)


@pytest.fixture
def google_desk(google):
    """Give an empty Google calendar, synced once."""
    return _desk(google)


@pytest.fixture
def microsoft_desk(microsoft):
    """Give an empty Microsoft calendar, synced once."""
    return _desk(microsoft)


def _desk(mailbox):
    made = Desk(mailbox, mailbox.new_calendar())
    assert made.sync() == set()
    return made
