"""What random policies allow on secrets and keys that nobody needs, against MiniStack's evaluator of IAM policies.

A policy has a wildcard, and what people limit it with: conditions, denials, a boundary. If the other evaluator allows a
call on one of some real secrets, or on a key, the wildcard must be reported.
"""

from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rotation_role_policy.rules.excess import ExcessKind, find_excess
from tests.support.iam import boundary_with, decision, inline
from tests.unit.rules.test_excess import CONTEXT, FUNCTION, GET, LAMBDA_KEY, NEEDED, OTHER_SECRET
from tests.unit.rules.test_policy import KEY, SECRET

SECRETS = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:"
KEYS = "arn:aws:kms:eu-central-1:123456789012:key/"
ENV, VIA = "aws:ResourceTag/env", "kms:ViaService"
NAMES = ("payroll", "0x", "my-secret", "a/b", "prod/x", "prod/app/db", "team-a-b", "abcd", "x.y", "Z", "q" * 90, "_")
PATTERNS = ("*", "prod/*", "*/db-*", "team-*", "*secret*", "?*", "*-??????", "0*", "*a*", "*/*", "????-??????", "*-*")
KEY_IDS = ("a1b2c3d4-1111-2222-3333-444455556666", "mrk-0123456789abcdef0123456789abcdef")
KEY_PATTERNS = ("*", "mrk-*", "*-*", "a*", "????????-????-????-????-????????????", "*key*", "0*")
OF_SECRETS: tuple[dict[str, Any], ...] = (
    {},
    {"StringEquals": {ENV: "prod"}},
    {"Null": {ENV: "false"}},
    {"Null": {ENV: "true"}},
    {"StringNotEquals": {ENV: "prod"}},
    {"StringLike": {ENV: "*"}},
    {"StringLike": {ENV: "p*"}},
    {"StringNotLike": {ENV: "p*"}},
    {"ForAnyValue:StringNotEquals": {ENV: "prod"}},
    {"StringEqualsIfExists": {ENV: "prod"}},
    {"StringEquals": {LAMBDA_KEY: FUNCTION}},
    {"StringNotEquals": {LAMBDA_KEY: FUNCTION}},
    {"ArnLike": {LAMBDA_KEY: FUNCTION.replace("rotate-db", "*")}},
    {"Null": {LAMBDA_KEY: "true"}},
    {"StringEquals": {ENV: "prod", LAMBDA_KEY: FUNCTION}},
)
OF_KEYS: tuple[dict[str, Any], ...] = (
    {},
    {"Null": {CONTEXT: "true"}},
    {"Null": {CONTEXT: "false"}},
    *(
        {operator: {CONTEXT: value}}
        for operator in ("StringEquals", "StringLike", "StringNotLike", "StringEqualsIfExists")
        for value in (SECRET, [SECRET, OTHER_SECRET], f"{SECRETS}prod/*", f"{SECRETS}*")
    ),
    {"StringLike": {VIA: "secretsmanager.*"}},
    {"StringLike": {VIA: "sqs.*"}},
    {"StringNotLike": {VIA: "secretsmanager.*"}},
    {"StringEquals": {VIA: "secretsmanager.eu-central-1.amazonaws.com", CONTEXT: SECRET}},
)


POLICIES = settings(max_examples=10 * settings().max_examples)
"""250 in `make test`, 4,000 in `make soak`."""


@st.composite
def limited(draw: st.DrawFn, action: str, prefix: str, patterns: tuple[str, ...], conditions: Any) -> tuple[Any, Any]:
    """Return the statements of a policy, and those of a boundary or None."""

    def statement(effect: str, resource: str = "Resource") -> dict[str, Any]:
        found = {"Effect": effect, "Action": action, resource: prefix + draw(st.sampled_from(patterns))}
        condition = draw(st.sampled_from(({}, conditions[0], *conditions)))
        return {**found, "Condition": condition} if condition else found

    statements = [statement("Allow"), *(statement("Deny") for _ in range(draw(st.integers(0, 2))))]
    match draw(st.sampled_from(("", "boundary", "Deny"))):
        case "boundary":
            return statements, [statement("Allow")]
        case "Deny":
            statements.append(statement("Deny", "NotResource"))
    return statements, None


def is_allowed(statements: Any, boundary: Any, action: str, resource: str, context: dict[str, str]) -> bool:
    limits = None if boundary is None else {"Version": "2012-10-17", "Statement": boundary}
    found = decision([{"Version": "2012-10-17", "Statement": statements}], action, resource, context, boundary=limits)
    return found == "Allow"


def reported(statements: Any, boundary: Any) -> set[ExcessKind]:
    policies = [inline({"Version": "2012-10-17", "Statement": statements})]
    limits = None if boundary is None else boundary_with({"Version": "2012-10-17", "Statement": boundary})
    return {each.kind for each in find_excess(policies, policies, limits, NEEDED)}


def contexts(first: str, second: str, *values: str | None) -> Iterator[dict[str, str]]:
    """Yield contexts with and without two keys: the first has each of some values, the second a value that is fixed."""
    fixed = {LAMBDA_KEY: f"{FUNCTION}-of-others", VIA: "secretsmanager.eu-central-1.amazonaws.com"}[second]
    for value in (None, *values):
        for other in (None, fixed):
            found = {first: value, second: other}
            yield {key: each for key, each in found.items() if each is not None}


@POLICIES
@given(limited(GET, SECRETS, PATTERNS, OF_SECRETS))
def test_a_secret_that_another_evaluator_finds_readable_is_reported(policy: tuple[Any, Any]) -> None:
    is_readable = any(
        is_allowed(*policy, GET, f"{SECRETS}{name}-QwErTy", context)
        for name in NAMES
        for context in contexts(ENV, LAMBDA_KEY, "any")
    )
    assert ExcessKind.OTHER_SECRETS in reported(*policy) or not is_readable


@POLICIES
@given(limited("kms:Decrypt", KEYS, (*KEY_PATTERNS, KEY.removeprefix(KEYS)), OF_KEYS))
def test_a_key_that_another_evaluator_finds_usable_is_reported(policy: tuple[Any, Any]) -> None:
    others = {ExcessKind.OTHER_KEYS, ExcessKind.KEY_FOR_OTHER_SECRETS}
    for keys, kinds in (
        ([KEYS + each for each in KEY_IDS], others),
        ([KEY], {*others, ExcessKind.KEY_FOR_EVERYTHING, ExcessKind.KEY_FOR_EVERY_SECRET}),
    ):
        is_usable = any(
            is_allowed(*policy, "kms:Decrypt", key, context)
            for key in keys
            for context in contexts(CONTEXT, VIA, OTHER_SECRET, f"{SECRETS}prod/zz-AbCdEf")
        )
        assert not is_usable or reported(*policy) & kinds
