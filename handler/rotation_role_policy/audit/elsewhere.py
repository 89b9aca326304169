"""Policies of resources on roles that the rotation functions of their secrets do not have.

Whoever may change the rotation of a secret can let it report another function. The policy of the secret is then still
on the role of the former function, which may rotate nothing any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.audit.facts import Known, Problem
from rotation_role_policy.audit.lookups import Lookups, Workers
from rotation_role_policy.audit.ownership import ElsewherePolicy, Owner
from rotation_role_policy.audit.stacks import Stacks, owners
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.iam.document import JsonDocument, Policy, PolicyKind, PolicyName
from rotation_role_policy.iam.resource_patterns import includes
from rotation_role_policy.iam.wildcard import has_wildcard
from rotation_role_policy.rules.identity import logical_id_in

_PAGE_SIZE = 1000
_WRITE = "secretsmanager:PutSecretValue"


class _Found(NamedTuple):
    role_arn: str
    policy_name: str
    document: JsonDocument


@dataclass(frozen=True)
class _Index:
    """The policies that have the name of a resource's policy, by the secrets that they allow to write."""

    named: dict[str, list[_Found]]
    """By the ARN of the secret."""
    by_pattern: list[tuple[str, _Found]]

    def of(self, secret_arn: str) -> Iterator[_Found]:
        """Yield those for a secret."""
        yield from self.named.get(secret_arn, ())
        yield from (found for pattern, found in self.by_pattern if includes(pattern, secret_arn))


class Elsewhere:
    """The policies of all roles of the account that have the name of a resource's policy.

    Args:
        aws: makes the calls, in several threads.
        workers: of the audit.
    """

    def __init__(self, aws: Aws, workers: Workers) -> None:
        self._read: Lookups[str, _Index] = Lookups(workers, "policies of all roles", 1, partial(_read, aws))

    @property
    def is_known(self) -> bool:
        """Whether the roles could be read."""
        return isinstance(self._read.get("Role"), Known)

    def failures(self) -> list[Problem]:
        """Return why the roles could not be read."""
        return self._read.failures()

    def covering(
        self, stacks: Collection[Stacks], role_arn: str, secret_arns: Iterable[str]
    ) -> dict[str, ElsewherePolicy]:
        """Return the policy of a resource that covers a secret, by its ARN. Empty if the roles cannot be read.

        What the policy contains proves nothing, because somebody can have edited it. Its name does.

        Args:
            stacks: of the regions that are audited.
            role_arn: of the role that the function of the secrets has.
            secret_arns: the secrets.
        """
        by_region = {each.region: each for each in stacks}
        found: dict[str, ElsewherePolicy] = {}
        for secret_arn in secret_arns:
            read = self._read.get("Role")
            for each in read.value.of(secret_arn) if isinstance(read, Known) else ():
                if each.role_arn != role_arn:
                    role_name = arn.role_name(each.role_arn)
                    owner = owners(stacks, role_name, {each.policy_name: each.document}).get(each.policy_name)
                    if isinstance(owner, Owner):
                        properties = by_region[arn.region(owner.stack_id)].properties(owner)
                        owner = replace(owner, properties=properties)
                    if owner:
                        found[secret_arn] = ElsewherePolicy(each.role_arn, each.policy_name, owner)
        return found


def _read(aws: Aws, kind: str) -> _Index:
    parameters: dict[str, Any] = {"Filter": [kind], "MaxItems": _PAGE_SIZE}
    index = _Index({}, [])
    for page in aws.paginate(aws.iam.get_account_authorization_details, **parameters):
        for detail in page.get("RoleDetailList", ()):
            for policy in detail.get("RolePolicyList", ()):
                # The documents of all others are dropped.
                if logical_id_in(policy["PolicyName"]):
                    document: Any = policy["PolicyDocument"]
                    _add(index, _Found(detail["Arn"], policy["PolicyName"], document))
    return index


def _add(index: _Index, found: _Found) -> None:
    try:
        statements = Policy(PolicyName(PolicyKind.INLINE, found.policy_name), found.document).statements
    except ValueError:
        return
    for statement in statements:
        if statement.allows and statement.includes_action(_WRITE) and not statement.resources.is_negated:
            for resource in statement.resources.patterns:
                if has_wildcard(resource):
                    index.by_pattern.append((resource, found))
                else:
                    index.named.setdefault(resource, []).append(found)
