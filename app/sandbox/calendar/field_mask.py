"""Cut an answer down to what Google's `fields` parameter selects (partial responses)."""

from typing import Any

from app.sandbox.calendar.google_errors import GoogleError

Mask = dict[str, "Mask | None"]
"""Selected member names; None selects all below, `*` is every name."""
_MOST_CHARACTERS = 4096


def select(answer: Any, fields: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the part of a JSON value that `fields` selects, such as `nextPageToken,items(id,start/date)`.

    Raises GoogleError for a selection that cannot be read.
    """
    mask, rest = _parse(fields[:_MOST_CHARACTERS], fields)
    if rest:
        raise _invalid(fields)
    return _cut(answer, mask)


def _parse(text: str, whole: str) -> tuple[Mask, str]:
    mask: Mask = {}
    while text and not text.startswith(")"):
        name, text = _name(text, whole)
        below: Mask | None = None
        if text.startswith("/"):
            below, text = _path(text[1:], whole)
        elif text.startswith("("):
            below, text = _parse(text[1:], whole)
            if not text.startswith(")") or not below:
                raise _invalid(whole)
            text = text[1:]
        mask[name] = _joined(mask[name], below) if name in mask else below
        if text.startswith(","):
            text = text[1:]
        elif text and not text.startswith(")"):
            raise _invalid(whole)
    return mask, text


def _path(text: str, whole: str) -> tuple[Mask, str]:
    name, text = _name(text, whole)
    if text.startswith("/"):
        below, text = _path(text[1:], whole)
        return {name: below}, text
    if text.startswith("("):
        inner, text = _parse(text[1:], whole)
        if not text.startswith(")"):
            raise _invalid(whole)
        return {name: inner}, text[1:]
    return {name: None}, text


def _name(text: str, whole: str) -> tuple[str, str]:
    length = next((i for i, letter in enumerate(text) if letter in "/(),"), len(text))
    if not length:
        raise _invalid(whole)
    return text[:length].strip(), text[length:]


def _joined(first: Mask | None, second: Mask | None) -> Mask | None:
    return None if first is None or second is None else first | second


def _cut(value: Any, mask: Mask | None) -> Any:  # noqa: ANN401 - any JSON value
    if mask is None:
        return value
    if isinstance(value, list):
        return [_cut(member, mask) for member in value]
    if not isinstance(value, dict):
        return value
    if "*" in mask:
        return {name: _cut(member, mask["*"]) for name, member in value.items()}
    return {name: _cut(value[name], below) for name, below in mask.items() if name in value}


def _invalid(fields: str) -> GoogleError:
    message = f"Invalid field selection {fields}"
    return GoogleError(400, "invalidParameter", message, location="fields")
