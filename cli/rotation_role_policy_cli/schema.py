"""The JSON Schema (draft 7) of the properties, derived from the handler's table of properties.

It describes properties without intrinsic functions. Numbers and booleans may be strings, as CloudFormation sends
them. A test shows that the schema and `parse_properties` accept the same properties.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rotation_role_policy.rules.properties import (
    EXACTLY_ONE_OF,
    EXCLUSIVE_VALUES,
    MUTUALLY_EXCLUSIVE,
    PROPERTIES,
    REQUIRES,
    RESOURCE_TYPE,
    Property,
)

FILE = Path(__file__).with_name("properties.schema.json")
"""The file in the repository that has `text()`."""

TYPE = RESOURCE_TYPE


def schema() -> dict[str, Any]:
    """Return the schema."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": "Made by make docs",
        "title": f"The properties of {TYPE}",
        **_object(PROPERTIES),
        # CloudFormation itself requires it.
        "required": ["ServiceToken"],
        "oneOf": [{"required": [name]} for name in EXACTLY_ONE_OF],
        "allOf": [
            *({"not": {"required": list(pair)}} for pair in MUTUALLY_EXCLUSIVE),
            *({"if": {"required": [name]}, "then": {"required": [other]}} for name, other in REQUIRES),
            *({"not": _values(dict(pair))} for pair in EXCLUSIVE_VALUES),
        ],
    }


def text() -> str:
    """Return the text of the schema's file."""
    return json.dumps(schema(), indent=2) + "\n"


def plain_text(markdown: str) -> str:
    """Return a text of the table of properties without Markdown: editors and terminals do not render it."""
    return re.sub(r"\[(.*?)\]\(.*?\)", r"\1", markdown).replace("`", "")


def _object(table: Iterable[Property]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {row.name: _described(row) | _value(row) for row in table},
        "additionalProperties": False,
    }


def _described(row: Property) -> dict[str, Any]:
    about: dict[str, Any] = {"description": plain_text(row.description)}
    return about if row.default is None else about | {"default": row.default}


def _value(row: Property) -> dict[str, Any]:
    """Return the schema of a property's values."""
    match row.type:
        case "String":
            return _string(row)
        case "List of String":
            limit = {"maxItems": row.maximum} if row.maximum else {}
            return {"type": "array", "items": _string(row), "minItems": row.minimum, **limit}
        case "Integer":
            return {"anyOf": [{"type": "integer", "minimum": row.minimum, "maximum": row.maximum}, _digits(row)]}
        case "Boolean":
            return {"anyOf": [{"type": "boolean"}, {"enum": ["true", "false"]}]}
        case "Object":
            return _object(row.members) if row.members else {"type": "object"}
        case "CloudFormation":
            # CloudFormation validates its own properties.
            return {}
    raise NotImplementedError(f"no schema for the type {row.type} of {row.name}")


def _values(values: dict[str, str]) -> dict[str, Any]:
    """Return the schema of an object that has properties with these values."""
    return {"properties": {name: {"const": value} for name, value in values.items()}, "required": list(values)}


def _string(row: Property) -> dict[str, Any]:
    if row.allowed_values:
        return {"enum": list(row.allowed_values)}
    if row.pattern:
        return {"type": "string", "pattern": _whole(row.pattern.pattern)}
    return {"type": "string", "minLength": 1}


def _digits(row: Property) -> dict[str, Any]:
    """Return the schema of an Integer as a string: up to nine digits, as in `WHOLE_NUMBER`, with leading zeros."""
    by_length: dict[int, list[str]] = {}
    for number in range(max(row.minimum, 1), row.maximum + 1):
        by_length.setdefault(len(str(number)), []).append(str(number))
    numbers = [f"0{{0,{9 - length}}}({'|'.join(some)})" for length, some in by_length.items()]
    zero = ["-?0{1,9}"] if row.minimum <= 0 <= row.maximum else []
    return {"type": "string", "pattern": _whole(rf"({'|'.join(zero + numbers)})(\.0{{1,9}})?")}


def _whole(pattern: str) -> str:
    """Return a pattern that matches whole strings, in ECMA-262 and in Python."""
    # The two write group names differently. Python's "$" also matches before a newline at the end.
    unnamed = re.sub(r"\(\?P<\w+>", "(", pattern)
    return rf"^({unnamed})$(?!\n)"
