"""``/v1/connect-links``: a service sends a person here to connect an account, and learns how it went."""

from __future__ import annotations

from typing import Literal, NotRequired
from uuid import UUID

from flask import Blueprint
from pydantic import Field, model_validator
from typing_extensions import TypedDict
from werkzeug.wrappers import Response

from app.domain.connect_link_errors import ConnectLinkRefused
from app.domain.connect_links import Completion, ConnectLink, LinkState
from app.domain.errors import NotAllowed
from app.domain.features import Feature, offered_features
from app.services.connect_links import ConnectLinkWish
from app.web import current
from app.web.access import JSON, caller
from app.web.api.json_body import RequestBody, ShortText, read_body
from app.web.api.openapi import Answer, Group, Identifier, Operation, Timestamp
from app.web.api.token_answers import timestamp
from app.web.errors import ErrorCode, RequestRefused
from app.web.paths import opening_path
from app.web.rendering import json_answer

blueprint = Blueprint("connect_links", __name__, url_prefix="/v1/connect-links")


class PersonName(RequestBody):
    """A person, by their id here or by who their sign-in issuer says they are; never by an e-mail address."""

    id: UUID | None = None
    """Id of the person in Latchkey."""
    issuer: ShortText | None = None
    """``iss`` of the sign-in provider, with ``sub``; the person need not have signed in here yet."""
    sub: ShortText | None = None
    """What that provider knows the person by: ``sub``; with Microsoft ``oid``."""

    @model_validator(mode="after")
    def _one_way(self) -> PersonName:
        ways = (self.id is not None, self.issuer is not None and self.sub is not None)
        if sum(ways) != 1 or (self.issuer is None) != (self.sub is None):
            raise ValueError("name a person by id, or by issuer and sub")
        return self


class ConnectLinkRequest(RequestBody):
    """What the service wants a person to connect."""

    person: PersonName | None = None
    """Whom the link is for; nobody else can use it. Left out, ``completion`` must be ``host``."""
    email_hint: ShortText | None = None
    """Which account to choose; shown to that person and to the provider, never a key. Only with ``person``."""
    provider: str = Field(pattern=r"^[a-z0-9-]{1,63}$")
    """Key of the provider."""
    features: list[Feature] = Field(min_length=1, max_length=16)
    """What the person is asked to agree to; ``identity`` always comes with it."""
    return_uri: str = Field(min_length=1, max_length=1000)
    """Where the browser goes afterwards: exactly one of the addresses an operator allowed for this service."""
    completion: Literal["automatic", "host"] = "automatic"
    """``host``: the connection works only after this service has confirmed it, within ten minutes."""

    @model_validator(mode="after")
    def _fits_together(self) -> ConnectLinkRequest:
        if self.person is None and (self.completion != "host" or self.email_hint is not None):
            # Whoever opens such a link connects an account of their own: only the host can tell whether it is its user.
            raise ValueError("a link that names nobody needs completion by the host, and no hint")
        return self


class ConnectLinkMade(TypedDict):
    """A new link."""

    id: Identifier
    connect_uri: str
    """Where to send the person. It holds a secret and is shown this once."""
    expires_at: Timestamp


class ConnectLinkItem(TypedDict):
    """A link as it stands."""

    id: Identifier
    state: LinkState
    provider: str
    features: list[Feature]
    completion: Completion
    expires_at: Timestamp
    connection_id: NotRequired[Identifier]
    """While ``connected`` or ``awaiting_completion``."""
    complete_by: NotRequired[Timestamp]
    """While ``awaiting_completion``."""
    reason: NotRequired[str]
    """Stable code of what went wrong; with ``failed``."""


_ID = "5b0c9a38-3a0b-4f0e-9c5e-8f3b8d0a6e21"
_MADE: ConnectLinkMade = {
    "id": _ID,
    "connect_uri": "https://latchkey.example.com/connect-links/open/…",
    "expires_at": "2026-11-23T10:00:00Z",
}
_ITEM: ConnectLinkItem = {
    "id": _ID,
    "state": LinkState.CONNECTED,
    "provider": "google",
    "features": [Feature.IDENTITY, Feature.CALENDAR_READ],
    "completion": Completion.AUTOMATIC,
    "expires_at": "2026-11-23T10:00:00Z",
    "connection_id": "8f14e45f-ceea-467f-a3c1-3b1d2f0a9c11",
}


