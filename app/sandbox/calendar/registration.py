"""Add the calendar half to the sandbox's application."""

from pathlib import Path

from flask import Blueprint, Flask

from app.sandbox.accounts import CONSUMER_TENANT_ID, Account, Accounts
from app.sandbox.calendar import (
    chaos_control,
    control,
    google_calendars_api,
    google_channels_api,
    google_events_api,
    graph_calendars_api,
    graph_events_api,
    graph_subscriptions_api,
    pages,
)
from app.sandbox.calendar.chaos import Chaos
from app.sandbox.calendar.corpus import CORPUS_KEY, load_files
from app.sandbox.calendar.delivery import Courier
from app.sandbox.calendar.push import PushSender
from app.sandbox.calendar.seed_google import seed_google
from app.sandbox.calendar.seed_graph import seed_graph
from app.sandbox.calendar.state import CalendarSide, attach
from app.sandbox.calendar.world import Json, World
from app.sandbox.state import Sandbox, Snapshot


def register(app: Flask, state: Sandbox) -> CalendarSide:
    """Make the world, seed it, and serve both providers' calendar interfaces, push and the event pages."""
    world = World(state.clock, state.settings.seed)
    for account in state.accounts.all():
        _seed(world, account)
    if state.settings.world_dir is not None:
        world.files = _load_world(world, state, state.settings.world_dir)
    side = CalendarSide(state, world, PushSender(state, world, Courier()), Chaos(state, world))
    state.closers += [side.chaos.stop, side.push.close]
    state.snapshots["calendar"] = Snapshot(world.dump, world.load)
    attach(app, side)
    for module in (
        google_events_api,
        google_calendars_api,
        google_channels_api,
        graph_subscriptions_api,
        control,
        chaos_control,
        pages,
    ):
        app.register_blueprint(module.blueprint)
    # Or a GET of /me/events/{id} would be sent on to /me/calendar/events/{id}, which the service does not do.
    app.url_map.redirect_defaults = False
    for module in (graph_calendars_api, graph_events_api):
        _register_for_person(app, module.blueprint)
    return side


def _seed(world: World, account: Account) -> None:
    if account.provider == "google":
        seed_google(world, account)
    elif account.provider == "microsoft":
        seed_graph(world, account)


def _load_world(world: World, state: Sandbox, directory: Path) -> Json:
    """Add two accounts that own what is read from `directory`, and their mailboxes."""
    zone = "Etc/UTC"
    google = Account("google", CORPUS_KEY, "100000000000000000001", "corpus@example.com", "Corpus", "Reader", zone)
    microsoft = Account(
        "microsoft",
        CORPUS_KEY,
        "00000000-0000-4000-8000-00000000c0de",
        "corpus@example.org",
        "Corpus",
        "Reader",
        zone,
        tid=CONSUMER_TENANT_ID,
    )
    state.accounts = Accounts([*state.accounts.all(), google, microsoft], state.accounts.tenants.values())
    seed_google(world, google, has_events=False)
    seed_graph(world, microsoft, has_events=False)
    return load_files(world, directory)


def _register_for_person(app: Flask, blueprint: Blueprint) -> None:
    """Serve a Graph blueprint below /me and below /users/{id or address}."""
    app.register_blueprint(blueprint, url_prefix="/v1.0/me")
    app.register_blueprint(blueprint, url_prefix="/v1.0/users/<graph_user>", name=f"{blueprint.name}_by_user")
