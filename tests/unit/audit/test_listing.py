"""Which secrets are rotated by a function, and that each thing is looked up once."""

from collections.abc import Callable
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from rotation_role_policy.audit.facts import secret_ids
from rotation_role_policy.audit.listing import Selection
from rotation_role_policy.audit.report import Report
from tests.support.account import ACCOUNT, REGION, error
from tests.support.audit_account import NOW, PUT, AuditAccount, allow, codes, guide, the, use_key


def names(report: Report) -> list[str]:
    """Return the names of the audited secrets."""
    return [rotation.secret_name for rotation in report.rotations]


# --- which secrets ---


@pytest.mark.parametrize(
    "members",
    [
        {"RotationLambdaARN": None},
        {"RotationLambdaARN": ""},
        # Replicas: only the primary secret is rotated.
        {"PrimaryRegion": "us-east-1"},
        {"CrossAccountPrimary": {"PrimarySecretARN": f"arn:aws:secretsmanager:{REGION}:999999999999:secret:x-AbCdEf"}},
        {"DeletedDate": NOW},
        # RDS and partners rotate without a function.
        {"OwningService": "rds", "RotationLambdaARN": None},
        {"Type": "Partner", "RotationLambdaARN": None},
    ],
)
def test_a_secret_that_no_function_rotates_is_left_out(audited: AuditAccount, members: dict[str, Any]) -> None:
    rotation = audited.rotation("rotated", PrimaryRegion=REGION)
    left_out = audited.rotate("left-out", rotation.function, **members)
    report = audited.audit()
    assert names(report) == ["rotated"]
    assert not any(left_out in (finding.subject.secret_arn, finding.resource) for finding in report.findings)


def test_an_account_without_rotations_has_an_empty_complete_report_after_one_call(audited: AuditAccount) -> None:
    audited.account.secret()
    report = audited.audit()
    assert (report.rotations, report.findings, report.is_complete) == ((), (), True)
    assert audited.calls() == {"secretsmanager:ListSecrets": 1}


def test_all_pages_of_secrets_are_listed(audited: AuditAccount) -> None:
    rotation = audited.rotation("first")
    client = audited.account.client("secretsmanager")
    listed = client.list_secrets()["SecretList"]
    second = audited.rotate("second", rotation.function)
    listed_second = [each for each in client.list_secrets()["SecretList"] if each["ARN"] == second]
    pages = {"": (listed, "2"), "2": ([], "3"), "3": (listed_second, "")}

    def page(parameters: dict[str, Any]) -> dict[str, Any]:
        secrets, token = pages[parameters.get("NextToken", "")]
        return {"SecretList": secrets} | ({"NextToken": token} if token else {})

    audited.account.api_responses["secretsmanager:ListSecrets"] = page
    audited.put_policy(rotation.role, *guide(rotation.secret), *guide(second))
    assert names(audited.audit()) == ["first", "second"]


def test_a_rotation_that_is_turned_off_is_audited_but_never_overdue(audited: AuditAccount) -> None:
    audited.rotation(RotationEnabled=False, NextRotationDate=NOW - timedelta(days=9))
    report = audited.audit()
    assert (names(report), codes(report)) == (["db"], ["RotationDisabled"])


# --- selection ---


def test_a_secret_has_three_ids() -> None:
    arn = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:prod/db-AbCdEf"
    assert secret_ids("prod/db", arn) == {"prod/db", arn, arn[:-7]}


@pytest.mark.parametrize("form", [lambda _: "second", lambda arn: arn, lambda arn: arn[:-7]])
def test_a_secret_id_selects_its_secret(audited: AuditAccount, form: Callable[[str], str]) -> None:
    first, second = audited.rotation("first"), audited.rotation("second")
    report = audited.audit(Selection((form(second.secret),)))
    assert names(report) == ["second"]
    assert first.secret not in str(report.findings)
    # The other function is not looked up.
    assert audited.calls()["lambda:GetFunctionConfiguration"] == 1


