"""The JSON Schema of the properties, made from the handler's own table: `rotation-role-policy schema`.

It describes properties without intrinsic functions, as CloudFormation sends them or as JSON has them: 10 and "10", true
and "true". Draft 7, which every editor knows. A test holds it to agree with `parse_properties` on whatever is given.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rotation_role_policy.properties import EXACTLY_ONE_OF, MUTUALLY_EXCLUSIVE, PROPERTIES, REQUIRES, Property

FILE = Path(__file__).with_name("properties.schema.json")
"""Where `text()` is checked in."""

TYPE = "Custom::RotationRolePolicy"


def schema() -> dict[str, Any]:
    """The schema, as JSON has it."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": "Made by make docs",
        "title": f"The properties of {TYPE}",
        **_object(PROPERTIES),
        # CloudFormation's own demand, which it makes before the provider is asked.
        "required": ["ServiceToken"],
        "oneOf": [{"required": [name]} for name in EXACTLY_ONE_OF],
        "allOf": [
            *({"not": {"required": list(pair)}} for pair in MUTUALLY_EXCLUSIVE),
            *({"if": {"required": [name]}, "then": {"required": [other]}} for name, other in REQUIRES),
        ],
    }


def text() -> str:
    """The schema as the file has it."""
    return json.dumps(schema(), indent=2) + "\n"


def _object(table: Iterable[Property]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {row.name: _described(row) | _value(row) for row in table},
        "additionalProperties": False,
    }


def _described(row: Property) -> dict[str, Any]:
    # An editor shows it as it stands: without Markdown's links and quotation marks.
    plain = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", row.description).replace("`", "")
    about: dict[str, Any] = {"description": plain}
    return about if row.default is None else about | {"default": row.default}


def _value(row: Property) -> dict[str, Any]:
    """What admits a row's values, and no other."""
    if row.type == "String":
        return _string(row)
    if row.type == "List of String":
        return {"type": "array", "items": _string(row), "minItems": row.minimum}
    if row.type == "Integer":
        return {"anyOf": [{"type": "integer", "minimum": row.minimum, "maximum": row.maximum}, _digits(row)]}
    if row.type == "Boolean":
        return {"anyOf": [{"type": "boolean"}, {"enum": ["true", "false"]}]}
    if row.type == "Object":
        return _object(row.members) if row.members else {"type": "object"}
    # CloudFormation's own properties: it has judged them already.
    return {}


def _string(row: Property) -> dict[str, Any]:
    if row.allowed_values:
        return {"enum": list(row.allowed_values)}
    if row.pattern:
        return {"type": "string", "pattern": _whole(row.pattern.pattern)}
    return {"type": "string", "minLength": 1}


def _digits(row: Property) -> dict[str, Any]:
    """The whole numbers of a row as strings: with `WHOLE_NUMBER`'s nine digits at most, zeros in front counted."""
    by_length: dict[int, list[str]] = {}
    for number in range(max(row.minimum, 1), row.maximum + 1):
        by_length.setdefault(len(str(number)), []).append(str(number))
    numbers = [f"0{{0,{9 - length}}}({'|'.join(some)})" for length, some in by_length.items()]
    zero = ["-?0{1,9}"] if row.minimum <= 0 <= row.maximum else []
    return {"type": "string", "pattern": _whole(rf"({'|'.join(zero + numbers)})(\.0{{1,9}})?")}


def _whole(pattern: str) -> str:
    """A pattern that holds for whole strings, as ECMA-262 and as Python read it."""
    # Group names are spelt differently in the two. Python's "$" lets a newline follow.
    unnamed = re.sub(r"\(\?P<\w+>", "(", pattern)
    return rf"^({unnamed})$(?!\n)"
