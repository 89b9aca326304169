"""The words of findings about calls that a role may not make."""

from collections.abc import Sequence

from rotation_role_policy.audit.access_problems import AccessProblem, Doubt, DoubtKind, StatementName
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Words
from rotation_role_policy.audit.messages.phrases import ADOPT, join, policy, send_update
from rotation_role_policy.errors import quoted_text
from rotation_role_policy.iam.document import PolicyKind
from rotation_role_policy.iam.evaluation import BlockedBy, Blocker

_MOST = 3
"""Resources and reasons that a message names."""
_NETWORK_KEYS = {"aws:sourceip", "aws:sourcevpc", "aws:sourcevpce", "aws:vpcsourceip"}
"""Context keys, in lower case, of the network of the caller."""


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


def policy_refused(problem: AccessProblem) -> str:
    """Return why the provider would refuse a policy, although the rotation works, as sentences."""
    return (
        f"{_not_allowed(problem)}. The rotation works without it, but the provider refuses a policy of which a part is"
        f" blocked, unless its property AccessCheck is Off. {_unblock(problem)}."
    )


def _not_allowed(problem: AccessProblem) -> str:
    """Return which calls are not allowed and, if something blocks them, what."""
    is_for_secret = problem.secret_arn not in ("", problem.resource)
    for_secret = f" for the secret {problem.secret_arn}" if is_for_secret else ""
    calls = f"{join(problem.actions)} on {problem.resource}{for_secret}"
    if problem.blocker is None:
        return f"The role {problem.role_arn} is not allowed {calls}"
    are = "are" if len(problem.actions) > 1 else "is"
    return f"{calls} {are} blocked for the role {problem.role_arn} by {_blocker(problem)}"


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
    if problem.statement:
        return f"Exclude {problem.role_arn} from this statement, for example by ArnNotEquals on aws:PrincipalArn"
    return "Narrow this deny. It may be there to protect other secrets or actions"


def access_undecided(found: Sequence[AccessProblem]) -> Words:
    """Return the words for calls of one role of which it is not known, for one reason, whether they are allowed."""
    doubts = tuple(dict.fromkeys(each.doubt for each in found if each.doubt))
    reasons = tuple(dict.fromkeys(map(_doubt, doubts)))
    more = f"; and {len(reasons) - _MOST} more like these" if len(reasons) > _MOST else ""
    remediation = "Rotate the secret while you watch (RotateSecret)."
    if any(doubt.policy is PolicyKind.KEY and _NETWORK_KEYS & {key.lower() for key in doubt.keys} for doubt in doubts):
        remediation += (
            " Secrets Manager calls KMS itself, so the policy of a key does not see the address or the VPC of the"
            " function. Exclude the calls of AWS services from the statement (Bool aws:ViaAWSService false)."
        )
    return Words(f"It is not known whether {_calls_of(found)}: {'; '.join(reasons[:_MOST])}{more}.", remediation)


def may_call(found: Sequence[AccessProblem]) -> str:
    """Return what is not known, if it is not known for one reason whether a role may make calls."""
    return f"Whether {_calls_of(found)}"


def _calls_of(found: Sequence[AccessProblem]) -> str:
    actions = dict.fromkeys(action for each in found for action in each.actions)
    resources = list(dict.fromkeys(each.resource for each in found))
    named = join(resources)
    if len(resources) > _MOST:
        named = f"{len(resources)} secrets and keys ({', '.join(resources[:_MOST])} and {len(resources) - _MOST} more)"
    return f"the role {found[0].role_arn} may call {join(actions)} on {named}"


def _doubt(doubt: Doubt) -> str:
    """Return why it is not known whether calls are allowed, to complete a sentence."""
    of = "the key's policy" if doubt.policy is PolicyKind.KEY else "the secret's resource policy"
    statements = " or ".join(_statement(each) for each in doubt.statements)
    depends = f", which depends on {join(doubt.keys)}" if doubt.keys else ""
    match doubt.kind:
        case DoubtKind.DENIAL_OPEN:
            return f"{statements} in {of} can deny it{depends}"
        case DoubtKind.ALLOW_OPEN:
            return f"only {statements} in {of} can allow it{depends}"
        case DoubtKind.SECOND_POLICY:
            return "the key's policy does not allow it, and the key has a second policy, which cannot be read"
        case DoubtKind.OTHER_ACCOUNT:
            return "what another account allows for its key cannot be read"
    return doubt.denial.doubt if doubt.denial else ""


def _statement(name: StatementName) -> str:
    # AWS does not limit the length of a Sid.
    return f"the statement {quoted_text(name.sid)}" if name.sid else f"statement {name.number}"


def _blocker(problem: AccessProblem) -> str:
    match problem.blocker:
        case Blocker(BlockedBy.BOUNDARY):
            return "the role's permissions boundary"
        case Blocker(BlockedBy.KEY_POLICY):
            return "the key's policy, which neither allows the role nor delegates to IAM policies. No grant allows it"
        case Blocker(_, policy_name) if policy_name:
            where = f" ({_statement(problem.statement)})" if problem.statement else ""
            return f"an explicit deny in {policy(policy_name)}{where}"
    return "an explicit deny in a policy of the role"


WORDS = {
    FindingType.ACTION_NOT_GRANTED: action_not_granted,
    FindingType.ACTION_BLOCKED: action_blocked,
    FindingType.RANDOM_PASSWORD_NOT_GRANTED: random_password_not_granted,
    FindingType.NETWORK_INTERFACES_NOT_GRANTED: network_interfaces_not_granted,
}
"""By type: the words for calls that are certainly not allowed."""
