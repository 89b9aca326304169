"""W9818: policies whose role the configuration of a rotation decides."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from rotation_role_policy_cli.lint.rules.policy_rule import PolicyRule, findings_in_scenarios
from rotation_role_policy_cli.lint.rules.template_graph import NO_VALUE, Path, TemplateGraph, selected

# With VpcConfig, the provider requires RoleName. E9813 says so.
_NAMES = ("RotationLambdaARN", "RoleName", "VpcConfig")


class NoFunctionOrRole(PolicyRule):
    """Without a function and a role, a first Create trusts whoever has configured the rotation of the secret."""

    id = "W9818"
    shortdesc = "A Custom::RotationRolePolicy with neither RotationLambdaARN nor RoleName"

    def _findings(self, graph: TemplateGraph) -> Iterator[tuple[Path, str]]:
        for policy, properties in graph.policies.items():
            yield from findings_in_scenarios(graph, policy, partial(_missing, policy, properties))


def _missing(policy: str, properties: Mapping[str, Any], scenario: Mapping[str, bool]) -> Iterator[tuple[Path, str]]:
    if all(selected(properties.get(name, NO_VALUE), scenario) == NO_VALUE for name in _NAMES):
        yield (
            [],
            f"{policy} has neither RotationLambdaARN nor RoleName. The rotation configuration of the secret then"
            " decides which role gets the policy when it is created. A principal that may call"
            " secretsmanager:RotateSecret can change this configuration, and after a change, an Update fails."
            " Give RotationLambdaARN or RoleName.",
        )
