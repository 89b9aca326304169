"""`rotation-role-policy audit`: its exit status and its output."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
from botocore.exceptions import NoCredentialsError

from rotation_role_policy import arn
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy_cli import main
from rotation_role_policy_cli.audit import command
from rotation_role_policy_cli.audit.schema import schema
from rotation_role_policy_cli.template.file import load
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
        command,
        "caller_bulk_aws",
        lambda _profile, region, stopped: _WatchedCallerBulkAws(audited, region or REGION, stopped),
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
    assert {fail_on: audit("--fail-on", fail_on).status for fail_on in statuses} == statuses
    assert audit().status == statuses["error"]
    assert audit("--json", "--fail-on", "note").status == statuses["note"]


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
    assert "expired" in result.report["stopped"]
    assert result.report["summary"]["secrets"] == 1


def test_missing_credentials_are_one_line_and_status_1(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise NoCredentialsError

    monkeypatch.setattr(command, "caller_bulk_aws", fail)
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
    assert audit("--tag", "team=web", "--json").report["summary"]["secrets"] == 0
    assert audit("--tag", "team").status == 1


# --- output ---


def test_the_json_is_alone_on_standard_output_and_matches_the_schema(audit: Audit, audited: AuditAccount) -> None:
    created = failing(audited)
    report = audit("--json").report
    assert (report["account"], report["regions"], report["complete"]) == (ACCOUNT, [REGION], True)
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
    assert report["regions"] == [REGION, "us-east-1"]
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
    file = tmp_path / "adopt.yaml"
    assert audit("--adopt", str(file)).status == 0
    [resource] = load(file)["Resources"].values()
    properties = resource["Properties"]
    assert parse_properties({name: value for name, value in properties.items() if name != "ServiceToken"})
    assert properties["SuperuserSecretId"] == superuser
    del properties["ServiceToken"]
    assert audited.account.deploy(**properties)["Status"] == "SUCCESS"
    for name in ("rotation-db", "superuser"):
        audited.account.client("iam").delete_role_policy(RoleName="role-db", PolicyName=name)
    assert audit("--json").report["findings"] == []


def test_adopt_without_a_rotation_to_adopt_writes_no_file(audit: Audit, audited: AuditAccount, tmp_path: Path) -> None:
    file = tmp_path / "adopt.yaml"
    result = audit("--adopt", str(file))
    assert not file.exists()
    assert str(file) in result.err


def test_adopt_writes_one_file_for_each_region(audit: Audit, audited: AuditAccount, tmp_path: Path) -> None:
    here = rotation(audited, "here")
    audited.rotation("there", role=here.role, region="us-east-1", **RECENT)
    audit("--region", REGION, "--region", "us-east-1", "--adopt", str(tmp_path / "adopt.yaml"))
    files = {file.name: load(file) for file in tmp_path.iterdir()}
    assert set(files) == {f"adopt.{REGION}.yaml", "adopt.us-east-1.yaml"}
    for name, template in files.items():
        [resource] = template["Resources"].values()
        assert arn.parse(resource["Properties"]["SecretId"]).region == name.split(".")[1]
