"""E9813: properties that exclude or need each other."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from rotation_role_policy.rules.properties import EXACTLY_ONE_OF, EXCLUSIVE_VALUES, MUTUALLY_EXCLUSIVE, REQUIRES
from rotation_role_policy_cli.lint.rules.policy_rule import (
    VALID_VALUES,
    PolicyRule,
    findings_in_scenarios,
    validation_error,
)
from rotation_role_policy_cli.lint.rules.template_graph import NO_VALUE, Path, TemplateGraph, branches


class InvalidCombination(PolicyRule):
    """The provider rejects the combination always, or whenever one condition of the template has this value."""

    id = "E9813"
    shortdesc = "Invalid combination of properties of Custom::RotationRolePolicy"

    def _findings(self, graph: TemplateGraph) -> Iterator[tuple[Path, str]]:
        for policy, properties in graph.policies.items():
            yield from findings_in_scenarios(graph, policy, partial(_invalid_combinations, properties))


def _invalid_combinations(properties: Mapping[str, Any], scenario: Mapping[str, bool]) -> Iterator[tuple[Path, str]]:
    """Yield the path below the properties and the message for each combination that is certain in a scenario."""
    values = {name: list(branches(properties.get(name, NO_VALUE), [], scenario)) for name in VALID_VALUES}
    given = {name for name in values if all(value != NO_VALUE for _, value in values[name])}
    missing = {name for name in values if all(value == NO_VALUE for _, value in values[name])}
    combinations = [[*pair, EXACTLY_ONE_OF[0]] for pair in MUTUALLY_EXCLUSIVE if given >= {*pair}]
    combinations += [[name, EXACTLY_ONE_OF[0]] for name, other in REQUIRES if name in given and other in missing]
    if given | missing >= {*EXACTLY_ONE_OF}:
        combinations.append([name for name in EXACTLY_ONE_OF if name in given])
    for names in combinations:
        if message := validation_error({name: VALID_VALUES[name] for name in names}):
            yield [*names[:1]], message
    for pair in EXCLUSIVE_VALUES:
        if all(value == excluded for name, excluded in pair for _, value in values[name]):
            [(name, _), _] = pair
            yield [name], validation_error({EXACTLY_ONE_OF[0]: VALID_VALUES[EXACTLY_ONE_OF[0]], **dict(pair)})
