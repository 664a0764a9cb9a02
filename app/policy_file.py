"""Policies as a file (TOML), in both directions.

```
[[services.scheduler]]
provider = "google"                      # any when left out
features = ["calendar.read"]
purposes = ["availability.compute"]      # any when left out
people = ["tenant:example.com"]          # everyone when left out; or "person:<id>"
until = 2027-01-01T00:00:00Z             # without end when left out
max_per_hour = 1000                      # no limit when left out
act_as = true                            # false when left out
```

The tables of a service are its whole policy; ``services.scheduler = []`` takes everything away from it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from app.domain.features import Feature
from app.domain.policies import Terms

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class _Table(BaseModel):
    """One policy."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    provider: str | None = None
    features: list[str]
    purposes: list[str] | None = None
    people: list[str] | None = None
    until: datetime | None = None
    max_per_hour: int | None = None
    act_as: bool = False


class _File(BaseModel):
    """The whole file."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    services: dict[str, list[_Table]]


def read_policies(text: str) -> Mapping[str, tuple[Terms, ...]]:
    """Return service name to terms; raises ``ValueError`` with one line per fault."""
    try:
        file = _File.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"not TOML: {error}") from error
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)
        raise ValueError("\n".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in faults)) from None
    return {name: tuple(_terms(name, table) for table in tables) for name, tables in file.services.items()}


def write_policies(policies: Mapping[str, Sequence[Terms]]) -> str:
    """Return the file that says ``policies``; reading it gives them again."""
    empty = [name for name, held in sorted(policies.items()) if not held]
    # Even a file that names nobody says that it is about services.
    lines = [f"services.{_key(name)} = []" for name in empty] or ([] if policies else ["[services]"])
    for name, held in sorted(policies.items()):
        for terms in held:
            lines += ["", f"[[services.{_key(name)}]]", *terms_lines(terms)]
    return "\n".join(lines).strip() + "\n"


def terms_lines(terms: Terms) -> list[str]:
    """Return one policy as lines of the file; what is not limited is left out."""
    until = terms.valid_until
    said = {
        "provider": _text(terms.provider),
        "features": _list(terms.features),
        "purposes": _list(terms.purposes),
        "people": _list(terms.people),
        "until": None if until is None else until.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "max_per_hour": None if terms.max_per_hour is None else str(terms.max_per_hour),
        "act_as": "true" if terms.act_as else None,
    }
    return [f"{name} = {value}" for name, value in said.items() if value is not None]


def _terms(service: str, table: _Table) -> Terms:
    try:
        features = frozenset(Feature(word) for word in table.features)
    except ValueError as error:
        raise ValueError(f"services.{service}: {error}") from error
    return Terms(
        provider=table.provider,
        features=features,
        purposes=None if table.purposes is None else frozenset(table.purposes),
        people=None if table.people is None else frozenset(table.people),
        valid_until=table.until,
        max_per_hour=table.max_per_hour,
        act_as=table.act_as,
    )


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _text(name) or ""


def _text(value: str | None) -> str | None:
    # JSON's escapes of a string are a part of TOML's, as long as what is not ASCII stays as it is.
    return None if value is None else json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def _list(words: frozenset[str] | frozenset[Feature] | None) -> str | None:
    return None if words is None else f"[{', '.join(_text(str(word)) or '' for word in sorted(words))}]"
