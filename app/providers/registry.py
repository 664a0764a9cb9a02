"""Build every configured provider, with its credentials read and checked.

All faults of all providers are reported at once, so that one start shows everything there is to mend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from app.domain.errors import ConfigurationError, UnknownProvider
from app.ports.providers import Provider
from app.ports.surroundings import Clock
from app.providers.client_authentication import (
    ClientAuthentication,
    SecretInBody,
    SecretInHeader,
    SignedAssertion,
)
from app.providers.google.calendar import GoogleCalendars
from app.providers.google.identity import GoogleProvider
from app.providers.http import OutboundClient, origin_of
from app.providers.id_tokens import IDTokenValidator
from app.providers.key_sets import KeySets
from app.providers.metadata import MetadataSource
from app.providers.microsoft.calendar import MicrosoftCalendars
from app.providers.microsoft.identity import ClientCredential, MicrosoftProvider
from app.providers.oidc.identity import OIDCProvider
from app.providers.settings import ProviderSettings


class ProviderRegistry:
    """The configured providers by key. Implements ``ports.Providers``."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = {provider.key: provider for provider in providers}

    def get(self, key: str) -> Provider:
        """Return one provider; raises ``UnknownProvider``."""
        try:
            return self._providers[key]
        except KeyError:
            raise UnknownProvider(key[:64]) from None

    def all(self) -> tuple[Provider, ...]:
        """Return all, in the order of the configuration."""
        return tuple(self._providers.values())


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the adapters share."""

    http: OutboundClient
    validator: IDTokenValidator
    clock: Clock


class _Fault(Exception):
    """One reason why a provider cannot be built."""


def build_providers(
    settings: Sequence[ProviderSettings], http: OutboundClient, public_url: str, clock: Clock
) -> ProviderRegistry:
    """Return the registry; makes no network call. Raises ``ConfigurationError`` with every fault found.

    ``public_url`` must be an http(s) address: redirect URIs and push addresses are made from it.
    """
    parts = _Parts(http, IDTokenValidator(KeySets(http, clock), clock), clock)
    faults = _address_faults("public address", public_url)
    built: list[Provider] = []
    seen: set[str] = set()
    for one in settings:
        if one.key in seen:
            faults.append(f"provider {one.key}: the key is used twice")
        seen.add(one.key)
        try:
            built.append(_build(one, parts))
        except _Fault as fault:
            faults.append(f"provider {one.key}: {fault}")
    if faults:
        raise ConfigurationError(faults)
    return ProviderRegistry(built)


def _build(settings: ProviderSettings, parts: _Parts) -> Provider:
    builders: dict[str, Callable[[ProviderSettings, _Parts], Provider]] = {
        "google": _google,
        "microsoft": _microsoft,
        "oidc": _oidc,
    }
    if settings.kind not in builders:
        raise _Fault(f"unknown kind {settings.kind}")
    if not settings.client_id:
        raise _Fault("client_id is missing")
    return builders[settings.kind](settings, parts)


def _google(settings: ProviderSettings, parts: _Parts) -> Provider:
    if not settings.client_secret:
        raise _Fault("client_secret is missing")
    calendars = GoogleCalendars(parts.http, parts.clock)
    return GoogleProvider(settings, settings.client_secret, parts.http, parts.validator, calendars)


def _microsoft(settings: ProviderSettings, parts: _Parts) -> Provider:
    credential = _microsoft_credential(settings)
    calendars = MicrosoftCalendars(parts.http, parts.clock)
    return MicrosoftProvider(settings, credential, parts.http, parts.validator, calendars, parts.clock)


def _microsoft_credential(settings: ProviderSettings) -> ClientCredential:
    if settings.private_key_file is None:
        if not settings.client_secret:
            raise _Fault("client_secret or certificate_file with private_key_file is missing")
        return settings.client_secret.reveal()
    if settings.certificate_file is None:
        raise _Fault("certificate_file is missing: Entra knows the key by its certificate")
    key, certificate = _private_key(settings.private_key_file), _certificate(settings.certificate_file)
    if certificate.public_key() != key.public_key():
        raise _Fault("certificate_file does not belong to private_key_file")
    return {
        "private_key": settings.private_key_file.read_text(),
        "public_certificate": settings.certificate_file.read_text(),
    }


def _oidc(settings: ProviderSettings, parts: _Parts) -> Provider:
    if not settings.issuer or not settings.issuer.startswith("https://"):
        raise _Fault("issuer must be an https address")
    faults = _address_faults("issuer", settings.issuer)
    if faults:
        raise _Fault(faults[0])
    hosts = frozenset(settings.allowed_endpoint_hosts)
    metadata = MetadataSource(parts.http, settings.issuer, parts.clock, hosts)
    return OIDCProvider(settings, _authentication(settings, parts.clock), parts.http, parts.validator, metadata)


def _authentication(settings: ProviderSettings, clock: Clock) -> ClientAuthentication:
    if settings.token_auth_method == "private_key_jwt":
        if settings.private_key_file is None:
            raise _Fault("private_key_file is missing")
        certificate = _certificate(settings.certificate_file) if settings.certificate_file else None
        return SignedAssertion(settings.client_id, _private_key(settings.private_key_file), certificate, clock)
    if not settings.client_secret:
        raise _Fault("client_secret is missing")
    if settings.token_auth_method == "client_secret_basic":
        return SecretInHeader(settings.client_id, settings.client_secret)
    if settings.token_auth_method == "client_secret_post":
        return SecretInBody(settings.client_id, settings.client_secret)
    raise _Fault(f"unknown token_auth_method {settings.token_auth_method}")


def _private_key(path: Path) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        raise _Fault(f"{path} is no readable private key in PEM form without a password") from None
    if not isinstance(key, RSAPrivateKey):
        raise _Fault(f"{path} is no RSA key")
    return key


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise _Fault(f"{path} is no readable certificate in PEM form") from None


def _address_faults(what: str, url: str) -> list[str]:
    try:
        origin_of(url)
    except ValueError:
        return [f"{what} is no http(s) address"]
    return []
