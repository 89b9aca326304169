"""CloudFormation's intrinsic functions in a template, unresolved: what they refer to, and what a condition picks."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rotation_role_policy.policy_grammar import as_list

Path = tuple[str | int, ...]

NO_VALUE = {"Ref": "AWS::NoValue"}

_DEPTH_OF_RESOURCE = 2
"""A resource or an output is in a section, which is in the template."""

_IN_SUB = re.compile(r"\$\{([^!}][^}]*)\}")


def is_function_name(name: object) -> bool:
    """Whether a name in an object calls a function: the object's own value is known to CloudFormation alone."""
    return name == "Ref" or str(name).startswith("Fn::")


def is_open(value: Any) -> bool:
    """Whether a value is an intrinsic function, or an object that a function such as Fn::Transform adds to."""
    return isinstance(value, Mapping) and any(map(is_function_name, value))


def has_macro(value: Any) -> bool:
    """Whether a macro changes the value, or a part of it."""
    return (isinstance(value, Mapping) and "Fn::Transform" in value) or any(
        has_macro(part) for _, part in _parts(value)
    )


def is_rewritten(value: Any) -> bool:
    """Whether a macro changes what stands beside it in the value: AWS::Include only adds to it."""
    if not (isinstance(value, Mapping) and "Fn::Transform" in value):
        return False
    macros = as_list(value["Fn::Transform"])
    return not all(isinstance(one, Mapping) and one.get("Name") == "AWS::Include" for one in macros)


def is_rewritten_around(value: Any, path: Path) -> bool:
    """Whether a macro changes what is at a path of the value, from beside it or further out."""
    for step in path:
        if is_rewritten(value):
            return True
        value = value[step]
    return False


def is_dynamic(value: Any) -> bool:
    """Whether a string holds a dynamic reference, such as ``{{resolve:ssm:/name}}``."""
    return isinstance(value, str) and "{{resolve:" in value


def lists_its_values(parameter: Any) -> bool:
    """Whether a parameter of a template has a list of the values that it can have."""
    values = parameter.get("AllowedValues") if isinstance(parameter, Mapping) else None
    return isinstance(values, list) and bool(values)


def branches(value: Any) -> tuple[str, Any, Any] | None:
    """The condition of an Fn::If and its two values; None for whatever else."""
    if isinstance(value, Mapping) and list(value) == ["Fn::If"]:
        match value["Fn::If"]:
            case [str(condition), then, otherwise]:
                return condition, then, otherwise
    return None


def assumed(template: Any, path: Path) -> dict[str, bool] | None:
    """The conditions by which what is at a path of the template is there; None where they exclude each other."""
    found: dict[str, bool] = {}
    value = template
    for depth, step in enumerate(path):
        needed = None
        if choice := branches(value):
            number = path[depth + 1] if depth + 1 < len(path) else None
            needed = (choice[0], number == 1) if number in (1, 2) else None
        elif depth == _DEPTH_OF_RESOURCE and isinstance(value, Mapping) and isinstance(value.get("Condition"), str):
            needed = (value["Condition"], True)
        if needed and found.setdefault(*needed) is not needed[1]:
            return None
        value = value[step]
    return found


def conditions(value: Any) -> set[str]:
    """The conditions that pick the value, or a part of it."""
    found: set[str] = set()
    if choice := branches(value):
        found.add(choice[0])
    for _, part in _parts(value):
        found |= conditions(part)
    return found


def picked(value: Any, scenario: Mapping[str, bool]) -> Any:
    """The value with these conditions: no Fn::If of them is left, and no AWS::NoValue but for the value itself."""
    choice = branches(value)
    if choice and choice[0] in scenario:
        return picked(choice[1] if scenario[choice[0]] else choice[2], scenario)
    if isinstance(value, Mapping):
        kept = {name: picked(one, scenario) for name, one in value.items()}
        return {name: one for name, one in kept.items() if one != NO_VALUE}
    if isinstance(value, list):
        return [one for one in (picked(one, scenario) for one in value) if one != NO_VALUE]
    return value


def leaves(value: Any) -> Iterator[Any]:
    """All that a value can be: both values of an Fn::If, the items of a list, but nothing for AWS::NoValue."""
    if choice := branches(value):
        yield from leaves(choice[1])
        yield from leaves(choice[2])
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one)
    elif value is not None and value != NO_VALUE:
        yield value


def leaf_paths(value: Any, path: Path) -> Iterator[Path]:
    """The paths of all that what is at a path can be: both values of an Fn::If, but none for AWS::NoValue."""
    here = value
    for step in path:
        here = here[step]
    if choice := branches(here):
        for number in range(1, len(choice)):
            yield from leaf_paths(value, (*path, "Fn::If", number))
    elif here != NO_VALUE:
        yield path


def references(value: Any, path: Path = ()) -> Iterator[tuple[Path, str, str]]:
    """Where the value refers to what: the path, a resource's or parameter's name, its attribute or nothing.

    By Ref, Fn::GetAtt and Fn::Sub. An attribute that is a function itself is told as nothing.
    """
    if isinstance(value, Mapping):
        for name, argument in value.items():
            here = (*path, name)
            if name == "Ref" and isinstance(argument, str):
                yield here, argument, ""
            elif name == "Fn::GetAtt":
                yield from ((here, *found) for found in _get_att(argument))
            elif name == "Fn::Sub":
                yield from ((here, *found) for found in _sub(argument))
    for name, part in _parts(value):
        yield from references(part, (*path, name))


def pieces(value: Any) -> Iterator[str | tuple[str, str]]:
    """What a value's text is put together from, by Fn::Sub and Fn::Join: texts, and what is referred to, as told above.

    What is not known is told as a reference to nothing.
    """
    match value:
        case str():
            yield value
        case {"Ref": str(name), **more} if not more:
            yield name, ""
        case {"Fn::GetAtt": argument, **more} if not more:
            yield from _get_att(argument)
        case {"Fn::Sub": str() | [str(), Mapping()] as argument, **more} if not more:
            text, own = (argument, {}) if isinstance(argument, str) else argument
            for number, part in enumerate(_IN_SUB.split(text)):
                name, _, attribute = part.strip().partition(".")
                if number % 2 and part.strip() in own:
                    yield from pieces(own[part.strip()])
                else:
                    yield (name, attribute) if number % 2 else part
        case {"Fn::Join": [str(between), list(parts)], **more} if not more:
            for number, part in enumerate(parts):
                yield from [between] if number else []
                yield from pieces(part)
        case _:
            yield "", ""


def _get_att(argument: Any) -> Iterator[tuple[str, str]]:
    match argument.split(".", 1) if isinstance(argument, str) else argument:
        case [str(name), str(attribute), *more]:
            # ["Stack", "Outputs", "Name"] is one way to write it.
            yield name, ".".join(map(str, [attribute, *more]))
        case [str(name), *_]:
            yield name, ""


def _sub(argument: Any) -> Iterator[tuple[str, str]]:
    text, own = argument, {}
    if isinstance(argument, list):
        text, own = [*argument, None, None][:2]
    if isinstance(text, str):
        for name in map(str.strip, _IN_SUB.findall(text)):
            if not (isinstance(own, Mapping) and name in own):
                resource, _, attribute = name.partition(".")
                yield resource, attribute


def _parts(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)
