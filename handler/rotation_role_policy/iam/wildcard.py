"""The IAM policy grammar: elements that are a value or a list, and wildcards.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

import re
from typing import Any

_SPECIAL = frozenset("*?$")


def as_list(value: Any) -> list[Any]:
    """Return the values of an element such as Action, which may be one value without a list."""
    return value if isinstance(value, list) else [value]


def matches(pattern: str, value: str, *, ignore_case: bool = False) -> bool:
    """Return whether `value` matches a pattern with IAM's wildcards: ``*`` for any characters, ``?`` for one."""
    if not _SPECIAL & set(pattern):
        return pattern.lower() == value.lower() if ignore_case else pattern == value
    # A policy variable, such as ${aws:PrincipalTag/team}, can have any value.
    wildcards = re.sub(r"\$\{[^}]*\}", "*", pattern)
    parts = ({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in wildcards)
    return bool(re.fullmatch("".join(parts), value, re.IGNORECASE | re.DOTALL if ignore_case else re.DOTALL))
