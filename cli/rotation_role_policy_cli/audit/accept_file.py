"""The file of accepted findings (`--accept`), in YAML."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click
import yaml

from rotation_role_policy.audit.acceptance import problem_of
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Acceptance

_MEMBERS = {"code", "resource", "reason", "until"}
_CODES = {each.code for each in FindingType}


def read(path: Path) -> list[Acceptance]:
    """Return the entries of a file. Raises `click.ClickException` with what is wrong with the file."""
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise click.ClickException(f"--accept {path} cannot be read: {error}") from error
    if not isinstance(entries, list):
        raise click.ClickException(f"--accept {path} is not a list of entries with {', '.join(sorted(_MEMBERS))}.")
    acceptances = []
    for number, entry in enumerate(entries, 1):
        if problems := list(_problems(entry)):
            raise click.ClickException(f"--accept {path}, entry {number}: {'; '.join(problems)}.")
        acceptances.append(Acceptance(entry["code"], entry["resource"], entry["reason"], _day(entry.get("until"))))
    return acceptances


def _problems(entry: Any) -> Iterator[str]:
    if not isinstance(entry, dict):
        yield f"it is not a mapping with {', '.join(sorted(_MEMBERS))}"
        return
    if unknown := [str(name) for name in entry if name not in _MEMBERS]:
        yield f"there is no member {unknown[0]}, only {', '.join(sorted(_MEMBERS))}"
    texts = {name: entry.get(name) for name in ("code", "resource", "reason")}
    for name, value in texts.items():
        if not isinstance(value, str) or not value.strip():
            yield f"{name} has to be a text"
    until = _day(entry.get("until"))
    if until is None and entry.get("until") is not None:
        yield "until has to be a date such as 2027-03-31"
    elif all(isinstance(value, str) for value in texts.values()) and (
        problem := problem_of(Acceptance(entry["code"], entry["resource"], entry["reason"], until), _CODES)
    ):
        yield problem


def _day(value: Any) -> date | None:
    """Return a date of YAML, also one in quotation marks; None for anything else."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        return None
