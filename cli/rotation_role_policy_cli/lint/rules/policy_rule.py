"""The base class of the rules, and the provider's own validation."""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch
from cfnlint.template import Template

from rotation_role_policy.errors import RequestError
from rotation_role_policy.rules.properties import PROPERTIES, Property, parse_properties
from rotation_role_policy_cli.lint.rules.template_graph import Path, TemplateGraph


def _valid_value(row: Property) -> Any:
    """Return a value of the property that the provider accepts."""
    by_type: dict[str, Any] = {"Object": {}, "List of String": [row.example]}
    return row.default or by_type.get(row.type, row.example)


VALID_VALUES = {row.name: _valid_value(row) for row in PROPERTIES}


class PolicyRule(CloudFormationLintRule):  # type: ignore[misc]  # cfn-lint has no types
    """A rule whose `_findings` yields the path and the message of each mistake that the template proves."""

    tags = ("resources", "secretsmanager", "rotation")

    def __init_subclass__(cls) -> None:
        cls.description = cls.__doc__

    def match(self, cfn: Template) -> list[RuleMatch]:
        """Return the findings; none if the template is not fully known."""
        findings = self._findings(TemplateGraph(cfn)) if TemplateGraph.is_known(cfn) else ()
        return [RuleMatch(path, message) for path, message in findings]


def findings_in_scenarios(
    graph: TemplateGraph, policy: str, find: Callable[[Mapping[str, bool]], Iterator[tuple[Path, str]]]
) -> Iterator[tuple[Path, str]]:
    """Yield the path and the message of what is found always, or whenever one condition of the template has a value.

    Args:
        graph: the template.
        policy: the logical ID of the policy.
        find: yields the path below the properties and the message for each mistake that is certain in a scenario, the
            values of one or two conditions.
    """
    names = list(conditions) if isinstance(conditions := graph.cfn.template.get("Conditions"), dict) else []
    always = {str(graph.conditions[policy]): True} if graph.conditions[policy] else {}
    reported = set()
    for name, value in [("", True), *product(names, (True, False))]:
        scenario = {name: value} | always if name else always
        when = f" This is so if {name} is {str(value).lower()}." if name else ""
        for path, message in find(scenario):
            if message not in reported and graph.is_possible(scenario):
                reported.add(message)
                yield ["Resources", policy, "Properties", *path], message + when


def validation_error(properties: Mapping[str, Any]) -> str:
    """Return the reason for which the provider rejects these properties; an empty string if it accepts them."""
    try:
        parse_properties(properties)
    except RequestError as error:
        return str(error)
    return ""


def value_error(name: str, value: Any) -> str:
    """Return the reason for which the provider rejects a value, whatever the other properties; or an empty string."""
    error = validation_error({name: value})
    return "" if error == validation_error({name: VALID_VALUES[name]}) else error
