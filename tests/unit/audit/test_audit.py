"""Audits of an account in moto: failures, interruptions, schedules, keys, superuser secrets, access, drift."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from rotation_role_policy.audit import audit as audit_module
from rotation_role_policy.audit import lookups, report_json, role
from rotation_role_policy.audit.collect import Region, Sources
from rotation_role_policy.audit.facts import RoleFacts
from rotation_role_policy.audit.facts import to_json as to_json_facts
from rotation_role_policy.audit.listing import Selection
from rotation_role_policy.audit.lookups import Workers
from rotation_role_policy.audit.report import Report, sort_findings
from rotation_role_policy.audit.role import RoleResult
from rotation_role_policy.audit.roles import read_roles
from rotation_role_policy_cli.audit.adopt import LEFT_OUT
from rotation_role_policy_cli.template.file import load
from tests.support.account import ACCOUNT, OWN_POLICY, REGION, error
from tests.support.audit_account import (
    NOW,
    OPEN_DENY,
    PUT,
    AuditAccount,
    Statement,
    WatchedBulkAws,
    allow,
    codes,
    guide,
    lacking_put,
    the,
    use_key,
    write_templates,
)

GET = "secretsmanager:GetSecretValue"
INTERFACES = ["CreateNetworkInterface", "DeleteNetworkInterface", "DescribeNetworkInterfaces"]
MANY = 9


def as_json(report: Report) -> Any:
    """Return the report as a reader of its JSON gets it."""
    return json.loads("".join(report_json.parts(report, {})))


def test_a_sound_rotation_has_no_finding_but_that_no_resource_covers_it(audited: AuditAccount) -> None:
    key = audited.account.key()
    rotation = audited.rotation(key=key)
    audited.put_policy(rotation.role, use_key(key, rotation.secret), name="key")
    report = audited.audit()
    assert codes(report, notes=True) == ["NoPolicy"]
    assert (report.is_complete, report.stopped) == (True, "")
    summary = report.summary
    found = {"errors": 0, "warnings": 0, "notes": 1, "accepted": 0}
    assert summary == {"secrets": 1, "functions": 1, "roles": 1} | found


def test_one_role_is_audited_as_in_the_audit_of_the_account(audited: AuditAccount) -> None:
    first, second = audited.rotation("first", allow(GET, "*")), audited.rotation("second")
    report = audited.audit()
    with Workers() as workers:
        region = Region(WatchedBulkAws(audited, REGION, workers.stopped), workers)
        region.list_rotations(Selection())
        roles = read_roles(region.aws, workers, {"role-first"})
        functions = {first.function: region, second.function: region}
        result = audit_module.audit_one(Sources([region], workers), first.role, roles["role-first"], functions, NOW)
    assert [rotation.secret_arn for rotation in result.rotations] == [first.secret]
    found = [each for each in report.findings if second.secret not in report.secrets_of(each)]
    assert sort_findings((*result.findings, *result.excess)) == tuple(found)
    assert found


def test_a_finding_about_a_region_concerns_no_secret(audited: AuditAccount) -> None:
    audited.rotation()
    audited.let_fail("lambda:ListFunctions")
    audited.let_fail("lambda:GetFunctionConfiguration")
    report = audited.audit()
    [region] = [each for each in report.findings if each.subject.region]
    assert (region.resource, report.secrets_of(region)) == (REGION, [])


def test_findings_are_sorted_and_name_secret_function_and_role(audited: AuditAccount) -> None:
    second = audited.rotation("second", allow(GET, "*"))
    first = audited.rotation("first", NextRotationDate=NOW - timedelta(1))
    audited.put_policy(first.role, *lacking_put(first.secret), name="rotation-first")
    audited.put_policy(second.role, *lacking_put(second.secret), allow(GET, "*"), name="rotation-second")
    report = audited.audit()
    assert [(each.type.code, each.subject.secret_arn, each.subject.role_arn) for each in report.findings] == [
        ("ActionNotGranted", first.secret, first.role),
        ("ActionNotGranted", second.secret, second.role),
        ("RotationOverdue", first.secret, ""),
        ("OtherSecrets", "", second.role),
        ("NoPolicy", first.secret, first.role),
        ("NoPolicy", second.secret, second.role),
    ]
    assert the(report, "RotationOverdue").subject.function_arn == first.function


# --- calls that fail ---


@pytest.mark.parametrize(
    ("action", "part", "named"),
    [
        ("secretsmanager:ListSecretVersionIds", "secret:first", "secret"),
        ("lambda:GetFunctionConfiguration", "rotate-first", "function"),
        ("lambda:GetPolicy", "rotate-first", "function"),
        ("iam:GetRole", "role-first", "role"),
        ("iam:ListRolePolicies", "role-first", "role"),
        ("iam:GetRolePolicy", "role-first", "role"),
        ("iam:ListAttachedRolePolicies", "role-first", "role"),
        ("lambda:ListFunctions", "", ""),
    ],
)
def test_a_denied_call_is_a_finding_and_the_rest_is_judged(
    audited: AuditAccount, action: str, part: str, named: str
) -> None:
    first, second = audited.rotation("first"), audited.rotation("second")
    audited.put_policy(second.role, *lacking_put(second.secret), name="rotation-second")
    audited.let_fail(action, part, error("AccessDenied"))
    report = audited.audit()
    assert codes(report) == ["ActionNotGranted", "NotInspected"]
    assert the(report, "ActionNotGranted").subject.secret_arn == second.secret
    found = the(report, "NotInspected")
    assert action in found.message
    assert action in found.remediation
    if named:
        assert found.resource == getattr(first, named)
        assert getattr(found.subject, f"{named}_arn") == getattr(first, named)
    assert not report.is_complete
    assert report.stopped == ""
    assert len(report.rotations) == 2


def test_a_call_that_aws_fails_is_a_finding_without_a_missing_action(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    audited.let_fail("iam:GetRole", "", error("InternalFailure"))
    found = the(audited.audit(), "NotInspected")
    assert (found.subject.role_arn, "iam:GetRole" in found.message, "iam:" in found.remediation) == (
        rotation.role,
        True,
        False,
    )


def test_a_key_that_cannot_be_described_is_not_reported_as_unusable(audited: AuditAccount) -> None:
    key = audited.account.key()
    rotation = audited.rotation(key=key.rpartition("/")[2])
    audited.put_policy(rotation.role, use_key(key, rotation.secret), name="key")
    audited.let_fail("kms:DescribeKey")
    report = audited.audit()
    assert codes(report) == ["NotInspected"]
    assert the(report, "NotInspected").subject.secret_arn == rotation.secret
    assert "kms:DescribeKey" in the(report, "NotInspected").remediation


def test_a_key_of_a_secret_that_was_not_inspected_is_no_unneeded_grant(audited: AuditAccount) -> None:
    key = audited.account.key()
    rotation = audited.rotation(key=key)
    audited.put_policy(rotation.role, use_key(key, rotation.secret), allow(GET, "*"), name="key")
    audited.let_fail("secretsmanager:ListSecretVersionIds")
    assert codes(audited.audit()) == ["OtherSecrets", "NotInspected"]


def test_a_failed_first_page_of_secrets_leaves_an_empty_incomplete_report(audited: AuditAccount) -> None:
    audited.rotation()
    audited.let_fail("secretsmanager:ListSecrets")
    report = audited.audit()
    assert (codes(report), report.rotations, report.is_complete) == (["NotInspected"], (), False)


@pytest.mark.parametrize("code", ["UnrecognizedClientException", "InvalidClientTokenId"])
def test_a_region_that_the_account_has_not_enabled_does_not_end_the_audit(audited: AuditAccount, code: str) -> None:
    audited.rotation("db")
    audited.let_fail("secretsmanager:ListSecrets", "us-east-1", error(code, "The security token is invalid."))
    report = audited.audit(regions=(REGION, "us-east-1"))
    found = the(report, "NotInspected")
    assert (found.subject.region, report.stopped, len(report.rotations)) == ("us-east-1", "", 1)
    assert "Is the region enabled" in found.remediation


@pytest.mark.parametrize(
    ("action", "is_known"),
    [
        ("secretsmanager:ListSecrets", False),
        ("secretsmanager:ListSecretVersionIds", False),
        ("lambda:GetPolicy", None),
        ("iam:GetRole", True),
        ("iam:ListAttachedRolePolicies", True),
        ("iam:SimulatePrincipalPolicy", True),
        # It is called from the start.
        ("secretsmanager:GetResourcePolicy", None),
    ],
)
def test_expired_credentials_end_the_audit_with_what_is_known(
    audited: AuditAccount, action: str, is_known: bool | None
) -> None:
    rotation = audited.rotation(
        "db",
        OPEN_DENY,
        NextRotationDate=NOW - timedelta(1),
    )
    other = audited.rotation("other")
    audited.put_policy(other.role, *lacking_put(other.secret), name="rotation-other")
    audited.let_fail(action, "", error("ExpiredTokenException") if is_known else NoCredentialsError())
    report = audited.audit()
    assert "expired" in report.stopped
    assert not report.is_complete
    assert "NotInspected" not in codes(report)
    if is_known is not None:
        # How much was looked up by then depends on the threads.
        assert {rotation.secret_name for rotation in report.rotations} <= ({"db", "other"} if is_known else set())
    if is_known:
        assert the(report, "RotationOverdue").subject.secret_arn == rotation.secret


@pytest.mark.parametrize("phase", ["functions", "roles", "policy simulator", "resource policies"])
def test_ctrl_c_ends_the_audit_with_what_is_known(audited: AuditAccount, phase: str) -> None:
    audited.rotation("overdue", OPEN_DENY, NextRotationDate=NOW - timedelta(1))
    rotation = audited.rotation("lacking")
    audited.put_policy(rotation.role, *lacking_put(rotation.secret), allow(GET, "*"), name="rotation-lacking")
    begun: list[str] = []

    def interrupt(current: str, _done: int, _all: int) -> None:
        begun.append(current)
        if current == phase:
            raise KeyboardInterrupt

    report = audited.audit(progress=_once(interrupt))
    assert phase in begun
    assert "interrupted" in report.stopped
    assert not report.is_complete
    if phase in ("roles", "policy simulator"):
        assert "RotationOverdue" in codes(report)
    if phase != "functions":
        # Which secrets the role needs is not yet certain.
        assert "OtherSecrets" not in codes(report)


def test_ctrl_c_keeps_what_the_policies_alone_have_decided(audited: AuditAccount) -> None:
    audited.rotation("open", OPEN_DENY)
    rotation = audited.rotation("blocked")
    audited.put_policy(rotation.role, {"Effect": "Deny", "Action": "secretsmanager:*", "Resource": "*"}, name="deny")
    others = [*["secrets"] * 2, *["functions"] * 5, "policies of all roles"]
    are_others_done = Event()

    def interrupt(current: str, _done: int, _all: int) -> None:
        if current in others:
            others.remove(current)
        if not others:
            are_others_done.set()
        if current == "policy simulator":
            raise KeyboardInterrupt

    def simulate(_: Any) -> list[dict[str, Any]]:
        assert are_others_done.wait(30)
        # Their results are there a moment after the progress was told.
        Event().wait(0.2)
        return []

    audited.account.simulate = simulate
    report = audited.audit(progress=_once(interrupt))
    assert "ActionBlocked" in codes(report)
    assert not report.is_complete


def _once(progress: Callable[[str, int, int], None]) -> Callable[[str, int, int], None]:
    """Return a progress callback that raises only once, as a user presses Ctrl-C once."""
    raised: list[bool] = []

    def call(current: str, done: int, everything: int) -> None:
        try:
            if not raised:
                progress(current, done, everything)
        except KeyboardInterrupt:
            raised.append(True)
            raise

    return call


# --- selection ---


def test_a_selection_does_not_accuse_the_role_for_the_other_secrets(audited: AuditAccount) -> None:
    """Neither for those of the same function, nor for those of another function with this role."""
    keys = [audited.account.key() for _ in range(3)]
    first = audited.rotation("first", key=keys[0], tags={"team": "data"})
    second = audited.rotate("second", first.function, key=keys[1])
    other = audited.rotation("other", role=first.role, key=keys[2])
    for secret, key in zip((first.secret, second, other.secret), keys, strict=True):
        audited.put_policy(first.role, *guide(secret), use_key(key, secret), name=secret[-12:-7])
    for selection in (Selection(("first",)), Selection(tags=(("team", "data"),))):
        report = audited.audit(selection)
        assert [rotation.secret_name for rotation in report.rotations] == ["first"]
        assert codes(report) == ["SharedRole"]
        assert {finding.subject.secret_arn for finding in report.findings} == {"", first.secret}


def test_a_selection_does_not_accuse_the_role_for_a_key_that_another_secret_names_by_its_alias(
    audited: AuditAccount,
) -> None:
    key = audited.account.key()
    audited.account.client("kms").create_alias(AliasName="alias/other", TargetKeyId=key)
    first = audited.rotation("first")
    other = audited.rotation("other", role=first.role, key="alias/other")
    audited.put_policy(first.role, use_key(key, other.secret), name="key")
    assert codes(audited.audit(Selection(("first",)))) == ["SharedRole"]
    assert codes(audited.audit()) == ["SharedRole"]


def test_a_selection_leaves_out_the_findings_of_other_secrets(audited: AuditAccount) -> None:
    first = audited.rotation("first")
    second = audited.rotate("second", first.function, NextRotationDate=NOW - timedelta(1))
    report = audited.audit(Selection(("first",)))
    assert second not in {finding.subject.secret_arn for finding in report.findings}
    assert codes(report) == []


# --- the schedule ---


@pytest.mark.parametrize(
    ("members", "is_overdue"),
    [
        ({"NextRotationDate": NOW + timedelta(seconds=1)}, False),
        ({"NextRotationDate": NOW}, False),
        # A rotation that began at the end of its window still runs.
        ({"NextRotationDate": NOW - timedelta(hours=2)}, False),
        ({"NextRotationDate": NOW - timedelta(hours=2, seconds=1)}, True),
        # Without the date: the days since the last rotation, and one more.
        ({"NextRotationDate": None, "LastRotatedDate": NOW - timedelta(days=31)}, False),
        ({"NextRotationDate": None, "LastRotatedDate": NOW - timedelta(days=31, seconds=1)}, True),
        ({"NextRotationDate": None, "LastRotatedDate": None, "CreatedDate": NOW - timedelta(days=32)}, True),
        ({"NextRotationDate": None, "LastRotatedDate": None, "CreatedDate": NOW - timedelta(days=9)}, False),
        ({"NextRotationDate": None, "LastRotatedDate": NOW - timedelta(99), "CreatedDate": NOW}, True),
        ({"NextRotationDate": None, "RotationRules": {"ScheduleExpression": "rate(4 hours)"}}, False),
        ({"NextRotationDate": None, "LastRotatedDate": None, "CreatedDate": None}, False),
    ],
)
def test_a_rotation_is_overdue_after_its_date(audited: AuditAccount, members: dict[str, Any], is_overdue: bool) -> None:
    rotation = audited.rotation(**members)
    report = audited.audit()
    assert codes(report) == (["RotationOverdue"] if is_overdue else [])
    if is_overdue:
        assert the(report, "RotationOverdue").subject.secret_arn == rotation.secret


@pytest.mark.parametrize(
    ("days", "labels", "expected"),
    [
        (2, ["AWSPENDING"], ["RotationUnfinished"]),
        (0.5, ["AWSPENDING"], []),
        (2, ["AWSCURRENT", "AWSPENDING"], []),
        (2, ["AWSPREVIOUS"], []),
        (2, [], []),
    ],
)
def test_a_rotation_that_does_not_finish_is_found_by_its_version(
    audited: AuditAccount, days: float, labels: list[str], expected: list[str]
) -> None:
    rotation = audited.rotation()
    version = {"VersionId": "1" * 32, "VersionStages": labels, "CreatedDate": NOW - timedelta(days=days)}
    audited.alter["secretsmanager:ListSecretVersionIds"] = lambda response: (
        response | {"Versions": [*response["Versions"], version]}
    )
    report = audited.audit()
    assert codes(report) == expected
    if expected:
        assert the(report, expected[0]).subject.secret_arn == rotation.secret


def test_a_rotation_in_hours_is_late_after_two_intervals(audited: AuditAccount) -> None:
    rules = {"ScheduleExpression": "rate(12 hours)", "AutomaticallyAfterDays": 1}
    audited.rotation("late", RotationRules=rules, LastRotatedDate=NOW - timedelta(hours=25))
    audited.rotation("sound", RotationRules=rules, LastRotatedDate=NOW - timedelta(hours=23))
    report = audited.audit()
    assert codes(report) == ["RotationLate"]
    assert "secret:late-" in the(report, "RotationLate").resource


def test_replication_that_failed_is_looked_up_only_for_secrets_with_replicas(audited: AuditAccount) -> None:
    audited.rotation("alone")
    replicated = audited.rotation("replicated", PrimaryRegion=REGION)
    status = [{"Region": "us-east-1", "Status": "Failed"}, {"Region": "eu-west-1", "Status": "InSync"}]
    audited.alter["secretsmanager:DescribeSecret"] = lambda response: response | {"ReplicationStatus": status}
    report = audited.audit()
    assert codes(report) == ["ReplicationFailed"]
    found = the(report, "ReplicationFailed")
    assert (found.subject.secret_arn, "us-east-1" in found.message, "eu-west-1" in found.message) == (
        replicated.secret,
        True,
        False,
    )
    assert audited.calls()["secretsmanager:DescribeSecret"] == 1


# --- keys ---


def versions(*labels_and_keys: tuple[str, str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that gives the secret versions with these labels under these keys."""
    members = [{"VersionStages": [label], "KmsKeyIds": [key]} for label, key in labels_and_keys]
    return lambda response: response | {"Versions": members}


