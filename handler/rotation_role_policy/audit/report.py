"""The report of an audit: what was looked at, and what was found."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from rotation_role_policy.audit.findings import DeniedCall, Finding, FindingType, Severity, Subject
from rotation_role_policy.audit.messages.failures import denied_everywhere
from rotation_role_policy.rules.state import State

SCHEMA_VERSION = "1.0"
"""Of the report as JSON. A minor number adds members and codes, a major number changes or removes some."""
_MOST_DENIED = 3
"""Roles that have a finding of their own about a call that AWS denies."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """A secret with a rotation function."""

    secret_arn: str
    secret_name: str
    function_arn: str
    """As the secret reports it, with a version or alias if there is one."""
    role_arn: str = ""
    """Empty if the function could not be inspected."""
    state: State | None = None
    """What the policy for this secret alone depends on; None if the secret or its function could not be inspected."""
    policy_name: str = ""
    """The policy of a `Custom::RotationRolePolicy` on the role that covers the secret; empty if there is none."""
    is_elsewhere: bool = False
    """Whether the policy of a `Custom::RotationRolePolicy` on another role covers the secret."""
    is_superuser_callable: bool = True
    """Whether the role may make all calls on the superuser secret of `state` today, without a condition."""
    unknowns: tuple[str, ...] = ()
    """What only a person can know about the rotation, as sentences."""
    last_rotated: datetime | None = None
    next_rotation: datetime | None = None


@dataclass(frozen=True)
class Report:
    """The result of an audit."""

    account: str
    """The ID of the account."""
    regions: tuple[str, ...]
    time: datetime
    """When the audit began, in UTC."""
    rotations: tuple[Rotation, ...]
    """In the order of their ARNs."""
    findings: tuple[Finding, ...]
    """Worst first."""
    stopped: str = ""
    """Why the audit ended before all was inspected, as a sentence; empty if it did not."""

    @property
    def is_complete(self) -> bool:
        """Whether everything was inspected."""
        return not self.stopped and not any(finding.type is FindingType.NOT_INSPECTED for finding in self.findings)

    @cached_property
    def totals(self) -> Mapping[Severity, int]:
        """The number of findings by severity, worst first, zeros included."""
        counts = Counter(finding.severity for finding in self.findings)
        return {severity: counts[severity] for severity in Severity}

    @cached_property
    def worst(self) -> Mapping[str, Severity]:
        """The worst severity of each rotation that has findings, keyed by the ARN of the secret."""
        return {
            rotation.secret_arn: min((finding.severity for finding in found), key=list(Severity).index)
            for rotation in self.rotations
            if (found := self.findings_of(rotation))
        }

    @cached_property
    def sound(self) -> int:
        """The number of secrets without errors and warnings."""
        return sum(self.worst.get(each.secret_arn) in (None, Severity.NOTE) for each in self.rotations)

    @cached_property
    def summary(self) -> Mapping[str, int]:
        """The totals: what was looked at, and how much was found."""
        return {
            "secrets": len(self.rotations),
            "functions": len({rotation.function_arn for rotation in self.rotations}),
            "roles": len({rotation.role_arn for rotation in self.rotations if rotation.role_arn}),
            "errors": self.totals[Severity.ERROR],
            "warnings": self.totals[Severity.WARNING],
            "notes": self.totals[Severity.NOTE],
        }

    def secrets_of(self, finding: Finding) -> list[str]:
        """Return the ARNs of all secrets that a finding concerns."""
        if finding.subject.secret_arn:
            return [finding.subject.secret_arn]
        return self._secrets_by_subject.get(finding.subject.scope, [])

    @cached_property
    def _secrets_by_subject(self) -> Mapping[str, list[str]]:
        """The ARNs of the secrets by the ARN of their function, and by the ARN of their role."""
        secrets: dict[str, list[str]] = {}
        for rotation in self.rotations:
            for subject in (rotation.function_arn, rotation.role_arn):
                secrets.setdefault(subject, []).append(rotation.secret_arn)
        # The scope of a finding about a region, and the role of a function that could not be inspected.
        secrets.pop("", None)
        return secrets

    def findings_of(self, rotation: Rotation) -> list[Finding]:
        """Return the findings that concern a rotation: of the secret, its function and its role, worst first."""
        keys = (rotation.secret_arn, rotation.function_arn, rotation.role_arn)
        found = [finding for key in keys if key for finding in self._by_subject.get(key, ())]
        return sorted(found, key=lambda finding: finding.type.rank)

    @cached_property
    def _by_subject(self) -> Mapping[str, list[Finding]]:
        """The findings by the ARN of the secret, else of the function, else of the role."""
        found: dict[str, list[Finding]] = {}
        for finding in self.findings:
            found.setdefault(finding.subject.scope, []).append(finding)
        return found


def merge_denied(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings, with one for the region in place of those of many roles about the same denied call."""
    kept: list[Finding] = []
    denied: dict[DeniedCall, list[Finding]] = {}
    for finding in findings:
        (denied.setdefault(finding.denied, []) if finding.denied else kept).append(finding)
    for call, same in denied.items():
        if len(same) <= _MOST_DENIED:
            kept += same
        else:
            words = denied_everywhere(call.region, call.action, len(same), same[0].message)
            kept.append(Finding(FindingType.NOT_INSPECTED, Subject(region=call.region), call.region, words))
    return kept


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings in the order of the table of types, then of their ARNs, without duplicates."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda each: (each.type.rank, each.subject[:2], each.resource)))


def to_json(report: Report) -> dict[str, Any]:
    """Return the report as data for JSON (audit.schema.json)."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "complete": report.is_complete,
        "stopped": report.stopped or None,
        "account": report.account,
        "regions": list(report.regions),
        "time": report.time.isoformat(timespec="seconds"),
        "summary": dict(report.summary),
        "findings": [_finding(report, finding) for finding in report.findings],
    }


def _finding(report: Report, finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.type.code,
        "severity": finding.severity.value,
        "secretArn": finding.subject.secret_arn or None,
        "secretArns": report.secrets_of(finding),
        "functionArn": finding.subject.function_arn or None,
        "roleArn": finding.subject.role_arn or None,
        "resource": finding.resource,
        "message": finding.message,
        "remediation": finding.remediation,
        **({"difference": list(finding.difference)} if finding.difference else {}),
    }
