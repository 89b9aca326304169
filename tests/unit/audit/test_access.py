"""Access: what the policies of a role decide, what the simulator, and what the policies of secrets and keys."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rotation_role_policy.audit import lookups
from tests.support.account import ACCOUNT, error
from tests.support.audit_account import (
    NOW,
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


def always(response: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that responds so to every call."""
    return lambda _: response


def by_secret(responses: dict[str, dict[str, Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that responds to the calls for some secrets."""
    return lambda parameters: responses.get(parameters["SecretId"], {})


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
    assert audited.calls()["secretsmanager:GetResourcePolicy"] == 2


def test_a_managed_policy_grants_as_an_inline_policy(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    audited.account.client("iam").delete_role_policy(RoleName="role-db", PolicyName="rotation-db")
    assert codes(audited.audit()) == ["ActionNotGranted", "RandomPasswordNotGranted"]
    audited.managed_policy("rotation", *guide(rotation.secret), roles=[rotation.role])
    assert codes(audited.audit()) == []


def test_a_condition_on_the_function_of_the_secret_holds(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    key = "secretsmanager:resource/AllowRotationLambdaArn"
    # The secrets of the other function are too much.
    for function, expected in (
        (rotation.function, []),
        (f"{rotation.function}-2", ["ActionNotGranted", "OtherSecrets"]),
    ):
        statements = guide("*")
        statements[0]["Condition"] = {"StringEquals": {key: function}}
        audited.put_policy(rotation.role, *statements, name="rotation-db")
        assert codes(audited.audit()) == expected
    assert audited.calls()["iam:SimulatePrincipalPolicy"] == 0


def test_a_condition_on_a_tag_of_the_secret_is_evaluated(audited: AuditAccount) -> None:
    rotation = audited.rotation(tags={"rotated-by": "db"})
    # A tag that the secret does not have is that of other secrets.
    for value, expected in (("db", []), ("other", ["ActionNotGranted", "OtherSecrets"])):
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
        # Which session the function has is not known.
        ({"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/role-db/rotate-db"}, None),
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
    audited: AuditAccount, principal: Any, is_allowed: bool | None, resource: str
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
    assert codes(report) == {True: [], False: ["ActionNotGranted"], None: ["AccessUndecided"]}[is_allowed]
    calls = audited.calls()
    assert (calls["secretsmanager:GetResourcePolicy"], calls["kms:GetKeyPolicy"]) == (1, 1)
    # The grants are listed only where otherwise the key would be an error.
    assert calls["kms:ListGrants"] == calls["kms:ListKeyPolicies"] == (resource == "key" and is_allowed is False)


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
    assert PUT in the(audited.audit(), "ActionBlocked").message


def test_a_resource_policy_that_cannot_be_read_leaves_the_access_unknown(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    audited.put_policy(rotation.role, *lacking_put(rotation.secret), name="rotation-db")
    audited.let_fail("secretsmanager:GetResourcePolicy")
    report = audited.audit()
    assert codes(report) == ["NotInspected"]
    assert "secretsmanager:GetResourcePolicy" in the(report, "NotInspected").remediation
    assert the(report, "NotInspected").subject.secret_arn == rotation.secret


def test_the_policy_of_each_secret_is_read_once_and_a_deny_in_it_blocks_what_the_role_s_policies_allow(
    audited: AuditAccount,
) -> None:
    rotation = audited.rotation()
    sound = audited.rotate("sound", rotation.function)
    audited.put_policy(rotation.role, *guide(sound), name="rotation-sound")
    deny = allow("secretsmanager:*", "*", Sid="Guard", Principal="*") | {"Effect": "Deny"}
    for_all_but = {"Condition": {"StringNotEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/administrator"}}}
    policies = {rotation.secret: {"ResourcePolicy": json.dumps({"Statement": [deny | for_all_but]})}}
    audited.account.api_responses["secretsmanager:GetResourcePolicy"] = by_secret(policies)
    report = audited.audit()
    assert codes(report) == ["ActionBlocked"]
    found = the(report, "ActionBlocked")
    assert found.subject.secret_arn == rotation.secret
    assert GET in found.message
    assert f"on {rotation.secret} " in found.message
    assert """in the secret's resource policy (the statement "Guard")""" in found.message
    assert audited.calls()["secretsmanager:GetResourcePolicy"] == 2
    assert audited.calls()["kms:GetKeyPolicy"] == 0


def test_a_role_that_was_created_again_is_not_the_one_that_a_policy_names_by_its_id(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    own_id = audited.account.client("iam").get_role(RoleName="role-db")["Role"]["RoleId"]
    for unique_id, expected in ((own_id, ["ActionBlocked"]), ("AROAEXAMPLE", [])):
        policy = json.dumps({"Statement": allow(PUT, "*", Principal={"AWS": unique_id}) | {"Effect": "Deny"}})
        audited.account.api_responses["secretsmanager:GetResourcePolicy"] = always({"ResourcePolicy": policy})
        assert codes(audited.audit()) == expected
    assert rotation


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, "AccessUndecided"),
        ({"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}, "AccessUndecided"),
        # The tags of a secret are all known.
        ({"StringNotEquals": {"aws:ResourceTag/team": "a"}}, "ActionBlocked"),
        ({"StringEquals": {"aws:ResourceTag/team": "a"}}, None),
        ({"Bool": {"aws:SecureTransport": "false"}}, None),
        ({"Bool": {"aws:ViaAWSService": "true"}}, None),
    ],
)
def test_what_the_conditions_of_a_secret_s_policy_leave_open_is_undecided(
    audited: AuditAccount, condition: dict[str, Any], expected: str | None
) -> None:
    audited.rotation()
    deny = allow("secretsmanager:*", "*", Principal="*", Condition=condition) | {"Effect": "Deny"}
    audited.account.api_responses["secretsmanager:GetResourcePolicy"] = lambda _: {
        "ResourcePolicy": json.dumps({"Statement": deny})
    }
    assert codes(audited.audit()) == ([expected] if expected else [])


def test_a_condition_on_the_network_of_the_caller_in_a_key_s_policy_is_undecided_with_advice(
    audited: AuditAccount,
) -> None:
    """Secrets Manager calls KMS, not the function. With aws:ViaAWSService, the statement leaves these calls out."""
    key = audited.account.key()
    rotation = audited.rotation(key=key)
    audited.put_policy(rotation.role, use_key(key, rotation.secret), name="key")
    outside = {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    for condition, expected in (
        (outside, ["AccessUndecided"]),
        (outside | {"Bool": {"aws:ViaAWSService": "false"}}, []),
        (outside | {"BoolIfExists": {"aws:ViaAWSService": "false"}}, []),
    ):
        deny = allow("kms:*", "*", Principal="*", Condition=condition) | {"Effect": "Deny"}
        policy = json.dumps({"Statement": [ROOT_POLICY, deny]})
        audited.account.api_responses["kms:GetKeyPolicy"] = always({"Policy": policy})
        report = audited.audit()
        assert codes(report) == expected
        if expected:
            assert (
                "statement 2 in the key's policy can deny it, which depends on aws:SourceIp"
                in the(report, "AccessUndecided").message
            )
            assert "Bool aws:ViaAWSService false" in the(report, "AccessUndecided").remediation


def test_what_stays_open_is_one_note_for_each_role_and_context_key(audited: AuditAccount) -> None:
    first = audited.rotation("s0")
    secrets = [first.secret, *(audited.rotate(f"s{number}", first.function) for number in range(1, 6))]
    for secret in secrets[1:]:
        audited.put_policy(first.role, *guide(secret), name=secret[-12:])
    other = audited.rotation("other")
    deny = allow("secretsmanager:*", "*", Principal="*") | {"Effect": "Deny"}
    by_ip = deny | {"Condition": {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}
    by_org = deny | {"Condition": {"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}, "Action": GET}
    audited.account.api_responses["secretsmanager:GetResourcePolicy"] = lambda parameters: {
        "ResourcePolicy": json.dumps(
            {"Statement": [by_ip, *([by_org] if parameters["SecretId"] == secrets[0] else [])]}
        )
    }
    report = audited.audit()
    notes = {each.message: each for each in report.findings if each.type.code == "AccessUndecided"}
    subjects = [(each.subject.secret_arn, each.subject.role_arn) for each in notes.values()]
    assert sorted(subjects) == sorted([("", first.role), (secrets[0], first.role), (other.secret, other.role)])
    [many] = [each.message for each in notes.values() if not each.subject.secret_arn]
    assert "on 5 secrets and keys (" in many or "on 6 secrets and keys (" in many
    assert sum(secret in many for secret in secrets) == 3


@pytest.mark.parametrize("number", [3, 4])
def test_without_the_permission_to_read_policies_there_is_one_finding_for_the_region(
    audited: AuditAccount, number: int
) -> None:
    roles = [audited.rotation(f"s{each}").role for each in range(number)]
    audited.rotate("more", f"arn:aws:lambda:eu-central-1:{ACCOUNT}:function:rotate-s0")
    audited.let_fail("secretsmanager:GetResourcePolicy")
    report = audited.audit()
    found = [each for each in report.findings if each.type.code == "NotInspected"]
    if number == 3:
        assert sorted(each.subject.role_arn for each in found) == sorted(roles)
    else:
        [finding] = found
        assert (finding.resource, finding.subject) == ("eu-central-1", ("", "", "", "eu-central-1"))
        assert "of 4 roles was not inspected" in finding.message
        assert "Allow secretsmanager:GetResourcePolicy" in finding.remediation
    assert not report.is_complete


def grants_of(key: str, *grants: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda _: {"Grants": [{"KeyId": key, **grant} for grant in grants], "Truncated": False}


@pytest.mark.parametrize(
    ("grant", "names", "expected"),
    [
        ({}, ["default"], []),
        ({"Operations": ["Decrypt"]}, ["default"], ["kms:GenerateDataKey"]),
        ({"Operations": ["Encrypt"]}, ["default"], ["kms:Decrypt", "kms:GenerateDataKey"]),
        ({"GranteePrincipal": "arn:aws:iam::1:role/x"}, ["default"], ["kms:Decrypt", "kms:GenerateDataKey"]),
        ({"Constraints": {"EncryptionContextSubset": {"SecretARN": "x"}}}, ["default"], ["kms:Decrypt", "kms:Gen"]),
        # A grant for the role that had this name before.
        ({"CreationDate": datetime(2020, 1, 1, tzinfo=UTC)}, ["default"], ["kms:Decrypt", "kms:GenerateDataKey"]),
        ({"Operations": []}, ["AWS_RAM", "default"], None),
    ],
)
@pytest.mark.parametrize("by_role", [True, False])
def test_a_missing_permission_on_a_key_is_certain_only_without_a_grant_and_a_second_policy(
    audited: AuditAccount, grant: dict[str, Any], names: list[str], expected: list[str] | None, by_role: bool
) -> None:
    key = audited.account.key()
    rotation = audited.rotation(key=key)
    if by_role:
        audited.put_policy(rotation.role, use_key(key, rotation.secret), name="key")
        nobody = allow("kms:*", "*", Principal={"AWS": "arn:aws:iam::999999999999:root"})
        audited.account.api_responses["kms:GetKeyPolicy"] = lambda _: {"Policy": json.dumps({"Statement": nobody})}
    sound = {"GranteePrincipal": rotation.role, "Operations": ["Decrypt", "GenerateDataKey"]}
    audited.alter["kms:ListGrants"] = grants_of(key, sound | grant)
    audited.alter["kms:ListKeyPolicies"] = lambda _: {"PolicyNames": names, "Truncated": False}
    report = audited.audit()
    if expected is None:
        assert codes(report) == ["AccessUndecided"]
        assert "the key has a second policy" in the(report, "AccessUndecided").message
        return
    code = "ActionBlocked" if by_role else "ActionNotGranted"
    assert codes(report) == ([code] if expected else [])
    if expected:
        assert [each for each in ("kms:Decrypt", "kms:GenerateDataKey") if each in the(report, code).message] == [
            each for each in ("kms:Decrypt", "kms:GenerateDataKey") if any(each.startswith(part) for part in expected)
        ]


@pytest.mark.parametrize("action", ["kms:ListGrants", "kms:ListKeyPolicies"])
def test_without_the_grants_a_missing_permission_on_a_key_is_not_certain(audited: AuditAccount, action: str) -> None:
    audited.rotation(key=audited.account.key())
    audited.let_fail(action)
    report = audited.audit()
    assert codes(report) == ["NotInspected"]
    assert f"Allow {action} to" in the(report, "NotInspected").remediation


def test_if_the_key_s_policy_lacks_one_action_only_this_one_is_named(audited: AuditAccount) -> None:
    """For the superuser secret too, whose function only reads it."""
    key = audited.account.key()
    superuser = audited.account.secret("superuser", key=key)
    rotation = audited.rotation("db", allow(GET, superuser), key=key)
    audited.put_policy(rotation.role, use_key(key, rotation.secret), use_key(key, superuser, "kms:Decrypt"), name="key")
    policy = {"Statement": [allow("kms:Decrypt", "*", Principal={"AWS": rotation.role})]}
    audited.account.api_responses["kms:GetKeyPolicy"] = lambda _: {"Policy": json.dumps(policy)}
    report = audited.audit()
    assert codes(report) == ["ActionBlocked"]
    assert the(report, "ActionBlocked").message.startswith(
        f"kms:GenerateDataKey on {key} for the secret {rotation.secret}"
    )


def test_a_boundary_does_not_limit_what_a_secret_s_policy_allows_to_a_session(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    boundary = audited.managed_policy("boundary", allow(["secretsmanager:Get*", "secretsmanager:Desc*"], "*"))
    audited.account.client("iam").put_role_permissions_boundary(RoleName="role-db", PermissionsBoundary=boundary)
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/role-db/rotate-db"
    for principal, expected in (
        (rotation.role, ["ActionBlocked"]),
        (f"arn:aws:iam::{ACCOUNT}:root", ["ActionBlocked"]),
        (session, ["ActionBlocked", "AccessUndecided"]),
        ("*", ["ActionBlocked", "AccessUndecided"]),
    ):
        policy = json.dumps({"Statement": [allow(PUT, "*", Principal={"AWS": principal})]})
        audited.account.api_responses["secretsmanager:GetResourcePolicy"] = always({"ResourcePolicy": policy})
        report = audited.audit()
        assert codes(report) == expected
        assert (PUT in the(report, "ActionBlocked").message) is (len(expected) == 1)


def test_an_odd_policy_of_a_secret_is_not_inspected_and_the_rest_is_judged(
    audited: AuditAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "CONTAINED_ERRORS", (Exception,))
    rotation = audited.rotation("db", NextRotationDate=NOW - timedelta(days=1))
    for text in ("no JSON", '{"Statement": ["x"]}'):
        audited.account.api_responses["secretsmanager:GetResourcePolicy"] = always({"ResourcePolicy": text})
        report = audited.audit()
        assert codes(report) == ["RotationOverdue", "NotInspected"]
        assert the(report, "NotInspected").subject.secret_arn == rotation.secret


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([ROOT_POLICY], []),
        # One statement needs no list.
        (ROOT_POLICY, []),
        ([allow("kms:*", "*", Principal={"AWS": ACCOUNT})], []),
        ([allow("kms:*", "*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/role-db"})], []),
        ([ROOT_POLICY | {"Condition": {"StringEquals": {"kms:CallerAccount": ACCOUNT}}}], []),
        ([ROOT_POLICY | {"Condition": {"StringEquals": {"kms:CallerAccount": "1"}}}], ["ActionBlocked"]),
        # Whether the condition holds is not known.
        ([ROOT_POLICY | {"Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}], ["AccessUndecided"]),
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
        ([ROOT_POLICY, deny_all_but(f"arn:aws:iam::{ACCOUNT}:role/role-db")], ["AccessUndecided"]),
        ([ROOT_POLICY, deny_all_but(f"arn:aws:sts::{ACCOUNT}:assumed-role/role-db/rotate-db")], ["AccessUndecided"]),
        ([ROOT_POLICY, deny_all_but(f"arn:aws:iam::{ACCOUNT}:root")], ["AccessUndecided"]),
        ([ROOT_POLICY, deny_all_but(ACCOUNT)], ["AccessUndecided"]),
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
    for found in (each for each in report.findings if each.type.code != "NoPolicy"):
        assert (found.subject.secret_arn, found.subject.role_arn) == (rotation.secret, rotation.role)
        assert "the key's policy" in found.message


def test_not_principal_always_denies_a_role_with_a_boundary(audited: AuditAccount) -> None:
    key = audited.account.key()
    rotation = audited.rotation(key=key)
    audited.put_policy(rotation.role, use_key(key, rotation.secret), name="key")
    policy = json.dumps({"Statement": [ROOT_POLICY, deny_all_but(rotation.role)]})
    audited.account.api_responses["kms:GetKeyPolicy"] = lambda _: {"Policy": policy}
    assert codes(audited.audit()) == ["AccessUndecided"]
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
