"""Describe secrets: the rotated ones, and superuser secrets."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import (
    AccessDeniedError,
    AwsApiError,
    CallError,
    ErrorCode,
    RequestError,
    SecretDeniedError,
    quoted,
)
from rotation_role_policy.iam.document import JsonDocument, as_list
from rotation_role_policy.lookup.keys import Keys
from rotation_role_policy.rules.state import Secret
from rotation_role_policy.rules.targets import TARGET_TYPES

if TYPE_CHECKING:
    from types_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef, SecretListEntryTypeDef

    Description = DescribeSecretResponseTypeDef | SecretListEntryTypeDef

ExistingDocument = Callable[[], JsonDocument | None]
"""Returns the document of the resource's existing policy; None if there is none."""

_ROTATED_LABELS = ("AWSCURRENT", "AWSPENDING", "AWSPREVIOUS")
"""The versions of a rotated secret that AWS's rotation functions read."""
_SUPERUSER_LABELS = ("AWSCURRENT",)
_MANAGING_SERVICES = ("rds", "redshift")
"""The owners of managed superuser secrets, whose tags name the database."""


class Described(NamedTuple):
    """What DescribeSecret says about a secret that a property names."""

    description: DescribeSecretResponseTypeDef
    partial_arn: str = ""
    """As in `state.Secret`."""


def describe_secret(aws: Aws, property_name: str, secret_id: str, existing_document: ExistingDocument) -> Described:
    """Return the response of DescribeSecret for the secret that a property names.

    AWS can take a partial ARN for a full one, if the secret's name ends in a hyphen and six characters. The secret is
    then not found, or access to it is denied, and it is looked up by its name.
    https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot.html#ARN_secretnamehyphen

    Args:
        aws: makes the calls.
        property_name: the property.
        secret_id: its value: full ARN, partial ARN or name.
        existing_document: returns the document of the resource's existing policy. An ARN in it is a full ARN.

    Raises:
        RequestError: the secret does not exist, is scheduled for deletion, or AWS denies the call.
    """
    subject = f"{property_name} {quoted(secret_id)}"
    try:
        found = Described(_describe(aws, property_name, secret_id))
    except RequestError as error:
        is_undecided = error.error_code in (ErrorCode.NOT_FOUND, ErrorCode.ACCESS_DENIED)
        by_name = _describe_by_name(aws, secret_id, existing_document) if is_undecided else None
        if by_name is None:
            raise
        found = Described(by_name, secret_id)
    if found.description.get("DeletedDate"):
        raise RequestError(
            f"{subject}: the secret is scheduled for deletion. Restore it (aws secretsmanager restore-secret), or use"
            f" another secret.",
            ErrorCode.RESOURCE_CONFLICT,
        )
    return found


def describe_secret_in_any_state(aws: Aws, secret_id: str) -> DescribeSecretResponseTypeDef:
    """Return the response of DescribeSecret, also for a secret that is scheduled for deletion.

    A partial ARN that AWS takes for a full one is looked up by its name. Raises as `Aws.call`.
    """
    try:
        return aws.call(aws.secretsmanager.describe_secret, SecretId=secret_id)
    except CallError:
        by_name = _describe_by_name(aws, secret_id, lambda: None)
        if by_name is None:
            raise
        return by_name


def _describe(aws: Aws, property_name: str, secret_id: str) -> DescribeSecretResponseTypeDef:
    subject = f"{property_name} {quoted(secret_id)}"
    try:
        return aws.call(aws.secretsmanager.describe_secret, SecretId=secret_id)
    except AccessDeniedError as error:
        raise SecretDeniedError(error, subject, aws.region()) from error
    except AwsApiError as error:
        if error.code == "ResourceNotFoundException":
            raise RequestError(
                f"{subject}: the secret does not exist in {aws.region()}. Correct {property_name}, or create the secret"
                f" first (DependsOn).",
                ErrorCode.NOT_FOUND,
            ) from error
        raise


def _describe_by_name(
    aws: Aws, secret_id: str, existing_document: ExistingDocument
) -> DescribeSecretResponseTypeDef | None:
    """Return the secret of which `secret_id` is a partial ARN; None if it is none, or if nothing is certain."""
    name = arn.name_in_partial_arn(secret_id)
    if not name:
        return None
    with suppress(RequestError):
        if _is_resource(secret_id, existing_document()):
            # It was a full ARN, and the secret is gone.
            return None
        secret = aws.call(aws.secretsmanager.describe_secret, SecretId=name)
        return secret if arn.is_partial(secret_id, secret["ARN"]) else None
    return None


def _is_resource(secret_arn: str, document: JsonDocument | None) -> bool:
    """Return whether an ARN is a resource of a statement in a document."""
    statements = as_list((document or {}).get("Statement", []))
    return any(secret_arn in as_list(statement.get("Resource", [])) for statement in statements)


