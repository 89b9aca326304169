"""Resources that a template will create: what AWS will answer about them, as far as the template shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol, cast

from rotation_role_policy.aws.errors import iam_action
from rotation_role_policy.aws.retries import Parameters, Response, Retries
from rotation_role_policy.errors import AwsApiError
from rotation_role_policy_cli.template.file import TemplateError
from rotation_role_policy_cli.template.stack import StackResource

# A name that the form of each ARN accepts. A secret's ARN ends in a hyphen and six characters.
_PLACEHOLDER = re.compile(r"planned-([A-Za-z0-9]+)-xxxxxx")


def placeholder(logical_id: str) -> str:
    """Return what stands for the name of a resource that does not exist yet."""
    return f"planned-{logical_id}-xxxxxx"


def with_names(text: str) -> str:
    """Return a text with ``<LogicalId>`` in place of each placeholder."""
    return _PLACEHOLDER.sub(r"<\1>", text)


def is_planned(text: str) -> bool:
    """Return whether a text has a placeholder."""
    return _PLACEHOLDER.search(text) is not None


_LAMBDA_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
"""The trust policy of the roles that SAM creates, and of a role whose policy cannot be resolved."""


class _Database(NamedTuple):
    """A type of resource for which a service creates and manages a secret."""

    service: str
    """``OwningService`` of the secret."""
    tag: str
    """The tag of the secret that has the ARN of the resource."""
    arn: tuple[str, str]
    """Service and prefix of this ARN."""
    key_property: tuple[str, ...]
    """The path of the property that names the secret's key."""


_DATABASES = {
    "AWS::RDS::DBCluster": _Database(
        "rds", "aws:rds:primaryDBClusterArn", ("rds", "cluster:"), ("MasterUserSecret", "KmsKeyId")
    ),
    "AWS::RDS::DBInstance": _Database(
        "rds", "aws:rds:primaryDBInstanceArn", ("rds", "db:"), ("MasterUserSecret", "KmsKeyId")
    ),
    "AWS::Redshift::Cluster": _Database(
        "redshift", "aws:redshift:primaryClusterArn", ("redshift", "cluster:"), ("MasterPasswordSecretKmsKeyId",)
    ),
    "AWS::RedshiftServerless::Namespace": _Database(
        "redshift",
        "aws:redshift-serverless:namespaceArn",
        ("redshift-serverless", "namespace/"),
        ("AdminPasswordSecretKmsKeyId",),
    ),
}


_TYPES = {
    "iam": ("AWS::IAM::Role",),
    "kms": ("AWS::KMS::Key",),
    "lambda": ("AWS::Lambda::Function", "AWS::Serverless::Function"),
    "secretsmanager": ("AWS::SecretsManager::Secret", "AWS::DocDB::DBCluster", *_DATABASES),
}
"""The types of resources about which a service can be asked. It answers for types that are not AWS's own, too."""


class PlannedTemplate(Protocol):
    """What a template shows of its resources."""

    def type_of(self, logical_id: str) -> str:
        """Return the type of a resource; empty if the template does not declare it."""

    def planned_property(self, logical_id: str, name: str) -> Any:
        """Return the value of a property, with its references resolved; None if there is none."""

    def alias_target(self, key_id: str) -> str | None:
        """Return the key of an alias that the template creates; None if it creates no such alias."""

    def planned_arn(self, service: str, resource: str) -> str:
        """Return an ARN in the user's account and region. The ARN of IAM has no region."""


def planned_resource(template: PlannedTemplate, logical_id: str, suffix: str) -> StackResource:
    """Return a resource that does not exist yet, with a placeholder as its physical ID.

    Args:
        template: that declares the resource.
        logical_id: of the resource.
        suffix: ``Alias`` or ``Version``, for those that SAM creates with a function; else empty.

    Raises:
        TemplateError: a property that names another resource is missing or cannot be resolved.
    """

    def required(name: str) -> str:
        value = template.planned_property(logical_id, name)
        if not isinstance(value, str):
            raise TemplateError(f"the resource {logical_id} has no {name}.")
        return value

    name, resource_type = placeholder(logical_id), template.type_of(logical_id)
    if resource_type == "AWS::SecretsManager::SecretTargetAttachment":
        return StackResource("AWS::SecretsManager::Secret", required("SecretId"))
    if resource_type == "AWS::KMS::Alias":
        return StackResource(resource_type, required("TargetKeyId"))
    if resource_type == "AWS::Lambda::Alias":
        function = required("FunctionName").rpartition(":")[2]
        return StackResource(resource_type, template.planned_arn("lambda", f"function:{function}:{required('Name')}"))
    if suffix:
        version = required("AutoPublishAlias") if suffix == "Alias" else "1"
        return StackResource("AWS::Lambda::Alias", template.planned_arn("lambda", f"function:{name}:{version}"))
    if resource_type == "AWS::SecretsManager::Secret":
        return StackResource(resource_type, template.planned_arn("secretsmanager", f"secret:{name}"))
    return StackResource(resource_type, name)


