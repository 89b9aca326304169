"""What the results of IAM's policy simulator prove.

Two results are certain: an explicit deny, and a permissions boundary that does not allow the action, if no context key
was missing. The simulator evaluates SCPs without the context of the real calls, and does not report the context keys
that it lacks for them, so a denial by an SCP alone proves nothing.

Sources: https://docs.aws.amazon.com/IAM/latest/APIReference/API_EvaluationResult.html,
https://github.com/aws/aws-cli/issues/10525
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rotation_role_policy.errors import quoted
from rotation_role_policy.iam.document import PolicyKind, PolicyName
from rotation_role_policy.iam.evaluation import BlockedBy, Blocker, Calls


@dataclass(frozen=True)
class Denial:
    """Calls that the simulator does not allow, or could not simulate."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    blocker: Blocker | None = None
    """What blocks the calls, if a policy of the role or its boundary does."""
    missing_keys: tuple[str, ...] = ()
    """Context keys that the simulator lacked, so that the denial proves nothing."""
    is_by_organization: bool = False
    """Whether an SCP may be the cause. That proves nothing either."""
    failure: str = ""
    """AWS's error, if the calls could not be simulated."""
    is_last: bool = False
    """Whether no further grant was simulated because of the failure."""

    @property
    def is_certain(self) -> bool:
        """Whether the calls are certainly blocked."""
        return self.blocker is not None and not self.missing_keys

    @property
    def is_implicit(self) -> bool:
        """Whether no policy on the role allows the call, and neither a context key nor an SCP can be the cause."""
        return not (self.blocker or self.missing_keys or self.is_by_organization or self.failure)

    @property
    def doubt(self) -> str:
        """Why the denial does not prove that a rotation fails, to complete a sentence."""
        if self.failure:
            suffix = "; no further grant was simulated" if self.is_last else ""
            return f"the policy simulator failed ({self.failure}){suffix}"
        if self.missing_keys:
            denier = f" by {in_words(self.blocker)}" if self.blocker else ""
            keys = ", ".join(self.missing_keys)
            return f"denied{denier} in the policy simulator, but the context keys {keys} were missing"
        if self.blocker:
            return f"blocked by {in_words(self.blocker)}, but not every rotation function makes the call"
        if self.is_by_organization:
            return (
                "denied by a service control policy (SCP) in the policy simulator, which evaluates SCPs without the"
                " context of the real call"
            )
        return "not allowed in the policy simulator, which does not report why"

    def __str__(self) -> str:
        resources = ", ".join(quoted(resource) for resource in self.resources)
        return f"{', '.join(self.actions)} on {resources}: {self.doubt}"


def denials_of(calls: Calls, result: Mapping[str, Any]) -> Iterator[Denial]:
    """Yield what one result of a simulation does not allow.

    Args:
        calls: the simulated calls.
        result: one of the `EvaluationResults`.
    """
    # A result without resource-specific results is about all resources. Its resource name can be a pattern of an ARN.
    name = result.get("EvalResourceName")
    name = name if name in calls.resources else calls.resources[0]
    overall: dict[str, Any] = {**result, "EvalResourceDecision": result["EvalDecision"], "EvalResourceName": name}
    # The effect of SCPs and the missing context keys may be only in the overall result.
    defaults = {
        "OrganizationsDecisionDetail": result.get("OrganizationsDecisionDetail"),
        "MissingContextValues": result.get("MissingContextValues"),
    }
    resource_results: list[Any] = result.get("ResourceSpecificResults") or [overall]
    for resource_result in resource_results:
        decision = defaults | resource_result
        if decision["EvalResourceDecision"] == "allowed":
            continue
        missing_keys = {*(result.get("MissingContextValues") or ()), *(decision["MissingContextValues"] or ())}
        yield Denial(
            (result["EvalActionName"],),
            (decision["EvalResourceName"],),
            _blocker(decision),
            tuple(sorted(key for key in missing_keys if key.lower() not in calls.absent_keys)),
            _is_denied_by_organization(decision),
        )


def _blocker(decision: dict[str, Any]) -> Blocker | None:
    """Return what blocks the simulated call; None if nothing on the role certainly does."""
    if (decision.get("PermissionsBoundaryDecisionDetail") or {}).get("AllowedByPermissionsBoundary") is False:
        return Blocker(BlockedBy.BOUNDARY)
    if decision["EvalResourceDecision"] != "explicitDeny":
        return None
    policies = {statement.get("SourcePolicyId") or "" for statement in decision.get("MatchedStatements") or ()}
    if _is_denied_by_organization(decision) and not policies:
        # No statement on the role matched, so the deny is in the SCP.
        return None
    names = sorted(policies - {""})
    return Blocker(BlockedBy.DENY, PolicyName(PolicyKind.ROLE, names[0]) if names else None)


def _is_denied_by_organization(decision: dict[str, Any]) -> bool:
    return (decision["OrganizationsDecisionDetail"] or {}).get("AllowedByOrganizations") is False


def in_words(blocker: Blocker) -> str:
    """Return what blocks the calls, to complete a sentence."""
    if blocker.by is BlockedBy.BOUNDARY:
        return "the role's permissions boundary"
    return f"an explicit deny in {quoted(blocker.policy.name) if blocker.policy else 'a policy of the role'}"
