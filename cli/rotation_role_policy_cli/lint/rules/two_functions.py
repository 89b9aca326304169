"""W9822: a policy and a schedule of one secret with different functions."""

from collections.abc import Iterator, Mapping
from typing import Any

from rotation_role_policy_cli.lint.rules.policy_rule import PolicyRule
from rotation_role_policy_cli.lint.rules.template_graph import FUNCTIONS, Path, TemplateGraph


class TwoFunctions(PolicyRule):
    """The function of the schedule rotates the secret, and the role of another one gets the policy."""

    id = "W9822"
    shortdesc = "A policy and a rotation schedule of one secret with two functions"

    def _findings(self, graph: TemplateGraph) -> Iterator[tuple[Path, str]]:
        for schedule, properties in graph.of_type("AWS::SecretsManager::RotationSchedule").items():
            secret, role = graph.identity(properties.get("SecretId")), _role(graph, properties)
            of_policies = {
                name: _role(graph, policy)
                for name, policy in graph.policies.items()
                if secret in graph.secrets(policy) and graph.can_exist_together(name, schedule)
            }
            # Another policy of the secret may be for this function. Two roles of the template are different.
            if role and of_policies and all(of_policies.values()) and role not in of_policies.values():
                policy, other = next(iter(of_policies.items()))
                name = "RotationLambdaARN" if "RotationLambdaARN" in graph.policies[policy] else "RoleName"
                yield (
                    ["Resources", policy, "Properties", name],
                    f"{policy} is for the role {other}, but {schedule} rotates the secret with a function that has the"
                    f" role {role}, which gets no policy. Name the same function in both.",
                )


def _role(graph: TemplateGraph, properties: Mapping[str, Any]) -> str:
    """Return the role of the function that the properties name, or that they name itself; empty if it is not known."""
    if "RotationLambdaARN" not in properties:
        role = graph.identity(properties.get("RoleName"))
        return role if graph.types.get(role) == "AWS::IAM::Role" else ""
    function = graph.identity(properties["RotationLambdaARN"])
    if graph.types.get(function) not in FUNCTIONS:
        return ""
    if "Role" not in graph.properties[function]:
        # SAM creates it.
        return f"{function}Role"
    role = graph.identity(graph.properties[function]["Role"])
    return role if graph.types.get(role) == "AWS::IAM::Role" else ""
