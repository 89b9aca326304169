"""The command `audit`."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from threading import Thread
from typing import Any

from rotation_role_policy.audit.facts import secret_ids
from rotation_role_policy.audit.report import Report
from rotation_role_policy_cli.audit import output as outputs
from rotation_role_policy_cli.audit import regions
from rotation_role_policy_cli.audit.accounts import Audits, Request
from rotation_role_policy_cli.audit.output import Output
from rotation_role_policy_cli.exit_status import ExitStatus
from rotation_role_policy_cli.messages import EXPECTED_ERRORS, message
from rotation_role_policy_cli.render import progress_bar, show_error


def run(request: Request, output: Output, options: Mapping[str, Any], *, allow_empty: bool) -> int:
    """Audit what is requested, write the report, and return the exit status.

    Args:
        request: what is audited.
        output: what is written.
        options: of the command, as evidence.
        allow_empty: whether it is right that nothing was audited.
    """
    outputs.check(output)
    regions.check(request.regions)
    try:
        with progress_bar() as progress:
            report = _until_interrupted(Audits(request, progress))
    except EXPECTED_ERRORS as error:
        show_error(message(error))
        return ExitStatus.ERROR
    is_selection = bool(request.selection.secret_ids or request.selection.tags)
    status = outputs.write(report, output, options, is_selection=is_selection)
    missing = list(_missing(report, request)) if report.is_complete and not allow_empty else []
    for text in missing:
        show_error(f"{text} If that is right, give --allow-empty.")
    return ExitStatus.ERROR if missing else status


def _until_interrupted(audits: Audits) -> Report:
    """Return the report of an audit. At Ctrl-C, stop it, and return the report with what is known by then.

    If AWS has not answered yet, or at a second Ctrl-C, raise KeyboardInterrupt.
    """
    result: Future[Report] = Future()

    def run() -> None:
        try:
            result.set_result(audits.run())
        except BaseException as error:  # raised again in the main thread
            result.set_exception(error)

    # A call without an answer takes a minute. It must not keep the command from ending.
    Thread(target=run, daemon=True).start()
    try:
        return result.result()
    except KeyboardInterrupt:
        audits.stop("The audit was interrupted.")
        if not audits.has_begun:
            raise
        return result.result()


def _missing(report: Report, request: Request) -> Iterator[str]:
    """Yield what was named, and has no rotation: a green result would be for nothing."""
    where = ", ".join(report.regions)
    audited = {name for rotation in report.rotations for name in secret_ids(rotation.secret_name, rotation.secret_arn)}
    for secret_id in request.selection.secret_ids:
        if secret_id not in audited:
            yield f"--secret-id {secret_id}: no such secret with a rotation function in {where}."
    # An account that failed is a finding.
    accounts = [each for each in report.accounts if each.caller_arn]
    for region in dict.fromkeys(request.regions):
        if accounts and all(region in each.empty_regions for each in accounts):
            yield f"--region {region}: no secret has a rotation function."
    for role_arn in request.role_arns:
        if any(each.id in role_arn.split(":") and set(each.regions) == set(each.empty_regions) for each in accounts):
            yield f"--role-arn {role_arn}: no secret of this account has a rotation function in {where}."
    if not report.rotations and accounts:
        yield "Nothing was audited: no secret with a rotation function was found, or none was selected."
