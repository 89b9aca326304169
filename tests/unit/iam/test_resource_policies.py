"""What a resource-based policy decides, and whether that depends on facts about the role."""

from typing import Any

import pytest

from rotation_role_policy.iam.document import JsonDocument, Policy, PolicyKind, PolicyName
from rotation_role_policy.iam.evaluation import Calls
from rotation_role_policy.iam.key_grants import can_allow
from rotation_role_policy.iam.resource_policies import (
    CallingRole,
    decide,
    depends_on_identity,
    is_key,
    resource_policy_of,
)

SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/db-AbCdEf"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/11111111-1111-1111-1111-111111111111"
ROLE = "arn:aws:iam::123456789012:role/rotation-role"
ROOT = "arn:aws:iam::123456789012:root"
OURS = "AROAEXAMPLEOURS"
BOTH = ("kms:Decrypt", "kms:GenerateDataKey")


def policy(*statements: dict[str, Any]) -> Policy:
    filled = [{"Effect": "Deny", "Action": "*", "Resource": "*"} | statement for statement in statements]
    return Policy(PolicyName(PolicyKind.KEY, KEY), {"Statement": filled})


def calls(**context: str) -> Calls:
    return Calls(BOTH, (KEY,), {f"aws:{name}": value for name, value in context.items()})


UNKNOWN = CallingRole(ROLE, has_boundary=None, unique_id=None)


@pytest.mark.parametrize(("resource", "kind"), [(SECRET, PolicyKind.SECRET), (KEY, PolicyKind.KEY)])
def test_the_policy_of_a_secret_or_key_has_the_name_of_its_resource(resource: str, kind: PolicyKind) -> None:
    document: JsonDocument = {"Statement": []}
    assert resource_policy_of(resource, document) == Policy(PolicyName(kind, resource), document)
    assert is_key(resource) is (kind is PolicyKind.KEY)


