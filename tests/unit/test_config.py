"""A wrong configuration is refused with every fault in one message."""

from pathlib import Path

import pytest

from app.config import describe, load_config
from app.domain.errors import ConfigurationError

PROVIDERS = """
[providers.google]
kind = "google"
display_name = "Google"
client_id = "id"
client_secret = "planted-client-secret"
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set a complete environment and return the providers file."""
    path = tmp_path / "providers.toml"
    path.write_text(PROVIDERS)
    for name, value in {
        "LATCHKEY_PUBLIC_URL": "http://localhost:8080/",
        "DATABASE_URL": "postgresql://user:planted-password@db/latchkey",
        "REDIS_URL": "redis://localhost/0",
        "LATCHKEY_KEYRING_FILE": str(tmp_path / "keyring.json"),
        "LATCHKEY_PROVIDERS_FILE": str(path),
        "LATCHKEY_STATE_DIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    return path


def faults() -> str:
    """Return the faults of the current environment as one text."""
    with pytest.raises(ConfigurationError) as caught:
        load_config()
    return "\n".join(caught.value.faults)


@pytest.mark.usefixtures("environment")
def test_a_complete_configuration_is_read() -> None:
    config = load_config()

    assert config.environment.public_url == "http://localhost:8080"
    assert config.environment.database_url.startswith("postgresql+psycopg://")
    google = config.file.providers["google"]
    assert google.client_secret is not None
    assert google.client_secret.get_secret_value() == "planted-client-secret"


@pytest.mark.usefixtures("environment")
def test_the_description_holds_no_secret() -> None:
    text = "\n".join(describe(load_config()))

    assert "planted" not in text
    assert "provider google" in text


def test_all_faults_are_named_at_once(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATCHKEY_PUBLIC_URL", "http://latchkey.example.com")
    monkeypatch.setenv("LATCHKEY_POLL_INTERVAL_S", "soon")
    monkeypatch.setenv("LATCHKEY_PUSH_ENABELD", "false")
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.delenv("REDIS_URL")

    found = faults()

    for name in ("PUBLIC_URL", "POLL_INTERVAL_S", "PUSH_ENABELD", "INSECURE_TRANSPORT", "REDIS_URL"):
        assert name in found
    assert "soon" not in found
    assert environment.exists()


def test_every_fault_of_the_providers_file_is_named(environment: Path) -> None:
    environment.write_text(
        '[providers.google]\nkind = "google"\ndisplay_name = "G"\nclient_id = "x"\n'
        '[providers.Acme]\nkind = "oidc"\ndisplay_name = "A"\nclient_id = "x"\n'
        'client_secret = "planted-client-secret"\n'
    )

    found = faults()

    assert "providers.google" in found
    assert "issuer is missing" in found
    assert "providers.Acme: a key has" in found
    assert "planted" not in found


def test_a_provider_has_a_key_that_requests_and_addresses_can_name(environment: Path) -> None:
    table = (
        'kind = "oidc"\ndisplay_name = "A"\nclient_id = "x"\nclient_secret = "s"\nissuer = "https://a.example.com"\n'
    )
    keys = {"acme-2": False, "a" * 63: False, "a" * 64: True, "Acme": True, "acm\u00e9": True, "acme.2": True}

    for key, is_fault in keys.items():
        environment.write_text(f'{PROVIDERS}[providers."{key}"]\n{table}')
        assert ("a key has" in (faults() if is_fault else str(load_config()))) is is_fault


def test_routes_are_refused_on_a_public_installation(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment.write_text(PROVIDERS + '[routes]\n"https://oauth2.googleapis.com" = "http://127.0.0.1:1"\n')
    assert load_config().file.routes

    monkeypatch.setenv("LATCHKEY_PUBLIC_URL", "https://latchkey.example.com")

    assert "routes" in faults()


def test_a_missing_or_broken_providers_file_is_one_fault(environment: Path) -> None:
    environment.write_text("[providers")
    assert "LATCHKEY_PROVIDERS_FILE" in faults()
    environment.unlink()
    assert "LATCHKEY_PROVIDERS_FILE" in faults()


def test_trusted_issuers_are_read_and_described(environment: Path, tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    environment.write_text(
        PROVIDERS
        + f"""
[workload_issuers.cluster]
issuer = "https://kubernetes.default.svc"
audience = "latchkey"
ca = "{authority}"

[user_issuers.product]
issuer = "https://login.example.test"
audience = "https://assistant.example.test"
jwks_uri = "https://login.example.test/keys"
subject_claim = "oid"
clients = {{ web = "scheduler" }}
"""
    )

    config = load_config()

    assert config.file.user_issuers["product"].clients == {"web": "scheduler"}
    assert "workload issuer cluster: https://kubernetes.default.svc" in describe(config)
    assert "user issuer product: https://login.example.test" in describe(config)


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ('issuer = "http://idp.example.test"\naudience = "a"', "issuer must be an https address"),
        ('issuer = "https://idp.example.test"\naudience = "a"\njwks_uri = "http://x"', "jwks_uri must be an https"),
        (
            'issuer = "https://idp.example.test"\naudience = "a"\nca = "/nowhere/ca.pem"',
            "/nowhere/ca.pem cannot be read",
        ),
        ('issuer = "https://idp.example.test"', "audience"),
        ('issuer = "https://idp.example.test"\naudience = ""', "audience"),
        ('issuer = "https://idp.example.test"\naudience = "a"\nsubject_claim = "email"', "subject_claim"),
        ('issuer = "https://idp.example.test"\naudience = "a"\nunknown = 1', "unknown"),
    ],
)
def test_what_is_wrong_with_a_trusted_issuer(environment: Path, table: str, fault: str) -> None:
    environment.write_text(f"{PROVIDERS}\n[user_issuers.idp]\n{table}\n")

    assert fault in faults()


def test_an_issuer_is_trusted_once(environment: Path) -> None:
    table = 'issuer = "https://idp.example.test"\naudience = "a"\n'
    environment.write_text(f"{PROVIDERS}\n[user_issuers.one]\n{table}[user_issuers.two]\n{table}")

    assert "user_issuers: two tables have the same issuer" in faults()
