"""What the demo prints: steps with their durations, policies and differences, by rich."""

from __future__ import annotations

import contextlib
import difflib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.json import JSON
from rich.table import Table
from rich.text import Text

from rotation_role_policy.iam.difference import difference as policy_difference
from rotation_role_policy_cli.render import Paragraph, difference, make_console, show

WIDTH = 100
"""Columns, whatever the terminal has: the output of a demo is often copied."""
_INDENT = "   "
_BLOCK_INDENT = _INDENT + "  "


class UnexpectedResultError(Exception):
    """A step's result is not the one that the demo expects."""

    def __init__(self, subject: str, expected: object, actual: object) -> None:
        super().__init__(f"{subject}\n   expected: {expected}\n   actual:   {actual}")


def expect(subject: str, expected: object, actual: object) -> None:
    """Raise `UnexpectedResultError` unless `actual` is equal to `expected`."""
    if actual != expected:
        raise UnexpectedResultError(subject, expected, actual)


class DemoOutput:
    """The output of the demo on standard output."""

    def __init__(self) -> None:
        self._console = make_console(WIDTH)
        self._steps = 0
        self._start = time.monotonic()
        self.current_step = ""
        """The number and the name of the current step."""

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Print a heading when the step begins, and its duration when it ends."""
        self._steps += 1
        self.current_step = f"{self._steps}. {name}"
        show(self._console, "")
        self._console.rule(Text(self.current_step, style="bold"), align="left", style="dim")
        show(self._console, "")
        start = time.monotonic()
        yield
        show(self._console, Text(f"{_INDENT}[{time.monotonic() - start:.1f} s]", style="dim"))

    @property
    def seconds(self) -> float:
        """The seconds since the start of the demo."""
        return time.monotonic() - self._start

    def introduction(self, text: str) -> None:
        """Print a paragraph outside of the steps."""
        show(self._console, Paragraph(text))

    def say(self, text: str) -> None:
        """Print a paragraph of a step."""
        show(self._console, Paragraph(text, _INDENT), "")

    def quote(self, source: str, text: str) -> None:
        """Print a message of AWS or of the provider, word for word."""
        show(self._console, Paragraph(f"{source}: {text}", _BLOCK_INDENT, hanging=2), "")

    def emulator(self, text: str) -> None:
        """Print how the emulator differs from AWS, where that affects the demo."""
        show(self._console, Paragraph(Text(f"(Emulator) {text}", style="dim"), _INDENT), "")

    def policy(self, statements: Sequence[Mapping[str, Any]], reasons: Mapping[str, str]) -> None:
        """Print statements as JSON, each below its reason."""
        for statement in statements:
            sid = statement["Sid"]
            show(self._console, Paragraph(Text.assemble((sid, "bold"), f": {reasons[sid]}"), _INDENT))
            show(self._console, _json(statement), "")

    def policy_difference(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Print the unified difference of two policies."""
        show(self._console, difference(policy_difference(dict(before), dict(after)), _INDENT), "")

    def template_difference(self, before: str, after: str) -> None:
        """Print the lines that differ between two templates."""
        lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))
        # The first two lines name files.
        show(self._console, difference(lines[2:], _INDENT), "")

    def table(self, rows: Sequence[tuple[str, str]]) -> None:
        """Print names and values in two columns."""
        table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
        for name, value in rows:
            table.add_row(_INDENT, Text(name, style="bold"), Text(value, overflow="fold"))
        show(self._console, table, "")


def _json(data: Any) -> Text:
    """Return JSON with syntax colours."""
    lines = JSON.from_data(data, indent=2, ensure_ascii=True).text.split()
    return Text("\n").join(Text.assemble(_BLOCK_INDENT, line) for line in lines)