class PlannedResources(Retries):
    """Answers the calls about resources that do not exist yet. All others go to AWS.

    Args:
        retries: make the other calls.
        template: that creates the resources.
    """

    def __init__(self, retries: Retries, template: PlannedTemplate) -> None:
        super().__init__()
        self._retries = retries
        self._template = template
        self._answers: dict[str, Callable[[str, str], dict[str, Any]]] = {
            "secretsmanager:DescribeSecret": self._secret,
            "secretsmanager:ListSecretVersionIds": lambda *_: {"Versions": []},
            "secretsmanager:GetResourcePolicy": lambda *_: {},
            "kms:DescribeKey": self._key,
            "kms:GetKeyPolicy": self._key_policy,
            "kms:ListGrants": lambda *_: {"Grants": []},
            "lambda:GetFunctionConfiguration": self._function,
            "iam:GetRole": self._role,
            "iam:ListRolePolicies": lambda *_: {"PolicyNames": []},
            "iam:ListAttachedRolePolicies": lambda *_: {"AttachedPolicies": []},
            "iam:SimulatePrincipalPolicy": lambda *_: {"EvaluationResults": []},
        }

    def call(
        self, method: Callable[Parameters, Response], *args: Parameters.args, **parameters: Parameters.kwargs
    ) -> Response:
        """Return the answer about a planned resource, else call AWS.

        Raises:
            TemplateError: the resource has another type than the call is about.
            CallError: as AWS raises it.
        """
        about, action = str(next(iter(parameters.values()), "")), iam_action(method)
        if action == "kms:DescribeKey":
            about = self._template.alias_target(about) or about
            parameters["KeyId"] = about
        if match := _PLACEHOLDER.search(about):
            service = action.partition(":")[0]
            resource_type = self._template.type_of(match[1])
            if resource_type.startswith("AWS::") and resource_type not in _TYPES.get(service, ()):
                raise TemplateError(
                    f"the resource {match[1]} is an {resource_type}, about which {action} says nothing."
                    " Correct the reference."
                )
            if action not in self._answers:
                raise AwsApiError(action, "NoSuchEntity", f"{about} does not exist yet.")
            return cast(Response, self._answers[action](match[1], about))
        self._retries.deadline, self._retries.most_attempts = self.deadline, self.most_attempts
        return self._retries.call(method, *args, **parameters)

    def _secret(self, logical_id: str, _: str) -> dict[str, Any]:
        name = placeholder(logical_id)
        described: dict[str, Any] = {
            "ARN": self._template.planned_arn("secretsmanager", f"secret:{name}"),
            "Name": name,
        }
        first, *members = ("KmsKeyId",)
        if database := _DATABASES.get(self._template.type_of(logical_id)):
            service, prefix = database.arn
            owner = {"Key": database.tag, "Value": self._template.planned_arn(service, f"{prefix}{name}")}
            described |= {"OwningService": database.service, "Tags": [owner]}
            first, *members = database.key_property
        key_id: Any = self._template.planned_property(logical_id, first)
        for member in members:
            key_id = key_id.get(member) if isinstance(key_id, Mapping) else None
        return described | ({"KmsKeyId": key_id} if key_id else {})

    def _key(self, logical_id: str, _: str) -> dict[str, Any]:
        key_arn = self._template.planned_arn("kms", f"key/{placeholder(logical_id)}")
        return {"KeyMetadata": {"Arn": key_arn, "KeyState": "Enabled", "KeyManager": "CUSTOMER"}}

    def _key_policy(self, _: str, __: str) -> dict[str, Any]:
        root = self._template.planned_arn("iam", "root")
        allow = {"Effect": "Allow", "Principal": {"AWS": root}, "Action": "kms:*", "Resource": "*"}
        return {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [allow]})}

    def _function(self, logical_id: str, _: str) -> dict[str, Any]:
        role = self._template.planned_property(logical_id, "Role")
        vpc: Any = self._template.planned_property(logical_id, "VpcConfig")
        subnets = vpc.get("SubnetIds") if isinstance(vpc, Mapping) else None
        key = self._template.planned_property(logical_id, "KmsKeyArn")
        return {
            "FunctionArn": self._template.planned_arn("lambda", f"function:{placeholder(logical_id)}"),
            # SAM creates a role for a function that names none.
            "Role": role or self._template.planned_arn("iam", f"role/{placeholder(f'{logical_id}Role')}"),
            "VpcConfig": {"SubnetIds": subnets} if subnets else {},
            "LastModified": datetime.now(UTC).isoformat(timespec="milliseconds"),
            **({"KMSKeyArn": key} if key else {}),
        }

    def _role(self, logical_id: str, _: str) -> dict[str, Any]:
        name = placeholder(logical_id)
        role = {"RoleName": name, "Arn": self._template.planned_arn("iam", f"role/{name}")}
        try:
            trust = self._template.planned_property(logical_id, "AssumeRolePolicyDocument")
        except TemplateError:
            trust = None
        return {
            "Role": role | {"AssumeRolePolicyDocument": trust or _LAMBDA_TRUST, "CreateDate": datetime.now(UTC)},
        }
