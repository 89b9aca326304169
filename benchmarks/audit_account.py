"""A fake AWS for `benchmarks.audit`: an account with many rotations, whose calls have the rates of a real account.

``python -m benchmarks.audit_account --secrets 1000`` serves the account until the process ends. The first line on
standard output is JSON: the URL, and what an audit must find. ``GET /statistics`` returns the calls so far.

One process with one thread serves all services, with `asyncio` and without a web framework: the server must be much
faster than the client, on the same cores. Each response waits for `LATENCY`, which takes no CPU time.

A token bucket per quota admits the calls. It holds the tokens of one second, and a call without a token receives the
throttling error of its service.
"""

import argparse
import asyncio
import gc
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from random import Random
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from rotation_role_policy import identity, policy
from rotation_role_policy.state import Role, Secret, State

ACCOUNT = "123456789012"
REGION = "eu-central-1"
LATENCY = 0.03
"""Seconds before each response: about what a call from the same continent takes."""
SEED = 1

Document = dict[str, Any]


# --- quotas -----------------------------------------------------------------------------------------------------------


class Quota(NamedTuple):
    """Calls that share a rate."""

    name: str
    rate: float
    """Calls per second."""
    calls: tuple[str, ...]
    """IAM actions, or the prefix of a service, such as ``iam:``, for all other calls of the service."""


# The default quotas of an account in each region:
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#api-requests
# https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html (only the quotas of cryptographic
# operations differ by region)
# For IAM and STS, AWS publishes no rate of these calls. The rate of 15, for all calls of a service together, is that of
# `benchmarks.load`. In AWS, several buckets can apply to a call of IAM:
# https://aws.amazon.com/blogs/security/how-to-monitor-and-query-iam-resources-at-scale-part-2/
QUOTAS = (
    Quota("ListSecrets", 100, ("secretsmanager:ListSecrets",)),
    Quota("DescribeSecret", 10_000, ("secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue")),
    Quota("ListSecretVersionIds", 50, ("secretsmanager:ListSecretVersionIds",)),
    Quota("GetResourcePolicy", 50, ("secretsmanager:GetResourcePolicy",)),
    Quota("DescribeKey", 2_000, ("kms:DescribeKey",)),
    Quota("GetKeyPolicy", 1_000, ("kms:GetKeyPolicy",)),
    Quota("Lambda GetPolicy", 15, ("lambda:GetPolicy",)),
    Quota("Lambda GetFunction", 100, ("lambda:GetFunction",)),
    Quota("Lambda, all others", 15, ("lambda:",)),
    Quota("IAM", 15, ("iam:",)),
    Quota("STS", 15, ("sts:",)),
)


@dataclass
class Bucket:
    """The token bucket of a quota, and the calls that it has admitted and throttled."""

    quota: Quota
    admitted: Counter[str] = field(default_factory=Counter)
    throttled: int = 0
    first: float = 0.0
    """Time of the first call."""
    last: float = 0.0
    """Time of the last admitted call."""

    def __post_init__(self) -> None:
        self._tokens = self.quota.rate
        self._filled = time.monotonic()

    def admits(self, action: str) -> bool:
        """Return whether there is a token, and take it."""
        now = time.monotonic()
        self.first = self.first or now
        self._tokens = min(self.quota.rate, self._tokens + (now - self._filled) * self.quota.rate)
        self._filled = now
        if self._tokens < 1:
            self.throttled += 1
            return False
        self._tokens -= 1
        self.admitted[action] += 1
        self.last = now
        return True

    def statistics(self) -> dict[str, Any]:
        """Return the statistics of the quota as data for JSON."""
        admitted, rate = self.admitted.total(), self.quota.rate
        return {
            "name": self.quota.name,
            "rate": rate,
            "admitted": admitted,
            "throttled": self.throttled,
            "calls": dict(self.admitted),
            # The bucket starts with the tokens of one second.
            "required_seconds": max(0.0, (admitted - rate) / rate),
            "seconds": max(0.0, self.last - self.first),
        }


# --- the account ------------------------------------------------------------------------------------------------------


class Kind(StrEnum):
    """What the policies of a rotation function's role do."""

    STRICT = "strict"
    """The policy of a ``Custom::RotationRolePolicy``."""
    BROAD = "broad"
    """A policy for all secrets and keys, which the audit must find."""
    CONDITIONAL = "conditional"
    """A policy that only IAM's simulator can decide."""
    LACKING = "lacking"
    """A policy without an action that a rotation needs, which the audit must find."""


