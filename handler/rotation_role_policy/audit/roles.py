"""The policies of roles: in bulk where that takes fewer calls and the caller may, else role by role."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from rotation_role_policy import arn
from rotation_role_policy.audit.lookups import Lookups, Workers
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AwsApiError, RequestError, quoted
from rotation_role_policy.rules.policy import Document
from rotation_role_policy.rules.state import Role

_BULK_FROM = 8
"""Roles or managed policies. A role takes at least four calls, a managed policy two."""
_PAGE_SIZE = 1000
_THREADS = 8


@dataclass(frozen=True)
class RolePolicies:
    """A role, and everything that limits or grants its permissions inside IAM."""

    role: Role
    trust_policy: Document
    inline: Mapping[str, Document]
    """Documents by policy name."""
    managed: Mapping[str, Document]
    """Documents by ARN."""
    boundary_arn: str = ""
    boundary: Document | None = None

    def documents(self, without: Collection[str] = ()) -> dict[str, Document]:
        """Return the policies keyed by their names in words, `without` some of the inline policies."""
        inline = {
            f"the inline policy {quoted(name)}": text for name, text in self.inline.items() if name not in without
        }
        return inline | {f"the managed policy {policy_arn}": document for policy_arn, document in self.managed.items()}


class _Description:
    """A role before its managed policies are read."""

    def __init__(self, detail: Mapping[str, Any], inline: Mapping[str, Document], managed: Iterable[str]) -> None:
        self.role = Role(detail["RoleName"], detail["Arn"])
        self.trust_policy: Document = detail["AssumeRolePolicyDocument"]
        self.inline = inline
        self.managed = tuple(managed)
        self.boundary = str(detail.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""))


@dataclass(frozen=True)
class Roles:
    """The roles that were read, and what could not be read."""

    policies: Mapping[str, RolePolicies]
    """By role name. A role that does not exist is missing here and in `errors`."""
    errors: Mapping[str, RequestError]
    """By role name."""

    def get(self, role_arn: str) -> RolePolicies | None:
        """Return the role with this ARN. Another role can have its name, with another path or in another account."""
        role = self.policies.get(arn.role_name(role_arn))
        return role if role and role.role.arn == role_arn else None


def read_roles(aws: Aws, workers: Workers, names: Collection[str]) -> Roles:
    """Read the roles with these names, and their policies."""
    described, errors = _describe_roles(aws, workers, names)
    needed = {policy_arn for role in described.values() for policy_arn in (*role.managed, role.boundary) if policy_arn}
    documents, document_errors = _managed_policies(aws, workers, needed)
    policies = {}
    for name, role in described.items():
        arns = [policy_arn for policy_arn in (*role.managed, role.boundary) if policy_arn]
        if failed := [document_errors[policy_arn] for policy_arn in arns if policy_arn in document_errors]:
            errors[name] = failed[0]
        elif all(policy_arn in documents for policy_arn in arns):
            policies[name] = RolePolicies(
                role.role,
                role.trust_policy,
                role.inline,
                {policy_arn: documents[policy_arn] for policy_arn in role.managed},
                role.boundary,
                documents.get(role.boundary),
            )
    return Roles(policies, errors)


def _describe_roles(
    aws: Aws, workers: Workers, names: Collection[str]
) -> tuple[dict[str, _Description], dict[str, RequestError]]:
    if len(names) >= _BULK_FROM and (details := _bulk(aws, workers, "Role", names)) is not None:
        return {
            detail["RoleName"]: _Description(
                detail,
                {policy["PolicyName"]: policy["PolicyDocument"] for policy in detail.get("RolePolicyList", ())},
                (policy["PolicyArn"] for policy in detail.get("AttachedManagedPolicies", ())),
            )
            for detail in details
        }, {}
    roles = Lookups(workers, "roles", _THREADS, partial(_describe_role, aws))
    roles.add_all(sorted(names))
    roles.wait()
    missing = {name for name, error in roles.errors.items() if _is_missing(error)}
    return roles.values, {name: error for name, error in roles.errors.items() if name not in missing}


def _describe_role(aws: Aws, name: str) -> _Description:
    detail = aws.call(aws.iam.get_role, RoleName=name)["Role"]
    pages = aws.paginate(aws.iam.list_role_policies, RoleName=name)
    inline = {
        policy: aws.call(aws.iam.get_role_policy, RoleName=name, PolicyName=policy)["PolicyDocument"]
        for page in pages
        for policy in page["PolicyNames"]
    }
    attached = aws.paginate(aws.iam.list_attached_role_policies, RoleName=name)
    managed = [policy["PolicyArn"] for page in attached for policy in page.get("AttachedPolicies", ())]
    # botocore decodes the documents.
    return _Description(detail, cast(Mapping[str, Document], inline), managed)


def _managed_policies(
    aws: Aws, workers: Workers, arns: Collection[str]
) -> tuple[dict[str, Document], dict[str, RequestError]]:
    documents: dict[str, Document] = {}
    # The ARNs of AWS's own policies have no account. The bulk read of those would return more than a thousand.
    local = [policy_arn for policy_arn in arns if ":iam::aws:" not in policy_arn]
    if len(local) >= _BULK_FROM:
        for policy in _bulk(aws, workers, "LocalManagedPolicy", arns) or ():
            [default] = [version for version in policy["PolicyVersionList"] if version["IsDefaultVersion"]]
            documents[policy["Arn"]] = default["Document"]
    single = Lookups(workers, "managed policies", _THREADS, partial(managed_policy, aws))
    single.add_all(sorted(policy_arn for policy_arn in arns if policy_arn not in documents))
    single.wait()
    return documents | single.values, single.errors


def managed_policy(aws: Aws, policy_arn: str) -> Document:
    """Return the document of a managed policy."""
    version = aws.call(aws.iam.get_policy, PolicyArn=policy_arn)["Policy"]["DefaultVersionId"]
    described = aws.call(aws.iam.get_policy_version, PolicyArn=policy_arn, VersionId=str(version))
    return cast(Document, described["PolicyVersion"]["Document"])


_BULK_MEMBERS = {"Role": ("RoleDetailList", "RoleName"), "LocalManagedPolicy": ("Policies", "Arn")}
"""By filter: the member of the response that has the details, and the member of a detail that identifies it."""


def _bulk(aws: Aws, workers: Workers, kind: str, wanted: Collection[str]) -> list[Any] | None:
    """Return the wanted roles or managed policies of the account; None if the caller may not read them in bulk."""
    read = Lookups(workers, "roles", 1, partial(_read_bulk, aws, wanted))
    read.add(kind)
    read.wait()
    return None if read.errors else read.values.get(kind, [])


def _read_bulk(aws: Aws, wanted: Collection[str], kind: str) -> list[Any]:
    member, identifier = _BULK_MEMBERS[kind]
    parameters: dict[str, Any] = {"Filter": [kind], "MaxItems": _PAGE_SIZE}
    pages = aws.paginate(aws.iam.get_account_authorization_details, **parameters)
    details = (detail for page in pages for detail in cast(dict[str, Any], page).get(member, ()))
    # An account can have many more. Each has some kilobytes.
    return [detail for detail in details if detail[identifier] in wanted]


def _is_missing(error: RequestError) -> bool:
    return isinstance(error, AwsApiError) and error.code == "NoSuchEntity"
