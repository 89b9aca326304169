"""E9816: policies that inspect a function that Lambda cannot create before them."""

from collections.abc import Iterator

from rotation_role_policy_cli.lint.rules.policy_rule import PolicyRule
from rotation_role_policy_cli.lint.rules.template_graph import Path, TemplateGraph


class InspectedBeforeFunction(PolicyRule):
    """Lambda creates a function with VpcConfig only after the policy, but the policy inspects the function."""

    id = "E9816"
    shortdesc = "A function with VpcConfig in the same template as an inspected policy for its role"

    def _findings(self, graph: TemplateGraph) -> Iterator[tuple[Path, str]]:
        for function, role, declaring in graph.vpc_functions():
            for policy, properties in graph.policies.items():
                name = "RotationLambdaARN" if "RotationLambdaARN" in properties else "RoleName"
                is_for_function = graph.identity(properties.get(name)) in (function, role)
                is_inspected = "VpcConfig" not in properties and not declaring
                if is_inspected and is_for_function and graph.exists_with(policy, function):
                    yield (
                        ["Resources", policy, "Properties", name],
                        f"{policy} inspects {function}, but Lambda does not create {function} with VpcConfig before"
                        f" {role} can manage network interfaces. Declare the VPC of the function: in {policy}, give"
                        f" RoleName and VpcConfig without RotationLambdaARN. Add DependsOn: {policy} to {function}.",
                    )
