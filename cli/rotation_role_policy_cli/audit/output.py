"""What the commands `audit` and `report` do with a report: accepted findings, the files, and the exit status."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from rotation_role_policy.audit import report_json
from rotation_role_policy.audit.acceptance import accept
from rotation_role_policy.audit.finding_types import Severity
from rotation_role_policy.audit.report import Report
from rotation_role_policy_cli import files
from rotation_role_policy_cli.audit import accept_file, adopt, spreadsheet
from rotation_role_policy_cli.audit.table import show_report
from rotation_role_policy_cli.exit_status import ExitStatus
from rotation_role_policy_cli.render import make_console, show_error, show_warning


class Output(NamedTuple):
    """The options for the output of a report."""

    as_json: bool = False
    """Whether to print JSON."""
    html: Path | None = None
    csv: Path | None = None
    adopt: Path | None = None
    """The folder for the templates."""
    accept: Path | None = None
    """The file with accepted findings."""
    fail_on: Sequence[str] = ("error",)
    """Codes and severities of findings that are a failure. A severity includes those above it."""
    force: bool = False
    """Whether files are replaced."""
    show_all: bool = False


def check(output: Output, read: Sequence[Path] = ()) -> None:
    """Check that everything can be read and written. Raises `click.ClickException`.

    Args:
        output: what is wanted.
        read: the files that the command reads, besides that of accepted findings.
    """
    named = [("--html", output.html), ("--csv", output.csv)]
    given = [(option, path) for option, path in named if path]
    standard = [("--json", files.STANDARD_OUTPUT)] if output.as_json else []
    files.check([*standard, *given], force=output.force, read=[*read, *([output.accept] if output.accept else [])])
    if output.adopt:
        files.check_folder("--adopt", output.adopt, force=output.force)
    if output.accept:
        accept_file.read(output.accept)


def write(report: Report, output: Output, options: Mapping[str, Any], *, is_selection: bool) -> ExitStatus:
    """Write a report in the forms that are wanted, and return the exit status for its findings.

    Args:
        report: the report.
        output: what is wanted.
        options: of the command, as evidence.
        is_selection: whether the audit left out secrets.
    """
    if output.accept:
        acceptances = accept_file.read(output.accept)
        report = accept(report, acceptances, datetime.now(UTC).date(), is_selection=is_selection)
    written, problems = _write_files(report, output, options)
    if output.as_json:
        sys.stdout.writelines(report_json.parts(report, options))
    elif files.STANDARD_OUTPUT not in written:
        show_report(make_console(), report, written, show_all=output.show_all)
    for problem in problems:
        show_error(problem)
    if problems or not report.is_complete:
        return ExitStatus.ERROR
    return ExitStatus.FINDINGS if _is_failure(report, output.fail_on) else ExitStatus.NO_FINDINGS


def _write_files(report: Report, output: Output, options: Mapping[str, Any]) -> tuple[list[Path], list[str]]:
    """Write the files, and return those that were written, and what went wrong."""
    written, problems = [], []
    for path, write_to in _files(report, output, options):
        if report.stopped and path.exists():
            problems.append(f"{path} was not replaced, because the audit did not end.")
            continue
        try:
            with files.written(path, force=output.force) as file:
                write_to(file)
            written.append(path)
        except OSError as error:
            problems.append(str(error))
    if output.adopt and not any(path.parent == output.adopt for path in written) and not problems:
        reason = "the audit did not end" if report.stopped else "there is no rotation to adopt"
        show_warning(f"{output.adopt} was not written: {reason}.")
    return written, problems


def _files(
    report: Report, output: Output, options: Mapping[str, Any]
) -> Iterator[tuple[Path, Callable[[TextIO], object]]]:
    """Yield the files, each with the function that writes it."""
    if output.html:
        # Jinja2 takes time to import.
        from rotation_role_policy_cli.audit.page import html_page

        yield output.html, partial(html_page.write, report, options=options)
    if output.csv:
        yield output.csv, partial(spreadsheet.write, report)
    # What was not looked at would be missing, or left out without reason.
    if output.adopt and not report.stopped:
        for path, text in adopt.files(report, output.adopt).items():
            output.adopt.mkdir(mode=0o700, exist_ok=True)
            yield path, partial(_write_text, text)


def _write_text(text: str, file: TextIO) -> None:
    file.write(text)


def _is_failure(report: Report, fail_on: Sequence[str]) -> bool:
    severities = list(Severity)
    least = [severities.index(Severity(each)) for each in fail_on if each in severities]
    failures = severities[: max(least) + 1] if least else []
    return any(finding.severity in failures or finding.type.code in fail_on for finding in report.open_findings)
