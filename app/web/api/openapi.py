"""What an API view tells its callers, declared beside the view; ``openapi_document`` is made from it.

```
@blueprint.post("/v1/things")
@caller("service", accepts=JSON)
@Operation(
    id="make_thing",
    group=Group.TOKENS,
    summary="Make a thing",
    body=ThingRequest,
    answers=(Answer(201, "Made.", ThingAnswer),),
    errors={400: (ErrorCode.INVALID_TARGET,), 429: (ErrorCode.RATE_LIMITED,)},
)
def make_thing() -> Response:
    wanted = read_body(ThingRequest)
```

The declaration costs nothing per request: it is an attribute of the view, read when the document is built. What
every operation of a kind can answer is added there and need not be repeated here: 400, 401, 403, 429 and 503 for
services, 413 and 415 for bodies, 404 for addresses with a part that varies, 500 for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType, UnionType
from typing import Annotated, TypeVar, cast

from pydantic import WithJsonSchema

from app.web.errors import ErrorCode

_ATTRIBUTE = "latchkey_operation"

Identifier = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
"""An id in an answer."""
Timestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""A point in time in an answer: RFC 3339, UTC, whole seconds."""

View = TypeVar("View", bound=Callable[..., object])


class Group(StrEnum):
    """The sections of the document, in their order."""

    TOKENS = "Tokens"
    CONNECTIONS = "Connections"
    CALENDARS = "Calendars"
    CONNECT_LINKS = "Connect links"
    DISCOVERY = "Discovery"
    HOOKS = "Provider hooks"
    HEALTH = "Health"


class Security(StrEnum):
    """How the caller may prove who it is; one of those an operation names is enough."""

    BASIC = "basic"
    """Name and secret (RFC 6749 section 2.3.1)."""
    BEARER = "latchkey_token"
    """A Latchkey token from ``client_credentials`` (RFC 6750)."""
    ASSERTION = "client_assertion"
    """A signed statement in the form (RFC 7523 section 2.2)."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter outside the body. Parts of the path are known from the route."""

    name: str
    description: str
    schema: Mapping[str, object] = field(default_factory=lambda: {"type": "string"})
    """JSON Schema of one value."""
    place: str = "query"
    """``query`` or ``header``."""
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that is not an error of the registry."""

    status: int
    description: str
    body: type[object] | UnionType | None = None
    """A ``typing_extensions.TypedDict`` (the library that makes schemas reads no other kind before Python 3.12),
    several joined with ``|``, or ``str`` for text; null when the body is empty."""
    example: Mapping[str, object] | None = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Name to description. ``Cache-Control`` needs a word only where it is not ``no-store``."""


@dataclass(frozen=True, slots=True)
class Operation:
    """The contract of one view; used as its decorator, below ``caller``."""

    id: str
    """Name that generated clients give it: stable, even when the view moves."""
    group: Group
    summary: str
    """A few words, no full stop."""
    answers: tuple[Answer, ...]
    description: str = ""
    """Paragraphs divided by empty lines; ``code`` between single backticks, no other markup."""
    errors: Mapping[int, tuple[ErrorCode, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Status to the codes of the registry it can come with, beyond what every operation of the kind can answer."""
    body: type[object] | None = None
    """The JSON body: a ``RequestBody``, which the view reads with ``read_body``; a ``TypedDict`` where it reads what
    others decided on by itself."""
    form: type[object] | None = None
    """A ``typing_extensions.TypedDict`` that describes the form; the view reads it by itself."""
    example: Mapping[str, object] | None = None
    """A body or form that works as it stands, but for ids and secrets."""
    parameters: tuple[Parameter, ...] = ()
    security: tuple[Security, ...] = (Security.BEARER, Security.BASIC)
    """Looked at for views declared for services alone; all others need no proof or prove it inside."""

    def __call__(self, view: View) -> View:
        """Declare this contract for ``view``."""
        vars(view)[_ATTRIBUTE] = self
        return view


def operation_of(view: Callable[..., object]) -> Operation | None:
    """Return what ``view`` declared; null when it is no API view."""
    return cast("Operation | None", vars(view).get(_ATTRIBUTE))
