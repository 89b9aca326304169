"""What a template's conditions can be at the same time, as far as cfn-lint can tell, and what is certain of it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from cfnlint.conditions import Conditions

from rotation_role_policy_cli.checks import functions

Case = Mapping[str, bool]
"""Conditions, and what they are."""

_MOST_CONDITIONS = 7
"""More of them at once are not looked through: twice as many cases with each."""

_LOGIC = {"Fn::And", "Fn::Equals", "Fn::Not", "Fn::Or"}


class Cases:
    """The conditions of a template."""

    def __init__(self, template: Mapping[str, Any]) -> None:
        sections = {name: template.get(name) for name in ("Parameters", "Conditions", "Rules")}
        self._sections = {name: one if isinstance(one, Mapping) else {} for name, one in sections.items()}
        self._known = Conditions(SimpleNamespace(template={k: _as_compared(v) for k, v in self._sections.items()}))

    def scenarios(self, values: Any, there: Iterable[str | None]) -> Iterator[dict[str, bool]]:
        """The possible cases of the conditions in values, where these others are true.

        None where the conditions are too many or not well-formed.
        """
        given = {one: {True} for one in there if one}
        asked = {one: {True, False} for one in sorted(functions.conditions(values))} | given
        if not asked:
            yield {}
        elif len(asked) <= _MOST_CONDITIONS:
            yield from self._known.build_scenarios(asked)

    def is_reached(self, template: Any, path: functions.Path) -> bool:
        """Whether what is at a path of the template can be picked by its conditions, and they are known.

        What a macro changes is not there as it stands.
        """
        if functions.is_rewritten_around(template, path):
            return False
        case = functions.assumed(template, path)
        if not case:
            return case is not None
        return any(self._known.build_scenarios({name: {truth} for name, truth in case.items()}))

    def certain(self, scenarios: Sequence[Case], found: Sequence[Case]) -> Case | None:
        """The case that something found in some of the scenarios is certain in; None where there is no such case.

        Which values a template's users give together, it does not say: several conditions, each true for some of them,
        need not be true at the same time. So it has to be found in every scenario, or in every one of a single
        condition, or of a single value of a parameter that lists its values.
        """
        if len(found) == len(scenarios):
            return {}
        names = sorted(set().union(*scenarios))
        alone = [[name] for name in names]
        listed = [name for name, one in self._sections["Parameters"].items() if functions.lists_its_values(one)]
        for together in [*alone, *([one for one in names if self._rests_on(one) == {name}] for name in listed)]:
            for case in ({name: one[name] for name in together} for one in found):
                if case and all(one in found for one in scenarios if case.items() <= one.items()):
                    return case
        return None

    def _rests_on(self, condition: str) -> set[str]:
        """The parameters that decide a condition, and the names of functions that do."""
        seen = {condition}
        ahead = [self._sections["Conditions"].get(condition)]
        found: set[str] = set()
        while ahead:
            value = ahead.pop()
            for name, part in value.items() if isinstance(value, Mapping) else ():
                if name == "Condition" and isinstance(part, str):
                    if part not in seen:
                        seen.add(part)
                        ahead.append(self._sections["Conditions"].get(part))
                elif name in _LOGIC:
                    ahead += part if isinstance(part, list) else []
                else:
                    found.add(part if name == "Ref" and isinstance(part, str) else str(name))
        return found


def _as_compared(value: Any) -> Any:
    """A section, so that cfn-lint compares in it what CloudFormation does.

    It takes true in a list of allowed values for another than "true", and two equalities of a parameter for
    contradictory, even where one is to another parameter.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return [_as_compared(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    same = {name: _as_compared(one) for name, one in value.items()}
    match same.get("Fn::Equals"):
        case [Mapping() as left, Mapping() as right] if left != right:
            return same | {"Fn::Equals": [{"Fn::Sub": json.dumps([left, right], default=str)}, "true"]}
    return same
