"""``latchkey services`` and ``latchkey signing-keys``, as an operator runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.faults.installation import PUBLIC_URL, write_files
from tests.signing import Signer

ROOT = Path(__file__).resolve().parents[3]

# One process for all commands of a test: each alone would spend its time on imports.
RUN_ALL = """
import contextlib, io, json, sys
from app.cli import main
answers = []
for arguments in json.loads(sys.stdin.read()):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = ended.code
    answers.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(answers))
"""
Answers = list[tuple[int, str, str]]


@pytest.fixture
def latchkey(database_url: str, tmp_path: Path) -> Callable[..., Answers]:
    """Run commands one after the other; returns exit code, output and error output of each."""
    files = write_files(tmp_path, "client-secret", "http://127.0.0.1:1")
    with Path(files["LATCHKEY_PROVIDERS_FILE"]).open("a") as file:
        file.write('\n[workload_issuers.cluster]\nissuer = "https://cluster.example.test"\naudience = "latchkey"\n')
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")},
        "LATCHKEY_PUBLIC_URL": PUBLIC_URL,
        "DATABASE_URL": database_url,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        **files,
    }

    def run(*commands: str) -> Answers:
        done = subprocess.run(
            [sys.executable, "-c", RUN_ALL], cwd=ROOT, env=environment, text=True, capture_output=True, check=False,
            input=json.dumps([command.split() for command in commands]), timeout=90,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [(code, out, err) for code, out, err in json.loads(done.stdout)]

    return run


def audited(database_url: str) -> list[str]:
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        rows = connection.execute("SELECT kind FROM audit_events ORDER BY id").fetchall()
    return [kind for (kind,) in rows]


def test_what_a_service_proves_itself_with_is_kept_shown_and_audited(
    latchkey: Callable[..., Answers], database_url: str, tmp_path: Path
) -> None:
    jwk, pem = tmp_path / "key.json", tmp_path / "key.pem"
    jwk.write_text(json.dumps(Signer(kid="laptop").jwk()))
    pem.write_text(Signer("EdDSA").pem())
    answers = latchkey(
        "services add scheduler --feature calendar.read",
        f"services add-key scheduler --jwk {jwk}",
        f"services add-key scheduler --pem {pem} --expires 2999-01-31",
        "services set-jwks-url scheduler https://scheduler.example.test/jwks",
        "services add-workload scheduler cluster system:serviceaccount:prod:*",
        "services list",
        "services remove-key scheduler laptop",
        "services remove-workload scheduler cluster system:serviceaccount:prod:*",
        "services set-jwks-url scheduler",
        "services rotate-secret scheduler --stolen",
        "services rotate-secret scheduler",
        "services freeze scheduler",
        "services list",
        "services unfreeze scheduler",
    )

    assert [(code, err) for code, _out, err in answers] == [(0, "")] * len(answers)
    secret, listed, frozen = answers[0][1].strip(), answers[5][1], answers[12][1]
    assert listed.startswith("scheduler\n  secret until ")
    assert "  key laptop\n" in listed
    assert " until 2999-01-31 00:00 UTC\n" in listed
    assert "  keys at https://scheduler.example.test/jwks\n" in listed
    assert "  workload cluster system:serviceaccount:prod:*\n" in listed
    assert frozen.startswith("scheduler (frozen)\n")
    assert "laptop" not in frozen
    assert "cluster" not in frozen
    assert frozen.count("secret until") == 2
    assert secret not in "".join(out for _code, out, _err in answers[1:])
    assert audited(database_url) == [
        "service_added", "service_key_added", "service_key_added", "service_jwks_url_set", "service_workload_added",
        "service_key_removed", "service_workload_removed", "service_jwks_url_set", "service_secrets_ended",
        "service_secret_added", "service_secret_added", "service_frozen", "service_unfrozen",
    ]  # fmt: skip


def test_mistakes_are_named_and_change_nothing(
    latchkey: Callable[..., Answers], database_url: str, tmp_path: Path
) -> None:
    private, twice = tmp_path / "private.pem", tmp_path / "twice.json"
    private.write_text(Signer().private_pem())
    twice.write_text(json.dumps(Signer(kid="one").jwk()))
    answers = latchkey(
        "services add scheduler --all-features",
        f"services add-key scheduler --jwk {twice}",
        f"services add-key scheduler --jwk {twice}",
        f"services add-key scheduler --pem {private}",
        f"services add-key scheduler --pem {tmp_path}/nothing",
        f"services add-key scheduler --jwk {twice} --expires 2001-01-31",
        f"services add-key scheduler --jwk {twice} --expires tomorrow",
        "services add-key scheduler",
        "services remove-key scheduler other",
        "services set-jwks-url scheduler http://scheduler.example.test/jwks",
        "services set-jwks-url scheduler https://me:pw@scheduler.example.test/jwks",
        "services add-workload scheduler nowhere system:serviceaccount:prod:*",
        "services add-workload scheduler cluster *",
        "services remove-workload scheduler cluster a:b",
        "services freeze nobody",
        "services add-key nobody --jwk " + str(twice),
    )

    assert [code for code, _out, _err in answers[:2]] == [0, 0]
    for code, out, err in answers[2:]:
        assert code != 0
        assert out == ""
        assert err
        assert "Traceback" not in err
        assert "PRIVATE KEY-----" not in err
    assert audited(database_url) == ["service_added", "service_key_added"]


def test_signing_keys_rotate_when_the_next_one_is_known(latchkey: Callable[..., Answers], database_url: str) -> None:
    (early,) = latchkey("signing-keys rotate")
    assert early[0] == 1
    assert "rotate in" in early[2]
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("UPDATE signing_keys SET state_since = state_since - interval '1 day'")

    (late,) = latchkey("signing-keys rotate")

    assert late[0] == 0
    assert late[1].startswith("Latchkey tokens are signed with the key ")
    assert audited(database_url) == ["signing_key_rotated"]
