"""The OpenAPI document as a page shows it: sections, tables, and a line to try each operation with.

Everything here is read from the document, so the page cannot say anything else than the document does.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from app.web.access import FORM, JSON
from app.web.api.openapi import Group, Security
from app.web.api.reference_schemas import Shape, rows_of, shapes_of

_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AnswerWords:
    """One status of an operation."""

    status: str
    words: str
    """Empty for errors of the registry, whose ``codes`` say it."""
    codes: tuple[str, ...]
    shapes: tuple[Shape, ...]
    headers: tuple[str, ...]
    example: str | None


@dataclass(frozen=True, slots=True)
class OperationWords:
    """One operation."""

    id: str
    method: str
    path: str
    summary: str
    paragraphs: tuple[str, ...]
    security: tuple[str, ...]
    """Names of schemes of the document; empty when no proof is asked."""
    parameters: Shape | None
    body: tuple[Shape, ...]
    body_type: str | None
    curl: str | None
    """Null for what only providers call."""
    answers: tuple[AnswerWords, ...]
    refusals: tuple[AnswerWords, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One group of operations."""

    name: str
    words: str
    operations: tuple[OperationWords, ...]

    @property
    def anchor(self) -> str:
        """Return the name as part of an address."""
        return self.name.lower().replace(" ", "-")


def sections(document: Document) -> tuple[Section, ...]:
    """Return the groups in the document's order."""
    return tuple(
        Section(tag["name"], tag["description"], tuple(_operations(document, tag["name"]))) for tag in document["tags"]
    )


def with_code(text: str) -> Markup:
    """Return HTML of ``text`` in which what stands between backticks is code; everything is escaped."""
    return Markup(_CODE.sub(r"<code>\2</code>", str(escape(text))))  # noqa: S704  # escaped one step before


def _operations(document: Document, group: str) -> Iterator[OperationWords]:
    for path, methods in document["paths"].items():
        for method, it in methods.items():
            if group in it["tags"]:
                yield _words(document, method.upper(), path, it)


def _words(document: Document, method: str, path: str, it: Document) -> OperationWords:
    answers = [_answer(document, status, answer) for status, answer in sorted(it["responses"].items())]
    content = it.get("requestBody", {}).get("content", {})
    body_type = next(iter(content), None)
    return OperationWords(
        id=it["operationId"],
        method=method,
        path=path,
        summary=it["summary"],
        paragraphs=tuple(it.get("description", "").split("\n\n")) if it.get("description") else (),
        security=tuple(name for way in it["security"] for name in way or [Security.ASSERTION.value]),
        parameters=_parameters(document, it.get("parameters", [])),
        body=shapes_of(document, content[body_type]["schema"]) if body_type else (),
        body_type=body_type,
        curl=None if Group.HOOKS.value in it["tags"] else curl_line(document["servers"][0]["url"], method, path, it),
        answers=tuple(a for a in answers if not a.codes),
        refusals=tuple(a for a in answers if a.codes),
    )


def _parameters(document: Document, parameters: list[Document]) -> Shape | None:
    if not parameters:
        return None
    rows = tuple(
        row
        for p in parameters
        for row in rows_of(document, p["name"], p["schema"], p["required"], p.get("description", ""))
    )
    return Shape("", "", rows)


def _answer(document: Document, status: str, answer: Document) -> AnswerWords:
    content = answer.get("content", {}).get(JSON, {})
    schema = content.get("schema", {})
    codes = tuple(schema.get("properties", {}).get("error", {}).get("enum", ()))
    example = content.get("example")
    return AnswerWords(
        status=status,
        words="" if codes else answer["description"],
        codes=codes,
        shapes=() if codes or not schema else shapes_of(document, schema),
        headers=tuple(name for name in answer.get("headers", {}) if name != "Cache-Control"),
        example=None if example is None else json.dumps(example, indent=2, ensure_ascii=False),
    )


def curl_line(server: str, method: str, path: str, it: Document) -> str:
    """Return a shell command that calls the operation; what differs for each caller is a shell variable."""
    url = server.rstrip("/") + re.sub(r"\{(\w+)\}", lambda found: f"${found.group(1).upper()}", path)
    words = ["curl"] if method in {"GET", "POST"} else ["curl", "-X", method]
    schemes = {name for way in it["security"] for name in way}
    content = it.get("requestBody", {}).get("content", {})
    lines = [" ".join([*words, f'"{url}"' if "$" in url else shlex.quote(url)])]
    if Security.BEARER.value in schemes and FORM not in content:
        lines.append('-H "Authorization: Bearer $LATCHKEY_TOKEN"')
    elif Security.BASIC.value in schemes:
        lines.append('-u "$SERVICE_NAME:$SERVICE_SECRET"')
    if JSON in content:
        body = json.dumps(content[JSON].get("example", {}), indent=2, ensure_ascii=False)
        lines += [f"-H 'Content-Type: {JSON}'", f"--data {shlex.quote(body)}"]
    for name, value in content.get(FORM, {}).get("example", {}).items():
        lines.append(f"--data-urlencode {shlex.quote(f'{name}={value}')}")
    if method == "POST" and not content:
        lines.append("--data ''")
    return " \\\n  ".join(lines)
