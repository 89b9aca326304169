"""Which resource of a template a name, an ARN or an alias stands for, although no reference says it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from rotation_role_policy_cli.template.file import TemplateError
from rotation_role_policy_cli.template.placeholders import PLANNED_VERSION

Paths = Mapping[str, tuple[str, ...]]
"""The path of a property by the type of the resource."""

SCHEDULE = "AWS::SecretsManager::RotationSchedule"
_NAMES: Mapping[str, tuple[str, Paths]] = {
    "iam": ("/", {"AWS::IAM::Role": ("RoleName",)}),
    "lambda": (
        "function:",
        {
            "AWS::Lambda::Function": ("FunctionName",),
            "AWS::Serverless::Function": ("FunctionName",),
            # A hosted rotation creates its function in a nested stack.
            SCHEDULE: ("HostedRotationLambda", "RotationLambdaName"),
        },
    ),
    "secretsmanager": ("secret:", {"AWS::SecretsManager::Secret": ("Name",)}),
}
"""By service: what is before the name in an ARN, and the properties that name resources."""
_VERSIONS: Paths = {"AWS::Lambda::Alias": ("Name",), "AWS::Serverless::Function": ("AutoPublishAlias",)}


class PlannedTemplate(Protocol):
    """What a template shows of its resources."""

    @property
    def resource_ids(self) -> Iterable[str]:
        """The logical IDs of all resources."""

    def is_excluded(self, logical_id: str) -> bool:
        """Whether the resource's condition is false. Raises `TemplateError`."""

    def type_of(self, logical_id: str) -> str:
        """Return the type of a resource; empty if the template does not declare it."""

    def planned_property(self, logical_id: str, name: str) -> Any:
        """Return the value of a property, with its references resolved; None if there is none."""

    def planned_arn(self, service: str, resource: str) -> str:
        """Return an ARN in the user's account and region. The ARN of IAM has no region."""


def named(template: PlannedTemplate, service: str, resource_id: str) -> str | None:
    """Return the logical ID of the resource with a name or an ARN; None if the template names no such resource."""
    before, paths = _NAMES.get(service, ("", {}))
    return next(
        (
            logical_id
            for logical_id, name in declared(template, paths)
            if resource_id == name or resource_id.endswith(f"{before}{name}")
        ),
        None,
    )


def creates_version(template: PlannedTemplate, qualifier: str) -> bool:
    """Return whether the template creates a version or an alias of a function with this name."""
    return qualifier == PLANNED_VERSION or any(name == qualifier for _, name in declared(template, _VERSIONS))


def alias_target(template: PlannedTemplate, key_id: str) -> str | None:
    """Return the key of an alias that the template creates; None if it creates no such alias.

    Args:
        template: the template.
        key_id: ID of a key, or name or ARN of an alias.
    """
    for logical_id, name in declared(template, {"AWS::KMS::Alias": ("AliasName",)}):
        if key_id in (name, template.planned_arn("kms", name)):
            target = template.planned_property(logical_id, "TargetKeyId")
            return target if isinstance(target, str) else None
    return None


def scheduled_functions(template: PlannedTemplate) -> Iterator[tuple[str, str, str]]:
    """Yield the schedules that name a function: the logical ID, the secret, and the function."""
    secrets = dict(declared(template, {SCHEDULE: ("SecretId",)}))
    for logical_id, function in declared(template, {SCHEDULE: ("RotationLambdaARN",)}):
        if logical_id in secrets:
            yield logical_id, secrets[logical_id], function


def declared(template: PlannedTemplate, paths: Paths) -> Iterator[tuple[str, str]]:
    """Yield the logical IDs of the resources with a text at a path of their properties, and this text.

    Resources whose condition is false, and texts with references that cannot be resolved, are left out.
    """
    for logical_id in template.resource_ids:
        if path := paths.get(template.type_of(logical_id)):
            try:
                value = value_at(template, logical_id, path)
                is_excluded = template.is_excluded(logical_id)
            except TemplateError:
                continue
            if isinstance(value, str) and not is_excluded:
                yield logical_id, value


def value_at(template: PlannedTemplate, logical_id: str, path: tuple[str, ...]) -> Any:
    """Return the value at a path of a resource's properties; None if there is none. Raises `TemplateError`."""
    first, *members = path
    value = template.planned_property(logical_id, first)
    for member in members:
        value = value.get(member) if isinstance(value, Mapping) else None
    return value