def test_each_action_has_a_decision_with_the_statements_that_decide() -> None:
    first, second, third, fourth, fifth = (
        {"Sid": "1", "Principal": "*", "Action": "kms:Decrypt"},
        {"Sid": "2", "Principal": "*", "Action": "kms:Decrypt"},
        {"Sid": "3", "Principal": "*", "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}},
        {"Sid": "4", "Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:Decrypt"},
        {"Sid": "5", "Effect": "Allow", "Principal": "*", "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}},
    )
    found = policy(first, second, third, fourth, fifth)
    decrypt, generate = decide(found, UNKNOWN, calls(), account_delegates=True)
    assert decrypt.denied_by
    assert (decrypt.action, decrypt.denied_by.sid, decrypt.is_allowed) == ("kms:Decrypt", "1", True)
    assert (generate.action, generate.denied_by, generate.is_allowed) == ("kms:GenerateDataKey", None, None)
    assert [[each.sid for each in decision.open_denials] for decision in (decrypt, generate)] == [["3"], ["3"]]
    assert [each.sid for each in generate.open_allows] == ["5"]
    # Without the delegation, only an Allow for the role counts.
    decrypt, _ = decide(policy(fourth), UNKNOWN, calls(), account_delegates=False)
    assert decrypt.is_allowed is False


def test_nothing_is_certain_that_does_not_hold_in_each_context() -> None:
    found = policy(
        {"Principal": "*", "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}},
        {"Effect": "Allow", "Principal": "*", "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-2"}}},
    )
    one, other = calls(SourceVpc="vpc-1"), calls(SourceVpc="vpc-2")
    decision, _ = decide(found, UNKNOWN, one, account_delegates=True)
    assert (decision.denied_by is not None, decision.is_allowed) == (True, False)
    decision, _ = decide(found, UNKNOWN, other, account_delegates=True)
    assert (decision.denied_by, decision.open_denials, decision.is_allowed) == (None, (), True)
    decision, _ = decide(found, UNKNOWN, one, other, account_delegates=True)
    assert (decision.denied_by, len(decision.open_denials), decision.is_allowed) == (None, 1, None)


def test_an_incomplete_arn_leaves_a_statement_open() -> None:
    # AWS documents the completion for policies of identities only.
    for resource, expected in (("arn:aws:kms", (None, 1)), ("arn:aws:s3", (None, 0)), (f"{KEY[:-4]}*", (1, 0))):
        decision, _ = decide(policy({"Principal": "*", "Resource": resource}), UNKNOWN, calls(), account_delegates=True)
        assert (decision.denied_by and decision.denied_by.number, len(decision.open_denials)) == expected


@pytest.mark.parametrize(
    ("statement", "depends"),
    [
        ({"Principal": {"AWS": ROLE}}, False),
        ({"Principal": {"AWS": OURS}}, True),
        ({"Effect": "Allow", "Principal": {"AWS": OURS}}, True),
        ({"Principal": {"AWS": [OURS, "*"]}}, False),
        ({"NotPrincipal": {"AWS": ROLE}}, True),
        ({"NotPrincipal": {"AWS": ROOT}}, True),
        ({"NotPrincipal": {"AWS": OURS}}, True),
        ({"NotPrincipal": {"AWS": "arn:aws:iam::123456789012:role/dba"}}, False),
        ({"Effect": "Allow", "NotPrincipal": {"AWS": ROLE}}, False),
        ({"Principal": {"AWS": "AIDAEXAMPLEUSER"}}, False),
        ({}, False),
    ],
)
def test_a_decision_can_depend_on_the_boundary_or_the_unique_id_of_the_role(
    statement: dict[str, Any], depends: bool
) -> None:
    [parsed] = policy(statement).statements
    assert depends_on_identity(parsed, ROLE) is depends


@pytest.mark.parametrize(
    ("unique_id", "has_boundary", "principal", "not_principal"),
    [
        (OURS, False, True, None),
        (OURS, True, True, True),
        ("AROAEXAMPLEOTHER", False, False, True),
        ("AROAEXAMPLEOTHER", True, False, True),
        (None, None, None, None),
        (None, True, None, True),
    ],
)
def test_a_role_is_named_by_its_unique_id(
    unique_id: str | None, has_boundary: bool | None, principal: bool | None, not_principal: bool | None
) -> None:
    role = CallingRole(ROLE, has_boundary, unique_id)
    for element, expected in (("Principal", principal), ("NotPrincipal", not_principal)):
        decision, _ = decide(policy({element: {"AWS": OURS}}), role, calls(), account_delegates=True)
        assert (decision.denied_by is not None, bool(decision.open_denials)) == (expected is True, expected is None)


def test_an_unknown_value_of_the_encryption_context_can_match() -> None:
    grant = {"Operations": ["Decrypt"], "Constraints": {"EncryptionContextSubset": {"a": "1"}}}
    assert can_allow(grant, "kms:Decrypt", {"a": "1", "b": "2"})
    assert can_allow(grant, "kms:Decrypt", {"a": None})
    assert not can_allow(grant, "kms:Decrypt", {"a": "2"})
    assert not can_allow(grant, "kms:Decrypt", {"b": "1"})
    assert not can_allow(grant, "kms:Encrypt", {"a": "1"})
    assert can_allow({"Operations": ["Decrypt"], "Constraints": {}}, "kms:Decrypt", {})
    assert can_allow({"Operations": ["Decrypt"]}, "kms:Decrypt", {"a": "1"})
    assert not can_allow({}, "kms:Decrypt", {"a": "1"})


def test_the_encryption_context_of_a_grant_must_be_included_or_equal() -> None:
    def matches(**constraints: dict[str, str]) -> bool:
        return can_allow({"Operations": ["Decrypt"], "Constraints": constraints}, "kms:Decrypt", {"a": "1", "b": None})

    assert matches(EncryptionContextEquals={"a": "1", "b": "2"})
    assert not matches(EncryptionContextEquals={"a": "2", "b": "2"})
    assert not matches(EncryptionContextEquals={"a": "1"})
    assert not matches(EncryptionContextEquals={})
    assert not matches(EncryptionContextEquals={"a": "1", "b": "2", "c": "3"})
    assert matches(EncryptionContextSubset={})
    assert matches(EncryptionContextSubset={"b": "2"})
    assert not matches(EncryptionContextSubset={"c": "3"})
    assert not matches(EncryptionContextSubset={"a": "2"}, EncryptionContextEquals={"a": "1", "b": "2"})
