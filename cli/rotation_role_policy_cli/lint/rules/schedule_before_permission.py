"""E9820 and W9821: rotation schedules whose function Secrets Manager may not invoke yet."""

from collections.abc import Iterator
from typing import Any

from rotation_role_policy_cli.lint.rules.policy_rule import PolicyRule
from rotation_role_policy_cli.lint.rules.template_graph import FUNCTIONS, Path, TemplateGraph

_SECRETS_MANAGER = "secretsmanager.amazonaws.com"


class ScheduleBeforePermission(PolicyRule):
    """Secrets Manager refuses a schedule if it may not invoke the function. CloudFormation creates both at once."""

    id = "E9820"
    shortdesc = "A rotation schedule that does not depend on the permission to invoke its function"

    def _findings(self, graph: TemplateGraph) -> Iterator[tuple[Path, str]]:
        for schedule, function in _schedules(graph):
            permissions = _permissions(graph, function)
            needed = [name for name in permissions if graph.exists_with(name, schedule)]
            if needed and not any(graph.depends_on(schedule, name) for name in permissions):
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
            if not _permissions(graph, function):
                yield (
                    ["Resources", schedule],
                    f"No AWS::Lambda::Permission of the template lets {_SECRETS_MANAGER} invoke {function}, which"
                    f" {schedule} rotates with. Secrets Manager refuses the rotation of a function that it may not"
                    " invoke. Add a permission with the account as SourceAccount, or with the secret as SourceArn, and"
                    f" let {schedule} depend on it.",
                )


def _schedules(graph: TemplateGraph) -> Iterator[tuple[str, str]]:
    """Yield the schedules of the template with a function of the template."""
    for schedule, properties in graph.of_type("AWS::SecretsManager::RotationSchedule").items():
        function = graph.identity(properties.get("RotationLambdaARN"))
        if graph.types.get(function) in FUNCTIONS:
            yield schedule, function


def _permissions(graph: TemplateGraph, function: str) -> list[str]:
    """Return the permissions that let Secrets Manager invoke a function, or may do so."""
    return [
        name
        for name, properties in graph.of_type("AWS::Lambda::Permission").items()
        if _can_be(properties.get("Principal"), _SECRETS_MANAGER) and _can_be_of(graph, properties, function)
    ]


def _can_be(value: Any, text: str) -> bool:
    return value in (text, "*") if isinstance(value, str) else True


def _can_be_of(graph: TemplateGraph, properties: dict[str, Any], function: str) -> bool:
    """Return whether a permission is for a function. Two functions of the template are different."""
    named = graph.identity(properties.get("FunctionName"))
    return named == function or named not in graph.types
