"""The finding about something that the audit could not inspect."""

from rotation_role_policy.audit.facts import FailedCall, Problem
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import DeniedCall, Finding, Subject
from rotation_role_policy.audit.messages.failures import not_inspected


def uninspected(
    subject: Subject, resource: str, problem: Problem, what: str = "", denied: DeniedCall | None = None
) -> Finding:
    """Return the finding.

    Args:
        subject: what the finding is about.
        resource: ARN or ID of what was not inspected.
        problem: why.
        what: what was not inspected, as the beginning of a sentence. By default it is `resource`.
        denied: the call, if it can be denied for many roles.
    """
    words = not_inspected(what or resource, problem)
    actions = (problem.action,) if isinstance(problem, FailedCall) else ()
    return Finding(FindingType.NOT_INSPECTED, subject, resource, words, denied=denied, actions=actions)
