"""E9820 and W9821: rotation schedules whose function Secrets Manager may not invoke yet."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rotation_role_policy.iam.wildcard import matches
from rotation_role_policy_cli.lint.rules.policy_rule import PolicyRule
from rotation_role_policy_cli.lint.rules.template_graph import FUNCTIONS, Path, TemplateGraph

_SECRETS_MANAGER = "secretsmanager.amazonaws.com"
_INVOKE = "lambda:InvokeFunction"


class ScheduleBeforePermission(PolicyRule):
    """Secrets Manager refuses a schedule if it may not invoke the function. CloudFormation creates both at once."""

    id = "E9820"
    shortdesc = "A rotation schedule that does not depend on the permission to invoke its function"

    def _findings(self, graph: TemplateGraph) -> Iterator[tuple[Path, str]]:
        for schedule, function in _schedules(graph):
            permissions = list(_permissions(graph, schedule, function))
            needed = [each.name for each in permissions if each.is_certain]
            needed = [name for name in needed if graph.can_exist_together(name, schedule)]
            if needed and not any(graph.depends_on(schedule, each.name) for each in permissions):
                yield (
                    ["Resources", schedule],
                    f"{schedule} does not depend on {needed[0]}, which lets Secrets Manager invoke {function}. Without"
                    f" it, Secrets Manager refuses the rotation. {graph.remedy(schedule, needed[0])}",
                )


class NoPermission(PolicyRule):
    """Secrets Manager may not invoke a function that the same template creates, unless a permission says so."""

    id = "W9821"
    shortdesc = "A rotation function without a permission for Secrets Manager"

    def _findings(self, graph: TemplateGraph) -> Iterator[tuple[Path, str]]:
        for schedule, function in _schedules(graph):
            if not list(_permissions(graph, schedule, function)) and not graph.has_other_creators(function):
                yield (
                    ["Resources", schedule],
                    f"No AWS::Lambda::Permission of the template lets {_SECRETS_MANAGER} invoke {function} for the"
                    f" secret of {schedule}, in the version or alias that it names. Secrets Manager then refuses it."
                    " Add a permission with the account as SourceAccount, or with the secret as SourceArn, and let"
                    f" {schedule} depend on it.",
                )


def _schedules(graph: TemplateGraph) -> Iterator[tuple[str, str]]:
    """Yield the schedules of the template with a function of the template."""
    for schedule, properties in graph.of_type("AWS::SecretsManager::RotationSchedule").items():
        function = graph.identity(properties.get("RotationLambdaARN"))
        if graph.types.get(function) in FUNCTIONS:
            yield schedule, function


class _Permission(NamedTuple):
    """A permission that lets Secrets Manager invoke a function for a secret, or may do so."""

    name: str
    is_certain: bool


def _permissions(graph: TemplateGraph, schedule: str, function: str) -> Iterator[_Permission]:
    """Yield the permissions for the function and the secret of a schedule."""
    rotation = graph.properties[schedule]
    for name, properties in graph.of_type("AWS::Lambda::Permission").items():
        facts = (
            _is(properties.get("Principal"), _SECRETS_MANAGER),
            _is(properties.get("Action"), _INVOKE),
            _is_for_function(graph, properties, rotation, function),
            _is_for_secret(graph, properties, rotation),
        )
        if False not in facts:
            yield _Permission(name, None not in facts)


def _is(value: Any, text: str) -> bool | None:
    """Return whether a literal value, which can have wildcards, includes a text; None for anything else."""
    return matches(value, text, ignore_case=True) if isinstance(value, str) else None


def _is_for_function(
    graph: TemplateGraph, permission: Mapping[str, Any], rotation: Mapping[str, Any], function: str
) -> bool | None:
    """Return whether a permission is for the function of a schedule, in its version or alias; None if not known."""
    named = graph.identity(permission.get("FunctionName"))
    if named != function:
        return False if named in graph.types or _is_other_name(permission, graph.properties[function]) else None
    qualifiers = {graph.qualifier(permission.get("FunctionName")), graph.qualifier(rotation["RotationLambdaARN"])}
    return None if None in qualifiers else len(qualifiers) == 1


def _is_other_name(permission: Mapping[str, Any], function: Mapping[str, Any]) -> bool:
    """Return whether a permission and a function have different names, both as text."""
    named, name = permission.get("FunctionName"), function.get("FunctionName")
    if not isinstance(named, str) or not isinstance(name, str):
        return False
    return named.rpartition("function:")[2].partition(":")[0] != name


def _is_for_secret(graph: TemplateGraph, permission: Mapping[str, Any], rotation: Mapping[str, Any]) -> bool | None:
    """Return whether a permission is for the secret of a schedule; None if not known."""
    if "SourceArn" not in permission:
        return True
    source, secret = graph.identity(permission["SourceArn"]), graph.identity(rotation.get("SecretId"))
    if source == secret:
        return True
    return False if {source, secret} <= graph.types.keys() else None
