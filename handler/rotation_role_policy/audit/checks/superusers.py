"""Findings about superuser secrets."""

from collections.abc import Iterable, Iterator

from rotation_role_policy.audit.coverage import Coverage
from rotation_role_policy.audit.facts import Known, RoleFacts, Stopped, Unknown, UnusableKey
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Finding, Subject
from rotation_role_policy.audit.messages import superusers as messages
from rotation_role_policy.audit.messages.secrets import key_unusable
from rotation_role_policy.audit.uninspected import uninspected


def check(facts: RoleFacts, covered: Iterable[Coverage]) -> Iterator[Finding]:
    """Yield the findings about the superuser secrets that resources name.

    A secret that is only assumed to be one can be left over from a rotation that does not exist any more (`excess`).
    """
    for coverage in covered:
        if coverage.is_superuser_assumed:
            continue
        superuser_arn, function_id = coverage.superuser_id, coverage.function.function_id
        subject = Subject(function_arn=function_id)
        match facts.superusers.get(superuser_arn):
            case Known(None):
                subject = Subject(function_arn=function_id, role_arn=facts.role_arn)
                words = messages.superuser_missing(superuser_arn, coverage)
                yield Finding(FindingType.SUPERUSER_MISSING, subject, superuser_arn, words)
            case Unknown(UnusableKey() as key):
                yield Finding(FindingType.KEY_UNUSABLE, subject, superuser_arn, key_unusable(key))
            case Unknown(problem) if not isinstance(problem, Stopped):
                yield uninspected(subject, superuser_arn, problem)
