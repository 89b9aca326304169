"""What the template says: the properties of the resource, checked, as one frozen `Declaration`.

`PROPERTIES` is the one table of names, types, defaults and allowed values; what goes together stands below it.
Validation is driven by them, and the README ("Properties") and the JSON Schema (`rotation_role_policy_cli.schema`) are
made of them. This module knows no AWS call and no environment.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rotation_role_policy import arn
from rotation_role_policy.errors import Refused, quoted_text


@dataclass(frozen=True)
class Property:
    """One row of the table of properties."""

    name: str
    type: str
    meaning: str
    """In Markdown, as `shape` and `otherwise`."""
    shape: str = ""
    """What the type is called where there is more to say of it."""
    default: str | int | None = None
    otherwise: str = ""
    """What holds without the property, where that is no value of its own."""
    allowed: tuple[str, ...] = ()
    minimum: int = 0
    maximum: int = 0
    pattern: re.Pattern[str] | None = None
    form: str = ""
    """What `pattern` admits, in words."""
    members: tuple["Property", ...] = ()
    """The properties of an Object; empty where the Object may hold anything."""
    affects_policy: bool = True
    """Whether the policy, or the decision to write it, can depend on the property."""


_ID_FORM = "a secret's full ARN, partial ARN or name, without wildcards"

PROPERTIES = (
    Property("ServiceToken", "CloudFormation", "the provider's ARN", shape="String, required"),
    Property(
        "ServiceTimeout",
        "CloudFormation",
        "CloudFormation's own: seconds that it waits for an answer, at most an hour. The provider answers within them,"
        " and within 600",
        shape="Integer",
        otherwise="3600",
    ),
    Property(
        "SecretId",
        "String",
        "the secret that is rotated: full ARN, partial ARN or name. Exactly one of `SecretId` and `SecretIds`",
        pattern=arn.SECRET,
        form=_ID_FORM,
    ),
    Property(
        "SecretIds",
        "List of String",
        "the secrets of a function that rotates several: one policy for all of them",
        minimum=1,
        pattern=arn.SECRET,
        form=_ID_FORM,
    ),
    Property(
        "RotationLambdaARN",
        "String",
        "the rotation function: name, ARN, or ARN with a version or alias",
        otherwise="the one that DescribeSecret reports",
        pattern=arn.FUNCTION,
        form="a function's name, its ARN, or its ARN with a version or alias",
    ),
    Property(
        "RoleName",
        "String",
        "name or ARN of the role that gets the policy. Where the function is known it must be that function's role",
        otherwise="the function's execution role",
        pattern=arn.ROLE,
        form="a role's name (without its path) or its ARN",
    ),
    Property(
        "VpcConfig",
        "Object",
        "declares where the function will be, in place of looking at it; needs `RoleName`, excludes"
        " `RotationLambdaARN`",
        shape="Object, as on `AWS::Lambda::Function`",
        otherwise="inspected",
        members=(
            Property("SubnetIds", "List of String", "the function is in a VPC where this is not empty"),
            Property("SecurityGroupIds", "List of String", "not read", affects_policy=False),
            Property("Ipv6AllowedForDualStack", "Boolean", "not read", affects_policy=False),
        ),
    ),
    Property(
        "SuperuserSecretId",
        "String",
        "the separate secret of the alternating-users strategy",
        pattern=arn.SECRET,
        form=_ID_FORM,
    ),
    Property(
        "PolicyProfile",
        "String",
        "`Documented` grants what the [user guide](https://docs.aws.amazon.com/secretsmanager/latest/userguide/"
        "rotating-secrets-required-permissions-function.html) grants (in the edition kept in `tests/guide/`), without"
        " conditions",
        default="Strict",
        allowed=("Strict", "Documented"),
    ),
    Property(
        "AccessCheck",
        "String",
        "ask IAM's policy simulator before writing, and refuse what a permissions boundary or an explicit deny"
        " certainly blocks",
        default="Enforce",
        allowed=("Enforce", "Off"),
    ),
    Property(
        "PropagationDelay",
        "Integer",
        "seconds to wait before the answer to a Create or Update, for IAM to become consistent",
        default=10,
        minimum=0,
        maximum=60,
        affects_policy=False,
    ),
    Property(
        "Triggers",
        "Object",
        "never read; any change in it makes CloudFormation send an Update",
        affects_policy=False,
    ),
)

EXACTLY_ONE = ("SecretId", "SecretIds")
"""Of these, exactly one is needed."""
EXCLUDES = {
    ("VpcConfig", "RotationLambdaARN"): "a function that exists is inspected, one that does not is declared. Remove"
    " VpcConfig, or remove RotationLambdaARN and give RoleName.",
}
"""By the properties that can't stand together: why, and what to do."""
NEEDS = {
    ("VpcConfig", "RoleName"): "a function that does not exist yet tells nothing of its role. Give RoleName, the role"
    " that the function will have.",
}
"""By a property and the one that it can't do without: why, and what to do."""

WHOLE_NUMBER = re.compile(r"-?[0-9]{1,9}(\.0{1,9})?")
"""A whole number as a string."""


