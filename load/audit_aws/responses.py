"""The parts of responses: elements of XML, entries of lists, pages and errors."""

import json
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from load.audit_aws.account import (
    MANAGED_POLICIES,
    REGION,
    Document,
    FakeFunction,
    FakeRole,
    FakeSecret,
    policy_document,
    role_arn,
)

Parameters = dict[str, Any]


class ServiceError(Exception):
    """An error response of a service."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code, message)
        self.code, self.message, self.status = code, message, status


def version_id(secret: FakeSecret, number: int) -> str:
    """Return the ID of a version of a secret."""
    return f"{secret.name[-5:]}000-0000-4000-8000-{number:012}"


def function_entry(function: FakeFunction) -> dict[str, Any]:
    """Return a function as in ListFunctions."""
    vpc = {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"], "VpcId": "vpc-1"}
    return {
        "FunctionName": function.name,
        "FunctionArn": function.arn,
        "Runtime": "python3.13",
        "Role": role_arn(function.role),
        "Handler": "lambda_function.lambda_handler",
        "CodeSize": 1_200_000,
        "Description": "Rotates a secret of a database",
        "Timeout": 30,
        "MemorySize": 128,
        "LastModified": "2026-01-01T00:00:00.000+0000",
        "CodeSha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "Version": "$LATEST",
        "VpcConfig": vpc if function.in_vpc else {"SubnetIds": [], "SecurityGroupIds": [], "VpcId": ""},
        "Environment": {"Variables": {"SECRETS_MANAGER_ENDPOINT": f"https://secretsmanager.{REGION}.amazonaws.com"}},
        "TracingConfig": {"Mode": "PassThrough"},
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
    }


def managed_policy_arn(parameters: Parameters) -> str:
    """Return the ARN of the managed policy of a call. Raises KeyError if it does not exist."""
    arn = parameters["PolicyArn"]
    if arn not in MANAGED_POLICIES:
        raise KeyError(arn)
    return str(arn)


def url_encoded(document: Document) -> str:
    """Return a policy document as in IAM's responses."""
    return quote(json.dumps(document), safe="")


def inline_policy(name: str, document: Document) -> str:
    """Return the elements of an inline policy."""
    return f"<PolicyName>{name}</PolicyName><PolicyDocument>{url_encoded(document)}</PolicyDocument>"


def attached_policies(arns: tuple[str, ...] | list[str]) -> str:
    """Return the elements of attached policies."""
    return "".join(
        f"<member><PolicyName>{arn.rpartition('/')[2]}</PolicyName><PolicyArn>{arn}</PolicyArn></member>"
        for arn in arns
    )


def role_elements(role: FakeRole) -> str:
    """Return the elements of a role in GetRole."""
    trust = {"Effect": "Allow", "Principal": {"Service": role.service}, "Action": "sts:AssumeRole"}
    boundary = (
        "<PermissionsBoundary><PermissionsBoundaryType>Policy</PermissionsBoundaryType>"
        f"<PermissionsBoundaryArn>{role.boundary}</PermissionsBoundaryArn></PermissionsBoundary>"
    )
    return (
        f"<Path>/</Path><RoleName>{role.name}</RoleName><RoleId>AROAEXAMPLE{role.name.upper()}</RoleId>"
        f"<Arn>{role_arn(role.name)}</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate>"
        f"<AssumeRolePolicyDocument>{url_encoded(policy_document(trust))}</AssumeRolePolicyDocument>"
        f"{boundary if role.boundary else ''}"
    )


def role_details(role: FakeRole) -> str:
    """Return the elements of a role in GetAccountAuthorizationDetails."""
    inline = "".join(f"<member>{inline_policy(name, document)}</member>" for name, document in role.inline.items())
    return (
        f"{role_elements(role)}<InstanceProfileList/><RolePolicyList>{inline}</RolePolicyList>"
        f"<AttachedManagedPolicies>{attached_policies(role.attached)}</AttachedManagedPolicies><Tags/>"
        "<RoleLastUsed><LastUsedDate>2026-01-02T00:00:00Z</LastUsedDate>"
        f"<Region>{REGION}</Region></RoleLastUsed>"
    )


def policy_elements(arn: str) -> str:
    """Return the elements of a managed policy."""
    name = arn.rpartition("/")[2]
    return (
        f"<PolicyName>{name}</PolicyName><PolicyId>ANPAEXAMPLE{name.upper()}</PolicyId><Arn>{arn}</Arn>"
        f"<Path>/{'service-role/' if '/service-role/' in arn else ''}</Path><DefaultVersionId>v1</DefaultVersionId>"
        "<AttachmentCount>1</AttachmentCount><PermissionsBoundaryUsageCount>0</PermissionsBoundaryUsageCount>"
        "<IsAttachable>true</IsAttachable><CreateDate>2026-01-01T00:00:00Z</CreateDate>"
        "<UpdateDate>2026-01-01T00:00:00Z</UpdateDate>"
    )


def policy_version(element: str, arn: str) -> str:
    """Return the element of a version of a managed policy."""
    return (
        f"<{element}><Document>{url_encoded(MANAGED_POLICIES[arn])}</Document><VersionId>v1</VersionId>"
        f"<IsDefaultVersion>true</IsDefaultVersion><CreateDate>2026-01-01T00:00:00Z</CreateDate></{element}>"
    )


def members(parameters: Parameters, name: str) -> list[str]:
    """Return the members of a list parameter of the Query protocol."""
    return [escape(value) for key, value in parameters.items() if key.startswith(f"{name}.member.")]


def page_of(items: list[Any], parameters: Parameters) -> tuple[list[Any], str]:
    """Return a page of an IAM response, and its elements for paging."""
    start = int(parameters.get("Marker", 0))
    end = start + min(1000, int(parameters.get("MaxItems", 100)))
    if end >= len(items):
        return items[start:], "<IsTruncated>false</IsTruncated>"
    return items[start:end], f"<IsTruncated>true</IsTruncated><Marker>{end}</Marker>"


def throttled(service: str) -> ServiceError:
    """Return the error for too many calls, which differs by service."""
    match service:
        case "lambda":
            return ServiceError("TooManyRequestsException", "Rate exceeded", 429)
        case "secretsmanager":
            return ServiceError("ThrottlingException", "Rate exceeded")
        case "kms":
            message = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."
            return ServiceError("ThrottlingException", message)
        case _:
            return ServiceError("Throttling", "Rate exceeded")


def not_found(service: str, name: str) -> ServiceError:
    """Return the error for what does not exist, which differs by service."""
    match service:
        case "lambda":
            return ServiceError("ResourceNotFoundException", f"Function not found: {name}", 404)
        case "secretsmanager":
            message = "Secrets Manager can't find the specified secret."
            return ServiceError("ResourceNotFoundException", message)
        case "kms":
            return ServiceError("NotFoundException", f"Key {name} does not exist")
        case _:
            return ServiceError("NoSuchEntity", f"{name} cannot be found.", 404)