@pytest.mark.parametrize(
    ("state", "which"),
    [
        ("missing", "own"),
        ("disabled", "own"),
        ("pending deletion", "own"),
        ("missing", "AWSCURRENT"),
        ("disabled", "AWSCURRENT"),
        ("disabled", "AWSPENDING"),
        ("missing", "AWSPREVIOUS"),
        ("disabled", "AWSPREVIOUS"),
    ],
)
def test_a_key_that_cannot_be_used_is_an_error_unless_only_awsprevious_needs_it(
    audited: AuditAccount, state: str, which: str
) -> None:
    bad, good = audited.account.key(), audited.account.key()
    kms = audited.account.client("kms")
    if state == "missing":
        bad = bad.replace(bad[-12:], "000000000000")
    elif state == "disabled":
        kms.disable_key(KeyId=bad.rpartition("/")[2])
    else:
        kms.schedule_key_deletion(KeyId=bad.rpartition("/")[2])
    own = bad if which == "own" else good
    rotation = audited.rotation(key=own)
    audited.put_policy(rotation.role, use_key(own, rotation.secret), name="key")
    if which != "own":
        audited.alter["secretsmanager:ListSecretVersionIds"] = versions((which, bad))
    report = audited.audit()
    assert codes(report) == ["PreviousVersionUnreadable" if which == "AWSPREVIOUS" else "KeyUnusable"]
    found = report.findings[0]
    assert (found.subject.secret_arn, found.subject.function_arn) == (rotation.secret, rotation.function)
    assert bad in found.message
    assert found.remediation


