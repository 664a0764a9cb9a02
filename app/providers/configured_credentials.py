"""Read a client's credentials from where the operator put them: secrets, certificates, keys, newest first.

The same reading serves the start, where a fault refuses it, and later changes, where it leaves what is in use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from app.domain.secret import Secret
from app.ports.surroundings import Clock
from app.providers.client_authentication import (
    ClientAuthentication,
    SecretInBody,
    SecretInHeader,
    SignedAssertion,
)
from app.providers.credential_list import CredentialList
from app.providers.secret_files import read_secrets, stamp
from app.providers.settings import ProviderSettings

C = TypeVar("C")

ClientCredential = str | Mapping[str, str]
"""As msal takes it: a secret, or ``private_key`` and ``public_certificate`` as PEM texts."""


class Fault(ValueError):
    """One reason why a provider cannot be built, or a changed file not be used."""


def credential_list(settings: ProviderSettings, read: Callable[[], Sequence[C]]) -> CredentialList[C]:
    """Return the list that ``read`` fills and fills again when one of the files changed."""
    files = (*settings.client_secret_files, *key_files(settings), *_certificate_files(settings))
    return CredentialList(settings.key, read, lambda: stamp(files))


def secrets(settings: ProviderSettings, made_of: Callable[[Secret], C]) -> Callable[[], Sequence[C]]:
    """Return what reads the client secrets, newest first, each once, and makes credentials of them."""

    def read() -> Sequence[C]:
        in_files = (secret for path in settings.client_secret_files for secret in read_secrets(path))
        given = (settings.client_secret,) if settings.client_secret else ()
        known = {secret.reveal(): secret for secret in (*in_files, *given, *settings.client_secrets)}
        return [made_of(secret) for text, secret in known.items() if text]

    try:
        is_there = bool(read())
    except (OSError, ValueError):
        raise Fault("a client_secret file cannot be read") from None
    if not is_there:
        raise Fault("client_secret is missing")
    return read


def secrets_in_body(settings: ProviderSettings) -> Callable[[], Sequence[ClientAuthentication]]:
    """Return what reads the client secrets, to be sent in the body."""
    return secrets(settings, lambda secret: SecretInBody(settings.client_id, secret))


def reveal(secret: Secret) -> ClientCredential:
    """Return a secret as msal takes it."""
    return secret.reveal()


def certificates(settings: ProviderSettings) -> Callable[[], Sequence[ClientCredential]]:
    """Return what reads keys with their certificates as msal takes them, newest first."""
    keys, certificates = key_files(settings), _certificate_files(settings)
    if len(keys) != len(certificates):
        raise Fault("certificate_file is missing: Entra knows each key by its certificate")

    def read() -> Sequence[ClientCredential]:
        return [_certificate_credential(key, certificate) for key, certificate in zip(keys, certificates, strict=True)]

    read()
    return read


def _certificate_credential(key_file: Path, certificate_file: Path) -> ClientCredential:
    if _certificate(certificate_file).public_key() != _private_key(key_file).public_key():
        raise Fault(f"{certificate_file} does not belong to {key_file}: certificate_file and private_key_file")
    return {"private_key": key_file.read_text(), "public_certificate": certificate_file.read_text()}


def authentications(settings: ProviderSettings, clock: Clock) -> Callable[[], Sequence[ClientAuthentication]]:
    """Return what reads the credentials of an OIDC client by its method."""
    if settings.token_auth_method == "private_key_jwt":
        return _assertions(settings, clock)
    if settings.token_auth_method == "client_secret_basic":
        return secrets(settings, lambda secret: SecretInHeader(settings.client_id, secret))
    if settings.token_auth_method == "client_secret_post":
        return secrets_in_body(settings)
    raise Fault(f"unknown token_auth_method {settings.token_auth_method}")


def _assertions(settings: ProviderSettings, clock: Clock) -> Callable[[], Sequence[ClientAuthentication]]:
    keys, certificates, issuer = key_files(settings), _certificate_files(settings), settings.issuer
    if not keys:
        raise Fault("private_key_file is missing")
    if issuer is None:
        raise Fault("issuer is missing")

    def read() -> Sequence[ClientAuthentication]:
        pairs = zip_longest(keys, certificates)
        return [
            SignedAssertion(settings.client_id, issuer, _private_key(key), _certificate(path) if path else None, clock)
            for key, path in pairs
        ]

    if certificates and len(certificates) != len(keys):
        raise Fault("there must be a certificate for each private key, or none at all")
    read()
    return read


def key_files(settings: ProviderSettings) -> tuple[Path, ...]:
    """Return the private key files, newest first; empty when the client authenticates with a secret."""
    first = (settings.private_key_file,) if settings.private_key_file else ()
    return (*first, *settings.private_key_files)


def _certificate_files(settings: ProviderSettings) -> tuple[Path, ...]:
    first = (settings.certificate_file,) if settings.certificate_file else ()
    return (*first, *settings.certificate_files)


def _private_key(path: Path) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        raise Fault(f"{path} is no readable private key in PEM form without a password") from None
    if not isinstance(key, RSAPrivateKey):
        raise Fault(f"{path} is no RSA key")
    return key


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise Fault(f"{path} is no readable certificate in PEM form") from None
