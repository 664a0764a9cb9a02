"""Join both sides: build every use case from the configuration, once per process.

Nothing here connects: engines and pools open on first use, after any fork. ``check_surroundings`` is what
refuses a start.
"""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import redis

from app.budgets import RedisBudget
from app.config import Config, IssuerConfig, LoadedConfig, ProviderConfig, load_config
from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.crypto.token_signing import ES256Signer
from app.domain.errors import ConfigurationError, LatchkeyError
from app.domain.rates import TokenBuckets
from app.domain.secret import Secret
from app.logs import configure_logs
from app.nudge import CeleryNudge, broker_url, publisher
from app.ports import Nudge, Providers, Sealer, Store
from app.providers.http import OutboundClient
from app.providers.key_sets import KeySets
from app.providers.registry import build_providers
from app.providers.settings import ProviderSettings
from app.providers.signed_tokens import SignedTokenReader
from app.providers.trusted_issuers import IssuerRegistry, IssuerSettings, PublishedIssuer
from app.services.access_tokens import AccessTokens
from app.services.audit_chain import AuditChain
from app.services.authorization import Authorization
from app.services.calendar_lists import CalendarLists
from app.services.calendar_sync import CalendarSync, SyncSettings
from app.services.callers import Callers, SignedTokenParts, build_callers
from app.services.channels import Channels
from app.services.connect_link_visits import ConnectLinkVisits
from app.services.connect_links import ConnectLinks
from app.services.connections import Agenda, Connections
from app.services.disconnect import Disconnect
from app.services.due_work import DueWork
from app.services.explanation import Explain
from app.services.grant_care import CareSettings, GrantCare
from app.services.grants import Grants
from app.services.hand_out_log import HandOutLog
from app.services.health import Health
from app.services.hourly_quota import HourlyQuota
from app.services.notifications import Notifications
from app.services.person_switches import PersonSwitches
from app.services.policy_admin import PolicyAdmin
from app.services.provider_gate import DEFAULT_LIMITS, BreakerGate, CallLimits
from app.services.provider_overview import ProviderOverview
from app.services.refreshing import Refresher
from app.services.resolution import Resolver
from app.services.service_clients import ServiceClients
from app.services.sessions import Sessions
from app.services.token_exchange import TokenExchange
from app.services.watch import Watch
from app.store.engine import Limits
from app.store.escrow import EscrowFiles
from app.store.migrating import pending_migrations
from app.store.postgres import PostgresStore
from app.store.presence import PostgresPresence
from app.store.spool import FileSpool

WEB_MOST_WAITING = 6
"""Of the 8 threads of a web process: two are always left for callers whose token is alive."""

BURST_S = 2
"""Seconds' worth of requests that a caller may make at once: a start of many threads is no loop."""

WORKER_MOST_WAITING = 24
"""Of the 32 threads of a worker."""


@dataclass(frozen=True)
class Services:
    """Every use case, ready to be called by the edges."""

    providers: Providers
    nudge: Nudge
    sessions: Sessions
    authorization: Authorization
    connections: Connections
    agenda: Agenda
    disconnect: Disconnect
    connect_links: ConnectLinks
    connect_link_visits: ConnectLinkVisits
    access_tokens: AccessTokens
    watch: Watch
    """Not running: ``Start`` starts it, commands do without."""
    clients: ServiceClients
    callers: Callers
    token_exchange: TokenExchange
    explain: Explain
    rates: TokenBuckets
    """Of this process: how often services may ask, per grant type and subject."""
    policies: PolicyAdmin
    person_switches: PersonSwitches
    audit: AuditChain
    hand_out_log: HandOutLog
    calendar_lists: CalendarLists
    calendar_sync: CalendarSync
    channels: Channels
    notifications: Notifications
    due_work: DueWork
    provider_overview: ProviderOverview
    grant_care: GrantCare
    health: Health
    csrf_key: bytes
    """Derived from the key ring: the same in every process, and in none of the databases."""


