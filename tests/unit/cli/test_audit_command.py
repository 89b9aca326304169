"""`rotation-role-policy audit`: its exit status and its output."""

import csv
import json
import os
import stat
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import click
import jsonschema
import pytest
import yaml
from botocore.exceptions import NoCredentialsError

from rotation_role_policy import __version__, arn
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Finding, Subject, Words
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy_cli import files, main
from rotation_role_policy_cli.audit import accounts, merging, spreadsheet
from rotation_role_policy_cli.audit.page import html_page
from rotation_role_policy_cli.audit.schema import schema
from rotation_role_policy_cli.template.file import load
from tests.support import audit_report
from tests.support.account import ACCOUNT, REGION, Account, error
from tests.support.audit_account import OPEN_DENY, AuditAccount, Rotation, WatchedBulkAws, allow, lacking_put

RECENT: dict[str, Any] = {
    "LastRotatedDate": datetime.now(UTC),
    "NextRotationDate": datetime.now(UTC) + timedelta(days=30),
}


class CommandResult(NamedTuple):
    """The exit status and the output of a command."""

    status: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The JSON that was printed."""
        report: dict[str, Any] = json.loads(self.out)
        jsonschema.validate(report, schema())
        return report


Audit = Callable[..., CommandResult]


class _WatchedCallerBulkAws(WatchedBulkAws):
    caller = arn.parse(f"arn:aws:iam::{ACCOUNT}:user/auditor")


@pytest.fixture
def audited(account: Account) -> AuditAccount:
    """An empty AWS account that can be audited."""
    return AuditAccount(account)


@pytest.fixture
def audit(audited: AuditAccount, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Audit:
    """Return a function that runs the command in the account."""
    monkeypatch.setattr(
        accounts,
        "caller_bulk_aws",
        lambda _profile, region, stopped, _credentials=None: _WatchedCallerBulkAws(audited, region or REGION, stopped),
    )
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> CommandResult:
        capsys.readouterr()
        status = main.main(["audit", *arguments])
        out, err = capsys.readouterr()
        return CommandResult(status, out, err)

    return run


def rotation(audited: AuditAccount, name: str = "db", *statements: Any, **members: Any) -> Rotation:
    """Create a rotation that is not overdue today."""
    return audited.rotation(name, *statements, **RECENT, **members)


def failing(audited: AuditAccount, name: str = "db") -> Rotation:
    """Create a rotation with an error."""
    created = rotation(audited, name)
    audited.put_policy(created.role, *lacking_put(created.secret), name=f"rotation-{name}")
    return created


# --- the exit status ---


@pytest.mark.parametrize(
    ("worst", "statuses"),
    [
        ("nothing", {"error": 0, "warning": 0, "note": 0}),
        ("note", {"error": 0, "warning": 0, "note": 2}),
        ("warning", {"error": 0, "warning": 2, "note": 2}),
        ("error", {"error": 2, "warning": 2, "note": 2}),
    ],
)
def test_findings_at_or_above_fail_on_are_status_2(
    audit: Audit, audited: AuditAccount, worst: str, statuses: dict[str, int]
) -> None:
    if worst == "error":
        failing(audited)
    elif worst == "warning":
        rotation(audited, "db", allow("secretsmanager:GetSecretValue", "*"))
    elif worst == "note":
        rotation(audited)
    arguments = ["--allow-empty"] if worst == "nothing" else []
    assert {fail_on: audit("--fail-on", fail_on, *arguments).status for fail_on in statuses} == statuses
    assert audit(*arguments).status == statuses["error"]
    assert audit("--json", "--fail-on", "note", *arguments).status == statuses["note"]


@pytest.mark.parametrize(
    ("fail_on", "status"),
    [
        ("OtherSecrets", 2),
        ("KmsAllKeys, OtherSecrets", 2),
        ("KmsAllKeys", 0),
        ("PolicyWidened,error", 0),
        ("PolicyWidened,warning", 2),
        ("NoPolicy", 2),
    ],
)
def test_codes_are_a_failure_too(audit: Audit, audited: AuditAccount, fail_on: str, status: int) -> None:
    rotation(audited, "db", allow("secretsmanager:GetSecretValue", "*"))
    assert audit("--fail-on", fail_on).status == status


@pytest.mark.parametrize(("fail_on", "hint"), [("warnings", "Do you mean warning?"), ("x", "docs/audit.md")])
def test_an_unknown_code_to_fail_on_is_an_error(audit: Audit, fail_on: str, hint: str) -> None:
    result = audit("--fail-on", fail_on)
    assert (result.status, result.out) == (1, "")
    assert hint in result.err


def test_an_incomplete_audit_is_status_1_even_with_findings(audit: Audit, audited: AuditAccount) -> None:
    failing(audited)
    audited.let_fail("lambda:ListFunctions")
    result = audit("--json")
    assert (result.status, result.report["complete"]) == (1, False)
    assert {finding["code"] for finding in result.report["findings"]} >= {"ActionNotGranted", "NotInspected"}


def test_expired_credentials_are_status_1_with_the_report_so_far(audit: Audit, audited: AuditAccount) -> None:
    audited.rotation("db", OPEN_DENY)
    # The audit asks the simulator only after it has looked the secret up.
    audited.let_fail("iam:SimulatePrincipalPolicy", "", error("ExpiredToken"))
    result = audit("--json")
    assert result.status == 1
    assert "expired" in result.report["accounts"][0]["stopped"]
    assert result.report["summary"]["secrets"] == 1


def test_missing_credentials_are_one_line_and_status_1(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise NoCredentialsError

    monkeypatch.setattr(accounts, "caller_bulk_aws", fail)
    result = audit("--json")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith("error: ")


@pytest.mark.parametrize("form", [lambda _: "db", lambda secret: secret, lambda secret: secret[:-7]])
def test_a_secret_id_selects_and_one_that_does_not_exist_is_status_1(
    audit: Audit, audited: AuditAccount, form: Callable[[str], str]
) -> None:
    created = rotation(audited)
    failing(audited, "other")
    result = audit("--secret-id", form(created.secret), "--json")
    assert (result.status, result.report["summary"]["secrets"]) == (0, 1)
    result = audit("--secret-id", form(created.secret), "--secret-id", "nowhere")
    assert result.status == 1
    assert "--secret-id nowhere" in result.err
    assert REGION in result.err
    # A secret without rotation is none either.
    audited.account.secret("static")
    assert audit("--secret-id", "static").status == 1


def test_a_tag_selects_and_may_match_nothing(audit: Audit, audited: AuditAccount) -> None:
    rotation(audited, tags={"team": "data"})
    failing(audited, "other")
    assert audit("--tag", "team=data").status == 0
    nothing = audit("--tag", "team=web", "--json")
    assert (nothing.status, nothing.report["summary"]["secrets"]) == (1, 0)
    assert "Nothing was audited" in nothing.err
    assert audit("--tag", "team=web", "--allow-empty").status == 0
    assert audit("--tag", "team").status == 1


# --- output ---


def test_the_json_is_alone_on_standard_output_and_matches_the_schema(audit: Audit, audited: AuditAccount) -> None:
    created = failing(audited)
    report = audit("--json").report
    [audited_account] = report["accounts"]
    assert (audited_account["account"], audited_account["regions"]) == (ACCOUNT, [REGION])
    assert report["complete"]
    finding = report["findings"][0]
    assert (finding["code"], finding["severity"]) == ("ActionNotGranted", "error")
    assert (finding["secretArn"], finding["functionArn"], finding["roleArn"]) == created


def test_the_table_names_each_finding(audit: Audit, audited: AuditAccount) -> None:
    failing(audited)
    result = audit()
    assert "ActionNotGranted" in result.out
    assert "secretsmanager:PutSecretValue" in " ".join(result.out.split())


def test_several_regions_are_audited_once_each(audit: Audit, audited: AuditAccount) -> None:
    here = rotation(audited, "here")
    audited.rotation("there", role=here.role, region="us-east-1", **RECENT)
    report = audit("--region", REGION, "--region", "us-east-1", "--region", REGION, "--json").report
    assert [each["regions"] for each in report["accounts"]] == [[REGION, "us-east-1"]]
    assert report["summary"]["secrets"] == 2
    assert report["summary"]["roles"] == 1


def test_html_and_json_can_be_written_together(audit: Audit, audited: AuditAccount, tmp_path: Path) -> None:
    failing(audited)
    page = tmp_path / "audit.html"
    result = audit("--json", "--html", str(page))
    assert result.status == 2
    assert result.report["summary"]["errors"] == 1
    assert "ActionNotGranted" in page.read_text(encoding="utf-8")


# --- adoption ---


def test_adopt_writes_a_template_after_whose_deployment_the_rotation_is_covered(
    audit: Audit, audited: AuditAccount, tmp_path: Path
) -> None:
    created = rotation(audited)
    superuser = audited.account.secret("superuser")
    audited.put_policy(created.role, allow("secretsmanager:GetSecretValue", superuser), name="superuser")
    file = tmp_path / "adopt"
    assert audit("--adopt", str(file)).status == 0
    [template] = file.iterdir()
    [resource] = load(template)["Resources"].values()
    properties = resource["Properties"]
    assert parse_properties({name: value for name, value in properties.items() if name != "ServiceToken"})
    assert properties["SuperuserSecretId"] == superuser
    del properties["ServiceToken"]
    assert audited.account.deploy(**properties)["Status"] == "SUCCESS"
    for name in ("rotation-db", "superuser"):
        audited.account.client("iam").delete_role_policy(RoleName="role-db", PolicyName=name)
    assert audit("--json").report["findings"] == []


def test_adopt_without_a_rotation_to_adopt_writes_no_file(audit: Audit, audited: AuditAccount, tmp_path: Path) -> None:
    file = tmp_path / "adopt"
    result = audit("--adopt", str(file))
    assert not file.exists()
    assert str(file) in result.err


def test_adopt_writes_one_file_for_each_region(audit: Audit, audited: AuditAccount, tmp_path: Path) -> None:
    here = rotation(audited, "here")
    audited.rotation("there", role=here.role, region="us-east-1", **RECENT)
    audit("--region", REGION, "--region", "us-east-1", "--adopt", str(tmp_path / "adopt"))
    files = {file.name: load(file) for file in (tmp_path / "adopt").iterdir()}
    assert len(files) == 2
    for name, template in files.items():
        [resource] = template["Resources"].values()
        assert name.startswith(f"{ACCOUNT}-{arn.region(resource['Properties']['SecretId'])}-")


# --- no silent green ---


def test_an_account_without_rotations_is_status_1_unless_that_is_allowed(audit: Audit, audited: AuditAccount) -> None:
    audited.account.secret("static")
    result = audit()
    assert result.status == 1
    assert "Nothing was audited" in result.err
    assert "--allow-empty" in result.err
    assert (audit("--allow-empty").status, audit("--allow-empty").err) == (0, "")


def test_a_named_region_without_rotations_is_status_1(audit: Audit, audited: AuditAccount) -> None:
    rotation(audited)
    arguments = ["--region", REGION, "--region", "us-east-1"]
    result = audit(*arguments)
    assert result.status == 1
    assert "--region us-east-1: no secret has a rotation function." in result.err
    assert audit(*arguments, "--allow-empty").status == 0
    # A selection leaves out the secrets of a region, which has some.
    audited.rotation("there", region="us-east-1", **RECENT)
    assert audit(*arguments, "--secret-id", "db").status == 0


@pytest.mark.parametrize(
    ("region", "hint"), [("us-esat-1", "us-east-1"), ("", "botocore"), ("eu_central_1", "eu-central-1")]
)
def test_a_region_that_does_not_exist_is_an_error_before_any_call(
    audit: Audit, audited: AuditAccount, region: str, hint: str
) -> None:
    audited.account.calls.clear()
    result = audit("--region", region)
    assert (result.status, result.out) == (1, "")
    assert hint in result.err
    assert not audited.account.calls


def test_all_regions_are_those_that_the_account_has_enabled(audit: Audit, audited: AuditAccount) -> None:
    rotation(audited)
    [account] = audit("--all-regions", "--json").report["accounts"]
    assert REGION in account["regions"]
    assert len(account["regions"]) > 10
    assert set(account["emptyRegions"]) == set(account["regions"]) - {REGION}


def test_without_the_permission_to_list_regions_all_known_regions_are_audited(
    audit: Audit, audited: AuditAccount
) -> None:
    rotation(audited)
    audited.let_fail("ec2:DescribeRegions")
    result = audit("--all-regions", "--json")
    assert result.err.startswith("warning: AWS does not list the regions of account 123456789012 (ec2:DescribeRegions")
    assert REGION in result.report["accounts"][0]["regions"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--all-regions", "--region", REGION], "--all-regions cannot be combined with --region"),
        (["--organization"], "--organization and --role-name need each other"),
        (["--organization", "--role-name", "arn:aws:iam::1:role/x"], "is not the name of a role"),
        (["--role-name", "audit"], "--organization and --role-name need each other"),
        (["--role-arn", "audit"], "is not the ARN of a role"),
        (["--role-arn", f"arn:aws:iam::{ACCOUNT}:user/audit"], "is not the ARN of a role"),
        (
            ["--role-arn", f"arn:aws:iam::{ACCOUNT}:role/a", "--role-arn", f"arn:aws:iam::{ACCOUNT}:role/b"],
            f"two roles are of the account {ACCOUNT}",
        ),
        (
            ["--organization", "--role-name", "a", "--role-arn", f"arn:aws:iam::{ACCOUNT}:role/a"],
            "--organization cannot be combined with --role-arn",
        ),
    ],
)
def test_options_that_do_not_go_together_are_an_error(audit: Audit, arguments: list[str], message: str) -> None:
    result = audit(*arguments)
    assert (result.status, result.out) == (1, "")
    assert message in result.err


# --- accepted findings ---


def accept_file(path: Path, *entries: dict[str, Any]) -> str:
    """Write a file of accepted findings, and return its name."""
    file = path / "accepted.yaml"
    file.write_text(yaml.safe_dump(list(entries)))
    return str(file)


def test_an_accepted_finding_does_not_count_and_stays_in_the_report(
    audit: Audit, audited: AuditAccount, tmp_path: Path
) -> None:
    created = failing(audited)
    entry = {"code": "ActionNotGranted", "resource": "arn:aws:iam::*:role/role-d?", "reason": "It is being replaced."}
    result = audit("--json", "--accept", accept_file(tmp_path, entry))
    assert (result.status, result.report["summary"]["errors"], result.report["summary"]["accepted"]) == (0, 0, 1)
    [found] = [each for each in result.report["findings"] if each["code"] == "ActionNotGranted"]
    assert found["accepted"] == {"reason": "It is being replaced.", "until": None}
    # The secret of a finding names it, too.
    assert audit("--accept", accept_file(tmp_path, entry | {"resource": created.secret})).status == 0
    for other in ({"resource": "arn:aws:iam::*:role/ROLE-db"}, {"code": "ActionBlocked"}):
        assert audit("--accept", accept_file(tmp_path, entry | other)).status == 2


def test_an_expired_acceptance_counts_no_more_and_one_that_matches_nothing_is_a_note(
    audit: Audit, audited: AuditAccount, tmp_path: Path
) -> None:
    failing(audited)
    today = datetime.now(UTC).date()
    entry = {"code": "ActionNotGranted", "resource": "*", "reason": "Planned.", "until": today}
    assert audit("--accept", accept_file(tmp_path, entry)).status == 0
    result = audit("--json", "--accept", accept_file(tmp_path, entry | {"until": today - timedelta(days=1)}))
    assert result.status == 2
    [note] = [each for each in result.report["findings"] if each["code"] == "AcceptedUnused"]
    assert (note["severity"], note["resource"]) == ("note", "*")
    assert "has expired" in note["message"]
    for resource, notes in (("*", 1), (f"arn:aws:iam::{ACCOUNT}:role/x", 1), ("arn:aws:iam::210987654321:role/x", 0)):
        accepted = accept_file(tmp_path, entry, entry | {"code": "SharedRole", "resource": resource})
        report = audit("--json", "--accept", accepted).report
        assert sum(each["code"] == "AcceptedUnused" for each in report["findings"]) == notes
        # What was left out can have the finding.
        report = audit("--json", "--accept", accepted, "--secret-id", "db").report
        assert not any(each["code"] == "AcceptedUnused" for each in report["findings"])


def test_what_was_not_inspected_is_accepted_only_by_its_arn_and_until_a_day(
    audit: Audit, audited: AuditAccount, tmp_path: Path
) -> None:
    created = rotation(audited)
    audited.let_fail("lambda:GetPolicy", created.function)
    entry = {"code": "NotInspected", "resource": created.function, "reason": "Theirs.", "until": date(2999, 1, 1)}
    assert audit().status == 1
    assert audit("--accept", accept_file(tmp_path, entry)).status == 0
    assert audit("--accept", accept_file(tmp_path, entry | {"until": "2999-01-01"})).status == 0
    assert "is no ARN" in audit("--accept", accept_file(tmp_path, entry | {"resource": "rotate-db"})).err
    for other in ({"resource": f"{created.function[:-1]}*"}, {"until": None}, {"resource": "*"}):
        result = audit("--accept", accept_file(tmp_path, entry | other))
        assert (result.status, result.out) == (1, "")
        assert "entry 1: NotInspected can be accepted only with a full ARN" in result.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a list"),
        ("[1]", "entry 1: it is not a mapping"),
        ("- {code: SharedRole, resource: x}", "reason has to be a text"),
        ("- {code: SharedRole, resource: x, reason: ' '}", "reason has to be a text"),
        ("- {code: Sharedrole, resource: x, reason: y}", "there is no code Sharedrole"),
        ("- {code: SharedRole, resource: x, reason: y, until: soon}", "until has to be a date"),
        ("- {code: SharedRole, resource: x, reason: y, until: 2027-01-01 10:00:00}", "until has to be a date"),
        ("- {code: SharedRole, resource: x, reason: y, untill: 2027-01-01}", "there is no member untill"),
        ("- [", "cannot be read"),
    ],
)
def test_a_file_of_accepted_findings_that_is_wrong_is_an_error_before_any_call(
    audit: Audit, audited: AuditAccount, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "accepted.yaml"
    file.write_text(text)
    audited.account.calls.clear()
    result = audit("--accept", str(file))
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert message in result.err
    assert not audited.account.calls


# --- files ---


@pytest.mark.parametrize("option", ["--html", "--csv"])
def test_no_file_is_overwritten_without_force(audit: Audit, audited: AuditAccount, tmp_path: Path, option: str) -> None:
    rotation(audited)
    file = tmp_path / "file"
    file.write_text("mine")
    audited.account.calls.clear()
    result = audit(option, str(file))
    assert (result.status, result.out, file.read_text()) == (1, "", "mine")
    assert "--force" in result.err
    assert not audited.account.calls
    assert audit(option, str(file), "--force").status == 0
    assert file.read_text() != "mine"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_templates_are_written_only_to_a_folder_that_is_empty(
    audit: Audit, audited: AuditAccount, tmp_path: Path
) -> None:
    rotation(audited)
    folder, file, link = tmp_path / "adopt", tmp_path / "file", tmp_path / "link"
    assert audit("--adopt", str(folder)).status == 0
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    [template] = folder.iterdir()
    assert stat.S_IMODE(template.stat().st_mode) == 0o600
    audited.account.calls.clear()
    file.write_text("mine")
    link.symlink_to(tmp_path / "other")
    for path, problem in (
        (folder, "not empty"),
        (file, "not a folder"),
        (link, "symbolic link"),
        (file / "x", "folder"),
    ):
        result = audit("--adopt", str(path))
        assert (result.status, result.out) == (1, "")
        assert problem in result.err
    assert not audited.account.calls
    assert audit("--adopt", str(folder), "--force").status == 0
    assert list(folder.iterdir()) == [template]


def test_nothing_is_written_through_a_symbolic_link_or_to_a_device(
    audit: Audit, audited: AuditAccount, tmp_path: Path
) -> None:
    rotation(audited)
    target, link, dangling, pipe = (tmp_path / name for name in ("target", "link", "dangling", "pipe"))
    target.write_text("mine")
    link.symlink_to(target)
    dangling.symlink_to(tmp_path / "missing")
    os.mkfifo(pipe)
    for path, message in ((link, "symbolic link"), (dangling, "symbolic link"), (pipe, "not a regular file")):
        result = audit("--html", str(path), "--force")
        assert (result.status, result.out) == (1, "")
        assert message in result.err
    assert target.read_text() == "mine"
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--html", "x", "--csv", "x"],
        ["--html", "x", "--csv", "./x"],
        ["--html", "-", "--csv", "-"],
        ["--json", "--html", "-"],
    ],
)
def test_two_outputs_to_the_same_file_are_an_error(
    audit: Audit, audited: AuditAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = audit(*arguments)
    assert (result.status, result.out) == (1, "")
    assert "the same file" in result.err
    assert not list(tmp_path.iterdir())


def test_a_hyphen_is_standard_output(audit: Audit, audited: AuditAccount) -> None:
    rotation(audited)
    assert audit("--html", "-").out.startswith("<!DOCTYPE html>")
    assert audit("--csv", "-").out.startswith("account,region,secret,")


def test_an_audit_that_did_not_end_replaces_no_file(audit: Audit, audited: AuditAccount, tmp_path: Path) -> None:
    audited.rotation("db", OPEN_DENY)
    audited.let_fail("iam:SimulatePrincipalPolicy", "", error("ExpiredToken"))
    old, new = tmp_path / "old.html", tmp_path / "new.csv"
    old.write_text("complete")
    result = audit("--html", str(old), "--csv", str(new), "--force")
    assert (result.status, old.read_text()) == (1, "complete")
    assert f"{old} was not replaced" in " ".join(result.err.split())
    assert f"Written: {new}" in result.out
    assert "ActionNotGranted" in result.out or "NoPolicy" in result.out


def test_an_audit_that_did_not_end_adopts_nothing(audit: Audit, audited: AuditAccount, tmp_path: Path) -> None:
    audited.rotation("db", OPEN_DENY)
    audited.let_fail("iam:SimulatePrincipalPolicy", "", error("ExpiredToken"))
    result = audit("--adopt", str(tmp_path / "adopt"))
    assert not (tmp_path / "adopt").exists()
    assert "was not written: the audit did not end" in result.err


def test_a_file_that_appears_during_the_audit_is_not_overwritten(
    audit: Audit, audited: AuditAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotation(audited)
    file = tmp_path / "audit.html"
    problems = iter(("", ""))
    monkeypatch.setattr(files, "_problem", lambda *_args, **_options: next(problems))
    file.write_text("mine")
    result = audit("--html", str(file))
    assert (result.status, file.read_text()) == (1, "mine")
    assert list(tmp_path.iterdir()) == [file]


# --- JSON and CSV ---


def test_the_json_has_an_inventory_with_owner_and_needed_statements(audit: Audit, audited: AuditAccount) -> None:
    created = rotation(audited)
    tags = [{"Key": "aws:cloudformation:stack-name", "Value": "shop"}, {"Key": "team", "Value": "data"}]
    audited.account.client("iam").tag_role(RoleName="role-db", Tags=tags)
    report = audit("--json", "--region", REGION, "--tag", "a=b", "--allow-empty").report
    assert report["options"] == {"--region": [REGION], "--tag": [["a", "b"]], "--allow-empty": True, "--json": True}
    assert report["toolVersion"] == __version__
    assert report["accounts"][0]["caller"] == f"arn:aws:iam::{ACCOUNT}:user/auditor"
    [secret] = audit("--json").report["secrets"]
    assert (secret["secretArn"], secret["functionArn"], secret["roleArn"]) == created
    assert secret["owner"] == {"aws:cloudformation:stack-name": "shop"}
    assert [each["Sid"] for each in secret["neededStatements"]] == ["RotateSecret", "GeneratePassword"]


def test_the_json_has_what_the_roles_may_do_and_the_tags_of_the_secrets(audit: Audit, audited: AuditAccount) -> None:
    created = audited.rotation("db", allow("secretsmanager:*", "*"), **RECENT)
    audited.account.client("iam").delete_role_policy(RoleName="role-db", PolicyName="rotation-db")
    other = allow("s3:*", "*")
    audited.put_policy(created.role, other, allow("secretsmanager:Get*", "*") | {"Sid": "Read"}, name="inline")
    managed = audited.managed_policy(
        "logs", allow(["logs:*", "kms:*"], "*"), allow("logs:*", "*"), roles=[created.role]
    )
    tags = [{"Key": "team", "Value": "shop"}, {"Key": "flag", "Value": ""}]
    audited.account.client("secretsmanager").tag_resource(SecretId=created.secret, Tags=tags)
    report = audit("--json").report
    assert report["secrets"][0]["tags"] == {"team": "shop", "flag": ""}
    assert report["roles"] == [
        {
            "roleArn": created.role,
            "statements": [
                {
                    "policy": "inline",
                    "statement": "Read",
                    "document": allow("secretsmanager:Get*", "*") | {"Sid": "Read"},
                },
                {"policy": managed, "statement": 1, "document": allow(["logs:*", "kms:*"], "*")},
            ],
        }
    ]


def test_a_page_that_is_made_from_json_is_the_page_of_the_audit(
    audit: Audit, audited: AuditAccount, tmp_path: Path
) -> None:
    audited.rotation("db", allow("secretsmanager:*", "*"), **RECENT)
    paths = [tmp_path / name for name in ("audit.html", "merged.html")]
    (tmp_path / "audit.json").write_text(audit("--json", "--html", str(paths[0])).out)
    with paths[1].open("w") as file:
        html_page.write(merging.read(tmp_path / "audit.json"), file, {})
    [direct, merged] = [each.read_text().partition("<main>")[2].replace("<wbr>", "") for each in paths]
    assert "<del>- secretsmanager:*</del>" in direct
    assert merged == direct


@pytest.mark.parametrize("document", [[], [1], {"Condition": 1}, {"Effect": "Allow", "Condition": {"Bool": 1}}])
def test_a_statement_that_somebody_has_edited_is_refused(
    audit: Audit, audited: AuditAccount, tmp_path: Path, document: Any
) -> None:
    audited.rotation("db", allow("secretsmanager:*", "*"), **RECENT)
    data = audit("--json").report
    data["roles"][0]["statements"][0]["document"] = document
    path = tmp_path / "audit.json"
    path.write_text(json.dumps(data))
    with pytest.raises(click.ClickException, match="is no report of audit --json"):
        merging.read(path)


def test_a_grant_can_be_replaced_by_a_script_and_no_rotation_breaks(audit: Audit, audited: AuditAccount) -> None:
    created = audited.rotation("db", allow("secretsmanager:*", "*"), **RECENT)
    audited.account.client("iam").delete_role_policy(RoleName="role-db", PolicyName="rotation-db")
    audited.put_policy(created.role, allow("secretsmanager:*", "arn:aws:secretsmanager:*:*:secret:db-*"), name="broad")
    [found] = [each for each in audit("--json").report["findings"] if each["code"] == "OtherSecrets"]
    assert found["policy"] == "broad"
    [grant] = found["grants"]
    assert (grant["policy"], grant["statement"], grant["actions"]) == ("broad", 1, ["secretsmanager:*"])
    assert grant["resource"] == ["arn:aws:secretsmanager:*:*:secret:db-*"]


def test_the_csv_has_a_row_for_each_secret_and_finding_and_no_formula(tmp_path: Path) -> None:
    file = tmp_path / "audit.csv"
    one, two = audit_report.rotation("=db"), audit_report.rotation("sound", "tidy")
    found = audit_report.finding(FindingType.SHARED_ROLE, one, "+1\x1b", scope="role")
    region = Finding(FindingType.NOT_INSPECTED, Subject(region=REGION), REGION, Words("a", "b"), account=ACCOUNT)
    with file.open("w", encoding="utf-8", newline="") as opened:
        spreadsheet.write(audit_report.report([one, two], [found, region]), opened)
    rows = list(csv.DictReader(file.open(encoding="utf-8", newline="")))
    assert [(row["secret"], row["code"], row["message"]) for row in rows] == [
        ("'=db", "SharedRole", "'+1\\x1b"),
        ("sound", "", ""),
        ("", "NotInspected", "a"),
    ]
    assert {(row["account"], row["region"]) for row in rows} == {(ACCOUNT, REGION)}
