"""However many processes want a token, the provider is asked once: a strict provider would end the grant otherwise."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from app.domain.connections import Status
from app.domain.errors import LatchkeyError
from app.sandbox.grants import RefreshState
from tests.faults.installation import Installation

ALL = 40
FEW = 4


def callers(place: Installation, count: int, connection_id, *options: str) -> list[dict]:
    command = [sys.executable, "-m", "tests.faults.callers", str(count), str(connection_id), *options]
    done = subprocess.run(command, env=place.environment, capture_output=True, text=True, check=False, timeout=90)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def living_refresh_tokens(place: Installation) -> int:
    return sum(
        token.state is RefreshState.LIVE
        for token in place.sandbox.state.grants.refresh_tokens.values()
        if place.sandbox.state.grants.grants[token.grant_id].provider == "oidc"
    )


@pytest.mark.timeout(240)
def test_forty_processes_make_one_call_share_its_token_and_leave_the_family_alive(place: Installation) -> None:
    connection = place.connect("oidc")
    place.age(connection.id)
    place.forget_calls()
    place.fault("oidc.token", "hang", seconds=4.0, count=None)

    answers = callers(place, ALL, connection.id)

    assert len(answers) == ALL
    assert [a for a in answers if "error" in a] == []
    assert len({a["token"] for a in answers}) == 1
    assert place.calls("oidc.token") == 1
    assert place.rows("SELECT outcome FROM refresh_attempts WHERE connection_id = %s", connection.id) == [("stored",)]
    # The whole crowd waited for one answer, rather than finding it there.
    assert sum(a["seconds"] > 1 for a in answers) > ALL / 2
    place.mend()
    place.age(connection.id)
    following = place.services.access_tokens.get(connection.id)
    assert following.warning is None, "the family is dead"
    assert following.token.sha256() not in {a["token"] for a in answers}
    assert living_refresh_tokens(place) == 1


def test_without_the_lease_the_same_experiment_ends_the_grant(place: Installation) -> None:
    connection = place.connect("oidc")
    place.age(connection.id)
    place.forget_calls()
    place.fault("oidc.token", "hang", seconds=1.0, count=None)

    callers(place, FEW, connection.id, "--unguarded")
    place.mend()

    assert place.calls("oidc.token") > 1
    assert living_refresh_tokens(place) == 0
    place.age(connection.id)
    with pytest.raises(LatchkeyError):
        place.services.access_tokens.get(connection.id)
    # Even so the connection waits for a second opinion.
    [(status,)] = place.rows("SELECT status FROM connections WHERE id = %s", connection.id)
    assert status == Status.ACTIVE
