"""Run an audit: list, collect the facts of each role, audit each role. `audit_one` audits one role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime

from rotation_role_policy import arn
from rotation_role_policy.audit import lookups
from rotation_role_policy.audit.bulk import StoppedError
from rotation_role_policy.audit.collect import Region, Sources, collect_role
from rotation_role_policy.audit.facts import FunctionFacts, Known, Stopped, Unknown, is_of_disabled_region
from rotation_role_policy.audit.findings import Finding, Subject
from rotation_role_policy.audit.listing import Selection
from rotation_role_policy.audit.lookups import Workers, is_expired, problem_of
from rotation_role_policy.audit.messages import failures
from rotation_role_policy.audit.report import AuditedAccount, Report, merge_denied, sort_findings
from rotation_role_policy.audit.role import RoleResult, audit_function, audit_role, failed
from rotation_role_policy.audit.roles import RoleFact, read_roles
from rotation_role_policy.audit.uninspected import uninspected
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import RequestError

_ROLE_THREADS = 16
"""Roles whose facts are collected at the same time. Mostly they wait for calls (`lookups`)."""

Functions = dict[str, Region]
"""Rotation functions by `RotationLambdaARN`, with their regions."""


def audit(
    clients: Sequence[Aws], caller_arn: str, selection: Selection, workers: Workers, now: datetime | None = None
) -> Report:
    """Audit the rotations of some regions of an account. All calls read, and none reads the value of a secret.

    A call that AWS denies or fails becomes a finding. `Workers.stop` and expired credentials end the audit: the report
    then has what is known so far.

    Args:
        clients: make the calls, one for each region, in several threads (`bulk.bulk_aws`).
        caller_arn: ARN of the identity that makes the calls.
        selection: which secrets are audited.
        workers: the threads.
        now: the time of the audit, by default the current time.
    """
    time = now or datetime.now(UTC)
    regions = [Region(aws, workers) for aws in clients]
    findings = [finding for region in regions for finding in _list(region, selection, workers)]
    if any(region.functions for region in regions):
        # A function of a region without a selected secret can have the same role.
        findings += (finding for region in regions for finding in _list_functions(region))
    sources = Sources(regions, workers)
    results = _Audit(sources, workers, time).results()
    findings += (finding for region in regions for finding in _of_stacks(region))
    rotations = sorted((each for result in results for each in result.rotations), key=lambda each: each.secret_arn)
    findings += (finding for result in results for finding in result.findings)
    if any(not each.policy_name for each in rotations):
        what = "Whether policies on other roles cover secrets"
        findings += (uninspected(Subject(), regions[0].name, problem, what) for problem in sources.elsewhere.failures())
    if workers.reason:
        selected = sum(len(region.selected) for region in regions)
        stopped = f"{workers.reason} {len(rotations):,} of {selected:,} listed secrets were looked up."
    else:
        stopped = ""
        findings += (finding for result in results for finding in result.excess)
    account = AuditedAccount(
        arn.account(caller_arn),
        caller_arn,
        tuple(region.name for region in regions),
        time,
        stopped,
        tuple(region.name for region in regions if region.is_empty),
    )
    of_account = (_of_account(each, account.id) for each in merge_denied(findings))
    statements = {role_arn: each for result in results for role_arn, each in result.statements.items()}
    return Report((account,), tuple(rotations), sort_findings(of_account), statements)


def _of_account(finding: Finding, account: str) -> Finding:
    """Return a finding with its account, if it is about a whole region."""
    return finding if finding.subject.scope else replace(finding, account=account)


def _list(region: Region, selection: Selection, workers: Workers) -> list[Finding]:
    """List the secrets of a region, and return the findings about the region itself."""
    subject = Subject(region=region.name)
    try:
        region.list_rotations(selection)
    except StoppedError:
        return []
    except RequestError as error:
        problem = problem_of(error)
        # The credentials are valid: the caller is known.
        if is_expired(error) and not is_of_disabled_region(problem):
            workers.stop(f"The credentials have expired ({failures.problem(problem)}).")
            return []
        return [uninspected(subject, region.name, problem, f"The region {region.name}")]
    except lookups.CONTAINED_ERRORS as error:
        problem = lookups.internal_error(region.name, error)
        return [uninspected(subject, region.name, problem, f"The region {region.name}")]
    return [uninspected(Subject(secret_arn), secret_arn, error) for secret_arn, error in region.not_listed.items()]


def _list_functions(region: Region) -> list[Finding]:
    """List the functions of a region, and return the finding if that is not possible."""
    match region.functions_by_role():
        case Unknown(problem) if not isinstance(problem, Stopped):
            what = f"Which functions share a role in {region.name}"
            return [uninspected(Subject(region=region.name), region.name, problem, what)]
    return []


def _of_stacks(region: Region) -> list[Finding]:
    """Return the findings if it could not be looked up which stacks have put policies on the roles."""
    what = f"Which stacks of {region.name} have put policies on roles"
    return [
        uninspected(Subject(region=region.name), region.name, problem, what) for problem in region.stacks.failures()
    ]


def audit_one(sources: Sources, role_arn: str, role: RoleFact, functions: Functions, now: datetime) -> RoleResult:
    """Audit one role. Whatever goes wrong with it becomes a finding about it.

    Args:
        sources: the regions, whose rotations are listed (`Region.list_rotations`).
        role_arn: of the role.
        role: the role with its policies (`roles.read_roles`).
        functions: functions of these regions. Those that turn out to have another role are left out.
        now: the time of the audit, in UTC.
    """
    known: list[FunctionFacts] = []
    try:
        known += (region.function(function_id) for function_id, region in functions.items())
        known = [each for each in known if each.role_arn == role_arn]
        return audit_role(collect_role(sources, role_arn, role, known), now)
    except lookups.CONTAINED_ERRORS as error:
        return failed(role_arn, known, lookups.internal_error(role_arn, error))


def _audit_function(region: Region, function_id: str, now: datetime) -> RoleResult:
    """Audit a function whose role is not known. Whatever goes wrong becomes a finding about it."""
    try:
        return audit_function(region.function(function_id), now)
    except lookups.CONTAINED_ERRORS as error:
        problem = lookups.internal_error(function_id, error)
        return RoleResult(findings=(uninspected(Subject(function_arn=function_id), function_id, problem),))


class _Audit:
    """The audit of all roles, as soon as the facts of each are collected."""

    def __init__(self, sources: Sources, workers: Workers, now: datetime) -> None:
        self._sources = sources
        self._workers = workers
        self._now = now
        self._executor = workers.executor(_ROLE_THREADS)

    def results(self) -> list[RoleResult]:
        """Return the results of all roles, and of the functions whose role is not known.

        The role of a version can be another one than ListFunctions shows, and the caller may not be allowed to list
        functions. A role that turns out to have more functions is audited again, from scratch.
        """
        expected = self._functions_by_listing()
        running = self._start(expected)
        found, without_role = self._functions_by_configuration()
        more = {
            role_arn: functions
            for role_arn, functions in found.items()
            if not functions.keys() <= expected.get(role_arn, {}).keys()
        }
        running |= self._start(more)
        results = [running[role_arn].result() for role_arn in found]
        return results + [
            _audit_function(region, function_id, self._now) for function_id, region in without_role.items()
        ]

    def _functions_by_listing(self) -> dict[str, Functions]:
        """Return the rotation functions by the ARN of their role, as ListFunctions has them."""
        expected: dict[str, Functions] = {}
        for region in self._sources.regions.values():
            listed = region.functions_by_role() if region.functions else None
            by_role = listed.value if isinstance(listed, Known) else {}
            roles = {function_arn: role_arn for role_arn, functions in by_role.items() for function_arn in functions}
            for function_id in region.functions:
                if role_arn := roles.get(arn.split_qualifier(function_id)[0]):
                    expected.setdefault(role_arn, {})[function_id] = region
        return expected

    def _functions_by_configuration(self) -> tuple[dict[str, Functions], Functions]:
        """Return the rotation functions by the ARN of their role, and those whose role is not known."""
        found: dict[str, Functions] = {}
        without_role: Functions = {}
        for region in self._sources.regions.values():
            for function_id in region.functions:
                details = region.details(function_id)
                if isinstance(details, Known):
                    found.setdefault(details.value.function.role.arn, {})[function_id] = region
                else:
                    without_role[function_id] = region
        return found, without_role

    def _start(self, functions_by_role: Mapping[str, Functions]) -> dict[str, Future[RoleResult]]:
        """Read roles, and start their audits. Returns the future results by the ARN of the role."""
        roles = read_roles(self._sources.iam, self._workers, {arn.role_name(each) for each in functions_by_role})
        return {
            role_arn: self._executor.submit(
                audit_one, self._sources, role_arn, roles[arn.role_name(role_arn)], functions, self._now
            )
            for role_arn, functions in functions_by_role.items()
        }
