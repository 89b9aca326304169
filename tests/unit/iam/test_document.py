"""Documents that do not follow IAM's grammar."""

from typing import Any

import pytest

from rotation_role_policy.iam.document import Condition, parse


@pytest.mark.parametrize(
    "statement",
    [
        "Allow",
        ["Allow"],
        {"Effect": "Allow", "Condition": ["StringEquals"]},
        {"Effect": "Allow", "Condition": "StringEquals"},
        {"Effect": "Allow", "Condition": {"StringEquals": "aws:SourceAccount"}},
        {"Effect": "Allow", "Condition": {"StringEquals": ["aws:SourceAccount"]}},
    ],
)
def test_a_document_that_iam_would_reject_is_one_error(statement: Any) -> None:
    with pytest.raises(ValueError, match="statement 2 of the policy is not an object"):
        parse({"Statement": [{"Effect": "Deny"}, statement]})


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("StringEquals", ("a",), True),
        ("stringlike", ("a*", "b"), True),
        ("ForAnyValue:ArnLike", ("arn:*",), True),
        ("StringLike", ("a", "**"), False),
        ("StringLike", (), False),
        ("StringNotEquals", ("a",), False),
        ("StringEqualsIfExists", ("a",), False),
        ("ForAllValues:StringEquals", ("a",), False),
        ("Null", ("false",), False),
    ],
)
def test_a_condition_limits_a_context_key_to_some_values(
    operator: str, values: tuple[str, ...], expected: bool
) -> None:
    assert Condition(operator, "aws:SourceAccount", values).is_limit is expected
