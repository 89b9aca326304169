"""The words of findings about calls that a role may not make."""

from rotation_role_policy.audit.access import AccessProblem
from rotation_role_policy.audit.findings import Words
from rotation_role_policy.audit.messages.phrases import ADOPT, join, policy, send_update
from rotation_role_policy.iam.evaluation import BlockedBy, Blocker
from rotation_role_policy.iam.simulation import Denial


def action_not_granted(problem: AccessProblem) -> Words:
    """Return the words for calls that no policy allows."""
    is_for_secret = problem.secret_arn not in ("", problem.resource)
    for_secret = f" for the secret {problem.secret_arn}" if is_for_secret else ""
    text = f"The role {problem.role_arn} is not allowed {join(problem.actions)} on {problem.resource}{for_secret}."
    if policy_name := problem.coverage.policy_name:
        return Words(text, send_update(policy_name, problem.coverage.owner))
    return Words(text, f"{ADOPT}, or allow it in a policy of the role.")


def action_blocked(problem: AccessProblem, blocker: Blocker) -> Words:
    """Return the words for calls that are certainly blocked."""
    are = "are" if len(problem.actions) > 1 else "is"
    text = (
        f"{join(problem.actions)} on {problem.resource} {are} blocked for the role {problem.role_arn} by"
        f" {_blocker(blocker)}."
    )
    match blocker.by:
        case BlockedBy.DENY:
            return Words(text, "Narrow this deny. It may be there to protect other secrets or actions.")
        case BlockedBy.KEY_POLICY:
            return Words(text, "Allow the role in the key's policy, or allow the account's root user there.")
        case BlockedBy.BOUNDARY:
            boundary = problem.boundary_arn or "the permissions boundary"
            return Words(text, f"Allow the actions in {boundary}. Other roles may have the same boundary.")


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
