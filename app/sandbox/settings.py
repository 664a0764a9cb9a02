"""Hold what the sandbox is started with, and the few values that may change while it runs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Provider = Literal["google", "microsoft", "oidc"]
PROVIDERS: tuple[Provider, ...] = ("google", "microsoft", "oidc")

Rotation = Literal["none", "overlap", "grace", "strict"]
"""What a refresh does to the refresh token.

`none`: the token stays, none is returned. `overlap`: a new one is returned, the old one stays good. `grace`: a new one
is returned, the old one stays good for `rotation_grace_s`. `strict`: single use; using it again revokes the family.
"""
ROTATIONS: tuple[Rotation, ...] = ("none", "overlap", "grace", "strict")

NULLABLE = (
    "access_token_lifetime_s",
    "google_refresh_life_s",
    "sync_token_life_s",
    "google_quota_per_min",
    "graph_quota_per_10_min",
)
"""Run-time settings that may have no value."""
DEFAULT_ROTATION: Mapping[str, Rotation] = {"google": "none", "microsoft": "overlap", "oidc": "strict"}


@dataclass(frozen=True)
class ClientRegistration:
    """One OAuth client known to one of the providers."""

    provider: Provider
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uris: tuple[str, ...]
    certificate_pem: str | None = None
    """Certificate for `private_key_jwt`; Microsoft only. None: secret only."""
    name: str = "Latchkey"


@dataclass(frozen=True)
class SandboxSettings:
    """What the sandbox is started with."""

    base_url: str
    """Where browsers and clients reach the sandbox, without a trailing slash."""
    access_token_lifetime_s: int | None = None
    """None: each provider's usual lifetime (Google 3599, Microsoft 60-90 minutes by chance, OIDC 300)."""
    refresh_rotation: Mapping[str, Rotation] = field(default_factory=lambda: dict(DEFAULT_ROTATION))
    rotation_grace_s: int = 30
    google_refresh_life_s: int | None = None
    """How long Google's refresh tokens live, as for an application in testing (seven days) or access for a limited
    time; None: without end."""
    sync_token_life_s: int | None = None
    """How long Google's sync tokens and Graph's delta links are good, by the sandbox's clock; None: without end."""
    google_page_size: int = 250
    """Most items on one page of Google's lists, whatever the client asks for."""
    graph_page_size: int = 50
    """Most items on one page of Graph's lists, whatever the client asks for."""
    graph_concurrency: int = 4
    """Calls that one client may have under way at once for one Microsoft mailbox; one more gets a 429."""
    google_quota_per_min: int | None = None
    """Calls per minute, client and Google account; the usual quota is 600. None: no limit."""
    graph_quota_per_10_min: int | None = None
    """Calls per ten minutes, client and Microsoft mailbox; the usual quota is 10,000. None: no limit."""
    push_enabled: bool = True
    world_dir: Path | None = None
    """Directory with the people's calendars; None: the world built into the sandbox."""
    state_file: Path | None = None
    """Where grants, tokens and edits are kept across restarts; None: in memory only."""
    seed: int = 1
    clients: tuple[ClientRegistration, ...] = ()
    oidc_issuer: str = "https://idp.sandbox.test"

    def client(self, provider: str, client_id: str) -> ClientRegistration | None:
        """Return the registration of `client_id` at `provider`, None when unknown."""
        found = (c for c in self.clients if c.provider == provider and c.client_id == client_id)
        return next(found, None)


@dataclass
class RuntimeSettings:
    """The values that a page or the control interface may change while the sandbox runs."""

    access_token_lifetime_s: int | None
    refresh_rotation: dict[str, Rotation]
    rotation_grace_s: int
    google_refresh_life_s: int | None
    sync_token_life_s: int | None
    google_page_size: int
    graph_page_size: int
    graph_concurrency: int
    google_quota_per_min: int | None
    graph_quota_per_10_min: int | None
    push_enabled: bool

    @classmethod
    def from_settings(cls, settings: SandboxSettings) -> "RuntimeSettings":
        """Return the starting values."""
        return cls(
            access_token_lifetime_s=settings.access_token_lifetime_s,
            refresh_rotation={**DEFAULT_ROTATION, **settings.refresh_rotation},
            rotation_grace_s=settings.rotation_grace_s,
            google_refresh_life_s=settings.google_refresh_life_s,
            sync_token_life_s=settings.sync_token_life_s,
            google_page_size=settings.google_page_size,
            graph_page_size=settings.graph_page_size,
            graph_concurrency=settings.graph_concurrency,
            google_quota_per_min=settings.google_quota_per_min,
            graph_quota_per_10_min=settings.graph_quota_per_10_min,
            push_enabled=settings.push_enabled,
        )

    def update(self, changes: Mapping[str, Any]) -> None:
        """Apply `changes` by field name, all or none.

        Raises ValueError naming the first unknown field or bad value.
        """
        checked = {name: self._checked(name, value) for name, value in changes.items()}
        for name, value in checked.items():
            setattr(self, name, value)

    def as_json(self) -> dict[str, Any]:
        """Return the values as a JSON object."""
        return asdict(self)

    def _checked(self, name: str, value: object) -> object:
        if name == "push_enabled" and isinstance(value, bool):
            return value
        if name in NULLABLE and value is None:
            return None
        if name == "refresh_rotation" and isinstance(value, dict):
            return self.refresh_rotation | _checked_rotation(value)
        is_number = name.endswith(("_s", "_size", "_concurrency", "_min")) and hasattr(self, name)
        if is_number and isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        raise ValueError(f"bad setting: {name}")


def _checked_rotation(value: Mapping[str, Any]) -> dict[str, Rotation]:
    for provider, rotation in value.items():
        if provider not in PROVIDERS or rotation not in ROTATIONS:
            raise ValueError("bad setting: refresh_rotation")
    return dict(value)
