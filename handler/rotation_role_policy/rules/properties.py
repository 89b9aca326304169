"""The properties of the resource: one table, and the checked values as a frozen `Properties`.

`PROPERTIES` lists names, types, defaults and allowed values. `EXACTLY_ONE_OF`, `MUTUALLY_EXCLUSIVE`, `REQUIRES` and
`EXCLUSIVE_VALUES` list the combinations. Validation, the JSON Schema, the options of the command line, the lint rules
and the documentation (docs/properties.md) are derived from them. CONTRIBUTING.md lists the steps for a new property.
Source: docs/properties.md.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rotation_role_policy import arn
from rotation_role_policy.errors import RequestError, quoted_text
from rotation_role_policy.rules.policy import Form
from rotation_role_policy.rules.targets import ANY_TARGET, TARGET_TYPES

RESOURCE_TYPE = "Custom::RotationRolePolicy"


@dataclass(frozen=True)
class Property:
    """One row of the table of properties."""

    name: str
    type: str
    """A key of the table of parsers: ``String``, ``List of String``, ``Integer``, ``Boolean``, ``Object``, or
    ``CloudFormation`` for a property that CloudFormation itself checks."""
    description: str
    """Markdown, for the documentation."""
    type_description: str = ""
    """Markdown; replaces `type` in the documentation."""
    default: str | int | None = None
    default_description: str = ""
    """Markdown; what applies without the property, if that is not a fixed value."""
    allowed_values: tuple[str, ...] = ()
    minimum: int = 0
    """Of an Integer, or of the number of values in a list."""
    maximum: int = 0
    """Likewise. 0 for a list of any length."""
    pattern: re.Pattern[str] | None = None
    pattern_description: str = ""
    """What `pattern` matches, for error messages."""
    example: str = "x"
    """A string that `pattern` matches, for the lint rules and the tests."""
    members: tuple["Property", ...] = ()
    """The properties of an Object; empty if the Object may contain anything."""
    affects_policy: bool = True
    """Whether the policy, or the decision to write it, can depend on the property."""


_BOOLEAN_HINT = " YAML reads On, Off, Yes and No as Boolean values unless they are in quotation marks."
MAX_VALUES = 100
"""The longest list. A policy or a response with more values would be too large, whatever the values are."""
_SECRET_FORM = "a secret's full ARN, partial ARN or name, without wildcards"  # noqa: S105  # a description

PROPERTIES = (
    Property("ServiceToken", "CloudFormation", "ARN of the provider function", type_description="String, required"),
    Property(
        "ServiceTimeout",
        "CloudFormation",
        "CloudFormation's own property: the seconds that CloudFormation waits for a response, at most an hour. The"
        " provider responds within this time, and within 600 seconds",
        type_description="Integer",
        default_description="3600",
    ),
    Property(
        "SecretId",
        "String",
        "the secret to rotate: full ARN, partial ARN or name. Exactly one of `SecretId` and `SecretIds` is required",
        pattern=arn.SECRET,
        pattern_description=_SECRET_FORM,
    ),
    Property(
        "SecretIds",
        "List of String",
        "several secrets that one function rotates. One policy covers all of them. A secret that is listed twice, by"
        " name or ARN, counts once",
        minimum=1,
        maximum=MAX_VALUES,
        pattern=arn.SECRET,
        pattern_description=_SECRET_FORM,
    ),
    Property(
        "RotationLambdaARN",
        "String",
        "the rotation function: name, ARN, or ARN with a version or alias, including `$LATEST.PUBLISHED`",
        default_description="the function that DescribeSecret reports",
        pattern=arn.FUNCTION,
        pattern_description="a function's name, its ARN, or its ARN with a version or alias",
    ),
    Property(
        "RoleName",
        "String",
        "name or ARN of the role that gets the policy. If the function exists, this must be the function's role",
        default_description="the function's execution role",
        pattern=arn.ROLE,
        pattern_description="a role's name (without its path) or its ARN",
    ),
    Property(
        "VpcConfig",
        "Object",
        "the VPC configuration that the function will have, for a function that does not exist yet (declared mode)."
        " Requires `RoleName`, excludes `RotationLambdaARN`",
        type_description="Object, as on `AWS::Lambda::Function`",
        default_description="read from the function",
        members=(
            Property("SubnetIds", "List of String", "if the list is not empty, the function is in a VPC"),
            Property("SecurityGroupIds", "List of String", "not used", affects_policy=False),
            Property("Ipv6AllowedForDualStack", "Boolean", "not used", affects_policy=False),
        ),
    ),
    Property(
        "KmsKeyArn",
        "String",
        "declared mode only: the customer managed key of the environment variables that the function will have, as the"
        " ARN of the key or of an alias. Requires `VpcConfig`",
        type_description="String, as on `AWS::Lambda::Function`",
        default_description="read from the function",
        pattern=arn.KEY_OR_ALIAS,
        pattern_description="the full ARN of a KMS key or of an alias",
        example="arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555",
    ),
    Property(
        "SuperuserSecretId",
        "String",
        "the separate secret that the rotation function reads: the superuser of the alternating-users strategy, or the"
        " admin secret of AWS's functions for Db2 and InfluxDB",
        pattern=arn.SECRET,
        pattern_description=_SECRET_FORM,
    ),
    Property(
        "TargetArns",
        "List of String",
        "full ARNs of the databases, users or directories whose own API the rotation function calls, such as a read"
        " replica or an ElastiCache user. See [Rotation functions](rotation-functions.md)",
        minimum=1,
        maximum=MAX_VALUES,
        pattern=ANY_TARGET,
        pattern_description=f"the full ARN, without wildcards, of {', '.join(row.name for row in TARGET_TYPES[:-1])} or"
        f" {TARGET_TYPES[-1].name}",
        example="arn:aws:rds:eu-central-1:123456789012:db:prod",
    ),
    Property(
        "PolicyProfile",
        "String",
        "`Strict` narrows the grants with conditions. `Documented` has the statements of an earlier edition of the"
        " [user guide](https://docs.aws.amazon.com/secretsmanager/latest/userguide/"
        "rotating-secrets-required-permissions-function.html), without conditions, and requires the parameter"
        " `AllowDocumentedProfile` of the provider's stack",
        default="Strict",
        allowed_values=("Strict", "Documented"),
    ),
    Property(
        "KmsScope",
        "String",
        "`Key` names the keys that encrypt the secrets today. `Secret` allows any key of the account, for the values of"
        " these secrets alone, so the policy survives a new key. See [The policy](policy.md#kmsscope)",
        default="Key",
        allowed_values=("Key", "Secret"),
    ),
    Property(
        "AccessCheck",
        "String",
        "`Enforce` asks IAM's policy simulator and reads the resource policies of secrets and keys before the policy is"
        " written, and refuses what they certainly block",
        default="Enforce",
        allowed_values=("Enforce", "Off"),
    ),
    Property(
        "PropagationDelay",
        "Integer",
        "seconds to wait before the response to a Create or Update, so that IAM can become consistent",
        default=10,
        minimum=0,
        maximum=60,
        affects_policy=False,
    ),
    Property(
        "Triggers",
        "Object",
        "ignored by the provider. Any change to it makes CloudFormation send an Update",
        affects_policy=False,
    ),
)

EXACTLY_ONE_OF = ("SecretId", "SecretIds")
"""Exactly one of these properties is required."""
MUTUALLY_EXCLUSIVE = {
    ("VpcConfig", "RotationLambdaARN"): "Give RotationLambdaARN for a function that exists, or VpcConfig and RoleName"
    " for a function that does not exist yet.",
}
"""By pairs of properties that exclude each other: what to do."""
REQUIRES = {
    (
        "VpcConfig",
        "RoleName",
    ): "Give RoleName, the role that the function will have, because the function does not exist yet.",
    (
        "KmsKeyArn",
        "VpcConfig",
    ): "Omit KmsKeyArn, because the provider reads the key from the function, or declare the function (VpcConfig).",
}
"""By a property and the property that it requires: what to do."""
EXCLUSIVE_VALUES = {
    (("KmsScope", "Secret"), ("PolicyProfile", "Documented")): "Use PolicyProfile Strict: only its conditions limit the"
    " KMS statements to the secrets.",
}
"""By pairs of properties with values that exclude each other: what to do."""

WHOLE_NUMBER = re.compile(r"-?[0-9]{1,9}(\.0{1,9})?")
"""A whole number as a string."""


@dataclass(frozen=True)
class Properties:
    """The properties of one resource, complete and of the right types."""

    secret_ids: tuple[str, ...]
    """At least one: full ARNs, partial ARNs or names, as in the template, without duplicates."""
    secret_property: str
    """The property that named the secrets: ``SecretId`` or ``SecretIds``."""
    rotation_lambda_arn: str | None
    role_name: str | None
    """A role's name or ARN, as in the template."""
    subnet_ids: tuple[str, ...] | None
    """`VpcConfig.SubnetIds` in declared mode; None if the function is to be inspected."""
    kms_key_arn: str
    """Declared mode: full ARN of the key of the environment variables, or of an alias; empty if there is none."""
    superuser_secret_id: str | None
    target_arns: tuple[str, ...]
    """Full ARNs, each of a type in `targets`, without duplicates."""
    policy_profile: str
    kms_scope: str
    access_check: str
    propagation_delay: int
    """Seconds."""

    @property
    def form(self) -> Form:
        """The form of the policy."""
        return Form(self.policy_profile, self.kms_scope)

    @property
    def names_role(self) -> bool:
        """Whether the template decides which role gets the policy: it names the function or the role."""
        return bool(self.rotation_lambda_arn or self.role_name)