def test_a_secret_needs_all_tags_and_one_of_the_ids(audited: AuditAccount) -> None:
    audited.rotation("both", tags={"team": "data", "stage": "prod"})
    audited.rotation("one", tags={"team": "data"})
    audited.rotation("none")
    both = (("team", "data"), ("stage", "prod"))
    assert names(audited.audit(Selection(tags=both[:1]))) == ["both", "one"]
    assert names(audited.audit(Selection(tags=both))) == ["both"]
    assert names(audited.audit(Selection(tags=(("team", "web"),)))) == []
    assert names(audited.audit(Selection(("one", "none"), both[:1]))) == ["one"]


def test_a_selection_without_a_secret_looks_nothing_up(audited: AuditAccount) -> None:
    audited.rotation()
    assert names(audited.audit(Selection(("nothing",)))) == []
    assert audited.calls() == {"secretsmanager:ListSecrets": 1}


# --- each once ---


def test_what_secrets_share_is_looked_up_once(audited: AuditAccount) -> None:
    rotation = audited.rotation("first")
    key = audited.account.key()
    secrets = [rotation.secret, *(audited.rotate(f"more-{number}", rotation.function, key=key) for number in range(5))]
    audited.managed_policy("shared", allow("logs:*", "*"), roles=[rotation.role])
    for secret in secrets:
        audited.put_policy(rotation.role, *guide(secret), use_key(key, secret), name=secret[-12:-7])
    report = audited.audit()
    assert len(report.rotations) == 6
    assert codes(report) == []
    calls = audited.calls()
    assert calls.pop("iam:GetRolePolicy") == len(audited.account.policies("role-first"))
    assert calls == {
        "secretsmanager:ListSecrets": 1,
        "secretsmanager:ListSecretVersionIds": 6,
        "secretsmanager:GetResourcePolicy": 6,
        "kms:DescribeKey": 1,
        "kms:GetKeyPolicy": 1,
        "lambda:GetFunctionConfiguration": 1,
        "lambda:GetPolicy": 1,
        "lambda:ListFunctions": 1,
        # Is the policy of the secret on another role?
        "iam:GetAccountAuthorizationDetails": 1,
        "iam:GetRole": 1,
        "iam:ListRolePolicies": 1,
        "iam:ListAttachedRolePolicies": 1,
        "iam:GetPolicy": 1,
        "iam:GetPolicyVersion": 1,
    }


def test_a_key_is_the_same_by_its_arn_its_id_and_its_alias(audited: AuditAccount) -> None:
    key = audited.account.key()
    audited.account.client("kms").create_alias(AliasName="alias/rotation", TargetKeyId=key)
    rotation = audited.rotation("first", key=key)
    by_id = audited.rotate("second", rotation.function, key=key.rpartition("/")[2])
    by_alias = audited.rotate("third", rotation.function, key="alias/rotation")
    for secret in (rotation.secret, by_id, by_alias):
        audited.put_policy(rotation.role, *guide(secret), use_key(key, secret), name=secret[-12:-7])
    report = audited.audit()
    assert codes(report) == []
    assert {rotation.state.secrets[0].key_arn for rotation in report.rotations if rotation.state} == {key}


def test_several_functions_with_one_role_read_it_once(audited: AuditAccount) -> None:
    first = audited.rotation("first")
    audited.rotation("second", role=first.role)
    assert codes(audited.audit()) == ["SharedRole"]
    assert audited.calls()["iam:GetRole"] == 1


# --- functions ---


