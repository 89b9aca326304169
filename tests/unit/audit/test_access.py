"""Access: what the policies of a role decide, what the simulator, and what the policies of secrets and keys."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.account import ACCOUNT, error
from tests.support.audit_account import (
    OPEN_DENY,
    PUT,
    AuditAccount,
    allow,
    codes,
    guide,
    lacking_put,
    the,
    use_key,
)

GET = "secretsmanager:GetSecretValue"
ROOT_POLICY = allow("kms:*", "*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})


SESSION_ELSEWHERE = "arn:aws:sts::999999999999:assumed-role/role-db/rotate-db"
"""A session of a role of another account, with the same name."""


def deny_all_but(principal: str) -> dict[str, Any]:
    """Return the statement of a key's policy that denies the use of the key to everybody but a principal."""
    return {"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*", "NotPrincipal": {"AWS": principal}}


def simulated(**members: Any) -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
    """Return a simulator with this result for each action and resource."""
    return lambda parameters: [
        {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": "allowed"} | members
        for action in parameters["ActionNames"]
        for resource in parameters["ResourceArns"]
    ]


def test_the_simulator_decides_only_what_is_open(audited: AuditAccount) -> None:
    rotation = audited.rotation("db", OPEN_DENY)
    audited.rotation("plain")
    asked: list[dict[str, Any]] = []

    def simulate(parameters: dict[str, Any]) -> list[dict[str, Any]]:
        asked.append(parameters)
        return simulated()(parameters)

    audited.account.simulate = simulate
    assert codes(audited.audit()) == []
    [parameters] = asked
    assert (parameters["PolicySourceArn"], parameters["ActionNames"]) == (rotation.role, [PUT])
    assert parameters["ResourceArns"] == [rotation.secret]
    assert audited.calls()["iam:SimulatePrincipalPolicy"] == 1


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ({"EvalDecision": "explicitDeny", "MatchedStatements": [{"SourcePolicyId": "guardrail"}]}, "ActionBlocked"),
        (
            {
                "EvalDecision": "implicitDeny",
                "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": False},
            },
            "ActionBlocked",
        ),
        ({"EvalDecision": "explicitDeny", "MissingContextValues": ["aws:SourceIp"]}, "AccessUndecided"),
        (
            {"EvalDecision": "implicitDeny", "OrganizationsDecisionDetail": {"AllowedByOrganizations": False}},
            "AccessUndecided",
        ),
        ({"EvalDecision": "implicitDeny"}, "ActionNotGranted"),
        ({"EvalDecision": "allowed", "MissingContextValues": ["aws:SourceIp"]}, None),
    ],
)
def test_the_result_of_the_simulator_determines_the_finding(
    audited: AuditAccount, result: dict[str, Any], code: str | None
) -> None:
    rotation = audited.rotation("db", OPEN_DENY)
    audited.account.simulate = simulated(**result)
    report = audited.audit()
    assert codes(report) == ([code] if code else [])
    if code:
        found = the(report, code)
        assert (found.subject.secret_arn, found.subject.function_arn, found.subject.role_arn) == rotation
        assert PUT in found.message
    assert report.is_complete


def test_a_resource_policy_can_allow_what_the_simulator_finds_that_no_policy_of_the_role_allows(
    audited: AuditAccount,
) -> None:
    rotation = audited.rotation("db", OPEN_DENY)
    audited.account.simulate = simulated(EvalDecision="implicitDeny")
    policy = json.dumps({"Statement": allow(PUT, "*", Principal={"AWS": rotation.role})})
    audited.account.api_responses["secretsmanager:GetResourcePolicy"] = lambda _: {"ResourcePolicy": policy}
    assert codes(audited.audit()) == []
    assert audited.calls()["secretsmanager:GetResourcePolicy"] == 1


@pytest.mark.parametrize(("failure", "code"), [("AccessDenied", "NotInspected"), ("InvalidInput", "AccessUndecided")])
def test_a_simulation_that_fails_leaves_the_access_unknown(audited: AuditAccount, failure: str, code: str) -> None:
    rotation = audited.rotation("db", OPEN_DENY)
    audited.let_fail("iam:SimulatePrincipalPolicy", "", error(failure))
    report = audited.audit()
    assert codes(report) == [code]
    assert (the(report, code).subject.secret_arn, the(report, code).subject.role_arn) == (
        rotation.secret,
        rotation.role,
    )
    assert ("iam:SimulatePrincipalPolicy" in the(report, code).remediation) is (failure == "AccessDenied")


