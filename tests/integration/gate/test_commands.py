"""``latchkey providers`` and ``latchkey grants``, as an operator runs them."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.domain.breaker import Cause
from app.sandbox.server import serve
from app.sandbox.settings import ClientRegistration, SandboxSettings
from app.store.postgres import PostgresStore
from tests.faults.installation import PUBLIC_URL, write_files
from tests.integration.gate.conftest import Crew
from tests.integration.gate.test_grant_care import NOW, WEEK, add, consent, died

ROOT = Path(__file__).resolve().parents[3]
OLD, NEW = "the-old-client-secret", "the-new-client-secret"

PROVIDERS = """
[providers.google]
kind = "google"
display_name = "Google"
client_id = "latchkey"
client_secret_file = "{secret_file}"

[providers.microsoft]
kind = "microsoft"
display_name = "Microsoft"
client_id = "latchkey"
client_secret = "another-secret"

[routes]
"https://oauth2.googleapis.com" = "{sandbox}"
"""


@pytest.fixture
def sandbox():
    client = ClientRegistration("google", "latchkey", NEW, (f"{PUBLIC_URL}/callback/google",))
    with serve(SandboxSettings(base_url="", clients=(client,))) as running:
        yield running.base_url


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "google-secret"
    path.write_text(f"{OLD}\n")
    path.chmod(0o640)
    return path


@pytest.fixture
def environment(database_url, redis_url, tmp_path, secret_file, sandbox):
    """Return the variables of an installation in front of the sandbox."""
    settings = write_files(tmp_path, "client-secret", sandbox)
    Path(settings["LATCHKEY_PROVIDERS_FILE"]).write_text(PROVIDERS.format(secret_file=secret_file, sandbox=sandbox))
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")},
        **settings,
        "LATCHKEY_PUBLIC_URL": PUBLIC_URL,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
    }


@pytest.fixture
def command(environment):
    """Run one command; returns its exit code, what it printed, and its complaint."""

    def run(*arguments, typed=""):
        done = subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments],
            cwd=ROOT, env=environment, input=typed, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert OLD not in done.stdout + done.stderr
        assert NEW not in done.stdout + done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def crew(database_url):
    return Crew(database_url)


def test_a_secret_is_replaced_checked_and_the_old_one_dropped(command, secret_file):
    assert command("providers", "check", "google")[:2] == (1, "credential 1 (newest): refused\n")

    code, said, _ = command("providers", "rotate-secret", "google", typed=f"{NEW}\n")
    assert code == 0
    assert "latchkey providers check google" in said
    assert secret_file.read_text() == f"{NEW}\n{OLD}\n"
    assert stat.S_IMODE(secret_file.stat().st_mode) == 0o600
    checked = command("providers", "check", "google")
    assert checked[:2] == (0, "credential 1 (newest): accepted\ncredential 2: refused\n")

    assert command("providers", "rotate-secret", "google", "--finish")[0] == 0
    assert secret_file.read_text() == f"{NEW}\n"
    assert list(secret_file.parent.glob(".google-secret*")) == []


def test_the_same_secret_twice_changes_nothing(command, secret_file):
    for _ in range(2):
        assert command("providers", "rotate-secret", "google", typed=f"{NEW}\n")[0] == 0

    assert secret_file.read_text() == f"{NEW}\n{OLD}\n"


@pytest.mark.parametrize(
    ("arguments", "typed", "complaint"),
    [
        (("rotate-secret", "google"), "\n", "no secret came on standard input\n"),
        (("rotate-secret", "microsoft"), "x", "providers.microsoft: move the secret into a client_secret_file first"),
        (("rotate-secret", "nobody"), "x", "unknown_provider: nobody\n"),
        (("check", "nobody"), "", "unknown_provider: nobody\n"),
        (("retry", "nobody"), "", "unknown_provider: nobody\n"),
        (("believe", "nobody"), "", "unknown_provider: nobody\n"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(command, secret_file, arguments, typed, complaint):
    code, said, complained = command("providers", *arguments, typed=typed)

    assert (code, said) == (1, "")
    assert complained.startswith(complaint)
    assert secret_file.read_text() == f"{OLD}\n"


def test_the_state_of_providers_and_what_to_do_is_shown(command, crew):
    assert command("providers", "status")[1] == (
        "google: google, rotation none, calls pass\nmicrosoft: microsoft, rotation overlap, calls pass\n"
    )
    open_breaker(crew, "microsoft", Cause.REJECTED, "AADSTS7000222")
    consent(crew, add(crew), NOW, lives=WEEK)

    code, said, _ = command("providers", "status")

    assert code == 0
    assert "microsoft: microsoft, rotation overlap, CALLS PAUSED since " in said
    assert "cause rejected, code AADSTS7000222" in said
    assert "rotate-secret" in said
    assert "1 grants end seven days after consent" in said


def open_breaker(crew, provider, cause, code):
    store = PostgresStore(crew.database_url)
    with store.transaction() as tx:
        tx.provider_health.open(provider, cause, code, 0.5, 0)
    store.close()


def test_an_operator_ends_a_cool_down(command, crew):
    assert command("providers", "retry", "google")[:2] == (0, "Its calls are not paused.\n")
    open_breaker(crew, "google", Cause.REJECTED, "invalid_client")

    assert command("providers", "retry", "google")[:2] == (0, "The next call is a probe.\n")

    assert crew.sql("SELECT open_until <= clock_timestamp() FROM provider_health") == [(True,)]


def test_an_operator_who_believes_refusals_ends_their_breaker_and_no_other(command, crew):
    open_breaker(crew, "google", Cause.REFUSALS, "invalid_grant")
    open_breaker(crew, "microsoft", Cause.UNAVAILABLE, "http_503")

    for key in ("google", "microsoft"):
        assert command("providers", "believe", key)[0] == 0

    assert crew.sql("SELECT provider, cause FROM provider_health ORDER BY provider") == [
        ("google", None), ("microsoft", "unavailable"),
    ]  # fmt: skip


def test_the_dead_are_listed_and_then_reaped(command, crew):
    dead = died(crew, WEEK)
    crew.sql("UPDATE connections SET status_since = now() - interval '40 days' WHERE id = :id", id=dead)
    crew.sql("INSERT INTO data_keys (connection_id, wrapped_key, created_at) VALUES (:id, 'old', now())", id=dead)

    assert command("grants", "reap")[1].endswith("\n0 lost their tokens\n")
    listed = command("grants", "reap", "--dry-run", "--days", "30")[1]
    assert "needs_reconnect for 30 days or longer" in listed
    assert f"{dead} google grant_rejected since " in listed
    assert listed.endswith("1 would lose their tokens\n")
    assert crew.sql("SELECT count(*) FROM token_generations") == [(2,)]

    assert command("grants", "reap", "--days", "30")[1].endswith("\n1 lost their tokens\n")
    assert crew.sql("SELECT count(*) FROM token_generations") == [(0,)]
    assert crew.sql("SELECT status FROM connections WHERE id = :id", id=dead) == [("needs_reconnect",)]


def test_the_idle_are_listed_with_what_becomes_of_them(command, crew):
    idle = add(crew)

    code, said, _ = command("grants", "idle", "--days", "30")

    assert code == 0
    assert "no token handed out for 30 days" in said
    assert "policy keep_alive" in said
    assert f"{idle} google unused since " in said
    assert command("grants", "idle", "--days", "0")[0] == 1
