"""What the rotations of a role need: the secrets that one policy covers, and what its policies show about the rest.

No API reports the superuser secret and the targets of a rotation function. The policy that a
`Custom::RotationRolePolicy` has put on the role has them all; other policies show them as grants on whole ARNs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.audit.facts import FunctionDetails, FunctionFacts, Known, RoleFacts, SecretFacts, Unknown
from rotation_role_policy.iam.document import JsonDocument, Policy, PolicyKind
from rotation_role_policy.iam.wildcard import has_wildcard, matches_any
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.own_policies import other_policies, own_policies
from rotation_role_policy.rules.plan import document_at
from rotation_role_policy.rules.policy import summarize
from rotation_role_policy.rules.state import Secret, State
from rotation_role_policy.rules.targets import ANY_TARGET, target_type

# --- what the policies show -------------------------------------------------------------------------------------------


class InferredNeeds(NamedTuple):
    """What the policies of a role show about a rotation."""

    superuser_arns: tuple[str, ...] = ()
    """The candidates for the superuser secret. More than one leaves it unknown."""
    target_arns: tuple[str, ...] = ()
    describes_superuser: bool = False
    """Whether the function may describe the superuser secret."""
    wildcard: str = ""
    """A pattern by which the role may read other secrets too, so that the superuser secret can be any of them."""


def infer_needs(policies: Iterable[Policy], rotated_arns: Collection[str]) -> InferredNeeds:
    """Return what policies show about the superuser secret and the targets.

    Args:
        policies: the provider's policy alone, or all policies of the role.
        rotated_arns: the secrets that the functions of the role rotate.
    """
    readable: dict[str, None] = {}
    described: set[str] = set()
    writable: set[str] = set()
    targets: dict[str, None] = {}
    wildcard = ""
    for actions, resource in (grant for each in policies for grant in _grants(each)):
        secret = arn.ANY_RANDOM_SUFFIX.sub("", resource)
        if arn.service(resource) == "secretsmanager" and arn.SECRET.fullmatch(secret):
            if _has(actions, "secretsmanager:PutSecretValue"):
                writable.add(secret)
            if _has(actions, "secretsmanager:DescribeSecret"):
                described.add(secret)
            if _has(actions, "secretsmanager:GetSecretValue"):
                readable[secret] = None
        elif _is_pattern_of_secrets(resource) and _has(actions, "secretsmanager:GetSecretValue"):
            wildcard = wildcard or resource
        elif ANY_TARGET.fullmatch(resource) and any(_has(actions, action) for action in target_type(resource).actions):
            targets[resource] = None
    # A pattern without the random characters is the same secret as its whole ARN.
    rotated = {*rotated_arns, *(secret.rpartition("-")[0] for secret in rotated_arns)}
    superusers = tuple(secret for secret in readable if secret not in writable and secret not in rotated)
    return InferredNeeds(superusers, tuple(targets), any(secret in described for secret in superusers), wildcard)


def _grants(granting: Policy) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the actions and each resource of the statements that allow."""
    for statement in granting.statements:
        if statement.allows and not statement.actions.is_negated and not statement.resources.is_negated:
            for resource in statement.resources.patterns:
                yield statement.actions.patterns, resource


def _is_pattern_of_secrets(resource: str) -> bool:
    return resource == "*" or (arn.service(resource) == "secretsmanager" and has_wildcard(resource))


def _has(patterns: Collection[str], action: str) -> bool:
    return matches_any(patterns, action, ignore_case=True)


