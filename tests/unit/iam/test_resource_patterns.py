"""Patterns of ARNs: incomplete ones, wildcards and segments, in linear time."""

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotation_role_policy.iam.resource_patterns import completed, includes, includes_any
from rotation_role_policy.iam.wildcard import matches
from tests import ROOT

SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/db-AbCdEf"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("arn:aws:sqs", "arn:aws:sqs:*:*:*"),
        ("arn:aws:sqs:eu-central-1:123456789012", "arn:aws:sqs:eu-central-1:123456789012:*"),
        ("arn:aws:sqs:*:*:queue", "arn:aws:sqs:*:*:queue"),
        (SECRET, SECRET),
        ("*", "*"),
    ],
)
def test_an_incomplete_arn_gets_stars(pattern: str, expected: str) -> None:
    assert completed(pattern) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (SECRET, True),
        ("*", True),
        ("**", True),
        ("arn:*", True),
        ("arn:aws:secretsmanager:*", True),
        ("arn:aws:secretsmanager:eu-central-1:*:secret:prod/db-??????", True),
        ("arn:aws:secretsmanager:*:secret:prod/*", True),
        ("arn:aws:secretsmanager:e*:secret:prod/*", True),
        ("arn:aws:secretsmanager:*:*:*/db-AbCdEf", True),
        ("arn:aws:secretsmanager:*:**:secret:*/**", True),
        # The star before "2" stays in its segment.
        ("arn:aws:secretsmanager:*2:secret:prod/*", False),
        ("arn:aws:secretsmanager:eu*2:secret:prod/*", False),
        ("arn:aws:secretsmanager:eu-central-1:123456789012:secret", False),
        ("arn:aws:secretsmanager:eu-central-1:123456789012:secret:PROD/*", False),
        # Whether the colon in the resource separates segments is not documented.
        ("arn:aws:secretsmanager:eu-central-1:123456789012:s*db-AbCdEf", None),
        ("arn:aws:secretsmanager:eu-central-1:123456789012:secret?prod/db-AbCdEf", None),
        # A policy variable is taken for a star.
        ("arn:aws:secretsmanager:eu-central-1:123456789012:secret:${aws:PrincipalTag/team}/*", True),
        ("arn:aws:secretsmanager:eu-central-1:123456789012:key:${aws:PrincipalTag/team}/*", False),
    ],
)
def test_a_star_matches_beyond_the_colon_only_at_the_end_of_a_segment(pattern: str, expected: bool | None) -> None:
    assert includes(pattern, SECRET) is expected
    assert includes_any(["x", pattern], SECRET) is (expected is not False)


def test_only_a_star_matches_no_resource() -> None:
    assert includes("*", "*") is True
    for pattern in ("arn:*", "arn:aws:secretsmanager", "arn:aws:secretsmanager:*:*:*", SECRET):
        assert includes(pattern, "*") is False


def translated(pattern: str, *, within_segments: bool) -> str:
    """Return a pattern as a regular expression that backtracks."""
    expression, fields = "", 0
    for number, character in enumerate(pattern):
        fields += character == ":"
        following = pattern[number:].lstrip("*")[:1]
        is_free = following in ("", ":") or (not within_segments and fields >= 5)
        one = "[^:]" if within_segments else "."
        expression += {"*": ".*" if is_free else "[^:]*", "?": one}.get(character, re.escape(character))
    return expression


@given(st.text("a:*?", max_size=9), st.text("a:", max_size=9))
def test_a_pattern_matches_what_the_plain_translation_matches(pattern: str, value: str) -> None:
    pattern, value = f"arn:a:a:{pattern}", f"arn:a:a:{value}"
    full = completed(pattern)
    strict, lenient = (bool(re.fullmatch(translated(full, within_segments=each), value)) for each in (True, False))
    assert includes(pattern, value) is (True if strict else None if lenient else False)
    assert matches(full, value) or not lenient


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("arn:" + "a*" * 1000 + "b", "arn:" + "a" * 2000),
        ("arn:" + "*a" * 5000 + ":b*", "arn:" + "a" * 2000 + ":ab"),
        ("arn:" + "*" * 100_000 + "b", "arn:" + "a" * 2000),
        ("arn:a:b:" + "?*" * 5000 + "b", "arn:a:b:" + "a" * 9000),
        ("arn:" + "${x}" * 10_000 + "b", "arn:" + "a" * 2000),
    ],
)
def test_no_pattern_takes_long(pattern: str, value: str) -> None:
    # In a process of its own: a regular expression that backtracks cannot be interrupted.
    program = (
        "import sys; from rotation_role_policy.iam.resource_patterns import includes;"
        "print(includes(*sys.stdin.read().split()))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        input=f"{pattern} {value}",
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
        env={"PYTHONPATH": str(ROOT / "handler")},
    )
    assert ran.stdout == "False\n"
