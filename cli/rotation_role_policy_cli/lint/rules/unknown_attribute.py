"""E9814: unknown attributes."""

from collections.abc import Iterator

from rotation_role_policy.iam.document import as_list
from rotation_role_policy.rules.attributes import ATTRIBUTES
from rotation_role_policy.rules.properties import closest_name
from rotation_role_policy_cli.lint.rules.policy_rule import PolicyRule
from rotation_role_policy_cli.lint.rules.template_graph import Path, TemplateGraph
from rotation_role_policy_cli.schema import TYPE

_KNOWN = [attribute.name for attribute in ATTRIBUTES]


class UnknownAttribute(PolicyRule):
    """In Fn::GetAtt and Fn::Sub. cfn-lint itself accepts any attribute of a custom resource."""

    id = "E9814"
    shortdesc = "Unknown Fn::GetAtt attribute of Custom::RotationRolePolicy"

    def _findings(self, graph: TemplateGraph) -> Iterator[tuple[Path, str]]:
        for path, reference in _references(graph):
            policy, _, attribute = reference.partition(".")
            is_unknown = policy in graph.policies and attribute not in ("", *_KNOWN)
            # No other section can refer to a resource.
            if is_unknown and path[0] in ("Resources", "Outputs") and graph.is_reachable(path):
                closest = f"{policy}.{closest_name(attribute, _KNOWN)}"
                yield path, f"{reference} is not an attribute of {TYPE}. Did you mean {closest}?"


def _references(graph: TemplateGraph) -> Iterator[tuple[Path, str]]:
    """Yield the path of each Fn::GetAtt and Fn::Sub, and a reference such as ``Policy.RoleArn``."""
    for *path, value in graph.cfn.search_deep_keys("Fn::GetAtt"):
        if all(isinstance(part, str) for part in as_list(value)):
            yield path, ".".join(as_list(value))
    for *path, value in graph.cfn.search_deep_keys("Fn::Sub"):
        text, variables = [*as_list(value), {}, {}][:2]
        names = graph.cfn.get_sub_parameters(text)
        yield from ((path, name) for name in names if not (isinstance(variables, dict) and name in variables))
