"""Run an audit: list, look up, judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime

from rotation_role_policy import arn
from rotation_role_policy.audit import inventory as inventories
from rotation_role_policy.audit.access import AccessCheck, Problem
from rotation_role_policy.audit.bulk import BulkAws, StoppedError
from rotation_role_policy.audit.findings import Finding
from rotation_role_policy.audit.inventory import Inventory, ListedSecret, Selection
from rotation_role_policy.audit.judge import judge_function, judge_secret, judge_superuser, not_inspected
from rotation_role_policy.audit.judge_roles import judge_access, judge_policies, judge_role
from rotation_role_policy.audit.lookups import Progress, Workers, describe, is_expired
from rotation_role_policy.audit.report import Report, Rotation, sort_findings
from rotation_role_policy.audit.roles import Roles, read_roles
from rotation_role_policy.audit.units import Unit, units_of
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
        self._access = AccessCheck(workers)
        self._problems: list[Problem] = []
        self._findings: list[Finding] = []

    def run(self, account: str) -> Report:
        """Look everything up, as far as the audit is not stopped, and return the report."""
        try:
            self._look_up()
        except (KeyboardInterrupt, StoppedError):
            # Without effect if expired credentials have stopped the audit.
            self._workers.stop("The audit was interrupted.")
        self._problems = self._access.finish()
        self._judge()
        rotations = sorted(self._rotations(), key=lambda rotation: rotation.secret_arn)
        stopped = self._workers.reason
        if stopped:
            selected = sum(len(inventory.selected) for inventory in self._inventories)
            stopped += f" {len(rotations):,} of {selected:,} listed secrets were looked up."
        return Report(
            account,
            tuple(inventory.region for inventory in self._inventories),
            self._now,
            tuple(rotations),
            sort_findings(list(dict.fromkeys(self._findings))),
            stopped,
        )

    # --- look up ---

    def _look_up(self) -> None:
        for inventory in self._inventories:
            self._list(inventory)
        expected = self._roles_by_listing()
        # IAM is the same in all regions.
        iam = self._inventories[0].aws
        self._roles = read_roles(iam, self._workers, {arn.role_name(role_arn) for role_arn in expected})
        for role_arn, functions in expected.items():
            self._judge_access_of(role_arn, functions)
        self._look_up_other_roles()
        self._access.wait()
        for inventory in self._inventories:
            # Those of functions that do not exist, which no role waits for.
            inventory.states.wait()
            inventory.invoke_policies.wait()

    def _roles_by_listing(self) -> dict[str, dict[str, Inventory]]:
        """Return the rotation functions by the ARN of their role, as ListFunctions has them.

        The role of a version can be another one, and the caller may not be allowed to list functions.
        """
        expected: dict[str, dict[str, Inventory]] = {}
        for inventory in self._inventories:
            inventory.functions_of_roles.wait()
            listed = inventory.functions_of_roles.values.get(inventory.region, {})
            roles = {function_arn: role_arn for role_arn, functions in listed.items() for function_arn in functions}
            for function_id in inventory.selected_functions:
                if role_arn := roles.get(arn.split_qualifier(function_id)[0]):
                    expected.setdefault(role_arn, {})[function_id] = inventory
        return expected

    def _judge_access_of(self, role_arn: str, functions: Mapping[str, Inventory]) -> None:
        """Wait for the look-ups of the functions of a role, and begin the access check."""
        for function_id, inventory in functions.items():
            inventory.functions.wait([function_id])
            inventory.states.wait(secret.arn for secret in inventory.secrets_of[function_id])
            details = inventory.functions.values.get(function_id)
            if details and details.function.role.arn == role_arn:
                self._functions.setdefault(role_arn, {})[function_id] = inventory
        role = self._roles and self._roles.get(role_arn)
        if role and role_arn in self._functions and not self._workers.stopped.is_set():
            units = units_of(role, self._functions[role_arn])
            for unit in units:
                if unit.superuser_arn:
                    unit.inventory.superusers.add(unit.superuser_arn)
                    unit.inventory.superusers.wait([unit.superuser_arn])
            self._units[role.role.name] = units
            self._access.add(units, role)

    def _look_up_other_roles(self) -> None:
        """Check the roles of functions that ListFunctions did not show with this role."""
        others: dict[str, dict[str, Inventory]] = {}
        for inventory in self._inventories:
            inventory.functions.wait()
            for function_id, details in inventory.functions.values.items():
                role_arn = details.function.role.arn
                if function_id not in self._functions.get(role_arn, {}):
                    others.setdefault(role_arn, {})[function_id] = inventory
        if not others or self._roles is None:
            return
        names = {arn.role_name(role_arn) for role_arn in others}
        read = read_roles(self._inventories[0].aws, self._workers, names)
        self._roles = Roles({**self._roles.policies, **read.policies}, {**self._roles.errors, **read.errors})
        for role_arn, functions in others.items():
            # Together with those that were known before, because the role needs what all of them need.
            self._judge_access_of(role_arn, {**self._functions.get(role_arn, {}), **functions})

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
        role_arn = units[0].details.function.role.arn
        known = {unit.function_id for unit in units}
        for inventory in self._inventories:
            listed = inventory.functions_of_roles.values.get(inventory.region, {})
            for function_arn in listed.get(role_arn, ()):
                for function_id in inventory.ids_of_function.get(function_arn, ()):
                    if function_id not in known:
                        yield from inventory.secrets_of[function_id]

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
