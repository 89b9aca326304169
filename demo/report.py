"""What the demo prints: steps with their seconds, policies, differences. Plain text of at most 100 columns."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

WIDTH = 100
_INDENT = "   "
_BOLD, _DIM, _RED, _GREEN = "1", "2", "31", "32"


class Unexpected(Exception):
    """A step's result is not what the demo says."""

    def __init__(self, what: str, expected: object, seen: object) -> None:
        super().__init__(f"{what}\n   expected: {expected}\n   seen:     {seen}")


def expect(what: str, expected: object, seen: object) -> None:
    """Raise `Unexpected` where what was seen is not what was expected."""
    if seen != expected:
        raise Unexpected(what, expected, seen)


class Report:
    """Standard output, with colour on a terminal only, and never where NO_COLOR is set."""

    def __init__(self) -> None:
        self._colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._steps = 0
        self._start = time.monotonic()
        self.current = ""
        """The running step, for the message of a failure."""

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A heading when the step begins, its seconds when it has ended."""
        self._steps += 1
        self.current = f"{self._steps}. {name}"
        self._print(f"\n{self._styled(_BOLD, self.current)}\n")
        start = time.monotonic()
        yield
        self._print(self._styled(_DIM, f"{_INDENT}[{time.monotonic() - start:.1f} s]"))

    @property
    def seconds(self) -> float:
        """Since the start of all."""
        return time.monotonic() - self._start

    def say(self, text: str) -> None:
        """A paragraph of a step."""
        self._print(_wrapped(text, _INDENT, _INDENT) + "\n")

    def quote(self, label: str, text: str) -> None:
        """What AWS or the provider said, word for word."""
        self._print(_wrapped(f"{label}: {text}", _INDENT + "  ", _INDENT + "    ") + "\n")

    def emulator(self, text: str) -> None:
        """Where the emulator falls short of AWS, so that nobody takes the demo for more than it is."""
        self._print(self._styled(_DIM, _wrapped(f"(Emulator) {text}", _INDENT, _INDENT)) + "\n")

    def policy(self, statements: Sequence[Mapping[str, Any]], why: Mapping[str, str]) -> None:
        """Each statement below a line that says why it is there."""
        for statement in statements:
            sid = statement["Sid"]
            self._print(f"{_INDENT}{self._styled(_BOLD, sid)}: {why[sid]}")
            self._print(textwrap.indent("\n".join(_pretty(statement)), _INDENT + "  ") + "\n")

    def policy_difference(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """The unified difference of two policies' statements."""
        old, new = ([line for one in document["Statement"] for line in _pretty(one)] for document in (before, after))
        self.difference(old, new, context=4)

    def difference(self, before: Sequence[str], after: Sequence[str], context: int) -> None:
        """The unified difference, without its file names and line numbers."""
        lines = list(difflib.unified_diff(before, after, n=context, lineterm=""))[2:]
        for line in lines:
            if not line.startswith("@@"):
                style = {"-": _RED, "+": _GREEN}.get(line[0])
                self._print(_INDENT + (self._styled(style, line) if style else line))
        self._print("")

    def table(self, rows: Sequence[tuple[str, str]]) -> None:
        """Names and values in two columns."""
        for name, value in rows:
            self._print(f"{_INDENT}  {name:<16}{value}")
        self._print("")

    def text(self, text: str) -> None:
        """A paragraph outside of any step."""
        self._print(_wrapped(text, "", ""))

    def _styled(self, style: str, text: str) -> str:
        return f"\033[{style}m{text}\033[0m" if self._colour else text

    def _print(self, text: str) -> None:
        print(text, flush=True)


def _wrapped(text: str, first: str, rest: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False, break_long_words=False
    )


def _pretty(value: Any, indent: int = 0) -> list[str]:
    """JSON on as few lines as fit the width. A long string goes below its name."""
    room = WIDTH - len(_INDENT) - 2 - indent
    whole = json.dumps(value)
    if len(whole) < room or not isinstance(value, (dict, list)):
        return [whole]
    inner = " " * (indent + 2)
    members = []
    for member in value:
        if isinstance(value, list):
            name, lines = "", _pretty(member, indent + 2)
        else:
            name, lines = json.dumps(member) + ":", _pretty(value[member], indent + 2)
        if name and len(lines) == 1 and len(name) + 1 + len(lines[0]) >= room - 2:
            lines = ["", f"{inner}  {lines[0]}"]
        lines[0] = f"{inner}{name}{' ' if name and lines[0] else ''}{lines[0]}"
        members.append(lines)
    for lines in members[:-1]:
        lines[-1] += ","
    opening, closing = ("[", "]") if isinstance(value, list) else ("{", "}")
    return [opening, *(line for lines in members for line in lines), " " * indent + closing]
