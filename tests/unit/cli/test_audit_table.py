"""The report of an audit in a terminal or a pipe."""

import io
from dataclasses import replace
from pathlib import Path

import pytest

from rotation_role_policy.audit.finding_types import FindingType, Severity
from rotation_role_policy.audit.findings import Acceptance, Finding, Subject, Words
from rotation_role_policy.audit.report import Report
from rotation_role_policy_cli.audit.table import show_report
from rotation_role_policy_cli.render import make_console
from tests.support.audit_report import (
    ACCOUNT,
    KEY,
    REGION,
    account,
    finding,
    full_report,
    large_report,
    report,
    rotation,
    secret_arn,
    small_report,
)


def printed(
    of: Report, width: int = 100, *, terminal: bool = False, show_all: bool = True, files: tuple[Path, ...] = ()
) -> str:
    file = io.StringIO()
    show_report(make_console(width, file, is_terminal=terminal), of, files, show_all=show_all)
    return file.getvalue()


def test_the_page_begins_with_the_account_the_regions_the_time_the_totals_and_the_codes() -> None:
    of = replace(small_report(), accounts=(account(("eu-central-1", "us-east-1")),))
    assert [line.rstrip() for line in printed(of).splitlines()[:12]] == [
        "Audit of rotations in account 123456789012",
        "eu-central-1, us-east-1, 2026-03-14 09:26 UTC",
        "",
        "5 secrets, 3 functions, 3 roles: 1 error, 1 warning, 1 note.",
        "2 secrets without errors and warnings.",
        "The audit is complete.",
        "",
        "error    1  ActionNotGranted  The role lacks an action",
        "warning  1  KmsAllKeys        The role can use other keys",
        "note     1  NoPolicy          No Custom::RotationRolePolicy",
        "",
        "1 ERROR",
    ]


def test_several_accounts_are_named() -> None:
    of = replace(small_report(), accounts=(account(), replace(account(), id="210987654321")))
    assert printed(of).splitlines()[:2] == ["Audit of rotations in 2 accounts", "123456789012, 210987654321"]


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


def test_notes_are_only_counted_without_all() -> None:
    text = printed(small_report(), show_all=False)
    assert "note     1  NoPolicy " in text
    assert "(NoPolicy)" not in text
    assert text.splitlines()[-2:] == ["1 note: --all shows them.", "1 error, 1 warning, 1 note."]
    assert "--all" not in printed(small_report()).partition("1 ERROR")[2].replace("(--adopt)", "")


def test_the_last_lines_are_the_files_and_the_result() -> None:
    lines = printed(small_report(), files=(Path("audit.html"), Path("adopt.yaml"))).splitlines()
    assert lines[-4:] == ["", "Written: audit.html", "Written: adopt.yaml", "1 error, 1 warning, 1 note."]


def test_accepted_findings_are_only_a_number_without_all() -> None:
    secret = rotation("prod/orders")
    accepted = replace(finding(FindingType.OTHER_SECRETS, secret), accepted=Acceptance("", "", "It is planned."))
    text = printed(report([secret], [accepted, finding(FindingType.SHARED_ROLE, secret, scope="role")]))
    assert "1 ACCEPTED\n\n    OtherSecrets prod/orders: It is planned.\n" in text
    assert text.count("OtherSecrets") == 1
    assert "0 errors, 1 warning, 0 notes, 1 accepted." in text
    assert "OtherSecrets" not in printed(report([secret], [accepted]), show_all=False)


def test_a_complete_audit_says_what_was_accepted_not_to_be_inspected() -> None:
    secret = rotation("prod/orders")
    accepted = replace(finding(FindingType.NOT_INSPECTED, secret), accepted=Acceptance("", "", "Theirs."))
    text = printed(report([secret], [accepted]))
    assert "The audit is complete, but for 1 accepted finding about what was not inspected." in text


def test_a_finding_has_its_secret_message_resource_and_remediation() -> None:
    assert """
  The role lacks an action (ActionNotGranted): 1 finding

    prod/orders
      No policy allows secretsmanager:PutSecretValue.
      resource  rotate-postgres-role
    What to do: Put a Custom::RotationRolePolicy on the role (--adopt), or allow the action.
""" in printed(small_report())


@pytest.mark.parametrize("message", ["No policy of {role} allows it.", "The role {role}: no."])
def test_a_resource_that_the_message_names_is_not_repeated(message: str) -> None:
    secret = rotation("prod/orders")
    text = printed(
        report([secret], [finding(FindingType.ACTION_NOT_GRANTED, secret, message.format(role=secret.role_arn))])
    )
    assert text.count("rotate-postgres-role") == 1


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
    assert "    prod/a\n" in parts[0]
    assert "    prod/c\n" in parts[0]
    assert "    prod/b\n" in parts[1]
    assert parts[2].startswith("Do something else.")


@pytest.mark.parametrize(("scope", "subject"), [("function", "rotate-postgres"), ("role", "rotate-postgres-role")])
def test_a_finding_of_a_function_or_role_says_how_many_secrets_it_concerns(scope: str, subject: str) -> None:
    rotations = [rotation("prod/orders"), rotation("prod/users"), rotation("prod/other", "other")]
    text = printed(report(rotations, [finding(FindingType.KMS_ALL_KEYS, rotations[0], "It may.", scope)]), 120)
    assert f"    {subject}  (2 secrets of this {scope})\n      It may.\n" in text


def test_a_finding_of_no_secret_has_its_resource_as_heading() -> None:
    assert (
        "\n    us-east-1\n      AWS denied secretsmanager:ListSecrets in us-east-1 (AccessDeniedException).\n"
        in printed(full_report())
    )


