"""What comes with the package, and what must not."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1]
EXTRAS = ("azure", "google", "jwt", "requests", "cryptography")


def test_the_package_alone_needs_httpx_alone():
    program = f"import sys, latchkey_client; print([name for name in {EXTRAS} if name in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(PACKAGE / "src")}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip

    assert done.stdout.strip() == "[]"


def test_every_module_stands_without_the_product(tmp_path):
    modules = sorted(f"latchkey_client.{path.stem}" for path in (PACKAGE / "src" / "latchkey_client").glob("*.py"))

    done = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(modules)}, sys; print({{'app', 'workers'}} & sys.modules.keys())"],
        cwd=tmp_path, env={"PYTHONPATH": str(PACKAGE / "src")}, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout.strip() == "set()"


def test_a_wheel_holds_every_module_its_types_and_the_licence(tmp_path):
    pytest.importorskip("setuptools", reason="the build backend is not in this environment")
    # A copy: building leaves traces beside the sources.
    program = (
        "import shutil, sys; from setuptools import build_meta; import os;"
        "shutil.copytree(sys.argv[1], sys.argv[2], ignore=shutil.ignore_patterns('build', '*.egg-info'));"
        "os.chdir(sys.argv[2]); print(build_meta.build_wheel(sys.argv[3]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(PACKAGE), str(tmp_path / "copy"), str(tmp_path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        names = set(wheel.namelist())

    sources = {f"latchkey_client/{path.name}" for path in (PACKAGE / "src" / "latchkey_client").glob("*.py")}
    assert sources | {"latchkey_client/py.typed"} <= names
    assert any(name.endswith("/LICENSE") for name in names)
    assert not any("test" in name for name in names)
