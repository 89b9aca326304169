"""The words of findings about policies that a resource of a stack has put on a role."""

from collections.abc import Sequence

from rotation_role_policy.audit.findings import Words
from rotation_role_policy.audit.messages.excess import changing
from rotation_role_policy.audit.messages.phrases import join, policy, resource_of, send_update
from rotation_role_policy.audit.ownership import Owner
from rotation_role_policy.errors import quoted
from rotation_role_policy.iam.document import Element, PolicyName, Statement
from rotation_role_policy.iam.wildcard import matches_any
from rotation_role_policy.rules.state import Role
from rotation_role_policy.rules.targets import ANY_TARGET
from rotation_role_policy.rules.widening import Widening, WideningKind

_MOST = 5
"""Grants that a message lists."""
_WIDER = {
    WideningKind.ACTIONS: "which the resource never grants",
    WideningKind.SECRETS: "although the resource is not for that",
    WideningKind.KEYS: "without the conditions that limit it to the secrets",
    WideningKind.CODE: "without the Deny that leaves it to Lambda alone",
}
"""By kind: what is wider, to complete a sentence that begins with the grant."""


def policy_widened(role_arn: str, name: str, owner: Owner, found: Sequence[Widening], shown: Sequence[str]) -> Words:
    """Return the words for a policy of a resource that somebody has edited so that it grants more.

    Args:
        role_arn: of the role that has the policy.
        name: of the policy.
        owner: the resource.
        found: what the policy grants beyond what the resource grants.
        shown: the superuser secret and the targets that only the policy shows.
    """
    grants = [f"{_elements(each.actions)} on {_elements(each.resource)}, {_WIDER[each.kind]}" for each in found[:_MOST]]
    more = f" And {len(found) - _MOST} more." if len(found) > _MOST else ""
    return Words(
        f"The policy {quoted(name)} on the role {role_arn} grants more than {resource_of(owner)} does, so somebody has"
        f" edited it. It allows {'; it allows '.join(grants)}.{more}{_assumed(shown)}",
        f"{_first(found)}{send_update(name, owner)} The policy is then written as the properties say.",
    )


def _assumed(shown: Sequence[str]) -> str:
    """Return what only the policy shows, as a sentence; empty if there is nothing."""
    if not shown:
        return ""
    return f" CloudFormation no longer has the properties of the resource. It is assumed that they name {join(shown)}."


def _first(found: Sequence[Widening]) -> str:
    """Return what has to happen before the policy is written again, as a sentence. Empty if nothing has to."""
    reads = [each for each in found if _can_be_superuser(each)]
    targets = [each for each in found if any(map(ANY_TARGET.fullmatch, each.resource.patterns))]
    everything = any("*" in each.actions.patterns or each.actions.is_negated for each in found)
    superuser = f"a superuser secret by {join(_elements(each.resource) for each in reads)}" if reads else ""
    target = f"the API of {join(_elements(each.resource) for each in targets)}" if targets else ""
    if everything and not target:
        target = "the API of a database, a user or a directory"
    if not superuser and not target:
        return ""
    uses = " or ".join(filter(None, (f"reads {superuser}" if superuser else "", f"calls {target}" if target else "")))
    return (
        f"Find out whether the rotation function {uses}. If so, put it into the properties first (SuperuserSecretId,"
        " TargetArns). "
    )


def _can_be_superuser(found: Widening) -> bool:
    reads = matches_any(found.actions.patterns, "secretsmanager:GetSecretValue", ignore_case=True)
    return found.kind in (WideningKind.SECRETS, WideningKind.ACTIONS) and reads != found.actions.is_negated


def _elements(element: Element) -> str:
    return f"{'all but ' if element.is_negated else ''}{', '.join(element.patterns)}"


def policy_documented(role_arn: str, name: str, owner: Owner) -> Words:
    """Return the words for a policy of the profile Documented."""
    return Words(
        f"The policy {quoted(name)} on the role {role_arn} has the profile Documented: {resource_of(owner)} allows the"
        " use of keys and network interfaces without a condition.",
        f"Set PolicyProfile of {resource_of(owner)} to Strict, and deploy the stack. Strict has the same grants, with"
        " conditions.",
    )


def policy_drift(role_arn: str, name: str, owner: Owner, shown: Sequence[str], unused: Sequence[str] = ()) -> Words:
    """Return the words for a policy of a resource that would be written differently today.

    Args:
        role_arn: of the role that has the policy.
        name: of the policy.
        owner: the resource.
        shown: the superuser secret and the targets that only the policy shows.
        unused: secrets that no function of the role rotates, if only the policy shows for which secrets it is.
    """
    if unused:
        return Words(
            f"The policy {quoted(name)} on the role {role_arn}, which {resource_of(owner)} has put there, allows to"
            f" rotate {join(unused)}, but no function of the role does. CloudFormation no longer has the properties of"
            " the resource, so it is not known whether they name these secrets.",
            "If the properties name them, take out those that need no rotation. If not, somebody has edited the policy."
            f" {send_update(name, owner)}",
        )
    return Words(
        f"The policy {quoted(name)} on the role {role_arn}, which {resource_of(owner)} has put there, would be written"
        f" differently today.{_assumed(shown)}",
        send_update(name, owner),
    )


def redundant_grant(
    role: Role,
    name: PolicyName,
    statements: Sequence[Statement],
    own: Sequence[PolicyName],
    secret_arns: tuple[str, ...],
) -> Words:
    """Return the words for statements that grant nothing beyond policies of resources.

    Args:
        role: has the policies.
        name: of the policy with the statements.
        statements: one statement, or all of the policy.
        own: the policies of resources.
        secret_arns: the secrets that the role rotates, and whose rotation is turned on.
    """
    first = statements[0]
    text, commands = changing(role, name, secret_arns, statements)
    if not first.sid and len(statements) == 1:
        text = f"The number is that of today, so begin with the last statement of a policy. {text}"
    named = f"The statement {quoted(first.sid)}" if first.sid else f"Statement {first.number}"
    subject, verb = (named, "grants") if len(statements) == 1 else ("All statements", "grant")
    grants = "; ".join(f"{_elements(each.actions)} on {_elements(each.resources)}" for each in statements)
    policies = join(quoted(each.name) for each in own)
    return Words(
        f"{subject} in {policy(name)} of the role {role.arn} ({grants}) {verb} nothing beyond the policies of"
        f" Custom::RotationRolePolicy on the role ({policies}).",
        text,
        commands,
    )
