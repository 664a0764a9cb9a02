"""Join both sides: build every use case on given implementations, once per process.

Nothing here connects: engines and pools open on first use, after any fork.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TypedDict

from app.bootstrap.adapters import care_settings, configured_providers, provider_gate, signed_token_parts, utc_now
from app.bootstrap.surroundings import broker_check
from app.budgets import RedisBudget
from app.config import LoadedConfig
from app.crypto.cursors import CursorBox
from app.crypto.keyring import Keyring
from app.crypto.sealing import build_sealer
from app.domain.rates import HandOutRates, TokenBuckets
from app.domain.sync_pace import WORST_GAP
from app.nudge import CeleryNudge, publisher
from app.ports import Clock, Nudge, Providers, Sealer, Spread, Store
from app.services.access_tokens import AccessTokens
from app.services.audit_chain import AuditChain
from app.services.authorization import Authorization
from app.services.calendar_access import CalendarAccess
from app.services.calendar_checks import CalendarChecks
from app.services.calendar_choices import CalendarChoices
from app.services.calendar_export import CalendarExport
from app.services.calendar_lists import CalendarLists
from app.services.calendar_reading import CalendarReading
from app.services.calendar_sync import CalendarSync, SyncSettings
from app.services.call_pace import CallPace
from app.services.callers import Callers, build_callers
from app.services.change_feed import ChangeFeed
from app.services.channel_tokens import ChannelTokens
from app.services.channels import Channels
from app.services.connect_link_visits import ConnectLinkVisits
from app.services.connect_links import ConnectLinks
from app.services.connections import Agenda, Connections
from app.services.disconnect import Disconnect
from app.services.due_work import DueWork
from app.services.explanation import Explain
from app.services.grant_care import GrantCare
from app.services.grants import Grants
from app.services.hand_out_log import HandOutLog
from app.services.health import Health
from app.services.hourly_quota import HourlyQuota
from app.services.notifications import Notifications
from app.services.person_switches import PersonSwitches
from app.services.places import Places
from app.services.policy_admin import PolicyAdmin
from app.services.provider_gate import BreakerGate
from app.services.provider_overview import ProviderOverview
from app.services.refreshing import Refresher
from app.services.resolution import Resolver
from app.services.service_clients import ServiceClients
from app.services.sessions import Sessions
from app.services.token_exchange import TokenExchange
from app.services.watch import Watch
from app.store.engine import Limits
from app.store.escrow import EscrowFiles
from app.store.postgres import PostgresStore
from app.store.presence import PostgresPresence
from app.store.spool import FileSpool

WEB_MOST_WAITING = 6
"""Of the 8 threads of a web process: two are always left for callers whose token is alive."""

BURST_S = 2
"""Seconds' worth of requests that a caller may make at once: a start of many threads is no loop."""

STALE_AFTER_POLLS = WORST_GAP + 1
"""Poll intervals without a good sync after which readers are told that a calendar may be out of date: a quiet one is
looked at less often, and one look may fail."""

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
    calendar_reading: CalendarReading
    change_feed: ChangeFeed
    calendar_export: CalendarExport
    calendar_choices: CalendarChoices
    calendar_lists: CalendarLists
    calendar_sync: CalendarSync
    calendar_checks: CalendarChecks
    channels: Channels
    notifications: Notifications
    due_work: DueWork
    provider_overview: ProviderOverview
    grant_care: GrantCare
    health: Health
    csrf_key: bytes
    """Derived from the key ring: the same in every process, and in none of the databases."""
    cursors: CursorBox
    """Under a key of the same kind."""


def build_services(
    config: LoadedConfig, limits: Limits | None = None, most_waiting: int = WEB_MOST_WAITING
) -> Services:
    """Return the use cases of this installation; raises ``ConfigurationError`` for an unusable key ring."""
    env = config.environment
    store = PostgresStore(env.database_url, limits)
    sealer = build_sealer(Keyring.load(env.keyring_file))
    nudge = CeleryNudge(publisher(env.redis_url))
    return assemble(config, store, sealer, configured_providers(config), nudge, most_waiting)


@dataclass(frozen=True)
class _Core:
    """What most use cases work with."""

    config: LoadedConfig
    store: Store
    sealer: Sealer
    providers: Providers
    nudge: Nudge
    gate: BreakerGate
    presence: PostgresPresence
    refresher: Refresher
    tokens: AccessTokens
    audit: AuditChain
    most_waiting: int
    clock: Clock = utc_now
    spread: Spread = random.random


