"""``POST /v1/tokens`` and ``POST /v1/tokens/explain``: the resolver of the token endpoint, in JSON."""

from __future__ import annotations

from typing import Annotated, NotRequired
from uuid import UUID

from flask import Blueprint
from pydantic import Field, StringConstraints
from typing_extensions import TypedDict
from werkzeug.wrappers import Response

from app.domain.features import Feature
from app.domain.policies import PURPOSE
from app.domain.subjects import Subject, SubjectMode
from app.services.explanation import Check, Explanation
from app.services.resolution import Ask
from app.services.token_exchange import ExchangeRefused, ExchangeRequest
from app.web import current
from app.web.access import JSON, caller
from app.web.api.error_registry import CODES, REASONS
from app.web.api.json_body import RequestBody, ShortText, read_body
from app.web.api.openapi import Answer, Group, Identifier, Operation, Timestamp
from app.web.api.token_answers import ExchangeAnswer, exchanged_answer, helpful_members, refusal_answer
from app.web.api.token_request import (
    JWT_TYPE,
    LONGEST_MIN_VALIDITY_S,
    LONGEST_SUBJECT_TOKEN,
    MOST_SCOPES,
    invalid,
    provider_key,
    short_text,
    subject_of,
    targeted,
)
from app.web.errors import ErrorCode, outcome_of
from app.web.rendering import json_answer

blueprint = Blueprint("v1_tokens", __name__, url_prefix="/v1/tokens")

