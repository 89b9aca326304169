"""The calls that the fake AWS supports."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from load.fake_aws.account import (
    ACCOUNT,
    REGION,
    FakeAccount,
    FakeFunction,
    FakeRole,
    FakeSecret,
    allow,
    policy_document,
    role_arn,
)
from load.fake_aws.quotas import UNLIMITED, Quota, TokenBucket

Parameters = dict[str, Any]

_DAY = 86_400
_DATE = "2026-01-01T00:00:00Z"
_CALLER_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/auditor/session"
_ERRORS = {
    "secretsmanager": ("ThrottlingException", "ResourceNotFoundException"),
    "kms": ("ThrottlingException", "NotFoundException"),
    "lambda": ("TooManyRequestsException", "ResourceNotFoundException"),
    "iam": ("Throttling", "NoSuchEntity"),
    "sts": ("Throttling", ""),
    "cloudformation": ("Throttling", "ValidationError"),
}
"""By service: the code for too many calls, and the code for what does not exist."""


class ServiceError(Exception):
    """An error response of a service. The arguments are its code and its message."""


@dataclass
class Statistics:
    """What the fake AWS received."""

    buckets: list[TokenBucket]
    """The calls of each quota, and those without a quota last."""
    unsupported: Counter[str] = field(default_factory=Counter)
    responses: list[dict[str, Any]] = field(default_factory=list)
    """Responses to CloudFormation."""
    policies: dict[str, str] = field(default_factory=dict)
    """Documents that were put, by physical ID: ``<role>/<policy>``."""


_KEY_OF_ROLE = re.compile(r"Credential=ASIA([0-9]{12})/")


def account_of(authorization: str) -> str:
    """Return the account of the credentials in the header `Authorization` of a request."""
    match = _KEY_OF_ROLE.search(authorization)
    return match[1] if match else ACCOUNT


def _credentials(role: str) -> dict[str, str]:
    """Return the credentials of a role, whose key names its account."""
    expiration = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
    return {
        "AccessKeyId": f"ASIA{role.split(':')[4]}",
        "SecretAccessKey": "testing",
        "SessionToken": "testing",
        "Expiration": expiration,
    }


class FakeAws:
    """The calls in one account. An IAM or STS response is a dictionary of XML elements, and a list has members."""

    def __init__(self, account: FakeAccount, quotas: tuple[Quota, ...]) -> None:
        self._account = account
        self._quotas = quotas
        self._others: dict[str, FakeAws] = {}
        self._secrets = {key: secret for secret in account.secrets for key in (secret.name, secret.arn)}
        self._functions = {function.name: function for function in account.functions}
        self._keys = {secret.key_arn for secret in account.secrets}
        self._now = int(time.time())
        self.statistics = Statistics([TokenBucket(quota) for quota in (*quotas, UNLIMITED)])
        self._buckets = {call: bucket for bucket in self.statistics.buckets for call in bucket.quota.calls}
        self._calls: dict[str, Callable[[Parameters], dict[str, Any]]] = {
            "secretsmanager:ListSecrets": self._list_secrets,
            "secretsmanager:DescribeSecret": self._describe_secret,
            "secretsmanager:ListSecretVersionIds": self._list_secret_version_ids,
            "secretsmanager:GetResourcePolicy": self._get_resource_policy,
            "kms:DescribeKey": self._describe_key,
            "kms:GetKeyPolicy": self._get_key_policy,
            "kms:ListGrants": lambda _: {"Grants": [], "Truncated": False},
            "kms:ListKeyPolicies": lambda _: {"PolicyNames": ["default"], "Truncated": False},
            "lambda:GetFunctionConfiguration": self._get_function_configuration,
            "lambda:GetPolicy": self._get_function_policy,
            "lambda:ListFunctions": self._list_functions,
            "iam:GetAccountAuthorizationDetails": self._get_account_authorization_details,
            "iam:GetRole": lambda parameters: {"Role": _role_details(self._role(parameters))},
            "iam:ListRolePolicies": lambda parameters: {"PolicyNames": list(self._role(parameters).inline)},
            "iam:ListAttachedRolePolicies": lambda parameters: {"AttachedPolicies": _attached(self._role(parameters))},
            "iam:GetPolicy": self._get_policy,
            "iam:GetPolicyVersion": self._get_policy_version,
            "iam:GetRolePolicy": self._get_role_policy,
            "iam:PutRolePolicy": self._put_role_policy,
            "iam:SimulatePrincipalPolicy": self._simulate_principal_policy,
            "sts:GetCallerIdentity": lambda _: {"Arn": _CALLER_ARN, "UserId": "AROAEXAMPLE:s", "Account": ACCOUNT},
            "sts:AssumeRole": lambda parameters: {"Credentials": _credentials(parameters["RoleArn"])},
            "cloudformation:DescribeStacks": self._describe_stacks,
            "cloudformation:ListStacks": self._list_stacks,
            "cloudformation:DescribeStackResource": self._describe_stack_resource,
            "cloudformation:DescribeStackEvents": lambda _: {"StackEvents": []},
        }

    def of_account(self, account: str) -> FakeAws:
        """Return another account with the same content. Its calls count in the statistics of this one."""
        if account not in self._others:
            other = self._others[account] = FakeAws(self._account, self._quotas)
            self.statistics.buckets += other.statistics.buckets
            other.statistics.unsupported = self.statistics.unsupported
        return self._others[account]

    def call(self, action: str, parameters: Parameters) -> dict[str, Any]:
        """Return the response of a call.

        Raises:
            ServiceError: the call is throttled, not supported, or names what does not exist.
        """
        function = self._calls.get(action)
        if function is None:
            self.statistics.unsupported[action] += 1
            raise ServiceError("NotSupported", f"The fake AWS does not support {action}.")
        service = action.partition(":")[0]
        bucket = self._buckets.get(action) or self._buckets.get(f"{service}:") or self.statistics.buckets[-1]
        if not bucket.admits(action):
            raise ServiceError(_ERRORS[service][0], "Rate exceeded")
        try:
            return function(parameters)
        except KeyError as error:
            raise ServiceError(_ERRORS[service][1], f"{error} cannot be found.") from error

    # --- Secrets Manager ---

    def _list_secrets(self, parameters: Parameters) -> dict[str, Any]:
        if "Filters" in parameters:
            raise ServiceError("InvalidParameterException", "The fake AWS does not support Filters.")
        page, end = _page(self._account.secrets, parameters.get("NextToken"), parameters.get("MaxResults"), 100)
        # ListSecrets and DescribeSecret name the versions differently.
        content = [self._secret(secret, "SecretVersionsToStages") for secret in page]
        return {"SecretList": content} | ({"NextToken": end} if end else {})

    def _describe_secret(self, parameters: Parameters) -> dict[str, Any]:
        return self._secret(self._secrets[parameters["SecretId"]], "VersionIdsToStages")

    def _secret(self, secret: FakeSecret, versions: str) -> dict[str, Any]:
        content = {
            "ARN": secret.arn,
            "Name": secret.name,
            "CreatedDate": self._now - 400.5 * _DAY,
            "LastChangedDate": self._now - 3.5 * _DAY,
            "LastAccessedDate": self._now - 1.0 * _DAY,
            "Tags": [{"Key": "aws:cloudformation:stack-name", "Value": secret.name.replace("/", "-")}],
            versions: {_version_id(secret, 1): ["AWSCURRENT"], _version_id(secret, 0): ["AWSPREVIOUS"]},
        }
        if secret.key_arn:
            content["KmsKeyId"] = secret.key_arn
        if secret.function:
            content |= {
                "RotationEnabled": True,
                "RotationLambdaARN": self._functions[secret.function].arn,
                "RotationRules": {"AutomaticallyAfterDays": 30},
                "LastRotatedDate": self._now - 3.5 * _DAY,
                "NextRotationDate": self._now + 26.5 * _DAY,
            }
        return content

    def _list_secret_version_ids(self, parameters: Parameters) -> dict[str, Any]:
        secret = self._secrets[parameters["SecretId"]]
        versions = [
            {
                "VersionId": _version_id(secret, number),
                "VersionStages": [stage],
                "CreatedDate": self._now - days * _DAY,
                "LastAccessedDate": self._now - 1.0 * _DAY,
                "KmsKeyIds": [secret.key_arn or "DefaultEncryptionKey"],
            }
            for number, stage, days in ((1, "AWSCURRENT", 3.5), (0, "AWSPREVIOUS", 33.5))
        ]
        return {"ARN": secret.arn, "Name": secret.name, "Versions": versions}

    def _get_resource_policy(self, parameters: Parameters) -> dict[str, Any]:
        secret = self._secrets[parameters["SecretId"]]
        content = {"ARN": secret.arn, "Name": secret.name}
        # One secret in twenty has a policy, for another role.
        if secret.name.endswith(("00", "20", "40", "60", "80")):
            principal = {"AWS": role_arn("application-00000")}
            statement = allow(["secretsmanager:GetSecretValue"], Principal=principal)
            content["ResourcePolicy"] = json.dumps(policy_document(statement))
        return content

    # --- KMS ---

    def _describe_key(self, parameters: Parameters) -> dict[str, Any]:
        is_aws_managed = parameters["KeyId"].endswith("alias/aws/secretsmanager")
        key_arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/aws-managed" if is_aws_managed else self._key(parameters)
        metadata = {
            "AWSAccountId": ACCOUNT,
            "Arn": key_arn,
            "KeyId": key_arn.rpartition("/")[2],
            "KeyManager": "AWS" if is_aws_managed else "CUSTOMER",
            "KeyState": "Enabled",
            "KeyUsage": "ENCRYPT_DECRYPT",
        }
        return {"KeyMetadata": metadata}

    def _get_key_policy(self, parameters: Parameters) -> dict[str, Any]:
        self._key(parameters)
        statement = allow(["kms:*"], Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
        return {"Policy": json.dumps(policy_document(statement)), "PolicyName": "default"}

    def _key(self, parameters: Parameters) -> str:
        key_id: str = parameters["KeyId"]
        key_arn = key_id if key_id.startswith("arn:") else f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key_id}"
        if key_arn not in self._keys:
            raise KeyError(key_id)
        return key_arn

    # --- Lambda ---

    def _function(self, parameters: Parameters) -> FakeFunction:
        return self._functions[parameters["FunctionName"].rpartition(":function:")[2]]

    def _get_function_configuration(self, parameters: Parameters) -> dict[str, Any]:
        # Entries of ListFunctions have no State.
        return _function_entry(self._function(parameters)) | {"State": "Active", "LastUpdateStatus": "Successful"}

    def _get_function_policy(self, parameters: Parameters) -> dict[str, Any]:
        statement = allow(
            ["lambda:InvokeFunction"],
            self._function(parameters).arn,
            Sid="SecretsManager",
            Principal={"Service": "secretsmanager.amazonaws.com"},
            Condition={"StringEquals": {"AWS:SourceAccount": ACCOUNT}},
        )
        return {"Policy": json.dumps(policy_document(statement)), "RevisionId": "11111111-2222-3333-4444-555555555555"}

    def _list_functions(self, parameters: Parameters) -> dict[str, Any]:
        page, end = _page(self._account.functions, parameters.get("Marker"), parameters.get("MaxItems"), 50)
        return {"Functions": [_function_entry(function) for function in page]} | ({"NextMarker": end} if end else {})

    # --- IAM and STS ---

    def _get_account_authorization_details(self, parameters: Parameters) -> dict[str, Any]:
        if _members(parameters, "Filter") != ["Role"]:
            raise ServiceError("ValidationError", "The fake AWS supports only the filter Role.")
        roles = list(self._account.roles.values())
        page, end = _page(roles, parameters.get("Marker"), parameters.get("MaxItems"), 1000)
        details = {"RoleDetailList": [_role_details(role) for role in page], "IsTruncated": bool(end)}
        return details | ({"Marker": end} if end else {})

    def _get_policy(self, parameters: Parameters) -> dict[str, Any]:
        arn: str = parameters["PolicyArn"]
        return {"Policy": {"PolicyName": arn.rpartition("/")[2], "Arn": arn, "DefaultVersionId": "v1"}}

    def _get_policy_version(self, parameters: Parameters) -> dict[str, Any]:
        document = _url_encoded(self._account.managed_policies[parameters["PolicyArn"]])
        return {"PolicyVersion": {"Document": document, "VersionId": "v1", "IsDefaultVersion": True}}

    def _role(self, parameters: Parameters) -> FakeRole:
        return self._account.roles[parameters["RoleName"]]

    def _get_role_policy(self, parameters: Parameters) -> dict[str, Any]:
        document = self._role(parameters).inline[parameters["PolicyName"]]
        return parameters | {"PolicyDocument": _url_encoded(document)}

    def _put_role_policy(self, parameters: Parameters) -> dict[str, Any]:
        role, name, document = (parameters[key] for key in ("RoleName", "PolicyName", "PolicyDocument"))
        self._account.roles[role].inline[name] = json.loads(document)
        self.statistics.policies[f"{role}/{name}"] = document
        return {}

    def _simulate_principal_policy(self, parameters: Parameters) -> dict[str, Any]:
        """Return ``allowed`` for all actions and resources."""
        results = [
            {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": "allowed"}
            for action in _members(parameters, "ActionNames")
            for resource in _members(parameters, "ResourceArns") or ["*"]
        ]
        return {"IsTruncated": False, "EvaluationResults": results}

    # --- CloudFormation ---

    def _describe_stacks(self, parameters: Parameters) -> dict[str, Any]:
        stack = {"StackId": parameters["StackName"], "StackName": "database", "CreationTime": _DATE}
        return {"Stacks": [stack | {"StackStatus": "CREATE_IN_PROGRESS"}]}

    def _list_stacks(self, parameters: Parameters) -> dict[str, Any]:
        stacks = [
            {"StackId": stack_id, "StackName": "database", "CreationTime": _DATE, "StackStatus": "CREATE_COMPLETE"}
            for stack_id in self._account.stacks
        ]
        page, token = _page(stacks, parameters.get("NextToken"), None, 100)
        return {"StackSummaries": page} | ({"NextToken": token} if token else {})

    def _describe_stack_resource(self, parameters: Parameters) -> dict[str, Any]:
        stack_id, logical_id = parameters["StackName"], parameters["LogicalResourceId"]
        stack = self._account.stacks[stack_id]
        if stack.logical_id != logical_id:
            raise KeyError(logical_id)
        detail = {
            "StackId": stack_id,
            "LogicalResourceId": logical_id,
            "PhysicalResourceId": stack.physical_id,
            "ResourceType": "Custom::RotationRolePolicy",
            "LastUpdatedTimestamp": _DATE,
            "ResourceStatus": "CREATE_COMPLETE",
        }
        return {"StackResourceDetail": detail}


# --- parts of responses ---


def _page(items: list[Any], token: str | None, size: Any, limit: int) -> tuple[list[Any], str]:
    """Return a page of at most `limit` items, and the token of the next one, empty if there is none."""
    start = int(token or 0)
    end = start + min(limit, int(size or 100))
    return items[start:end], str(end) if end < len(items) else ""


def _members(parameters: Parameters, name: str) -> list[str]:
    """Return the members of a list parameter of the Query protocol."""
    return [value for key, value in parameters.items() if key.startswith(f"{name}.member.")]


def _version_id(secret: FakeSecret, number: int) -> str:
    return f"{secret.name[-4:]:0>8}-0000-4000-8000-{number:012}"


def _function_entry(function: FakeFunction) -> dict[str, Any]:
    """Return a function as in ListFunctions."""
    vpc = {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"], "VpcId": "vpc-1"}
    return {
        "FunctionName": function.name,
        "FunctionArn": function.arn,
        "Runtime": "python3.13",
        "Role": role_arn(function.role),
        "Description": "Rotates a secret of a database",
        "LastModified": "2026-01-01T00:00:00.000+0000",
        "CodeSha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "Version": "$LATEST",
        "VpcConfig": vpc if function.in_vpc else {"SubnetIds": [], "SecurityGroupIds": [], "VpcId": ""},
        "Environment": {"Variables": {"SECRETS_MANAGER_ENDPOINT": f"https://secretsmanager.{REGION}.amazonaws.com"}},
    }


def _url_encoded(document: Any) -> str:
    """Return a policy document as in IAM's responses."""
    return quote(json.dumps(document), safe="")


def _attached(role: FakeRole) -> list[dict[str, str]]:
    return [{"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn} for arn in role.attached]


def _role_details(role: FakeRole) -> dict[str, Any]:
    """Return a role as in GetAccountAuthorizationDetails, which has more elements than GetRole."""
    trust = {"Effect": "Allow", "Principal": {"Service": role.service}, "Action": "sts:AssumeRole"}
    boundary = {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": role.boundary}
    return {
        "Path": "/",
        "RoleName": role.name,
        "RoleId": f"AROAEXAMPLE{role.name.upper()}",
        "Arn": role_arn(role.name),
        "CreateDate": _DATE,
        "AssumeRolePolicyDocument": _url_encoded(policy_document(trust)),
        "RolePolicyList": [
            {"PolicyName": name, "PolicyDocument": _url_encoded(document)} for name, document in role.inline.items()
        ],
        "AttachedManagedPolicies": _attached(role),
        "RoleLastUsed": {"LastUsedDate": "2026-01-02T00:00:00Z", "Region": REGION},
        **({"PermissionsBoundary": boundary} if role.boundary else {}),
    }
