"""The rules of the house that a program can check: who imports whom, sizes, docstrings, locks, queues."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from app.dev.procfile import read_procfile

ROOT = Path(__file__).resolve().parents[1]
OURS = ("app", "workers")
LONGEST_MODULE_LINES = 400
LONGEST_FUNCTION_LINES = 40
LOCKS = ("requirements.lock", "requirements-embedded.lock", "requirements-dev.lock")

# For each contract of pyproject.toml: a module planted into the room, and imports that the contract must refuse there.
PLANTS = {
    "domain": ("app.domain.planted", ("app.guard", "app.ports", "app.store", "sqlalchemy", "requests", "socket", "os")),
    "ports": ("app.ports.planted", ("app.services", "app.store", "pydantic")),
    "services": (
        "app.services.planted",
        (
            "app.providers",
            "app.store",
            "app.crypto",
            "app.web",
            "flask",
            "sqlalchemy",
            "celery",
            "redis",
            "requests",
            "msal",
        ),
    ),
    "providers": ("app.providers.planted", ("app.store", "app.crypto", "app.services", "flask", "sqlalchemy")),
    "provider-packages": ("app.providers.google.planted", ("app.providers.microsoft",)),
    "store": ("app.store.planted", ("app.crypto", "app.providers", "app.services", "requests", "cryptography")),
    "crypto": ("app.crypto.planted", ("app.domain.connections", "app.store", "app.config", "sqlalchemy", "requests")),
    "crypto-bootstrap": ("app.services.planted", ("app.crypto",)),
    "bootstrap": ("app.bootstrap.planted", ("flask", "celery", "app.web", "app.sandbox", "app.dev", "workers")),
    "web": (
        "app.web.planted",
        ("app.providers", "app.store", "app.crypto", "sqlalchemy", "requests", "msal", "google", "celery", "redis"),
    ),
    "workers": ("workers.planted", ("flask", "app.web", "app.store", "app.providers", "sqlalchemy", "requests")),
    "sandbox": ("app.sandbox.planted", ("app.domain", "app.store", "workers", "msal", "google", "requests")),
    "dev": ("app.web.planted_dev", ("app.dev",)),
}


# --- who imports whom


def contracts() -> list[dict[str, object]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]


def lint_imports(directory: Path) -> subprocess.CompletedProcess[str]:
    # A wide terminal keeps each import on one line; without colours the names can be compared.
    environment = os.environ | {"COLUMNS": "500", "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1", "TERM": "dumb"}
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=110
    )


@pytest.fixture(scope="module")
def planted_report(tmp_path_factory) -> str:
    """What import-linter says of a copy of the code in which every contract is broken on purpose."""
    copy = tmp_path_factory.mktemp("planted")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for package in OURS:
        shutil.copytree(
            ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "static", "templates")
        )
    for module, imports in PLANTS.values():
        path = copy.joinpath(*module.split(".")).with_suffix(".py")
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f"\nimport {name}" for name in imports)
    return lint_imports(copy).stdout


def test_the_code_keeps_all_contracts():
    report = lint_imports(ROOT)

    assert report.returncode == 0, report.stdout


def test_every_contract_has_a_plant():
    assert set(PLANTS) == {contract["id"] for contract in contracts()}


@pytest.mark.parametrize("identifier", PLANTS)
def test_a_planted_import_breaks_its_contract(planted_report, identifier):
    name = next(contract["name"] for contract in contracts() if contract["id"] == identifier)
    module, imports = PLANTS[identifier]
    _, _, details = planted_report.partition("Broken contracts")
    _, _, section = details.partition(f"{name}\n---")

    # The next contract's name is underlined as well, which ends this one's section.
    section = re.split(r"\n-{4,}\n", section.partition("\n")[2])[0]

    assert f"{name} BROKEN" in planted_report
    for imported in imports:
        assert re.search(rf"{re.escape(module)} -> {re.escape(imported)}(?![\w])", section), f"{imported} was not seen"


# --- shape


def modules() -> list[Path]:
    return sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))


def trees() -> list[tuple[str, ast.Module]]:
    return [(str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))) for path in modules()]


def public_definitions(node: ast.Module | ast.ClassDef):
    """Yield the public classes and functions of a module, and the public methods of its public classes."""
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from public_definitions(child)


def needs_no_docstring(node: ast.AST) -> bool:
    """Setters share their property's docstring, overloads and overrides that of what they stand for."""
    decorators = getattr(node, "decorator_list", [])
    return any(
        ast.unparse(decorator).rpartition(".")[2] in ("setter", "overload", "override") for decorator in decorators
    )


def test_modules_public_classes_and_functions_have_a_docstring():
    silent = [name for name, tree in trees() if not ast.get_docstring(tree)]
    silent += [
        f"{name}:{node.lineno} {node.name}"
        for name, tree in trees()
        for node in public_definitions(tree)
        if not ast.get_docstring(node) and not needs_no_docstring(node)
    ]

    assert silent == []


def test_no_module_is_too_long():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}

    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE_LINES} == {}


def test_no_function_is_too_long():
    too_long = [
        f"{name}:{node.lineno} {node.name} has {lines_of_code(node)} lines"
        for name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines_of_code(node) > LONGEST_FUNCTION_LINES
    ]

    assert too_long == []


def lines_of_code(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines without its docstring."""
    docstring = node.body[0] if ast.get_docstring(node, clean=False) is not None else None
    documented = docstring.end_lineno - docstring.lineno + 1 if docstring else 0
    return node.end_lineno - node.lineno + 1 - documented


# --- locks and processes


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address_and_hashes_everything(lock):
    requirements = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()

    assert [line for line in requirements if "://" in line] == []
    assert [line for line in requirements if "--hash=sha256:" not in line] == []


def pins(lock: str) -> set[str]:
    return set(re.findall(r"^([\w.\[\],-]+==\S+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))


def test_the_development_lock_serves_for_running_too():
    # dev.py relies on it: after `test`, `run` installs nothing.
    assert pins("requirements-embedded.lock") - pins("requirements-dev.lock") == set()


def declared_queues() -> tuple[str, ...]:
    tree = ast.parse((ROOT / "workers" / "celery_app.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "QUEUES":
            return ast.literal_eval(node.value)
    raise AssertionError("workers/celery_app.py declares no QUEUES")


def test_every_queue_has_a_worker_in_the_procfile():
    workers = [line.command for name, line in read_procfile(ROOT / "Procfile").items() if name.startswith("worker")]
    consumed = [queue for command in workers for queue in re.search(r" -Q (\S+)", command)[1].split(",")]

    assert sorted(consumed) == sorted(declared_queues())
