"""IAM's policy grammar: lists of one, and wildcards.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

import re
from typing import Any


def as_list(value: Any) -> list[Any]:
    """The value of an element such as Action: a list of one may stand without its brackets."""
    return value if isinstance(value, list) else [value]


def matches(pattern: str, value: str, *, ignore_case: bool = False) -> bool:
    """Whether a pattern with IAM's wildcards holds `value`: ``*`` is any characters, ``?`` one."""
    # A policy variable, such as ${aws:PrincipalTag/team}, can become anything.
    wild = re.sub(r"\$\{[^}]*\}", "*", pattern)
    parts = ({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in wild)
    return bool(re.fullmatch("".join(parts), value, re.IGNORECASE | re.DOTALL if ignore_case else re.DOTALL))