SHARES = {Kind.STRICT: 0.6, Kind.BROAD: 0.25, Kind.CONDITIONAL: 0.1, Kind.LACKING: 0.05}
WITHOUT_ROTATION = 0.03
"""The share of secrets without rotation."""
SECRETS_PER_KEY = 50

BOUNDARY_ARN = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
VPC_POLICY_ARN = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
BASIC_POLICY_ARN = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def _document(*statements: dict[str, Any]) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(actions: list[str], resource: str = "*") -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


_LOGS = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
_MANAGED_POLICIES: dict[str, Document] = {
    BOUNDARY_ARN: _document(_allow(["secretsmanager:*", "kms:*", "ec2:*", "logs:*"])),
    BASIC_POLICY_ARN: _document(_allow(_LOGS)),
    VPC_POLICY_ARN: _document(
        _allow(
            [
                *_LOGS,
                "ec2:CreateNetworkInterface",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSubnets",
                "ec2:DeleteNetworkInterface",
                "ec2:AssignPrivateIpAddresses",
                "ec2:UnassignPrivateIpAddresses",
            ]
        )
    ),
}


class FakeSecret(NamedTuple):
    """A secret. Without rotation, `function` is negative."""

    name: str
    arn: str
    key_arn: str
    """Empty for the AWS managed key."""
    function: int


class FakeFunction(NamedTuple):
    """A rotation function, and what the policies of its role do."""

    name: str
    kind: Kind
    in_vpc: bool

    @property
    def arn(self) -> str:
        """The unqualified ARN."""
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}"

    @property
    def role(self) -> str:
        """The name of the execution role."""
        return f"{self.name}-role"


class FakeRole(NamedTuple):
    """A role with its policies."""

    name: str
    service: str
    """The service that can assume the role."""
    inline: dict[str, Document]
    attached: tuple[str, ...]
    boundary: str = ""


def role_arn(name: str) -> str:
    """Return the ARN of the role with this name."""
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


