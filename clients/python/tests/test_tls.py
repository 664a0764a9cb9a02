"""Whom the client believes to be Latchkey."""

from __future__ import annotations

import ssl

import pytest
import trustme

from fake_latchkey import ADA, SECRET, FakeLatchkey, serving
from latchkey_client import LatchkeyClient, TemporarilyUnavailable


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def secured(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serving(FakeLatchkey(), context) as fake:
        yield fake


def test_an_unknown_authority_is_not_believed(secured):
    with LatchkeyClient(secured.url, SECRET, timeout_s=1) as client, pytest.raises(TemporarilyUnavailable):
        client.token(ADA, "google")

    assert secured.asked == []


def test_a_named_authority_is_believed(secured, authority, tmp_path):
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))

    with LatchkeyClient(secured.url, SECRET, ca_file=str(file)) as client:
        assert client.token(ADA, "google").value
