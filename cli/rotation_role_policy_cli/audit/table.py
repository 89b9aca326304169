"""The report of an audit for a terminal: by severity and type of finding, worst first, and the totals at the end."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

from rich.console import Console, RenderableType
from rich.text import Text

from rotation_role_policy.audit.findings import Finding, FindingType, Severity
from rotation_role_policy.audit.report import Report
from rotation_role_policy_cli.render import Paragraph, show

_MAX_SHOWN = 25
"""Findings of one type. The others are only counted, so that no type pushes the next ones off the screen."""
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold blue"}
_DIFFERENCE_STYLES = {"-": "red", "+": "green"}
_CONTROL_CHARACTERS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


def show_report(console: Console, report: Report) -> None:
    """Print the report."""
    show(console, *_head(report))
    secrets = Counter(rotation.function_arn for rotation in report.rotations)
    secrets.update(rotation.role_arn for rotation in report.rotations)
    for severity, of_severity in groupby(report.findings, lambda finding: finding.severity):
        show(console, "", Text(_plural(report.totals[severity], severity.value).upper(), style=_STYLES[severity]))
        for _, findings in groupby(of_severity, lambda finding: finding.type):
            show(console, *_findings_of_type(list(findings), secrets))
    show(console, "", *_totals(report))


def _head(report: Report) -> Iterator[RenderableType]:
    regions = _printable(", ".join(report.regions))
    yield Text(f"Audit of rotations in account {_printable(report.account)}", style="bold")
    yield Paragraph(f"{regions}, {report.time:%Y-%m-%d %H:%M} UTC")


def _findings_of_type(findings: list[Finding], secrets: Counter[str]) -> Iterator[RenderableType]:
    """Yield the findings of one type, those with the same remediation together."""
    finding_type = findings[0].type
    yield ""
    yield Paragraph(
        Text.assemble((finding_type.title, "bold"), f" ({finding_type.code}): {_plural(len(findings), 'finding')}"),
        "  ",
        hanging=2,
    )
    by_remediation: dict[str, list[Finding]] = {}
    for finding in findings[:_MAX_SHOWN]:
        by_remediation.setdefault(finding.remediation, []).append(finding)
    for remediation, with_remediation in by_remediation.items():
        for finding in with_remediation:
            yield ""
            yield from _finding(finding, secrets)
        yield ""
        yield Paragraph(_printable(remediation), Text.assemble("    ", ("What to do: ", "bold")))
    if len(findings) > _MAX_SHOWN:
        yield ""
        yield Paragraph(f"... and {len(findings) - _MAX_SHOWN:,} more: --json or --html FILE has all of them", "    ")


def _finding(finding: Finding, secrets: Counter[str]) -> Iterator[RenderableType]:
    subject = finding.subject.scope or finding.resource
    scope = ""
    if not finding.subject.secret_arn and secrets[subject]:
        kind = "function" if finding.subject.function_arn else "role"
        scope = f"  ({_plural(secrets[subject], 'secret')} of this {kind})"
    yield Paragraph(Text.assemble(_printable(subject), (scope, "dim")), "    ", hanging=2)
    yield Paragraph(_printable(finding.message), "      ")
    if finding.resource != subject and finding.resource not in finding.message:
        yield Paragraph(_printable(finding.resource), Text.assemble("      ", ("resource  ", "dim")))
    yield from _difference(finding.difference)


def _difference(lines: Iterable[str]) -> Iterator[RenderableType]:
    for line in lines:
        yield Text.assemble("      ", (_printable(line), _DIFFERENCE_STYLES.get(line[:1], "")))


def _totals(report: Report) -> Iterator[RenderableType]:
    summary = report.summary
    inspected = ", ".join(_plural(summary[f"{noun}s"], noun) for noun in ("secret", "function", "role"))
    found = ", ".join(_plural(number, severity.value) for severity, number in report.totals.items())
    yield Paragraph(Text(f"{inspected}: {found}.", style="bold"))
    if report.rotations:
        yield Paragraph(f"{_plural(report.sound, 'secret')} without errors and warnings.")
    else:
        yield Paragraph("No secret in these regions has a rotation function, or none was selected.")
    if report.is_complete:
        yield Paragraph("The audit is complete.")
        return
    not_inspected = sum(finding.type is FindingType.NOT_INSPECTED for finding in report.findings)
    reasons = [_printable(report.stopped)] if report.stopped else []
    reasons += [f"{_plural(not_inspected, 'inspection')} failed (NotInspected)."] if not_inspected else []
    yield Paragraph(
        Text.assemble(
            ("The audit is not complete:", "bold yellow"),
            f" {' '.join(reasons)} What was not inspected may have errors.",
        )
    )


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _printable(text: str) -> str:
    """Return a text from AWS without control characters, which could hide or rewrite a finding on a terminal."""
    return text.translate(_CONTROL_CHARACTERS)
