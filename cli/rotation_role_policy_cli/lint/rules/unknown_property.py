"""E9811: unknown properties."""

from collections.abc import Iterator

from cfnlint.helpers import is_function

from rotation_role_policy.rules.properties import PROPERTIES
from rotation_role_policy_cli.lint.rules.policy_rule import PolicyRule, validation_error
from rotation_role_policy_cli.lint.rules.template_graph import NO_VALUE, Path, TemplateGraph, branches


class UnknownProperty(PolicyRule):
    """The provider rejects unknown properties, also in VpcConfig. The message names the closest property."""

    id = "E9811"
    shortdesc = "Unknown or misspelled property of Custom::RotationRolePolicy"

    def _findings(self, graph: TemplateGraph) -> Iterator[tuple[Path, str]]:
        for policy, properties in graph.policies.items():
            start: Path = ["Resources", policy, "Properties"]
            for name in properties.keys() - {row.name for row in PROPERTIES}:
                if _is_started(graph, properties[name], [*start, name]):
                    yield [*start, name], validation_error({str(name): ""})
            for row in filter(lambda row: row.members, PROPERTIES):
                for path, value in branches(properties.get(row.name), [*start, row.name]):
                    members = value if isinstance(value, dict) and not is_function(value)[0] else {}
                    for name in members.keys() - {member.name for member in row.members}:
                        if _is_started(graph, members[name], [*path, name]):
                            yield [*path, name], validation_error({row.name: {str(name): ""}})


def _is_started(graph: TemplateGraph, value: object, path: Path) -> bool:
    return any(branch != NO_VALUE and graph.is_reachable(place) for place, branch in branches(value, path))
