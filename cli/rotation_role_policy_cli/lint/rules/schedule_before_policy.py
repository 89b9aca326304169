"""E9815: rotation schedules that do not wait for the policy."""

from collections.abc import Iterator, Mapping
from typing import Any

from rotation_role_policy_cli.lint.rules.policy_rule import PolicyRule
from rotation_role_policy_cli.lint.rules.template_graph import Path, TemplateGraph


class ScheduleBeforePolicy(PolicyRule):
    """Secrets Manager runs the rotation function as soon as the schedule exists. It fails without the policy."""

    id = "E9815"
    shortdesc = "A rotation schedule that does not depend on the policy of its secret"

    def _findings(self, graph: TemplateGraph) -> Iterator[tuple[Path, str]]:
        secrets = {policy: graph.secrets(properties) for policy, properties in graph.policies.items()}
        for schedule, properties in graph.of_type("AWS::SecretsManager::RotationSchedule").items():
            secret = graph.identity(properties.get("SecretId"))
            types = graph.types.keys()
            # Two secrets of the template are different. Of other secrets, that is not certain.
            related = [policy for policy in secrets if secret in secrets[policy] or {secret, *secrets[policy]} - types]
            waits = any(graph.depends_on(schedule, policy) for policy in related)
            needed = [policy for policy in secrets if secret in secrets[policy] and graph.exists_with(policy, schedule)]
            needed = [policy for policy in needed if _serves(graph, graph.policies[policy], properties) and not waits]
            for policy in needed[:1]:
                hint = f" Give RotationLambdaARN in {policy}: without {schedule}, the secret reports no function."
                yield (
                    ["Resources", schedule],
                    f"Secrets Manager runs the rotation function as soon as {schedule} exists, but {schedule} does not"
                    f" depend on {policy}, which gives the function its permissions. {graph.remedy(schedule, policy)}"
                    + ("" if graph.policies[policy].keys() & {"RotationLambdaARN", "VpcConfig"} else hint),
                )


def _serves(graph: TemplateGraph, policy: Mapping[str, Any], schedule: Mapping[str, Any]) -> bool:
    """Return whether a policy is certainly for the rotation function of a schedule."""
    function = graph.identity(schedule.get("RotationLambdaARN"))
    if "RotationLambdaARN" in policy:
        return graph.identity(policy["RotationLambdaARN"]) == function
    if "RoleName" in policy:
        return graph.identity(policy["RoleName"]) == graph.identity(graph.properties.get(function, {}).get("Role"))
    # The provider finds the function by the secret. That of a hosted rotation has a role of its own.
    return "HostedRotationLambda" not in schedule