def parse_properties(given: Mapping[str, Any]) -> Properties:
    """Validate a resource's properties, as CloudFormation sends them (every scalar a string).

    Raises:
        RequestError: the table does not allow a property or its value. The message names the property.
    """
    if not isinstance(given, Mapping):
        raise RequestError("ResourceProperties is not an object. Give the properties of Custom::RotationRolePolicy.")
    values = _parse_object("", PROPERTIES, given)

    secret_properties = [name for name in EXACTLY_ONE_OF if name in values]
    if len(secret_properties) != 1:
        problem = "both are given" if secret_properties else "neither is given"
        raise RequestError(f"Exactly one of {' and '.join(EXACTLY_ONE_OF)} is required, but {problem}.")
    for (name, excluded), remediation in MUTUALLY_EXCLUSIVE.items():
        if name in values and excluded in values:
            raise RequestError(f"{name} cannot be combined with {excluded}. {remediation}")
    for (name, required), remediation in REQUIRES.items():
        if name in values and required not in values:
            raise RequestError(f"{name} requires {required}. {remediation}")
    for ((name, value), (excluded, excluded_value)), remediation in EXCLUSIVE_VALUES.items():
        if values.get(name) == value and values.get(excluded) == excluded_value:
            raise RequestError(f"{name} {value} cannot be combined with {excluded} {excluded_value}. {remediation}")

    [secret_property] = secret_properties
    vpc_config = values.get("VpcConfig")
    return Properties(
        secret_ids=tuple(dict.fromkeys(values["SecretIds"])) if "SecretIds" in values else (values["SecretId"],),
        secret_property=secret_property,
        rotation_lambda_arn=values.get("RotationLambdaARN"),
        role_name=values.get("RoleName"),
        subnet_ids=None if vpc_config is None else tuple(vpc_config.get("SubnetIds", ())),
        kms_key_arn=values.get("KmsKeyArn", ""),
        superuser_secret_id=values.get("SuperuserSecretId"),
        target_arns=tuple(dict.fromkeys(values.get("TargetArns", ()))),
        policy_profile=values["PolicyProfile"],
        kms_scope=values["KmsScope"],
        access_check=values["AccessCheck"],
        propagation_delay=values["PropagationDelay"],
    )