def test_no_word_is_cut_or_wrapped_and_no_other_line_is_wider_than_the_terminal() -> None:
    name = "x" * 200
    secret = rotation("prod/orders")
    message = f"The role {secret.role_arn} may read the secret {secret_arn(name)} and other words, one after another."
    lines = printed(report([secret], [finding(FindingType.OTHER_SECRETS, secret, message)]), 60).splitlines()
    [long_line] = [line for line in lines if len(line) > 60]
    assert long_line.strip() == secret_arn(name)


def test_names_stand_for_the_arns_of_the_report_but_not_for_others_and_not_in_policies() -> None:
    secret, other = rotation("prod/orders"), secret_arn("prod/else")
    message = (
        f"{secret.role_arn} reads {secret.secret_arn}, {other} by {secret.function_arn}:live, {secret.function_arn}."
        f' {{"Resource": "{secret.secret_arn}"}} with {KEY}'
    )
    secret = replace(secret, function_arn=f"{secret.function_arn}:live")
    text = " ".join(printed(report([secret], [finding(FindingType.OTHER_SECRETS, secret, message)]), 2000).split())
    assert (
        f"rotate-postgres-role reads prod/orders, {other} by rotate-postgres:live, rotate-postgres."
        f' {{"Resource": "{secret.secret_arn}"}} with {KEY.rpartition(":")[2]}'
    ) in text


def test_names_have_their_region_and_account_if_the_report_has_several() -> None:
    secret = rotation("prod/orders")
    found = finding(FindingType.OTHER_SECRETS, secret, f"{secret.role_arn} reads {secret.secret_arn}.")
    found = replace(found, words=found.words._replace(remediation=f"Rotate {secret.secret_arn}."))
    here = report([secret], [found])
    regions = replace(here, accounts=(account((REGION, "us-east-1")),))
    accounts = replace(here, accounts=(account(), replace(account(), id="210987654321")))
    assert "rotate-postgres-role reads prod/orders.\n" in printed(here)
    assert "What to do: Rotate prod/orders.\n" in printed(here)
    assert f"rotate-postgres-role reads prod/orders ({REGION}).\n" in printed(regions)
    assert f"rotate-postgres-role ({ACCOUNT}) reads prod/orders ({ACCOUNT}).\n" in printed(accounts)
    command = replace(found, words=found.words._replace(remediation=f"x --source-arn {secret.secret_arn} y"))
    assert f"--source-arn {secret.secret_arn} y\n" in printed(report([secret], [command]), 200)
    # In a command, a name alone would be of another region.
    assert f"What to do: Rotate {secret.secret_arn}.\n" in printed(regions)


def test_a_difference_is_indented_and_keeps_its_signs() -> None:
    text = printed(full_report())
    assert f'      +  "Resource": "{secret_arn("prod/orders")}",\n         "Effect": "Allow"\n' in text


def test_a_pipe_gets_plain_text_and_a_terminal_gets_colours() -> None:
    assert "\x1b" not in printed(full_report())
    assert "\x1b[1;31m11 ERRORS\x1b[0m" in printed(full_report(), terminal=True)


def test_control_characters_from_aws_do_not_reach_the_terminal() -> None:
    secret = rotation("prod/orders")
    hidden = finding(FindingType.ACTION_NOT_GRANTED, secret, 'The policy "\x1b[2J\x9b1A\r\u202e" denies it.')
    strange = Finding(FindingType.NOT_INSPECTED, Subject(), "\x1b]0;x", Words("\u2066", "\x07"), ("+\x1b",))
    text = printed(report([replace(secret, secret_name="\x1b[1m")], [hidden, strange]))
    # rich itself omits a carriage return.
    assert 'The policy "\\x1b[2J\\x9b1A\\u202e" denies it.' in text
    assert not {"\x1b", "\x9b", "\u202e", "\u2066", "\x07"} & set(text)


@pytest.mark.parametrize("findings", [25, 26, 2000])
def test_more_than_25_findings_of_a_type_are_only_counted(findings: int) -> None:
    text = printed(large_report(findings, findings), show_all=False)
    assert text.count("\n    prod/0") == 25
    more = f"    ... and {findings - 25:,} more: --all shows them\n"
    assert (more in text) == (findings > 25)
    assert f"(ActionNotGranted): {findings:,} findings" in text
    assert printed(large_report(findings, findings)).count("\n    prod/0") == findings


def test_secrets_without_errors_and_warnings_are_only_a_number() -> None:
    text = printed(small_report())
    assert "clean" not in text
    assert "\n2 secrets without errors and warnings.\n" in text


def test_the_head_says_why_an_audit_is_not_complete() -> None:
    stopped = printed(replace(small_report(), accounts=(account(stopped="The credentials expired."),)), 200)
    assert "\nThe audit is not complete: The credentials expired. What was not inspected may have errors.\n" in stopped
    secret = rotation("prod/orders")
    failed = Finding(FindingType.ACCOUNT_FAILED, Subject(), ACCOUNT, Words("", ""), account=ACCOUNT)
    of = report([secret], [finding(FindingType.NOT_INSPECTED, secret), failed])
    assert (
        "\nThe audit is not complete: 1 account could not be audited (AccountFailed). 1 inspection failed"
        " (NotInspected). What was not inspected may have errors.\n"
    ) in printed(of, 200)


def test_an_audit_without_findings_has_only_head_and_totals() -> None:
    assert printed(report([rotation("prod/orders")], [])).splitlines()[2:] == [
        "",
        "1 secret, 1 function, 1 role: 0 errors, 0 warnings, 0 notes.",
        "1 secret without errors and warnings.",
        "The audit is complete.",
    ]
