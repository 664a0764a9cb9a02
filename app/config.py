"""The configuration: environment variables and one providers file, checked whole before anything starts.

Every fault is found in one go and reported in one message. Secrets are never printed.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.domain.errors import ConfigurationError
from app.domain.grant_care import IdlePolicy
from app.domain.tokens import RotationClass

_LOOPBACK = {"localhost", "127.0.0.1", "[::1]", "::1"}
_PREFIX = "LATCHKEY_"
_PROVIDER_KEY = re.compile(r"[a-z0-9-]{1,63}")
"""What requests and our own addresses take for one."""
_FORBIDDEN = ("OAUTHLIB_INSECURE_TRANSPORT",)
"""A switch that would let tokens travel in clear text."""

NOT_OURS = frozenset({"LATCHKEY_CORPUS", "LATCHKEY_CHROMIUM", "LATCHKEY_REQUIRE_CHROMIUM", "LATCHKEY_FAILED_CHECKS"})
"""Variables with our prefix that the test run reads, not the product."""


class ProviderConfig(BaseModel):
    """One ``[providers.<key>]`` table of the providers file."""

    model_config = ConfigDict(strict=False, extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: Literal["google", "microsoft", "oidc"]
    display_name: str = Field(min_length=1, max_length=60)
    client_id: str = Field(min_length=1)
    client_secret: SecretStr | None = None
    client_secrets: tuple[SecretStr, ...] = ()
    client_secret_file: Path | None = None
    client_secret_files: tuple[Path, ...] = ()
    """Files hold a secret a line. Everywhere the newest comes first; the older ones serve while it is not accepted."""
    certificate_file: Path | None = None
    private_key_file: Path | None = None
    certificate_files: tuple[Path, ...] = ()
    private_key_files: tuple[Path, ...] = ()
    """Further pairs, in the same order."""
    tenant: str = "common"
    issuer: str | None = None
    authorization_endpoint: str | None = None
    rotation: RotationClass | None = None
    allowed_tenants: tuple[str, ...] = ()
    allow_personal_accounts: bool = True
    allowed_endpoint_hosts: tuple[str, ...] = ()
    """OIDC: hosts besides the issuer's that its discovery document may name."""
    token_auth_method: Literal["client_secret_basic", "client_secret_post", "private_key_jwt"] = "client_secret_basic"

    calls_per_s: float | None = Field(default=None, gt=0)
    calls_burst: float | None = Field(default=None, ge=1)
    """Token calls of the whole installation to this application; null takes what suits the kind."""
    connection_calls_per_s: float | None = Field(default=None, gt=0)
    connection_calls_burst: float | None = Field(default=None, ge=1)
    """Token calls for one connection."""

    def secret_files(self) -> tuple[Path, ...]:
        """Return the files with client secrets; a new secret is written into the first."""
        return (*((self.client_secret_file,) if self.client_secret_file else ()), *self.client_secret_files)

    def faults(self, key: str) -> list[str]:
        """Return what is wrong with this table."""
        found = []
        if self.kind == "oidc" and not self.issuer:
            found.append(f"providers.{key}: issuer is missing")
        secrets = (self.client_secret, *self.client_secrets, *self.secret_files())
        if not any((*secrets, self.private_key_file, *self.private_key_files)):
            found.append(f"providers.{key}: client_secret, client_secret_file or private_key_file is missing")
        certificates = (self.certificate_file, self.private_key_file, *self.certificate_files, *self.private_key_files)
        paths = (*self.secret_files(), *certificates)
        found += [f"providers.{key}: {path} cannot be read" for path in paths if path and not _is_readable(path)]
        if (self.certificate_file is None) != (self.private_key_file is None) and self.kind == "microsoft":
            found.append(f"providers.{key}: certificate_file and private_key_file belong together")
        return found


def _is_readable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK)


