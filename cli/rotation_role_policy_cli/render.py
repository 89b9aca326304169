"""Output for a terminal or a pipe, by rich: consoles, paragraphs, JSON, differences, progress and errors.

rich decides about colour: none in a pipe, with NO_COLOR or with TERM=dumb.
"""

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.json import JSON
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.text import Text

_MIN_WIDTH, _MAX_WIDTH = 60, 100
"""Columns. The terminal's own width counts between them."""
_DIFFERENCE_STYLES = {"-": "red", "+": "green"}


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave a closed pipe to the caller. rich itself would end the process with status 1."""
        # rich calls this while it handles the BrokenPipeError.
        raise


def make_console(width: int | None = None) -> Console:
    """Return a console for standard output.

    `width` is in columns. By default it is that of the terminal, but at least 60 and at most 100.
    """
    columns = width or min(_MAX_WIDTH, max(_MIN_WIDTH, shutil.get_terminal_size((_MAX_WIDTH, 0)).columns))
    return _Console(width=columns, highlight=False, emoji=False, markup=False)


class Paragraph:
    """A text that wraps between words only. An ARN may exceed the width, so that it can be copied in one piece.

    If one does, it sets the width of the whole text. The first line begins with `prefix`. The others are indented by
    its width and by `hanging` further columns.
    """

    def __init__(self, text: str | Text, prefix: str | Text = "", hanging: int = 0) -> None:
        self._text = Text(text) if isinstance(text, str) else text
        self._prefix = Text(prefix) if isinstance(prefix, str) else prefix
        self._indent = self._prefix.cell_len + hanging

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines."""
        longest_word = max((cell_len(word) for word in self._text.plain.split()), default=1)
        lines = self._text.wrap(console, max(options.max_width - self._indent, longest_word))
        for number, line in enumerate(lines):
            line.rstrip()
            yield Text.assemble(" " * self._indent if number else self._prefix, line)


def show(console: Console, *renderables: RenderableType) -> None:
    """Print. Only paragraphs and tables wrap, and no line is cut."""
    for renderable in renderables:
        console.print(renderable, soft_wrap=True)


def show_json(console: Console, data: Any) -> None:
    """Print JSON, with syntax colours on a terminal."""
    console.print_json(data=data, indent=2, ensure_ascii=True)


def json_text(data: Any, indent: str) -> Text:
    """Return JSON with syntax colours. Each line begins with `indent`."""
    lines = JSON.from_data(data, indent=2, ensure_ascii=True).text.split()
    return Text("\n").join(Text.assemble(indent, line) for line in lines)


def difference(lines: Iterable[str], indent: str) -> Text:
    """Return the lines of a unified difference without file names, with ``...`` between the parts."""
    # The first line names the first part.
    parts = ["..." if line.startswith("@@") else line for line in list(lines)[1:]]
    return Text("\n").join(Text.assemble(indent, (part, _DIFFERENCE_STYLES.get(part[0], ""))) for part in parts)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show the current AWS call on standard error, if that is a terminal. Yields the function that gets its action."""
    # With FORCE_COLOR rich would take a log file for a terminal.
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    with _Console(stderr=True, force_terminal=is_terminal).status("Asking AWS ...") as status:
        yield lambda action: status.update(Text(f"Asking AWS: {action}"))


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar with the time left on standard error, if that is a terminal.

    Yields the function that gets what is being read, how much of everything has been read, and how much there is.
    """
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_Console(stderr=True), transient=True, disable=not is_terminal) as bar:
        task = bar.add_task("Listing secrets", total=None)

        def update(what: str, done: int, total: int) -> None:
            # One task for everything: what is waited for changes often, and the time left follows from all of it.
            bar.update(task, description=f"Reading {what}", completed=done, total=total)

        yield update


def show_error(message: str) -> None:
    """Print an error message on standard error, in one line."""
    _Console(stderr=True, soft_wrap=True).print(Text.assemble(("error:", "red"), " ", message))
