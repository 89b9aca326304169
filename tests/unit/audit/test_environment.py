"""The key of a function's environment variables: what is certain, what is probable, and what is not known."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rotation_role_policy.audit import environment
from rotation_role_policy.audit.facts import Known, RoleFacts, Stopped, Unknown
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Finding
from rotation_role_policy.audit.resources import ResourceFact, ResourceQuestion
from rotation_role_policy.audit.role import audit_role
from rotation_role_policy.rules.state import EnvironmentKey, KeyProblem
from tests.support import audit_facts
from tests.support.audit_account import AuditAccount, codes, the
from tests.support.audit_facts import (
    ACCOUNT,
    DENIED,
    FUNCTION,
    GUIDE,
    KEY,
    NOW,
    REGION,
    ROLE,
    ROOT,
    allow,
    document,
    function,
    policies,
    secret,
)

DECRYPT = "kms:Decrypt"
CODES = ("KeyUnusable", "RoleRecreated", "EnvironmentKeyNotGranted")
FOR_FUNCTION = {"StringLike": {"kms:EncryptionContext:aws:lambda:FunctionArn": [FUNCTION, f"{FUNCTION}:*"]}}
OTHER_FUNCTION = {"StringEquals": {"kms:EncryptionContext:aws:lambda:FunctionArn": f"{FUNCTION}-2"}}
OTHER_KEY = KEY.replace("1111", "2222")


def facts(
    *statements: Any,
    boundary: Any = None,
    key: EnvironmentKey = EnvironmentKey(KEY),  # noqa: B008  # immutable
    details: Any = None,
    role: Any = None,
    function_id: str = FUNCTION,
    key_policy: Any = Known(document(ROOT)),  # noqa: B008
    grants: Any = Known(()),  # noqa: B008
    names: Any = Known(("default",)),  # noqa: B008
    **listed: Any,
) -> RoleFacts:
    """Return a function with variables under a key, whose role has these statements besides the user guide's."""
    sound = function(secret(**listed))
    assert isinstance(sound.details, Known)
    members = {"has_variables": True, "environment_key": key} | (details or {})
    modified = replace(sound.details.value.function, last_modified=NOW)
    known = replace(sound.details.value, function=modified, **members)
    return audit_facts.role(
        replace(sound, details=Known(known), function_id=function_id),
        role=replace(policies(*GUIDE, *statements, boundary=boundary), **(role or {})),
        resource_policies={KEY: key_policy},
        grants={KEY: grants} if grants else {},
        key_policy_names={KEY: names} if names else {},
    )


def found(of: RoleFacts) -> list[Finding]:
    """Return the findings about the key of the environment."""
    return [each for each in audit_role(of, NOW).findings if each.type.code in CODES]


def grant(**members: Any) -> Any:
    """Return grants: one for the role that allows to decrypt."""
    return Known(({"GranteePrincipal": ROLE, "Operations": ["Decrypt"], "CreationDate": NOW} | members,))


YOUNGER = {"created": NOW + timedelta(seconds=1)}
DENY = {"Effect": "Deny", "Action": DECRYPT, "Resource": "*"}
EQUALS = {"Constraints": {"EncryptionContextEquals": {"aws:lambda:FunctionArn": FUNCTION}}}


