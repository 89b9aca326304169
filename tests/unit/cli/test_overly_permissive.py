"""Which other policies on a role grant more than the least-privilege policy."""

from typing import Any

import pytest

from rotation_role_policy.rules import policy
from rotation_role_policy.rules.state import Secret
from rotation_role_policy_cli.preview.overly_permissive import OverlyPermissiveGrant, find_overly_permissive
from tests.unit.rules.test_policy import KEY, SECRET, state

DOCUMENT = policy.document(state(Secret(SECRET, KEY)), "Strict")
READ = "secretsmanager:GetSecretValue"


def findings(action: Any = READ, resource: Any = "*", **members: Any) -> list[OverlyPermissiveGrant]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource} | members
    statement = {name: value for name, value in statement.items() if value is not None}
    return find_overly_permissive(DOCUMENT, {"it": {"Version": "2012-10-17", "Statement": statement}})


@pytest.mark.parametrize(
    ("statement", "actions", "pattern"),
    [
        ({}, [READ], "*"),
        ({"action": "secretsmanager:*"}, ["secretsmanager:*"], "*"),
        ({"action": "SecretsManager:getsecret*"}, ["SecretsManager:getsecret*"], "*"),
        ({"action": ["x:y", "secretsmanager:Get?ecretValue"]}, ["secretsmanager:Get?ecretValue"], "*"),
        ({"action": ["secretsmanager:GetSecretValue", "secretsmanager:*"]}, ["secretsmanager:*"], "*"),
        ({"action": None, "NotAction": "iam:*", "resource": SECRET[:-6] + "*"}, ["all but iam:*"], SECRET[:-6] + "*"),
        ({"resource": "arn:aws:secretsmanager:*:*:secret:prod/*"}, [READ], "arn:aws:secretsmanager:*:*:secret:prod/*"),
        ({"resource": [SECRET, "arn:aws:secretsmanager:*"]}, [READ], "arn:aws:secretsmanager:*"),
        ({"resource": "arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/team}/*"}, [READ],
         "arn:aws:secretsmanager:*:*:secret:${aws:PrincipalTag/team}/*"),
        ({"resource": None, "NotResource": "arn:aws:secretsmanager:*:*:secret:x-??????"}, [READ],
         "all but arn:aws:secretsmanager:*:*:secret:x-??????"),
        # These actions also delete the secret and change its resource policy.
        ({"action": "secretsmanager:*", "resource": SECRET}, ["secretsmanager:*"], SECRET),
        # A grant without a condition bypasses the condition of the least-privilege policy.
        ({"action": "kms:Decrypt", "resource": KEY}, ["kms:Decrypt"], KEY),
        ({"action": "kms:*"}, ["kms:*"], "*"),
    ],
)  # fmt: skip
def test_a_statement_that_grants_more_is_found(statement: dict[str, Any], actions: list[str], pattern: str) -> None:
    assert findings(**statement) == [OverlyPermissiveGrant("it", tuple(actions), pattern, is_conditional=False)]


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Deny"},
        {"resource": SECRET},
        # The wildcards match the six random characters of one secret.
        {"resource": SECRET[:-6] + "??????"},
        {"resource": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:other/*"},
        # ARNs are case-sensitive.
        {"resource": SECRET.upper() + "*"},
        {"action": "secretsmanager:ListSecrets"},
        # Actions that support no narrower resource are not reported.
        {"action": ["secretsmanager:GetRandomPassword", "ec2:*"]},
        {"action": None, "NotAction": ["secretsmanager:*", "kms:*"]},
        {"resource": None, "NotResource": [SECRET, KEY]},
    ],
)
def test_a_statement_that_does_not_grant_more_is_not_found(statement: dict[str, Any]) -> None:
    assert findings(**statement) == []


def test_a_grant_with_a_condition_is_marked_as_conditional() -> None:
    condition = {"StringEquals": {"aws:PrincipalTag/team": "db"}}
    assert findings(Condition=condition) == [OverlyPermissiveGrant("it", (READ,), "*", is_conditional=True)]
    assert findings(READ, SECRET, Condition=condition) == []


def test_a_different_condition_on_the_same_key_is_overly_permissive() -> None:
    [own] = [statement["Condition"] for statement in DOCUMENT["Statement"] if "Condition" in statement]
    other_condition = {"StringLike": {"kms:ViaService": "secretsmanager.*"}}
    assert findings("kms:Decrypt", KEY, Condition=other_condition) == [
        OverlyPermissiveGrant("it", ("kms:Decrypt",), KEY, is_conditional=True)
    ]
    assert findings("kms:Decrypt", KEY, Condition=own) == []


def test_each_policy_and_each_resource_pattern_has_one_finding() -> None:
    statements = [
        {"Effect": "Allow", "Action": READ, "Resource": "*"},
        {"Effect": "Allow", "Action": "secretsmanager:Put*", "Resource": "arn:aws:secretsmanager:*"},
    ]
    policies = {"a": {"Statement": statements}, "b": {"Statement": statements[:1]}, "c": {}}
    assert [(grant.policy, grant.actions, grant.resource) for grant in find_overly_permissive(DOCUMENT, policies)] == [
        ("a", (READ,), "*"),
        ("a", ("secretsmanager:Put*",), "arn:aws:secretsmanager:*"),
        ("b", (READ,), "*"),
    ]


def test_the_policy_in_the_user_guide_is_not_overly_permissive_compared_with_itself() -> None:
    documented = policy.document(state(Secret(SECRET, None)), "Documented")
    assert find_overly_permissive(documented, {"it": documented}) == []