class IssuerConfig(BaseModel):
    """One ``[workload_issuers.<key>]`` or ``[user_issuers.<key>]`` table of the providers file."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    issuer: str = Field(min_length=1, max_length=255)
    """The ``iss`` of its tokens, byte for byte."""
    audience: str = Field(min_length=1, max_length=255)
    """The ``aud`` its tokens must have to be meant for this installation."""
    jwks_uri: str | None = None
    """Where its keys are; discovered when left out."""
    ca: Path | None = None
    """CA certificates for this issuer alone, such as a cluster's own."""
    subject_claim: Literal["sub", "oid"] = "sub"
    """Entra names people by ``oid``: its ``sub`` differs from application to application."""
    clients: Mapping[str, str] = Field(default_factory=dict)
    """People only: client id in the token to the one service that may show such tokens; empty: any service."""

    def faults(self, table: str) -> list[str]:
        """Return what is wrong with this table."""
        addresses = {"issuer": self.issuer, "jwks_uri": self.jwks_uri}
        found = [
            f"{table}: {name} must be an https address"
            for name, value in addresses.items()
            if value is not None and urlsplit(value).scheme != "https"
        ]
        if self.ca and not _is_readable(self.ca):
            found.append(f"{table}: {self.ca} cannot be read")
        return found


class ProvidersFile(BaseModel):
    """The providers file (TOML)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    providers: Mapping[str, ProviderConfig] = Field(default_factory=dict)
    routes: Mapping[str, str] = Field(default_factory=dict)
    """Origin to the address that serves it instead; only on a loopback installation."""
    trusted_origins: tuple[str, ...] = ()
    """Origins of company providers on private addresses: nothing else inside the network can be called."""
    workload_issuers: Mapping[str, IssuerConfig] = Field(default_factory=dict)
    """Whose tokens stand for services: Kubernetes clusters, build services."""
    user_issuers: Mapping[str, IssuerConfig] = Field(default_factory=dict)
    """Whose tokens name a person who is present: the product's own sign-in."""

    def faults(self) -> list[str]:
        """Return what is wrong with the file."""
        found = [fault for key, provider in self.providers.items() for fault in provider.faults(key)]
        for kind, issuers in (("workload_issuers", self.workload_issuers), ("user_issuers", self.user_issuers)):
            found += [fault for key, issuer in issuers.items() for fault in issuer.faults(f"{kind}.{key}")]
            if len({issuer.issuer for issuer in issuers.values()}) != len(issuers):
                found.append(f"{kind}: two tables have the same issuer")
        found += [
            f"providers.{key}: a key has 1 to 63 characters of a-z, 0-9 and '-'"
            for key in self.providers
            if not _PROVIDER_KEY.fullmatch(key)
        ]
        if not self.providers:
            found.append("the providers file declares no provider")
        return found


class Config(BaseSettings):
    """Environment variables. Those with a default need not be set."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, hide_input_in_errors=True, extra="ignore")

    public_url: str
    """Address people and providers reach Latchkey at, without a trailing slash."""
    database_url: str = Field(validation_alias="DATABASE_URL")
    redis_url: str = Field(validation_alias="REDIS_URL")
    keyring_file: Path
    providers_file: Path
    state_dir: Path
    """On a disk that outlives the process: hand-outs on their way to the database, and answers it could not take."""
    sync_past_days: int = Field(default=31, ge=0, le=36_500)
    sync_future_days: int = Field(default=396, ge=1, le=36_500)
    poll_interval_s: int = Field(default=300, ge=1)
    push_enabled: bool = True
    confirm_refusal_after_s: float = Field(default=60, ge=0)
    """How long after a first ``invalid_grant`` a second one ends the connection."""
    hand_outs_per_s: float = Field(default=200, gt=0)
    """How often one service may ask for one person or connection, per web process and second: it stops loops."""
    idle_policy: IdlePolicy = IdlePolicy.KEEP_ALIVE
    """What becomes of grants nobody uses: ``keep_alive`` refreshes them seldom, ``let_go`` disconnects them."""
    idle_after_days: int = Field(default=90, ge=1, le=36_500)
    """How long nobody has used a grant that counts as idle."""
    reap_after_days: int = Field(default=90, ge=1, le=36_500)
    """How long a connection has needed its person before its dead tokens are deleted."""
    ca_bundle: Path | None = None
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("public_url")
    @classmethod
    def _bare_origin(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError("must be an address such as https://latchkey.example.com")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise ValueError("must use https, except on localhost")
        return value.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _postgresql(cls, value: str) -> str:
        if not value.startswith(("postgresql://", "postgresql+psycopg://", "postgres://")):
            raise ValueError("must be a postgresql:// address")
        return "postgresql+psycopg://" + value.split("://", 1)[1]

    @property
    def is_loopback(self) -> bool:
        """Return whether this installation can only be reached from this machine."""
        return urlsplit(self.public_url).hostname in _LOOPBACK

    @property
    def poll_interval(self) -> timedelta:
        """Return the poll interval."""
        return timedelta(seconds=self.poll_interval_s)


class LoadedConfig(BaseModel):
    """Everything an installation is told."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    environment: Config
    file: ProvidersFile


