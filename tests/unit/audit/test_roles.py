"""The policies of roles: in bulk from eight roles on, and role by role below or if the bulk read is denied."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from rotation_role_policy.audit.facts import FailedCall, Known, Unknown
from rotation_role_policy.audit.lookups import Workers
from rotation_role_policy.audit.roles import read_roles
from rotation_role_policy.iam.document import PolicyKind, PolicyName
from rotation_role_policy.rules.state import Role, RolePolicies
from tests.support.account import REGION, error
from tests.support.audit_account import AuditAccount, WatchedBulkAws, allow

GET, PUT = "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"
BULK = "iam:GetAccountAuthorizationDetails"
ROLE_BY_ROLE = {"iam:GetRole", "iam:ListRolePolicies", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies"}


class Roles(NamedTuple):
    """The result of reading roles: what is known of each, and what is not."""

    policies: dict[str, RolePolicies]
    """By name. A role that does not exist is missing here and in `errors`."""
    errors: dict[str, FailedCall]


def read(audited: AuditAccount, names: Sequence[str]) -> Roles:
    """Read these roles. `audited.calls()` then has the calls for it."""
    audited.account.calls.clear()
    with Workers() as workers:
        found = read_roles(WatchedBulkAws(audited, REGION), workers, names)
    assert set(found) == set(names)
    known = {name: fact.value for name, fact in found.items() if isinstance(fact, Known) and fact.value}
    unknown = {name: fact.problem for name, fact in found.items() if isinstance(fact, Unknown)}
    return Roles(known, {name: problem for name, problem in unknown.items() if isinstance(problem, FailedCall)})


def roles(audited: AuditAccount, number: int) -> list[str]:
    """Create roles with an inline policy and the managed policy ``shared``, and return their names."""
    names = [f"role-{index}" for index in range(number)]
    arns = [audited.account.role(name, path="/service/") for name in names]
    for arn in arns:
        audited.put_policy(arn, allow(GET, "*"), name="inline")
    audited.managed_policy("shared", allow(PUT, "*"), roles=arns)
    return names


@pytest.mark.parametrize("number", [1, 7, 8, 12])
def test_the_result_is_the_same_in_bulk_and_role_by_role(audited: AuditAccount, number: int) -> None:
    names = roles(audited, number)
    audited.account.role("unrelated")
    found = read(audited, names)
    assert (sorted(found.policies), found.errors) == (sorted(names), {})
    for name, role in found.policies.items():
        assert (role.role.name, role.role.arn) == (name, f"arn:aws:iam::123456789012:role/service/{name}")
        assert role.trust_policy["Statement"][0]["Principal"] == {"Service": "lambda.amazonaws.com"}
        assert {policy: document["Statement"] for policy, document in role.inline.items()} == {
            "inline": [allow(GET, "*")]
        }
        assert [document["Statement"] for document in role.managed.values()] == [[allow(PUT, "*")]]
        assert (role.boundary_arn, role.boundary) == ("", None)


def test_fewer_than_eight_roles_are_read_role_by_role(audited: AuditAccount) -> None:
    names = roles(audited, 7)
    read(audited, names)
    calls = audited.calls()
    assert {action: calls[action] for action in ROLE_BY_ROLE} == dict.fromkeys(ROLE_BY_ROLE, 7)
    assert calls[BULK] == 0


def test_eight_roles_are_read_in_bulk_and_their_shared_policy_once(audited: AuditAccount) -> None:
    names = roles(audited, 8)
    read(audited, names)
    assert audited.calls() == {BULK: 1, "iam:GetPolicy": 1, "iam:GetPolicyVersion": 1}


def test_without_the_bulk_read_each_role_is_read(audited: AuditAccount) -> None:
    names = roles(audited, 8)
    audited.let_fail(BULK)
    found = read(audited, names)
    assert (len(found.policies), found.errors) == (8, {})
    calls = audited.calls()
    assert (calls[BULK], calls["iam:GetRole"], calls["iam:GetPolicy"]) == (1, 8, 1)


def test_eight_managed_policies_of_the_account_are_read_in_bulk(audited: AuditAccount) -> None:
    role = audited.account.role("one")
    arns = [audited.managed_policy(f"policy-{number}", allow(GET, f"arn:aws:s3:::{number}")) for number in range(8)]
    for number, arn in enumerate(arns):
        audited.account.client("iam").attach_role_policy(RoleName="one", PolicyArn=arn)
        if number == 0:
            # Only the default version counts.
            audited.account.client("iam").create_policy_version(
                PolicyArn=arn,
                PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow(PUT, "*")]}),
                SetAsDefault=True,
            )
    found = read(audited, ["one"]).policies["one"]
    assert role == found.role.arn
    expected = {
        arn: [allow(GET, f"arn:aws:s3:::{number}") if number else allow(PUT, "*")] for number, arn in enumerate(arns)
    }
    assert {arn: document["Statement"] for arn, document in found.managed.items()} == expected
    assert (audited.calls()[BULK], audited.calls()["iam:GetPolicy"]) == (1, 0)
    # Denied, each is read.
    audited.let_fail(BULK)
    found = read(audited, ["one"]).policies["one"]
    assert {arn: document["Statement"] for arn, document in found.managed.items()} == expected
    assert (audited.calls()[BULK], audited.calls()["iam:GetPolicy"]) == (1, 8)


def test_a_policy_of_aws_is_never_read_in_bulk(audited: AuditAccount) -> None:
    audited.account.role("one")
    arns = [f"arn:aws:iam::aws:policy/policy-{number}" for number in range(9)]
    audited.alter["iam:ListAttachedRolePolicies"] = lambda _: {
        "AttachedPolicies": [{"PolicyArn": arn} for arn in arns],
        "IsTruncated": False,
    }
    audited.account.api_responses = {
        "iam:GetPolicy": lambda parameters: {"Policy": {"DefaultVersionId": f"v{parameters['PolicyArn'][-1]}"}},
        "iam:GetPolicyVersion": lambda parameters: {
            "PolicyVersion": {
                # botocore decodes it.
                "Document": json.dumps({"Statement": allow(GET, parameters["PolicyArn"] + parameters["VersionId"])})
            }
        },
    }
    found = read(audited, ["one"]).policies["one"]
    assert [document["Statement"]["Resource"] for document in found.managed.values()] == [
        f"{arn}v{arn[-1]}" for arn in arns
    ]
    assert audited.calls()[BULK] == 0


@pytest.mark.parametrize("number", [1, 8])
def test_a_boundary_is_a_limit_and_no_grant(audited: AuditAccount, number: int) -> None:
    names = roles(audited, number)
    boundary = audited.managed_policy("boundary", allow("s3:*", "*"))
    member = {"PermissionsBoundaryArn": boundary, "PermissionsBoundaryType": "Policy"}
    audited.account.client("iam").put_role_permissions_boundary(RoleName="role-0", PermissionsBoundary=boundary)
    # Moto's bulk read leaves it out.
    audited.alter[BULK] = lambda response: (
        response
        | {
            "RoleDetailList": [
                detail | ({"PermissionsBoundary": member} if detail["RoleName"] == "role-0" else {})
                for detail in response["RoleDetailList"]
            ]
        }
    )
    found = read(audited, names)
    role = found.policies["role-0"]
    assert role.boundary_arn == boundary
    assert role.boundary is not None
    assert role.boundary["Statement"] == [allow("s3:*", "*")]
    assert boundary not in role.managed
    assert all(other.boundary is None for name, other in found.policies.items() if name != "role-0")


@pytest.mark.parametrize("number", [1, 8])
def test_a_role_that_does_not_exist_is_neither_read_nor_an_error(audited: AuditAccount, number: int) -> None:
    names = roles(audited, number)
    found = read(audited, [*names[1:], "gone"])
    assert (sorted(found.policies), found.errors) == (sorted(names[1:]), {})


@pytest.mark.parametrize("action", sorted(ROLE_BY_ROLE))
def test_a_denied_call_concerns_only_its_role(audited: AuditAccount, action: str) -> None:
    names = roles(audited, 2)
    audited.let_fail(action, "role-1", error("AccessDenied"))
    found = read(audited, names)
    assert (list(found.policies), list(found.errors)) == (["role-0"], ["role-1"])
    assert found.errors["role-1"].action == action


@pytest.mark.parametrize("action", ["iam:GetPolicy", "iam:GetPolicyVersion"])
def test_a_managed_policy_that_cannot_be_read_concerns_all_roles_that_have_it(
    audited: AuditAccount, action: str
) -> None:
    names = roles(audited, 2)
    audited.account.role("without")
    audited.let_fail(action, "policy/shared")
    found = read(audited, [*names, "without"])
    assert (list(found.policies), sorted(found.errors)) == (["without"], names)
    assert audited.calls()[action] == 1


def test_the_policies_of_a_role_have_their_kind_and_name() -> None:
    document: Any = {"Statement": []}
    role = RolePolicies(Role("x", "arn:x"), {}, {"inline": document}, {"arn:y": document}, "arn:z", document)
    assert [policy.name for policy in role.policies] == [
        PolicyName(PolicyKind.INLINE, "inline"),
        PolicyName(PolicyKind.MANAGED, "arn:y"),
    ]
    assert role.boundary_policy
    assert role.boundary_policy.name == PolicyName(PolicyKind.BOUNDARY, "arn:z")


def test_all_pages_of_a_role_s_policies_are_read(audited: AuditAccount) -> None:
    role = audited.account.role("one")
    for number in range(3):
        audited.put_policy(role, allow(GET, "*"), name=f"inline-{number}")
    pages = Counter[str]()

    def page(parameters: dict[str, Any]) -> dict[str, Any]:
        number = int(parameters.get("Marker", "0"))
        pages[str(number)] += 1
        names = {"PolicyNames": [f"inline-{number}"], "IsTruncated": number < 2}
        return names | ({"Marker": str(number + 1)} if number < 2 else {})

    audited.account.api_responses["iam:ListRolePolicies"] = page
    assert sorted(read(audited, ["one"]).policies["one"].inline) == ["inline-0", "inline-1", "inline-2"]
    assert pages == {"0": 1, "1": 1, "2": 1}


def test_a_bulk_response_that_cannot_be_read_leads_to_role_by_role(
    audited: AuditAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rotation_role_policy.audit.lookups.CONTAINED_ERRORS", (Exception,))
    names = roles(audited, 8)
    audited.alter[BULK] = lambda response: {
        member: [{**each, "Arn": each["Arn"], "RolePolicyList": [{}]} for each in details] if details else details
        for member, details in response.items()
        if isinstance(details, list)
    }
    assert sorted(read(audited, names).policies) == sorted(names)
    assert audited.calls()["iam:GetRole"] == 8
