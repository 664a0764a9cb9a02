"""Join both sides: configuration, implementations and use cases. The edges know nothing else of what is below."""

from app.bootstrap.adapters import provider_settings, utc_now
from app.bootstrap.assembly import Services, assemble, build_services
from app.bootstrap.starting import WORKER_LIMITS, Start, start
from app.bootstrap.surroundings import check_surroundings, read_configuration

__all__ = [
    "WORKER_LIMITS",
    "Services",
    "Start",
    "assemble",
    "build_services",
    "check_surroundings",
    "provider_settings",
    "read_configuration",
    "start",
    "utc_now",
]
