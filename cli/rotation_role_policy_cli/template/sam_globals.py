"""The section `Globals` of SAM: properties that all functions of a template share.

Source: https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-template-anatomy-globals.html
"""

from collections.abc import Mapping
from typing import Any

from rotation_role_policy_cli.template.file import is_function


def with_globals(template: Mapping[str, Any], name: str, value: Any) -> Any:
    """Return a property of a function with that of `Globals`: objects are merged, lists are added.

    Args:
        template: the template.
        name: of the property.
        value: in the function; None if it has none.

    Raises:
        AttributeError: `Globals` has another form.
    """
    return _merged(template.get("Globals", {}).get("Function", {}).get(name), value)


def _merged(of_globals: Any, value: Any) -> Any:
    are_objects = isinstance(of_globals, dict) and isinstance(value, dict)
    if are_objects and not is_function(of_globals) and not is_function(value):
        return {name: _merged(of_globals.get(name), value.get(name)) for name in {**of_globals, **value}}
    if isinstance(of_globals, list) and isinstance(value, list):
        return of_globals + value
    return of_globals if value is None else value
