"""One configured provider, as the operator describes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.domain.secret import Secret
from app.domain.tokens import RotationClass


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """Registration of this installation at one provider, with the choices an operator has."""

    key: str
    """Name in URLs (``/callback/<key>``) and rows; unique."""
    kind: str
    """``google``, ``microsoft`` or ``oidc``."""
    display_name: str
    client_id: str
    client_secret: Secret | None = None
    """Null when the secret is in a file, or the client authenticates with a certificate or key."""
    client_secrets: tuple[Secret, ...] = ()
    """Further secrets, newest first: those that are still accepted while one is replaced."""
    client_secret_files: tuple[Path, ...] = ()
    """Files with a secret a line, newest first; they come before the secrets above, and their changes are followed."""
    certificate_file: Path | None = None
    """PEM certificate registered at Entra."""
    private_key_file: Path | None = None
    """PEM private key (RSA) that signs client assertions; with a certificate at Entra, alone at an OIDC provider."""
    certificate_files: tuple[Path, ...] = ()
    private_key_files: tuple[Path, ...] = ()
    """Further certificates and their keys in the same order, newest first, after the two above."""
    tenant: str = "common"
    """Microsoft only: ``common``, ``organizations``, ``consumers``, a tenant id or a verified domain."""
    issuer: str | None = None
    """OIDC only: the issuer identifier, compared byte for byte with discovery and tokens."""
    authorization_endpoint: str | None = None
    """Page the browser is sent to; null takes the provider's own."""
    rotation: RotationClass | None = None
    """Null takes the kind's class: Google none, Microsoft overlap, OIDC strict.

    An unknown issuer is strict, because the other guesses lose grants when they are wrong: a used token that is sent
    again may end its whole family.
    """
    allowed_tenants: tuple[str, ...] = ()
    """Microsoft tenant ids (lower case) that may connect; empty allows every tenant."""
    allow_personal_accounts: bool = True
    """Microsoft only: whether outlook.com and similar accounts may connect."""
    token_auth_method: str = "client_secret_basic"
    """OIDC only: ``client_secret_basic``, ``client_secret_post`` or ``private_key_jwt``."""
    allowed_endpoint_hosts: tuple[str, ...] = ()
    """OIDC only: hosts other than the issuer's that discovery may name."""
