"""The mistakes of a template's properties that stand in it literally, beside intrinsic functions that are not judged.

The judge is the handler itself, `parse_properties`: it is given each literal alone, all else right.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rotation_role_policy.errors import RequestError
from rotation_role_policy.properties import (
    EXACTLY_ONE_OF,
    MUTUALLY_EXCLUSIVE,
    PROPERTIES,
    REQUIRES,
    Property,
    parse_properties,
)
from rotation_role_policy_cli.checks.functions import (
    NO_VALUE,
    Path,
    branches,
    is_dynamic,
    is_function_name,
    is_open,
    picked,
)

_BY_NAME = {row.name: row for row in PROPERTIES}
_COMBINED = {*EXACTLY_ONE_OF, *(name for pair in [*MUTUALLY_EXCLUSIVE, *REQUIRES] for name in pair)}


@dataclass(frozen=True)
class Mistake:
    """What is wrong with the properties, where (below them), and in the handler's words."""

    path: Path
    reason: str
    is_unknown: bool = False
    """Whether it is a name that the handler does not know."""


def mistakes(properties: Mapping[str, Any]) -> Iterator[Mistake]:
    """Every unknown name and every wrong literal of the properties as a template has them."""
    for path, probe, is_unknown in _members(PROPERTIES, properties, ()):
        if reason := _refusal(_with_what_it_needs(probe)):
            yield Mistake(path, reason + _yaml_truth(path, properties), is_unknown)


def wrong_together(properties: Mapping[str, Any], scenario: Mapping[str, bool]) -> Iterator[Mistake]:
    """What is wrong with which of the properties are there where these conditions hold, whatever their values."""
    if is_open(properties):
        # A macro may add to them or take away.
        return
    there = {
        name: _right(_BY_NAME[name])
        for name, value in properties.items()
        if name in _COMBINED and picked(value, scenario) != NO_VALUE
    }
    # Each alone, all else right: the handler tells the first.
    probes = [{name: there[name] for name in EXACTLY_ONE_OF if name in there}]
    probes += [
        _with_what_it_needs({name: there[name] for name in pair})
        for pair in MUTUALLY_EXCLUSIVE
        if there.keys() >= {*pair}
    ]
    for name, other in REQUIRES:
        if name in there and other not in there:
            probes.append({one: x for one, x in _with_what_it_needs({name: there[name]}).items() if one != other})
    for probe in probes:
        if reason := _refusal(probe):
            named = [word for word in re.findall(r"\w+", reason) if word in there]
            yield Mistake(tuple(named[:1]), reason)


def deciding(properties: Mapping[str, Any]) -> list[Any]:
    """The Fn::Ifs that decide which of the properties are there, without what they choose from."""
    return [_only_choices(value) for name, value in properties.items() if name in _COMBINED]


def _only_choices(value: Any) -> Any:
    choice = branches(value)
    return {"Fn::If": [choice[0], *map(_only_choices, choice[1:])]} if choice else None


def _refusal(properties: dict[str, Any]) -> str | None:
    try:
        parse_properties(properties)
    except RequestError as refused:
        return str(refused)
    return None


# --- each literal, as a whole property that is right but for it -------------------------------------------------------


def _members(table: Iterable[Property], given: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, Any, bool]]:
    """The literals in an object, each as an object of one name; and whether that name is not in the table."""
    known = {row.name: row for row in table}
    for name, value in given.items():
        if is_function_name(name):
            continue
        here = (*path, name)
        if name not in known:
            yield here, {str(name): value}, True
        elif known[name].members and isinstance(value, Mapping) and not branches(value):
            for inner, probe, is_unknown in _members(known[name].members, value, here):
                yield inner, {name: probe}, is_unknown
        else:
            for inner, probe, is_unknown in _literals(known[name], value, here):
                yield inner, {name: probe}, is_unknown


def _literals(row: Property, value: Any, path: Path) -> Iterator[tuple[Path, Any, bool]]:
    if choice := branches(value):
        for number, branch in enumerate(choice[1:], 1):
            # As a property of its own, so that an object's members are looked into.
            for inner, probe, is_unknown in _members([row], {row.name: branch}, ()):
                yield (*path, "Fn::If", number, *inner[1:]), probe[row.name], is_unknown
    elif is_open(value) or is_dynamic(value):
        return
    elif isinstance(value, list) and row.type == "List of String":
        # How many there are, then each among right ones.
        yield path, _right(row) * len(value), False
        item = replace(row, type="String")
        for index, one in enumerate(value):
            for inner, probe, is_unknown in _literals(item, one, (*path, index)):
                yield inner, [*_right(row) * index, probe], is_unknown
    else:
        yield path, _as_sent(value), False


def _right(row: Property) -> Any:
    """A value that the handler takes for a secret, a role, a function, a list or an object: it stands for another."""
    return {"Object": {}, "List of String": ["x"]}.get(row.type, "x")


def _with_what_it_needs(properties: dict[str, Any]) -> dict[str, Any]:
    """Properties of one name, and what the handler does not take it without."""
    needed = [other for name, other in REQUIRES if name in properties]
    if not properties.keys() & set(EXACTLY_ONE_OF):
        needed.append(EXACTLY_ONE_OF[0])
    return {name: _right(_BY_NAME[name]) for name in needed} | properties


def _as_sent(value: Any) -> Any:
    """A literal as CloudFormation sends it: a scalar as a string, a date of YAML's too."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None or isinstance(value, Mapping | list) else str(value)


def _yaml_truth(path: Path, properties: Any) -> str:
    """A hint where a truth value stands for one of the words that YAML takes for it."""
    value = properties
    for step in path:
        value = value[step]
    row = _BY_NAME.get(str(path[0]))
    if not (isinstance(value, bool) and row and row.allowed_values):
        return ""
    return " Without quotation marks, YAML takes On, Off, Yes and No for true and false."
