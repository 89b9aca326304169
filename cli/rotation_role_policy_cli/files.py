"""The files that a command writes: never over another file unless that is wanted, never through a symbolic link."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import click

STANDARD_OUTPUT = Path("-")


def check(files: Sequence[tuple[str, Path]], *, force: bool, read: Sequence[Path] = ()) -> None:
    """Check that files can be written. A large audit takes minutes, and writes at its end.

    Args:
        files: each with its option.
        force: whether existing files are replaced.
        read: the files that the command reads.

    Raises:
        click.ClickException: one cannot be written, or two are the same.
    """
    seen: dict[str, str] = {}
    for option, path in files:
        name = str(path) if path == STANDARD_OUTPUT else os.path.normcase(path.parent.resolve() / path.name)
        if path != STANDARD_OUTPUT and any(path.exists() and path.samefile(each) for each in read):
            raise click.ClickException(f"{option} {path} cannot be written: the command reads this file.")
        if name in seen:
            raise click.ClickException(f"{option} {path}: {seen[name]} writes the same file.")
        seen[name] = option
        if path != STANDARD_OUTPUT and (problem := _problem(path, force=force)):
            raise click.ClickException(f"{option} {path} cannot be written: {problem}.")


def check_folder(option: str, path: Path, *, force: bool) -> None:
    """Check that files can be written to a folder, which need not exist. Raises `click.ClickException`.

    Without `force` it must be empty, so that the files of two days are not taken for those of one.
    """
    problem = ""
    if path.is_symlink():
        problem = "it is a symbolic link"
    elif path.exists() and not path.is_dir():
        problem = "it is not a folder"
    elif path.is_dir() and any(path.iterdir()) and not force:
        problem = "the folder is not empty. Give another name, or --force to add files to it and replace others"
    elif not path.parent.is_dir():
        problem = f"the folder {path.parent} does not exist"
    if problem:
        raise click.ClickException(f"{option} {path} cannot be written: {problem}.")


def _problem(path: Path, *, force: bool) -> str:
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist"
    if path.is_symlink():
        return "it is a symbolic link"
    if path.exists() and not path.is_file():
        return "it is not a regular file"
    if path.exists() and not force:
        return "the file exists. Give another name, or --force to replace it"
    if not os.access(path.parent, os.W_OK):
        return f"you may not write to the folder {path.parent}"
    return ""


@contextmanager
def written(path: Path, *, force: bool) -> Iterator[TextIO]:
    """Open a file for writing, or standard output. The file has its name when the block has ended without an error.

    Only the user can read it. Raises `OSError` if the file cannot be written.
    """
    if path == STANDARD_OUTPUT:
        yield sys.stdout
        return
    if problem := _problem(path, force=force):
        raise FileExistsError(f"{path} was not written: {problem}.")
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        # The JSON of a policy can contain half of a surrogate pair, which UTF-8 does not have.
        with open(descriptor, "w", encoding="utf-8", errors="replace", newline="") as file:
            yield file
        if not force:
            # Another process can have created the file in the meantime.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        # It replaces a symbolic link itself, not what the link points to.
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
