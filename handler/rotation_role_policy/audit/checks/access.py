"""Findings about calls that a role may not make."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace

from rotation_role_policy.audit.access import RANDOM_ACTION
from rotation_role_policy.audit.access_problems import AccessProblem
from rotation_role_policy.audit.facts import FailedCall, RoleFacts
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import DeniedCall, Finding, Subject
from rotation_role_policy.audit.messages import access as messages
from rotation_role_policy.audit.messages.phrases import join
from rotation_role_policy.audit.messages.roles import UNLESS_REDIRECTED, if_redirected
from rotation_role_policy.audit.ownership import ElsewherePolicy
from rotation_role_policy.audit.uninspected import uninspected


def check(facts: RoleFacts, problems: Iterable[AccessProblem]) -> Iterator[Finding]:
    """Yield the findings about the calls that the rotations of a role need.

    What is certain is a finding for each secret or key. What is open, or could not be read, has the same cause for many
    of them, and is one finding for each cause. What is only assumed to be needed is no finding (`NO_POLICY`).

    Args:
        facts: of the role.
        problems: of all rotations of the role.
    """
    found = [each for each in (problem.of_rotation() for problem in problems) if each and _is_reported(each)]
    for problem in _merged(each for each in found if not each.problem and not each.doubt):
        if finding_type := _type(problem):
            words = messages.WORDS[finding_type](problem)
            if elsewhere := _elsewhere(facts, problem):
                words = words._replace(remediation=if_redirected(problem.coverage, elsewhere))
            elif not facts.is_elsewhere_known and not problem.coverage.policy_name:
                words = words._replace(remediation=f"{UNLESS_REDIRECTED} {words.remediation}")
            is_blocked = problem.blocker is not None
            yield Finding(
                finding_type,
                _subject([problem]),
                problem.role_arn,
                words,
                is_blocked=is_blocked,
                actions=problem.actions,
                cause=(problem.resource,),
            )
    for same in _grouped((each for each in found if each.doubt), _cause_of_doubt):
        words = messages.access_undecided(same)
        actions = tuple(dict.fromkeys(action for each in same for action in each.actions))
        cause = tuple(dict.fromkeys(name for each in same for name in _names_of_doubt(each)))
        yield Finding(
            FindingType.ACCESS_UNDECIDED, _subject(same), same[0].role_arn, words, actions=actions, cause=cause
        )
    for same in _grouped((each for each in found if each.problem), _cause_of_problem):
        yield from _not_inspected(same)


def _elsewhere(facts: RoleFacts, problem: AccessProblem) -> ElsewherePolicy | None:
    """Return the policy on another role for a secret that needs the calls, unless one on this role covers it, too."""
    if problem.coverage.policy_name:
        return None
    secrets = [problem.secret_arn] if problem.secret_arn else [secret.arn for secret in problem.coverage.secrets]
    return next((facts.elsewhere[each] for each in secrets if each in facts.elsewhere), None)


def _merged(certain: Iterable[AccessProblem]) -> Iterator[AccessProblem]:
    """Yield problems, with one for a function in place of several that have the same cause.

    Each action on network interfaces is decided on a resource of its own, and several policies of the provider can
    cover the secrets of a function.
    """
    for same in _grouped(certain, lambda each: _cause_in_function(each) or id(each)):
        actions = tuple(dict.fromkeys(action for each in same for action in each.actions))
        resource = join(dict.fromkeys(each.resource for each in same))
        yield replace(same[0], actions=actions, resource=resource)


def _cause_in_function(problem: AccessProblem) -> Hashable:
    """Return the cause of a problem that is not about one secret or key; None for another problem."""
    if problem.is_for_network_interfaces or problem.actions == (RANDOM_ACTION,):
        return problem.coverage.function.function_id, problem.is_for_network_interfaces, problem.blocker
    return None


def _is_reported(problem: AccessProblem) -> bool:
    """Return whether calls are for a secret on which the audit reports, or for all secrets of the function.

    What is only assumed to be needed is not reported.
    """
    if problem.is_for_assumed:
        return False
    selected = {secret.arn for secret in problem.coverage.secrets if secret.is_selected}
    return problem.secret_arn in selected or not problem.secret_arn


def _type(problem: AccessProblem) -> FindingType | None:
    """Return the type of the finding about calls that are certainly not allowed; None if another finding has it."""
    if problem.actions == (RANDOM_ACTION,):
        return FindingType.RANDOM_PASSWORD_NOT_GRANTED
    if problem.is_for_network_interfaces:
        return None if problem.coverage.details.is_network_reported else FindingType.NETWORK_INTERFACES_NOT_GRANTED
    return FindingType.ACTION_BLOCKED if problem.blocker else FindingType.ACTION_NOT_GRANTED


def _grouped(
    found: Iterable[AccessProblem], cause: Callable[[AccessProblem], Hashable]
) -> Iterable[Sequence[AccessProblem]]:
    groups: dict[Hashable, list[AccessProblem]] = {}
    for problem in found:
        groups.setdefault(cause(problem), []).append(problem)
    return groups.values()


def _cause_of_doubt(problem: AccessProblem) -> Hashable:
    """Return the context keys on which it depends whether calls are allowed, or what else leaves it open."""
    doubt = problem.doubt
    if doubt is None or doubt.keys:
        return doubt and doubt.keys
    return doubt.kind, doubt.policy, doubt.denial and doubt.denial.doubt


def _names_of_doubt(problem: AccessProblem) -> tuple[str, ...]:
    """Return what distinguishes doubts of one role, for the ID of a finding."""
    if problem.doubt is None:
        return ()
    statements = (each.sid or str(each.number) for each in problem.doubt.statements)
    return problem.doubt.keys or (problem.doubt.kind.name, *statements)


def _cause_of_problem(problem: AccessProblem) -> Hashable:
    """Return the call that AWS denied or failed. Its message has the ARN of each resource."""
    match problem.problem:
        case FailedCall(action, code):
            return problem.coverage.function.region, action, code
    return problem.problem


def _subject(found: Sequence[AccessProblem]) -> Subject:
    """Return what some problems of one role are about."""
    secrets = {each.secret_arn for each in found}
    functions = {each.coverage.function.function_id for each in found}
    return Subject(
        secrets.pop() if len(secrets) == 1 else "",
        functions.pop() if len(functions) == 1 else "",
        found[0].role_arn,
    )


def _not_inspected(found: Sequence[AccessProblem]) -> Iterator[Finding]:
    problem = found[0].problem
    if problem is None:
        return
    denied = None
    if isinstance(problem, FailedCall) and problem.is_denied:
        denied = DeniedCall(found[0].coverage.function.region, problem.action)
    resources = {each.resource for each in found}
    resource = resources.pop() if len(resources) == 1 else found[0].role_arn
    yield uninspected(_subject(found), resource, problem, messages.may_call(found), denied)