def check_function_can_rotate(subject: str, secret: Description) -> None:
    """Raise `RequestError` if the secret is rotated without a function, or only its primary secret is rotated."""
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/service-linked-secrets.html
    if owner := secret.get("OwningService"):
        raise RequestError(
            f"{subject}: the service {quoted(owner)} manages this secret and rotates it without a function. Remove this"
            f" resource, or use the secret as SuperuserSecretId.",
        )
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/managed-external-secrets.html
    if partner := secret.get("Type"):
        raise RequestError(
            f"{subject}: this is a managed external secret of {quoted(partner)}, which Secrets Manager rotates without"
            f" a function. Remove this resource.",
        )
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/replicate-secrets.html
    if primary := primary_of(secret):
        raise RequestError(
            f"{subject}: this secret is a replica, and only its primary secret in {primary} can be rotated. Move this"
            f" resource to a stack there.",
        )


def primary_of(secret: Description) -> str:
    """Return the region or the account of a replica's primary secret; empty if the secret is not a replica."""
    if primary := _untyped(secret).get("CrossAccountPrimary"):
        return f"the account {arn.parse(primary['PrimarySecretARN']).account}"
    region = secret.get("PrimaryRegion")
    return region if region and region != arn.parse(secret["ARN"]).region else ""


def rotated_secret(keys: Keys, property_name: str, secret: Description, partial_arn: str = "") -> Secret:
    """Return the state of a rotated secret.

    Args:
        keys: looks up the keys.
        property_name: the property that names the secret, for error messages.
        secret: response of DescribeSecret, or its member in a response of ListSecrets.
        partial_arn: as in `state.Secret`.

    Raises:
        RequestError: the secret's key, or an earlier key of a version in use, cannot be used, or an AWS call failed.
    """
    in_accounts = _untyped(secret).get("CrossAccountReplicas", ())
    return replace(
        _secret(keys, property_name, secret, _ROTATED_LABELS, partial_arn),
        failed_replicas=failed_replicas(secret),
        replicas_without_role=tuple(
            replica["ReplicaSecretARN"] for replica in in_accounts if not replica.get("ReplicationRoleARN")
        ),
    )


def failed_replicas(secret: Description) -> tuple[str, ...]:
    """Return the regions or ARNs of the replicas to which Secrets Manager could not replicate a secret.

    Args:
        secret: response of DescribeSecret. ListSecrets has no members about replicas.
    """
    members = _untyped(secret)
    in_regions, in_accounts = members.get("ReplicationStatus", ()), members.get("CrossAccountReplicas", ())
    # Right after a secret was created, InProgress is normal.
    return (
        *(replica["Region"] for replica in in_regions if replica.get("Status") == "Failed"),
        *(replica["ReplicaSecretARN"] for replica in in_accounts if replica.get("ReplicationStatus") == "Failed"),
    )


def _secret(keys: Keys, property_name: str, secret: Description, labels: tuple[str, ...], partial_arn: str) -> Secret:
    """Return what the state of a rotated secret and that of a superuser secret have in common."""
    found = keys.keys_of(property_name, secret, labels)
    return Secret(
        secret["ARN"],
        found.key_arn,
        _tags(secret),
        earlier_key_arns=found.earlier_key_arns,
        previous_key_arns=found.previous_key_arns,
        unreadable_previous=found.unreadable_previous,
        keys_not_described=found.keys_not_described,
        rotation_function_id=secret.get("RotationLambdaARN", "") if secret.get("RotationEnabled") else "",
        pending_since=found.pending_since,
        partial_arn=partial_arn,
    )


def superuser_secret_of(keys: Keys, property_name: str, secret: Description, partial_arn: str = "") -> Secret:
    """Return the state of a superuser secret. Arguments and errors as for `rotated_secret`."""
    superuser_secret = _secret(keys, property_name, secret, _SUPERUSER_LABELS, partial_arn)
    owner = secret.get("OwningService", "")
    if owner not in _MANAGING_SERVICES:
        # Any user can set the tags of such a secret.
        return superuser_secret
    return replace(superuser_secret, managed_by=owner, database_arns=_database_arns(property_name, secret))


def _database_arns(property_name: str, secret: Description) -> tuple[str, ...]:
    """Return the databases that the tags of a managed secret name. The case of the tags' keys varies."""
    values = {key.lower(): value for key, value in _tags(secret)}
    database_arns = []
    for row in TARGET_TYPES:
        value = values.get(row.superuser_tag.lower())
        if value is None:
            continue
        if not row.pattern.fullmatch(value):
            raise RequestError(
                f"{property_name} {quoted(secret['Name'])}: the tag {row.superuser_tag} has the value"
                f" {quoted(value)}, which is not the ARN of {row.name}. Use a superuser secret that contains the"
                f" host of the database.",
            )
        database_arns.append(value)
    return tuple(database_arns)


def _untyped(secret: Description) -> dict[str, Any]:
    """Return a secret with the members that the types of an older botocore lack."""
    return cast(dict[str, Any], secret)


def _tags(secret: Description) -> tuple[tuple[str, str], ...]:
    return tuple((tag["Key"], tag.get("Value", "")) for tag in secret.get("Tags", ()))
