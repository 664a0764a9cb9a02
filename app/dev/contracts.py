"""Check one row of the floor plan (docs/architecture.md, "Who may import whom") as an import-linter contract.

A row names what a room may import. So whatever is not named is forbidden, packages that come later included; the
contract types that import-linter brings only know lists of what is forbidden.
"""

import sys
from dataclasses import dataclass

from grimp import ImportGraph
from importlinter.application import output
from importlinter.domain import fields
from importlinter.domain.contract import Contract, ContractCheck

_OUR_PACKAGES = ("app", "workers")


@dataclass(frozen=True)
class Violation:
    """One import that the row does not allow."""

    importer: str
    imported: str
    line_number: int

    def __str__(self) -> str:
        """Return it as import-linter writes an import."""
        return f"{self.importer} -> {self.imported} (l.{self.line_number})"


class RoomContract(Contract):
    """What the modules of a room may import, themselves and the standard library always among it.

    Options: `room`, the modules the row is about; `may_import`, further modules of ours and packages of others;
    `any_package` (default false), packages of others need not be named; `must_not_import`, what is forbidden all the
    same, also in the standard library. A name stands for everything below it. Only direct imports count, as every
    room has a row of its own.
    """

    type_name = "room"

    room = fields.SetField(subfield=fields.StringField())
    may_import = fields.SetField(subfield=fields.StringField(), required=False, default=set())
    must_not_import = fields.SetField(subfield=fields.StringField(), required=False, default=set())
    any_package = fields.BooleanField(required=False, default=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: FBT001 - import-linter's signature
        """Return whether the row holds. Raises ValueError when a module of the room does not exist."""
        output.verbose_print(verbose, f"Looking at all imports of {', '.join(sorted(self._names('room')))}")
        violations = [
            violation
            for importer in sorted(self._modules(graph))
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not self._allows(imported)
            for violation in _details(graph, importer, imported)
        ]
        return ContractCheck(kept=not violations, metadata={"violations": violations})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each import that the row does not allow."""
        for violation in check.metadata["violations"]:
            output.print_error(f"-   {violation}", bold=False)
        output.new_line()

    def _modules(self, graph: ImportGraph) -> set[str]:
        room = self._names("room")
        for name in room:
            if name not in graph.modules:
                raise ValueError(f"Module '{name}' does not exist.")
        return room.union(*(graph.find_descendants(name) for name in room))

    def _allows(self, imported: str) -> bool:
        if _is_below(imported, self._names("must_not_import")):
            return False
        if _is_below(imported, self._names("room") | self._names("may_import")):
            return True
        if _is_below(imported, set(_OUR_PACKAGES)):
            return False
        is_any_package_allowed = bool(getattr(self, "any_package", False))
        return is_any_package_allowed or imported.partition(".")[0] in sys.stdlib_module_names

    def _names(self, option: str) -> set[str]:
        # The fields of a contract are descriptors to the type checker and plain values at run time.
        return set(getattr(self, option) or ())


def _is_below(name: str, tops: set[str]) -> bool:
    return any(name == top or name.startswith(f"{top}.") for top in tops)


def _details(graph: ImportGraph, importer: str, imported: str) -> list[Violation]:
    details = graph.get_import_details(importer=importer, imported=imported)
    return [Violation(importer, imported, detail["line_number"]) for detail in details]
