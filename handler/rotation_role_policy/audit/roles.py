"""The policies of roles: in bulk where that takes fewer calls and the caller may, else role by role."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

from rotation_role_policy.audit.facts import FailedCall, Known, Unknown
from rotation_role_policy.audit.lookups import Lookups, Workers
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.lookup.roles import attached_policies, inline_policies, managed_policy
from rotation_role_policy.rules.state import Role, RolePolicies

_BULK_FROM = 8
"""Roles or managed policies. A role takes at least four calls, a managed policy two."""
_PAGE_SIZE = 1000
_THREADS = 8
_OWNER_TAGS = ("aws:cloudformation:stack-name", "aws:cdk:path", "serverlessrepo:applicationId")
"""Tags of a role that say which template or application it belongs to."""


@dataclass(frozen=True)
class _Description:
    """A role before its managed policies are read."""

    role: Role
    trust_policy: JsonDocument
    inline: dict[str, JsonDocument]
    managed: tuple[str, ...]
    """ARNs."""
    boundary: str
    """ARN; empty if there is none."""
    unique_id: str | None
    created: datetime | None
    owner_tags: dict[str, str]

    @property
    def policy_arns(self) -> tuple[str, ...]:
        """The ARNs of the managed policies and of the boundary."""
        return tuple(filter(None, (*self.managed, self.boundary)))


RoleFact = Known[RolePolicies | None] | Unknown
"""A role with its policies; None if the role does not exist."""


def read_roles(aws: Aws, workers: Workers, names: Collection[str]) -> dict[str, RoleFact]:
    """Return the roles with these names, and their policies, by name."""
    described = _describe_roles(aws, workers, names)
    needed = {
        policy_arn
        for each in described.values()
        if isinstance(each, Known) and each.value
        for policy_arn in each.value.policy_arns
    }
    documents = _managed_policies(aws, workers, needed)
    return {name: _with_policies(described.get(name, Known(None)), documents) for name in names}


def _with_policies(
    described: Known[_Description | None] | Unknown, documents: dict[str, Known[JsonDocument] | Unknown]
) -> RoleFact:
    if isinstance(described, Unknown):
        return described
    role = described.value
    if role is None:
        return Known(None)
    read: dict[str, JsonDocument] = {}
    for policy_arn in role.policy_arns:
        document = documents[policy_arn]
        if isinstance(document, Unknown):
            return document
        read[policy_arn] = document.value
    managed = {policy_arn: read[policy_arn] for policy_arn in role.managed}
    return Known(
        RolePolicies(
            role.role,
            role.trust_policy,
            role.inline,
            managed,
            role.boundary,
            read.get(role.boundary),
            role.unique_id,
            role.created,
            role.owner_tags,
        )
    )


def _describe_roles(
    aws: Aws, workers: Workers, names: Collection[str]
) -> dict[str, Known[_Description | None] | Unknown]:
    if len(names) >= _BULK_FROM and (read := _bulk(aws, workers, "Role", names)) is not None:
        return {name: Known(description) for name, description in read.items()}
    roles: Lookups[str, _Description | None] = Lookups(workers, "roles", _THREADS, partial(_describe_role, aws))
    for name in sorted(names):
        roles.start(name)
    return {name: _missing_as_none(roles.get(name)) for name in names}


def _from_bulk(detail: Any) -> _Description | None:
    inline = {policy["PolicyName"]: policy["PolicyDocument"] for policy in detail.get("RolePolicyList", ())}
    managed = tuple(policy["PolicyArn"] for policy in detail.get("AttachedManagedPolicies", ()))
    return _description(detail, inline, managed)


def _describe_role(aws: Aws, name: str) -> _Description | None:
    detail = aws.call(aws.iam.get_role, RoleName=name)["Role"]
    return _description(detail, inline_policies(aws, name), tuple(attached_policies(aws, name)))


def _description(detail: Any, inline: dict[str, JsonDocument], managed: tuple[str, ...]) -> _Description:
    boundary = str(detail.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""))
    role = Role(detail["RoleName"], detail["Arn"])
    created = detail.get("CreateDate")
    return _Description(
        role,
        detail["AssumeRolePolicyDocument"],
        inline,
        managed,
        boundary,
        detail.get("RoleId"),
        created and created.astimezone(UTC),
        {tag["Key"]: tag["Value"] for tag in detail.get("Tags", ()) if tag["Key"] in _OWNER_TAGS},
    )


def _missing_as_none(found: Known[_Description | None] | Unknown) -> Known[_Description | None] | Unknown:
    match found:
        case Unknown(FailedCall(code="NoSuchEntity")):
            return Known(None)
    return found


def _managed_policies(aws: Aws, workers: Workers, arns: Collection[str]) -> dict[str, Known[JsonDocument] | Unknown]:
    documents: dict[str, Known[JsonDocument] | Unknown] = {}
    # The ARNs of AWS's own policies have no account. The bulk read of those would return more than a thousand.
    local = [policy_arn for policy_arn in arns if ":iam::aws:" not in policy_arn]
    if len(local) >= _BULK_FROM:
        read = _bulk(aws, workers, "LocalManagedPolicy", arns) or {}
        documents = {policy_arn: Known(document) for policy_arn, document in read.items()}
    single = Lookups(workers, "managed policies", _THREADS, partial(managed_policy, aws))
    remaining = sorted(policy_arn for policy_arn in arns if policy_arn not in documents)
    for policy_arn in remaining:
        single.start(policy_arn)
    return documents | {policy_arn: single.get(policy_arn) for policy_arn in remaining}


def _default_document(policy: Any) -> JsonDocument:
    [default] = [version for version in policy["PolicyVersionList"] if version["IsDefaultVersion"]]
    return cast(JsonDocument, default["Document"])


_BULK: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "Role": ("RoleDetailList", "RoleName", _from_bulk),
    "LocalManagedPolicy": ("Policies", "Arn", _default_document),
}
"""By filter: the member of the response that has the details, the member of a detail that identifies it, and what is
kept of it."""


def _bulk(aws: Aws, workers: Workers, kind: str, wanted: Collection[str]) -> dict[str, Any] | None:
    """Return the wanted roles or managed policies of the account; None if they cannot be read in bulk."""
    found = Lookups(workers, "roles", 1, partial(_read_bulk, aws, wanted)).get(kind)
    return found.value if isinstance(found, Known) else None


def _read_bulk(aws: Aws, wanted: Collection[str], kind: str) -> dict[str, Any]:
    member, identifier, keep = _BULK[kind]
    parameters: dict[str, Any] = {"Filter": [kind], "MaxItems": _PAGE_SIZE}
    pages = aws.paginate(aws.iam.get_account_authorization_details, **parameters)
    details = (detail for page in pages for detail in cast(dict[str, Any], page).get(member, ()))
    # An account can have many more. Each has some kilobytes.
    return {detail[identifier]: keep(detail) for detail in details if detail[identifier] in wanted}
