"""Policies that resources of stacks have put on roles: who owns them, and what somebody has changed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rotation_role_policy.audit.findings import Finding
from rotation_role_policy.audit.report import Report
from rotation_role_policy.rules.identity import policy_name
from rotation_role_policy_cli.audit.adopt import LEFT_OUT
from rotation_role_policy_cli.template.file import load
from tests.support.account import ACCOUNT, LOGICAL_ID, OWN_POLICY, REGION, STACK_ID, error
from tests.support.audit_account import AuditAccount, Rotation, allow, codes, guide, the, use_key, write_templates

GET = "secretsmanager:GetSecretValue"
ROLE_NAME = "role-db"
Document = dict[str, Any]


def deployed(audited: AuditAccount, **properties: Any) -> Rotation:
    """Return a rotation whose policy a stack has put on the role, and nothing else is on it."""
    rotation = audited.rotation(key=properties.pop("key", ""))
    audited.account.client("iam").delete_role_policy(RoleName=ROLE_NAME, PolicyName="rotation-db")
    given = {"SecretId": "db", "RotationLambdaARN": rotation.function} | properties
    assert audited.account.deploy(**given)["Status"] == "SUCCESS"
    return rotation


def edit(
    audited: AuditAccount, rotation: Rotation, change: Callable[[list[Document]], Any], name: str = OWN_POLICY
) -> None:
    """Edit the policy of the stack by hand, as IAM's console does."""
    statements = json.loads(json.dumps(audited.account.policies(ROLE_NAME)[OWN_POLICY]["Statement"]))
    change(statements)
    audited.put_policy(rotation.role, *statements, name=OWN_POLICY)


def forget_properties(audited: AuditAccount) -> None:
    """Let CloudFormation have no events any more, as after 90 days."""
    audited.account.cloudformation.stacks[STACK_ID].events.clear()


def notes(report: Report) -> list[str]:
    return codes(report, notes=True)


# --- hand edits ---


def add(*statements: Document) -> Callable[[list[Document]], Any]:
    return lambda found: found.extend(statements)


def set_first(**members: Any) -> Callable[[list[Document]], Any]:
    return lambda found: found[0].update(members)


CACHE_USER = f"arn:aws:elasticache:{REGION}:{ACCOUNT}:user:x"
EVERY_SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:*"


@pytest.mark.parametrize("are_properties_known", [True, False])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (add(allow(GET, "*")), f"{GET} on *"),
        (add(allow("*", "*")), "* on *"),
        (add({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}), "all but iam:* on *"),
        (add(allow("s3:GetObject", "arn:aws:s3:::x/*")), "s3:GetObject on arn:aws:s3:::x/*"),
        (set_first(Resource="*"), "secretsmanager:PutSecretValue"),
        (set_first(Resource=EVERY_SECRET), EVERY_SECRET),
        (set_first(Action="secretsmanager:*"), "secretsmanager:* on arn:"),
        (lambda found: found[0]["Action"].append("secretsmanager:DeleteSecret"), "secretsmanager:DeleteSecret on arn:"),
        (lambda found: [each.pop("Condition", None) for each in found], "without the conditions"),
        (add(allow(["kms:Decrypt"], "*")), "kms:Decrypt on *, without the conditions"),
        (add(allow("kms:CreateGrant", "*")), "kms:CreateGrant on *"),
        (
            add(allow("elasticache:ModifyUser", f"arn:aws:elasticache:{REGION}:{ACCOUNT}:user:x")),
            "elasticache:ModifyUser",
        ),
    ],
)
def test_a_hand_edit_that_grants_more_is_reported_with_stack_and_resource(
    audited: AuditAccount, are_properties_known: bool, change: Callable[[list[Document]], Any], named: str
) -> None:
    rotation = deployed(audited, key=audited.account.key())
    assert notes(audited.audit()) == []
    edit(audited, rotation, change)
    if not are_properties_known:
        forget_properties(audited)
    report = audited.audit()
    assert notes(report) == ["PolicyWidened"]
    found = the(report, "PolicyWidened")
    assert named in found.message
    for name in (OWN_POLICY, rotation.role, f'"{LOGICAL_ID}" of the stack "database"'):
        assert name in found.message
    assert f'"{LOGICAL_ID}" of the stack "database": change its property Triggers' in found.remediation
    # The policy still covers the secret, so nothing is adopted.
    assert [each.policy_name for each in report.rotations] == [OWN_POLICY]