def test_an_earlier_key_that_versions_in_use_need_must_be_granted(audited: AuditAccount) -> None:
    own, earlier = audited.account.key(), audited.account.key()
    rotation = audited.rotation(key=own)
    audited.put_policy(rotation.role, use_key(own, rotation.secret), name="key")
    audited.alter["secretsmanager:ListSecretVersionIds"] = versions(("AWSCURRENT", earlier))
    report = audited.audit()
    assert codes(report) == ["ActionNotGranted"]
    found = the(report, "ActionNotGranted")
    assert "kms:Decrypt" in found.message
    assert "kms:GenerateDataKey" not in found.message
    assert earlier in found.message
    assert found.subject.secret_arn == rotation.secret
    audited.put_policy(rotation.role, use_key(earlier, rotation.secret, "kms:Decrypt"), name="earlier")
    assert codes(audited.audit()) == []


def test_a_grant_on_a_key_that_no_secret_has_any_more_is_not_needed(audited: AuditAccount) -> None:
    own, former = audited.account.key(), audited.account.key()
    rotation = audited.rotation(key=own)
    audited.put_policy(rotation.role, use_key(own, rotation.secret), use_key(former, rotation.secret), name="key")
    assert codes(audited.audit()) == ["UnneededGrant"]


def test_the_key_of_a_function_s_environment_is_no_excess(audited: AuditAccount) -> None:
    key = audited.account.key()
    audited.rotation("db", allow("kms:Decrypt", key))
    audited.alter["lambda:GetFunctionConfiguration"] = lambda response: response | {"KMSKeyArn": key}
    assert codes(audited.audit()) == []


