"""`audit` of several accounts, and `report`, which merges what was audited elsewhere."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError
from moto import mock_aws

from rotation_role_policy import arn
from rotation_role_policy.audit import audit as audit_module
from rotation_role_policy.audit import lookups
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Finding
from rotation_role_policy.audit.report import Report
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AccessDeniedError
from rotation_role_policy_cli import caller_aws, main
from rotation_role_policy_cli.audit import accounts
from rotation_role_policy_cli.audit.accounts import Audits, Request
from rotation_role_policy_cli.caller_aws import TemporaryCredentials
from tests.support import audit_report
from tests.support.account import ACCOUNT, REGION, Account
from tests.support.audit_account import AuditAccount, WatchedBulkAws
from tests.unit.cli.test_audit_command import RECENT, CommandResult, accept_file, failing

OTHER, THIRD = "210987654321", "333333333333"
Run = Callable[..., CommandResult]


def role(account: str, name: str = "audit") -> str:
    return f"arn:aws:iam::{account}:role/{name}"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command."""
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments: str) -> CommandResult:
        capsys.readouterr()
        status = main.main(list(arguments))
        out, err = capsys.readouterr()
        return CommandResult(status, out, err)

    return command


class FakeOrganizations:
    """The accounts of an organization. One has the member `Status` of former days."""

    def list_accounts(self) -> dict[str, Any]:
        return {
            "Accounts": [
                {"Id": ACCOUNT, "State": "ACTIVE"},
                {"Id": OTHER, "Status": "ACTIVE"},
                {"Id": THIRD, "State": "SUSPENDED"},
            ]
        }


@pytest.fixture
def assumed(account: Account, monkeypatch: pytest.MonkeyPatch) -> AuditAccount:
    """An account of which each role is one of its own. The roles of `THIRD` cannot be assumed."""
    audited = AuditAccount(account)

    class Watched(WatchedBulkAws):
        def paginate(self, method: Any, /, *arguments: Any, **parameters: Any) -> Iterator[Any]:  # type: ignore[override]
            if method.__name__ == "list_accounts":
                return iter([method()])
            return super().paginate(method, *arguments, **parameters)

    def bulk_aws(
        _profile: str | None, region: str | None, stopped: Event, credentials: TemporaryCredentials | None = None
    ) -> Aws:
        aws = Watched(audited, region or REGION, stopped)
        caller = credentials.access_key if credentials else f"arn:aws:iam::{ACCOUNT}:user/auditor"
        aws.__dict__["caller"] = arn.parse(caller)
        client = aws.session.client
        services = {"organizations": FakeOrganizations()}
        monkeypatch.setattr(aws.session, "client", lambda name: services.get(name) or client(name))
        return aws

    def assume(_aws: Aws, role_arn: str) -> TemporaryCredentials:
        if arn.account(role_arn) == THIRD:
            raise AccessDeniedError("sts:AssumeRole", "AccessDenied", "User: x is not authorized to perform: it")
        return TemporaryCredentials(role_arn, "", "")

    monkeypatch.setattr(accounts, "caller_bulk_aws", bulk_aws)
    monkeypatch.setattr(accounts, "assume_role", assume)
    return audited


