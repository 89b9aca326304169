"""Which parts of which pages are generated, and which whole files."""

import re
from collections.abc import Callable
from pathlib import Path

from docs.generate import audit, tables
from docs.generate.failure import failure
from docs.generate.flow import flow
from docs.generate.help import audit_help, help_text, lint_help, report_help
from docs.generate.terminal import preview
from rotation_role_policy_cli import schema
from rotation_role_policy_cli.audit import schema as audit_schema

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def example() -> str:
    """Return the shortest of the examples, without its leading comment and its notes for checkov."""
    text = (ROOT / "examples" / "existing-function.yaml").read_text()
    text = re.sub(r" *# checkov:.*\n", "", text)
    return f"```yaml\n{text[text.index('AWSTemplateFormatVersion') :]}```"


PARTS: dict[Path, dict[str, Callable[[], str]]] = {
    ROOT / "README.md": {"example": example, "failure": failure},
    DOCS / "properties.md": {"properties": tables.properties, "attributes": tables.attributes},
    DOCS / "rotation-functions.md": {
        "functions": tables.rotation_functions,
        "targets": tables.targets,
    },
    DOCS / "policy.md": {"statements": tables.statements, "flow": flow},
    DOCS / "guarantees.md": {"resources": tables.resources_of_a_role},
    DOCS / "errors.md": {"errors": tables.errors},
    DOCS / "operations.md": {"parameters": tables.parameters},
    DOCS / "command-line.md": {"help": help_text, "report_help": report_help, "lint_help": lint_help},
    DOCS / "lint-rules.md": {"rules": tables.rules},
    DOCS / "audit.md": {"findings": tables.findings, "permissions": tables.audit_permissions, "help": audit_help},
}
"""By page: its generated parts, between the lines ``<!-- NAME: make docs -->`` and ``<!-- end -->``."""

FILES: dict[Path, Callable[[], str]] = {
    DOCS / "preview.svg": preview,
    DOCS / "audit.svg": audit.table,
    DOCS / "audit-wide.svg": audit.wide_table,
    schema.FILE: schema.text,
    audit_schema.FILE: audit_schema.text,
}
"""Files that are generated as a whole."""


def page(path: Path) -> str:
    """Return a page with its parts generated anew. Raises ValueError if a part is not marked exactly once."""
    text = path.read_text()
    for name, make in PARTS[path].items():
        begin, end = f"<!-- {name}: make docs -->\n", "<!-- end -->"
        content = f"{begin}{make()}\n{end}"
        pattern = f"{re.escape(begin)}.*?{re.escape(end)}"
        text, count = re.subn(pattern, lambda _, content=content: content, text, flags=re.DOTALL)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"{path.name} has {count} parts named {name}")
    return text


def write() -> None:
    """Write the files that differ, and print their names."""
    texts = {path: page(path) for path in PARTS} | {path: make() for path, make in FILES.items()}
    for path, text in texts.items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"written: {path.relative_to(ROOT)}")