def test_an_explicit_deny_and_a_boundary_block_without_a_simulation(audited: AuditAccount) -> None:
    denied = audited.rotation("denied", {"Effect": "Deny", "Action": PUT, "Resource": "*"})
    bounded = audited.rotation("bounded")
    boundary = audited.managed_policy("boundary", allow("secretsmanager:Get*", "*"))
    audited.account.client("iam").put_role_permissions_boundary(RoleName="role-bounded", PermissionsBoundary=boundary)
    report = audited.audit()
    assert codes(report) == ["ActionBlocked", "ActionBlocked"]
    assert {finding.subject.secret_arn for finding in report.findings if finding.type.code == "ActionBlocked"} == {
        denied.secret,
        bounded.secret,
    }
    assert audited.calls()["iam:SimulatePrincipalPolicy"] == 0
    assert audited.calls()["secretsmanager:GetResourcePolicy"] == 0


def test_a_managed_policy_grants_as_an_inline_policy(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    audited.account.client("iam").delete_role_policy(RoleName="role-db", PolicyName="rotation-db")
    assert codes(audited.audit()) == ["ActionNotGranted", "RandomPasswordNotGranted"]
    audited.managed_policy("rotation", *guide(rotation.secret), roles=[rotation.role])
    assert codes(audited.audit()) == []


def test_a_condition_on_the_function_of_the_secret_holds(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    key = "secretsmanager:resource/AllowRotationLambdaArn"
    for function, expected in ((rotation.function, []), (f"{rotation.function}-2", ["ActionNotGranted"])):
        statements = guide("*")
        statements[0]["Condition"] = {"StringEquals": {key: function}}
        audited.put_policy(rotation.role, *statements, name="rotation-db")
        assert codes(audited.audit()) == expected
    assert audited.calls()["iam:SimulatePrincipalPolicy"] == 0


def test_a_condition_on_a_tag_of_the_secret_is_evaluated(audited: AuditAccount) -> None:
    rotation = audited.rotation(tags={"rotated-by": "db"})
    for value, expected in (("db", []), ("other", ["ActionNotGranted"])):
        statements = guide("*")
        statements[0]["Condition"] = {"StringEquals": {"aws:ResourceTag/rotated-by": value}}
        audited.put_policy(rotation.role, *statements, name="rotation-db")
        assert codes(audited.audit()) == expected


def test_a_function_in_a_vpc_needs_its_network_interfaces(audited: AuditAccount) -> None:
    rotation = audited.rotation(vpc=True)
    report = audited.audit()
    assert codes(report) == ["NetworkInterfacesNotGranted"]
    assert the(report, "NetworkInterfacesNotGranted").subject.secret_arn == ""
    # AWS's own policy for functions in a VPC lacks DetachNetworkInterface.
    actions = [f"ec2:{action}NetworkInterface{s}" for action, s in (("Create", ""), ("Delete", ""), ("Describe", "s"))]
    interfaces = allow(actions, "*")
    audited.put_policy(rotation.role, interfaces, name="vpc")
    assert codes(audited.audit()) == ["NetworkInterfacesOpenToCode"]
    from_code = {"Condition": {"Null": {"lambda:SourceFunctionArn": "false"}}}
    audited.put_policy(rotation.role, interfaces, interfaces | {"Effect": "Deny", **from_code}, name="vpc")
    assert codes(audited.audit()) == []


@pytest.mark.parametrize(
    ("principal", "is_allowed"),
    [
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/role-db"}, True),
        ({"AWS": ["arn:aws:iam::999999999999:root", f"arn:aws:iam::{ACCOUNT}:role/role-db"]}, True),
        ({"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/role-db/rotate-db"}, True),
        ({"AWS": "*"}, True),
        ("*", True),
        # The account delegates to the policies of the role.
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, False),
        ({"AWS": ACCOUNT}, False),
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:role/role-db-2"}, False),
        ({"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/role-db-2/rotate-db"}, False),
        # A role of another account can have the same name.
        ({"AWS": "arn:aws:sts::999999999999:assumed-role/role-db/rotate-db"}, False),
        ({"AWS": "arn:aws-cn:sts::123456789012:assumed-role/role-db/rotate-db"}, False),
        ({"Service": "lambda.amazonaws.com"}, False),
    ],
)
@pytest.mark.parametrize("resource", ["secret", "key"])
def test_the_policy_of_the_secret_or_of_the_key_can_allow_what_the_role_s_policies_do_not(
    audited: AuditAccount, principal: Any, is_allowed: bool, resource: str
) -> None:
    key = audited.account.key()
    rotation = audited.rotation(key=key)
    statement = allow(PUT if resource == "secret" else "kms:*", "*", Principal=principal)
    if resource == "secret":
        audited.put_policy(
            rotation.role, *lacking_put(rotation.secret), use_key(key, rotation.secret), name="rotation-db"
        )
    of_secret = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    of_key = json.dumps({"Statement": [ROOT_POLICY] if resource == "secret" else [ROOT_POLICY, statement]})
    audited.account.api_responses["secretsmanager:GetResourcePolicy"] = lambda _: {"ResourcePolicy": of_secret}
    audited.account.api_responses["kms:GetKeyPolicy"] = lambda _: {"Policy": of_key}
    report = audited.audit()
    assert codes(report) == ([] if is_allowed else ["ActionNotGranted"])
    calls = audited.calls()
    assert (calls["secretsmanager:GetResourcePolicy"], calls["kms:GetKeyPolicy"]) == (
        (1, 1) if resource == "secret" else (0, 1)
    )


def test_a_resource_policy_allows_only_its_actions_and_its_denials_count(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    statements = guide(rotation.secret)
    statements[0]["Action"] = [GET]
    audited.put_policy(rotation.role, *statements, name="rotation-db")
    for_role = {"Principal": {"AWS": rotation.role}}
    policy: dict[str, Any] = {"Statement": allow([PUT, "secretsmanager:DescribeSecret"], "*", **for_role)}
    audited.account.api_responses["secretsmanager:GetResourcePolicy"] = lambda _: {"ResourcePolicy": json.dumps(policy)}
    found = the(audited.audit(), "ActionNotGranted")
    assert "secretsmanager:UpdateSecretVersionStage" in found.message
    assert PUT not in found.message
    policy = {
        "Statement": [allow("secretsmanager:*", "*", **for_role), allow(PUT, "*", **for_role) | {"Effect": "Deny"}]
    }
    assert PUT in the(audited.audit(), "ActionNotGranted").message


def test_a_resource_policy_that_cannot_be_read_leaves_the_access_unknown(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    audited.put_policy(rotation.role, *lacking_put(rotation.secret), name="rotation-db")
    audited.let_fail("secretsmanager:GetResourcePolicy")
    report = audited.audit()
    assert codes(report) == ["NotInspected"]
    assert "secretsmanager:GetResourcePolicy" in the(report, "NotInspected").remediation
    assert the(report, "NotInspected").subject.secret_arn == rotation.secret


def test_no_resource_policy_is_read_if_the_role_s_policies_allow_all(audited: AuditAccount) -> None:
    audited.rotation()
    audited.audit()
    assert {"secretsmanager:GetResourcePolicy", "kms:GetKeyPolicy"}.isdisjoint(audited.calls())


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([ROOT_POLICY], []),
        # One statement needs no list.
        (ROOT_POLICY, []),
        ([allow("kms:*", "*", Principal={"AWS": ACCOUNT})], []),
        ([allow("kms:*", "*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/role-db"})], []),
        # Whether the condition holds is not known.
        ([ROOT_POLICY | {"Condition": {"StringEquals": {"kms:CallerAccount": ACCOUNT}}}], []),
        ([allow("kms:*", "*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/administrator"})], ["ActionBlocked"]),
        ([allow("kms:*", "*", Principal={"AWS": "arn:aws:iam::999999999999:root"})], ["ActionBlocked"]),
        ([allow(["kms:Describe*", "kms:Decrypt"], "*", Principal=ROOT_POLICY["Principal"])], ["ActionBlocked"]),
        ([ROOT_POLICY, ROOT_POLICY | {"Effect": "Deny", "Action": "kms:Decrypt"}], ["ActionBlocked"]),
        ([ROOT_POLICY, ROOT_POLICY | {"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::1:role/x"}}], []),
        ([allow("kms:*", "*", Principal={"AWS": SESSION_ELSEWHERE})], ["ActionBlocked"]),
        ([ROOT_POLICY, allow("kms:*", "*", Principal={"AWS": SESSION_ELSEWHERE}) | {"Effect": "Deny"}], []),
        # Everybody but the administrator is denied, so this role too.
        ([ROOT_POLICY, deny_all_but(f"arn:aws:iam::{ACCOUNT}:role/administrator")], ["ActionBlocked"]),
        ([ROOT_POLICY, deny_all_but(SESSION_ELSEWHERE)], ["ActionBlocked"]),
        # It depends on the service whether a listed role, session or account is denied.
        ([ROOT_POLICY, deny_all_but(f"arn:aws:iam::{ACCOUNT}:role/role-db")], []),
        ([ROOT_POLICY, deny_all_but(f"arn:aws:sts::{ACCOUNT}:assumed-role/role-db/rotate-db")], []),
        ([ROOT_POLICY, deny_all_but(f"arn:aws:iam::{ACCOUNT}:root")], []),
        ([ROOT_POLICY, deny_all_but(ACCOUNT)], []),
    ],
)
def test_the_policy_of_a_key_must_delegate_to_the_policies_of_the_role(
    audited: AuditAccount, statements: Any, expected: list[str]
) -> None:
    key = audited.account.key()
    rotation = audited.rotation(key=key)
    audited.put_policy(rotation.role, use_key(key, rotation.secret), name="key")
    policy = json.dumps({"Statement": statements})
    audited.account.api_responses["kms:GetKeyPolicy"] = lambda _: {"Policy": policy}
    report = audited.audit()
    assert codes(report) == expected
    for found in report.findings[: len(expected)]:
        assert (found.subject.secret_arn, found.subject.role_arn) == (rotation.secret, rotation.role)
        assert "the key's policy" in found.message


