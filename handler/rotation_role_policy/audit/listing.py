"""List the rotated secrets of a region, and the functions of roles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from rotation_role_policy.audit.facts import ListedSecret, secret_ids
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.lookup.secrets import primary_of

if TYPE_CHECKING:
    from types_boto3_secretsmanager.type_defs import SecretListEntryTypeDef

_PAGE_SIZE = 100
_DESCRIPTION_MEMBERS = ("ARN", "Name", "KmsKeyId", "OwningService", "Tags")
"""What the state of a secret follows from. An account can have many secrets, and the rest is large."""


class Selection(NamedTuple):
    """Which secrets are audited. Without members: all that have a rotation function."""

    secret_ids: tuple[str, ...] = ()
    """Names, partial ARNs or full ARNs."""
    tags: tuple[tuple[str, str], ...] = ()
    """Keys and values. A secret needs all of them."""

    def includes(self, secret: ListedSecret) -> bool:
        """Return whether the secret is selected."""
        tags = {(tag["Key"], tag.get("Value", "")) for tag in secret.description.get("Tags", ())}
        return tags >= set(self.tags) and (
            not self.secret_ids or not secret_ids(secret.name, secret.arn).isdisjoint(self.secret_ids)
        )


def list_secrets(aws: Aws) -> Iterator[ListedSecret]:
    """Yield the secrets of the region that a function rotates."""
    for page in aws.paginate(aws.secretsmanager.list_secrets, MaxResults=_PAGE_SIZE):
        for secret in page["SecretList"]:
            function_id = secret.get("RotationLambdaARN")
            # Of a replicated secret, only the primary secret is rotated.
            if function_id and not secret.get("DeletedDate") and not primary_of(secret):
                yield _listed(secret, function_id)


def _listed(secret: SecretListEntryTypeDef, function_id: str) -> ListedSecret:
    description: Any = {name: value for name, value in secret.items() if name in _DESCRIPTION_MEMBERS}
    return ListedSecret(
        secret["ARN"],
        secret["Name"],
        function_id,
        description,
        bool(secret.get("RotationEnabled")),
        secret.get("RotationRules", {}).get("AutomaticallyAfterDays"),
        _utc(secret.get("LastRotatedDate")),
        _utc(secret.get("NextRotationDate")),
        _utc(secret.get("CreatedDate")),
        secret.get("RotationRules", {}).get("ScheduleExpression", ""),
        # Only a secret that is or was replicated has a primary region.
        bool(secret.get("PrimaryRegion")),
        _utc(secret.get("LastChangedDate")),
    )


def _utc(date: datetime | None) -> datetime | None:
    # botocore gives each date a time zone object of its own, which is larger than the date.
    return date and date.astimezone(UTC)


def functions_by_role(aws: Aws) -> Mapping[str, tuple[str, ...]]:
    """Return the unqualified ARNs of all functions of the region, by the ARN of their role.

    ListFunctions also returns the environment variables of the functions. Nothing of them is kept.
    """
    functions: dict[str, list[str]] = {}
    for page in aws.paginate(aws.lambda_.list_functions):
        for function in page["Functions"]:
            functions.setdefault(function["Role"], []).append(function["FunctionArn"])
    return {role_arn: tuple(function_arns) for role_arn, function_arns in functions.items()}
