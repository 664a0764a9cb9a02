"""JSON schemas of everything that operations take and give, under one name each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Literal

from pydantic import ConfigDict, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import override

from app.web.api.error_registry import ErrorAnswer
from app.web.api.openapi import Operation

Kind = type[object] | UnionType
_Mode = Literal["validation", "serialization"]

_REFERENCE = "#/components/schemas/{model}"
_DESCRIBED = ConfigDict(use_attribute_docstrings=True)


class _Untitled(GenerateJsonSchema):
    """Makes no titles of member names: they say nothing the name does not."""

    @override
    def field_title_should_be_set(self, schema: object) -> bool:
        """Answer for every member alike."""
        return False


class Schemas:
    """Component schemas of a document.

    Raises ``ValueError`` where two kinds would share a name: the library then gives them long names with the module,
    which generated clients would have to live with.
    """

    def __init__(self, operations: Iterable[Operation]) -> None:
        wanted = [*dict.fromkeys(_kinds(operations))]
        # A tuple of one hands its configuration on to the TypedDict inside, which takes none directly.
        inputs = [
            (number, mode, TypeAdapter(tuple[kind], config=_DESCRIBED))  # type: ignore[valid-type]  # made at run time
            for number, (kind, mode) in enumerate(wanted)
        ]
        made, definitions = TypeAdapter.json_schemas(inputs, ref_template=_REFERENCE, schema_generator=_Untitled)
        self._schemas = {wanted[number][0]: schema["prefixItems"][0] for (number, _), schema in made.items()}
        self._components: dict[str, object] = dict(definitions.get("$defs", {}))
        unwieldy = sorted(name for name in self._components if "__" in name)
        if unwieldy:
            raise ValueError(f"two schemas share a name: {', '.join(unwieldy)}")

    def of(self, kind: Kind) -> dict[str, object]:
        """Return the schema to write where ``kind`` is meant, mostly a reference."""
        return dict(self._schemas[kind])

    def components(self) -> dict[str, object]:
        """Return the named schemas."""
        return dict(sorted(self._components.items()))


def _kinds(operations: Iterable[Operation]) -> Iterator[tuple[Kind, _Mode]]:
    yield ErrorAnswer, "serialization"
    for operation in operations:
        for taken in (operation.body, operation.form):
            if taken is not None:
                yield taken, "validation"
        for answer in operation.answers:
            if answer.body is not None and answer.body is not str:
                yield answer.body, "serialization"
