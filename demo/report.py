"""What the demo prints: steps with their seconds, policies, differences. Plain text of at most 100 columns."""

from __future__ import annotations

import contextlib
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rotation_role_policy_cli.render import BOLD, DIM, difference, painted, policy_difference, pretty, wants_colour

WIDTH = 100
_INDENT = "   "
_POLICY_WIDTH = WIDTH - len(_INDENT) - 2


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
        self._colour = wants_colour(sys.stdout)
        self._steps = 0
        self._start = time.monotonic()
        self.current = ""
        """The running step, for the message of a failure."""

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A heading when the step begins, its seconds when it has ended."""
        self._steps += 1
        self.current = f"{self._steps}. {name}"
        self._print(f"\n{self._styled(BOLD, self.current)}\n")
        start = time.monotonic()
        yield
        self._print(self._styled(DIM, f"{_INDENT}[{time.monotonic() - start:.1f} s]"))

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
        self._print(self._styled(DIM, _wrapped(f"(Emulator) {text}", _INDENT, _INDENT)) + "\n")

    def policy(self, statements: Sequence[Mapping[str, Any]], why: Mapping[str, str]) -> None:
        """Each statement below a line that says why it is there."""
        for statement in statements:
            sid = statement["Sid"]
            self._print(f"{_INDENT}{self._styled(BOLD, sid)}: {why[sid]}")
            self._print(textwrap.indent("\n".join(pretty(statement, _POLICY_WIDTH)), _INDENT + "  ") + "\n")

    def policy_difference(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """The unified difference of two policies' statements."""
        self._lines(policy_difference(before, after, _POLICY_WIDTH, 4, self._colour))

    def difference(self, before: Sequence[str], after: Sequence[str], context: int) -> None:
        """The unified difference, without its file names and line numbers."""
        self._lines(difference(before, after, context, self._colour))

    def table(self, rows: Sequence[tuple[str, str]]) -> None:
        """Names and values in two columns."""
        for name, value in rows:
            self._print(f"{_INDENT}  {name:<16}{value}")
        self._print("")

    def text(self, text: str) -> None:
        """A paragraph outside of any step."""
        self._print(_wrapped(text, "", ""))

    def _styled(self, style: str, text: str) -> str:
        return painted(style, text, self._colour)

    def _lines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._print(_INDENT + line)
        self._print("")

    def _print(self, text: str) -> None:
        print(text, flush=True)


def _wrapped(text: str, first: str, rest: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False, break_long_words=False
    )
