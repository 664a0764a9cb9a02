"""A room to read in."""

from __future__ import annotations

import os
from unittest.mock import patch

import pytest

from app.bootstrap import assemble
from app.config import load_config
from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.store.postgres import PostgresStore
from app.web.cookies import SESSION
from tests.fake_provider import FakeProvider, FakeProviders, RecordingNudge
from tests.faults.installation import write_files
from tests.integration.reading.room import PUBLIC_URL, make_room


@pytest.fixture
def room(tmp_path, database_url):
    """Return the whole web edge over a fresh database, with providers that nobody asks."""
    environment = {
        "LATCHKEY_PUBLIC_URL": PUBLIC_URL,
        "DATABASE_URL": database_url,
        "REDIS_URL": "redis://localhost:1",
        **write_files(tmp_path, "client-secret-of-a-test", "http://localhost:9"),
    }
    with patch.dict(os.environ, environment):
        config = load_config()
    store = PostgresStore(database_url)
    providers = FakeProviders(FakeProvider(), FakeProvider("microsoft", "microsoft", "Microsoft 365"))
    sealer = build_sealer(Keyring.load(config.environment.keyring_file))
    services = assemble(config, store, sealer, providers, RecordingNudge())
    made = make_room(services, database_url)
    yield made
    services.hand_out_log.close()
    made.engine.dispose()
    store.close()


@pytest.fixture
def signed_in(room):
    """Return a function that gives the browser of somebody who has signed in."""

    def browser(person_id):
        with room.store.transaction() as tx:
            token = room.services.sessions.start(tx, person_id)
        client = room.app.test_client()
        client.set_cookie(SESSION, token.reveal(), domain="localhost")
        return client

    return browser
