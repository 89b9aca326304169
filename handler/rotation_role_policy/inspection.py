"""Looks up the secrets, the function and the role that the template names; their keys are `keys`'s to look up.

`inspect` makes one DescribeSecret for each secret, one DescribeKey for each key that can be a customer managed one,
and one GetFunctionConfiguration, or in declared mode one GetRole.
"""

import logging
from contextlib import suppress
from typing import Any, NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws, what_to_check
from rotation_role_policy.errors import CallFailed, Kind, ProviderDenied, Refused, quoted
from rotation_role_policy.keys import Keys
from rotation_role_policy.log import facts
from rotation_role_policy.policy_grammar import as_list, matches
from rotation_role_policy.properties import Declaration
from rotation_role_policy.state import Role, Secret, Situation

logger = logging.getLogger(__name__)


class Function(NamedTuple):
    """A rotation function: its ARN, unqualified and empty in declared mode; its role; whether it is in a VPC."""

    arn: str
    role: Role
    in_vpc: bool


def inspect(aws: Aws, declaration: Declaration, account: str) -> Situation:
    """The situation of a declaration. `account` is the provider's own (12 digits): it can serve the roles there.

    Raises `Refused` for what is refused (README, "What is refused"), `CallFailed` where AWS fails.
    """
    label = declaration.secret_property
    described = [_describe_secret(aws, label, secret_id) for secret_id in declaration.secret_ids]
    for secret_id, secret in zip(declaration.secret_ids, described, strict=True):
        _refuse_managed(label, secret_id, secret)
    superuser_id = declaration.superuser_secret_id
    superuser = _describe_secret(aws, "SuperuserSecretId", superuser_id) if superuser_id else None

    function = _function(aws, declaration, described, account)
    keys = Keys(aws)
    # A secret that is named twice, by its name and by its ARN, is one secret.
    distinct = {one["ARN"]: one for one in described}.values()
    situation = Situation(
        secrets=tuple(Secret(one["ARN"], keys.customer_managed(label, one), _tags(one)) for one in distinct),
        superuser_secret=_superuser_secret(keys, superuser) if superuser else None,
        role=function.role,
        function_arn=function.arn,
        in_vpc=function.in_vpc,
        dns_suffix=aws.dns_suffix(arn.parse(described[0]["ARN"]).partition),
    )
    _log(situation)
    return situation


def find_role_name(aws: Aws, declaration: Declaration, account: str) -> str:
    """The name of the role that the policy of `declaration` stands on, for a Delete whose ID does not say.

    Looks up no more than it needs: nothing where `RoleName` is given, else the function's configuration.
    Raises as `inspect` does.
    """
    if declaration.role_name:
        return arn.role_name(declaration.role_name)
    return find_function(aws, declaration, account).role.name


def find_function(aws: Aws, declaration: Declaration, account: str) -> Function:
    """The function of a declaration, and its role, though the secrets may be gone. Raises as `inspect` does."""
    described = []
    if not declaration.rotation_lambda_arn and declaration.subnet_ids is None:
        for secret_id in declaration.secret_ids:
            # One that still says which function it is will do.
            with suppress(CallFailed, ProviderDenied):
                described.append(aws.call("secretsmanager", "DescribeSecret", SecretId=secret_id))
    return _function(aws, declaration, described, account)


def describe_role(aws: Aws, role_name: str) -> Role:
    """The role of this name. Raises `CallFailed` where there is none."""
    found = aws.call("iam", "GetRole", RoleName=role_name)["Role"]
    return Role(found["RoleName"], found["Arn"])


# --- secrets ---------------------------------------------------------------------------------------------------------


