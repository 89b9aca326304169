"""Audit one account or several, side by side, and return one report."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Lock
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.audit import lookups
from rotation_role_policy.audit.audit import audit
from rotation_role_policy.audit.bulk import StoppedError
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Finding, Subject
from rotation_role_policy.audit.listing import Selection
from rotation_role_policy.audit.lookups import Progress, Workers
from rotation_role_policy.audit.messages import failures
from rotation_role_policy.audit.report import AuditedAccount, Report, merge
from rotation_role_policy.aws.client import Aws
from rotation_role_policy_cli.audit import regions
from rotation_role_policy_cli.caller_aws import TemporaryCredentials, assume_role, caller_bulk_aws
from rotation_role_policy_cli.messages import EXPECTED_ERRORS, message

_ACCOUNTS_PER_PROCESSOR = 4
"""Accounts that are audited at the same time. Each mostly waits for its quotas (`make audit-load`)."""


class Request(NamedTuple):
    """What is audited, and with which credentials."""

    profile: str | None = None
    """Of the AWS CLI; None for the environment's."""
    regions: Sequence[str] = ()
    """Their names; empty for the environment's region."""
    all_regions: bool = False
    role_arns: Sequence[str] = ()
    """The roles to assume, one for each account; empty for the user's own credentials."""
    organization_role: str = ""
    """The name of the role to assume in each account of the organization; empty for none."""
    selection: Selection = Selection()


class _Target(NamedTuple):
    """An account to audit."""

    account: str
    role_arn: str
    """The role to assume; empty for the user's own credentials."""


class Audits:
    """The audits of all accounts of a request.

    Args:
        request: what is audited.
        progress: as for `Workers`, of all accounts together.
    """

    def __init__(self, request: Request, progress: Progress = lambda *_: None) -> None:
        self._request = request
        self._progress = progress
        self._lock = Lock()
        self._workers: dict[Workers, tuple[int, int]] = {}
        """With how many of its look-ups are done, and how many there are."""
        self._stopped = ""
        self.has_begun = False
        """Whether AWS has answered, so that there is something to report."""

    def run(self) -> Report:
        """Audit the accounts. If there are several, one that fails becomes a finding.

        Raises one of `messages.EXPECTED_ERRORS`.
        """
        if not self._request.role_arns and not self._request.organization_role:
            return self._audit(_Target("", ""))
        targets = list(self._targets())
        at_once = _ACCOUNTS_PER_PROCESSOR * (os.cpu_count() or 1)
        with ThreadPoolExecutor(min(at_once, len(targets))) as executor:
            return merge(executor.map(self._audit_or_fail, targets))

    def stop(self, reason: str) -> None:
        """End the audits. `run` then returns what is known so far."""
        with self._lock:
            self._stopped = reason
            running = list(self._workers)
        for workers in running:
            workers.stop(reason)

    def _targets(self) -> Iterator[_Target]:
        """Yield the accounts. The user's own account of an organization needs no role."""
        for role_arn in self._request.role_arns:
            yield _Target(arn.account(role_arn), role_arn)
        if not self._request.organization_role:
            return
        aws = self._first_aws(Workers())
        caller = aws.caller
        for page in aws.paginate(aws.session.client("organizations").list_accounts):
            for account in page["Accounts"]:
                # `State` replaces `Status`.
                if account.get("State", account.get("Status")) == "ACTIVE":
                    role = f"arn:{caller.partition}:iam::{account['Id']}:role/{self._request.organization_role}"
                    yield _Target(account["Id"], "" if account["Id"] == caller.account else role)

    def _audit_or_fail(self, target: _Target) -> Report:
        """Return the report on an account, or one that says why there is none."""
        time = datetime.now(UTC)
        try:
            return self._audit(target)
        except StoppedError:
            return Report((AuditedAccount(target.account, "", (), time, self._stopped),), (), ())
        except EXPECTED_ERRORS as error:
            reason = message(error)
        except lookups.CONTAINED_ERRORS as error:
            problem = lookups.internal_error(target.account, error)
            reason = f"{failures.problem(problem)}."
        words = failures.account_failed(target.account, target.role_arn, reason)
        resource = target.role_arn or target.account
        failed = Finding(FindingType.ACCOUNT_FAILED, Subject(), resource, words, account=target.account)
        account = AuditedAccount(target.account, "", tuple(self._request.regions), time, self._stopped)
        return Report((account,), (), (failed,))

    def _audit(self, target: _Target) -> Report:
        with Workers(lambda what, done, total: self._advance(workers, what, done, total)) as workers:
            self._add(workers)
            credentials = assume_role(self._first_aws(workers), target.role_arn) if target.role_arn else None
            clients = self._clients(workers, credentials)
            caller_arn = ":".join(("arn", *clients[0].caller))
            self.has_begun = True
            return audit(clients, caller_arn, self._request.selection, workers)

    def _clients(self, workers: Workers, credentials: TemporaryCredentials | None) -> list[Aws]:
        """Return the `Aws` of each region of an account."""
        names: Sequence[str | None] = list(dict.fromkeys(self._request.regions)) or [None]
        if self._request.all_regions:
            names = regions.enabled(self._first_aws(workers, credentials))
        return [caller_bulk_aws(self._request.profile, name, workers.stopped, credentials) for name in names]

    def _first_aws(self, workers: Workers, credentials: TemporaryCredentials | None = None) -> Aws:
        """Return the `Aws` of a region for calls that do not depend on the region."""
        profile, named = self._request.profile, next(iter(self._request.regions), None)
        aws = caller_bulk_aws(profile, named, workers.stopped, credentials)
        if self._request.all_regions and not aws.session.boto3.region_name:
            aws = caller_bulk_aws(profile, regions.DEFAULT, workers.stopped, credentials)
        return aws

    def _add(self, workers: Workers) -> None:
        with self._lock:
            self._workers[workers] = (0, 0)
            stopped = self._stopped
        if stopped:
            workers.stop(stopped)

    def _advance(self, workers: Workers, what: str, done: int, total: int) -> None:
        with self._lock:
            self._workers[workers] = (done, total)
            numbers = list(self._workers.values())
        self._progress(what, sum(each for each, _ in numbers), sum(each for _, each in numbers))