# --- what one policy covers -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Coverage:
    """The rotations of one function that one policy covers, or would cover."""

    function: FunctionFacts
    details: FunctionDetails
    secrets: tuple[SecretFacts, ...]
    policy_name: str
    """The policy of a `Custom::RotationRolePolicy` that covers the secrets; empty if there is none."""
    inferred: InferredNeeds

    @property
    def superuser_arn(self) -> str:
        """The ARN of the superuser secret, as the policy has it; empty if there is none, or if it is not known."""
        return self.inferred.superuser_arns[0] if len(self.inferred.superuser_arns) == 1 else ""

    def state(self, facts: RoleFacts, secret_arns: Collection[str] = ()) -> State | None:
        """Return what the policy for these secrets depends on; None if none of them could be inspected.

        Args:
            facts: of the role.
            secret_arns: the secrets, by default all. Secrets that could not be inspected are left out.
        """
        inspected = tuple(
            secret.state.value
            for secret in self.secrets
            if isinstance(secret.state, Known) and (not secret_arns or secret.arn in secret_arns)
        )
        if not inspected:
            return None
        function = self.details.function
        found = facts.superusers.get(self.superuser_arn)
        superuser = found.value if isinstance(found, Known) else None
        return State(
            secrets=inspected,
            superuser_secret=superuser,
            role=function.role,
            function_arn=function.arn,
            in_vpc=function.in_vpc,
            dns_suffix=self.function.dns_suffix,
            environment_key=self.details.environment_key,
            target_arns=(*self.inferred.target_arns, *self._redshift_target(superuser, inspected[0].arn)),
            function_qualifier=arn.split_qualifier(self.function.function_id)[1] or "",
            function_modified=function.last_modified,
        )

    def _redshift_target(self, superuser: Secret | None, secret_arn: str) -> tuple[str, ...]:
        """Return a target that explains why the policy allows to describe a superuser secret that nobody manages.

        A Redshift target has no grant of its own (`targets`), so the policy does not contain its ARN.
        """
        if not self.policy_name or not self.inferred.describes_superuser or superuser is None or superuser.managed_by:
            return ()
        place = arn.parse(secret_arn)
        return (f"arn:{place.partition}:redshift:{place.region}:{place.account}:cluster:unknown",)


def coverages(facts: RoleFacts) -> list[Coverage]:
    """Return the rotations of a role, by function and by policy; empty if the role could not be read."""
    if not isinstance(facts.role, Known) or facts.role.value is None:
        return []
    role = facts.role.value
    own = own_policies(role.inline)
    covered = {secret_arn: name for name, document in own.items() for secret_arn in summarize(document).secret_arns}
    rotated = {secret.arn for function in facts.functions for secret in function.secrets}
    by_name = {each.name.name: each for each in role.policies if each.name.kind is PolicyKind.INLINE}
    inferred = {name: infer_needs([by_name[name]], rotated) for name in own}
    # Only needed for secrets that no policy of the provider covers.
    inferred[""] = infer_needs(other_policies(role), rotated)
    found = []
    for function in facts.functions:
        by_policy: dict[str, list[SecretFacts]] = {}
        for secret in function.secrets:
            by_policy.setdefault(covered.get(secret.arn, ""), []).append(secret)
        if isinstance(function.details, Known):
            found += [
                Coverage(function, function.details.value, tuple(secrets), name, inferred[name])
                for name, secrets in by_policy.items()
            ]
    return found


def rotating(covered: Iterable[Coverage]) -> list[Coverage]:
    """Return the coverages with only those secrets whose rotation is turned on. What nobody rotates needs no access."""
    return [
        replace(coverage, secrets=secrets)
        for coverage in covered
        if (secrets := tuple(secret for secret in coverage.secrets if secret.listed.is_enabled))
    ]


def is_gone(superuser: Known[Secret | None] | Unknown | None) -> bool:
    """Return whether a superuser secret does not exist or is scheduled for deletion."""
    return isinstance(superuser, Known) and superuser.value is None


def expected_document(
    name: str, current: JsonDocument, facts: RoleFacts, covered: Iterable[Coverage], now: datetime
) -> JsonDocument | None:
    """Return what the provider would write at the time `now` in place of one of its policies; None if not known."""
    own = [coverage for coverage in covered if coverage.policy_name == name]
    states = [state for coverage in own if (state := coverage.state(facts))]
    if not states or len(states) < len(own):
        return None
    # Without its superuser secret, the provider would refuse the request.
    if any(coverage.superuser_arn and not _is_usable(facts, coverage.superuser_arn) for coverage in own):
        return None
    secrets = {secret.arn: secret for state in states for secret in state.secrets}
    # The order of the secrets is that of the template, which the current policy shows.
    in_order = summarize(current).secret_arns
    if not secrets.keys() >= set(in_order):
        # A secret of the policy was deleted, or it has no rotation yet.
        return None
    state = replace(states[0], secrets=tuple(secrets[secret_arn] for secret_arn in in_order))
    return document_at(policy.form_of(current), None, state, current, now)


def _is_usable(facts: RoleFacts, superuser_arn: str) -> bool:
    found = facts.superusers.get(superuser_arn)
    return isinstance(found, Known) and found.value is not None
