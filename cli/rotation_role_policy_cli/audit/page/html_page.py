"""The report of an audit as one HTML file, for reviewers without access to the account.

The file requests nothing, and its Content Security Policy allows only its own style sheet and script. The templates
escape every value, because names, messages and policies come from AWS and from users.

Without the script, the page shows all there is, worst first. Only the sections of many secrets are compressed, and the
script puts one into the page when it is opened.
"""

import base64
import hashlib
import re
import string
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib import resources
from itertools import zip_longest
from typing import Any, NamedTuple, TextIO

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from rotation_role_policy import __version__
from rotation_role_policy.audit.finding_types import FindingType, Severity, UnknownType
from rotation_role_policy.audit.findings import Finding
from rotation_role_policy.audit.report import Report, Rotation
from rotation_role_policy.rules import policy
from rotation_role_policy_cli.audit.page.adoption_place import where_to_declare
from rotation_role_policy_cli.audit.page.comparison import Row, compare, needed_by_all
from rotation_role_policy_cli.audit.page.index import ACCEPTED, NO_SEVERITY, Index, found, search_text
from rotation_role_policy_cli.render import printable

_MAX_OPEN = 10
"""Sections of secrets with errors are open only if there are not more of them."""
_MAX_INLINE = 300
"""Secrets whose sections are in the page as they are. More than that are compressed."""
_MOST_COMPARISONS = 1_000
"""Roles whose comparison is kept while the page is written."""
_BUFFERED_PARTS = 200
"""Parts of the template's output that one write to the file takes."""
_TYPES = {each.sid: each for each in policy.STATEMENTS}
"""The types of statements by their `Sid` without a number."""
_BREAK = re.compile(r"(?<=[:/,])(?=[^\s:/,])")
"""Where a long name or ARN can continue on the next line."""


class _FoundType(NamedTuple):
    """A type of findings with its numbers."""

    type: FindingType | UnknownType
    findings: int
    secrets: int


class _Section(NamedTuple):
    """A secret with its findings."""

    rotation: Rotation
    numbers: list[tuple[Severity, int]]
    """The severities of its findings, worst first."""
    accepted: int
    """The number of its accepted findings."""
    is_open: bool
    body: Markup
    """Empty if the index of the page has it."""


class _Comparison(NamedTuple):
    """A role today beside what its rotations need."""

    secrets: int
    """The number of secrets whose needs are compared."""
    not_compared: int
    """The number of secrets of the role whose needs are not known."""
    rows: list[Row]


def write(report: Report, file: TextIO, options: Mapping[str, Any]) -> None:
    """Write the report as an HTML page. `options` are those of the command, as evidence."""
    environment = _environment()
    accounts = tuple(dict.fromkeys(each.id for each in report.accounts))
    index = Index(with_sections=len(report.rotations) > _MAX_INLINE, with_accounts=len(accounts) > 1)
    page = environment.get_template("report.html.jinja").stream(
        report=report,
        accounts=accounts,
        callers=tuple(dict.fromkeys(each.caller_arn for each in report.accounts if each.caller_arn)),
        times=sorted({_utc(each.time) for each in report.accounts}),
        summary=report.summary,
        not_inspected=sum(finding.type is FindingType.NOT_INSPECTED for finding in report.open_findings),
        found_types=_found_types(report),
        general=report.without_secret,
        sections=_sections(report, environment, index),
        index=index,
        severities=list(Severity),
        no_severity=NO_SEVERITY,
        accepted_severity=ACCEPTED,
        version=__version__,
        options=options,
    )
    page.enable_buffering(_BUFFERED_PARTS)
    file.writelines(page)


def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    # Constant: the Content Security Policy of the page allows only these two, by their hashes.
    environment.globals |= {
        "style": Markup(_source("report.css")),  # noqa: S704
        "script": Markup(f'"use strict";\n{_source("model.js")}{_source("view.js")}'),  # noqa: S704
    }
    environment.filters |= {
        "breakable": _breakable,
        "csp_hash": _csp_hash,
        "found": found,
        "reason": _reason,
        "scope": _scope,
        "search_text": search_text,
        "steps": _steps,
        "utc": _utc,
        "where_to_declare": where_to_declare,
    }
    return environment