def test_a_secret_that_somebody_added_can_be_the_superuser_secret(audited: AuditAccount) -> None:
    rotation = deployed(audited)
    admin = audited.account.secret("admin")
    edit(audited, rotation, add(allow(GET, admin)))
    found = the(audited.audit(), "PolicyWidened")
    assert f"reads a superuser secret by {admin}" in found.remediation
    assert "put it into the properties first (SuperuserSecretId" in found.remediation
    # Without the properties it is taken for what they name, and nothing else is wrong.
    forget_properties(audited)
    assert f"assumed that they name {admin}" in the(audited.audit(), "PolicyDrift").message
    edit(audited, rotation, add(allow("s3:*", "*")))
    assert f"assumed that they name {admin}" in the(audited.audit(), "PolicyWidened").message


def test_of_several_readable_secrets_not_all_are_the_superuser_secret(audited: AuditAccount) -> None:
    rotation = deployed(audited)
    one, two = audited.account.secret("one"), audited.account.secret("two")
    edit(audited, rotation, add(allow(GET, one), allow(GET, two)))
    forget_properties(audited)
    found = the(audited.audit(), "PolicyWidened")
    assert one in found.message
    assert two in found.message


def test_a_deny_that_somebody_removed_opens_network_interfaces_to_the_code(audited: AuditAccount) -> None:
    rotation = audited.rotation(vpc=True)
    audited.account.client("iam").delete_role_policy(RoleName=ROLE_NAME, PolicyName="rotation-db")
    audited.account.deploy(SecretId="db", RotationLambdaARN=rotation.function)
    assert notes(audited.audit()) == []
    edit(audited, rotation, lambda found: found.pop())
    assert "without the Deny" in the(audited.audit(), "PolicyWidened").message


def test_what_is_only_outdated_is_drift(audited: AuditAccount) -> None:
    first, second = audited.account.key(), audited.account.key()
    deployed(audited, key=first)
    audited.account.client("secretsmanager").update_secret(SecretId="db", KmsKeyId=second)
    report = audited.audit()
    # The statement of the provider's own form on the former key is no excess.
    assert set(notes(report)) == {"ActionNotGranted", "PolicyDrift"}
    drift = the(report, "PolicyDrift")
    assert f'"{LOGICAL_ID}" of the stack "database"' in drift.message
    assert f'"{LOGICAL_ID}" of the stack "database"' in the(report, "ActionNotGranted").remediation


def test_a_narrowed_policy_is_drift(audited: AuditAccount) -> None:
    rotation = deployed(audited)
    edit(audited, rotation, lambda found: found[0]["Action"].remove("secretsmanager:PutSecretValue"))
    assert set(notes(audited.audit())) == {"ActionNotGranted", "PolicyDrift"}
    # Also if it does not name the secret any more: the properties do.
    edit(audited, rotation, lambda found: found.pop(0))
    report = audited.audit()
    assert set(notes(report)) == {"ActionNotGranted", "PolicyDrift"}
    assert [each.policy_name for each in report.rotations] == [OWN_POLICY]


def test_the_profile_documented_gets_one_warning(audited: AuditAccount) -> None:
    deployed(audited, key=audited.account.key(), PolicyProfile="Documented")
    report = audited.audit()
    assert notes(report) == ["PolicyWidened"]
    assert "to Strict" in the(report, "PolicyWidened").remediation


# --- who owns a policy ---