def load_config() -> LoadedConfig:
    """Read and check the whole configuration; raises ``ConfigurationError`` with every fault."""
    faults = [f"{name} is set: tokens could travel in clear text" for name in _FORBIDDEN if os.environ.get(name)]
    faults += _unknown_variables(os.environ)
    config: Config | None = None
    try:
        config = Config()
    except ValidationError as error:
        faults += _readable(error, environment=True)
    # Read whatever else is wrong: one start shows everything there is to mend.
    path = os.environ.get(f"{_PREFIX}PROVIDERS_FILE")
    file = _providers_file(Path(path), faults) if path else None
    if file is not None:
        faults += file.faults()
    if file is not None and config is not None and file.routes and not config.is_loopback:
        faults.append("routes are for a loopback installation only; LATCHKEY_PUBLIC_URL is not")
    if faults or config is None or file is None:
        raise ConfigurationError(faults)
    return LoadedConfig(environment=config, file=file)


def _providers_file(path: Path, faults: list[str]) -> ProvidersFile | None:
    try:
        return ProvidersFile.model_validate(tomllib.loads(path.read_text()))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        faults.append(f"LATCHKEY_PROVIDERS_FILE {path}: {reason}")
    except tomllib.TOMLDecodeError as error:
        faults.append(f"LATCHKEY_PROVIDERS_FILE {path}: {error}")
    except ValidationError as error:
        faults += _readable(error, environment=False)
    return None


def _readable(error: ValidationError, *, environment: bool) -> list[str]:
    """Return one line per fault, without the input that was refused."""
    lines = []
    for fault in error.errors(include_input=False, include_url=False):
        where = ".".join(str(part) for part in fault["loc"])
        if environment:
            where = where if where.isupper() else f"{_PREFIX}{where.upper()}"
        lines.append(f"{where}: {fault['msg'].removeprefix('Value error, ')}")
    return lines


def _unknown_variables(environ: Mapping[str, str]) -> Sequence[str]:
    """Return a fault for every variable with our prefix that we do not know: a typing error must not pass."""
    known = {f"{_PREFIX}{name.upper()}" for name in Config.model_fields} | NOT_OURS
    return [f"{name} is not a setting" for name in sorted(environ) if name.startswith(_PREFIX) and name not in known]


def describe(config: LoadedConfig) -> list[str]:
    """Return the configuration as lines for ``latchkey check``: what is set, and no secret."""
    shown = config.environment.model_dump()
    for name in ("database_url", "redis_url"):
        shown[name] = _without_password(shown[name])
    lines = [f"{name} = {value}" for name, value in shown.items()]
    for key, provider in config.file.providers.items():
        credential = "certificate" if provider.private_key_file or provider.private_key_files else "secret"
        lines.append(f"provider {key}: {provider.kind}, client {provider.client_id}, by {credential}")
    lines += [f"workload issuer {key}: {one.issuer}" for key, one in config.file.workload_issuers.items()]
    lines += [f"user issuer {key}: {one.issuer}" for key, one in config.file.user_issuers.items()]
    return lines + [f"route {origin} -> {target}" for origin, target in config.file.routes.items()]


def _without_password(url: str) -> str:
    url = re.sub(r"(?i)(password=)[^&]*", r"\1***", url)
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rsplit("@", 1)[1]
    return parts._replace(netloc=f"{parts.username}:***@{host}").geturl()