ScopeName = Annotated[str, StringConstraints(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,512}$")]
"""One scope (RFC 6749 appendix A.4)."""


class TokenRequest(RequestBody):
    """Whose token is wanted, and what for. Exactly one of `connection_id`, `person_id` and `subject_token`."""

    connection_id: UUID | None = None
    """One connection."""
    person_id: UUID | None = None
    """A person, whose connection `provider` chooses."""
    subject_token: Annotated[str, Field(min_length=1, max_length=LONGEST_SUBJECT_TOKEN)] | None = None
    """The person's own token of the product, or a statement that names a person, signed with the service's own key."""
    provider: ShortText | None = None
    """Key of the provider. Needed unless a connection or `resource` says it."""
    resource: ShortText | None = None
    """In place of `provider`: an address of the provider's API, one of its scopes, or the issuer."""
    features: Annotated[tuple[Feature, ...], Field(max_length=len(Feature))] = ()
    """What the token must be good for, in words of this product."""
    scopes: Annotated[tuple[ScopeName, ...], Field(max_length=MOST_SCOPES)] = ()
    """What the token must be good for, in the provider's words."""
    purpose: Annotated[str, StringConstraints(pattern=rf"^{PURPOSE.pattern}$")] | None = None
    """What the service wants the token for; policy may ask for it, and it is written down."""
    account: ShortText | None = None
    """Which of the person's accounts there: the provider's id of it, or its e-mail address."""
    min_validity: Annotated[int, Field(ge=0, le=LONGEST_MIN_VALIDITY_S)] | None = None
    """Seconds the token must still live. When left out: 60 if that can be had."""
    rejected_token_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    """SHA-256 of a token the provider has just refused, in hexadecimal: the answer will be another one."""


class CheckAnswer(TypedDict):
    """One thing that was looked at."""

    check: Annotated[
        str,
        Field(
            json_schema_extra={
                "enum": ["authentication", "target", "policy", "person", "consent", "scopes", "health", "rate"]
            }
        ),
    ]
    """`target`: is there such a connection; `person`: what its owner decided; `health`: of token and provider."""
    passed: bool | None
    """Null: not looked at, because an earlier check found nothing to look at."""
    error: NotRequired[str]
    """What a request would be refused with; a code of the registry."""
    reason: NotRequired[str]
    action: NotRequired[str]
    """What to do about it."""
    connect_uri: NotRequired[str]
    """Page on which the person can put it right."""
    missing_scopes: NotRequired[list[str]]
    since: NotRequired[Timestamp]
    last_ok: NotRequired[Timestamp]
    until: NotRequired[Timestamp]
    policy_id: NotRequired[Identifier]


class ExplainAnswer(TypedDict):
    """Whether a request would get a token now, as far as that can be known without asking the provider."""

    would_work: bool
    checks: list[CheckAnswer]
    connection_id: Identifier | None
    provider: str | None


_BODY = {
    "person_id": "5f0c6a1e-9f0e-4a55-8f0e-2d1c7b8a9e10",
    "provider": "google",
    "features": ["calendar.read"],
    "purpose": "availability.compute",
    "min_validity": 120,
}


@blueprint.post("")
@caller("service", accepts=JSON)
@Operation(
    id="exchange_token",
    group=Group.TOKENS,
    summary="Get a provider token, in JSON",
    description=(
        "The same as token exchange at `/oauth2/token`, for callers who would rather send JSON. Errors are the same, "
        "but a refusal by policy has status 403."
    ),
    body=TokenRequest,
    example=_BODY,
    answers=(Answer(200, "The token.", ExchangeAnswer),),
    errors={
        400: (ErrorCode.INVALID_SCOPE, ErrorCode.INVALID_TARGET, ErrorCode.INTERACTION_REQUIRED),
        403: (ErrorCode.UNAUTHORIZED_CLIENT,),
        429: (ErrorCode.RATE_LIMITED,),
        502: (ErrorCode.SERVER_ERROR,),
    },
)
def exchange() -> Response:
    """Hand out a token."""
    wanted = _request(read_body(TokenRequest))
    try:
        exchanged = current.services().token_exchange.exchange(current.service(), wanted)
    except ExchangeRefused as refused:
        return refusal_answer(refused)
    return exchanged_answer(exchanged)


@blueprint.post("/explain")
@caller("service", accepts=JSON)
@Operation(
    id="explain_token",
    group=Group.TOKENS,
    summary="Ask whether a token could be had",
    description=(
        "Looks at everything a request for a token would meet and lists it, with what to do. Nothing is handed out, "
        "counted or renewed, and the provider is not asked. A signed statement as `subject_token` is used up by it."
    ),
    body=TokenRequest,
    example=_BODY,
    answers=(Answer(200, "What would happen.", ExplainAnswer),),
    errors={
        400: (ErrorCode.INVALID_TARGET,),
        403: (ErrorCode.UNAUTHORIZED_CLIENT,),
        429: (ErrorCode.RATE_LIMITED,),
    },
)
def explain() -> Response:
    """Say what a request for a token would meet."""
    wanted = _request(read_body(TokenRequest))
    return json_answer({**_explained(current.services().explain.explain(current.service(), wanted))})


def _request(body: TokenRequest) -> ExchangeRequest:
    ask = Ask(
        audience=provider_key(body.provider),
        resource=short_text("resource", body.resource),
        features=tuple(dict.fromkeys(body.features)),
        scopes=tuple(dict.fromkeys(body.scopes)),
        purpose=body.purpose,
        account=short_text("account", body.account),
        # Last: a signed statement is used up by looking at it.
        subject=_subject(body),
    )
    rejected = body.rejected_token_sha256
    return ExchangeRequest(targeted(ask), body.min_validity, None if rejected is None else rejected.lower())


def _subject(body: TokenRequest) -> Subject:
    given = [value for value in (body.connection_id, body.person_id, body.subject_token) if value is not None]
    if len(given) != 1:
        raise invalid("exactly one of connection_id, person_id and subject_token is needed")
    if body.subject_token is not None:
        return subject_of(JWT_TYPE, body.subject_token)
    return Subject(SubjectMode.ABSENT, body.person_id, body.connection_id)


def _explained(found: Explanation) -> ExplainAnswer:
    connection = found.connection
    return {
        "would_work": found.would_work,
        "checks": [_checked(check, found) for check in found.checks],
        "connection_id": None if connection is None else str(connection.id),
        "provider": None if connection is None else connection.provider,
    }


def _checked(check: Check, found: Explanation) -> CheckAnswer:
    answer: CheckAnswer = {"check": check.name, "passed": check.is_passed}
    if check.error is None:
        return answer
    outcome = outcome_of(check.error)
    answer["error"] = outcome.error.value
    if outcome.reason is not None:
        answer["reason"] = outcome.reason
    answer |= helpful_members(check.error, found.connection)  # type: ignore[typeddict-item]  # its names are ours
    reason = REASONS.get(answer.get("reason", ""))
    answer["action"] = (reason or CODES[answer["error"]]).action
    return answer