def _describe_secret(aws: Aws, label: str, secret_id: str) -> dict[str, Any]:
    try:
        secret = aws.call("secretsmanager", "DescribeSecret", SecretId=secret_id)
    except ProviderDenied as denied:
        # AWS also denies a name that does not exist: it has no ARN for SecretNamePattern, and no tags.
        raise ProviderDenied(
            denied.action,
            denied.message,
            f"{label} {quoted(secret_id)}: AWS denies the provider {denied.action}. If {aws.region()} has this secret,"
            f" check {what_to_check(denied.action)}.",
        ) from denied
    except CallFailed as failure:
        if failure.code == "ResourceNotFoundException":
            raise Refused(
                f"{label} {quoted(secret_id)}: there is no such secret in {aws.region()}. Correct it, or create the"
                f" secret first (DependsOn).",
                Kind.SECRET,
            ) from failure
        raise
    if secret.get("DeletedDate"):
        raise Refused(
            f"{label} {quoted(secret_id)}: this secret is scheduled for deletion. Restore it (aws secretsmanager"
            f" restore-secret), or give another one.",
            Kind.SECRET,
        )
    return secret


def _refuse_managed(label: str, secret_id: str, secret: dict[str, Any]) -> None:
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/service-linked-secrets.html
    if owner := secret.get("OwningService"):
        raise Refused(
            f"{label} {quoted(secret_id)}: this secret is managed by {quoted(owner)}, which rotates it itself, without"
            f" a function. Remove this resource, or give it as SuperuserSecretId.",
            Kind.SECRET,
        )


# The tags by which RDS says whose master user a secret of its own holds; AWS's multi-user rotation code reads them.
_DATABASE_TAGS = ("aws:rds:primarydbinstancearn", "aws:rds:primarydbclusterarn")


def _superuser_secret(keys: Keys, secret: dict[str, Any]) -> Secret:
    key_arn = keys.customer_managed("SuperuserSecretId", secret)
    tags = _tags(secret)
    if secret.get("OwningService") != "rds":
        return Secret(secret["ARN"], key_arn, tags)
    by_name = {key.lower(): value for key, value in tags}
    databases = tuple(by_name[name] for name in _DATABASE_TAGS if name in by_name)
    for database in databases:
        if not arn.DATABASE.fullmatch(database):
            raise Refused(
                f"SuperuserSecretId {quoted(secret['Name'])}: its tag of the primary database says {quoted(database)},"
                f" which is not the ARN of a DB instance or cluster.",
                Kind.SECRET,
            )
    return Secret(secret["ARN"], key_arn, tags, managed_by_rds=True, database_arns=databases)


