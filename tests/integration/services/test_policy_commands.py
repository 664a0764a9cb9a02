"""``latchkey policy``, as an operator runs it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tests.integration.services.test_service_commands import Answers, audited, latchkey

__all__ = ["latchkey"]

FILE = """
[[services.scheduler]]
provider = "google"
features = ["calendar.read", "mail.send"]
purposes = ["sync"]
people = ["tenant:example.com"]
until = 2999-01-01T00:00:00Z
max_per_hour = 1000
act_as = true
"""


def test_policies_are_allowed_shown_imported_exported_and_removed(
    latchkey: Callable[..., Answers],  # the fixture of that name
    database_url: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "policies.toml"
    path.write_text(FILE)
    add = "policy allow scheduler --provider google --feature calendar.read"
    answers = latchkey(
        "services add scheduler --feature identity",
        f"{add} --purpose sync --person tenant:Example.com --until 2999-01-01 --max-per-hour 5 --act-as",
        "policy list",
        f"policy import {path} --dry-run",
        "policy list",
        f"policy import {path}",
        f"policy import {path}",
        "policy export",
    )

    assert [(code, err) for code, _out, err in answers] == [(0, "")] * len(answers)
    policy_id, listed, shown, listed_again, done, repeated, exported = [out for _code, out, _err in answers[1:]]
    assert re.fullmatch(r"[0-9a-f-]{36}\n", policy_id)
    assert f'  {policy_id.strip()}  provider = "google", features = ["calendar.read"]' in listed
    assert 'people = ["tenant:example.com"], until = 2999-01-01T00:00:00Z, max_per_hour = 5, act_as = true' in listed
    assert listed_again == listed
    assert shown == done + "Nothing was changed.\n"
    assert done.count("\n  - ") == 2
    assert done.count("\n  + ") == 1
    assert repeated == "Nothing to change.\n"
    assert exported.strip() == FILE.strip()
    assert audited(database_url) == [
        "service_added", "policy_added", "policy_removed", "policy_removed", "policy_added",
    ]  # fmt: skip


def test_mistakes_are_named_and_change_nothing(
    latchkey: Callable[..., Answers],  # the fixture of that name
    database_url: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "policies.toml"
    path.write_text(FILE.replace("max_per_hour", "max_per_our"))
    answers = latchkey(
        "services add scheduler --feature identity",
        "policy allow nobody --feature calendar.read",
        "policy allow scheduler --feature calendar.read --person ada@example.com",
        "policy allow scheduler --feature calendar.read --provider nobody",
        "policy remove 5f0c6a1e-9f0e-4a55-8f0e-2d1c7b8a9e10",
        f"policy import {path}",
        f"policy import {tmp_path}/missing.toml",
        "policy allow scheduler",
        "policy list",
    )

    assert [code for code, _out, _err in answers] == [0, 1, 1, 1, 1, 1, 1, 2, 0]
    for (_code, _out, err), words in zip(
        answers[1:7],
        ("no service named nobody", "ada@example.com", "nobody", "no policy", "max_per_our", "No such file"),
        strict=True,
    ):
        assert words in err
    assert answers[-1][1].count("\n") == 2
    assert audited(database_url) == ["service_added"]
