"""The report of an audit: what was looked at, and what was found."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.audit.finding_types import FindingType, Severity
from rotation_role_policy.audit.findings import DeniedCall, Finding, Subject
from rotation_role_policy.audit.messages.failures import denied_everywhere
from rotation_role_policy.iam.document import JsonStatement, as_list
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.state import State

_MOST_DENIED = 3
"""Roles that have a finding of their own about a call that AWS denies."""
INCOMPLETE = (FindingType.NOT_INSPECTED, FindingType.ACCOUNT_FAILED)
"""The types of findings without which an audit is complete."""


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
    declared_in: tuple[str, str] | None = None
    """The name of the stack, and the logical ID of the resource with this policy; None if they are not known."""
    kms_scope: str = "Key"
    """`KmsScope` of this policy."""
    is_adoptable: bool = True
    """Whether it is known that no policy of a `Custom::RotationRolePolicy` covers the secret: none on another role, and
    none whose stack is not known."""
    obstacles: tuple[str, ...] = ()
    """Why the provider would refuse its policy although no finding says so, as sentences."""
    unknowns: tuple[str, ...] = ()
    """What only a person can know about the rotation, as sentences."""
    last_rotated: datetime | None = None
    next_rotation: datetime | None = None
    owner: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The tags of the role that say which template or application it belongs to."""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The tags of the secret."""
    known_statements: Sequence[JsonStatement] | None = None
    """`statements`, if the rotation is from a report that another audit has written."""

    @property
    def owner_name(self) -> str:
        """The stack, the app or the application that the role belongs to; empty if its tags name none."""
        return next((value.rpartition("/")[2] for value in self.owner.values() if value), "")

    @property
    def place(self) -> tuple[str, str]:
        """The account and the region."""
        return arn.account(self.secret_arn), arn.region(self.secret_arn)

    @property
    def statements(self) -> Sequence[JsonStatement] | None:
        """The statements that the rotation of this secret alone needs; None if they are not known."""
        if self.state is None:
            return self.known_statements
        # Not kept: an account has thousands of secrets.
        return as_list(policy.document(self.state, kms_scope=self.kms_scope)["Statement"])


class RoleStatement(NamedTuple):
    """A statement of a policy of a role."""

    policy: str
    """The name of an inline policy, or the ARN of a managed one."""
    label: str | int
    """`Sid`, or the number in the policy, from 1."""
    json: JsonStatement


@dataclass(frozen=True, slots=True)
class AuditedAccount:
    """One account of an audit."""

    id: str
    caller_arn: str
    """The identity that made the calls; empty if the account could not be audited."""
    regions: tuple[str, ...]
    time: datetime
    """When its audit began, in UTC."""
    stopped: str = ""
    """Why its audit ended before all was inspected, as a sentence; empty if it did not."""
    empty_regions: tuple[str, ...] = ()
    """The regions in which no secret has a rotation function, whatever was selected."""


@dataclass(frozen=True)
class Report:
    """The result of an audit."""

    accounts: tuple[AuditedAccount, ...]
    rotations: tuple[Rotation, ...]
    """In the order of their ARNs."""
    findings: tuple[Finding, ...]
    """Worst first."""
    role_statements: Mapping[str, tuple[RoleStatement, ...]] = field(default_factory=dict)
    """By the ARN of a role: the statements of its policies today, as far as they are about services of a rotation. A
    role that could not be read is missing."""

    @property
    def time(self) -> datetime:
        """When the audit began, in UTC."""
        return min(each.time for each in self.accounts)

    @cached_property
    def regions(self) -> tuple[str, ...]:
        """All regions that were audited in one of the accounts."""
        return tuple(dict.fromkeys(region for each in self.accounts for region in each.regions))

    @property
    def stopped(self) -> str:
        """Why the audit ended before all was inspected, as a sentence; empty if it did not."""
        return " ".join(dict.fromkeys(each.stopped for each in self.accounts if each.stopped))

    @cached_property
    def open_findings(self) -> tuple[Finding, ...]:
        """The findings that nobody has accepted."""
        return tuple(finding for finding in self.findings if not finding.accepted)

    @cached_property
    def is_complete(self) -> bool:
        """Whether everything was inspected, or it was accepted that it cannot be."""
        return not self.stopped and not any(finding.type in INCOMPLETE for finding in self.open_findings)

    @cached_property
    def totals(self) -> Mapping[Severity, int]:
        """The number of findings that nobody has accepted by severity, worst first, zeros included."""
        counts = Counter(finding.severity for finding in self.open_findings)
        return {severity: counts[severity] for severity in Severity}

    @cached_property
    def worst(self) -> Mapping[str, Severity]:
        """The worst severity of each rotation, keyed by the ARN of the secret. Accepted findings do not count."""
        return {
            rotation.secret_arn: min((finding.severity for finding in found), key=list(Severity).index)
            for rotation in self.rotations
            if (found := [finding for finding in self.findings_of(rotation) if not finding.accepted])
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
            "accepted": len(self.findings) - len(self.open_findings),
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
    def without_secret(self) -> tuple[Finding, ...]:
        """The findings that concern none of the secrets, such as one about a region that could not be listed."""
        of_secrets = {id(finding) for rotation in self.rotations for finding in self.findings_of(rotation)}
        return tuple(finding for finding in self.findings if id(finding) not in of_secrets)

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
            subject = Subject(region=call.region)
            kept.append(Finding(FindingType.NOT_INSPECTED, subject, call.region, words, actions=(call.action,)))
    return kept


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings in the order of the table of types, then of their ARNs, each once."""
    once = {(finding.id, finding.message): finding for finding in findings}
    return tuple(sorted(once.values(), key=lambda each: (each.type.rank, each.subject, each.resource)))


def merge(reports: Iterable[Report]) -> Report:
    """Return one report for several accounts."""
    all_reports = list(reports)
    rotations = sorted((each for report in all_reports for each in report.rotations), key=lambda each: each.secret_arn)
    # Two reports can have the same role, with functions in two regions. What was read last counts.
    by_time = sorted(all_reports, key=lambda each: each.time)
    return Report(
        tuple(account for report in all_reports for account in report.accounts),
        tuple(rotations),
        sort_findings(finding for report in all_reports for finding in report.findings),
        {role: statements for report in by_time for role, statements in report.role_statements.items()},
    )
