"""Which files, and which parts of the README, are generated, and how."""

import re
from collections.abc import Callable
from pathlib import Path

from docs.generate import tables
from docs.generate.flow import flow
from docs.generate.terminal import preview
from rotation_role_policy_cli import schema

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"


def example() -> str:
    """Return the shortest of the examples, without its leading comment and its notes for checkov."""
    text = (ROOT / "examples" / "existing-function.yaml").read_text()
    text = re.sub(r" *# checkov:.*\n", "", text)
    return f"```yaml\n{text[text.index('AWSTemplateFormatVersion') :]}```"


PARTS: dict[str, Callable[[], str]] = {
    "flow": flow,
    "example": example,
    "rules": tables.rules,
    "properties": tables.properties,
    "attributes": tables.attributes,
    "statements": tables.statements,
    "errors": tables.errors,
}
"""The parts of the README, between the lines ``<!-- NAME: make docs -->`` and ``<!-- end -->``."""

FILES: dict[Path, Callable[[], str]] = {
    ROOT / "docs" / "preview.svg": preview,
    schema.FILE: schema.text,
}


def readme() -> str:
    """Return the README with its parts generated anew."""
    text = README.read_text()
    for name, make in PARTS.items():
        begin, end = f"<!-- {name}: make docs -->\n", "<!-- end -->"
        content = f"{begin}{make()}\n{end}"
        pattern = f"{re.escape(begin)}.*?{re.escape(end)}"
        text, parts = re.subn(pattern, lambda _, content=content: content, text, flags=re.DOTALL)  # type: ignore[misc]
        if parts != 1:
            raise ValueError(f"the README has {parts} parts named {name}")
    return text


def write() -> None:
    """Write the files that differ, and print their names."""
    for path, make in {README: readme, **FILES}.items():
        text = make()
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"written: {path.relative_to(ROOT)}")
