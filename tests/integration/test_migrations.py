"""Migrations: up, down, up, to exactly the tables the code declares, by one process at a time."""

import ast
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from app.domain.errors import StoreUnavailable
from app.store.migrating import downgrade, upgrade
from app.store.schema import metadata
from app.store.schema_version import MIGRATIONS, pending_migrations

VERSIONS = sorted((MIGRATIONS / "versions").glob("*.py"))

CATALOG = {
    "columns": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
               pg_get_expr(d.adbin, d.adrelid), col.collname
        FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        LEFT JOIN pg_collation col ON col.oid = a.attcollation
        WHERE a.attnum > 0 AND NOT a.attisdropped
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    """,
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
}


def connect(url):
    return create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect()


def tables(url):
    with connect(url) as connection:
        found = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        return {row[0] for row in found} - {"alembic_version"}


def catalog(url):
    with connect(url) as connection:
        found = {name: {tuple(row) for row in connection.execute(text(query))} for name, query in CATALOG.items()}
    return {name: {row for row in rows if row[0] != "alembic_version"} for name, rows in found.items()}


def test_up_down_and_up_again(empty_database_url):
    assert tables(empty_database_url) == set()
    upgrade(empty_database_url)
    first = catalog(empty_database_url)
    assert tables(empty_database_url) == set(metadata.tables)

    downgrade(empty_database_url)
    assert tables(empty_database_url) == set()
    upgrade(empty_database_url)

    assert catalog(empty_database_url) == first


def test_the_migrations_make_exactly_what_the_code_declares(empty_database_url):
    upgrade(empty_database_url)
    migrated = catalog(empty_database_url)
    with connect(empty_database_url) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    downgrade(empty_database_url)
    with connect(empty_database_url) as connection:
        metadata.create_all(connection)

    declared = catalog(empty_database_url)

    for kind, rows in declared.items():
        assert migrated[kind] == rows, kind


def test_every_constraint_has_a_name_of_the_convention(database_url):
    names = {row[1] for row in catalog(database_url)["constraints"]}

    # PostgreSQL 18 lists NOT NULL among the constraints, under names of its own.
    assert {name for name in names if not re.match(r"(pk|fk|uq|ck)_", name) and not name.endswith("_not_null")} == set()


def test_a_migrated_database_has_nothing_pending(empty_database_url):
    assert pending_migrations(empty_database_url)

    upgrade(empty_database_url)

    assert not pending_migrations(empty_database_url)


def test_a_newer_schema_serves_the_release_before(database_url):
    with connect(database_url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999_from_the_future'"))

    assert not pending_migrations(database_url)


def test_several_processes_at_once_migrate_once(empty_database_url):
    command = [sys.executable, "-c", f"from app.store.migrating import upgrade; upgrade({empty_database_url!r})"]
    environment = os.environ | {"PYTHONPATH": str(MIGRATIONS.parent)}

    with ThreadPoolExecutor(3) as pool:
        runs = list(
            pool.map(
                lambda _: subprocess.run(command, env=environment, check=False, capture_output=True, timeout=90),
                range(3),
            )
        )

    assert [run.returncode for run in runs] == [0, 0, 0], runs
    assert tables(empty_database_url) == set(metadata.tables)


def test_migrating_works_from_any_folder(empty_database_url, tmp_path):
    command = [sys.executable, "-c", f"from app.store.migrating import upgrade; upgrade({empty_database_url!r})"]

    subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(MIGRATIONS.parent)}, check=True, timeout=90
    )

    assert tables(empty_database_url) == set(metadata.tables)


def test_a_migration_gives_up_rather_than_stand_in_the_way(empty_database_url):
    upgrade(empty_database_url, "0001_initial")
    before = catalog(empty_database_url)
    with connect(empty_database_url) as reader:
        reader.execution_options(isolation_level="REPEATABLE READ")
        with reader.begin():
            reader.execute(text("SELECT count(*) FROM people"))

            with pytest.raises(StoreUnavailable, match="55P03"):
                downgrade(empty_database_url)

    assert catalog(empty_database_url) == before


def test_no_database_is_one_typed_error(database_url):
    url = make_url(database_url).set(database="not_there").render_as_string(hide_password=False)

    with pytest.raises(StoreUnavailable):
        upgrade(url)
    with pytest.raises(StoreUnavailable):
        pending_migrations(url)


def test_the_head_is_written_down_so_that_two_branches_collide_in_git():
    script = ScriptDirectory(str(MIGRATIONS))

    assert [(MIGRATIONS / ".current-head").read_text().strip()] == script.get_heads()


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_a_migration_is_numbered_and_imports_no_code_of_ours(path: Path):
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in getattr(node, "names", [])]
        )
        if isinstance(node, ast.Import | ast.ImportFrom)
    }

    assert re.fullmatch(r"\d{4}_[a-z_]+", path.stem)
    assert f'revision = "{path.stem}"' in path.read_text().splitlines(), "its name says which one it is"
    assert imported <= {"__future__", "alembic", "sqlalchemy"}
