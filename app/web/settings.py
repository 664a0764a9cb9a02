"""What the web edge needs to know, apart from the services."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from app.domain.errors import ConfigurationError

MAX_BODY_BYTES = 256 * 1024
"""Nothing that is sent to us on purpose is larger; a full batch of Graph notifications is about half of it."""


def utc_now() -> datetime:
    """Return now, aware UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Settings of the web edge; raises ``ConfigurationError`` when they cannot work."""

    public_url: str
    """Origin we are reached at, such as ``https://latchkey.example.org``: no path, no slash at the end."""
    csrf_key: bytes = field(repr=False)
    """Key of the form tokens, the same for every process of the installation; at least 32 bytes."""
    clock: Callable[[], datetime] = utc_now

    def __post_init__(self) -> None:
        parts = urlsplit(self.public_url)
        faults = []
        if parts.scheme not in {"http", "https"} or not parts.hostname or self.public_url != self.origin:
            faults.append("public_url must be an origin such as https://latchkey.example.org")
        if len(self.csrf_key) < 32:
            faults.append("csrf_key must have at least 32 bytes")
        if faults:
            raise ConfigurationError(faults)

    @property
    def origin(self) -> str:
        """Return scheme, host and port as browsers write them in ``Origin``."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def host(self) -> str:
        """Return the host name without port."""
        return urlsplit(self.public_url).hostname or ""

    @property
    def is_https(self) -> bool:
        """Return whether browsers reach us over TLS."""
        return self.public_url.startswith("https:")
