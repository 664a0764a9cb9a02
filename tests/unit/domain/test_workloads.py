"""Patterns of workload subjects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.workloads import SubjectPattern

TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="*"), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("pattern", "subject", "fits"),
    [
        ("system:serviceaccount:prod:scheduler", "system:serviceaccount:prod:scheduler", True),
        ("system:serviceaccount:prod:scheduler", "system:serviceaccount:prod:scheduler2", False),
        ("system:serviceaccount:prod:scheduler", "System:serviceaccount:prod:scheduler", False),
        ("system:serviceaccount:prod:*", "system:serviceaccount:prod:scheduler", True),
        ("system:serviceaccount:prod:*", "system:serviceaccount:prod:", False),
        ("system:serviceaccount:prod:*", "system:serviceaccount:production:scheduler", False),
        ("system:serviceaccount:prod:*", "system:serviceaccount:prod:a:b", False),
        ("system:serviceaccount:prod:*", "system:serviceaccount:prod:a/b", False),
        ("system:serviceaccount:*:scheduler", "system:serviceaccount:prod:scheduler", True),
        ("system:serviceaccount:*:scheduler", "system:serviceaccount:prod:x:scheduler", False),
        ("system:serviceaccount:prod:job-*", "system:serviceaccount:prod:job-17", True),
        ("system:serviceaccount:prod:job-*", "system:serviceaccount:prod:job-", False),
        ("repo:acme/app:ref:refs/heads/*", "repo:acme/app:ref:refs/heads/main", True),
        ("repo:acme/app:ref:refs/heads/*", "repo:acme/app:ref:refs/heads/a/b", False),
        ("repo:acme/app:ref:refs/heads/*", "repo:acme/app:ref:refs/tags/main", False),
        ("spiffe://corp/ns/*/sa/x", "spiffe://corp/ns/prod/sa/x", True),
        ("a.c", "abc", False),
        ("a+", "aa", False),
        ("job:[ab]*", "job:ab", False),
        ("job:*", "job:a\n", True),
        ("job:a", "job:a\n", False),
    ],
)
def test_what_fits(pattern, subject, fits):
    assert SubjectPattern(pattern).matches(subject) is fits


@pytest.mark.parametrize("text", ["", "*", "*:*", "*/a*", "a**:b", "a b", "ä", "a\nb", "a" * 256])
def test_what_is_no_pattern(text):
    with pytest.raises(ValueError, match="pattern"):
        SubjectPattern(text)


@given(TEXT, TEXT)
def test_a_pattern_without_a_star_fits_itself_alone(text, other):
    assert SubjectPattern(text).matches(other) is (text == other)


@given(TEXT, TEXT)
def test_a_star_never_crosses_a_segment(prefix, middle):
    pattern = SubjectPattern(f"{prefix}:*:end")

    assert pattern.matches(f"{prefix}:{middle}:end") is (":" not in middle and "/" not in middle)
