"""The product imports with nothing installed but what the runtime lock names, whatever a library forgot to declare."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMPORTS = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in absent:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

absent = set(sys.argv[1:])
sys.meta_path.insert(0, Absent())

import app.wsgi, app.cli, app.sandbox.application, app.sandbox.server, app.dev.run
import workers.celery_app
import celery.bin.worker, celery.bin.beat, celery.worker.consumer, celery.concurrency.thread, celery.beat
import kombu.transport.redis, granian.cli, sqlalchemy.dialects.postgresql.psycopg, alembic.command
"""


def _import_without(absent: set[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", IMPORTS, *sorted(absent)], cwd=ROOT, capture_output=True, text=True, check=False
    )


def _not_locked(name: str) -> set[str]:
    """Return the importable names of this environment that belong to no distribution of the lock."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    locked = {_normal(line.partition("==")[0]) for line in lines if "==" in line and not line.startswith(" ")}
    owners = packages_distributions()
    return {module for module, dists in owners.items() if not locked & {_normal(dist) for dist in dists}}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.partition("[")[0].strip()).lower()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-embedded.lock"])
def test_the_product_imports_with_the_locked_distributions_alone(lock):
    done = _import_without(_not_locked(lock))

    assert done.returncode == 0, done.stderr


def test_a_missing_distribution_is_noticed():
    done = _import_without({"packaging"})

    assert "No module named 'packaging'" in done.stderr
