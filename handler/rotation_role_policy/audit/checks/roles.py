"""Findings about an execution role itself: who can assume it, and which functions share it."""

from collections.abc import Iterator

from rotation_role_policy import arn
from rotation_role_policy.audit.facts import Known, RoleFacts, Stopped, Unknown
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Finding, Subject
from rotation_role_policy.audit.messages import roles as messages
from rotation_role_policy.audit.uninspected import uninspected
from rotation_role_policy.iam.document import parse
from rotation_role_policy.iam.principals import can_assume

_LAMBDA = "lambda.amazonaws.com"


def check(facts: RoleFacts) -> Iterator[Finding]:
    """Yield the findings about a role itself."""
    subject = Subject(role_arn=facts.role_arn)
    match facts.role:
        case Unknown(problem) if not isinstance(problem, Stopped):
            yield uninspected(subject, facts.role_arn, problem)
        case Known(_) if not any(function.is_rotating for function in facts.functions):
            pass
        case Known(None):
            words = messages.role_missing(facts.role_arn)
            yield Finding(FindingType.ROLE_NOT_ASSUMABLE, subject, facts.role_arn, words)
        case Known(role) if role and not can_assume(parse(role.trust_policy), _LAMBDA):
            words = messages.role_not_assumable(facts.role_arn)
            yield Finding(FindingType.ROLE_NOT_ASSUMABLE, subject, facts.role_arn, words)
    sharing = facts.sharing | {arn.split_qualifier(function.function_id)[0] for function in facts.functions}
    if len(sharing) > 1:
        words = messages.shared_role(facts.role_arn, sharing)
        yield Finding(FindingType.SHARED_ROLE, subject, facts.role_arn, words)
