"""What an edge needs to start: one configuration, checked once, and how to build on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.bootstrap.assembly import WORKER_MOST_WAITING, Services, build_services
from app.bootstrap.surroundings import check_surroundings, read_configuration
from app.logs import configure_logs
from app.nudge import broker_url
from app.store.engine import Limits

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