def utc_now() -> datetime:
    """Return now, aware UTC."""
    return datetime.now(UTC)


def build_services(
    config: LoadedConfig, limits: Limits | None = None, most_waiting: int = WEB_MOST_WAITING
) -> Services:
    """Return the use cases of this installation; raises ``ConfigurationError`` for an unusable key ring."""
    env = config.environment
    store = PostgresStore(env.database_url, limits)
    sealer = build_sealer(Keyring.load(env.keyring_file))
    nudge = CeleryNudge(publisher(env.redis_url))
    return assemble(config, store, sealer, configured_providers(config), nudge, most_waiting)


def configured_providers(config: LoadedConfig) -> Providers:
    """Return the adapters of the providers file, without any network call; raises ``ConfigurationError``."""
    env = config.environment
    http = _outbound(config, env.ca_bundle)
    settings = [provider_settings(key, table) for key, table in config.file.providers.items()]
    return build_providers(settings, http, env.public_url, utc_now)


def assemble(
    config: LoadedConfig,
    store: Store,
    sealer: Sealer,
    providers: Providers,
    nudge: Nudge,
    most_waiting: int = WEB_MOST_WAITING,
) -> Services:
    """Return the use cases on the given implementations; every one of them is replaceable."""
    env, clock, spread = config.environment, utc_now, random.random
    audit = AuditChain(store, sealer)
    hand_out_log = HandOutLog(FileSpool(env.state_dir / "audit"), audit)
    sessions = Sessions(store, clock)
    grants = Grants(store, sealer, nudge, clock, spread)
    presence, gate = PostgresPresence(env.database_url), provider_gate(config, store, most_waiting)
    refresher = Refresher(
        store, providers, sealer, gate, EscrowFiles(env.state_dir), clock, spread, presence.identity,
        env.confirm_refusal_after_s,
    )  # fmt: skip
    tokens = AccessTokens(store, refresher, sealer, clock, waiting=threading.BoundedSemaphore(most_waiting))
    sync = SyncSettings(timedelta(days=env.sync_past_days), timedelta(days=env.sync_future_days), env.poll_interval)
    channels = Channels(store, providers, tokens, sealer, nudge, clock, spread, env.public_url, env.push_enabled)
    authorization = Authorization(store, providers, sealer, sessions, grants, clock, env.public_url)
    disconnect = Disconnect(store, providers, sealer, channels, tokens, clock)
    callers = build_callers(store, sealer, signed_token_parts(config), env.public_url, clock)
    resolver, quota = Resolver(store, providers, clock), HourlyQuota(store)
    rates = TokenBuckets(env.hand_outs_per_s, env.hand_outs_per_s * BURST_S, time.monotonic)
    links = ConnectLinks(store, disconnect, nudge, clock)
    return Services(
        providers=providers,
        nudge=nudge,
        sessions=sessions,
        authorization=authorization,
        connections=Connections(store, providers),
        agenda=Agenda(store),
        disconnect=disconnect,
        connect_links=links,
        connect_link_visits=ConnectLinkVisits(store, authorization, links, clock),
        access_tokens=tokens,
        watch=Watch(store, presence, refresher, providers, nudge, clock),
        clients=ServiceClients(store, sealer, clock),
        callers=callers,
        token_exchange=TokenExchange(resolver, tokens, sealer, clock, hand_out_log, rates, quota),
        explain=Explain(resolver, gate, rates, quota, clock),
        rates=rates,
        policies=PolicyAdmin(store, providers, clock),
        person_switches=PersonSwitches(store, clock),
        audit=audit,
        hand_out_log=hand_out_log,
        calendar_lists=CalendarLists(store, providers, tokens, nudge, clock, spread),
        calendar_sync=CalendarSync(store, providers, tokens, clock, spread, sync),
        channels=channels,
        notifications=Notifications(store, sealer, nudge, clock),
        due_work=DueWork(store, clock, providers, gate, env.push_enabled),
        provider_overview=ProviderOverview(store, providers, clock),
        grant_care=GrantCare(store, sealer, disconnect, clock, care_settings(env)),
        health=Health(store, broker_check(env.redis_url), gate.open_providers),
        csrf_key=sealer.keyed_hash("csrf", "key"),
    )


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


