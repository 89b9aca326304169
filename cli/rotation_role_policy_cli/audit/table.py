"""The report of an audit for a terminal: the totals and the codes first, then the findings, worst first."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from rotation_role_policy.audit.finding_types import FindingType, Severity
from rotation_role_policy.audit.findings import Finding
from rotation_role_policy.audit.report import INCOMPLETE, Report
from rotation_role_policy_cli.audit.names import Names
from rotation_role_policy_cli.render import Paragraph, show

_MAX_SHOWN = 25
"""Findings of one type. The others are only counted, so that no type pushes the next ones off the screen."""
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold blue"}
_DIFFERENCE_STYLES = {"-": "red", "+": "green"}


def show_report(console: Console, report: Report, files: Sequence[Path] = (), *, show_all: bool = False) -> None:
    """Print the report.

    Args:
        console: the terminal or pipe.
        report: of the audit.
        files: that were written besides.
        show_all: whether all findings are printed, the notes too.
    """
    show(console, *_head(report), "", *_totals(report), *_codes(report))
    of_type = _Findings(report, show_all)
    printed = [each for each in report.open_findings if show_all or each.severity is not Severity.NOTE]
    for severity, of_severity in groupby(printed, lambda finding: finding.severity):
        show(console, "", Text(_plural(report.totals[severity], severity.value).upper(), style=_STYLES[severity]))
        for _, findings in groupby(of_severity, lambda finding: finding.type):
            show(console, *of_type.lines(list(findings)))
    if show_all:
        show(console, *_accepted(report, of_type.names))
    show(console, *_end(report, files, show_all))


def _head(report: Report) -> Iterator[RenderableType]:
    accounts = [each.id for each in report.accounts]
    named = f"account {accounts[0]}" if len(accounts) == 1 else f"{len(accounts)} accounts"
    yield Text(f"Audit of rotations in {named}", style="bold")
    if len(accounts) > 1:
        yield Paragraph(", ".join(accounts))
    yield Paragraph(", ".join([*report.regions, f"{report.time:%Y-%m-%d %H:%M} UTC"]))


def _totals(report: Report) -> Iterator[RenderableType]:
    summary = report.summary
    inspected = ", ".join(_plural(summary[f"{noun}s"], noun) for noun in ("secret", "function", "role"))
    yield Paragraph(Text(f"{inspected}: {_found(report)}.", style="bold"))
    if report.rotations:
        yield Paragraph(f"{_plural(report.sound, 'secret')} without errors and warnings.")
    else:
        yield Paragraph("No secret in these regions has a rotation function, or none was selected.")
    if report.is_complete:
        open_parts = sum(finding.type in INCOMPLETE for finding in report.findings)
        but = f", but for {_plural(open_parts, 'accepted finding')} about what was not inspected" if open_parts else ""
        yield Paragraph(f"The audit is complete{but}.")
        return
    not_inspected = sum(finding.type is FindingType.NOT_INSPECTED for finding in report.open_findings)
    failed = sum(finding.type is FindingType.ACCOUNT_FAILED for finding in report.open_findings)
    reasons = [report.stopped] if report.stopped else []
    reasons += [f"{_plural(failed, 'account')} could not be audited (AccountFailed)."] if failed else []
    reasons += [f"{_plural(not_inspected, 'inspection')} failed (NotInspected)."] if not_inspected else []
    yield Paragraph(
        Text.assemble(
            ("The audit is not complete:", "bold yellow"),
            f" {' '.join(reasons)} What was not inspected may have errors.",
        )
    )


def _found(report: Report) -> str:
    found = ", ".join(_plural(number, severity.value) for severity, number in report.totals.items())
    accepted = report.summary["accepted"]
    return f"{found}, {accepted:,} accepted" if accepted else found


def _codes(report: Report) -> Iterator[RenderableType]:
    """Yield the table of codes: how often each was found."""
    counts = Counter(finding.type for finding in report.open_findings)
    if not counts:
        return
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for finding_type in sorted(counts, key=lambda each: each.rank):
        severity = finding_type.severity
        count = f"{counts[finding_type]:,}"
        table.add_row(Text(severity.value, style=_STYLES[severity]), count, finding_type.code, finding_type.title)
    yield ""
    yield table


class _Findings:
    """The lines of the findings of a report."""

    def __init__(self, report: Report, show_all: bool) -> None:
        self.names = Names(report)
        self._most = len(report.findings) if show_all else _MAX_SHOWN
        self._secrets = Counter(rotation.function_arn for rotation in report.rotations)
        self._secrets.update(rotation.role_arn for rotation in report.rotations)

    def lines(self, findings: Sequence[Finding]) -> Iterator[RenderableType]:
        """Yield the findings of one type, those with the same remediation together."""
        finding_type = findings[0].type
        yield ""
        title = f" ({finding_type.code}): {_plural(len(findings), 'finding')}"
        yield Paragraph(Text.assemble((finding_type.title, "bold"), title), "  ", hanging=2)
        by_remediation: dict[str, list[Finding]] = {}
        for finding in findings[: self._most]:
            by_remediation.setdefault(self.names.in_commands(finding.remediation), []).append(finding)
        for remediation, with_remediation in by_remediation.items():
            yield ""
            for finding in with_remediation:
                yield from self._finding(finding)
            yield Paragraph(remediation, Text.assemble("    ", ("What to do: ", "bold")))
        if len(findings) > self._most:
            yield ""
            yield Paragraph(f"... and {len(findings) - self._most:,} more: --all shows them", "    ")

    def _finding(self, finding: Finding) -> Iterator[RenderableType]:
        subject = finding.subject.scope or finding.resource
        scope = ""
        if not finding.subject.secret_arn and self._secrets[subject]:
            kind = "function" if finding.subject.function_arn else "role"
            scope = f"  ({_plural(self._secrets[subject], 'secret')} of this {kind})"
        name = Text.assemble((self.names.brief(subject), "bold"), (scope, "dim"))
        yield Paragraph(name, "    ", hanging=2)
        yield Paragraph(self.names.brief(finding.message), "      ")
        if finding.resource != subject and finding.resource not in finding.message:
            resource = self.names.brief(finding.resource)
            yield Paragraph(resource, Text.assemble("      ", ("resource  ", "dim")))
        for line in finding.difference:
            yield Text.assemble("      ", (line, _DIFFERENCE_STYLES.get(line[:1], "")))


def _accepted(report: Report, names: Names) -> Iterator[RenderableType]:
    """Yield the accepted findings, each as one paragraph."""
    accepted = [(finding, finding.accepted) for finding in report.findings if finding.accepted]
    if accepted:
        yield ""
        yield Text(f"{len(accepted):,} ACCEPTED", style="bold")
        yield ""
    for finding, acceptance in accepted:
        until = f" until {acceptance.until}" if acceptance.until else ""
        subject = names.brief(finding.subject.scope or finding.resource)
        yield Paragraph(f"{finding.type.code} {subject}{until}: {acceptance.reason}", "    ", hanging=2)


def _end(report: Report, files: Iterable[Path], show_all: bool) -> Iterator[RenderableType]:
    """Yield what must not be missed, because the first lines are out of sight."""
    lines = [f"Written: {path}" for path in files]
    if report.totals[Severity.NOTE] and not show_all:
        lines.insert(0, f"{_plural(report.totals[Severity.NOTE], 'note')}: --all shows them.")
    if report.open_findings:
        lines.append(f"{_found(report)}.")
    if lines:
        yield ""
    yield from map(Paragraph, lines)


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
