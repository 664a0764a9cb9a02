"""Commands about internal services, what they prove themselves with, and the keys that sign our own tokens."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from app.bootstrap import build_services, read_configuration
from app.domain.features import Feature
from app.ports import ServiceOverview
from app.services.callers import Callers

Group: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  # it has no other name


def add(options: argparse.Namespace) -> None:
    """Register an internal service and print its secret, this once."""
    services = build_services(read_configuration())
    if options.provider is not None:
        services.providers.get(options.provider)
    features = tuple(Feature) if options.all_features else tuple(Feature(name) for name in options.feature)
    if not features:
        raise ValueError("say what the service may use: --feature NAME, or --all-features")
    secret = services.callers.registry.add(options.name, features, options.provider, act_as=options.act_as)
    sys.stdout.write(f"{secret.reveal()}\n")


def rotate_secret(options: argparse.Namespace) -> None:
    """Print a new secret of a service; the one before stays valid until the next rotation."""
    secret = _callers().registry.rotate_secret(options.name, is_stolen=options.stolen)
    sys.stdout.write(f"{secret.reveal()}\n")


def add_key(options: argparse.Namespace) -> None:
    """Register a public key a service signs its assertions with."""
    kid = _callers().registry.add_key(options.name, _text_of(options.jwk or options.pem), options.expires)
    sys.stdout.write(f"{options.name} signs with the key {kid}.\n")


def remove_key(options: argparse.Namespace) -> None:
    """Believe nothing any more that was signed with a key of a service."""
    _callers().registry.remove_key(options.name, options.kid)
    sys.stdout.write(f"{options.name} does not sign with the key {options.kid} any more.\n")


def set_jwks_url(options: argparse.Namespace) -> None:
    """Say where a service publishes its public keys; without an address, nowhere."""
    _callers().registry.set_jwks_url(options.name, options.url)
    sys.stdout.write(f"{options.name} publishes its keys at {options.url or 'no address'}.\n")


def add_workload(options: argparse.Namespace) -> None:
    """Let tokens of a trusted issuer stand for a service."""
    _callers().registry.add_workload(options.name, options.issuer_key, options.pattern)
    sys.stdout.write(f"Tokens of {options.issuer_key} for {options.pattern} stand for {options.name}.\n")


def remove_workload(options: argparse.Namespace) -> None:
    """Let tokens of a trusted issuer stand for a service no more."""
    _callers().registry.remove_workload(options.name, options.issuer_key, options.pattern)
    sys.stdout.write(f"Tokens of {options.issuer_key} for {options.pattern} do not stand for {options.name}.\n")


def show(_options: argparse.Namespace) -> None:
    """List the services and what they prove themselves with; no secret is shown."""
    for one in _callers().registry.all():
        sys.stdout.write("\n".join(_lines(one)) + "\n")


def freeze(options: argparse.Namespace) -> None:
    """Give a service nothing any more, on every process within a second."""
    _callers().registry.freeze(options.name)
    sys.stdout.write(f"{options.name} is frozen.\n")


def unfreeze(options: argparse.Namespace) -> None:
    """Let a frozen service work again."""
    _callers().registry.unfreeze(options.name)
    sys.stdout.write(f"{options.name} works again.\n")


def rotate_signing_key(_options: argparse.Namespace) -> None:
    """Sign Latchkey tokens with the next key from now on; tokens already given out stay good until they end."""
    kid = _callers().signing_keys.rotate()
    sys.stdout.write(f"Latchkey tokens are signed with the key {kid}.\n")


def add_to(commands: Group) -> Group:
    """Add the groups ``services`` and ``signing-keys`` and return the first, for others to add to."""
    group = commands.add_parser("services", help="Internal services.").add_subparsers(required=True, metavar="command")
    _add_policy_options(_named(group, "add", add))
    rotation = _named(group, "rotate-secret", rotate_secret)
    rotation.add_argument("--stolen", action="store_true", help="End the secrets before at once.")
    _add_key_options(_named(group, "add-key", add_key))
    _named(group, "remove-key", remove_key).add_argument("kid", help="As `services list` shows it.")
    where = _named(group, "set-jwks-url", set_jwks_url)
    where.add_argument("url", nargs="?", help="https address of a JWK Set.")
    for name, command in (("add-workload", add_workload), ("remove-workload", remove_workload)):
        workload = _named(group, name, command)
        workload.add_argument("issuer_key", help="Name of a [workload_issuers.<name>] table of the providers file.")
        workload.add_argument(
            "pattern", help="Subject; * stands for characters inside one segment between colons or slashes."
        )
    _named(group, "freeze", freeze)
    _named(group, "unfreeze", unfreeze)
    _command(group, "list", show)
    keys = commands.add_parser("signing-keys", help="The keys that sign Latchkey tokens.")
    _command(keys.add_subparsers(required=True, metavar="command"), "rotate", rotate_signing_key)
    return group


def _add_policy_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--provider", help="Provider key the policy is for; any when left out.")
    parser.add_argument(
        "--feature", action="append", default=[], choices=[str(f) for f in Feature],
        help="What the service may use; repeat for several.",
    )  # fmt: skip
    parser.add_argument("--all-features", action="store_true", help="Let the service use everything.")
    parser.add_argument("--act-as", action="store_true", help="Let the service name people without a token of theirs.")


def _add_key_options(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--jwk", type=Path, metavar="FILE", help="A public key as a JWK (one JSON object).")
    form.add_argument("--pem", type=Path, metavar="FILE", help="A public key in PEM form.")
    parser.add_argument("--expires", type=_moment, metavar="WHEN", help="ISO 8601 date or time; UTC unless it says.")


def _named(group: Group, name: str, command: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
    parser = _command(group, name, command)
    parser.add_argument("name", help="Name of the service.")
    return parser


def _command(group: Group, name: str, command: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
    summary = (command.__doc__ or "").strip().splitlines()[0]
    parser = group.add_parser(name, help=summary, description=summary)
    parser.set_defaults(command=command)
    return parser


def _callers() -> Callers:
    return build_services(read_configuration()).callers


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("write it as 2027-01-31 or 2027-01-31T12:00+01:00") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _until(at: datetime | None) -> str:
    return "" if at is None else f" until {at:%Y-%m-%d %H:%M} UTC"


def _lines(one: ServiceOverview) -> list[str]:
    lines = [one.service.name + ("" if one.service.is_enabled else " (frozen)")]
    lines += [f"  secret until {at:%Y-%m-%d}" for at in one.secrets_end_at]
    lines += [f"  key {key.kid}{_until(key.expires_at)}" for key in one.keys]
    lines += [f"  keys at {one.jwks_url}"] if one.jwks_url else []
    return lines + [f"  workload {issuer_key} {pattern}" for issuer_key, pattern in one.workloads]