def test_a_failed_account_is_a_finding_and_not_the_end(run: Run, assumed: AuditAccount, tmp_path: Path) -> None:
    failing(assumed)
    arguments = ["audit", "--json", "--region", REGION, "--role-arn", role(OTHER), "--role-arn", role(THIRD)]
    result = run(*arguments)
    assert (result.status, result.report["complete"]) == (1, False)
    assert [(each["account"], each["caller"]) for each in result.report["accounts"]] == [
        (OTHER, role(OTHER)),
        (THIRD, None),
    ]
    failed, *others = result.report["findings"]
    assert (failed["code"], failed["severity"], failed["account"]) == ("AccountFailed", "error", THIRD)
    assert role(THIRD) in failed["message"]
    assert "is not authorized to perform" in failed["message"]
    assert "trust policy" in failed["remediation"]
    assert "ActionNotGranted" in [each["code"] for each in others]
    entry = {"code": "AccountFailed", "resource": role(THIRD), "reason": "Closing.", "until": "2999-01-01"}
    accepted = tmp_path / "accepted.yaml"
    accepted.write_text(
        f"- {{code: AccountFailed, resource: '{entry['resource']}', reason: Closing., until: 2999-01-01}}"
    )
    result = run(*arguments, "--accept", str(accepted), "--fail-on", "KmsAllKeys")
    assert (result.status, result.report["complete"]) == (0, True)
    accepted.write_text(f"- {{code: AccountFailed, resource: '{role('*')}', reason: Closing.}}")
    assert "only with a full ARN" in run(*arguments, "--accept", str(accepted)).err


