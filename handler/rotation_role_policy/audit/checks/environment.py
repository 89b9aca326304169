"""Findings about the key of a function's environment variables."""

from collections.abc import Iterable, Iterator

from rotation_role_policy.audit.coverage import Coverage
from rotation_role_policy.audit.environment import EnvironmentProblem, EnvironmentProblemKind, examine
from rotation_role_policy.audit.facts import RoleFacts
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Finding, Subject
from rotation_role_policy.audit.messages import environment as messages

_TYPES = {
    EnvironmentProblemKind.KEY_UNUSABLE: (FindingType.KEY_UNUSABLE, messages.key_unusable),
    EnvironmentProblemKind.NOT_GRANTED: (FindingType.ENVIRONMENT_KEY_NOT_GRANTED, messages.not_granted),
    EnvironmentProblemKind.ROLE_RECREATED: (FindingType.ROLE_RECREATED, messages.role_recreated),
}


def check(facts: RoleFacts, covered: Iterable[Coverage]) -> Iterator[Finding]:
    """Yield the findings about the keys of the functions with a role, whose rotations are `covered`."""
    own = {coverage.function.function_id: coverage for coverage in covered if coverage.policy_name}
    for problem in examine(facts):
        if isinstance(problem, EnvironmentProblem):
            finding_type, words = _TYPES[problem.kind]
            subject = Subject(function_arn=problem.function.function_id, role_arn=facts.role_arn)
            yield Finding(finding_type, subject, problem.key_arn, words(problem, own.get(problem.function.function_id)))