# --- the superuser secret ---


def superuser_audit(audited: AuditAccount, *statements: Statement, key: str | None = None) -> Any:
    """Create a superuser secret that the role may read, and return the report and the ARN of the secret."""
    superuser = audited.account.secret("superuser", key=key)
    audited.rotation("db", allow([GET], superuser), *statements)
    return audited.audit(), superuser


def test_a_secret_that_only_other_policies_name_is_taken_for_the_superuser_secret(audited: AuditAccount) -> None:
    report, superuser = superuser_audit(audited)
    assert codes(report) == []
    state = report.rotations[0].state
    assert state
    assert state.superuser_secret
    assert state.superuser_secret.arn == superuser
    assert superuser in " ".join(report.rotations[0].unknowns)


def test_a_grant_on_the_key_of_an_assumed_superuser_secret_is_needed(audited: AuditAccount) -> None:
    key = audited.account.key()
    report, _ = superuser_audit(audited, allow("kms:Decrypt", key), key=key)
    assert codes(report) == ["KmsWithoutEncryptionContext"]


def test_a_rotation_is_adopted_only_if_the_provider_would_write_its_policy(
    audited: AuditAccount, tmp_path: Path
) -> None:
    """It refuses what is certainly blocked, also a call that a custom function need not make."""
    deny = {"Effect": "Deny", "Action": "secretsmanager:GetRandomPassword", "Resource": "*"}
    blocked = audited.rotation("blocked", deny)
    lacking = audited.rotation("lacking")
    audited.put_policy(lacking.role, guide(lacking.secret)[0], name="rotation-lacking")
    # The key of the environment variables is no reason to refuse.
    key = audited.account.key()
    audited.account.client("kms").disable_key(KeyId=key.rpartition("/")[2])
    environment = {"Environment": {"Variables": {"A": "B"}}, "KMSKeyArn": key}
    audited.alter["lambda:GetFunctionConfiguration"] = lambda response: response | environment
    report = audited.audit()
    assert codes(report) == ["KeyUnusable", "KeyUnusable", *["RandomPasswordNotGranted"] * 2]
    [file] = write_templates(report, tmp_path / "adopt")
    template = load(file)
    assert [each["Properties"]["SecretId"] for each in template["Resources"].values()] == [lacking.secret]
    assert blocked.secret in file.with_name(LEFT_OUT).read_text(encoding="utf-8")