def test_the_accounts_of_an_organization_are_audited_and_the_own_one_without_a_role(
    run: Run, assumed: AuditAccount
) -> None:
    assumed.rotation("db", **RECENT)
    report = run("audit", "--json", "--organization", "--role-name", "path/audit").report
    assert [(each["account"], each["caller"]) for each in report["accounts"]] == [
        (ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/auditor"),
        (OTHER, role(OTHER, "path/audit")),
    ]


def test_an_error_of_the_audit_itself_in_one_account_is_a_finding(
    assumed: AuditAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    assumed.rotation("db", **RECENT)
    audit = audit_module.audit

    def fail_in_other(clients: Any, caller_arn: str, *arguments: Any) -> Report:
        if arn.account(caller_arn) == OTHER:
            raise ZeroDivisionError("x")
        return audit(clients, caller_arn, *arguments)

    monkeypatch.setattr(accounts, "audit", fail_in_other)
    monkeypatch.setattr(lookups, "CONTAINED_ERRORS", (ZeroDivisionError,))
    report = Audits(Request(role_arns=(role(ACCOUNT), role(OTHER)))).run()
    assert [each.id for each in report.accounts] == [ACCOUNT, OTHER]
    [failed] = [each for each in report.findings if each.type is FindingType.ACCOUNT_FAILED]
    assert "Internal error (ZeroDivisionError): x." in failed.message
    assert len(report.rotations) == 1


def test_without_credentials_no_account_can_be_listed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise NoCredentialsError

    monkeypatch.setattr(accounts, "caller_bulk_aws", fail)
    result = run("audit", "--organization", "--role-name", "audit")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)


def test_a_stop_ends_the_audits_of_all_accounts_also_of_those_that_have_not_begun(
    assumed: AuditAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    assumed.rotation("db", **RECENT)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    monkeypatch.setattr(accounts, "_ACCOUNTS_PER_PROCESSOR", 1)

    def stop(*_: object) -> None:
        audits.stop("The audit was interrupted.")

    audits = Audits(Request(role_arns=(role(ACCOUNT), role(OTHER))), stop)
    report = audits.run()
    assert [each.stopped.partition(".")[0] for each in report.accounts] == ["The audit was interrupted"] * 2


def test_ctrl_c_before_aws_has_answered_ends_the_command_without_a_report(
    run: Run, assumed: AuditAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = Event()

    def never(*_: object) -> None:
        # The main thread gets it while it waits for the report.
        os.kill(os.getpid(), signal.SIGINT)
        answered.wait(10)

    monkeypatch.setattr(accounts, "caller_bulk_aws", never)
    try:
        result = run("audit")
    finally:
        answered.set()
    assert (result.status, result.out, result.err) == (130, "", "")


def test_the_progress_is_that_of_all_accounts_together(assumed: AuditAccount) -> None:
    assumed.rotation("db", **RECENT)
    seen: list[tuple[int, int]] = []
    Audits(Request(role_arns=(role(ACCOUNT), role(OTHER))), lambda _, done, total: seen.append((done, total))).run()
    alone: list[tuple[int, int]] = []
    Audits(Request(), lambda _, done, total: alone.append((done, total))).run()
    assert max(seen)[1] == 2 * max(alone)[1]


def test_a_role_is_assumed_for_the_credentials_of_its_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with mock_aws():
        aws = caller_aws.caller_bulk_aws(None, REGION, Event())
        credentials = caller_aws.assume_role(aws, role(OTHER))
        other = caller_aws.caller_bulk_aws(None, REGION, Event(), credentials)
        assert other.caller == arn.parse(f"arn:aws:sts::{OTHER}:assumed-role/audit/rotation-role-policy-audit")


# --- merged reports ---


def report_file(path: Path, name: str, *findings: Finding, **changes: Any) -> Path:
    """Write a report as `audit --json` does, and return its file. `changes` replace members."""
    secret = audit_report.rotation("prod/orders")
    found = findings or (audit_report.finding(FindingType.OTHER_SECRETS, secret),)
    data = json.loads("".join(accounts_json(audit_report.report([secret], list(found)))))
    file = path / name
    file.write_text(json.dumps(data | changes))
    return file


def accounts_json(report: Report) -> Iterator[str]:
    from rotation_role_policy.audit.report_json import parts

    return parts(report, {})


def other_account(path: Path) -> Path:
    """Write the same report for another account."""
    file = report_file(path, "other.json")
    file.write_text(file.read_text().replace(ACCOUNT, OTHER))
    return file


def test_reports_are_merged_into_one_with_the_same_ids(run: Run, tmp_path: Path) -> None:
    one, two = report_file(tmp_path, "one.json"), other_account(tmp_path)
    page, table = tmp_path / "audit.html", tmp_path / "audit.csv"
    result = run("report", str(one), str(two), "--json", "--html", str(page), "--csv", str(table))
    assert (result.status, result.report["complete"]) == (0, True)
    assert [each["account"] for each in result.report["accounts"]] == [ACCOUNT, OTHER]
    before = [*json.loads(one.read_text())["findings"], *json.loads(two.read_text())["findings"]]
    assert sorted(result.report["findings"], key=str) == sorted(before, key=str)
    secrets = [*json.loads(one.read_text())["secrets"], *json.loads(two.read_text())["secrets"]]
    assert sorted(result.report["secrets"], key=str) == sorted(secrets, key=str)
    assert f"{ACCOUNT}, {OTHER}" in page.read_text(encoding="utf-8")
    assert "RotateSecret" in page.read_text(encoding="utf-8")
    assert table.read_text(encoding="utf-8").count("OtherSecrets") == 2
    assert run("report", str(one), str(two), "--fail-on", "warning").status == 2
    assert "2 accounts" in run("report", str(one), str(two)).out


def test_accepted_findings_count_in_a_merged_report_too(run: Run, tmp_path: Path) -> None:
    one = report_file(tmp_path, "one.json")
    entry = {"code": "OtherSecrets", "resource": "*", "reason": "Known."}
    accepted = accept_file(tmp_path, entry)
    result = run("report", str(one), "--accept", accepted, "--fail-on", "warning", "--json")
    assert (result.status, result.report["summary"]["accepted"]) == (0, 1)
    again = tmp_path / "again.json"
    again.write_text(result.out)
    assert run("report", str(again), "--json").report["findings"] == result.report["findings"]


def test_a_code_of_a_newer_version_is_shown_as_it_is(run: Run, tmp_path: Path) -> None:
    file = report_file(tmp_path, "one.json", schemaVersion="1.7", aMemberOfTomorrow=[1])
    file.write_text(file.read_text().replace('"OtherSecrets"', '"CodeOfTomorrow"'))
    page = tmp_path / "audit.html"
    result = run("report", str(file), "--html", str(page), "--fail-on", "warning")
    assert result.status == 2
    assert "CodeOfTomorrow" in result.out
    assert "CodeOfTomorrow" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schemaVersion": "2.0"}, "schemaVersion"),
        ({"findings": [1]}, "findings/0"),
        ({"accounts": [{"account": "</script>"}]}, "accounts/0"),
        ({"secrets": None}, "secrets"),
    ],
)
def test_a_file_that_is_no_report_is_an_error(run: Run, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = report_file(tmp_path, "one.json", **change)
    result = run("report", str(file), "--html", str(tmp_path / "audit.html"))
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert message in result.err
    assert not (tmp_path / "audit.html").exists()


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 100_000, "NaN", '{"a": "\x1b[31m"}', "\ud800".encode("utf-8", "surrogatepass")]
)
def test_text_that_is_no_json_is_an_error(run: Run, tmp_path: Path, text: str | bytes) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    result = run("report", str(file))
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert "\x1b" not in result.err