def _source(name: str) -> str:
    # Not by a path: the package can be imported from an archive.
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _sections(report: Report, environment: Environment, index: Index) -> Iterator[_Section]:
    """Yield the secrets, worst first. One at a time, because each has many statements."""
    template = environment.get_template("section.html.jinja")
    comparisons = _Comparisons(report)
    accounts = {each.id for each in report.accounts}
    ranks = {severity: rank for rank, severity in enumerate(Severity)}
    few_errors = sum(worst is Severity.ERROR for worst in report.worst.values()) <= _MAX_OPEN

    def rank(rotation: Rotation) -> int:
        worst = report.worst.get(rotation.secret_arn)
        return len(ranks) if worst is None else ranks[worst]

    for rotation in sorted(report.rotations, key=lambda each: (rank(each), each.secret_arn)):
        findings = report.findings_of(rotation)
        counts = Counter(finding.severity for finding in findings if not finding.accepted)
        body = template.render(
            rotation=rotation,
            is_role_known=rotation.role_arn in report.role_statements,
            findings=findings,
            comparison=comparisons.of(rotation),
            accounts=len(accounts),
        )
        index.add(rotation, findings, body)
        yield _Section(
            rotation,
            numbers=[(severity, counts[severity]) for severity in Severity if counts[severity]],
            accepted=sum(finding.accepted is not None for finding in findings),
            is_open=few_errors and counts[Severity.ERROR] > 0,
            body=Markup("" if index.with_sections else body),  # noqa: S704  # the template has escaped it
        )


def _found_types(report: Report) -> list[_FoundType]:
    """Return the types of findings in the report, worst first."""
    findings = Counter(finding.type for finding in report.open_findings)
    secrets = Counter(
        each
        for rotation in report.rotations
        for each in {finding.type for finding in report.findings_of(rotation) if not finding.accepted}
    )
    return [_FoundType(each, findings[each], secrets[each]) for each in sorted(findings, key=lambda type_: type_.rank)]


class _Comparisons:
    """The comparisons of the roles of a report."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._by_role: dict[str, list[Rotation]] = {}
        for rotation in report.rotations:
            self._by_role.setdefault(rotation.role_arn, []).append(rotation)
        # A role can have many secrets.
        self._of_role = lru_cache(maxsize=_MOST_COMPARISONS)(self._compare)

    def of(self, rotation: Rotation) -> _Comparison | None:
        """Return the comparison for a rotation; None if what it needs is not known."""
        return None if rotation.statements is None else self._of_role(rotation.role_arn)

    def _compare(self, role_arn: str) -> _Comparison:
        of_role = self._by_role[role_arn]
        today = self._report.role_statements.get(role_arn, ())
        needed = [each.statements for each in of_role if each.statements is not None]
        return _Comparison(len(needed), len(of_role) - len(needed), compare(today, needed_by_all(needed)))


# --- filters of the templates -----------------------------------------------------------------------------------------


def _finalized(value: object) -> object:
    """Return a value without characters that could hide or rewrite a part of the page."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _breakable(text: str) -> Markup:
    """Return a text whose ARNs can continue on the next line where a reader expects it."""
    return Markup(_BREAK.sub("<wbr>", escape(printable(text))))  # noqa: S704  # an escaped character has no such break


def _reason(sid: str, kms_scope: str) -> str:
    """Return why a policy has a statement; empty if it is none of the provider's."""
    statement_type = _TYPES.get(sid.rstrip(string.digits))
    return statement_type.reason_for(kms_scope).replace("`", "") if statement_type else ""


def _csp_hash(text: str) -> str:
    """Return the source expression by which a Content Security Policy allows an inline script or style sheet."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


class _Step(NamedTuple):
    """A part of a remediation."""

    text: str
    command: str
    """Empty after the last command."""


def _steps(finding: Finding) -> list[_Step]:
    """Return the remediation in steps: what leads to a command, and the command, which stands on a line of its own."""
    # A command can begin with another one.
    longest_first = sorted(filter(None, finding.commands), key=len, reverse=True)
    parts = re.split(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})", finding.remediation)
    texts = [_without_brackets(each, is_first=not number) for number, each in enumerate(parts[::2])]
    steps = [_Step(*each) for each in zip_longest(texts, parts[1::2], fillvalue="")]
    return [each for each in steps if each.text or each.command]


def _without_brackets(text: str, *, is_first: bool) -> str:
    """Return a text between two commands without the punctuation around them."""
    text = text.rstrip(" (")
    return text if is_first else text.lstrip(" ),.:;")


def _scope(finding: Finding) -> str:
    """Return whom else a finding of a secret concerns; empty for this secret alone."""
    if finding.subject.secret_arn:
        return ""
    return f"Concerns every secret of this {'function' if finding.subject.function_arn else 'role'}."


def _utc(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
