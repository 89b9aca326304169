"""Documents that do not follow IAM's grammar."""

from typing import Any

import pytest

from rotation_role_policy.iam.document import Condition, Element, PolicyKind, Principals, parse


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


def test_a_statement_is_parsed_into_lists() -> None:
    [first, second] = parse(
        {
            "Statement": [
                {
                    "Sid": "First",
                    "Effect": "Allow",
                    "Action": "iam:Get*",
                    "NotResource": ["a", "b"],
                    "Condition": {"Bool": {"aws:SecureTransport": True}, "NumericLessThan": {"aws:TokenAge": [10]}},
                },
                {"Effect": "Deny", "NotAction": ["iam:*"], "Principal": "*"},
            ]
        }
    )
    assert (first.number, first.sid, first.effect, first.allows) == (1, "First", "Allow", True)
    assert (first.actions, first.resources) == (Element(("iam:Get*",)), Element(("a", "b"), is_negated=True))
    assert first.principals is None
    assert first.conditions == (
        Condition("Bool", "aws:SecureTransport", ("true",)),
        Condition("NumericLessThan", "aws:TokenAge", ("10",)),
    )
    assert first.includes_action("IAM:getrole")
    assert (second.number, second.sid, second.allows) == (2, "", False)
    assert (second.resources, second.principals) == (Element(()), Principals({"AWS": ("*",)}))
    assert not second.includes_action("IAM:getrole")


def test_what_a_document_lacks_is_empty() -> None:
    assert parse({}) == ()
    [statement] = parse({"Statement": {}})
    assert (statement.sid, statement.effect, statement.actions, statement.conditions) == ("", "", Element(()), ())
    assert len({*PolicyKind}) == len(PolicyKind.__members__)
