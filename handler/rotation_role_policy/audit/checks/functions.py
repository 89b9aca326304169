"""Findings about a function that concern all secrets that it rotates."""

from collections.abc import Iterator

from rotation_role_policy.audit.facts import FailedCall, FunctionFacts, Known, OtherAccount, Stopped, Unknown
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Finding, Subject
from rotation_role_policy.audit.invocation import statements_without_source
from rotation_role_policy.audit.messages import functions as messages
from rotation_role_policy.audit.messages.lambda_reasons import function_not_active
from rotation_role_policy.audit.uninspected import uninspected


def check(function: FunctionFacts) -> Iterator[Finding]:
    """Yield the findings about a function."""
    function_id = function.function_id
    for fact in (function.details, function.invoke_policy):
        yield from _of_unknown(function, fact)
    if not isinstance(function.details, Known):
        return
    details = function.details.value
    subject = Subject(function_arn=function_id, role_arn=details.function.role.arn)
    if not function.is_rotating:
        pass
    elif details.is_idle:
        yield Finding(FindingType.FUNCTION_IDLE, subject, function_id, messages.function_idle(function_id))
    elif details.failure_code is not None:
        words = function_not_active(function_id, details.lambda_state, details.failure_code, details.state_reason)
        yield Finding(FindingType.FUNCTION_NOT_ACTIVE, subject, function_id, words)
    if isinstance(function.invoke_policy, Known):
        for sid in statements_without_source(function.invoke_policy.value, function_id):
            words = messages.invoke_without_source(function_id, sid)
            yield Finding(FindingType.INVOKE_WITHOUT_SOURCE, subject, function_id, words, cause=(sid,))


def _of_unknown(function: FunctionFacts, fact: Known[object] | Unknown) -> Iterator[Finding]:
    function_id = function.function_id
    subject = Subject(function_arn=function_id)
    match fact:
        case Unknown(OtherAccount()):
            words = messages.function_in_other_account(function_id)
            yield Finding(FindingType.FUNCTION_IN_OTHER_ACCOUNT, subject, function_id, words)
        case Unknown(FailedCall(code="ResourceNotFoundException")):
            if function.is_rotating:
                words = messages.function_missing(function_id)
                yield Finding(FindingType.FUNCTION_MISSING, subject, function_id, words)
        case Unknown(problem) if not isinstance(problem, Stopped):
            yield uninspected(subject, function_id, problem)
