"""Policies of resources on roles that the rotation functions of their secrets do not have.

Whoever may change the rotation of a secret can let it report another function. The policy of the secret is then still
on the role of the former function, which may rotate nothing any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

from rotation_role_policy import arn
from rotation_role_policy.audit.facts import Known
from rotation_role_policy.audit.lookups import Lookups, Workers
from rotation_role_policy.audit.ownership import ElsewherePolicy, Owner
from rotation_role_policy.audit.stacks import Stacks, owners
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.rules.own_policies import own_policies
from rotation_role_policy.rules.policy import summarize

_PAGE_SIZE = 1000


class _Found(NamedTuple):
    role_arn: str
    policy_name: str
    document: JsonDocument


class Elsewhere:
    """The policies of all roles of the account that look like those of resources.

    Args:
        aws: makes the calls, in several threads.
        workers: of the audit.
    """

    def __init__(self, aws: Aws, workers: Workers) -> None:
        self._read: Lookups[str, Mapping[str, tuple[_Found, ...]]] = Lookups(
            workers, "policies of all roles", 1, partial(_read, aws)
        )

    def covering(
        self, stacks: Collection[Stacks], role_arn: str, secret_arns: Iterable[str]
    ) -> dict[str, ElsewherePolicy]:
        """Return the policy of a resource that covers a secret, by its ARN. Empty if the roles cannot be read.

        Args:
            stacks: of the regions that are audited.
            role_arn: of the role that the function of the secrets has.
            secret_arns: the secrets, which no policy of a resource on this role covers.
        """
        found: dict[str, ElsewherePolicy] = {}
        for secret_arn in secret_arns:
            read = self._read.get("Role")
            for each in read.value.get(secret_arn, ()) if isinstance(read, Known) else ():
                if each.role_arn != role_arn:
                    role_name = arn.role_name(each.role_arn)
                    owner = owners(stacks, role_name, {each.policy_name: each.document}).get(each.policy_name)
                    if isinstance(owner, Owner):
                        found[secret_arn] = ElsewherePolicy(each.role_arn, each.policy_name, owner)
        return found


def _read(aws: Aws, kind: str) -> Mapping[str, tuple[_Found, ...]]:
    """Return the policies by the secrets that they cover. The documents of all others are dropped."""
    parameters: dict[str, Any] = {"Filter": [kind], "MaxItems": _PAGE_SIZE}
    found: dict[str, list[_Found]] = {}
    for page in aws.paginate(aws.iam.get_account_authorization_details, **parameters):
        for detail in page.get("RoleDetailList", ()):
            inline = {each["PolicyName"]: each["PolicyDocument"] for each in detail.get("RolePolicyList", ())}
            for name, document in own_policies(cast(dict[str, JsonDocument], inline)).items():
                for secret_arn in summarize(document).secret_arns:
                    found.setdefault(secret_arn, []).append(_Found(detail["Arn"], name, document))
    return {secret_arn: tuple(policies) for secret_arn, policies in found.items()}
