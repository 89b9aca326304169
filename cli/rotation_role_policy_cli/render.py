"""Text for a terminal or a pipe: colour where it is wanted, JSON on few lines, differences."""

import difflib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from rotation_role_policy.policy_grammar import as_list

BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"


def is_terminal(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal that can be written anew. A process may have none at all."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def wants_colour(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal that shows colours, and NO_COLOR is not set (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def painted(style: str, text: str, colour: bool) -> str:
    """`text` in a style, one of the constants above, where there is colour."""
    return f"\033[{style}m{text}\033[0m" if colour else text


def pretty(value: Any, width: int, indent: int = 0) -> list[str]:
    """JSON on as few lines as fit the width. A long string goes below its name."""
    room = width - indent
    whole = json.dumps(value)
    if len(whole) < room or not isinstance(value, (dict, list)):
        return [whole]
    inner = " " * (indent + 2)
    members = []
    for member in value:
        if isinstance(value, list):
            name, lines = "", pretty(member, width, indent + 2)
        else:
            name, lines = json.dumps(member) + ":", pretty(value[member], width, indent + 2)
        if name and len(lines) == 1 and len(name) + 1 + len(lines[0]) >= room - 2:
            lines = ["", f"{inner}  {lines[0]}"]
        lines[0] = f"{inner}{name}{' ' if name and lines[0] else ''}{lines[0]}"
        members.append(lines)
    for lines in members[:-1]:
        lines[-1] += ","
    opening, closing = ("[", "]") if isinstance(value, list) else ("{", "}")
    return [opening, *(line for lines in members for line in lines), " " * indent + closing]


def difference(before: Sequence[str], after: Sequence[str], context: int, colour: bool) -> list[str]:
    """The lines of the unified difference, ``...`` between its parts, without its file names and line numbers."""
    lines = list(difflib.unified_diff(before, after, n=context, lineterm=""))[3:]
    styles = {"-": RED, "+": GREEN}
    parts = ["..." if line.startswith("@@") else line for line in lines]
    return [painted(styles[line[0]], line, colour) if line[0] in styles else line for line in parts]


def policy_difference(
    before: Mapping[str, Any] | None, after: Mapping[str, Any], width: int, context: int, colour: bool
) -> list[str]:
    """The lines of the difference of two policies; `before` is None where there is none."""
    old, new = (list(_policy_lines(document or {}, width)) for document in (before, after))
    return difference(old, new, context, colour)


def _policy_lines(document: Mapping[str, Any], width: int) -> Iterator[str]:
    """The statements, one after another, and whatever else there is before them."""
    for name, value in document.items():
        if name != "Statement":
            yield f"{json.dumps(name)}: {json.dumps(value)}"
    # Whoever wrote the one that stands there may have left out the brackets of a list of one.
    for statement in as_list(document.get("Statement", [])):
        yield from pretty(statement, width)
