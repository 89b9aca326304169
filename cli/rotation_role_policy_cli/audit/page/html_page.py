"""The report of an audit as one HTML file, for reviewers without access to the account.

The file requests nothing, and its Content Security Policy allows only its own style sheet and script. The template
escapes every value, because names, messages and policies come from AWS and from users.
"""

import base64
import hashlib
import string
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import resources
from itertools import chain
from typing import Any, NamedTuple, TextIO

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from rotation_role_policy import __version__
from rotation_role_policy.audit.finding_types import FindingType, Severity, UnknownType
from rotation_role_policy.audit.findings import Finding
from rotation_role_policy.audit.report import Report, Rotation
from rotation_role_policy.iam.document import JsonStatement, as_list
from rotation_role_policy.rules import policy
from rotation_role_policy_cli.audit.page.adoption_place import where_to_declare
from rotation_role_policy_cli.render import printable

_MAX_OPEN = 10
"""Sections of secrets with errors are open only if there are not more of them."""
_BUFFERED_PARTS = 200
"""Parts of the template's output that one write to the file takes."""
_REASONS = {each.sid: each.reason.replace("`", "") for each in policy.STATEMENTS}
"""Why a policy has a statement, by its `Sid` without a number."""
_NO_SEVERITY = "none"
"""The value of the filter for secrets without errors and warnings."""


class _StatementRow(NamedTuple):
    """A statement of the policy that one secret needs."""

    sid: str
    effect: str
    actions: list[str]
    resources: list[str]
    conditions: list[str]
    reason: str


class _FoundType(NamedTuple):
    """A type of findings with its numbers."""

    type: FindingType | UnknownType
    findings: int
    secrets: int


class _Section(NamedTuple):
    """A secret with its findings."""

    rotation: Rotation
    findings: list[Finding]
    numbers: list[tuple[Severity, int]]
    """The severities of its findings, worst first."""
    is_open: bool
    statements: list[_StatementRow] | None
    """None if they are not known."""


def write(report: Report, file: TextIO, options: Mapping[str, Any]) -> None:
    """Write the report as an HTML page. `options` are those of the command, as evidence."""
    page = _template().stream(
        report=report,
        summary=report.summary,
        not_inspected=sum(finding.type is FindingType.NOT_INSPECTED for finding in report.open_findings),
        found_types=_found_types(report),
        general=report.without_secret,
        sections=_sections(report),
        severities=list(Severity),
        version=__version__,
        options=options,
    )
    page.enable_buffering(_BUFFERED_PARTS)
    file.writelines(page)


def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_finalized
    )
    environment.filters |= {
        "csp_hash": _csp_hash,
        "found": _found,
        "scope": _scope,
        "search_text": _search_text,
        "utc": _utc,
        "where_to_declare": where_to_declare,
    }
    # Constant: the Content Security Policy of the page allows only these two, by their hashes.
    environment.globals |= {"style": Markup(_source("report.css")), "script": Markup(_source("report.js"))}  # noqa: S704
    return environment.from_string(_source("report.html.jinja"))


def _source(name: str) -> str:
    # Not by a path: the package can be imported from an archive.
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _sections(report: Report) -> Iterator[_Section]:
    """Yield the secrets, worst first. One at a time, because each has many statements."""
    ranks = {severity: rank for rank, severity in enumerate(Severity)}
    few_errors = sum(worst is Severity.ERROR for worst in report.worst.values()) <= _MAX_OPEN

    def rank(rotation: Rotation) -> int:
        worst = report.worst.get(rotation.secret_arn)
        return len(ranks) if worst is None else ranks[worst]

    for rotation in sorted(report.rotations, key=lambda each: (rank(each), each.secret_arn)):
        findings = report.findings_of(rotation)
        counts = Counter(finding.severity for finding in findings if not finding.accepted)
        yield _Section(
            rotation,
            findings,
            numbers=[(severity, counts[severity]) for severity in Severity if counts[severity]],
            is_open=few_errors and counts[Severity.ERROR] > 0,
            statements=_statements(rotation),
        )


def _found_types(report: Report) -> list[_FoundType]:
    """Return the types of findings in the report, worst first."""
    findings = Counter(finding.type for finding in report.open_findings)
    secrets = Counter(
        found
        for rotation in report.rotations
        for found in {each.type for each in report.findings_of(rotation) if not each.accepted}
    )
    return [_FoundType(each, findings[each], secrets[each]) for each in sorted(findings, key=lambda found: found.rank)]


def _statements(rotation: Rotation) -> list[_StatementRow] | None:
    if rotation.statements is None:
        return None
    return [
        _StatementRow(
            statement.get("Sid", ""),
            statement["Effect"],
            as_list(statement["Action"]),
            [_briefly(resource, rotation) for resource in as_list(statement["Resource"])],
            _conditions(statement, rotation),
            _REASONS.get(statement.get("Sid", "").rstrip(string.digits), ""),
        )
        for statement in rotation.statements
    ]


def _conditions(statement: JsonStatement, rotation: Rotation) -> list[str]:
    return [
        f"{key} is present"
        if operator == "Null"
        else f"{key} is {' or '.join(_briefly(each, rotation) for each in as_list(value))}"
        for operator, keys in statement.get("Condition", {}).items()
        for key, value in keys.items()
    ]


def _briefly(value: str, rotation: Rotation) -> str:
    """Return the ARN of another resource, or a name for the secret of the section."""
    return "this secret" if value == rotation.secret_arn else value


# --- filters of the template ------------------------------------------------------------------------------------------


def _finalized(value: object) -> object:
    """Return a value without characters that could hide or rewrite a part of the page."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _csp_hash(text: str) -> str:
    """Return the source expression by which a Content Security Policy allows an inline script or style sheet."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _found(findings: list[Finding]) -> str:
    """Return the severities and codes for the filter of the page, such as ``error:ActionNotGranted note:NoPolicy``."""
    codes = {f"{finding.severity.value}:{finding.type.code}": None for finding in findings if not finding.accepted}
    is_sound = all(finding.severity is Severity.NOTE or finding.accepted for finding in findings)
    return " ".join([*codes, *([_NO_SEVERITY] if is_sound else [])])


def _search_text(findings: list[Finding], rotation: Rotation | None = None) -> str:
    """Return in lower case what the search field of the page searches."""
    subject = []
    if rotation:
        subject = [rotation.secret_name, rotation.secret_arn, rotation.function_arn, rotation.role_arn]
        subject += rotation.owner.values()
    found = chain.from_iterable(
        (each.type.code, each.resource, each.message, each.subject.function_arn, each.subject.role_arn)
        for each in findings
    )
    return " ".join(dict.fromkeys(filter(None, chain(subject, found)))).lower()


def _scope(finding: Finding) -> str:
    """Return whom else a finding of a secret concerns; empty for this secret alone."""
    if finding.subject.secret_arn:
        return ""
    return f"Concerns every secret of this {'function' if finding.subject.function_arn else 'role'}."


def _utc(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
