"""IAM's wildcards, against the plain translation to a regular expression, and in linear time."""

import itertools
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotation_role_policy.iam.wildcard import UNNAMED, common, filled, has_wildcard, matches, matches_any
from tests import ROOT


@given(st.text("ab*?", max_size=8), st.text("abA", max_size=8), st.booleans())
def test_a_pattern_matches_what_the_plain_translation_matches(pattern: str, value: str, ignore_case: bool) -> None:
    plain = pattern.replace("*", ".*").replace("?", ".")
    expected = re.fullmatch(plain, value, re.IGNORECASE if ignore_case else re.NOFLAG) is not None
    assert matches(pattern, value, ignore_case=ignore_case) is expected


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("secret:${aws:PrincipalTag/team}/*", "secret:data/db", True),
        ("secret:${aws:PrincipalTag/team}/*", "secret:data", False),
        ("${a}${b}", "", True),
        # In a variable, these characters stand for themselves.
        ("a${*}b", "a*b", True),
        ("a${*}b", "axb", False),
        ("a${?}*", "a?b", True),
        ("a${?}*", "axb", False),
        ("a${$}b", "a$b", True),
        # Not a variable, because it does not end.
        ("a${b", "a${b", True),
        ("a${b", "axb", False),
        ("a}b*", "a}bc", True),
        ("[a]*", "[a]b", True),
        ("a.c*", "abc", False),
        ("a\n*", "a\nb\nc", True),
    ],
)
def test_variables_and_other_characters(pattern: str, value: str, expected: bool) -> None:
    assert matches(pattern, value) is expected
    assert matches_any(["x", pattern], value) is expected
    assert has_wildcard(pattern)


@pytest.mark.parametrize(("pattern", "value"), [("iam:GetRole", "IAM:getrole"), ("iam:Get*", "IAM:getrole")])
def test_the_case_counts_unless_it_is_ignored(pattern: str, value: str) -> None:
    assert matches(pattern, value, ignore_case=True)
    assert not matches(pattern, value, ignore_case=False)
    assert not matches(pattern, value)
    assert matches_any([pattern], value, ignore_case=True)
    assert not matches_any([pattern], value)


def test_a_variable_ends_at_the_first_brace() -> None:
    assert matches("${a}x}*", "bx}c")
    assert not matches("${a}x}*", "bc")


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("a*" * 7 + "b", "a" * 60),
        ("a*" * 30 + "b", "a" * 2000),
        ("*a" * 1000 + "b", "a" * 2000),
        ("*" * 100_000 + "b", "a" * 2000),
        ("?*" * 1000 + "b", "a" * 2000),
        ("${" * 50_000, "a" * 2000),
        ("${x}" * 10_000 + "b", "a" * 2000),
    ],
)
def test_no_pattern_takes_long(pattern: str, value: str) -> None:
    # In a process of its own: a regular expression that backtracks cannot be interrupted.
    program = (
        "import sys; from rotation_role_policy.iam.wildcard import matches; print(matches(*sys.stdin.read().split()))"
    )
    command = [sys.executable, "-c", program]
    ran = subprocess.run(
        command,
        input=f"{pattern} {value}",
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
        env={"PYTHONPATH": str(ROOT / "handler")},
    )
    assert ran.stdout == "False\n"


@given(st.text("ab*?", max_size=8), st.text("b*", max_size=3))
def test_what_fills_a_pattern_matches_it(pattern: str, text: str) -> None:
    assert matches(pattern, filled(pattern, text))
    assert matches(pattern, filled(pattern))


def test_a_filled_pattern_has_a_character_that_no_policy_contains_in_place_of_its_wildcards() -> None:
    assert filled("a*b?c${aws:PrincipalTag/team}", "xy") == f"axyb{UNNAMED}cxy"
    assert filled("a*b") == f"a{UNNAMED}b"
    assert ord(UNNAMED) > 0xFF


TEXTS = ["".join(letters) for length in range(1, 6) for letters in itertools.product("ab", repeat=length)]


@given(st.text("ab*?", min_size=1, max_size=5), st.text("ab*?", min_size=1, max_size=5))
def test_a_common_pattern_matches_what_both_match(pattern: str, other: str) -> None:
    found = common(pattern, other)
    for text in (UNNAMED, "", "ab"):
        assert not found or all(matches(each, filled(found, text)) for each in (pattern, other))
    assert found or not any(matches(pattern, text) and matches(other, text) for text in TEXTS)


@pytest.mark.parametrize(
    ("pattern", "other", "expected"),
    [
        ("*", "*secret*", "*secret*"),
        ("prod/*", "*/db-*", "prod/*/db-*"),
        ("*a*", "*b*", "*b*a*"),
        ("*b*", "*a*", "*a*b*"),
        ("prod/*", "test/*", ""),
        ("prod/??", "prod/0*", "prod/0?"),
        ("x" * 10_000, "*" * 10_000, ""),
    ],
)
def test_two_patterns_have_a_common_one(pattern: str, other: str, expected: str) -> None:
    assert common(pattern, other) == expected