@pytest.mark.parametrize("by_boundary", [True, False])
def test_a_rotation_that_works_is_left_out_if_the_provider_would_refuse_its_policy(
    audited: AuditAccount, tmp_path: Path, by_boundary: bool
) -> None:
    """AWS's own policy for functions in a VPC lacks DetachNetworkInterface, and so do boundaries made after it."""
    interfaces = [f"ec2:{action}" for action in INTERFACES]
    deny = {"Effect": "Deny", "Action": "ec2:Detach*", "Resource": "*"}
    rotation = audited.rotation("db", allow(interfaces, "*"), *([] if by_boundary else [deny]), vpc=True)
    if by_boundary:
        boundary = audited.managed_policy("boundary", allow(["secretsmanager:*", *interfaces], "*"))
        audited.account.client("iam").put_role_permissions_boundary(RoleName="role-db", PermissionsBoundary=boundary)
    sound = audited.rotation("sound")
    report = audited.audit()
    assert codes(report) == ["NetworkInterfacesOpenToCode"]
    [note] = [each for each in report.findings if each.subject.secret_arn == rotation.secret]
    assert "ec2:DetachNetworkInterface on * is blocked" in note.message
    assert "the provider refuses a policy of which a part is blocked" in note.message
    [file] = write_templates(report, tmp_path / "adopt")
    [resource] = load(file)["Resources"].values()
    assert resource["Properties"]["SecretId"] == sound.secret
    assert rotation.secret in file.with_name(LEFT_OUT).read_text(encoding="utf-8")


def test_several_candidates_leave_the_superuser_secret_unknown(audited: AuditAccount) -> None:
    key = audited.account.key()
    superusers = [audited.account.secret(name, key=key) for name in ("one", "two")]
    audited.rotation("db", allow(GET, superusers))
    report = audited.audit()
    # At most one of them is needed.
    assert codes(report) == ["UnneededGrant", "UnneededGrant"]
    assert all("set SuperuserSecretId first" in found.remediation for found in report.findings[:2])
    state = report.rotations[0].state
    assert state
    assert state.superuser_secret is None
    assert all(superuser in " ".join(report.rotations[0].unknowns) for superuser in superusers)


def test_a_candidate_that_does_not_exist_leaves_the_other_one(audited: AuditAccount) -> None:
    superuser = audited.account.secret("superuser")
    gone = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:gone-AbCdEf"
    audited.rotation("db", allow(GET, [superuser, gone]))
    report = audited.audit()
    assert codes(report) == ["UnneededGrant"]
    assert gone in the(report, "UnneededGrant").message
    state = report.rotations[0].state
    assert state
    assert state.superuser_secret
    assert state.superuser_secret.arn == superuser


def test_a_grant_on_a_secret_that_does_not_exist_is_not_needed(audited: AuditAccount) -> None:
    gone = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:gone-AbCdEf"
    audited.rotation("db", allow(GET, gone))
    report = audited.audit()
    assert codes(report) == ["UnneededGrant"]
    assert gone in the(report, "UnneededGrant").message


@pytest.mark.parametrize("is_scheduled", [False, True])
def test_a_provider_s_policy_whose_superuser_secret_is_gone_is_an_error_and_no_drift(
    audited: AuditAccount, is_scheduled: bool
) -> None:
    rotation = audited.rotation()
    superuser = audited.account.secret("superuser")
    audited.account.client("iam").delete_role_policy(RoleName="role-db", PolicyName="rotation-db")
    audited.account.deploy(SecretId="db", RotationLambdaARN=rotation.function, SuperuserSecretId=superuser)
    assert codes(audited.audit(), notes=True) == []
    window = {"RecoveryWindowInDays": 7} if is_scheduled else {"ForceDeleteWithoutRecovery": True}
    audited.account.client("secretsmanager").delete_secret(SecretId=superuser, **window)
    report = audited.audit()
    assert codes(report, notes=True) == ["SuperuserMissing"]
    found = the(report, "SuperuserMissing")
    assert (found.resource, found.subject.function_arn, found.subject.role_arn) == (
        superuser,
        rotation.function,
        rotation.role,
    )


