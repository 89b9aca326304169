"""Resources that a template will create: what AWS will answer about them, as far as the template shows it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from rotation_role_policy.aws.errors import iam_action
from rotation_role_policy.aws.retries import Parameters, Response, Retries
from rotation_role_policy.errors import AwsApiError, CallError
from rotation_role_policy_cli.template.file import TemplateError
from rotation_role_policy_cli.template.names import (
    SCHEDULE,
    PlannedTemplate,
    alias_target,
    creates_version,
    named,
    value_at,
)
from rotation_role_policy_cli.template.placeholders import PLANNED_VERSION, logical_id_in, placeholder
from rotation_role_policy_cli.template.stack import StackResource

_NOT_FOUND = ("NoSuchEntity", "NotFoundException", "ResourceNotFoundException")


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
    attribute: str
    """The attribute that has the ARN of the secret."""
    switch: str
    """The property with which the service creates the secret."""


DATABASES = {
    "AWS::RDS::DBCluster": _Database(
        "rds",
        "aws:rds:primaryDBClusterArn",
        ("rds", "cluster:"),
        ("MasterUserSecret", "KmsKeyId"),
        "MasterUserSecret.SecretArn",
        "ManageMasterUserPassword",
    ),
    "AWS::RDS::DBInstance": _Database(
        "rds",
        "aws:rds:primaryDBInstanceArn",
        ("rds", "db:"),
        ("MasterUserSecret", "KmsKeyId"),
        "MasterUserSecret.SecretArn",
        "ManageMasterUserPassword",
    ),
    "AWS::Redshift::Cluster": _Database(
        "redshift",
        "aws:redshift:primaryClusterArn",
        ("redshift", "cluster:"),
        ("MasterPasswordSecretKmsKeyId",),
        "MasterPasswordSecretArn",
        "ManageMasterPassword",
    ),
    "AWS::RedshiftServerless::Namespace": _Database(
        "redshift",
        "aws:redshift-serverless:namespaceArn",
        ("redshift-serverless", "namespace/"),
        ("AdminPasswordSecretKmsKeyId",),
        "Namespace.AdminPasswordSecretArn",
        "ManageAdminPassword",
    ),
}


_TYPES = {
    "iam": ("AWS::IAM::Role",),
    "kms": ("AWS::KMS::Key", "AWS::KMS::ReplicaKey"),
    "lambda": ("AWS::Lambda::Function", "AWS::Serverless::Function", SCHEDULE),
    "secretsmanager": ("AWS::SecretsManager::Secret", *DATABASES),
}
"""The types of resources about which a service can be asked. It answers for types that are not AWS's own, too."""


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
    if resource_type in ("AWS::Lambda::Alias", "AWS::Lambda::Version"):
        function = required("FunctionName").rpartition(":")[2]
        qualifier = required("Name") if resource_type == "AWS::Lambda::Alias" else PLANNED_VERSION
        return StackResource(resource_type, template.planned_arn("lambda", f"function:{function}:{qualifier}"))
    if suffix:
        version = required("AutoPublishAlias") if suffix == "Alias" else PLANNED_VERSION
        return StackResource("AWS::Lambda::Alias", template.planned_arn("lambda", f"function:{name}:{version}"))
    if resource_type == "AWS::SecretsManager::Secret":
        return StackResource(resource_type, template.planned_arn("secretsmanager", f"secret:{name}"))
    if resource_type == "AWS::IAM::Role" and (role_name := template.planned_property(logical_id, "RoleName")):
        return StackResource(resource_type, str(role_name))
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
            "kms:DescribeKey": self._key,
            "lambda:GetFunctionConfiguration": self._function,
            "iam:GetRole": self._role,
            "iam:ListRolePolicies": lambda *_: {"PolicyNames": []},
            "iam:ListAttachedRolePolicies": lambda *_: {"AttachedPolicies": []},
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
            about = alias_target(self._template, about) or about
            parameters["KeyId"] = about
        if planned := logical_id_in(about):
            return cast(Response, self._answer(action, planned, about))
        self._retries.deadline, self._retries.most_attempts = self.deadline, self.most_attempts
        try:
            return self._retries.call(method, *args, **parameters)
        except CallError as error:
            qualifier = str(parameters.get("Qualifier", ""))
            if error.code not in _NOT_FOUND:
                raise
            if qualifier and creates_version(self._template, qualifier):
                # The function exists already, its version or alias not yet.
                del parameters["Qualifier"]
                return self.call(method, *args, **parameters)
            logical_id = named(self._template, action.partition(":")[0], about)
            if logical_id is None:
                raise
            return cast(Response, self._answer(action, logical_id, about))

    def _answer(self, action: str, logical_id: str, about: str) -> dict[str, Any]:
        """Return the answer about a planned resource."""
        resource_type = self._template.type_of(logical_id)
        if resource_type.startswith("AWS::") and resource_type not in _TYPES.get(action.partition(":")[0], ()):
            raise TemplateError(
                f"the resource {logical_id} is an {resource_type}, about which {action} says nothing."
                " Correct the reference."
            )
        if action not in self._answers:
            raise AwsApiError(action, "NoSuchEntity", f"{about} does not exist yet.")
        return self._answers[action](logical_id, about)

    def _secret(self, logical_id: str, _: str) -> dict[str, Any]:
        name = placeholder(logical_id)
        described: dict[str, Any] = {
            "ARN": self._template.planned_arn("secretsmanager", f"secret:{name}"),
            "Name": name,
        }
        path: tuple[str, ...] = ("KmsKeyId",)
        if database := DATABASES.get(self._template.type_of(logical_id)):
            service, prefix = database.arn
            owner = {"Key": database.tag, "Value": self._template.planned_arn(service, f"{prefix}{name}")}
            described |= {"OwningService": database.service, "Tags": [owner]}
            path = database.key_property
        key_id = value_at(self._template, logical_id, path)
        return described | ({"KmsKeyId": key_id} if key_id else {})

    def _key(self, logical_id: str, _: str) -> dict[str, Any]:
        key_arn = self._template.planned_arn("kms", f"key/{placeholder(logical_id)}")
        is_disabled = str(self._template.planned_property(logical_id, "Enabled")).lower() == "false"
        state = "Disabled" if is_disabled else "Enabled"
        return {"KeyMetadata": {"Arn": key_arn, "KeyState": state, "KeyManager": "CUSTOMER"}}

    def _function(self, logical_id: str, about: str) -> dict[str, Any]:
        # SAM creates a role for a function that names none, a hosted rotation for each function.
        role: Any = self._template.planned_arn("iam", f"role/{placeholder(f'{logical_id}Role')}")
        key = None
        if self._template.type_of(logical_id) == SCHEDULE:
            name = about.rpartition(":")[2]
            subnets = value_at(self._template, logical_id, ("HostedRotationLambda", "VpcSubnetIds"))
        else:
            name = placeholder(logical_id)
            subnets = value_at(self._template, logical_id, ("VpcConfig", "SubnetIds"))
            if declared := self._template.planned_property(logical_id, "Role"):
                role_id = named(self._template, "iam", str(declared))
                role = self._role(role_id, "")["Role"]["Arn"] if role_id else declared
            key = self._template.planned_property(logical_id, "KmsKeyArn")
        return {
            "FunctionArn": self._template.planned_arn("lambda", f"function:{name}"),
            "Role": role,
            "VpcConfig": {"SubnetIds": subnets} if subnets else {},
            "LastModified": datetime.now(UTC).isoformat(timespec="milliseconds"),
            **({"KMSKeyArn": key} if key else {}),
        }

    def _role(self, logical_id: str, _: str) -> dict[str, Any]:
        name = self._template.planned_property(logical_id, "RoleName") or placeholder(logical_id)
        path = self._template.planned_property(logical_id, "Path") or "/"
        role = {"RoleName": name, "Arn": self._template.planned_arn("iam", f"role{path}{name}")}
        try:
            trust = self._template.planned_property(logical_id, "AssumeRolePolicyDocument")
        except TemplateError:
            trust = None
        return {
            "Role": role | {"AssumeRolePolicyDocument": trust or _LAMBDA_TRUST, "CreateDate": datetime.now(UTC)},
        }
