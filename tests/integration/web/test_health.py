import pytest

from app.domain.errors import StoreUnavailable
from tests.integration.web.conftest import PUBLIC_URL


def test_alive_asks_nobody(client, services):
    services.health.error = StoreUnavailable()

    assert client.get("/healthz", base_url=PUBLIC_URL).status_code == 200
    assert services.health.calls == []
    assert services.sessions.calls == []


def test_ready_names_what_is_missing(client, services):
    assert client.get("/readyz", base_url=PUBLIC_URL).status_code == 200

    services.health.faults = ("store_unavailable",)
    answer = client.get("/readyz", base_url=PUBLIC_URL)

    assert answer.status_code == 503
    assert answer.json["faults"] == ["store_unavailable"]


def test_a_missing_broker_slows_down_and_does_not_take_out_of_service(client, services):
    services.health.slow = ("broker_unavailable",)

    answer = client.get("/readyz", base_url=PUBLIC_URL)

    assert answer.status_code == 200
    assert answer.json == {"status": "degraded", "faults": ["broker_unavailable"]}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_may_ask_by_address(client, path):
    assert client.get(path, base_url="http://10.0.0.7:8080").status_code == 200
    assert client.get("/", base_url="http://10.0.0.7:8080").status_code == 400
