"""The audit of an account with broken rotations, as a user with exactly the documented permissions."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from demo.broken_account import BrokenAccount, build
from emulator.server import ACCOUNT_ID
from emulator.stack import Stack
from rotation_role_policy.rules.own_policies import own_policies
from rotation_role_policy_cli import permissions
from rotation_role_policy_cli.audit import schema
from rotation_role_policy_cli.template.file import load
from tests import ROOT
from tests.e2e.account import EmulatedAccount, deployed_account

NOT_MENDED = {
    "ActionBlocked",
    "FunctionMissing",
    "InvokeNotAllowed",
    "InvokeWithoutSource",
    "KeyUnusable",
    "RoleNotAssumable",
    "RotationOverdue",
    "SharedRole",
}
"""What a policy on the role cannot correct."""


@dataclass
class Auditor:
    """A user who audits."""

    account: EmulatedAccount
    user: str

    def allow(self, actions: tuple[str, ...]) -> None:
        """Give the user exactly these permissions."""
        document = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}],
        }
        self.account.client("iam").put_user_policy(
            UserName=self.user, PolicyName="audit", PolicyDocument=json.dumps(document)
        )

    def credentials(self) -> dict[str, str]:
        """Return environment variables with a new access key."""
        key = self.account.client("iam").create_access_key(UserName=self.user)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


@dataclass
class Audited:
    """An account, its broken rotations, and how to audit them."""

    account: EmulatedAccount
    broken: BrokenAccount
    auditor: Auditor
    environment: dict[str, str]

    def audit(self, *options: str) -> tuple[int, str]:
        """Run the command as the auditor, and return its exit status and its output."""
        command = [sys.executable, "-m", "rotation_role_policy_cli", "audit", *options]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120, check=False)
        assert "Internal error" not in done.stderr, done.stderr
        return done.returncode, done.stdout

    def report(self, *options: str) -> Any:
        """Return the report of an audit, which follows the published schema."""
        _, output = self.audit("--json", *options)
        report = json.loads(output)
        jsonschema.validate(report, schema.schema())
        return report

    def found(self, report: Any) -> dict[str, set[str]]:
        """Return the codes of the errors and warnings, by the name of the secret."""
        found = {}
        for name in self.broken.expected:
            secret = self.account.client("secretsmanager").describe_secret(SecretId=name)
            role = "shared" if name.startswith("shared-") else name
            subjects = {secret["ARN"], secret["RotationLambdaARN"], f"arn:aws:iam::{ACCOUNT_ID}:role/{role}"}
            found[name] = {
                finding["code"]
                for finding in report["findings"]
                if finding["severity"] != "note"
                and (finding["secretArn"] or finding["functionArn"] or finding["roleArn"]) in subjects
            }
        return found


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    with deployed_account(tmp_path_factory.mktemp("audit")) as account:
        broken = build(account.emulator)
        account.client("iam").create_user(UserName="auditor")
        auditor = Auditor(account, "auditor")
        auditor.allow(permissions.FOR_AUDIT)
        environment = account.emulator.environment | auditor.credentials()
        environment["PYTHONPATH"] = f"{ROOT / 'handler'}:{ROOT / 'cli'}"
        yield Audited(account, broken, auditor, environment)


def test_every_problem_is_found_and_no_sound_rotation_is_accused(audited: Audited) -> None:
    report = audited.report()
    assert report["complete"]
    assert audited.found(report) == audited.broken.expected
    # Nothing else is accused either, such as the provider's own role.
    without_notes = [finding for finding in report["findings"] if finding["severity"] != "note"]
    assert len(without_notes) == report["summary"]["errors"] + report["summary"]["warnings"]
    assert sum(map(len, audited.broken.expected.values())) - 1 == len(without_notes)  # one is about the shared role


def test_the_table_of_a_sound_rotation_ends_with_status_0_and_that_of_the_account_with_2(audited: Audited) -> None:
    status, table = audited.audit("--secret-id", "sound-guide")
    assert status == 0
    assert "1 secret, 1 function, 1 role: 0 errors, 0 warnings, 1 note." in table
    status, table = audited.audit()
    assert status == 2
    assert "The audit is complete." in table


def test_the_audit_reads_no_value_and_changes_nothing() -> None:
    verbs = {action.partition(":")[2] for action in permissions.FOR_AUDIT}
    assert all(verb.startswith(("Describe", "Get", "List", "Simulate")) for verb in verbs)
    assert "GetSecretValue" not in verbs


@pytest.mark.parametrize(
    "denied",
    [
        # By action: a secret that cannot be inspected without it.
        {
            "kms:DescribeKey": "sound-key",
            "lambda:GetPolicy": "sound-guide",
            # One finding for the region.
            "secretsmanager:GetResourcePolicy": "",
            "kms:GetKeyPolicy": "",
            "lambda:ListFunctions": "",
        },
        {"kms:ListGrants": "lacks-data-key"},
        {"kms:ListKeyPolicies": "lacks-data-key"},
        {"secretsmanager:ListSecretVersionIds": "sound-guide"},
        {"lambda:GetFunctionConfiguration": "sound-guide"},
        {"secretsmanager:ListSecrets": ""},
    ],
)
def test_without_a_permission_the_finding_names_it(audited: Audited, denied: dict[str, str]) -> None:
    audited.auditor.allow(tuple(each for each in permissions.FOR_AUDIT if each not in denied))
    try:
        report = audited.report()
    finally:
        audited.auditor.allow(permissions.FOR_AUDIT)
    assert not report["complete"]
    not_inspected = [finding for finding in report["findings"] if finding["code"] == "NotInspected"]
    assert {action for finding in not_inspected for action in denied if action in finding["remediation"]} == set(denied)
    found = audited.found(report)
    assert all("NotInspected" in found[name] for name in denied.values() if name)


def test_without_the_bulk_read_the_findings_are_the_same_but_for_the_policies_of_other_roles(audited: Audited) -> None:
    denied = "iam:GetAccountAuthorizationDetails"
    audited.auditor.allow(tuple(each for each in permissions.FOR_AUDIT if each != denied))
    try:
        report = audited.report()
    finally:
        audited.auditor.allow(permissions.FOR_AUDIT)
    [missing] = [finding for finding in report["findings"] if finding["code"] == "NotInspected"]
    assert denied in missing["remediation"]
    assert audited.found(report) == audited.broken.expected


def test_the_role_of_the_example_is_enough_and_an_account_without_it_is_a_finding(audited: Audited) -> None:
    stack = Stack(audited.account.emulator, "rotation-audit", timeout=60)
    user = f"arn:aws:iam::{ACCOUNT_ID}:user/{audited.auditor.user}"
    stack.create((ROOT / "examples" / "audit_role.yaml").read_text(), AuditorArn=user)
    role, missing = stack.outputs["RoleArn"], "arn:aws:iam::210987654321:role/rotation-audit"
    audited.auditor.allow(("sts:AssumeRole",))
    try:
        report = audited.report("--role-arn", role, "--role-arn", missing)
    finally:
        audited.auditor.allow(permissions.FOR_AUDIT)
    failed, *others = report["findings"]
    assert (failed["code"], failed["account"], failed["resource"]) == ("AccountFailed", "210987654321", missing)
    assert audited.found(report) == audited.broken.expected
    assert "NotInspected" not in [each["code"] for each in others]
    assert [each["account"] for each in report["accounts"]] == [ACCOUNT_ID, "210987654321"]


def test_the_role_of_the_example_has_the_documented_permissions() -> None:
    template = load(ROOT / "examples" / "audit_role.yaml")
    [policy] = template["Resources"]["AuditRole"]["Properties"]["Policies"]
    [statement] = policy["PolicyDocument"]["Statement"]
    needed = [action for action in permissions.FOR_AUDIT if not action.startswith("sts:")]
    assert statement["Action"] == [*needed, permissions.FOR_ALL_REGIONS]


def test_after_adoption_nothing_remains_that_a_policy_can_correct(audited: Audited, tmp_path: Path) -> None:
    folder = tmp_path / "adopt"
    audited.audit("--adopt", str(folder))
    [file] = folder.glob("*.yaml")
    # Waiting for IAM would take ten seconds for each resource.
    template = file.read_text().replace("    Properties:\n", "    Properties:\n      PropagationDelay: 0\n")
    stack = Stack(audited.account.emulator, "adopted", timeout=180)
    stack.create(template)
    _remove_old_policies(audited.account)

    report = audited.report()
    assert report["complete"]
    for name, codes in audited.found(report).items():
        assert codes == audited.broken.expected[name] & NOT_MENDED, name
    not_adopted = {finding["secretArn"] for finding in report["findings"] if finding["code"] == "NoPolicy"}
    # The provider would have refused these. The policy of a function that does not exist cannot be looked at.
    assert {secret_arn.split(":")[-1][:-7] for secret_arn in not_adopted} == {"denied", "boundary", "disabled-key"}
    assert not [finding for finding in report["findings"] if finding["code"] == "PolicyDrift"]


def _remove_old_policies(account: EmulatedAccount) -> None:
    """Remove the policies that were on the roles before."""
    iam = account.client("iam")
    for role in (role["RoleName"] for role in iam.list_roles()["Roles"]):
        policies = account.policies(role)
        own = own_policies(policies)
        if own:
            for name in policies.keys() - own.keys():
                iam.delete_role_policy(RoleName=role, PolicyName=name)
            for policy in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
                iam.detach_role_policy(RoleName=role, PolicyArn=policy["PolicyArn"])
