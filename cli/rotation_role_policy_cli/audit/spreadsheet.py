"""The report of an audit as CSV: a row for each secret and finding, and for each secret without findings."""

import csv
from collections.abc import Iterator
from typing import TextIO

from rotation_role_policy.audit.findings import Finding
from rotation_role_policy.audit.report import Report, Rotation
from rotation_role_policy_cli.render import printable

_HEADINGS = (
    "account",
    "region",
    "secret",
    "secretArn",
    "functionArn",
    "roleArn",
    "owner",
    "severity",
    "code",
    "id",
    "resource",
    "message",
    "remediation",
    "accepted",
)
_FORMULA = ("=", "+", "-", "@")
"""A spreadsheet takes a cell that begins so for a formula, and a secret can have such a name."""


def write(report: Report, file: TextIO) -> None:
    """Write the report."""
    rows = csv.writer(file)
    rows.writerow(_HEADINGS)
    rows.writerows([_cell(each) for each in row] for row in _rows(report))


def _rows(report: Report) -> Iterator[list[str]]:
    for rotation in report.rotations:
        found = report.findings_of(rotation)
        yield from ([*_place(rotation), *_found(finding)] for finding in found)
        if not found:
            yield [*_place(rotation), *[""] * 7]
    for finding in report.without_secret:
        yield [
            *finding.place,
            "",
            "",
            finding.subject.function_arn,
            finding.subject.role_arn,
            "",
            *_found(finding),
        ]


def _place(rotation: Rotation) -> list[str]:
    account, region = rotation.place
    owner = " ".join(f"{name}={value}" for name, value in rotation.owner.items())
    arns = [rotation.secret_arn, rotation.function_arn, rotation.role_arn]
    return [account, region, rotation.secret_name, *arns, owner]


def _found(finding: Finding) -> list[str]:
    accepted = finding.accepted.reason if finding.accepted else ""
    about = [finding.severity.value, finding.type.code, finding.id, finding.resource]
    return [*about, finding.message, finding.remediation, accepted]


def _cell(text: str) -> str:
    safe = printable(text)
    return f"'{safe}" if safe.startswith(_FORMULA) else safe
