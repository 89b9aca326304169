"""E9817: functions that do not wait for the policy that declares their VPC."""

from collections.abc import Iterator

from rotation_role_policy_cli.lint.rules.policy_rule import PolicyRule
from rotation_role_policy_cli.lint.rules.template_graph import Path, TemplateGraph


class FunctionBeforeDeclared(PolicyRule):
    """Lambda creates a function with VpcConfig only after the policy. CloudFormation creates both at the same time."""

    id = "E9817"
    shortdesc = "A function with VpcConfig that does not depend on the declared policy of its role"

    def _findings(self, graph: TemplateGraph) -> Iterator[tuple[Path, str]]:
        for function, role, declaring in graph.vpc_functions():
            for policy in [policy for policy in declaring if graph.exists_with(policy, function)][:1]:
                yield (
                    ["Resources", function],
                    f"{function} has VpcConfig but does not depend on {policy}. Lambda does not create {function}"
                    f" before {policy} lets {role} manage network interfaces. {graph.remedy(function, policy)}",
                )
