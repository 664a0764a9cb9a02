"""JSON bodies: read strictly from the raw bytes. What came in is never repeated, neither in answers nor in logs."""

from __future__ import annotations

from typing import Annotated, TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from app.web.errors import ErrorCode, RequestRefused

ShortText = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""Text without control characters; PostgreSQL cannot store U+0000."""


class RequestBody(BaseModel):
    """Base of all request bodies: no conversions, no unknown members; docstrings of attributes reach the document."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True)


Body = TypeVar("Body", bound=RequestBody)


def read_body(model: type[Body]) -> Body:
    """Return the request's body as ``model``; raises ``RequestRefused`` naming the first member at fault.

    The media type is checked before the view runs, by ``caller(..., accepts=JSON)``.
    """
    try:
        return model.model_validate_json(request.get_data())
    except ValidationError as refused:
        # Without the cause: it holds what was sent, and logs print causes.
        raise RequestRefused(ErrorCode.INVALID_REQUEST, _fault(refused, model)) from None


def _fault(refused: ValidationError, model: type[RequestBody]) -> str:
    """Say what is wrong in words of the model alone: the library's own messages quote what was sent."""
    first = refused.errors(include_url=False, include_context=False, include_input=False)[0]
    # Unknown members are named by the caller, and so may be keys further down.
    known = {info.alias or name for name, info in model.model_fields.items()}
    member = first["loc"][0] if first["loc"] and first["loc"][0] in known else None
    if first["type"] == "json_invalid":
        return "the body is not valid JSON"
    if first["type"] == "missing" and member is not None and len(first["loc"]) == 1:
        return f"{member} is missing"
    if member is None:
        return "the body has an unknown member" if first["type"] == "extra_forbidden" else "the body is malformed"
    return f"{member} is malformed"
