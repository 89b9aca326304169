"""Output for terminals and pipes: wrapping, differences, JSON."""

import difflib
import io
import json
import time

import pytest
from rich.console import Console
from rich.text import Text

from rotation_role_policy.iam.difference import difference as policy_difference
from rotation_role_policy_cli import render
from rotation_role_policy_cli.render import (
    Paragraph,
    difference,
    make_console,
    progress,
    progress_bar,
    show,
    show_error,
    show_json,
)

ARN = f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:{'x' * 60}"


def printed(*renderables: object, width: int = 60) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(console, *renderables)  # type: ignore[arg-type]
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(("columns", "width"), [("40", 60), ("80", 80), ("200", 200)])
def test_a_page_is_as_wide_as_the_terminal_but_not_narrower_than_60_columns(
    monkeypatch: pytest.MonkeyPatch, columns: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert make_console().width == width


def test_a_paragraph_wraps_between_words_and_keeps_its_indent() -> None:
    text = printed(Paragraph("word " * 30, "  ", hanging=2))
    assert max(map(len, text.splitlines())) <= 60
    assert {line[:5].lstrip() for line in text.splitlines()} <= {"wor", "w"}
    assert text.splitlines()[0].startswith("  word")
    assert all(line.startswith("    word") and line == line.rstrip() for line in text.splitlines()[1:])


def test_an_arn_is_never_wrapped() -> None:
    assert f"{ARN}\n" in printed(Paragraph(f"The secret {ARN}", "  "))
    assert printed(Text(f'"{ARN}",')) == f'"{ARN}",\n'
    assert f'-      "Resource": "{ARN}"\n' in printed(
        difference(policy_difference({"Statement": {"Effect": "Allow", "Resource": ARN}}, {"Statement": []}), "  ")
    )


def test_text_from_aws_is_printed_unchanged() -> None:
    text = "[bold]not markup[/bold] :smile: \\[x]"
    assert printed(Paragraph(text), Text(text)) == f"{text}\n{text}\n"


def test_a_difference_has_no_file_names_and_shows_gaps() -> None:
    before = [str(number) for number in range(20)]
    after = [*before[:3], "new", *before[3:18], *before[19:]]
    lines = list(difflib.unified_diff(before, after, n=1, lineterm=""))[2:]
    assert printed(difference(lines, " ")).splitlines() == [
        "  2", " +new", "  3", " ...", "  17", " -18", "  19",
    ]  # fmt: skip


def test_json_has_the_format_of_the_standard_library(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"Resource": [ARN, "ä"], "Effect": None}
    show_json(make_console(), data)
    assert capsys.readouterr().out == json.dumps(data, indent=2) + "\n"


def test_json_has_colours_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    show_json(make_console(), {"Effect": "Allow"})
    assert "\033[32m" in capsys.readouterr().out


def test_a_long_error_is_printed_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(f"{ARN} {ARN} [red]")
    assert capsys.readouterr().err == f"error: {ARN} {ARN} [red]\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "is_shown"), [(Terminal(), True), (io.StringIO(), False)])
def test_the_progress_bar_is_for_a_terminal(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, is_shown: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", stream)
    with progress_bar() as progress:
        progress("functions", 1, 7)
        progress("secrets", 3, 7)
    assert ("Reading secrets" in stream.getvalue() and "3/7" in stream.getvalue()) == is_shown
    assert is_shown or not stream.getvalue()


@pytest.mark.parametrize("answers", [0, 1])
def test_a_line_says_that_aws_has_not_answered_yet(monkeypatch: pytest.MonkeyPatch, answers: int) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(render, "_PATIENCE_SECONDS", 0.05)
    for wait in (progress_bar, progress):
        stream.truncate(0)
        with wait() as update:
            for number in range(answers + (wait is progress)):
                update(*(("secrets", number, 7) if wait is progress_bar else ("iam:GetRole",)))
            deadline = time.monotonic() + (10 if not answers else 0.2)
            while not stream.getvalue() and time.monotonic() < deadline:
                time.sleep(0.01)
        assert ("AWS_CA_BUNDLE" in stream.getvalue()) == (not answers)
