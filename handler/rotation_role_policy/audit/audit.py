"""Run an audit: list, look up, judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime

from rotation_role_policy import arn
from rotation_role_policy.audit import inventory as inventories
from rotation_role_policy.audit.access import Problem, find_problems
from rotation_role_policy.audit.findings import Finding
from rotation_role_policy.audit.inventory import Inventory, ListedSecret, Selection
from rotation_role_policy.audit.judge import (
    judge_access,
    judge_function,
    judge_policies,
    judge_role,
    judge_secret,
    judge_superuser,
    not_inspected,
)
from rotation_role_policy.audit.lookups import Progress, Workers, describe, is_expired
from rotation_role_policy.audit.report import Report, Rotation, sort_findings
from rotation_role_policy.audit.roles import Roles, read_roles
from rotation_role_policy.audit.units import Unit, units_of
from rotation_role_policy.aws.bulk import BulkAws, StoppedError
from rotation_role_policy.errors import RequestError


def audit(
    regions: Sequence[BulkAws], account: str, selection: Selection, progress: Progress, now: datetime | None = None
) -> Report:
    """Audit the rotations of some regions. All calls read, and none reads the value of a secret.

    A call that AWS denies or fails becomes a finding. Ctrl-C and expired credentials end the audit: the report then has
    what is known so far.

    Args:
        regions: one for each region.
        account: ID of the account, for the report.
        selection: which secrets are audited.
        progress: is told about the progress.
        now: the time of the audit, by default the current time.
    """
    with closing(Workers(progress)) as workers:
        return _Audit(regions, workers, selection, now or datetime.now(UTC)).run(account)


class _Audit:
    def __init__(self, regions: Sequence[BulkAws], workers: Workers, selection: Selection, now: datetime) -> None:
        self._inventories = [inventories.begin(aws, workers) for aws in regions]
        self._workers = workers
        self._selection = selection
        self._now = now
        self._functions: dict[str, dict[str, Inventory]] = {}
        """By the ARN of their role: the rotation functions, by `RotationLambdaARN`."""
        self._roles: Roles | None = None
        self._units: dict[str, list[Unit]] = {}
        """By the name of their role."""
        self._problems: list[Problem] = []
        self._findings: list[Finding] = []

    def run(self, account: str) -> Report:
        """Look everything up, as far as the audit is not stopped, and return the report."""
        try:
            self._look_up()
        except KeyboardInterrupt:
            self._workers.stop("The audit was interrupted.")
        except StoppedError:
            pass
        self._judge()
        return Report(
            account,
            tuple(inventory.region for inventory in self._inventories),
            self._now,
            tuple(sorted(self._rotations(), key=lambda rotation: rotation.secret_arn)),
            sort_findings(list(dict.fromkeys(self._findings))),
            self._workers.reason,
        )

    # --- look up ---

    def _look_up(self) -> None:
        for inventory in self._inventories:
            self._list(inventory)
        self._workers.wait("secrets and functions")
        for inventory in self._inventories:
            for function_id, details in inventory.functions.values.items():
                self._functions.setdefault(details.function.role.arn, {})[function_id] = inventory
        if self._workers.stopped.is_set():
            return
        # IAM is the same in all regions.
        names = {arn.role_name(role_arn) for role_arn in self._functions}
        self._roles = read_roles(self._inventories[0].aws, self._workers, names)
        for role_arn, functions in self._functions.items():
            if role := self._roles.policies.get(arn.role_name(role_arn)):
                self._units[role.role.name] = units_of(role, functions)
        for unit in self._all_units():
            if unit.superuser_arn:
                unit.inventory.superusers.add(unit.superuser_arn)
        self._workers.wait("superuser secrets")
        pairs = [(unit, self._roles.policies[name]) for name, units in self._units.items() for unit in units]
        self._problems = find_problems(self._workers, pairs)

    def _list(self, inventory: Inventory) -> None:
        try:
            inventories.take(inventory, self._selection)
        except RequestError as error:
            if is_expired(error):
                self._workers.stop(f"The credentials have expired ({describe(error)}).")
            else:
                self._findings.append(not_inspected(f"The region {inventory.region}", error))

    def _all_units(self) -> Iterator[Unit]:
        return (unit for units in self._units.values() for unit in units)

    # --- judge ---

    def _judge(self) -> None:
        for inventory in self._inventories:
            self._judge_secrets_and_functions(inventory)
        self._judge_roles()
        for unit in self._all_units():
            self._findings += judge_superuser(unit)
        self._findings += map(judge_access, self._problems)
        if not self._selection.is_everything:
            selected = {secret_arn for inventory in self._inventories for secret_arn in inventory.selected}
            self._findings = [each for each in self._findings if not each.secret_arn or each.secret_arn in selected]

    def _judge_secrets_and_functions(self, inventory: Inventory) -> None:
        secrets = [inventory.secrets[secret_arn] for secret_arn in inventory.selected]
        for secret in secrets:
            self._findings += judge_secret(inventory, secret, self._now)
        for function_id in dict.fromkeys(secret.function_id for secret in secrets):
            self._findings += judge_function(inventory, function_id)
        if error := inventory.functions_of_roles.errors.get(inventory.region):
            self._findings.append(not_inspected(f"Which functions share a role in {inventory.region}", error))

    def _judge_roles(self) -> None:
        if self._roles is None:
            return
        for role_arn, functions in self._functions.items():
            self._findings += judge_role(role_arn, self._roles, functions)
        # What is too much follows from all that is needed.
        if not self._workers.stopped.is_set():
            regions = {inventory.region for inventory in self._inventories}
            for name, units in self._units.items():
                other_secrets = self._other_secrets(units)
                self._findings += judge_policies(self._roles.policies[name], units, other_secrets, regions)

    def _other_secrets(self, units: list[Unit]) -> Iterator[ListedSecret]:
        """Yield the secrets of other functions with the same role, which a narrow selection leaves out."""
        known = {unit.function_id for unit in units}
        for inventory in {id(unit.inventory): unit.inventory for unit in units}.values():
            listed = inventory.functions_of_roles.values.get(inventory.region, {})
            functions = set(listed.get(units[0].details.function.role.arn, ()))
            for function_id, secrets in inventory.secrets_of.items():
                if function_id not in known and arn.split_qualifier(function_id)[0] in functions:
                    yield from secrets

    def _rotations(self) -> Iterator[Rotation]:
        units = {secret.arn: unit for unit in self._all_units() for secret in unit.secrets}
        for inventory in self._inventories:
            for secret_arn in inventory.selected:
                secret = inventory.secrets[secret_arn]
                is_looked_up = secret_arn in inventory.states.values or secret_arn in inventory.states.errors
                # A report that was stopped says nothing about the others.
                if is_looked_up:
                    details = inventory.functions.values.get(secret.function_id)
                    unit = units.get(secret_arn)
                    yield Rotation(
                        secret.arn,
                        secret.name,
                        secret.function_id,
                        details.function.role.arn if details else "",
                        unit.state((secret_arn,)) if unit else None,
                        unit.policy_name if unit else "",
                        unit.unknowns if unit else (),
                        secret.last_rotated,
                        secret.next_rotation,
                    )
