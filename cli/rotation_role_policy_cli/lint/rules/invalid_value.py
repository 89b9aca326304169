"""E9812: invalid values of properties."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cfnlint.helpers import is_function

from rotation_role_policy.rules.properties import PROPERTIES, Property
from rotation_role_policy_cli.lint.rules.policy_rule import PolicyRule, value_error
from rotation_role_policy_cli.lint.rules.template_graph import NO_VALUE, Path, TemplateGraph, branches


class InvalidValue(PolicyRule):
    """The provider's own validation decides on each literal value, also in the branches of Fn::If."""

    id = "E9812"
    shortdesc = "Wrong type or value of a property of Custom::RotationRolePolicy"

    def _findings(self, graph: TemplateGraph) -> Iterator[tuple[Path, str]]:
        for policy, properties in graph.policies.items():
            for row in PROPERTIES:
                start: Path = ["Resources", policy, "Properties", row.name]
                for path, value in _literals(row, properties.get(row.name, NO_VALUE), start):
                    message = value_error(row.name, value)
                    if message and graph.is_reachable(path):
                        yield path, message


def _literals(row: Property, value: Any, start: Path) -> Iterator[tuple[Path, Any]]:
    """Yield the path of each literal of a property, and a value of the property with no other literal."""
    for path, branch in branches(value, start):
        if is_function(branch)[0] or (isinstance(branch, str) and "{{resolve:" in branch):
            continue
        if isinstance(branch, dict) and row.members:
            for member in row.members:
                inner = _literals(member, branch.get(member.name, NO_VALUE), [*path, member.name])
                yield from ((place, {member.name: whole}) for place, whole in inner)
        elif isinstance(branch, list) and row.type == "List of String":
            yield path, [row.example] * len(branch)
            for index, item in enumerate(branch):
                inner = _literals(replace(row, type="String"), item, [*path, index])
                yield from ((place, [*[row.example] * index, whole]) for place, whole in inner)
        elif branch is None or isinstance(branch, dict | list):
            yield path, branch
        else:
            # CloudFormation sends each scalar as a string.
            yield path, str(branch).lower() if isinstance(branch, bool) else str(branch)
