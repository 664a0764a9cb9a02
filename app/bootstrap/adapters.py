"""Build what stands at the borders from the configuration: providers, issuers, keys, the gate.

No network call is made here.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.budgets import RedisBudget
from app.config import Config, IssuerConfig, LoadedConfig, ProviderConfig
from app.crypto.token_signing import ES256Signer
from app.domain.secret import Secret
from app.ports import Providers, Store
from app.providers.http import OutboundClient
from app.providers.key_sets import KeySets
from app.providers.microsoft.client import MOST_AT_A_TIME
from app.providers.registry import build_providers
from app.providers.settings import ProviderSettings
from app.providers.signed_tokens import SignedTokenReader
from app.providers.trusted_issuers import IssuerRegistry, IssuerSettings, PublishedIssuer
from app.services.callers import SignedTokenParts
from app.services.grant_care import CareSettings
from app.services.provider_gate import DEFAULT_LIMITS, BreakerGate, CallLimits
from app.store.call_slots import PostgresCallSlots


def utc_now() -> datetime:
    """Return now, aware UTC."""
    return datetime.now(UTC)


def configured_providers(config: LoadedConfig) -> Providers:
    """Return the adapters of the providers file, without any network call; raises ``ConfigurationError``."""
    env = config.environment
    http = _outbound(config, env.ca_bundle)
    settings = [provider_settings(key, table) for key, table in config.file.providers.items()]
    slots = PostgresCallSlots(env.database_url, MOST_AT_A_TIME)
    return build_providers(settings, http, env.public_url, utc_now, slots)


def signed_token_parts(config: LoadedConfig) -> SignedTokenParts:
    """Return what makes and reads signed tokens, without any network call."""
    return SignedTokenParts(
        signer=ES256Signer(),
        reader=SignedTokenReader(KeySets(_outbound(config, config.environment.ca_bundle), utc_now)),
        workload_issuers=_issuers(config, config.file.workload_issuers),
        user_issuers=_issuers(config, config.file.user_issuers),
    )


def _issuers(config: LoadedConfig, tables: Mapping[str, IssuerConfig]) -> IssuerRegistry:
    return IssuerRegistry(
        [
            PublishedIssuer(
                IssuerSettings(key=key, **table.model_dump(exclude={"ca"})),
                _outbound(config, table.ca or config.environment.ca_bundle),
                utc_now,
            )
            for key, table in tables.items()
        ]
    )


def _outbound(config: LoadedConfig, ca_bundle: Path | None) -> OutboundClient:
    return OutboundClient(config.file.routes, ca_bundle, trusted_origins=config.file.trusted_origins)


def provider_gate(config: LoadedConfig, store: Store, most_waiting: int) -> BreakerGate:
    """Return the gate in front of the configured providers.

    Of the threads that may wait at all, one provider gets two thirds at most: the rest is for the others.
    """
    limits = {key: call_limits(table) for key, table in config.file.providers.items()}
    budget = RedisBudget(config.environment.redis_url)
    return BreakerGate(store, budget, limits, max(1, most_waiting * 2 // 3), utc_now, random.random)


def care_settings(env: Config) -> CareSettings:
    """Return what the operator decided about grants."""
    idle_after, reap_after = timedelta(days=env.idle_after_days), timedelta(days=env.reap_after_days)
    return CareSettings(env.idle_policy, idle_after, reap_after)


def call_limits(table: ProviderConfig) -> CallLimits:
    """Return the budgets of one provider: what the table says, else what its kind takes."""
    said = table.model_dump(include=_LIMIT_NAMES, exclude_none=True)
    return replace(DEFAULT_LIMITS[table.kind], **said)


_LIMIT_NAMES = {field.name for field in fields(CallLimits)}


def provider_settings(key: str, table: ProviderConfig) -> ProviderSettings:
    """Return one provider's registration as the adapters want it."""
    secrets = {"client_secret", "client_secrets", "client_secret_file", "client_secret_files"}
    return ProviderSettings(
        key=key,
        client_secret=Secret(table.client_secret.get_secret_value()) if table.client_secret else None,
        client_secrets=tuple(Secret(secret.get_secret_value()) for secret in table.client_secrets),
        client_secret_files=table.secret_files(),
        **table.model_dump(exclude={*secrets, *_LIMIT_NAMES}),
    )