def _tags(secret: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((tag["Key"], tag.get("Value", "")) for tag in secret.get("Tags", ()))


# --- function and role -----------------------------------------------------------------------------------------------


def _function(aws: Aws, declaration: Declaration, secrets: list[dict[str, Any]], account: str) -> Function:
    """The rotation function: inspected, or as it is declared."""
    if declaration.subnet_ids is not None:
        return Function("", _declared_role(aws, str(declaration.role_name)), bool(declaration.subnet_ids))
    function, role = _rotation_function(aws, declaration, secrets, account)
    vpc = function.get("VpcConfig") or {}
    return Function(
        arn.split_qualifier(function["FunctionArn"])[0], role, bool(vpc.get("VpcId") or vpc.get("SubnetIds"))
    )


def _rotation_function(
    aws: Aws, declaration: Declaration, secrets: list[dict[str, Any]], account: str
) -> tuple[dict[str, Any], Role]:
    """The configuration of the rotation function, and its execution role."""
    function_id = _function_id(declaration, secrets)
    subject = f"RotationLambdaARN {quoted(function_id)}"
    if not declaration.rotation_lambda_arn:
        subject = f"{declaration.secret_property} reports the rotation function {quoted(function_id)}"
    name, qualifier = arn.split_qualifier(function_id)
    version: dict[str, Any] = {"Qualifier": qualifier} if qualifier else {}
    try:
        function = aws.call("lambda", "GetFunctionConfiguration", FunctionName=name, **version)
    except CallFailed as failure:
        if failure.code == "ResourceNotFoundException":
            raise Refused(
                f"{subject}: {aws.region()} has no such function. Give the right RotationLambdaARN, or declare a"
                f" function that comes later by RoleName and VpcConfig.",
                Kind.FUNCTION,
            ) from failure
        raise
    role = Role(arn.role_name(function["Role"]), function["Role"])
    if arn.parse(role.arn).account != account:
        raise Refused(
            f"{subject}: its role {quoted(role.arn)} is not in the provider's account {account}. Deploy the provider"
            f" in the function's account.",
            Kind.FUNCTION,
        )
    wanted = declaration.role_name
    if wanted and wanted not in (role.name, role.arn):
        raise Refused(
            f"RoleName {quoted(wanted)} is not the execution role of the function, which is {quoted(role.name)}."
            f" Name that one, or leave RoleName out.",
            Kind.ROLE,
        )
    return function, role


def _function_id(declaration: Declaration, secrets: list[dict[str, Any]]) -> str:
    """The function's name or ARN: the one that is given, else the one that the secrets report."""
    if declaration.rotation_lambda_arn:
        return declaration.rotation_lambda_arn
    label = declaration.secret_property
    reported = sorted({secret["RotationLambdaARN"] for secret in secrets if secret.get("RotationLambdaARN")})
    if not reported:
        raise Refused(
            f"RotationLambdaARN is missing, and {label} {quoted(declaration.secret_ids[0])} reports no rotation"
            f" function. Give RotationLambdaARN, or RoleName and VpcConfig for a function that comes later.",
            Kind.FUNCTION,
        )
    if len(reported) > 1:
        raise Refused(
            f"{label}: the secrets report different rotation functions, or versions of one: {quoted(reported[0])} and"
            f" {quoted(reported[1])}. Give RotationLambdaARN.",
            Kind.FUNCTION,
        )
    return str(reported[0])


def _declared_role(aws: Aws, wanted: str) -> Role:
    try:
        found = aws.call_on_role("GetRole", RoleName=arn.role_name(wanted))["Role"]
    except CallFailed as failure:
        if failure.code == "NoSuchEntity":
            raise Refused(
                f"RoleName {quoted(wanted)}: this account has no such role. Create it first, or give the right one.",
                Kind.ROLE,
            ) from failure
        raise
    role = Role(found["RoleName"], found["Arn"])
    if wanted not in (role.name, role.arn):
        raise Refused(
            f"RoleName {quoted(wanted)} is not the ARN of the role of that name, which is {quoted(role.arn)}."
            f" Give that ARN, or the name.",
            Kind.ROLE,
        )
    if not _lambda_may_assume(found["AssumeRolePolicyDocument"]):
        raise Refused(
            f"RoleName {quoted(role.name)}: Lambda cannot assume this role. Let its trust policy allow sts:AssumeRole"
            f" to the service principal lambda.amazonaws.com.",
            Kind.ROLE,
        )
    return role


def _lambda_may_assume(trust_policy: dict[str, Any]) -> bool:
    """Whether a statement of the trust policy allows ``lambda.amazonaws.com`` to assume the role.

    Conditions are left to IAM: Lambda itself has the last word at CreateFunction.
    """
    for statement in as_list(trust_policy.get("Statement", [])):
        principal = statement.get("Principal", {})
        services = as_list(principal.get("Service", [])) if isinstance(principal, dict) else [principal]
        actions = as_list(statement.get("Action", []))
        if (
            statement.get("Effect") == "Allow"
            and {"lambda.amazonaws.com", "*"} & set(services)
            and any(matches(action, "sts:AssumeRole", ignore_case=True) for action in actions)
        ):
            return True
    return False


def _log(situation: Situation) -> None:
    """Says what the policy will follow from: which keys, VPC or not."""
    superuser = situation.superuser_secret
    logger.info(
        "inspected",
        extra=facts(
            customer_managed_keys={secret.arn: secret.key_arn for secret in situation.secrets},
            superuser_secret={superuser.arn: superuser.key_arn} if superuser else None,
            role=situation.role.arn,
            function=situation.function_arn or "declared",
            in_vpc=situation.in_vpc,
        ),
    )
