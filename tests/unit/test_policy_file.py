"""Policies as a file: what is written is what is read, and faults say where they are."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.features import Feature
from app.domain.policies import Terms
from app.policy_file import read_policies, write_policies

NAMES = st.text("aZ9-_ .\\\"'é漢😀", min_size=1, max_size=6)
TERMS = st.builds(
    Terms,
    provider=st.none() | st.sampled_from(["google", "acme-1"]),
    features=st.frozensets(st.sampled_from(list(Feature)), min_size=1),
    purposes=st.none() | st.frozensets(st.sampled_from(["a", "b.c"]), min_size=1),
    people=st.none() | st.frozensets(st.sampled_from(["tenant:example.com", "person:x"]), min_size=1),
    valid_until=st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  # the zone comes with the strategy
    max_per_hour=st.none() | st.integers(1, 2**31 - 1),
    act_as=st.booleans(),
)


# How quick the machine is says nothing about the file.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, st.lists(TERMS, max_size=3).map(tuple), max_size=4))
def test_the_file_says_what_was_written_into_it(policies: dict[str, tuple[Terms, ...]]) -> None:
    assert read_policies(write_policies(policies)) == policies


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("services = 1", "services"),
        ("[[services.a]]", "services.a.0.features"),
        ('[[services.a]]\nfeatures = ["calendar.everything"]', "calendar.everything"),
        ('[[services.a]]\nfeatures = ["calendar.read"]\nact_as = "yes"', "services.a.0.act_as"),
        ('[[services.a]]\nfeatures = ["calendar.read"]\nmax_per_hour = 1.5', "services.a.0.max_per_hour"),
        ('[[services.a]]\nfeatures = ["calendar.read"]\nmax_per_our = 1', "services.a.0.max_per_our"),
        ("[[services.a]", "not TOML"),
    ],
)
def test_a_faulty_file_says_where(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        read_policies(text)
