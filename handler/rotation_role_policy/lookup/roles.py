"""Look up roles, and the policies that are on them."""

from __future__ import annotations

from typing import cast

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AwsApiError, ErrorCode, RequestError, quoted
from rotation_role_policy.iam.document import JsonDocument, parse
from rotation_role_policy.iam.principals import can_assume
from rotation_role_policy.rules.state import Role

LAMBDA = "lambda.amazonaws.com"
"""The service principal that has to be able to assume the execution role."""


def describe_role(aws: Aws, role_name: str) -> Role:
    """Return the role with this name. Raises `AwsApiError` if it does not exist."""
    role = aws.call(aws.iam.get_role, RoleName=role_name)["Role"]
    return Role(role["RoleName"], role["Arn"])


def declared_role(aws: Aws, role_id: str) -> Role:
    """Return the role that `RoleName` names, for a function that does not exist yet.

    Raises:
        RequestError: the role does not exist, the ARN is another role's, or Lambda cannot assume the role.
    """
    try:
        description = aws.call_on_role(aws.iam.get_role, RoleName=arn.role_name(role_id))["Role"]
    except AwsApiError as error:
        if error.code == "NoSuchEntity":
            raise RequestError(
                f"RoleName {quoted(role_id)}: the role does not exist in this account. Create the role first, or"
                f" correct the name.",
                ErrorCode.NOT_FOUND,
            ) from error
        raise
    role = Role(description["RoleName"], description["Arn"])
    if role_id not in (role.name, role.arn):
        raise RequestError(
            f"RoleName {quoted(role_id)} is not the ARN of the role with this name, which is {quoted(role.arn)}. Use"
            f" this ARN, or the name.",
        )
    # botocore decodes the document.
    trust_policy = parse(cast(JsonDocument, description["AssumeRolePolicyDocument"]))
    if not can_assume(trust_policy, LAMBDA):
        raise RequestError(
            f"RoleName {quoted(role.name)}: Lambda cannot assume this role. Allow sts:AssumeRole to the service"
            f" principal lambda.amazonaws.com in the role's trust policy.",
        )
    return role


def inline_policies(aws: Aws, role_name: str) -> dict[str, JsonDocument]:
    """Return the inline policies of a role: documents by name."""
    pages = aws.paginate(aws.iam.list_role_policies, RoleName=role_name)
    documents = {
        name: aws.call(aws.iam.get_role_policy, RoleName=role_name, PolicyName=name)["PolicyDocument"]
        for page in pages
        for name in page["PolicyNames"]
    }
    # botocore decodes the documents.
    return cast(dict[str, JsonDocument], documents)


def attached_policies(aws: Aws, role_name: str) -> list[str]:
    """Return the ARNs of the managed policies of a role."""
    pages = aws.paginate(aws.iam.list_attached_role_policies, RoleName=role_name)
    return [policy["PolicyArn"] for page in pages for policy in page.get("AttachedPolicies", ())]


def boundary_of(aws: Aws, role_name: str) -> str:
    """Return the ARN of a role's permissions boundary; empty if it has none."""
    role = aws.call(aws.iam.get_role, RoleName=role_name)["Role"]
    return role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", "")


def managed_policy(aws: Aws, policy_arn: str) -> JsonDocument:
    """Return the document of a managed policy."""
    version = aws.call(aws.iam.get_policy, PolicyArn=policy_arn)["Policy"]["DefaultVersionId"]
    described = aws.call(aws.iam.get_policy_version, PolicyArn=policy_arn, VersionId=str(version))
    return cast(JsonDocument, described["PolicyVersion"]["Document"])