def test_not_principal_always_denies_a_role_with_a_boundary(audited: AuditAccount) -> None:
    key = audited.account.key()
    rotation = audited.rotation(key=key)
    audited.put_policy(rotation.role, use_key(key, rotation.secret), name="key")
    policy = json.dumps({"Statement": [ROOT_POLICY, deny_all_but(rotation.role)]})
    audited.account.api_responses["kms:GetKeyPolicy"] = lambda _: {"Policy": policy}
    assert codes(audited.audit()) == []
    boundary = audited.managed_policy("boundary", allow("*", "*"))
    audited.account.client("iam").put_role_permissions_boundary(RoleName="role-db", PermissionsBoundary=boundary)
    found = the(audited.audit(), "ActionBlocked")
    assert "kms:Decrypt" in found.message
    assert "kms:GenerateDataKey" not in found.message


def test_the_policy_of_a_key_of_another_account_need_not_be_readable(audited: AuditAccount) -> None:
    """Only that of a key of the own account is a finding."""
    own = audited.account.key()
    other = own.replace(ACCOUNT, "999999999999")
    for key, expected in ((own, ["NotInspected"]), (other, ["AccessUndecided"])):
        name = f"db-{len(expected[0])}"
        rotation = audited.rotation(name)
        audited.rotations = {rotation.secret: audited.rotations[rotation.secret] | {"KmsKeyId": key}}
        audited.put_policy(rotation.role, use_key(key, rotation.secret), name="key")
        audited.let_fail("kms:GetKeyPolicy")
        audited.let_fail("kms:DescribeKey", "999999999999")
        report = audited.audit()
        assert codes(report) == expected
        assert ("kms:GetKeyPolicy" in report.findings[0].message) is (key == own)


