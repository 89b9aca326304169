"""The calls that the fake AWS supports."""

import json
import time
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import Any

from load.audit_aws.account import (
    ACCOUNT,
    MANAGED_POLICIES,
    REGION,
    Account,
    FakeFunction,
    FakeRole,
    FakeSecret,
    allow,
    policy_document,
    role_arn,
)
from load.audit_aws.quotas import QUOTAS, QuotaBucket
from load.audit_aws.responses import (
    Parameters,
    ServiceError,
    attached_policies,
    function_entry,
    inline_policy,
    managed_policy_arn,
    members,
    not_found,
    page_of,
    policy_elements,
    policy_version,
    role_details,
    role_elements,
    throttled,
    version_id,
)

_DAY = 86_400


class FakeAws:
    """The calls that the account supports. Their names are IAM actions."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.unsupported: Counter[str] = Counter()
        """Calls that are not supported."""
        self._buckets = {call: bucket for bucket in map(QuotaBucket, QUOTAS) for call in bucket.quota.calls}
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
            "iam:GetRole": lambda parameters: f"<Role>{role_elements(self._role(parameters))}</Role>",
            "iam:ListRolePolicies": self._list_role_policies,
            "iam:GetRolePolicy": self._get_role_policy,
            "iam:ListAttachedRolePolicies": self._list_attached_role_policies,
            "iam:GetPolicy": lambda parameters: f"<Policy>{policy_elements(managed_policy_arn(parameters))}</Policy>",
            "iam:GetPolicyVersion": lambda parameters: policy_version("PolicyVersion", managed_policy_arn(parameters)),
            "sts:GetCallerIdentity": self._get_caller_identity,
        }

    def call(self, action: str, parameters: Parameters) -> Any:
        """Return the response of a call: a dictionary or, for IAM and STS, the text of the XML element of the result.

        Raises:
            ServiceError: the call is throttled, not supported, or names what does not exist.
        """
        function = self._calls.get(action)
        if function is None:
            self.unsupported[action] += 1
            raise ServiceError("NotSupported", f"The fake AWS of the benchmark does not support {action}.")
        service = action.partition(":")[0]
        bucket = self._buckets.get(action) or self._buckets[f"{service}:"]
        if not bucket.admits(action):
            raise throttled(service)
        try:
            return function(parameters)
        except KeyError as error:
            raise not_found(service, str(error)) from error

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
            raise ServiceError("InvalidParameterException", "The fake AWS of the benchmark does not support Filters.")
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
            versions: {version_id(secret, 1): ["AWSCURRENT"], version_id(secret, 0): ["AWSPREVIOUS"]},
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
                    "VersionId": version_id(secret, number),
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
            statement = allow(["secretsmanager:GetSecretValue"]) | principal
            content["ResourcePolicy"] = json.dumps(policy_document(statement))
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
        return {"Policy": json.dumps(policy_document(allow(["kms:*"]) | root)), "PolicyName": "default"}

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
        return function_entry(function) | state

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
        document = {**policy_document(statement), "Id": "default"}
        return {"Policy": json.dumps(document), "RevisionId": "11111111-2222-3333-4444-555555555555"}

    def _list_functions(self, parameters: Parameters) -> dict[str, Any]:
        start = int(parameters.get("Marker", 0))
        end = start + min(50, int(parameters.get("MaxItems", 50)))
        marker = {"NextMarker": str(end)} if end < len(self.account.functions) else {}
        # Entries of ListFunctions have no State.
        return {"Functions": [function_entry(each) for each in self.account.functions[start:end]], **marker}

    # --- IAM and STS ---

    @cached_property
    def _details(self) -> list[tuple[str, str]]:
        """The filter and the XML of each element of GetAccountAuthorizationDetails."""
        roles = [("Role", f"<member>{role_details(role)}</member>") for role in self.account.roles.values()]
        policies = [
            (
                "AWSManagedPolicy" if ":iam::aws:" in arn else "LocalManagedPolicy",
                f"<member>{policy_elements(arn)}<PolicyVersionList>{policy_version('member', arn)}"
                "</PolicyVersionList></member>",
            )
            for arn in MANAGED_POLICIES
        ]
        return roles + policies

    def _get_account_authorization_details(self, parameters: Parameters) -> str:
        filters = set(members(parameters, "Filter"))
        details = [(kind, text) for kind, text in self._details if not filters or kind in filters]
        page, paging = page_of(details, parameters)
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
            for action in members(parameters, "ActionNames")
            for resource in members(parameters, "ResourceArns") or ["*"]
        )
        return f"<IsTruncated>false</IsTruncated><EvaluationResults>{results}</EvaluationResults>"

    def _role(self, parameters: Parameters) -> FakeRole:
        return self.account.roles[parameters["RoleName"]]

    def _list_role_policies(self, parameters: Parameters) -> str:
        page, paging = page_of(list(self._role(parameters).inline), parameters)
        names = "".join(f"<member>{name}</member>" for name in page)
        return f"{paging}<PolicyNames>{names}</PolicyNames>"

    def _get_role_policy(self, parameters: Parameters) -> str:
        role, name = self._role(parameters), parameters["PolicyName"]
        return f"<RoleName>{role.name}</RoleName>{inline_policy(name, role.inline[name])}"

    def _list_attached_role_policies(self, parameters: Parameters) -> str:
        page, paging = page_of(list(self._role(parameters).attached), parameters)
        return f"{paging}<AttachedPolicies>{attached_policies(page)}</AttachedPolicies>"

    def _get_caller_identity(self, _: Parameters) -> str:
        return (
            f"<Arn>arn:aws:sts::{ACCOUNT}:assumed-role/auditor/session</Arn><UserId>AROAEXAMPLE:session</UserId>"
            f"<Account>{ACCOUNT}</Account>"
        )
