"""Build every configured provider, with its credentials read and checked.

All faults of all providers are reported at once, so that one start shows everything there is to mend.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.domain.errors import ConfigurationError, UnknownProvider
from app.ports.gate import CallSlots
from app.ports.providers import Provider
from app.ports.surroundings import Clock
from app.providers.configured_credentials import (
    Fault,
    authentications,
    certificates,
    credential_list,
    key_files,
    reveal,
    secrets,
    secrets_in_body,
)
from app.providers.google.calendar import GoogleCalendars
from app.providers.google.identity import GoogleProvider
from app.providers.http import OutboundClient, origin_of
from app.providers.id_tokens import IDTokenValidator
from app.providers.key_sets import KeySets
from app.providers.metadata import MetadataSource
from app.providers.microsoft.calendar import MicrosoftCalendars
from app.providers.microsoft.identity import MicrosoftProvider
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
    slots: CallSlots | None


def build_providers(
    settings: Sequence[ProviderSettings],
    http: OutboundClient,
    public_url: str,
    clock: Clock,
    slots: CallSlots | None = None,
) -> ProviderRegistry:
    """Return the registry; makes no network call. Raises ``ConfigurationError`` with every fault found.

    ``public_url`` must be an http(s) address: redirect URIs and push addresses are made from it. ``slots`` limits
    the calls at a time per mailbox over all processes; null stands for this process alone.
    """
    parts = _Parts(http, IDTokenValidator(KeySets(http, clock), clock), clock, slots)
    faults = _address_faults("public address", public_url) + _shared_key_faults(settings)
    built: list[Provider] = []
    seen: set[str] = set()
    for one in settings:
        if one.key in seen:
            faults.append(f"provider {one.key}: the key is used twice")
        seen.add(one.key)
        try:
            built.append(_build(one, parts))
        except Fault as fault:
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
        raise Fault(f"unknown kind {settings.kind}")
    if not settings.client_id:
        raise Fault("client_id is missing")
    return builders[settings.kind](settings, parts)


def _google(settings: ProviderSettings, parts: _Parts) -> Provider:
    credentials = credential_list(settings, secrets_in_body(settings))
    calendars = GoogleCalendars(parts.http, parts.clock)
    return GoogleProvider(settings, credentials, parts.http, parts.validator, calendars)


def _microsoft(settings: ProviderSettings, parts: _Parts) -> Provider:
    read = certificates(settings) if key_files(settings) else secrets(settings, reveal)
    credentials = credential_list(settings, read)
    calendars = MicrosoftCalendars(parts.http, parts.clock, parts.slots)
    return MicrosoftProvider(settings, credentials, parts.http, parts.validator, calendars, parts.clock)


def _oidc(settings: ProviderSettings, parts: _Parts) -> Provider:
    if not settings.issuer or not settings.issuer.startswith("https://"):
        raise Fault("issuer must be an https address")
    faults = _address_faults("issuer", settings.issuer)
    if faults:
        raise Fault(faults[0])
    hosts = frozenset(settings.allowed_endpoint_hosts)
    metadata = MetadataSource(parts.http, settings.issuer, parts.clock, hosts)
    credentials = credential_list(settings, authentications(settings, parts.clock))
    return OIDCProvider(settings, credentials, parts.http, parts.validator, metadata)


def _shared_key_faults(settings: Sequence[ProviderSettings]) -> list[str]:
    """Return a fault for every key that signs for two issuers: each could use at the other what it was sent."""
    owners: dict[bytes, str | None] = {}
    faults = []
    for one in settings:
        for path in key_files(one) if one.kind == "oidc" else ():
            # An unreadable file is a fault of its own, named where the provider is built.
            text = path.read_bytes() if path.is_file() and os.access(path, os.R_OK) else b""
            if text and owners.setdefault(text, one.issuer) != one.issuer:
                faults.append(f"provider {one.key}: {path} signs for another issuer already; use a key of its own")
    return faults


def _address_faults(what: str, url: str) -> list[str]:
    try:
        origin_of(url)
    except ValueError:
        return [f"{what} is no http(s) address"]
    return []