def test_the_function_of_a_secret_is_known_only_for_the_rotated_secret(audited: AuditAccount) -> None:
    """AWS's published policy limits a wildcard to the secrets of the function. The superuser secret has no function."""
    superuser = audited.account.secret("superuser")
    rotation = audited.rotation()
    for_function = {"StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": rotation.function}}
    # The grant without a condition names the superuser secret, and a deny takes it away.
    deny = allow(GET, superuser) | {
        "Effect": "Deny",
        "Condition": {"StringNotEquals": {"secretsmanager:resource/AllowRotationLambdaArn": rotation.function}},
    }
    audited.put_policy(rotation.role, allow(GET, superuser), deny, name="superuser")
    report = audited.audit()
    assert codes(report) == []
    assert audited.calls()["iam:SimulatePrincipalPolicy"] == 1, "whether the deny applies is not known"
    audited.put_policy(rotation.role, allow(GET, superuser, Condition=for_function), name="superuser")
    report = audited.audit()
    # The condition excludes it, so it is no superuser secret.
    assert codes(report) == ["UnneededGrant"]
    assert report.rotations[0].unknowns == ("The role may read no other secret, so no superuser secret is assumed.",)


def test_the_policy_of_a_key_is_read_once_for_all_its_secrets(audited: AuditAccount) -> None:
    key = audited.account.key()
    for name in ("first", "second"):
        rotation = audited.rotation(name, key=key)
        audited.put_policy(rotation.role, use_key(key, rotation.secret), name="key")
    assert codes(audited.audit()) == []
    assert audited.calls()["kms:GetKeyPolicy"] == 1