@pytest.mark.parametrize(
    ("members", "code"),
    [
        # Nobody allows it.
        ({}, "EnvironmentKeyNotGranted"),
        ({"statements": [allow(DECRYPT, OTHER_KEY)]}, "EnvironmentKeyNotGranted"),
        ({"statements": [allow(DECRYPT, KEY, Condition=OTHER_FUNCTION)]}, "EnvironmentKeyNotGranted"),
        ({"details": {"lambda_state": "Inactive", "reason_code": "Idle"}}, "EnvironmentKeyNotGranted"),
        # A policy of the role, together with the key's policy.
        ({"statements": [allow(DECRYPT, KEY)]}, None),
        ({"statements": [allow("kms:*", "*", Condition=FOR_FUNCTION)]}, None),
        ({"statements": [allow(DECRYPT, KEY)], "key_policy": Known(document())}, "EnvironmentKeyNotGranted"),
        ({"statements": [allow(DECRYPT, KEY), DENY]}, "EnvironmentKeyNotGranted"),
        ({"statements": [allow(DECRYPT, KEY), DENY], "grants": grant()}, "EnvironmentKeyNotGranted"),
        ({"statements": [allow(DECRYPT, KEY)], "boundary": document(allow("secretsmanager:*", "*"))}, CODES[2]),
        # Whether the condition holds is not known.
        ({"statements": [allow(DECRYPT, KEY, Condition={"StringEquals": {"kms:ViaService": "lambda"}})]}, None),
        # The key's policy alone.
        ({"key_policy": Known(document(ROOT, allow(DECRYPT, "*", Principal={"AWS": ROLE})))}, None),
        ({"key_policy": Known(document(ROOT, DENY | {"Principal": {"AWS": "*"}}))}, "EnvironmentKeyNotGranted"),
        ({"key_policy": Unknown(DENIED)}, None),
        ({"key_policy": Unknown(Stopped())}, None),
        # A grant.
        ({"grants": grant()}, None),
        ({"grants": grant(**EQUALS)}, None),
        ({"grants": grant(GranteePrincipal=f"arn:aws:sts::{ACCOUNT}:assumed-role/rotation/rotate-db")}, None),
        ({"grants": grant(Operations=["Encrypt"])}, "EnvironmentKeyNotGranted"),
        ({"grants": grant(GranteePrincipal=f"{ROLE}-2")}, "EnvironmentKeyNotGranted"),
        ({"grants": grant(Constraints={"EncryptionContextSubset": {"SecretARN": "x"}})}, "EnvironmentKeyNotGranted"),
        ({"grants": Unknown(DENIED)}, None),
        # A second policy cannot be read.
        ({"names": Known(("default", "AWS_RAM"))}, None),
        ({"names": Unknown(DENIED)}, None),
        # The role was created again, so Lambda's grant was for another one.
        ({"role": YOUNGER}, "RoleRecreated"),
        ({"role": {"created": NOW}}, "EnvironmentKeyNotGranted"),
        ({"role": YOUNGER, "grants": grant()}, "RoleRecreated"),
        ({"role": YOUNGER, "grants": grant(CreationDate=NOW + timedelta(1))}, None),
        ({"role": YOUNGER, "grants": Unknown(DENIED)}, "RoleRecreated"),
        ({"role": YOUNGER, "statements": [allow(DECRYPT, KEY)]}, None),
        ({"role": YOUNGER, "function_id": f"{FUNCTION}:7"}, "EnvironmentKeyNotGranted"),
        ({"role": YOUNGER, "function_id": f"{FUNCTION}:$LATEST"}, "RoleRecreated"),
        # The key itself.
        ({"key": EnvironmentKey(KEY, KeyProblem(KEY, "Disabled"))}, "KeyUnusable"),
        ({"key": EnvironmentKey(KEY, KeyProblem(KEY))}, "KeyUnusable"),
        ({"key": EnvironmentKey(KEY, KeyProblem(KEY, denied="no"))}, None),
        ({"key": EnvironmentKey("", KeyProblem(KEY.replace("key/", "alias/")))}, None),
        ({"key": EnvironmentKey()}, None),
        # What Lambda itself reports is the finding.
        ({"details": {"lambda_state": "Failed", "reason_code": "KMSKeyAccessDenied"}}, None),
        (
            {
                "details": {"lambda_state": "Inactive", "reason_code": "DisabledKMSKey"},
                "key": EnvironmentKey(KEY, KeyProblem(KEY, "Disabled")),
            },
            None,
        ),
        # Nothing is encrypted with the key, or nothing rotates.
        ({"details": {"has_variables": False}}, None),
        ({"details": {"has_variables": False}, "key": EnvironmentKey(KEY, KeyProblem(KEY, "Disabled"))}, None),
        ({"is_enabled": False}, None),
    ],
)
def test_what_is_known_of_the_environment_s_key_decides_the_finding(members: dict[str, Any], code: str | None) -> None:
    of = facts(*members.pop("statements", ()), **members)
    assert environment.questions(of) == []
    assert [each.type.code for each in found(of)] == ([code] if code else [])
    for finding in found(of):
        assert (finding.subject.function_arn, finding.subject.role_arn) == (of.functions[0].function_id, ROLE)
        assert finding.resource == KEY
        assert KEY in finding.message
        assert finding.severity.value == ("error" if finding.type is FindingType.KEY_UNUSABLE else "warning")


