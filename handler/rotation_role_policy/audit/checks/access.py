"""Findings about calls that a role may not make."""

from collections.abc import Iterable, Iterator

from rotation_role_policy.audit.access import problems
from rotation_role_policy.audit.coverage import Coverage
from rotation_role_policy.audit.facts import RoleFacts
from rotation_role_policy.audit.findings import Finding, FindingType, Subject
from rotation_role_policy.audit.messages import access as messages
from rotation_role_policy.audit.messages.failures import not_inspected


def check(facts: RoleFacts, covered: Iterable[Coverage]) -> Iterator[Finding]:
    """Yield the findings about the calls that the rotations of a role need."""
    for problem in problems(facts, covered):
        subject = Subject(problem.secret_arn, problem.coverage.function.function_id, problem.role_arn)
        if problem.problem:
            what = messages.may_call(problem)
            words = not_inspected(what, problem.problem)
            yield Finding(FindingType.NOT_INSPECTED, subject, problem.resource, words)
        elif problem.blocker:
            words = messages.action_blocked(problem, problem.blocker)
            yield Finding(FindingType.ACTION_BLOCKED, subject, problem.role_arn, words)
        elif problem.undecided:
            words = messages.access_undecided(problem, problem.undecided)
            yield Finding(FindingType.ACCESS_UNDECIDED, subject, problem.role_arn, words)
        else:
            words = messages.action_not_granted(problem)
            yield Finding(FindingType.ACTION_NOT_GRANTED, subject, problem.role_arn, words)
