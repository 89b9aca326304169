"""Findings that somebody has accepted: they stay in the report, but count no more."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from rotation_role_policy import arn
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Acceptance, Finding, Subject, Words
from rotation_role_policy.audit.messages.acceptances import expired, unused
from rotation_role_policy.audit.report import Report, sort_findings
from rotation_role_policy.iam.wildcard import matches

_MUST_END = {each.code for each in (FindingType.NOT_INSPECTED, FindingType.ACCOUNT_FAILED)}
"""Codes that are accepted only for one resource, and only until a day: nobody knows what is behind them."""


def accept(report: Report, acceptances: Sequence[Acceptance], today: date, *, is_selection: bool) -> Report:
    """Return the report with the accepted findings marked, and with a note for each acceptance that is not used.

    Args:
        report: of the audit.
        acceptances: what somebody has accepted. Those that have expired accept nothing.
        today: the day, in UTC.
        is_selection: whether the audit left out secrets, so that an acceptance can be for one of these.
    """
    valid = [each for each in acceptances if each.until is None or each.until >= today]
    used: set[Acceptance] = set()
    findings = []
    for finding in report.findings:
        matching = [each for each in valid if _is_accepted(finding, each)]
        used |= set(matching)
        findings.append(replace(finding, accepted=matching[0]) if matching else finding)
    accepted = replace(report, findings=tuple(findings))
    # What was not inspected can have the finding.
    is_whole = accepted.is_complete and not is_selection
    notes = [_note(each, expired(each)) for each in acceptances if each not in valid]
    notes += [
        _note(each, unused(each)) for each in valid if each not in used and is_whole and _is_audited(report, each)
    ]
    return replace(report, findings=sort_findings([*findings, *notes]))


def problem_of(acceptance: Acceptance, known_codes: Iterable[str]) -> str:
    """Return what is wrong with an acceptance; empty if it can be used."""
    if acceptance.code not in known_codes:
        return f"there is no code {acceptance.code}"
    if not acceptance.resource.startswith(("arn:", "*")):
        return (
            f"the resource {acceptance.resource} is no ARN. Give the ARN of the resource, secret, function or role, or"
            f" a pattern such as *{acceptance.resource}"
        )
    is_one = acceptance.resource.startswith("arn:") and not {"*", "?"} & set(acceptance.resource)
    if acceptance.code in _MUST_END and not (is_one and acceptance.until):
        return f"{acceptance.code} can be accepted only with a full ARN as resource, and with a date as until"
    return ""


def _is_accepted(finding: Finding, acceptance: Acceptance) -> bool:
    return finding.type.code == acceptance.code and any(
        matches(acceptance.resource, each) for each in (finding.resource, finding.subject.scope) if each
    )


def _is_audited(report: Report, acceptance: Acceptance) -> bool:
    """Return whether the resource of an acceptance can be in the accounts and regions of a report."""
    account, region = arn.account(acceptance.resource), arn.region(acceptance.resource)
    accounts = [each.id for each in report.accounts]
    return (not account or any(matches(account, each) for each in accounts)) and (
        not region or any(matches(region, each) for each in report.regions)
    )


def _note(acceptance: Acceptance, words: Words) -> Finding:
    return Finding(
        FindingType.ACCEPTED_UNUSED, Subject(), acceptance.resource, words, cause=(acceptance.code, acceptance.reason)
    )
