"""The words of findings about calls that a role may not make."""

from rotation_role_policy.audit.access import AccessProblem
from rotation_role_policy.audit.findings import FindingType, Words
from rotation_role_policy.audit.messages.phrases import ADOPT, join, policy, send_update
from rotation_role_policy.iam.evaluation import BlockedBy, Blocker
from rotation_role_policy.iam.simulation import Denial


def action_not_granted(problem: AccessProblem) -> Words:
    """Return the words for calls that no policy allows."""
    return Words(f"{_not_allowed(problem)}.", f"{_allow(problem)}.")


def action_blocked(problem: AccessProblem) -> Words:
    """Return the words for calls that are certainly blocked."""
    return Words(f"{_not_allowed(problem)}.", f"{_unblock(problem)}.")


def random_password_not_granted(problem: AccessProblem) -> Words:
    """Return the words for a role that may not call GetRandomPassword, or for which this is blocked."""
    change = _unblock(problem) if problem.blocker else _allow(problem)
    return Words(
        f"{_not_allowed(problem)}. AWS's rotation functions call it. A custom function need not.",
        f"If the code of {problem.coverage.function.function_id} calls GetRandomPassword: {change}.",
    )


def network_interfaces_not_granted(problem: AccessProblem) -> Words:
    """Return the words for a function in a VPC whose role may not manage network interfaces."""
    function_id = problem.coverage.function.function_id
    return Words(
        f"{_not_allowed(problem)}. The function {function_id} is in a VPC. Its interfaces keep working as long as they"
        " exist. Lambda needs the actions when it creates an interface again: the subnets or security groups change,"
        " the function was idle for weeks, or Lambda replaces the interface. Then the function cannot be invoked.",
        f"{_unblock(problem) if problem.blocker else _allow(problem)}.",
    )


def _not_allowed(problem: AccessProblem) -> str:
    """Return which calls are not allowed and, if something blocks them, what."""
    is_for_secret = problem.secret_arn not in ("", problem.resource)
    for_secret = f" for the secret {problem.secret_arn}" if is_for_secret else ""
    calls = f"{join(problem.actions)} on {problem.resource}{for_secret}"
    if problem.blocker is None:
        return f"The role {problem.role_arn} is not allowed {calls}"
    are = "are" if len(problem.actions) > 1 else "is"
    return f"{calls} {are} blocked for the role {problem.role_arn} by {_blocker(problem.blocker)}"


def _allow(problem: AccessProblem) -> str:
    if policy_name := problem.coverage.policy_name:
        return send_update(policy_name, problem.coverage.owner).rstrip(".")
    return f"{ADOPT}, or allow {'them' if len(problem.actions) > 1 else 'it'} in a policy of the role"


def _unblock(problem: AccessProblem) -> str:
    match problem.blocker:
        case Blocker(BlockedBy.KEY_POLICY):
            return "Allow the role in the key's policy, or allow the account's root user there"
        case Blocker(BlockedBy.BOUNDARY):
            boundary = problem.boundary_arn or "the permissions boundary"
            return f"Allow the actions in {boundary}. Other roles may have the same boundary"
    return "Narrow this deny. It may be there to protect other secrets or actions"


def access_undecided(problem: AccessProblem, denial: Denial) -> Words:
    """Return the words for calls about which the simulator could not decide. `denial` is its result."""
    return Words(
        f"It is not known whether the role {problem.role_arn} may call {join(problem.actions)} on {problem.resource}:"
        f" {denial.doubt}.",
        "Rotate the secret while you watch (aws secretsmanager rotate-secret).",
    )


def _blocker(blocker: Blocker) -> str:
    match blocker.by:
        case BlockedBy.DENY:
            return f"an explicit deny in {policy(blocker.policy) if blocker.policy else 'a policy of the role'}"
        case BlockedBy.BOUNDARY:
            return "the role's permissions boundary"
        case BlockedBy.KEY_POLICY:
            return "the key's policy, which neither allows the role nor delegates to IAM policies"


def may_call(problem: AccessProblem) -> str:
    """Return what is not known, if it is not known whether a role may make calls."""
    actions, resources = join(problem.actions), join([problem.resource])
    return f"Whether {problem.role_arn} may call {actions} on {resources}"


WORDS = {
    FindingType.ACTION_NOT_GRANTED: action_not_granted,
    FindingType.ACTION_BLOCKED: action_blocked,
    FindingType.RANDOM_PASSWORD_NOT_GRANTED: random_password_not_granted,
    FindingType.NETWORK_INTERFACES_NOT_GRANTED: network_interfaces_not_granted,
}
"""By type: the words for calls that are certainly not allowed."""