def test_a_policy_of_the_same_form_without_a_stack_is_judged_as_anybody_s(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    document = audited.account.policies(ROLE_NAME)["rotation-db"]
    audited.put_policy(rotation.role, *document["Statement"], allow("*", "*"), name="x-0123456789ab")
    report = audited.audit()
    assert codes(report) == ["OtherSecrets"]
    assert "x-0123456789ab" in the(report, "OtherSecrets").message
    assert the(report, "NoPolicy")


@pytest.mark.parametrize(
    "member",
    [
        {"ResourceType": "AWS::S3::Bucket"},
        {"PhysicalResourceId": f"another-role/{OWN_POLICY}"},
        {"ResourceStatus": "DELETE_COMPLETE"},
    ],
)
def test_the_resource_of_the_stack_must_have_put_the_policy_on_this_role(
    audited: AuditAccount, member: dict[str, str]
) -> None:
    rotation = deployed(audited)
    edit(audited, rotation, add(allow(GET, "*")))
    audited.account.cloudformation.stacks[STACK_ID].resources[LOGICAL_ID].update(member)
    assert codes(audited.audit()) == ["OtherSecrets"]


def test_a_policy_of_a_deleted_stack_is_judged_as_anybody_s(audited: AuditAccount) -> None:
    rotation = deployed(audited)
    edit(audited, rotation, add(allow(GET, "*")))
    audited.account.cloudformation.set_status(STACK_ID, "DELETE_COMPLETE")
    assert codes(audited.audit()) == ["OtherSecrets"]


def unproven(audited: AuditAccount) -> Finding:
    """Return the finding about a policy of which it is not known who owns it. Nothing advises to remove it."""
    report = audited.audit()
    found = the(report, "OtherSecrets")
    assert found.remediation.startswith("Do not remove it: ")
    # It may cover the secret, so a second one is not adopted.
    [rotation] = report.rotations
    assert (rotation.policy_name, rotation.is_adoptable) == ("", False)
    assert OWN_POLICY in the(report, "NoPolicy").message
    assert "--adopt" not in the(report, "NoPolicy").remediation
    return found


def test_a_policy_is_never_removed_if_stacks_cannot_be_listed(audited: AuditAccount) -> None:
    rotation = deployed(audited)
    edit(audited, rotation, add(allow(GET, "*")))
    audited.let_fail("cloudformation:ListStacks")
    assert "the stacks could not be read" in unproven(audited).remediation
    report = audited.audit()
    assert "cloudformation:ListStacks" in the(report, "NotInspected").message
    assert not report.is_complete


def test_a_policy_is_never_removed_while_its_stack_changes(audited: AuditAccount) -> None:
    rotation = deployed(audited)
    edit(audited, rotation, add(allow(GET, "*")))
    audited.account.cloudformation.set_status(STACK_ID, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    assert "is being changed now" in unproven(audited).remediation


def test_a_policy_with_a_cut_name_is_never_removed(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    name = policy_name(STACK_ID, "L" * 200)
    assert len(name) == 128
    audited.put_policy(rotation.role, *guide(rotation.secret), allow(GET, "*"), name=name)
    found = the(audited.audit(), "OtherSecrets")
    assert found.remediation.startswith("Do not remove it: ")


def test_a_policy_for_secrets_of_another_region_is_never_removed(audited: AuditAccount) -> None:
    """The role of a function here is also that of a function there, whose stack this audit does not see."""
    rotation = audited.rotation()
    there = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:x-AbCdEf"
    name = policy_name(STACK_ID.replace(REGION, "us-east-1"), LOGICAL_ID)
    audited.put_policy(rotation.role, *guide(there), allow(GET, "*"), name=name)
    assert "Audit this region too" in the(audited.audit(), "OtherSecrets").remediation
    # With that region, it is certain that there is no such stack.
    report = audited.audit(regions=(REGION, "us-east-1"))
    assert not the(report, "OtherSecrets").remediation.startswith("Do not")


def test_stacks_are_listed_only_if_a_role_has_a_policy_of_this_form(audited: AuditAccount) -> None:
    audited.rotation()
    audited.audit()
    assert not [action for action in audited.calls() if action.startswith("cloudformation:")]
    deployed_role = audited.rotation("other")
    audited.put_policy(deployed_role.role, allow("s3:*", "*"), name="x-0123456789ab")
    audited.audit()
    assert {name: n for name, n in audited.calls().items() if name.startswith("cloudformation:")} == {
        "cloudformation:ListStacks": 1
    }


def test_the_properties_are_read_only_if_they_matter(audited: AuditAccount) -> None:
    rotation = deployed(audited, SuperuserSecretId=audited.account.secret("superuser"))
    audited.audit()
    assert audited.calls()["cloudformation:DescribeStackEvents"] == 1
    audited.account.cloudformation.set_status(STACK_ID, "DELETE_COMPLETE")
    audited.account.client("iam").delete_role_policy(RoleName=ROLE_NAME, PolicyName=OWN_POLICY)
    audited.account.deploy(SecretId="db", RotationLambdaARN=rotation.function)
    audited.audit()
    assert audited.calls()["cloudformation:DescribeStackEvents"] == 0


def test_masked_properties_count_as_unknown(audited: AuditAccount) -> None:
    superuser = audited.account.secret("superuser")
    deployed(audited, SuperuserSecretId=superuser)
    for stack_event in audited.account.cloudformation.stacks[STACK_ID].events:
        if "ResourceProperties" in stack_event:
            stack_event["ResourceProperties"] = stack_event["ResourceProperties"].replace(superuser, "****")
    assert notes(audited.audit()) == []


def test_events_that_may_not_be_read_make_the_audit_incomplete(audited: AuditAccount) -> None:
    deployed(audited, SuperuserSecretId=audited.account.secret("superuser"))
    audited.let_fail("cloudformation:DescribeStackEvents", exception=error("AccessDenied", "not authorized"))
    report = audited.audit()
    assert notes(report) == ["NotInspected"]
    assert "cloudformation:DescribeStackEvents" in the(report, "NotInspected").message


@pytest.mark.parametrize(
    "statements",
    [
        [
            allow(["ds:ResetUserPassword"], f"arn:aws:ds:{REGION}:{ACCOUNT}:directory/d-0123456789"),
            allow(["ds:DescribeDirectories"], "*"),
        ],
        [allow(["elasticache:DescribeUsers", "elasticache:ModifyUser"], CACHE_USER)],
        [
            allow(
                ["elasticache:DescribeUsers", "elasticache:ModifyUser"],
                "arn:aws:elasticache:us-east-1:999999999999:user:x",
            )
        ],
        [allow(["rds:DescribeDBInstances"], f"arn:aws:rds:{REGION}:{ACCOUNT}:db:x")],
    ],
)
def test_a_target_that_somebody_added_as_the_provider_writes_it_is_none_of_the_properties(
    audited: AuditAccount, statements: list[Document]
) -> None:
    rotation = deployed(audited)
    sids = ["CallTarget", "CallTarget2"]
    added = [{"Sid": sid, **statement} for sid, statement in zip(sids, statements, strict=False)]
    edit(audited, rotation, add(*added))
    assert codes(audited.audit()) == ["PolicyWidened"]


@pytest.mark.parametrize("place", [f"us-east-1:{ACCOUNT}", f"{REGION}:999999999999"])
@pytest.mark.parametrize("action", [GET, "secretsmanager:PutSecretValue"])
def test_a_name_in_the_properties_is_not_that_of_a_secret_elsewhere(
    audited: AuditAccount, place: str, action: str
) -> None:
    rotation = deployed(audited)
    same_name = f"arn:aws:secretsmanager:{place}:secret:{rotation.secret.rpartition(':')[2]}"
    edit(audited, rotation, add(allow(action, same_name)))
    assert codes(audited.audit()) == ["PolicyWidened"]


def environment(resource: str, function: str) -> Document:
    """Return a statement as that for the key of the environment variables."""
    pattern = f"arn:aws:lambda:{function}"
    return allow(
        "kms:Decrypt", resource, Condition={"StringLike": {"kms:EncryptionContext:aws:lambda:FunctionArn": pattern}}
    )


KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0123"


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        (environment("*", f"{REGION}:{ACCOUNT}:function:rotate-db"), "PolicyWidened"),
        (environment(KEY, f"{REGION}:{ACCOUNT}:function:*"), "PolicyWidened"),
        (environment(KEY, f"{REGION}:{ACCOUNT}:function:rotate-*"), "PolicyWidened"),
        (environment(KEY, f"us-east-1:{ACCOUNT}:function:rotate-db"), "PolicyWidened"),
        (environment(KEY, f"{REGION}:999999999999:function:rotate-db"), "PolicyWidened"),
        # The function had another name, or a key.
        (environment(KEY, f"{REGION}:{ACCOUNT}:function:former"), "PolicyDrift"),
        (environment(KEY, f"{REGION}:{ACCOUNT}:function:rotate-db:*"), "PolicyDrift"),
        (allow("ec2:DeleteNetworkInterface", "*"), "PolicyWidened"),
        (allow("ec2:DetachNetworkInterface", "*"), "PolicyWidened"),
        (allow("ec2:DescribeNetworkInterfaces", "*"), "PolicyDrift"),
    ],
)
def test_a_statement_of_the_provider_s_form_is_wider_if_it_is_for_more(
    audited: AuditAccount, statement: Document, code: str
) -> None:
    edit(audited, deployed(audited), add(statement))
    assert notes(audited.audit()) == [code]


def test_without_properties_a_secret_that_nobody_rotates_is_only_a_note(audited: AuditAccount) -> None:
    """A keytab, a secret without a schedule yet, or one that moved: nobody need have edited the policy."""
    keytab = audited.account.secret("keytab")
    audited.rotation(key="")
    audited.account.client("iam").delete_role_policy(RoleName=ROLE_NAME, PolicyName="rotation-db")
    audited.account.deploy(SecretIds=["db", keytab], RotationLambdaARN="rotate-db")
    assert notes(audited.audit()) == []
    forget_properties(audited)
    found = the(audited.audit(), "PolicyDrift")
    assert keytab in found.message
    assert "no longer has the properties" in found.message


def test_a_policy_that_rotates_nothing_any_more_makes_nothing_redundant(audited: AuditAccount) -> None:
    rotation = deployed(audited)
    other = audited.rotation("other", role=rotation.role)
    audited.put_policy(rotation.role, *guide(other.secret), name="other")
    audited.rotations[rotation.secret].pop("RotationLambdaARN")
    assert "RedundantGrant" not in notes(audited.audit())


# --- grants that are repeated ---


def test_a_grant_that_the_policy_of_the_resource_repeats_is_redundant(audited: AuditAccount) -> None:
    rotation = deployed(audited)
    audited.put_policy(rotation.role, *guide(rotation.secret), name="old")
    report = audited.audit()
    assert notes(report) == ["RedundantGrant", "RedundantGrant"]
    found = report.findings[0]
    assert '"old"' in found.message
    assert "aws iam get-role-policy --role-name role-db --policy-name old" in found.remediation
    assert "put-role-policy" in found.remediation


@pytest.mark.parametrize(
    "statement",
    [
        allow(["secretsmanager:GetSecretValue", "secretsmanager:ListSecrets"], "SECRET"),
        allow("secretsmanager:Get*", "SECRET"),
        allow(GET, ["SECRET", "arn:aws:s3:::x"]),
        {"Effect": "Deny", "Action": "s3:*", "Resource": "*"},
    ],
)
def test_a_grant_of_anything_more_is_not_redundant(audited: AuditAccount, statement: Document) -> None:
    rotation = deployed(audited)
    audited.put_policy(rotation.role, json.loads(json.dumps(statement).replace("SECRET", rotation.secret)), name="old")
    assert "RedundantGrant" not in notes(audited.audit())


def test_a_grant_on_a_key_is_redundant_only_with_all_its_conditions(audited: AuditAccount) -> None:
    key = audited.account.key()
    rotation = deployed(audited, key=key)
    audited.put_policy(rotation.role, use_key(key, rotation.secret), name="old")
    assert "RedundantGrant" not in notes(audited.audit())
    own = audited.account.policies(ROLE_NAME)[OWN_POLICY]["Statement"]
    audited.put_policy(rotation.role, own[2], name="old")
    assert notes(audited.audit()) == ["RedundantGrant"]


def test_a_managed_policy_is_redundant_only_as_a_whole(audited: AuditAccount) -> None:
    rotation = deployed(audited)
    first, _ = guide(rotation.secret)
    audited.managed_policy("part", first, allow("logs:PutLogEvents", "*"), roles=[rotation.role])
    assert notes(audited.audit()) == []
    audited.managed_policy("whole", *guide(rotation.secret), roles=[rotation.role])
    found = the(audited.audit(), "RedundantGrant")
    assert "aws iam detach-role-policy --role-name role-db --policy-arn" in found.remediation


def test_a_statement_with_a_finding_is_not_reported_as_repeated_too(audited: AuditAccount) -> None:
    key = audited.account.key()
    rotation = deployed(audited, key=key, PolicyProfile="Documented")
    audited.put_policy(rotation.role, allow(["kms:Decrypt", "kms:GenerateDataKey"], key), name="old")
    assert codes(audited.audit()) == ["KmsWithoutEncryptionContext", "PolicyWidened"]


def test_a_widened_policy_makes_nothing_redundant(audited: AuditAccount) -> None:
    rotation = deployed(audited)
    edit(audited, rotation, add(allow("s3:GetObject", "*")))
    audited.put_policy(rotation.role, allow("s3:GetObject", "*"), name="old")
    assert notes(audited.audit()) == ["PolicyWidened"]


# --- redirection ---


def test_a_secret_whose_policy_is_on_another_role_is_not_adopted(audited: AuditAccount, tmp_path: Path) -> None:
    rotation = deployed(audited)
    other = audited.account.role("other")
    redirected = audited.function("other", other)
    audited.put_policy(other, *guide(rotation.secret))
    audited.rotations[rotation.secret]["RotationLambdaARN"] = redirected
    report = audited.audit()
    found = the(report, "NoPolicy")
    for name in (rotation.role, other, redirected, rotation.secret, "database", LOGICAL_ID):
        assert name in found.message
    assert "If this change is yours, give RotationLambdaARN" in found.remediation
    assert "Otherwise correct the rotation of the secret" in found.remediation
    assert "--adopt" not in found.remediation
    assert write_templates(report, tmp_path / "adopt") == []


def test_a_redirected_secret_is_left_out_of_the_adoption_of_others(audited: AuditAccount, tmp_path: Path) -> None:
    rotation = deployed(audited)
    other = audited.rotation("other")
    audited.rotations[rotation.secret]["RotationLambdaARN"] = other.function
    [file] = write_templates(audited.audit(), tmp_path / "adopt")
    [resource] = load(file)["Resources"].values()
    assert resource["Properties"]["SecretId"] == other.secret
    assert rotation.secret in file.with_name(LEFT_OUT).read_text(encoding="utf-8")


def test_a_policy_that_only_looks_like_that_of_a_resource_hinders_no_adoption(
    audited: AuditAccount, tmp_path: Path
) -> None:
    """Whoever can put a policy on some role cannot keep a rotation from its adoption."""
    rotation = audited.rotation()
    other = audited.account.role("other")
    audited.put_policy(other, *guide(rotation.secret), name="x-0123456789ab")
    assert len(write_templates(audited.audit(), tmp_path / "adopt")) == 1


def redirected(audited: AuditAccount, *statements: Document) -> Rotation:
    """Return a rotation with a resource that somebody has given a function and a role of his own."""
    rotation = deployed(audited)
    role = audited.account.role("evil")
    function = audited.function("evil", role)
    if statements:
        audited.put_policy(role, *statements, name="x")
    audited.rotations[rotation.secret]["RotationLambdaARN"] = function
    return rotation._replace(function=function, role=role)


def in_progress(audited: AuditAccount, rotation: Rotation) -> None:
    audited.account.cloudformation.set_status(STACK_ID, "UPDATE_IN_PROGRESS")


def edited(change: Callable[[list[Document]], Any]) -> Callable[[AuditAccount, Rotation], None]:
    return lambda audited, rotation: edit(audited, rotation._replace(role=ROLE_NAME), change)


@pytest.mark.parametrize(
    ("disguise", "is_incomplete"),
    [
        (lambda _audited, _rotation: None, False),
        (in_progress, False),
        (lambda audited, _: audited.let_fail("iam:GetAccountAuthorizationDetails"), True),
        (lambda audited, _: audited.let_fail("cloudformation:ListStacks"), True),
        (lambda audited, _: audited.let_fail("cloudformation:DescribeStackResource"), True),
        (edited(lambda found: found.reverse()), False),
        (edited(lambda found: found[0]["Action"].append("secretsmanager:TagResource")), False),
        (edited(set_first(Resource=f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:db-??????")), False),
        (edited(set_first(Action="secretsmanager:*")), False),
    ],
)
@pytest.mark.parametrize("has_grants", [True, False])
def test_no_advice_completes_a_redirection(
    audited: AuditAccount,
    tmp_path: Path,
    disguise: Callable[[AuditAccount, Rotation], None],
    is_incomplete: bool,
    has_grants: bool,
) -> None:
    rotation = redirected(audited)
    if has_grants:
        audited.put_policy(rotation.role, *guide(rotation.secret), name="x")
    disguise(audited, rotation)
    report = audited.audit()
    assert write_templates(report, tmp_path / "adopt") == []
    unless = "Find out whether somebody has changed the rotation of the secret: "
    advice = [each.remediation for each in report.findings if not each.remediation.startswith(unless)]
    assert not [each for each in advice if "--adopt" in each or "in a policy of the role" in each]
    assert report.is_complete != is_incomplete
    if not is_incomplete:
        assert "Otherwise correct the rotation of the secret" in the(report, "NoPolicy").remediation


@pytest.mark.parametrize("name", [f"{'A' * 115}-0123456789ab", "P-0123456789ab"])
def test_a_redirection_is_not_hidden_by_a_policy_of_unknown_origin(audited: AuditAccount, name: str) -> None:
    rotation = redirected(audited)
    there = allow("secretsmanager:DescribeSecret", f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:x-AbCdEf")
    audited.put_policy(rotation.role, *guide(rotation.secret), there, name=name)
    assert rotation.role in the(audited.audit(), "NoPolicy").message


def test_a_redirection_is_not_hidden_in_the_policy_of_another_stack(audited: AuditAccount) -> None:
    rotation = redirected(audited)
    mine = audited.rotate("mine", rotation.function)
    stack_id = STACK_ID.replace("stack/database", "stack/mine")
    properties = {"SecretId": "mine", "RotationLambdaARN": rotation.function}
    assert audited.account.deploy(stack_id, **properties)["Status"] == "SUCCESS"
    name = policy_name(stack_id, LOGICAL_ID)
    statements = json.loads(json.dumps(audited.account.policies("evil")[name]["Statement"]))
    statements[0]["Resource"] = [mine, rotation.secret]
    audited.put_policy(rotation.role, *statements, name=name)
    assert codes(audited.audit(), notes=True) == ["PolicyWidened", "NoPolicy"]


def test_reads_are_not_hidden_by_policies_of_unknown_origin(audited: AuditAccount) -> None:
    names = [f"{'A' * 114}{number}-0123456789ab" for number in range(3)]
    first = audited.rotation("db0")
    secrets = [first.secret, audited.rotate("db1", first.function), audited.rotate("db2", first.function)]
    for number, (secret, name) in enumerate(zip(secrets, names, strict=True)):
        hidden = audited.account.secret(f"hidden{number}")
        audited.put_policy(first.role, *guide(secret), allow(GET, hidden), name=name)
    found = codes(audited.audit(), notes=True)
    assert found.count("UnneededGrant") == 3
    assert "NoPolicy" in found