@blueprint.post("")
@caller("service", accepts=JSON)
@Operation(
    id="create_connect_link",
    group=Group.CONNECT_LINKS,
    summary="Ask a person to connect an account",
    description=(
        "Send the person to `connect_uri` within 30 minutes. The link works once, for the person it names, in the "
        "browser that confirms it first.\n\nAt the end the browser goes to `return_uri` with `connect_link`, `status` "
        "(`connected`, `declined` or `failed`) and, when connected, `connection_id`. Anybody can write such an "
        "address: ask for the link's state before you believe it.\n\nA link without `person` needs `completion` "
        "`host`: confirm only after you have seen that the browser that came back is your user's."
    ),
    body=ConnectLinkRequest,
    example={
        "person": {"issuer": "https://accounts.google.com", "sub": "117..."},
        "provider": "google",
        "features": ["calendar.read"],
        "return_uri": "https://assistant.example.com/connected",
    },
    answers=(Answer(201, "The link.", ConnectLinkMade, _MADE),),
    errors={
        400: (ErrorCode.INVALID_REQUEST, ErrorCode.INVALID_TARGET),
        403: (ErrorCode.UNAUTHORIZED_CLIENT,),
        429: (ErrorCode.RATE_LIMITED,),
    },
)
def create() -> Response:
    """Make a link."""
    services, wanted = current.services(), read_body(ConnectLinkRequest)
    kind = services.providers.get(wanted.provider).kind
    try:
        made = services.connect_links.create(current.service(), _wish(wanted, kind))
    except NotAllowed:
        raise RequestRefused(
            ErrorCode.UNAUTHORIZED_CLIENT, "policy does not allow this request", status=403, reason="policy"
        ) from None
    except ConnectLinkRefused as error:
        raise RequestRefused(ErrorCode.INVALID_REQUEST, _REFUSALS[error.detail], reason=error.detail) from None
    answer: ConnectLinkMade = {
        "id": str(made.link.id),
        "connect_uri": f"{current.settings().public_url}{opening_path(made.secret.reveal())}",
        "expires_at": timestamp(made.link.expires_at),
    }
    return json_answer(answer, 201)


@blueprint.get("/<uuid:link_id>")
@caller("service")
@Operation(
    id="get_connect_link",
    group=Group.CONNECT_LINKS,
    summary="Ask how a connect link stands",
    description="For the service that made the link, for a month.",
    answers=(Answer(200, "The link.", ConnectLinkItem, _ITEM),),
)
def one(link_id: UUID) -> Response:
    """Tell how a link stands."""
    return json_answer(item_of(current.services().connect_links.get(current.service(), link_id)))


@blueprint.post("/<uuid:link_id>/complete")
@caller("service")
@Operation(
    id="complete_connect_link",
    group=Group.CONNECT_LINKS,
    summary="Confirm the connection of a connect link",
    description=(
        "For links with `completion` `host`, by the service that made them, within ten minutes of the consent. "
        "Otherwise the connection is ended again. Safe to repeat."
    ),
    answers=(Answer(200, "The link, now connected.", ConnectLinkItem, _ITEM),),
    errors={409: (ErrorCode.INVALID_REQUEST,)},
)
def complete(link_id: UUID) -> Response:
    """Confirm a connection."""
    return json_answer(item_of(current.services().connect_links.complete(current.service(), link_id)))


_REFUSALS = {
    "return_uri_not_allowed": "return_uri is not one of the addresses allowed for this client",
    "unknown_person": "there is no such person",
}


def item_of(link: ConnectLink) -> ConnectLinkItem:
    """Return one link as its service sees it."""
    item: ConnectLinkItem = {
        "id": str(link.id),
        "state": link.state,
        "provider": link.provider,
        "features": list(link.features),
        "completion": link.completion,
        "expires_at": timestamp(link.expires_at),
    }
    if link.connection_id is not None and link.state in {LinkState.CONNECTED, LinkState.AWAITING_COMPLETION}:
        item["connection_id"] = str(link.connection_id)
    if link.complete_by is not None and link.state is LinkState.AWAITING_COMPLETION:
        item["complete_by"] = timestamp(link.complete_by)
    if link.reason is not None:
        item["reason"] = link.reason
    return item


def _wish(wanted: ConnectLinkRequest, kind: str) -> ConnectLinkWish:
    """Return what is asked for, in the domain's words; raises ``RequestRefused`` for what the kind cannot serve."""
    offered = offered_features(kind)
    if not set(wanted.features) <= set(offered):
        raise RequestRefused(ErrorCode.INVALID_REQUEST, "this provider has no such feature")
    person = wanted.person or PersonName.model_construct()
    return ConnectLinkWish(
        person_id=person.id,
        identity=None if person.issuer is None or person.sub is None else (person.issuer, person.sub),
        email_hint=wanted.email_hint,
        provider=wanted.provider,
        features=tuple(f for f in offered if f is Feature.IDENTITY or f in wanted.features),
        return_uri=wanted.return_uri,
        completion=Completion(wanted.completion),
    )