def test_a_report_that_is_too_large_is_not_read(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rotation_role_policy_cli.audit import merging

    monkeypatch.setattr(merging, "_MOST_BYTES", 1000)
    assert "has more than" in run("report", str(report_file(tmp_path, "one.json"))).err


def test_two_reports_on_the_same_region_of_an_account_are_an_error(run: Run, tmp_path: Path) -> None:
    one, two = report_file(tmp_path, "one.json"), report_file(tmp_path, "two.json")
    result = run("report", str(one), str(two))
    assert result.status == 1
    assert f"{two}: there is a report on {ACCOUNT} in {REGION} in {one} already." in result.err


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("findings", [], "its summary does not fit"),
        ("complete", False, "complete does not fit"),
        ("secrets", [], "its summary does not fit"),
    ],
)
def test_a_report_that_contradicts_itself_is_an_error(
    run: Run, tmp_path: Path, member: str, value: Any, message: str
) -> None:
    file = report_file(tmp_path, "one.json", **{member: value})
    assert message in run("report", str(file)).err
    note = audit_report.finding(FindingType.NO_POLICY, audit_report.rotation("prod/orders"))
    data = json.loads(report_file(tmp_path, "two.json", note).read_text())
    data["findings"][0]["id"] = "other"
    file.write_text(json.dumps(data))
    assert "it lacks findings of its secrets" in run("report", str(file)).err


@pytest.mark.parametrize("option", ["--csv", "--html"])
def test_a_report_does_not_overwrite_what_it_reads(run: Run, tmp_path: Path, option: str) -> None:
    one = report_file(tmp_path, "one.json")
    before = one.read_text()
    result = run("report", str(one), option, str(one), "--force")
    assert (result.status, one.read_text()) == (1, before)
    assert "the command reads this file" in result.err
    accepted = accept_file(tmp_path, {"code": "OtherSecrets", "resource": "*", "reason": "x"})
    assert "reads this file" in run("report", str(one), "--accept", accepted, option, accepted, "--force").err


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("account", "1234"),
        ("time", "yesterday"),
        ("time", "2026-01-01T00:00:00"),
    ],
)
def test_an_account_that_cannot_be_is_an_error(run: Run, tmp_path: Path, member: str, value: str) -> None:
    file = report_file(tmp_path, "one.json")
    data = json.loads(file.read_text())
    data["accounts"][0][member] = value
    file.write_text(json.dumps(data))
    assert "is no report of audit --json" in run("report", str(file)).err


def test_values_of_a_foreign_report_are_not_executed(run: Run, tmp_path: Path) -> None:
    secret = audit_report.rotation(audit_report.DANGEROUS, audit_report.DANGEROUS)
    data = json.loads("".join(accounts_json(audit_report.dangerous_report())))
    data["accounts"][0]["regions"] = [REGION]
    file, page = tmp_path / "one.json", tmp_path / "audit.html"
    file.write_text(json.dumps(data))
    run("report", str(file), "--html", str(page))
    assert secret.secret_arn not in page.read_text(encoding="utf-8")
    assert "<script>document" not in page.read_text(encoding="utf-8")