def assemble(
    config: LoadedConfig,
    store: Store,
    sealer: Sealer,
    providers: Providers,
    nudge: Nudge,
    most_waiting: int = WEB_MOST_WAITING,
) -> Services:
    """Return the use cases on the given implementations; every one of them is replaceable."""
    core = _core(config, store, sealer, providers, nudge, most_waiting)
    env, clock = config.environment, utc_now
    return Services(
        providers=providers,
        nudge=nudge,
        access_tokens=core.tokens,
        watch=Watch(store, core.presence, core.refresher, providers, nudge, clock),
        audit=core.audit,
        connections=Connections(store, providers),
        agenda=Agenda(store),
        clients=ServiceClients(store, sealer, clock),
        callers=build_callers(store, sealer, signed_token_parts(config), env.public_url, clock),
        policies=PolicyAdmin(store, providers, clock),
        person_switches=PersonSwitches(store, clock),
        calendar_choices=CalendarChoices(store, nudge, clock),
        notifications=Notifications(store, ChannelTokens(sealer), nudge, clock),
        due_work=DueWork(store, clock, providers, core.gate, env.push_enabled),
        provider_overview=ProviderOverview(store, providers, clock),
        health=Health(store, broker_check(env.redis_url), core.gate.open_providers),
        csrf_key=sealer.keyed_hash("csrf", "key"),
        cursors=CursorBox(sealer.keyed_hash("cursors", "key")),
        **_hand_out(core),
        **_calendars_and_grants(core),
    )


def _core(
    config: LoadedConfig, store: Store, sealer: Sealer, providers: Providers, nudge: Nudge, most_waiting: int
) -> _Core:
    env = config.environment
    presence, gate = PostgresPresence(env.database_url), provider_gate(config, store, most_waiting)
    refresher = Refresher(
        store, providers, sealer, gate, EscrowFiles(env.state_dir), utc_now, random.random, presence.identity,
        env.confirm_refusal_after_s,
    )  # fmt: skip
    tokens = AccessTokens(store, refresher, sealer, utc_now, waiting=threading.BoundedSemaphore(most_waiting))
    audit = AuditChain(store, sealer)
    return _Core(config, store, sealer, providers, nudge, gate, presence, refresher, tokens, audit, most_waiting)


class _HandOut(TypedDict):
    token_exchange: TokenExchange
    explain: Explain
    rates: TokenBuckets
    hand_out_log: HandOutLog
    calendar_reading: CalendarReading
    change_feed: ChangeFeed
    calendar_export: CalendarExport


def _hand_out(core: _Core) -> _HandOut:
    env, store, clock = core.config.environment, core.store, core.clock
    log = HandOutLog(FileSpool(env.state_dir / "audit"), core.audit)
    resolver, quota = Resolver(store, core.providers, clock), HourlyQuota(store)
    rates = TokenBuckets(env.hand_outs_per_s, env.hand_outs_per_s * BURST_S, time.monotonic)
    of_hand_outs = HandOutRates(rates)
    # Reads have rates of their own: somebody's busy reader must not be kept from its tokens.
    of_reads = HandOutRates(TokenBuckets(env.hand_outs_per_s, env.hand_outs_per_s * BURST_S, time.monotonic))
    access = CalendarAccess(core.providers, of_reads, quota, clock)
    reading = CalendarReading(store, access, log, clock, STALE_AFTER_POLLS * env.poll_interval)
    return {
        "token_exchange": TokenExchange(resolver, core.tokens, core.sealer, clock, log, of_hand_outs, quota),
        "explain": Explain(resolver, core.gate, of_hand_outs, rates, quota, clock),
        "rates": rates,
        "hand_out_log": log,
        "calendar_reading": reading,
        "change_feed": ChangeFeed(reading),
        "calendar_export": CalendarExport(reading),
    }


class _CalendarsAndGrants(TypedDict):
    sessions: Sessions
    authorization: Authorization
    disconnect: Disconnect
    connect_links: ConnectLinks
    connect_link_visits: ConnectLinkVisits
    grant_care: GrantCare
    calendar_lists: CalendarLists
    calendar_sync: CalendarSync
    calendar_checks: CalendarChecks
    channels: Channels


def _calendars_and_grants(core: _Core) -> _CalendarsAndGrants:
    env, store, clock, tokens = core.config.environment, core.store, core.clock, core.tokens
    providers, sealer, nudge, spread = core.providers, core.sealer, core.nudge, core.spread
    sessions, grants = Sessions(store, clock), Grants(store, sealer, nudge, clock, spread)
    authorization = Authorization(store, providers, sealer, sessions, grants, clock, env.public_url)
    channels = Channels(
        store, providers, tokens, ChannelTokens(sealer), nudge, clock, spread, env.public_url, env.push_enabled
    )
    disconnect = Disconnect(store, providers, sealer, channels, tokens, clock)
    links = ConnectLinks(store, disconnect, nudge, clock)
    sync = SyncSettings(timedelta(days=env.sync_past_days), timedelta(days=env.sync_future_days), env.poll_interval)
    # Of the threads that may wait for providers, one gets two thirds, as of token calls.
    places, pace = Places(max(1, core.most_waiting * 2 // 3)), CallPace(RedisBudget(env.redis_url))
    syncing = CalendarSync(
        store, providers, tokens, clock, spread, sync, lambda: core.presence.identity, places, pace
    )  # fmt: skip
    return {
        "sessions": sessions,
        "authorization": authorization,
        "disconnect": disconnect,
        "connect_links": links,
        "connect_link_visits": ConnectLinkVisits(store, authorization, links, clock),
        "grant_care": GrantCare(store, sealer, disconnect, clock, care_settings(env)),
        "calendar_lists": CalendarLists(store, providers, tokens, nudge, clock, spread),
        "calendar_sync": syncing,
        "calendar_checks": CalendarChecks(store, providers, tokens, syncing, pace, clock, spread),
        "channels": channels,
    }