def test_a_provider_s_policy_whose_superuser_secret_is_not_inspected_is_no_drift(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    superuser = audited.account.secret("superuser")
    audited.account.client("iam").delete_role_policy(RoleName="role-db", PolicyName="rotation-db")
    audited.account.deploy(SecretId="db", RotationLambdaARN=rotation.function, SuperuserSecretId=superuser)
    audited.let_fail("secretsmanager:DescribeSecret")
    assert codes(audited.audit(), notes=True) == ["NotInspected"]


def test_a_superuser_secret_without_random_characters_in_the_policy_is_found(audited: AuditAccount) -> None:
    superuser = audited.account.secret("superuser")
    audited.rotation("db", allow(GET, superuser[:-6] + "??????"))
    report = audited.audit()
    assert codes(report) == []
    state = report.rotations[0].state
    assert state
    assert state.superuser_secret
    assert state.superuser_secret.arn == superuser


# --- roles ---


def test_a_role_that_lambda_cannot_assume_is_an_error(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    trust: Any = {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
    }
    audited.account.client("iam").update_assume_role_policy(RoleName="role-db", PolicyDocument=json.dumps(trust))
    report = audited.audit()
    assert codes(report) == ["RoleNotAssumable"]
    assert the(report, "RoleNotAssumable").subject.role_arn == rotation.role


@pytest.mark.parametrize("number", [1, MANY])
def test_a_role_that_does_not_exist_is_one_error(audited: AuditAccount, number: int) -> None:
    rotations = [audited.rotation(f"db-{index}") for index in range(number)]
    iam = audited.account.client("iam")
    iam.delete_role_policy(RoleName="role-db-0", PolicyName="rotation-db-0")
    iam.delete_role(RoleName="role-db-0")
    report = audited.audit()
    assert codes(report) == ["RoleNotAssumable"]
    assert the(report, "RoleNotAssumable").subject.role_arn == rotations[0].role
    assert len(report.rotations) == number


@pytest.mark.parametrize("number", [2, MANY])
def test_the_bulk_read_of_roles_changes_no_finding(audited: AuditAccount, number: int) -> None:
    for index in range(number):
        rotation = audited.rotation(f"db-{index}")
        if index == 1:
            audited.put_policy(rotation.role, *lacking_put(rotation.secret), allow(GET, "*"), name="rotation-db-1")
    report = audited.audit()
    assert codes(report) == ["ActionNotGranted", "OtherSecrets"]
    assert {finding.subject.role_arn for finding in report.findings if finding.type.code != "NoPolicy"} == {
        f"arn:aws:iam::{ACCOUNT}:role/role-db-1"
    }


def test_a_function_that_rotates_nothing_but_has_the_role_shares_it(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    audited.function("api", rotation.role)
    report = audited.audit()
    assert codes(report) == ["SharedRole"]
    assert "function:api" in the(report, "SharedRole").message


def test_a_function_in_a_vpc_that_rotates_nothing_needs_network_interfaces(audited: AuditAccount) -> None:
    rotation = audited.rotation("db", allow("ec2:CreateNetworkInterface", "*"))
    audited.function("api", rotation.role, vpc=True)
    assert "UnneededGrant" not in codes(audited.audit())


def test_a_secret_that_a_function_in_another_region_rotates_is_no_excess_there(audited: AuditAccount) -> None:
    here = audited.rotation("here")
    audited.rotation("there", role=here.role, region="us-east-1")
    assert codes(audited.audit()) == []


# --- roles that turn up twice ---


@pytest.mark.parametrize("how", ["ListFunctions is denied in one region", "a version has another role"])
def test_a_role_that_turns_up_twice_is_audited_again_from_scratch(audited: AuditAccount, how: str) -> None:
    """Its first result is replaced, and no question is asked twice."""
    first_key, second_key = audited.account.key(), audited.account.key()
    first = audited.rotation("first", OPEN_DENY, key=first_key)
    if how == "a version has another role":
        second = audited.rotation("second", key=second_key)
        audited.account.client("iam").delete_role_policy(RoleName="role-second", PolicyName="rotation-second")

        def of_the_first(response: dict[str, Any]) -> dict[str, Any]:
            return response | {"Role": first.role}

        audited.alter["lambda:GetFunctionConfiguration"] = of_the_first
        regions = [REGION]
    else:
        region_key = second_key.replace(REGION, "us-east-1")
        second = audited.rotation("second", role=first.role, region="us-east-1")
        audited.rotations[second.secret]["KmsKeyId"] = region_key
        describe = {"KeyMetadata": {"Arn": region_key, "KeyManager": "CUSTOMER", "KeyState": "Enabled"}}
        original = {"KeyMetadata": {"Arn": first_key, "KeyManager": "CUSTOMER", "KeyState": "Enabled"}}
        audited.account.api_responses["kms:DescribeKey"] = lambda parameters: (
            describe if parameters["KeyId"] == region_key else original
        )
        root = json.dumps({"Statement": allow("kms:*", "*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})})
        audited.account.api_responses["kms:GetKeyPolicy"] = lambda _: {"Policy": root}
        audited.let_fail("lambda:ListFunctions", "us-east-1")
        second_key = region_key
        regions = [REGION, "us-east-1"]
    audited.put_policy(first.role, *guide(second.secret), name="rotation-second")
    audited.put_policy(first.role, use_key(first_key, first.secret), use_key(second_key, second.secret), name="keys")
    report = audited.audit(regions=regions)
    found = set(codes(report))
    assert found <= {"SharedRole", "NotInspected"}, [finding.message for finding in report.findings]
    # One for each of the two secrets: the first question is not asked again.
    assert audited.calls()["iam:SimulatePrincipalPolicy"] == 2
    assert {rotation.role_arn for rotation in report.rotations} == {first.role}


def test_what_was_found_first_does_not_stay_if_the_role_has_more_functions(audited: AuditAccount) -> None:
    """A grant for the secret of the second function is no excess once this function is known."""
    first = audited.rotation("first")
    second = audited.rotation("second")
    audited.put_policy(first.role, *guide(second.secret), name="rotation-second")
    assert codes(audited.audit()) == ["UnneededGrant"]
    audited.alter["lambda:GetFunctionConfiguration"] = lambda response: response | {"Role": first.role}
    assert codes(audited.audit()) == ["SharedRole"]


# --- what goes wrong with one role ---


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Deny", "Action": PUT, "Resource": "*", "Condition": {"Null": {"aws:SecureTransport": []}}},
        {"Effect": "Deny", "Action": PUT, "Resource": "*", "Condition": {"StringEquals": {"aws:SourceVpc": []}}},
    ],
)
def test_a_condition_without_a_value_is_open(audited: AuditAccount, statement: Statement) -> None:
    audited.rotation("db", statement)
    assert codes(audited.audit()) == []
    assert audited.calls()["iam:SimulatePrincipalPolicy"] == 1


def test_a_pattern_with_many_stars_takes_no_time(audited: AuditAccount) -> None:
    stars = "a*" * 30 + "b"
    audited.rotation(f"a{'a' * 60}", allow(GET, f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{stars}"))
    assert codes(audited.audit()) == ["OtherSecrets"]


@pytest.fixture
def _contained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contain errors of the audit itself, as in production."""
    monkeypatch.setattr(lookups, "CONTAINED_ERRORS", (Exception,))


def test_an_internal_error_concerns_only_its_role(audited: AuditAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = audited.rotation("bad")
    good = audited.rotation("good")
    audited.put_policy(good.role, *lacking_put(good.secret), name="rotation-good")
    document = {"Version": "2012-10-17", "Statement": ["not a statement"]}
    audited.alter["iam:GetRolePolicy"] = lambda response: (
        response | {"PolicyDocument": document} if response["RoleName"] == "role-bad" else response
    )
    with pytest.raises(ValueError, match="not an object"):
        audited.audit()
    monkeypatch.setattr(lookups, "CONTAINED_ERRORS", (Exception,))
    report = audited.audit()
    assert codes(report) == ["ActionNotGranted", "NotInspected"]
    found = the(report, "NotInspected")
    assert (found.subject.role_arn, found.resource) == (bad.role, bad.role)
    assert "Internal error (ValueError)" in found.message
    assert not report.is_complete
    assert {rotation.secret_arn for rotation in report.rotations} == {bad.secret, good.secret}


@pytest.mark.parametrize(
    ("action", "alter"),
    [
        ("lambda:GetFunctionConfiguration", lambda response: response | {"FunctionArn": "x:y:z:w"}),
        ("lambda:GetFunctionConfiguration", lambda response: {"FunctionArn": response["FunctionArn"]}),
        ("lambda:ListFunctions", lambda _: {"Functions": [{"FunctionName": "x"}]}),
        ("lambda:GetPolicy", lambda response: response | {"Policy": "no JSON"}),
        ("iam:GetRole", lambda _: {"Role": {}}),
        ("iam:ListRolePolicies", lambda _: {}),
        ("secretsmanager:ListSecrets", lambda _: {"SecretList": [{"ARN": "x", "RotationLambdaARN": "x"}]}),
        ("secretsmanager:ListSecretVersionIds", lambda _: {"Versions": [{"VersionStages": 3}]}),
    ],
)
@pytest.mark.usefixtures("_contained")
def test_a_response_that_aws_does_not_document_is_a_finding(
    audited: AuditAccount, action: str, alter: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    audited.rotation("first", key=audited.account.key())
    audited.rotation("second")
    audited.alter[action] = alter
    report = audited.audit()
    assert {finding.type.code for finding in report.findings} & {"NotInspected", "RoleNotAssumable"}
    found = [finding for finding in report.findings if finding.type.code == "NotInspected"]
    assert found
    assert all("Internal error (" in finding.message for finding in found)
    assert not report.is_complete


@pytest.mark.usefixtures("_contained")
def test_a_secret_with_an_odd_function_leaves_the_others_listed(audited: AuditAccount) -> None:
    odd, good = audited.rotation("odd"), audited.rotation("good")
    audited.rotations[odd.secret]["RotationLambdaARN"] = "x y"
    report = audited.audit()
    [found] = [each for each in report.findings if each.type.code == "NotInspected"]
    assert (found.resource, report.secrets_of(found)) == (odd.secret, [odd.secret])
    assert [rotation.secret_arn for rotation in report.rotations] == [good.secret]


@pytest.mark.usefixtures("_contained")
def test_an_internal_error_with_a_function_whose_role_is_not_known_concerns_only_the_function(
    audited: AuditAccount,
) -> None:
    bad = audited.rotation("bad", NextRotationDate=None, RotationRules={"AutomaticallyAfterDays": 10**10})
    good = audited.rotation("good")
    audited.let_fail("lambda:GetFunctionConfiguration", "rotate-bad")
    report = audited.audit()
    [found] = [each for each in report.findings if each.type.code == "NotInspected"]
    assert (found.resource, found.subject.function_arn) == (bad.function, bad.function)
    assert "Internal error (OverflowError)" in found.message
    assert good.secret in {rotation.secret_arn for rotation in report.rotations}


# --- who has the role ---


def shared(audited: AuditAccount, *regions: str) -> str:
    """Create a function in each region, all with one role, and return the role."""
    role = audited.account.role("role-shared")
    for number, region in enumerate(regions):
        audited.rotation(f"s{number}", role=role, region=region)
    return role


FIRST = Selection(("s0",))


@pytest.mark.parametrize("selection", [Selection(), FIRST])
@pytest.mark.parametrize(
    "denied",
    [
        [],
        [("lambda:ListFunctions", "")],
        [("lambda:ListFunctions", "us-east-1")],
        [("secretsmanager:ListSecrets", "us-east-1")],
        [("lambda:ListFunctions", ""), ("lambda:GetFunctionConfiguration", "rotate-s1")],
    ],
)
def test_a_grant_that_another_function_can_need_is_not_called_unneeded(
    audited: AuditAccount, selection: Selection, denied: list[tuple[str, str]]
) -> None:
    shared(audited, REGION, REGION, "us-east-1")
    for failure in denied:
        audited.let_fail(*failure)
    assert "UnneededGrant" not in codes(audited.audit(selection, regions=(REGION, "us-east-1")))


def test_a_grant_that_no_function_needs_is_called_unneeded_if_all_are_known(audited: AuditAccount) -> None:
    role = shared(audited, REGION, "us-east-1")
    audited.put_policy(role, allow([GET, PUT], audited.account.secret("other")), name="other")
    for selection in (Selection(), FIRST):
        assert "UnneededGrant" in codes(audited.audit(selection, regions=(REGION, "us-east-1")))
    audited.let_fail("secretsmanager:ListSecrets", "us-east-1")
    assert "UnneededGrant" not in codes(audited.audit(FIRST, regions=(REGION, "us-east-1")))


# --- facts ---


def test_facts_are_json_and_contain_no_value_of_an_environment_variable(
    audited: AuditAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = audited.account.key()
    superuser = audited.account.secret("superuser")
    rotation = audited.rotation("db", OPEN_DENY, allow(GET, superuser), key=key)
    audited.put_policy(rotation.role, use_key(key, rotation.secret), name="key")
    environment = {"Environment": {"Variables": {"PASSWORD": "canary"}}, "KMSKeyArn": key}
    audited.alter["lambda:GetFunctionConfiguration"] = lambda response: response | environment
    audited.alter["lambda:ListFunctions"] = lambda response: (
        response | {"Functions": [function | environment for function in response["Functions"]]}
    )
    seen: list[RoleFacts] = []

    def audit_role(facts: RoleFacts, now: datetime) -> RoleResult:
        seen.append(facts)
        return role.audit_role(facts, now)

    monkeypatch.setattr(audit_module, "audit_role", audit_role)
    report = audited.audit()
    [facts] = seen
    dumped = json.dumps(to_json_facts(facts))
    assert "canary" not in dumped
    assert "PASSWORD" not in dumped
    for expected in (rotation.secret, rotation.function, rotation.role, superuser, key):
        assert expected in dumped
    # The same facts give the same result, without a call.
    audited.account.calls.clear()
    assert role.audit_role(facts, NOW) == role.audit_role(facts, NOW)
    assert set(role.audit_role(facts, NOW).findings) <= set(report.findings)
    assert audited.account.calls == []


# --- the provider's policies ---


@pytest.mark.parametrize("profile", ["Strict", "Documented"])
@pytest.mark.parametrize("vpc", [True, False])
def test_the_provider_s_policy_is_sound_until_something_changes(audited: AuditAccount, profile: str, vpc: bool) -> None:
    first, second = audited.account.key(), audited.account.key()
    rotation = audited.rotation(key=first, vpc=vpc)
    superuser = audited.account.secret("superuser", key=first)
    more = audited.rotate("another", rotation.function)
    audited.account.client("iam").delete_role_policy(RoleName="role-db", PolicyName="rotation-db")
    properties = {
        # In another order than that of the names.
        "SecretIds": ["db", "another"],
        "RotationLambdaARN": rotation.function,
        "SuperuserSecretId": superuser,
        "TargetArns": [f"arn:aws:rds:{REGION}:{ACCOUNT}:db:prod", f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:prod"],
        "PolicyProfile": profile,
    }
    assert audited.account.deploy(**properties)["Status"] == "SUCCESS"
    report = audited.audit()
    # The profile Documented has fewer conditions than it could have.
    assert codes(report, notes=True) == (["PolicyWidened"] if profile == "Documented" else [])
    assert {entry.policy_name for entry in report.rotations} == {OWN_POLICY}
    assert all(entry.unknowns == () for entry in report.rotations)

    # The secret has a new key.
    audited.account.client("secretsmanager").update_secret(SecretId="db", KmsKeyId=second)
    report = audited.audit()
    assert codes(report, notes=True)[-1] == "PolicyDrift"
    found = the(report, "PolicyDrift")
    assert found.subject.role_arn == rotation.role
    changed = [line for line in found.difference if line.startswith(("+", "-"))]
    assert any(second in line for line in changed)
    assert OWN_POLICY in found.message
    assert {finding.subject.secret_arn for finding in report.findings} == {rotation.secret, ""}
    assert more not in str(found.difference)
    assert as_json(report)["findings"][-1]["difference"] == list(found.difference)


def test_a_redshift_target_explains_that_the_superuser_secret_is_described(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    superuser = audited.account.secret("superuser")
    audited.account.client("iam").delete_role_policy(RoleName="role-db", PolicyName="rotation-db")
    target = f"arn:aws:redshift:{REGION}:{ACCOUNT}:cluster:warehouse"
    audited.account.deploy(
        SecretId="db", RotationLambdaARN=rotation.function, SuperuserSecretId=superuser, TargetArns=[target]
    )
    assert codes(audited.audit(), notes=True) == []


def test_a_secret_that_the_provider_s_policy_does_not_cover_is_reported(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    audited.account.client("iam").delete_role_policy(RoleName="role-db", PolicyName="rotation-db")
    audited.account.deploy(SecretId="db", RotationLambdaARN=rotation.function)
    more = audited.rotate("more", rotation.function)
    report = audited.audit()
    assert codes(report, notes=True) == ["ActionNotGranted", "NoPolicy"]
    assert {finding.subject.secret_arn for finding in report.findings} == {more}


def test_a_policy_that_somebody_edited_is_widened(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    audited.account.client("iam").delete_role_policy(RoleName="role-db", PolicyName="rotation-db")
    audited.account.deploy(SecretId="db", RotationLambdaARN=rotation.function)
    [document] = audited.account.policies("role-db").values()
    audited.put_policy(rotation.role, *document["Statement"], allow("s3:*", "arn:aws:s3:::bucket"), name=OWN_POLICY)
    report = audited.audit()
    assert codes(report, notes=True) == ["PolicyWidened"]
    assert any(line.startswith("-") and "s3:*" in line for line in report.findings[0].difference)


def test_the_grants_beside_the_provider_s_policy_are_judged(audited: AuditAccount) -> None:
    rotation = audited.rotation()
    audited.put_policy(rotation.role, *guide("*"), name="rotation-db")
    audited.account.deploy(SecretId="db", RotationLambdaARN=rotation.function)
    # GetRandomPassword is granted twice.
    assert codes(audited.audit(), notes=True) == ["OtherSecrets", "RedundantGrant"]
