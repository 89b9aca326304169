"""List the rotated secrets of a region, and look up their keys and functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.audit.bulk import BulkAws
from rotation_role_policy.audit.invocation import InvokePolicy, parse_invoke_policy
from rotation_role_policy.audit.lookups import Lookups, Workers
from rotation_role_policy.errors import AwsApiError, RequestError
from rotation_role_policy.lookup import inspection
from rotation_role_policy.lookup.keys import Keys
from rotation_role_policy.rules.state import Secret

if TYPE_CHECKING:
    from types_boto3_secretsmanager.type_defs import SecretListEntryTypeDef

SECRET_SUBJECT, SUPERUSER_SUBJECT = "The secret", "The superuser secret"
"""The subjects of messages about keys."""

# Enough threads for the account's rate, at 60 ms for each call. With many more, boto3's pacing wastes some of the rate
# (`make audit-load`).
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html: ListSecretVersionIds 50 per second.
_SECRET_THREADS = 4
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: GetPolicy 15 per second, the others together
# 15 per second.
_FUNCTION_THREADS = 2

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


class ListedSecret(NamedTuple):
    """A secret with a rotation function, from ListSecrets or DescribeSecret."""

    arn: str
    name: str
    function_id: str
    """`RotationLambdaARN`."""
    description: SecretListEntryTypeDef
    is_enabled: bool
    """Whether Secrets Manager rotates the secret on a schedule."""
    days: int | None
    """`AutomaticallyAfterDays`."""
    last_rotated: datetime | None
    next_rotation: datetime | None
    created: datetime | None


def secret_ids(name: str, secret_arn: str) -> frozenset[str]:
    """Return the IDs of a secret: its name, its full ARN, and its partial ARN without the random characters."""
    return frozenset({name, secret_arn, secret_arn.rpartition("-")[0]})


class FunctionDetails(NamedTuple):
    """A rotation function, or a version or alias of it."""

    function: inspection.Function
    lambda_state: str
    """`State` of GetFunctionConfiguration."""
    state_reason: str
    key_arn: str
    """The customer managed key of the function's environment variables; empty if there is none."""


@dataclass
class Inventory:
    """What was looked up in one region. Each member is filled until the workers have finished."""

    aws: BulkAws
    region: str
    keys: Keys
    states: Lookups[str, Secret]
    """By the ARN of the secret."""
    functions: Lookups[str, FunctionDetails]
    """By `RotationLambdaARN`."""
    invoke_policies: Lookups[str, InvokePolicy]
    """By `RotationLambdaARN`."""
    functions_of_roles: Lookups[str, Mapping[str, list[str]]]
    """One value, under the name of the region: the unqualified ARNs of all functions, by the ARN of their role."""
    superusers: Lookups[str, Secret]
    """By the ARN, or the partial ARN, that a policy has."""
    dns_suffix: str
    secrets: dict[str, ListedSecret] = field(default_factory=dict)
    """By ARN."""
    secrets_of: dict[str, list[ListedSecret]] = field(default_factory=dict)
    """By `RotationLambdaARN`."""
    ids_of_function: dict[str, list[str]] = field(default_factory=dict)
    """By unqualified ARN: each `RotationLambdaARN` of the function, with and without versions and aliases."""
    selected: set[str] = field(default_factory=set)
    """The ARNs of the secrets that the audit reports on."""
    selected_functions: dict[str, None] = field(default_factory=dict)
    """`RotationLambdaARN` of these secrets, in the order of the look-ups."""


def begin(aws: BulkAws, workers: Workers) -> Inventory:
    """Return an empty inventory of the client's region."""
    aws.build_clients()
    aws.stopped = workers.stopped
    keys = Keys(aws)
    inventory = Inventory(
        aws,
        aws.region(),
        keys,
        states=Lookups(workers, "secrets", _SECRET_THREADS, lambda secret_arn: _state(inventory, secret_arn)),
        functions=Lookups(workers, "functions", _FUNCTION_THREADS, partial(_function, aws)),
        invoke_policies=Lookups(workers, "functions", _FUNCTION_THREADS, partial(_invoke_policy, aws)),
        functions_of_roles=Lookups(workers, "functions", 1, lambda _: _functions_of_roles(aws)),
        superusers=Lookups(workers, "secrets", _SECRET_THREADS, partial(_superuser, aws, keys)),
        dns_suffix=aws.dns_suffix(aws.secretsmanager.meta.partition),
    )
    return inventory


