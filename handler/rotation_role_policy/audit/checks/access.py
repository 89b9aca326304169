"""Findings about calls that a role may not make."""

from collections.abc import Iterable, Iterator

from rotation_role_policy.audit.access import RANDOM_ACTION, AccessProblem, problems
from rotation_role_policy.audit.coverage import Coverage
from rotation_role_policy.audit.facts import RoleFacts
from rotation_role_policy.audit.findings import Finding, FindingType, Subject
from rotation_role_policy.audit.messages import access as messages
from rotation_role_policy.audit.messages.failures import not_inspected
from rotation_role_policy.audit.messages.lambda_reasons import NETWORK_CODE


def check(facts: RoleFacts, covered: Iterable[Coverage]) -> Iterator[Finding]:
    """Yield the findings about the calls that the rotations of a role need."""
    for problem in problems(facts, covered):
        subject = Subject(problem.secret_arn, problem.coverage.function.function_id, problem.role_arn)
        if problem.problem:
            what = messages.may_call(problem)
            words = not_inspected(what, problem.problem)
            yield Finding(FindingType.NOT_INSPECTED, subject, problem.resource, words)
        elif problem.undecided:
            words = messages.access_undecided(problem, problem.undecided)
            yield Finding(FindingType.ACCESS_UNDECIDED, subject, problem.role_arn, words)
        elif finding_type := _certain(problem):
            yield Finding(finding_type, subject, problem.role_arn, messages.WORDS[finding_type](problem))


def _certain(problem: AccessProblem) -> FindingType | None:
    """Return the type of the finding about calls that are certainly not allowed; None if another finding has it."""
    if problem.actions == (RANDOM_ACTION,):
        return FindingType.RANDOM_PASSWORD_NOT_GRANTED
    if problem.is_for_network_interfaces:
        is_reported = problem.coverage.details.failure_code == NETWORK_CODE
        return None if is_reported else FindingType.NETWORK_INTERFACES_NOT_GRANTED
    return FindingType.ACTION_BLOCKED if problem.blocker else FindingType.ACTION_NOT_GRANTED