def _parse_object(prefix: str, rows: Iterable[Property], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of `given` by name, with defaults. `prefix` is the Object's path, such as ``VpcConfig.``."""
    rows_by_name = {row.name: row for row in rows}
    for name in given:
        if name not in rows_by_name:
            without_quotation_marks = quoted_text(name)[1:-1]
            suggestion = closest_name(name, rows_by_name)
            raise RequestError(
                f"{prefix}{without_quotation_marks} is not a property. Did you mean {prefix}{suggestion}?"
            )
    values: dict[str, Any] = {row.name: row.default for row in rows_by_name.values() if row.default is not None}
    for name, value in given.items():
        row = rows_by_name[name]
        values[name] = _PARSERS[row.type](prefix + name, row, value)
    return values


def _string(path: str, row: Property, value: Any) -> str:
    if not isinstance(value, str):
        raise RequestError(f"{path} {quoted_text(value)} is not a string.")
    if not value:
        raise RequestError(f"{path} is empty. Give a value, or omit the property (AWS::NoValue).")
    if row.allowed_values and value not in row.allowed_values:
        choices = " or ".join(row.allowed_values)
        hint = _BOOLEAN_HINT if value in ("true", "false") else ""
        raise RequestError(f"{path} {quoted_text(value)} is not an allowed value. Use {choices}.{hint}")
    if row.pattern and not row.pattern.fullmatch(value):
        raise RequestError(f"{path} {quoted_text(value)} has the wrong form. Give {row.pattern_description}.")
    return value


def _string_list(path: str, row: Property, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise RequestError(f"{path} {quoted_text(value)} is not a list. Give a list of strings.")
    if len(value) < row.minimum:
        raise RequestError(f"{path} is an empty list. Give at least {row.minimum}.")
    if row.maximum and len(value) > row.maximum:
        raise RequestError(
            f"{path} has {len(value):,} values, more than {row.maximum}. Distribute them over several"
            f" functions with a role and a resource each."
        )
    return [_string(f"{path}[{index}]", row, item) for index, item in enumerate(value)]


def _object(path: str, row: Property, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RequestError(f"{path} {quoted_text(value)} is not an object. Give names and values.")
    return _parse_object(f"{path}.", row.members, value) if row.members else value


def _boolean(path: str, row: Property, value: Any) -> Any:  # noqa: ARG001  # one signature for all types
    if not isinstance(value, bool) and value not in ("true", "false"):
        raise RequestError(f"{path} {quoted_text(value)} is neither true nor false.")
    # Returned as received, because no code uses it.
    return value


def _integer(path: str, row: Property, value: Any) -> int:
    number = value
    # CloudFormation sends "10". In JSON, 10.0 and 10 are the same number.
    is_numeric_string = isinstance(value, str) and WHOLE_NUMBER.fullmatch(value)
    if is_numeric_string or (isinstance(value, float) and value.is_integer()):
        number = int(float(value))
    # In Python, bool is a subclass of int. In a template, true is not a number.
    if not isinstance(number, int) or isinstance(number, bool) or not row.minimum <= number <= row.maximum:
        raise RequestError(
            f"{path} {quoted_text(value)} is not a whole number from {row.minimum} to {row.maximum}. Give one, or omit"
            f" the property to use {row.default}."
        )
    return number


def _unchecked(path: str, row: Property, value: Any) -> Any:  # noqa: ARG001  # one signature for all types
    """Return a property of CloudFormation's own, which CloudFormation has checked."""
    return value


_PARSERS: dict[str, Callable[[str, Property, Any], Any]] = {
    "CloudFormation": _unchecked,
    "String": _string,
    "List of String": _string_list,
    "Integer": _integer,
    "Boolean": _boolean,
    "Object": _object,
}
"""By the type of a property: the function that validates and converts its value."""


def closest_name(name: str, candidates: Iterable[str]) -> str:
    """Return the candidate that is most similar to `name`, ignoring case."""
    import difflib  # only errors need it, and it is a part of the cold start

    by_lower_case = {candidate.lower(): candidate for candidate in candidates}
    [best] = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0)
    return by_lower_case[best]