def test_each_answer_leads_to_the_next_question() -> None:
    def asked(**answers: Any) -> list[ResourceQuestion]:
        return environment.questions(replace(facts(grants=None, names=None), **answers))

    known = {"resource_policies": {KEY: Known(document(ROOT))}}
    assert asked(resource_policies={}) == [ResourceQuestion(ResourceFact.POLICY, KEY, REGION)]
    assert asked(**known) == [ResourceQuestion(ResourceFact.GRANTS, KEY, REGION)]
    assert asked(**known, grants={KEY: Known(())}) == [ResourceQuestion(ResourceFact.POLICY_NAMES, KEY, REGION)]
    assert asked(**known, grants={KEY: grant()}) == []


# --- in an account ---


def with_variables(audited: AuditAccount, key: str, **members: Any) -> None:
    environment_members = {"Environment": {"Variables": {"PASSWORD": "canary"}}, "KMSKeyArn": key}
    audited.alter["lambda:GetFunctionConfiguration"] = lambda response: response | environment_members | members


def test_a_key_without_a_grant_is_found_and_one_that_lambda_has_granted_is_not(audited: AuditAccount) -> None:
    key = audited.account.key()
    rotation = audited.rotation()
    with_variables(audited, key, LastModified="2099-01-01T00:00:00.000+0000")
    report = audited.audit()
    assert codes(report) == ["EnvironmentKeyNotGranted"]
    assert the(report, "EnvironmentKeyNotGranted").subject.role_arn == rotation.role
    kms = audited.account.client("kms")
    kms.create_grant(KeyId=key, GranteePrincipal=rotation.role, Operations=["Decrypt"])
    audited.alter["kms:ListGrants"] = lambda response: response
    assert codes(audited.audit()) == []


def test_a_role_that_is_younger_than_its_function_is_found(audited: AuditAccount) -> None:
    audited.rotation()
    with_variables(audited, audited.account.key(), LastModified="2020-01-01T00:00:00.000+0000")
    assert codes(audited.audit()) == ["RoleRecreated"]


def test_variables_that_the_caller_may_not_decrypt_are_variables(audited: AuditAccount) -> None:
    audited.rotation()
    key = audited.account.key()
    error = {"ErrorCode": "AccessDeniedException", "Message": "Lambda was unable to decrypt"}
    with_variables(audited, key, LastModified="2020-01-01T00:00:00.000+0000", Environment={"Error": error})
    assert codes(audited.audit()) == ["RoleRecreated"]
    nothing: Any
    for nothing in ({"Variables": {}}, {}, None):
        with_variables(audited, key, LastModified="2020-01-01T00:00:00.000+0000", Environment=nothing)
        assert codes(audited.audit()) == []


@pytest.mark.parametrize("action", ["kms:GetKeyPolicy", "kms:ListGrants", "kms:ListKeyPolicies"])
def test_what_the_audit_may_not_read_about_the_key_is_no_finding(audited: AuditAccount, action: str) -> None:
    audited.rotation()
    with_variables(audited, audited.account.key(), LastModified="2099-01-01T00:00:00.000+0000")
    audited.let_fail(action)
    report = audited.audit()
    assert (codes(report), report.is_complete) == ([], True)


def test_a_key_with_too_many_grants_is_not_known(audited: AuditAccount) -> None:
    audited.rotation()
    with_variables(audited, audited.account.key(), LastModified="2099-01-01T00:00:00.000+0000")
    audited.alter["kms:ListGrants"] = lambda response: response | {"Truncated": True, "NextMarker": "more"}
    assert codes(audited.audit()) == []
    assert audited.calls()["kms:ListGrants"] == 6


def test_the_grants_on_a_key_are_listed_only_where_nothing_else_allows_it(audited: AuditAccount) -> None:
    key = audited.account.key()
    rotation = audited.rotation()
    audited.put_policy(rotation.role, allow(DECRYPT, key), name="environment")
    with_variables(audited, key)
    assert codes(audited.audit()) == []
    assert not audited.calls().keys() & {"kms:ListGrants", "kms:ListKeyPolicies"}


def test_the_policy_of_a_resource_is_updated_for_the_key(audited: AuditAccount) -> None:
    """Its function has a new key. There is nothing to adopt."""
    key = audited.account.key()
    rotation = audited.rotation()
    audited.account.client("iam").delete_role_policy(RoleName="role-db", PolicyName="rotation-db")
    audited.account.deploy(SecretId="db", RotationLambdaARN=rotation.function)
    environment = {"Environment": {"Variables": {"A": "B"}}, "KMSKeyArn": key}
    audited.alter["lambda:GetFunctionConfiguration"] = lambda response: response | environment
    advice = the(audited.audit(), "EnvironmentKeyNotGranted").remediation
    assert advice.startswith('Send an Update to the resource "')
    assert "--adopt" not in advice