def test_aliases_and_versions_are_looked_up_separately_and_have_their_own_policies(audited: AuditAccount) -> None:
    rotation = audited.rotation("plain")
    client = audited.account.client("lambda")
    client.create_alias(FunctionName="rotate-plain", Name="live", FunctionVersion="1")
    for name, qualifier in (("by-alias", "live"), ("by-version", "1"), ("by-latest", "$LATEST"), ("gone", "old")):
        secret = audited.rotate(name, f"{rotation.function}:{qualifier}")
        audited.put_policy(rotation.role, *guide(secret), name=name)
    qualifiers: dict[str, Any] = {}

    def get_policy(parameters: dict[str, Any]) -> dict[str, Any]:
        qualifier = parameters.get("Qualifier", "")
        qualifiers[qualifier] = parameters["FunctionName"]
        if qualifier not in ("", "live"):
            raise error("ResourceNotFoundException")
        resource = rotation.function + (f":{qualifier}" if qualifier else "")
        return {
            "Policy": '{"Statement": [{"Effect": "Allow", "Principal": {"Service": "secretsmanager.amazonaws.com"},'
            f' "Action": "lambda:InvokeFunction", "Resource": "{resource}", "Condition": {{"StringEquals":'
            f' {{"AWS:SourceAccount": "{ACCOUNT}"}}}}}}]}}'
        }

    audited.account.api_responses["lambda:GetPolicy"] = get_policy
    report = audited.audit()
    assert set(qualifiers) == {"", "live", "1", "old"}
    assert {
        (finding.type.code, finding.subject.function_arn)
        for finding in report.findings
        if finding.type.severity == "error"
    } == {
        ("FunctionMissing", f"{rotation.function}:old"),
        ("InvokeNotAllowed", f"{rotation.function}:1"),
    }
    # They are one function, so nothing is shared.
    assert "SharedRole" not in codes(report)


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        ("Active", None, None),
        ("Pending", "Creating", None),
        ("Inactive", "Idle", "FunctionIdle"),
        ("Failed", "DisabledKMSKey", "FunctionNotActive"),
    ],
)
def test_a_function_that_is_not_active_is_reported(
    audited: AuditAccount, state: str, code: str | None, expected: str | None
) -> None:
    rotation = audited.rotation()
    reported = {"State": state, "StateReason": "This is why.", **({"StateReasonCode": code} if code else {})}
    audited.alter["lambda:GetFunctionConfiguration"] = lambda response: response | reported
    report = audited.audit()
    assert codes(report) == ([expected] if expected else [])
    if expected:
        found = the(report, expected)
        assert (found.subject.function_arn, found.subject.role_arn) == (rotation.function, rotation.role)
    if expected == "FunctionNotActive":
        assert "a KMS key of the function is disabled" in the(report, expected).message
        assert "This is why." in the(report, expected).message


def test_the_audit_waits_for_the_secrets_of_a_function_that_does_not_exist(audited: AuditAccount) -> None:
    missing = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:missing"
    for name in ("first", "second"):
        audited.rotate(name, missing)

    def late(response: dict[str, Any]) -> dict[str, Any]:
        Event().wait(0.3)
        return response

    # The first audit builds the clients, which takes longer than the response.
    assert names(audited.audit()) == ["first", "second"]
    audited.alter["secretsmanager:ListSecretVersionIds"] = late
    assert names(audited.audit()) == ["first", "second"]


def test_the_audit_waits_for_the_policy_of_a_function(audited: AuditAccount) -> None:
    role = audited.account.role()
    secret = audited.rotate("db", audited.function("rotate", role, invoke=False))
    audited.put_policy(role, *guide(secret))

    def late(_: dict[str, Any]) -> dict[str, Any]:
        Event().wait(0.3)
        return {"Policy": "{}"}

    assert codes(audited.audit()) == ["InvokeNotAllowed"]
    audited.account.api_responses["lambda:GetPolicy"] = late
    assert codes(audited.audit()) == ["InvokeNotAllowed"]


def test_a_function_that_does_not_exist_is_one_finding_for_all_its_secrets(audited: AuditAccount) -> None:
    missing = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:missing"
    audited.rotate("first", missing)
    audited.rotate("second", missing)
    report = audited.audit()
    assert codes(report) == ["FunctionMissing"]
    assert [(rotation.role_arn, rotation.state) for rotation in report.rotations] == [("", None), ("", None)]
    assert report.is_complete


