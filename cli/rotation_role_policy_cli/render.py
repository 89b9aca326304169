"""Output for a terminal or a pipe, by rich: consoles, paragraphs, JSON, differences, progress and errors.

rich decides about colour: none in a pipe, with NO_COLOR or with TERM=dumb. No control character of a template, a policy
or a message of AWS reaches the terminal.
"""

import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

_MIN_WIDTH, _WIDTH_WITHOUT_TERMINAL = 60, 100
"""Columns."""
_DIFFERENCE_STYLES = {"-": "red", "+": "green"}
_PATIENCE_SECONDS = 3.0
_NO_ANSWER = (
    "AWS has not answered yet. Does your network need a proxy (HTTPS_PROXY), or certificates of its own"
    " (AWS_CA_BUNDLE)? Is AWS_ENDPOINT_URL right?"
)


def printable(text: str) -> str:
    """Return a text with what could hide or rewrite a part of the output as an escape, such as ``\\x1b``.

    That is: control characters, marks that reverse the direction of a text, invisible characters. Lines may end.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text)


class _Console(Console):
    rewrite: Callable[[str], str] = staticmethod(str)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of a renderable, which can only be read (`printable`)."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(self.rewrite(printable(segment.text)), segment.style)

    def on_broken_pipe(self) -> None:
        """Leave a closed pipe to the caller. rich itself would end the process with status 1."""
        # rich calls this while it handles the BrokenPipeError.
        raise


def make_console(
    width: int | None = None,
    file: TextIO | None = None,
    *,
    is_terminal: bool | None = None,
    rewrite: Callable[[str], str] = str,
) -> Console:
    """Return a console.

    Args:
        width: in columns. By default it is that of the terminal, but at least 60. Without a terminal it is 100.
        file: by default standard output.
        is_terminal: whether the file is a terminal. By default this is found out.
        rewrite: changes each text before it is printed.
    """
    columns = width or max(_MIN_WIDTH, shutil.get_terminal_size((_WIDTH_WITHOUT_TERMINAL, 0)).columns)
    console = _Console(file=file, width=columns, force_terminal=is_terminal, highlight=False, emoji=False, markup=False)
    console.rewrite = rewrite
    return console


class Paragraph:
    """A text that wraps between words only. An ARN may exceed the width, so that it can be copied in one piece.

    The first line begins with `prefix`. The others are indented by its width and by `hanging` further columns.
    """

    def __init__(self, text: str | Text, prefix: str | Text = "", hanging: int = 0) -> None:
        self._text = Text(text) if isinstance(text, str) else text
        self._prefix = Text(prefix) if isinstance(prefix, str) else prefix
        self._indent = self._prefix.cell_len + hanging

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines."""
        for number, line in enumerate(_wrapped(self._text, options.max_width - self._indent)):
            line.rstrip()
            yield Text.assemble(" " * self._indent if number else self._prefix, line)


def _wrapped(text: Text, width: int) -> Iterator[Text]:
    """Yield the lines of a text. rich itself would break or cut a word that is longer than a line."""
    for paragraph in text.split("\n", allow_blank=True):
        starts, column = [], 0
        for word in re.finditer(r"\S+\s*", paragraph.plain):
            if column and column + cell_len(word[0].rstrip()) > width:
                starts.append(word.start())
                column = 0
            column += cell_len(word[0])
        yield from paragraph.divide(starts)


def show(console: Console, *renderables: RenderableType) -> None:
    """Print. Only paragraphs and tables wrap, and no line is cut."""
    for renderable in renderables:
        console.print(renderable, soft_wrap=True)


def show_json(console: Console, data: Any) -> None:
    """Print JSON, with syntax colours on a terminal."""
    console.print_json(data=data, indent=2, ensure_ascii=True)


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
    with (
        _Console(stderr=True, force_terminal=is_terminal).status("Asking AWS ...") as status,
        _waiting_for_first_answer(status.console) as answered,
    ):
        called: list[str] = []

        def update(action: str) -> None:
            if called:
                answered()
            called.append(action)
            status.update(Text(f"Asking AWS: {action}"))

        yield update


@contextmanager
def _waiting_for_first_answer(console: Console) -> Iterator[Callable[[], None]]:
    """Say after some seconds that AWS has not answered, unless the function that this yields is called before."""
    timer = Timer(_PATIENCE_SECONDS, lambda: console.print(Paragraph(_NO_ANSWER)))
    timer.daemon = True
    timer.start()
    try:
        yield timer.cancel
    finally:
        timer.cancel()


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar with the time left on standard error, if that is a terminal.

    Yields the function that gets what is being read, how much of everything has been read, and how much there is.
    """
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = _Console(stderr=True)
    with (
        Progress(*columns, console=console, transient=True, disable=not is_terminal) as bar,
        _waiting_for_first_answer(console) as answered,
    ):
        task = bar.add_task("Listing secrets", total=None)

        def update(what: str, done: int, total: int) -> None:
            answered()
            # One task for everything: what is waited for changes often, and the time left follows from all of it.
            bar.update(task, description=f"Reading {what}", completed=done, total=total)

        yield update


def show_error(message: str) -> None:
    """Print an error message on standard error, in one line."""
    _show_line("error:", "red", message)


def show_warning(message: str) -> None:
    """Print a warning on standard error, in one line."""
    _show_line("warning:", "yellow", message)


def _show_line(label: str, style: str, message: str) -> None:
    _Console(stderr=True, soft_wrap=True).print(Text.assemble((label, style), " ", " ".join(message.split())))
