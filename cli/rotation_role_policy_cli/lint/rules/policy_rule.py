"""The base class of the rules, and the provider's own validation."""

from collections.abc import Mapping
from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch
from cfnlint.template import Template

from rotation_role_policy.errors import RequestError
from rotation_role_policy.rules.properties import PROPERTIES, Property, parse_properties
from rotation_role_policy_cli.lint.rules.template_graph import TemplateGraph


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
