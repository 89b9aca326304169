"""The report of an audit in a terminal or a pipe."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from rotation_role_policy.audit.findings import FindingType, Severity
from rotation_role_policy.audit.report import Report
from rotation_role_policy_cli.audit.table import show_report
from tests.support.audit_report import (
    finding,
    full_report,
    function_arn,
    large_report,
    report,
    role_arn,
    rotation,
    secret_arn,
    small_report,
)


def printed(of: Report, width: int = 100, terminal: bool = False) -> str:
    file = io.StringIO()
    show_report(
        Console(file=file, width=width, force_terminal=terminal, highlight=False, emoji=False, markup=False), of
    )
    return file.getvalue()


def test_the_page_begins_with_the_account_the_regions_and_the_time() -> None:
    lines = printed(replace(small_report(), regions=("eu-central-1", "us-east-1"))).splitlines()
    assert lines[:2] == [
        "Audit of rotations in account 123456789012",
        "eu-central-1, us-east-1, 2026-03-14 09:26 UTC",
    ]


def test_the_severities_and_the_types_of_findings_come_worst_first() -> None:
    report = full_report()
    text = printed(report)
    places = [text.index(f"({each.code}): ") for each in FindingType]
    assert places == sorted(places)
    for severity, count in report.totals.items():
        heading = text.index(f"\n{count} {severity.value.upper()}S\n")
        assert all(
            (place < heading) is (each.rank < first_of(severity).rank)
            for each, place in zip(FindingType, places, strict=True)
        )


def first_of(severity: Severity) -> FindingType:
    """Return the first type of finding with a severity."""
    return next(each for each in FindingType if each.severity is severity)


def test_a_finding_has_its_secret_message_resource_and_remediation() -> None:
    assert f"""
  The role lacks an action (ActionNotGranted): 1 finding

    {secret_arn("prod/orders")}
      No policy allows secretsmanager:PutSecretValue.
      resource  {role_arn("rotate-postgres-role")}

    What to do: Put a Custom::RotationRolePolicy on the role (--adopt), or allow the action.
""" in printed(small_report())


@pytest.mark.parametrize("message", ["No policy of {role} allows it.", "The role {role}: no."])
def test_a_resource_that_the_message_names_is_not_repeated(message: str) -> None:
    secret = rotation("prod/orders")
    text = printed(
        report([secret], [finding(FindingType.ACTION_NOT_GRANTED, secret, message.format(role=secret.role_arn))])
    )
    assert text.count(secret.role_arn) == 1


def test_the_same_remediation_is_printed_once_below_its_findings() -> None:
    one, two, three = (rotation(f"prod/{name}") for name in ("a", "b", "c"))
    other = finding(FindingType.ACTION_NOT_GRANTED, two)
    other = replace(other, words=other.words._replace(remediation="Do something else."))
    text = printed(
        report(
            [one, two, three],
            [finding(FindingType.ACTION_NOT_GRANTED, one), other, finding(FindingType.ACTION_NOT_GRANTED, three)],
        )
    )
    parts = text.split("What to do: ")
    assert len(parts) == 3
    assert f"    {one.secret_arn}\n" in parts[0]
    assert f"    {three.secret_arn}\n" in parts[0]
    assert f"    {two.secret_arn}\n" in parts[1]
    assert parts[2].startswith("Do something else.")


@pytest.mark.parametrize(
    ("scope", "subject"), [("function", function_arn("rotate-postgres")), ("role", role_arn("rotate-postgres-role"))]
)
def test_a_finding_of_a_function_or_role_says_how_many_secrets_it_concerns(scope: str, subject: str) -> None:
    rotations = [rotation("prod/orders"), rotation("prod/users"), rotation("prod/other", "other")]
    text = printed(report(rotations, [finding(FindingType.KMS_ALL_KEYS, rotations[0], "It may.", scope)]), 120)
    assert f"    {subject}  (2 secrets of this {scope})\n      It may.\n" in text


def test_a_finding_of_no_secret_has_its_resource_as_heading() -> None:
    assert (
        "\n    us-east-1\n      AWS denied secretsmanager:ListSecrets in us-east-1 (AccessDeniedException).\n"
        in printed(full_report())
    )


def test_arns_are_never_cut_or_wrapped() -> None:
    name = "x" * 200
    secret = rotation(name, name)
    words = printed(report([secret], [finding(FindingType.ACTION_NOT_GRANTED, secret)]), 60).split()
    assert secret.secret_arn in words
    assert secret.role_arn in words


def test_a_difference_is_indented_and_keeps_its_signs() -> None:
    text = printed(full_report())
    assert f'      +  "Resource": "{secret_arn("prod/orders")}",\n         "Effect": "Allow"\n' in text


def test_a_pipe_gets_plain_text_and_a_terminal_gets_colours() -> None:
    assert "\x1b" not in printed(full_report())
    assert "\x1b[1;31m10 ERRORS\x1b[0m" in printed(full_report(), terminal=True)


def test_control_characters_from_aws_do_not_reach_the_terminal() -> None:
    secret = rotation("prod/orders")
    hidden = finding(FindingType.ACTION_NOT_GRANTED, secret, 'The policy "\x1b[2J\x9b1A\r" denies it.')
    text = printed(report([secret], [hidden]))
    assert 'The policy "\\x1b[2J\\x9b1A\\x0d" denies it.' in text


@pytest.mark.parametrize("findings", [25, 26, 2000])
def test_more_than_25_findings_of_a_type_are_only_counted(findings: int) -> None:
    text = printed(large_report(findings, findings))
    assert text.count("\n    arn:aws:secretsmanager:") == 25
    more = f"    ... and {findings - 25:,} more: --json or --html FILE has all of them\n"
    assert (more in text) == (findings > 25)
    assert f"(ActionNotGranted): {findings:,} findings" in text


def test_secrets_without_errors_and_warnings_are_only_a_number() -> None:
    text = printed(small_report())
    assert "clean" not in text
    assert "\n2 secrets without errors and warnings.\n" in text


def test_the_last_lines_are_the_totals_and_that_the_audit_is_complete() -> None:
    assert printed(small_report()).splitlines()[-3:] == [
        "5 secrets, 3 functions, 3 roles: 1 error, 1 warning, 1 note.",
        "2 secrets without errors and warnings.",
        "The audit is complete.",
    ]


def test_the_last_line_says_why_an_audit_is_not_complete() -> None:
    stopped = printed(replace(small_report(), stopped="The credentials expired."), 200).splitlines()[-1]
    assert stopped == ("The audit is not complete: The credentials expired. What was not inspected may have errors.")
    secret = rotation("prod/orders")
    not_inspected = printed(report([secret], [finding(FindingType.NOT_INSPECTED, secret)]), 200).splitlines()[-1]
    assert not_inspected == (
        "The audit is not complete: 1 inspection failed (NotInspected). What was not inspected may have errors."
    )


def test_an_audit_without_findings_has_only_head_and_totals() -> None:
    assert printed(report([rotation("prod/orders")], [])).splitlines()[2:] == [
        "",
        "1 secret, 1 function, 1 role: 0 errors, 0 warnings, 0 notes.",
        "1 secret without errors and warnings.",
        "The audit is complete.",
    ]