def test_a_function_without_a_policy_may_not_be_invoked(audited: AuditAccount) -> None:
    role = audited.account.role()
    function = audited.function("rotate", role, invoke=False)
    secret = audited.rotate("db", function)
    audited.put_policy(role, *guide(secret))
    report = audited.audit()
    assert [(finding.type.code, finding.subject.secret_arn) for finding in report.findings[:1]] == [
        ("InvokeNotAllowed", secret)
    ]


def test_a_permission_for_another_secret_is_judged_for_each_secret(audited: AuditAccount) -> None:
    role = audited.account.role()
    function = audited.function("rotate", role, invoke=False)
    first, second = audited.rotate("first", function), audited.rotate("second", function)
    audited.put_policy(role, *guide(first), *guide(second))
    audited.allow_invoke("rotate", SourceArn=first)
    report = audited.audit()
    assert [(finding.type.code, finding.subject.secret_arn) for finding in report.findings[:1]] == [
        ("InvokeNotAllowed", second)
    ]
    assert codes(report) == ["InvokeNotAllowed"]


# --- regions ---


def test_several_regions_share_the_role_and_nothing_else(audited: AuditAccount) -> None:
    here = audited.rotation("here")
    there = audited.rotation("there", role=here.role, region="us-east-1")
    report = audited.audit(regions=(REGION, "us-east-1"))
    assert names(report) == ["here", "there"]
    assert report.regions == (REGION, "us-east-1")
    assert codes(report) == ["SharedRole"]
    assert there.function.split(":")[3] == "us-east-1"
    calls = audited.calls()
    assert (calls["secretsmanager:ListSecrets"], calls["lambda:ListFunctions"], calls["iam:GetRole"]) == (2, 2, 1)


def test_a_region_that_fails_is_a_finding_and_the_others_are_judged(audited: AuditAccount) -> None:
    audited.rotation("here")
    audited.let_fail("secretsmanager:ListSecrets", "us-east-1")
    report = audited.audit(regions=("us-east-1", REGION))
    assert names(report) == ["here"]
    assert codes(report) == ["NotInspected"]
    assert "us-east-1" in report.findings[0].resource
    assert "secretsmanager:ListSecrets" in report.findings[0].remediation
    assert not report.is_complete


# --- functions of other accounts ---


def test_a_function_of_another_account_is_one_note_and_nothing_about_it_is_looked_up(audited: AuditAccount) -> None:
    foreign = f"arn:aws:lambda:{REGION}:999999999999:function:rotate:live"
    key = audited.account.key()
    audited.account.client("kms").disable_key(KeyId=key.rpartition("/")[2])
    overdue = audited.rotate("overdue", foreign, NextRotationDate=NOW - timedelta(1))
    broken = audited.rotate("broken", foreign, key=key)
    report = audited.audit()
    assert codes(report) == ["KeyUnusable", "RotationOverdue", "FunctionInOtherAccount"]
    assert report.is_complete
    found = the(report, "FunctionInOtherAccount")
    assert (found.resource, found.subject.function_arn, found.subject.secret_arn) == (foreign, foreign, "")
    assert "999999999999" in found.message
    assert report.secrets_of(found) == sorted([overdue, broken])
    assert {each.function_arn for each in report.rotations} == {foreign}
    assert not [action for action in audited.calls() if action.startswith(("lambda:", "iam:"))]


def test_a_function_of_another_account_leaves_the_own_roles_known(audited: AuditAccount) -> None:
    """A grant that is too much is found, also where functions cannot be listed."""
    rotation = audited.rotation()
    other = allow(["secretsmanager:GetSecretValue", PUT], audited.account.secret("other"))
    audited.put_policy(rotation.role, other, name="other")
    audited.rotate("foreign", f"arn:aws:lambda:{REGION}:999999999999:function:rotate")
    assert codes(audited.audit()) == ["UnneededGrant", "FunctionInOtherAccount"]
    audited.let_fail("lambda:ListFunctions")
    assert codes(audited.audit()) == ["UnneededGrant", "NotInspected", "FunctionInOtherAccount"]