def broker_check(redis_url: str) -> Callable[[], bool]:
    """Return a function that says whether Redis answers, within a second."""
    client = redis.Redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False

    return answers


WORKER_LIMITS = Limits(write_pool_size=16, read_pool_size=16, pool_timeout_s=30)
"""For the 32 threads of a worker, most of which wait for a provider; a fetched round is worth a wait."""


@dataclass(frozen=True)
class Start:
    """What an edge needs to start with."""

    broker_url: str
    """In Celery's spelling."""
    public_url: str
    configure_logs: Callable[[], None]
    check: Callable[[], None]
    """Refuses the start when something around us is missing; raises ``ConfigurationError``."""
    build: Callable[[], Services]
    """Builds the use cases; call it once per process, after any fork."""
    build_for_worker: Callable[[], Services]
    """The same with database pools for many threads."""


def start() -> Start:
    """Read the configuration and return how to start on it; raises ``ConfigurationError`` with every fault."""
    config = read_configuration()
    env = config.environment
    return Start(
        broker_url=broker_url(env.redis_url),
        public_url=env.public_url,
        configure_logs=lambda: configure_logs(env.log_level),
        check=lambda: check_surroundings(config),
        build=lambda: _watched(build_services(config)),
        build_for_worker=lambda: _watched(build_services(config, WORKER_LIMITS, WORKER_MOST_WAITING)),
    )


def _watched(services: Services) -> Services:
    services.watch.start()
    return services


def read_configuration() -> LoadedConfig:
    """Return the configuration; raises ``ConfigurationError`` with its faults and those of the key ring."""
    try:
        return load_config()
    except ConfigurationError as error:
        path = os.environ.get("LATCHKEY_KEYRING_FILE")
        raise ConfigurationError([*error.faults, *(_keyring_faults(Path(path)) if path else ())]) from None


def _keyring_faults(path: Path) -> tuple[str, ...]:
    try:
        Keyring.load(path)
    except ConfigurationError as error:
        return error.faults
    return ()


def check_surroundings(config: LoadedConfig) -> None:
    """Refuse the start when something is missing; raises ``ConfigurationError`` with all faults."""
    env = config.environment
    faults: list[str] = []
    try:
        sealer = build_sealer(Keyring.load(env.keyring_file))
    except ConfigurationError as error:
        faults.extend(error.faults)
    else:
        faults.extend(_database_faults(PostgresStore(env.database_url), env.database_url, sealer))
    try:
        configured_providers(config)
    except ConfigurationError as error:
        faults.extend(error.faults)
    faults.extend(_state_faults(env.state_dir))
    if not broker_check(env.redis_url)():
        faults.append("REDIS_URL: no Redis answers there")
    if faults:
        raise ConfigurationError(faults)


def _state_faults(directory: Path) -> list[str]:
    """Return what is wrong with the directory that must take what the database cannot."""
    try:
        with tempfile.TemporaryFile(dir=directory):
            return []
    except OSError as error:
        return [f"LATCHKEY_STATE_DIR {directory}: {error.strerror}"]


def _database_faults(store: PostgresStore, database_url: str, sealer: Sealer) -> list[str]:
    try:
        store.ping()
        if pending_migrations(database_url):
            return ["DATABASE_URL: the schema is not up to date; run `latchkey migrate`"]
        if not store.key_fits(sealer):
            return ["LATCHKEY_KEYRING_FILE: this database was sealed with another key"]
    except LatchkeyError:
        return ["DATABASE_URL: no PostgreSQL answers there"]
    finally:
        store.close()
    return []