@dataclass(frozen=True)
class Declaration:
    """The properties of one resource, complete and of the right types."""

    secret_ids: tuple[str, ...]
    """At least one: full ARNs, partial ARNs or names, as typed."""
    secret_property: str
    """The property that named them: ``SecretId`` or ``SecretIds``."""
    rotation_lambda_arn: str | None
    role_name: str | None
    """A role's name or ARN, as typed."""
    subnet_ids: tuple[str, ...] | None
    """`VpcConfig.SubnetIds` in declared mode; None where the function is to be inspected."""
    superuser_secret_id: str | None
    policy_profile: str
    access_check: str
    propagation_delay: int
    """Seconds."""


def declare(properties: Mapping[str, Any]) -> Declaration:
    """The `Declaration` of a resource's properties, as CloudFormation sends them (every scalar a string).

    Raises `Refused`, naming the property, for whatever the table does not admit.
    """
    if not isinstance(properties, Mapping):
        raise Refused("ResourceProperties is not an object: declare the properties of Custom::RotationRolePolicy.")
    values = _read("", PROPERTIES, properties)

    given = [name for name in EXACTLY_ONE if name in values]
    if len(given) != 1:
        found = "both are" if given else "neither is"
        raise Refused(f"Exactly one of {' and '.join(EXACTLY_ONE)} is needed, and {found} given.")
    for (name, other), why in EXCLUDES.items():
        if name in values and other in values:
            raise Refused(f"{name} together with {other}: {why}")
    for (name, other), why in NEEDS.items():
        if name in values and other not in values:
            raise Refused(f"{name} without {other}: {why}")

    [secret_property] = given
    vpc_config = values.get("VpcConfig")
    return Declaration(
        secret_ids=tuple(values["SecretIds"]) if "SecretIds" in values else (values["SecretId"],),
        secret_property=secret_property,
        rotation_lambda_arn=values.get("RotationLambdaARN"),
        role_name=values.get("RoleName"),
        subnet_ids=None if vpc_config is None else tuple(vpc_config.get("SubnetIds", ())),
        superuser_secret_id=values.get("SuperuserSecretId"),
        policy_profile=values["PolicyProfile"],
        access_check=values["AccessCheck"],
        propagation_delay=values["PropagationDelay"],
    )


def _read(prefix: str, table: Iterable[Property], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `given` by name, defaults filled in. `prefix` is the path of the Object, such as ``VpcConfig.``."""
    known = {row.name: row for row in table}
    for name in given:
        if name not in known:
            # Shown without its quotation marks.
            bare = quoted_text(name)[1:-1]
            raise Refused(f"{prefix}{bare} is not a property. Did you mean {prefix}{nearest(name, known)}?")
    values: dict[str, Any] = {row.name: row.default for row in known.values() if row.default is not None}
    for name, value in given.items():
        row = known[name]
        values[name] = _READERS[row.type](prefix + name, row, value)
    return values


def _text(path: str, row: Property, value: Any) -> str:
    if not isinstance(value, str):
        raise Refused(f"{path} {quoted_text(value)} is not a string.")
    if not value:
        raise Refused(f"{path} is empty. Give a value, or leave the property out (AWS::NoValue).")
    if row.allowed and value not in row.allowed:
        raise Refused(f"{path} {quoted_text(value)} is none of {', '.join(row.allowed)}. Use one of these.")
    if row.pattern and not row.pattern.fullmatch(value):
        raise Refused(f"{path} {quoted_text(value)} is not in the right form. Give {row.form}.")
    return value


def _texts(path: str, row: Property, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise Refused(f"{path} {quoted_text(value)} is not a list. Give a list of strings.")
    if len(value) < row.minimum:
        raise Refused(f"{path} is an empty list. Give at least {row.minimum}.")
    return [_text(f"{path}[{index}]", row, item) for index, item in enumerate(value)]


def _object(path: str, row: Property, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Refused(f"{path} {quoted_text(value)} is not an object. Give names and values.")
    return _read(f"{path}.", row.members, value) if row.members else value


def _truth(path: str, row: Property, value: Any) -> Any:  # noqa: ARG001  # one signature for all types
    if not isinstance(value, bool) and value not in ("true", "false"):
        raise Refused(f"{path} {quoted_text(value)} is neither true nor false.")
    # As sent: nothing reads it.
    return value


def _whole_number(path: str, row: Property, value: Any) -> int:
    number = value
    # CloudFormation sends "10", and JSON knows no difference between 10.0 and 10.
    is_text = isinstance(value, str) and WHOLE_NUMBER.fullmatch(value)
    if is_text or (isinstance(value, float) and value.is_integer()):
        number = int(float(value))
    # bool is an int to Python but not to a template's author.
    if not isinstance(number, int) or isinstance(number, bool) or not row.minimum <= number <= row.maximum:
        raise Refused(
            f"{path} {quoted_text(value)} is not a whole number from {row.minimum} to {row.maximum}."
            f" Give one, or leave the property out for {row.default}."
        )
    return number


def _as_sent(path: str, row: Property, value: Any) -> Any:  # noqa: ARG001  # one signature for all types
    """CloudFormation's own properties: it has judged them already."""
    return value


_READERS: dict[str, Callable[[str, Property, Any], Any]] = {
    "CloudFormation": _as_sent,
    "String": _text,
    "List of String": _texts,
    "Integer": _whole_number,
    "Boolean": _truth,
    "Object": _object,
}


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like `name`, whatever its case."""
    by_lower_case = {candidate.lower(): candidate for candidate in known}
    [best] = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0)
    return by_lower_case[best]
