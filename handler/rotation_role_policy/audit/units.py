"""The rotations of one role as units: the secrets that one `Custom::RotationRolePolicy` covers, or would cover.

A unit has one state, from which `policy` builds the grants that its rotations need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rotation_role_policy import arn
from rotation_role_policy.audit.declared import Declared, declared_by, own_policies
from rotation_role_policy.audit.inventory import FunctionDetails, Inventory, ListedSecret
from rotation_role_policy.audit.roles import RolePolicies
from rotation_role_policy.iam.wildcard import as_list
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.policy import Document, summarize
from rotation_role_policy.rules.state import Secret, State


@dataclass(frozen=True)
class Unit:
    """Secrets that one function rotates, with what is known about the function's needs."""

    inventory: Inventory
    details: FunctionDetails
    function_id: str
    """`RotationLambdaARN` of the secrets."""
    secrets: tuple[ListedSecret, ...]
    policy_name: str
    """The policy of a `Custom::RotationRolePolicy` that covers the secrets; empty if there is none."""
    declared: Declared

    @property
    def superuser_arn(self) -> str:
        """The ARN of the superuser secret, as the policy has it; empty if there is none, or if it is not known."""
        return self.declared.superuser_arns[0] if len(self.declared.superuser_arns) == 1 else ""

    @property
    def unknowns(self) -> tuple[str, ...]:
        """What the audit assumes and only a person can know, as sentences."""
        if self.policy_name:
            return ()
        candidates, wildcard = self.declared.superuser_arns, self.declared.wildcard
        if len(candidates) > 1:
            return (
                f"The role may read several other secrets, and one of them can be the superuser secret of the function:"
                f" {', '.join(candidates)}.",
            )
        if candidates:
            return (f"The role may read {candidates[0]}, which is taken for the superuser secret of the function.",)
        if wildcard:
            return (
                f"The role may read other secrets by {wildcard}, so its policies do not show whether the function reads"
                " a superuser secret.",
            )
        return ("The role may read no other secret, so no superuser secret is assumed.",)

    def state(self, secret_arns: tuple[str, ...] = ()) -> State | None:
        """Return what the policy for these secrets depends on; None if none of them could be inspected.

        By default these are all secrets of the unit. Secrets that could not be inspected are left out.
        """
        wanted = secret_arns or tuple(secret.arn for secret in self.secrets)
        states = self.inventory.states.values
        inspected = tuple(states[secret_arn] for secret_arn in wanted if secret_arn in states)
        if not inspected:
            return None
        function = self.details.function
        superuser = self.inventory.superusers.values.get(self.superuser_arn)
        return State(
            secrets=inspected,
            superuser_secret=superuser,
            role=function.role,
            function_arn=function.arn,
            in_vpc=function.in_vpc,
            dns_suffix=self.inventory.dns_suffix,
            target_arns=(*self.declared.target_arns, *self._redshift_target(superuser, inspected[0].arn)),
        )

    def _redshift_target(self, superuser: Secret | None, secret_arn: str) -> tuple[str, ...]:
        """Return a target that explains why the policy allows to describe a superuser secret that nobody manages.

        A Redshift target has no grant of its own (`targets`), so the policy does not contain its ARN.
        """
        if not self.policy_name or not self.declared.describes_superuser or superuser is None or superuser.managed_by:
            return ()
        place = arn.parse(secret_arn)
        return (f"arn:{place.partition}:redshift:{place.region}:{place.account}:cluster:unknown",)


def units_of(role: RolePolicies, functions: Mapping[str, Inventory]) -> list[Unit]:
    """Return the units of a role.

    Args:
        role: the role.
        functions: the functions that have the role, by `RotationLambdaARN`, with the inventory that they belong to.
    """
    own = own_policies(role.inline)
    covered = {secret_arn: name for name, document in own.items() for secret_arn in summarize(document).secret_arns}
    rotated = {
        secret.arn
        for function_id, inventory in functions.items()
        for secret in inventory.secrets_of.get(function_id, ())
    }
    declared = {name: declared_by([document], rotated) for name, document in own.items()}
    # Only needed for secrets that no policy of the provider covers.
    declared[""] = declared_by(role.documents(without=own).values(), rotated)
    units = []
    for function_id, inventory in functions.items():
        by_policy: dict[str, list[ListedSecret]] = {}
        for secret in inventory.secrets_of.get(function_id, ()):
            by_policy.setdefault(covered.get(secret.arn, ""), []).append(secret)
        details = inventory.functions.values[function_id]
        units += [
            Unit(inventory, details, function_id, tuple(secrets), name, declared[name])
            for name, secrets in by_policy.items()
        ]
    return units


def expected_document(name: str, current: Document, units: list[Unit]) -> Document | None:
    """Return what the provider would write today in place of one of its policies; None if that is not known.

    A document with `Sid` has the profile `Strict`.
    """
    own_units = [unit for unit in units if unit.policy_name == name]
    states = [state for unit in own_units if (state := unit.state())]
    if not states or len(states) < len(own_units):
        return None
    # Without its superuser secret, the provider would refuse the request.
    if any(unit.superuser_arn and unit.superuser_arn not in unit.inventory.superusers.values for unit in own_units):
        return None
    secrets = {secret.arn: secret for state in states for secret in state.secrets}
    # The order of the secrets is that of the template, which the current policy shows.
    in_order = summarize(current).secret_arns
    if not secrets.keys() >= set(in_order):
        # A secret of the policy was deleted, or it has no rotation yet.
        return None
    state = replace(states[0], secrets=tuple(secrets[secret_arn] for secret_arn in in_order))
    profile = "Strict" if any("Sid" in statement for statement in as_list(current["Statement"])) else "Documented"
    return policy.document(state, profile)