def take(inventory: Inventory, selection: Selection) -> None:
    """List the secrets, and begin the look-ups.

    All secrets are listed, because the other secrets of a function determine what its role needs. The look-ups are for
    the functions of the selected secrets, and for all secrets of these functions. They run function by function, so
    that the first roles can be judged while the last functions are looked up.
    """
    for secret in _list(inventory.aws):
        inventory.secrets[secret.arn] = secret
        if secret.function_id not in inventory.secrets_of:
            function_arn, _ = arn.split_qualifier(secret.function_id)
            inventory.ids_of_function.setdefault(function_arn, []).append(secret.function_id)
        inventory.secrets_of.setdefault(secret.function_id, []).append(secret)
        if selection.includes(secret):
            inventory.selected.add(secret.arn)
            inventory.selected_functions[secret.function_id] = None
            # Lambda's rates are the lowest.
            inventory.functions_of_roles.add(inventory.region)
            inventory.functions.add(secret.function_id)
            inventory.invoke_policies.add(secret.function_id)
    for function_id in inventory.selected_functions:
        inventory.states.add_all(secret.arn for secret in inventory.secrets_of[function_id])


def _list(aws: BulkAws) -> Iterator[ListedSecret]:
    """Yield the secrets of the region that a function rotates."""
    for page in aws.paginate(aws.secretsmanager.list_secrets, MaxResults=_PAGE_SIZE):
        for secret in page["SecretList"]:
            function_id = secret.get("RotationLambdaARN")
            # Of a replicated secret, only the primary secret is rotated.
            if function_id and not secret.get("DeletedDate") and not inspection.primary_of(secret):
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
    )


def _utc(date: datetime | None) -> datetime | None:
    # botocore gives each date a time zone object of its own, which is larger than the date.
    return date and date.astimezone(UTC)


def _state(inventory: Inventory, secret_arn: str) -> Secret:
    return inspection.rotated_secret(inventory.keys, SECRET_SUBJECT, inventory.secrets[secret_arn].description)


def _superuser(aws: BulkAws, keys: Keys, secret_id: str) -> Secret:
    described = aws.call(aws.secretsmanager.describe_secret, SecretId=secret_id)
    if described.get("DeletedDate"):
        # As GetSecretValue responds.
        raise AwsApiError("secretsmanager:GetSecretValue", "InvalidRequestException", "scheduled for deletion")
    return inspection.superuser_secret_of(keys, SUPERUSER_SUBJECT, described)


def is_missing(error: RequestError | None) -> bool:
    """Return whether a superuser secret does not exist or is scheduled for deletion."""
    return isinstance(error, AwsApiError) and error.code in ("ResourceNotFoundException", "InvalidRequestException")


def _function(aws: BulkAws, function_id: str) -> FunctionDetails:
    configuration = inspection.get_function_configuration(aws, function_id)
    return FunctionDetails(
        inspection.function_from(configuration),
        configuration.get("State", "Active"),
        configuration.get("StateReason", ""),
        configuration.get("KMSKeyArn", ""),
    )


def _invoke_policy(aws: BulkAws, function_id: str) -> InvokePolicy:
    """Return who may invoke the function, or the version or alias that the secret names."""
    name, qualifier = arn.split_qualifier(function_id)
    # The policy without a qualifier is also that of $LATEST.
    version = {"Qualifier": qualifier} if qualifier and not qualifier.startswith("$LATEST") else {}
    try:
        return parse_invoke_policy(aws.call(aws.lambda_.get_policy, FunctionName=name, **version)["Policy"])
    except AwsApiError as error:
        if error.code == "ResourceNotFoundException":
            return InvokePolicy({})
        raise


def _functions_of_roles(aws: BulkAws) -> Mapping[str, list[str]]:
    functions: dict[str, list[str]] = {}
    for page in aws.paginate(aws.lambda_.list_functions):
        for function in page["Functions"]:
            functions.setdefault(function["Role"], []).append(function["FunctionArn"])
    return functions