class Account:
    """The secrets, keys, functions and roles. The same number of secrets always gives the same account."""

    def __init__(self, secrets: int) -> None:
        random = Random(SEED)  # noqa: S311  # not cryptographic
        self._random = random
        self.functions = [
            FakeFunction(f"rotate-{number:05}", kind, in_vpc=number % 2 == 1)
            for number, kind in enumerate(_kinds(max(1, 3 * secrets // 10), random))
        ]
        self.keys = [
            f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{random.getrandbits(32):08x}-0000-4000-8000-{number:012x}"
            for number in range(max(1, secrets // SECRETS_PER_KEY))
        ]
        self.secrets = list(self._make_secrets(secrets))
        self.secrets_by_id = {key: secret for secret in self.secrets for key in (secret.name, secret.arn)}
        self.functions_by_name = {function.name: function for function in self.functions}
        self.rotated: dict[int, list[FakeSecret]] = {}
        """The secrets of each function."""
        for secret in self.secrets:
            if secret.function >= 0:
                self.rotated.setdefault(secret.function, []).append(secret)
        self.roles = {role.name: role for role in (*self._rotation_roles(), *self._other_roles())}

    def _make_secrets(self, secrets: int) -> Iterator[FakeSecret]:
        rotated = secrets - int(WITHOUT_ROTATION * secrets)
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        # Each function has a secret before one has a second.
        functions = [number % len(self.functions) for number in range(rotated)] + [-1] * (secrets - rotated)
        self._random.shuffle(functions)
        for number, function in enumerate(functions):
            name = f"prod/database-{number:05}"
            suffix = "".join(self._random.choices(letters, k=6))
            key_arn = self.keys[number // 3 % len(self.keys)] if number % 3 == 0 else ""
            yield FakeSecret(
                name, f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-{suffix}", key_arn, function
            )

    def _rotation_roles(self) -> Iterator[FakeRole]:
        for number, function in enumerate(self.functions):
            document = policy.document(self._state(number), "Strict")
            name = identity.policy_name(
                f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/database-{number}/6b1e1c50-0000-11ef-8e9a-0a1b2c3d4e5f",
                "RotationPolicy",
            )
            attached: tuple[str, ...] = (BASIC_POLICY_ARN,)
            boundary = ""
            match function.kind:
                case Kind.BROAD:
                    attached = (VPC_POLICY_ARN,)
                    name = "rotation"
                    document = _document(_allow(["secretsmanager:*"]), _allow(["kms:Decrypt", "kms:GenerateDataKey"]))
                case Kind.CONDITIONAL:
                    boundary = self._limit(number, document)
                    # A condition is not part of what the provider writes, a boundary and another Deny are.
                    name = name if boundary else "rotation"
                case Kind.LACKING:
                    name = "rotation"
                    document["Statement"][0]["Action"].remove("secretsmanager:PutSecretValue")
            yield FakeRole(function.role, "lambda.amazonaws.com", {name: document}, attached, boundary)

    def _limit(self, number: int, document: Document) -> str:
        """Add what only the simulator can decide. Return the ARN of the permissions boundary, empty without one."""
        match number % 3:
            case 0:
                condition = {"StringEquals": {"aws:PrincipalTag/team": "databases"}}
                document["Statement"][0]["Condition"] = condition
            case 1:
                return BOUNDARY_ARN
            case _:
                condition = {"StringNotEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}
                deny = {"Effect": "Deny", "Action": "secretsmanager:*", "Resource": "*", "Condition": condition}
                document["Statement"].append(deny)
        return ""

    def _state(self, number: int) -> State:
        function = self.functions[number]
        return State(
            secrets=tuple(Secret(secret.arn, secret.key_arn or None) for secret in self.rotated.get(number, ())),
            superuser_secret=None,
            role=Role(function.role, role_arn(function.role)),
            function_arn=function.arn,
            in_vpc=function.in_vpc,
            dns_suffix="amazonaws.com",
        )

    def _other_roles(self) -> Iterator[FakeRole]:
        """Yield as many roles without a rotation function as there are with one."""
        for number in range(len(self.functions)):
            document = _document(
                _allow(["s3:GetObject", "s3:PutObject"], f"arn:aws:s3:::application-{number}/*"),
                _allow(["sqs:SendMessage"], f"arn:aws:sqs:{REGION}:{ACCOUNT}:application-{number}"),
            )
            yield FakeRole(f"application-{number:05}", "ecs-tasks.amazonaws.com", {"application": document}, ())

    def expectations(self) -> dict[str, Any]:
        """Return what an audit must find, as data for JSON. Roles are keyed by ARN."""
        arns: dict[Kind, dict[str, list[str]]] = {kind: {} for kind in SHARES}
        for number, secrets in self.rotated.items():
            function = self.functions[number]
            arns[function.kind][role_arn(function.role)] = [secret.arn for secret in secrets]
        return {
            "rotations": sum(len(secrets) for secrets in self.rotated.values()),
            "functions": len(self.rotated),
            "lacking": arns[Kind.LACKING],
            "broad": arns[Kind.BROAD],
        }


def _kinds(functions: int, random: Random) -> list[Kind]:
    """Return the kind of each function, in the proportions of `SHARES`."""
    kinds = [kind for kind, share in SHARES.items() for _ in range(round(share * functions))]
    kinds = (kinds + [Kind.STRICT] * functions)[:functions]
    random.shuffle(kinds)
    return kinds


# --- calls ------------------------------------------------------------------------------------------------------------


class _ServiceError(Exception):
    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code, message)
        self.code, self.message, self.status = code, message, status


Parameters = dict[str, Any]
_DAY = 86_400


class FakeAws:
    """The calls that the account supports. Their names are IAM actions."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.unsupported: Counter[str] = Counter()
        """Calls that are not supported."""
        self._buckets = {call: bucket for bucket in map(Bucket, QUOTAS) for call in bucket.quota.calls}
        self._now = int(time.time())
        self._calls: dict[str, Callable[[Parameters], Any]] = {
            "secretsmanager:ListSecrets": self._list_secrets,
            "secretsmanager:DescribeSecret": self._describe_secret,
            "secretsmanager:ListSecretVersionIds": self._list_secret_version_ids,
            "secretsmanager:GetResourcePolicy": self._get_resource_policy,
            "kms:DescribeKey": self._describe_key,
            "kms:GetKeyPolicy": self._get_key_policy,
            "lambda:GetFunctionConfiguration": lambda parameters: self._configuration(self._function(parameters)),
            "lambda:GetFunction": self._get_function,
            "lambda:GetPolicy": self._get_function_policy,
            "lambda:ListFunctions": self._list_functions,
            "iam:GetAccountAuthorizationDetails": self._get_account_authorization_details,
            "iam:SimulatePrincipalPolicy": self._simulate_principal_policy,
            "iam:GetRole": lambda parameters: f"<Role>{_role_elements(self._role(parameters))}</Role>",
            "iam:ListRolePolicies": self._list_role_policies,
            "iam:GetRolePolicy": self._get_role_policy,
            "iam:ListAttachedRolePolicies": self._list_attached_role_policies,
            "iam:GetPolicy": lambda parameters: f"<Policy>{_policy_elements(_managed(parameters))}</Policy>",
            "iam:GetPolicyVersion": lambda parameters: _policy_version("PolicyVersion", _managed(parameters)),
            "sts:GetCallerIdentity": self._get_caller_identity,
        }

    def call(self, action: str, parameters: Parameters) -> Any:
        """Return the response of a call: a dictionary or, for IAM and STS, the text of the XML element of the result.

        Raises:
            _ServiceError: the call is throttled, not supported, or names what does not exist.
        """
        function = self._calls.get(action)
        if function is None:
            self.unsupported[action] += 1
            raise _ServiceError("NotSupported", f"The fake AWS of the benchmark does not support {action}.")
        service = action.partition(":")[0]
        bucket = self._buckets.get(action) or self._buckets[f"{service}:"]
        if not bucket.admits(action):
            raise _throttled(service)
        try:
            return function(parameters)
        except KeyError as error:
            raise _not_found(service, str(error)) from error

    def statistics(self) -> dict[str, Any]:
        """Return the calls so far as data for JSON."""
        buckets = {id(bucket): bucket for bucket in self._buckets.values()}.values()
        return {"quotas": [bucket.statistics() for bucket in buckets], "unsupported": dict(self.unsupported)}

    def warm_up(self) -> None:
        """Build the large responses before the first call."""
        _ = self._details

    # --- Secrets Manager ---

    def _list_secrets(self, parameters: Parameters) -> dict[str, Any]:
        if "Filters" in parameters:
            raise _ServiceError("InvalidParameterException", "The fake AWS of the benchmark does not support Filters.")
        start = int(parameters.get("NextToken", 0))
        end = start + min(100, parameters.get("MaxResults", 100))
        page = self.account.secrets[start:end]
        token = {"NextToken": str(end)} if end < len(self.account.secrets) else {}
        # ListSecrets and DescribeSecret name the versions differently.
        return {"SecretList": [self._secret(secret, "SecretVersionsToStages") for secret in page], **token}

    def _describe_secret(self, parameters: Parameters) -> dict[str, Any]:
        return self._secret(self.account.secrets_by_id[parameters["SecretId"]], "VersionIdsToStages")

    def _secret(self, secret: FakeSecret, versions: str) -> dict[str, Any]:
        content = {
            "ARN": secret.arn,
            "Name": secret.name,
            "Description": "Credentials of a database",
            "CreatedDate": self._now - 400.5 * _DAY,
            "LastChangedDate": self._now - 3.5 * _DAY,
            "LastAccessedDate": self._now - 1.0 * _DAY,
            "Tags": [
                {"Key": "aws:cloudformation:stack-name", "Value": secret.name.replace("/", "-")},
                {"Key": "aws:cloudformation:logical-id", "Value": "Secret"},
                {"Key": "team", "Value": "databases"},
            ],
            versions: {_version_id(secret, 1): ["AWSCURRENT"], _version_id(secret, 0): ["AWSPREVIOUS"]},
        }
        if secret.key_arn:
            content["KmsKeyId"] = secret.key_arn
        if secret.function >= 0:
            content |= {
                "RotationEnabled": True,
                "RotationLambdaARN": self.account.functions[secret.function].arn,
                "RotationRules": {"AutomaticallyAfterDays": 30},
                "LastRotatedDate": self._now - 3.5 * _DAY,
                "NextRotationDate": self._now + 26.5 * _DAY,
            }
        return content

    def _list_secret_version_ids(self, parameters: Parameters) -> dict[str, Any]:
        secret = self.account.secrets_by_id[parameters["SecretId"]]
        return {
            "ARN": secret.arn,
            "Name": secret.name,
            "Versions": [
                {
                    "VersionId": _version_id(secret, number),
                    "VersionStages": [stage],
                    "CreatedDate": self._now - days * _DAY,
                    "LastAccessedDate": self._now - 1.0 * _DAY,
                    "KmsKeyIds": [secret.key_arn or "DefaultEncryptionKey"],
                }
                for number, stage, days in ((1, "AWSCURRENT", 3.5), (0, "AWSPREVIOUS", 33.5))
            ],
        }

    def _get_resource_policy(self, parameters: Parameters) -> dict[str, Any]:
        secret = self.account.secrets_by_id[parameters["SecretId"]]
        content = {"ARN": secret.arn, "Name": secret.name}
        # One secret in twenty has a policy, for another role.
        if int(secret.name[-5:]) % 20 == 0:
            principal = {"Principal": {"AWS": role_arn("application-00000")}}
            content["ResourcePolicy"] = json.dumps(_document(_allow(["secretsmanager:GetSecretValue"]) | principal))
        return content

    # --- KMS ---

    def _describe_key(self, parameters: Parameters) -> dict[str, Any]:
        key_id = parameters["KeyId"]
        is_aws_managed = key_id.endswith("alias/aws/secretsmanager")
        key_arn = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/aws-managed" if is_aws_managed else self._key(key_id)
        return {
            "KeyMetadata": {
                "AWSAccountId": ACCOUNT,
                "Arn": key_arn,
                "CreationDate": self._now - 500.5 * _DAY,
                "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
                "Description": "",
                "Enabled": True,
                "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
                "KeyId": key_arn.rpartition("/")[2],
                "KeyManager": "AWS" if is_aws_managed else "CUSTOMER",
                "KeySpec": "SYMMETRIC_DEFAULT",
                "KeyState": "Enabled",
                "KeyUsage": "ENCRYPT_DECRYPT",
                "MultiRegion": False,
                "Origin": "AWS_KMS",
            }
        }

    def _get_key_policy(self, parameters: Parameters) -> dict[str, Any]:
        self._key(parameters["KeyId"])
        root = {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
        return {"Policy": json.dumps(_document(_allow(["kms:*"]) | root)), "PolicyName": "default"}

    def _key(self, key_id: str) -> str:
        key_arn = key_id if key_id.startswith("arn:") else f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key_id}"
        if key_arn not in self._key_arns:
            raise KeyError(key_id)
        return key_arn

    @cached_property
    def _key_arns(self) -> frozenset[str]:
        return frozenset(self.account.keys)

    # --- Lambda ---

    def _function(self, parameters: Parameters) -> FakeFunction:
        return self.account.functions_by_name[
            parameters["FunctionName"].partition(":function:")[2] or parameters["FunctionName"]
        ]

    def _get_function(self, parameters: Parameters) -> dict[str, Any]:
        code = {"RepositoryType": "S3", "Location": f"https://awslambda-{REGION}-tasks.s3.{REGION}.amazonaws.com/code"}
        return {"Configuration": self._configuration(self._function(parameters)), "Code": code, "Tags": {}}

    def _configuration(self, function: FakeFunction) -> dict[str, Any]:
        state = {"State": "Active", "LastUpdateStatus": "Successful"}
        return _function_entry(function) | state

    def _get_function_policy(self, parameters: Parameters) -> dict[str, Any]:
        function = self._function(parameters)
        statement = {
            "Sid": "SecretsManager",
            "Effect": "Allow",
            "Principal": {"Service": "secretsmanager.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": function.arn,
            "Condition": {"StringEquals": {"AWS:SourceAccount": ACCOUNT}},
        }
        document = {**_document(statement), "Id": "default"}
        return {"Policy": json.dumps(document), "RevisionId": "11111111-2222-3333-4444-555555555555"}

    def _list_functions(self, parameters: Parameters) -> dict[str, Any]:
        start = int(parameters.get("Marker", 0))
        end = start + min(50, int(parameters.get("MaxItems", 50)))
        marker = {"NextMarker": str(end)} if end < len(self.account.functions) else {}
        # Entries of ListFunctions have no State.
        return {"Functions": [_function_entry(each) for each in self.account.functions[start:end]], **marker}

    # --- IAM and STS ---

    @cached_property
    def _details(self) -> list[tuple[str, str]]:
        """The filter and the XML of each element of GetAccountAuthorizationDetails."""
        roles = [("Role", f"<member>{_role_details(role)}</member>") for role in self.account.roles.values()]
        policies = [
            (
                "AWSManagedPolicy" if ":iam::aws:" in arn else "LocalManagedPolicy",
                f"<member>{_policy_elements(arn)}<PolicyVersionList>{_policy_version('member', arn)}"
                "</PolicyVersionList></member>",
            )
            for arn in _MANAGED_POLICIES
        ]
        return roles + policies

    def _get_account_authorization_details(self, parameters: Parameters) -> str:
        filters = set(_members(parameters, "Filter"))
        details = [(kind, text) for kind, text in self._details if not filters or kind in filters]
        page, paging = _page(details, parameters)
        roles = "".join(text for kind, text in page if kind == "Role")
        policies = "".join(text for kind, text in page if kind != "Role")
        return (
            f"{paging}<UserDetailList/><GroupDetailList/><RoleDetailList>{roles}</RoleDetailList>"
            f"<Policies>{policies}</Policies>"
        )

    def _simulate_principal_policy(self, parameters: Parameters) -> str:
        """Return ``allowed`` for all actions and resources."""
        role = self.account.roles[parameters["PolicySourceArn"].rpartition("/")[2]]
        boundary = "<AllowedByPermissionsBoundary>true</AllowedByPermissionsBoundary>"
        boundary = f"<PermissionsBoundaryDecisionDetail>{boundary}</PermissionsBoundaryDecisionDetail>"
        results = "".join(
            f"<member><EvalActionName>{action}</EvalActionName><EvalResourceName>{resource}</EvalResourceName>"
            "<EvalDecision>allowed</EvalDecision><MatchedStatements/><MissingContextValues/>"
            f"{boundary if role.boundary else ''}</member>"
            for action in _members(parameters, "ActionNames")
            for resource in _members(parameters, "ResourceArns") or ["*"]
        )
        return f"<IsTruncated>false</IsTruncated><EvaluationResults>{results}</EvaluationResults>"

    def _role(self, parameters: Parameters) -> FakeRole:
        return self.account.roles[parameters["RoleName"]]

    def _list_role_policies(self, parameters: Parameters) -> str:
        page, paging = _page(list(self._role(parameters).inline), parameters)
        names = "".join(f"<member>{name}</member>" for name in page)
        return f"{paging}<PolicyNames>{names}</PolicyNames>"

    def _get_role_policy(self, parameters: Parameters) -> str:
        role, name = self._role(parameters), parameters["PolicyName"]
        return f"<RoleName>{role.name}</RoleName>{_inline(name, role.inline[name])}"

    def _list_attached_role_policies(self, parameters: Parameters) -> str:
        page, paging = _page(list(self._role(parameters).attached), parameters)
        return f"{paging}<AttachedPolicies>{_attached(page)}</AttachedPolicies>"

    def _get_caller_identity(self, _: Parameters) -> str:
        return (
            f"<Arn>arn:aws:sts::{ACCOUNT}:assumed-role/auditor/session</Arn><UserId>AROAEXAMPLE:session</UserId>"
            f"<Account>{ACCOUNT}</Account>"
        )


def _version_id(secret: FakeSecret, number: int) -> str:
    return f"{secret.name[-5:]}000-0000-4000-8000-{number:012}"


def _function_entry(function: FakeFunction) -> dict[str, Any]:
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


def _managed(parameters: Parameters) -> str:
    arn = parameters["PolicyArn"]
    if arn not in _MANAGED_POLICIES:
        raise KeyError(arn)
    return str(arn)


def _encoded(document: Document) -> str:
    """Return a policy document as in IAM's responses."""
    return quote(json.dumps(document), safe="")


def _inline(name: str, document: Document) -> str:
    return f"<PolicyName>{name}</PolicyName><PolicyDocument>{_encoded(document)}</PolicyDocument>"


def _attached(arns: tuple[str, ...] | list[str]) -> str:
    return "".join(
        f"<member><PolicyName>{arn.rpartition('/')[2]}</PolicyName><PolicyArn>{arn}</PolicyArn></member>"
        for arn in arns
    )


def _role_elements(role: FakeRole) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": role.service}, "Action": "sts:AssumeRole"}
    boundary = (
        "<PermissionsBoundary><PermissionsBoundaryType>Policy</PermissionsBoundaryType>"
        f"<PermissionsBoundaryArn>{role.boundary}</PermissionsBoundaryArn></PermissionsBoundary>"
    )
    return (
        f"<Path>/</Path><RoleName>{role.name}</RoleName><RoleId>AROAEXAMPLE{role.name.upper()}</RoleId>"
        f"<Arn>{role_arn(role.name)}</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate>"
        f"<AssumeRolePolicyDocument>{_encoded(_document(trust))}</AssumeRolePolicyDocument>"
        f"{boundary if role.boundary else ''}"
    )


def _role_details(role: FakeRole) -> str:
    inline = "".join(f"<member>{_inline(name, document)}</member>" for name, document in role.inline.items())
    return (
        f"{_role_elements(role)}<InstanceProfileList/><RolePolicyList>{inline}</RolePolicyList>"
        f"<AttachedManagedPolicies>{_attached(role.attached)}</AttachedManagedPolicies><Tags/>"
        "<RoleLastUsed><LastUsedDate>2026-01-02T00:00:00Z</LastUsedDate>"
        f"<Region>{REGION}</Region></RoleLastUsed>"
    )


def _policy_elements(arn: str) -> str:
    name = arn.rpartition("/")[2]
    return (
        f"<PolicyName>{name}</PolicyName><PolicyId>ANPAEXAMPLE{name.upper()}</PolicyId><Arn>{arn}</Arn>"
        f"<Path>/{'service-role/' if '/service-role/' in arn else ''}</Path><DefaultVersionId>v1</DefaultVersionId>"
        "<AttachmentCount>1</AttachmentCount><PermissionsBoundaryUsageCount>0</PermissionsBoundaryUsageCount>"
        "<IsAttachable>true</IsAttachable><CreateDate>2026-01-01T00:00:00Z</CreateDate>"
        "<UpdateDate>2026-01-01T00:00:00Z</UpdateDate>"
    )


def _policy_version(element: str, arn: str) -> str:
    return (
        f"<{element}><Document>{_encoded(_MANAGED_POLICIES[arn])}</Document><VersionId>v1</VersionId>"
        f"<IsDefaultVersion>true</IsDefaultVersion><CreateDate>2026-01-01T00:00:00Z</CreateDate></{element}>"
    )


def _members(parameters: Parameters, name: str) -> list[str]:
    """Return the members of a list parameter of the Query protocol."""
    return [escape(value) for key, value in parameters.items() if key.startswith(f"{name}.member.")]


def _page(items: list[Any], parameters: Parameters) -> tuple[list[Any], str]:
    """Return a page of an IAM response, and its elements for paging."""
    start = int(parameters.get("Marker", 0))
    end = start + min(1000, int(parameters.get("MaxItems", 100)))
    if end >= len(items):
        return items[start:], "<IsTruncated>false</IsTruncated>"
    return items[start:end], f"<IsTruncated>true</IsTruncated><Marker>{end}</Marker>"


def _throttled(service: str) -> _ServiceError:
    """Return the error for too many calls, which differs by service."""
    match service:
        case "lambda":
            return _ServiceError("TooManyRequestsException", "Rate exceeded", 429)
        case "secretsmanager":
            return _ServiceError("ThrottlingException", "Rate exceeded")
        case "kms":
            message = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."
            return _ServiceError("ThrottlingException", message)
        case _:
            return _ServiceError("Throttling", "Rate exceeded")


def _not_found(service: str, name: str) -> _ServiceError:
    match service:
        case "lambda":
            return _ServiceError("ResourceNotFoundException", f"Function not found: {name}", 404)
        case "secretsmanager":
            message = "Secrets Manager can't find the specified secret."
            return _ServiceError("ResourceNotFoundException", message)
        case "kms":
            return _ServiceError("NotFoundException", f"Key {name} does not exist")
        case _:
            return _ServiceError("NoSuchEntity", f"{name} cannot be found.", 404)


# --- protocols --------------------------------------------------------------------------------------------------------


class Response(NamedTuple):
    """An HTTP response."""

    status: int
    content_type: str
    body: bytes
    error_type: str = ""
    latency: float = LATENCY


_PREFIXES = {"secretsmanager": "secretsmanager", "TrentService": "kms"}
"""Prefixes of IAM actions by prefix of `X-Amz-Target`."""
_QUERY_SERVICES = {"2010-05-08": "iam", "2011-06-15": "sts"}
"""Services of the Query protocol by version of their API."""
_LAMBDA_CALLS = {"": "GetFunction", "configuration": "GetFunctionConfiguration", "policy": "GetPolicy"}
"""Calls by the end of their path."""


def respond(aws: FakeAws, method: str, target: str, headers: dict[str, str], body: bytes) -> Response:
    """Return the response to an HTTP request. `headers` is keyed by name in lower case."""
    path, query = urlsplit(target).path, urlsplit(target).query
    if path == "/statistics":
        return Response(200, "application/json", json.dumps(aws.statistics()).encode(), latency=0.0)
    if "x-amz-target" in headers:
        service, _, operation = headers["x-amz-target"].partition(".")
        action = f"{_PREFIXES.get(service, service)}:{operation}"
        return _json_response(aws, action, json.loads(body), "application/x-amz-json-1.1")
    if path.startswith("/2015-03-31/functions"):
        name, _, operation = path.removeprefix("/2015-03-31/functions").strip("/").partition("/")
        action = _LAMBDA_CALLS.get(operation, f"{method} {path}") if name else "ListFunctions"
        if method != "GET":
            action = f"{method} {path}"
        parameters = {key: values[0] for key, values in parse_qs(query).items()} | {"FunctionName": unquote(name)}
        return _json_response(aws, f"lambda:{action}", parameters, "application/json")
    parameters = {key: values[0] for key, values in parse_qs(body.decode()).items()}
    version, operation = parameters.get("Version", ""), parameters.get("Action", f"{method} {path}")
    return _xml_response(aws, _QUERY_SERVICES.get(version, "unknown"), version, operation, parameters)


def _json_response(aws: FakeAws, action: str, parameters: Parameters, content_type: str) -> Response:
    try:
        return Response(200, content_type, json.dumps(aws.call(action, parameters)).encode())
    except _ServiceError as error:
        content = {"__type": error.code, "message": error.message}
        return Response(error.status, content_type, json.dumps(content).encode(), error.code)


def _xml_response(aws: FakeAws, service: str, version: str, operation: str, parameters: Parameters) -> Response:
    namespace = f"https://{service}.amazonaws.com/doc/{version}/"
    metadata = "<RequestId>00000000-0000-0000-0000-000000000000</RequestId>"
    try:
        text = (
            f'<{operation}Response xmlns="{namespace}"><{operation}Result>'
            f"{aws.call(f'{service}:{operation}', parameters)}</{operation}Result>"
            f"<ResponseMetadata>{metadata}</ResponseMetadata></{operation}Response>"
        )
        return Response(200, "text/xml", text.encode())
    except _ServiceError as error:
        text = (
            f'<ErrorResponse xmlns="{namespace}"><Error><Type>Sender</Type><Code>{error.code}</Code>'
            f"<Message>{escape(error.message)}</Message></Error>{metadata}</ErrorResponse>"
        )
        return Response(error.status, "text/xml", text.encode())


class _Connection(asyncio.Protocol):
    """An HTTP/1.1 connection that stays open. The client waits for each response before it sends the next request."""

    def __init__(self, aws: FakeAws) -> None:
        self._aws = aws
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # narrows the type
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Respond after the latency, as soon as the request is complete."""
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        request_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if len(rest) < int(headers.get("content-length", 0)):
            return
        self._buffer.clear()
        method, target, _ = request_line.split(" ")
        response = respond(self._aws, method, target, headers, bytes(rest))
        asyncio.get_running_loop().call_later(response.latency, self._send, response)

    def _send(self, response: Response) -> None:
        error_type = f"x-amzn-errortype: {response.error_type}\r\n" if response.error_type else ""
        head = (
            f"HTTP/1.1 {response.status} Status\r\nContent-Type: {response.content_type}\r\n{error_type}"
            f"x-amzn-RequestId: 00000000-0000-0000-0000-000000000000\r\nContent-Length: {len(response.body)}\r\n\r\n"
        )
        if self._transport and not self._transport.is_closing():
            self._transport.write(head.encode() + response.body)


async def _serve(secrets: int) -> None:
    account = Account(secrets)
    aws = FakeAws(account)
    aws.warm_up()
    # A collection would look at all of the account.
    gc.freeze()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(aws), "127.0.0.1", 0, backlog=1024)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(json.dumps({"url": url, **account.expectations()}), flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve the account until the process ends."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit_account", description=__doc__.split("\n\n")[0])
    parser.add_argument("--secrets", type=int, default=1000, help="number of secrets (1000)")
    try:
        asyncio.run(_serve(parser.parse_args().secrets))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
