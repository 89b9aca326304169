"""The command `audit`: run it, and write the report in the requested forms."""

import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from rotation_role_policy.audit.audit import audit
from rotation_role_policy.audit.facts import secret_ids
from rotation_role_policy.audit.findings import Severity
from rotation_role_policy.audit.listing import Selection
from rotation_role_policy.audit.lookups import Workers
from rotation_role_policy.audit.report import Report, to_json
from rotation_role_policy_cli.audit import adopt
from rotation_role_policy_cli.audit.table import show_report
from rotation_role_policy_cli.caller_aws import caller_bulk_aws
from rotation_role_policy_cli.exit_status import ExitStatus
from rotation_role_policy_cli.messages import EXPECTED_ERRORS, message
from rotation_role_policy_cli.render import make_console, progress_bar, show_error


def run(
    profile: str | None,
    regions: Sequence[str],
    selection: Selection,
    *,
    as_json: bool,
    html: Path | None,
    adopt_file: Path | None,
    fail_on: Severity,
) -> int:
    """Audit the regions, and return the exit status.

    Args:
        profile: of the AWS credentials; None for the environment's.
        regions: their names; empty for the environment's region.
        selection: which secrets.
        as_json: whether to print JSON.
        html: the HTML file to write.
        adopt_file: the template to write.
        fail_on: the least severity of findings that is a failure.
    """
    for file in filter(None, (html, adopt_file)):
        # A large audit takes minutes. The file is written at the end.
        if not file.parent.is_dir():
            show_error(f"{file} cannot be written: the folder {file.parent} does not exist.")
            return ExitStatus.ERROR
    try:
        names: list[str | None] = list(dict.fromkeys(regions)) or [None]
        with progress_bar() as progress, Workers(progress) as workers:
            clients = [caller_bulk_aws(profile, region, workers.stopped) for region in names]
            account = clients[0].caller.account
            report = _until_interrupted(workers, lambda: audit(clients, account, selection, workers))
    except EXPECTED_ERRORS as error:
        show_error(message(error))
        return ExitStatus.ERROR
    if as_json:
        # rich would hold the text of a large report several times.
        json.dump(to_json(report), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        show_report(make_console(), report)
    if html:
        # Jinja2 takes time to import.
        from rotation_role_policy_cli.audit import html_page

        html_page.write(report, html)
    if adopt_file and not adopt.write(report, adopt_file):
        click.echo(f"{adopt_file} was not written: there is no rotation to adopt.", err=True)
    return _status(report, selection, fail_on)


def _until_interrupted(workers: Workers, run_audit: Callable[[], Report]) -> Report:
    """Return the report of an audit. At Ctrl-C, stop it, and return the report with what is known by then."""
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(run_audit)
        try:
            return running.result()
        except KeyboardInterrupt:
            workers.stop("The audit was interrupted.")
            return running.result()


def _status(report: Report, selection: Selection, fail_on: Severity) -> ExitStatus:
    if not report.is_complete:
        return ExitStatus.ERROR
    audited = {name for rotation in report.rotations for name in secret_ids(rotation.secret_name, rotation.secret_arn)}
    if missing := [secret_id for secret_id in selection.secret_ids if secret_id not in audited]:
        show_error(f"--secret-id {missing[0]}: no such secret with a rotation function in {', '.join(report.regions)}.")
        return ExitStatus.ERROR
    severities = list(Severity)
    failures = severities[: severities.index(fail_on) + 1]
    return ExitStatus.FINDINGS if any(report.totals[each] for each in failures) else ExitStatus.NO_FINDINGS
