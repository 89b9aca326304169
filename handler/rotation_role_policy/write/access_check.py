"""Ask IAM's policy simulator, before the policy is written, whether anything blocks what the policy grants.

Each statement of the new document is simulated together with the policies on the role. Two results are certain: an
explicit deny, and a permissions boundary that does not allow the action, if no context key was missing. Any other
denial is a warning. The simulator evaluates SCPs without the context of the real calls, and does not report the context
keys that it lacks for them, so a denial by an SCP alone proves nothing.

Sources: docs/policy.md, "The access check",
https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html,
https://github.com/aws/aws-cli/issues/10525
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rotation_role_policy.aws.client import Aws, is_throttling
from rotation_role_policy.errors import AwsApiError, ErrorCode, RequestError, quoted, role_not_found
from rotation_role_policy.rules.calls import Calls, calls_of
from rotation_role_policy.rules.policy import Document, grants
from rotation_role_policy.rules.state import State

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import ContextEntryTypeDef, EvaluationResultTypeDef

MAX_ATTEMPTS = 3
"""Attempts at a simulation that fails. `PolicyEvaluation` is an HTTP 500 that retries do not fix."""


@dataclass(frozen=True)
class Denial:
    """Calls that the simulator does not allow, or could not simulate."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    reason: str = ""
    """Why the denial proves nothing; empty if the calls are certainly blocked."""
    blocker: str = ""
    """What certainly blocks the calls, to complete a sentence."""
    is_implicit: bool = False
    """Whether no policy on the role allows the call, and neither a context key nor an SCP can be the cause."""

    def __str__(self) -> str:
        resources = ", ".join(quoted(resource) for resource in self.resources)
        return f"{', '.join(self.actions)} on {resources}: {self.reason}"


def check_access(aws: Aws, state: State, document: Document) -> list[Denial]:
    """Simulate each grant of `document`, and return the denials that prove nothing.

    There is one simulation for each Allow statement. A statement for secrets with different tags needs one for each set
    of tags, a statement for a key one for each secret that the key encrypts.

    Args:
        aws: makes the calls.
        state: from which `document` was built.
        document: the policy document to be written.

    Raises:
        RequestError: a grant is certainly blocked. The message has the action, the resource and what blocks it.
    """
    # The document's own Deny applies to other callers, so it is left out of the simulation.
    allow_statements = [statement for statement in document["Statement"] if statement["Effect"] == "Allow"]
    text = json.dumps({**document, "Statement": allow_statements}, separators=(",", ":"))
    allow_grants = (grant for grant in grants(state) if grant.statement["Effect"] == "Allow")
    undecided: list[Denial] = []
    for calls in (calls for grant in allow_grants for calls in calls_of(state, grant)):
        try:
            denials = simulate(aws, state.role.arn, calls, [text])
        except AwsApiError as error:
            if is_throttling(error.code):
                raise
            # The other simulations would most likely fail too.
            return [*undecided, _not_simulated(calls, error, "; no further grant was simulated")]
        for denial in denials:
            if denial.blocker:
                [action], [resource] = denial.actions, denial.resources
                raise RequestError(
                    f"AccessCheck: role {quoted(state.role.name)}: {action} on {quoted(resource)} is blocked by"
                    f" {denial.blocker}. Allow it there, or set AccessCheck to Off.",
                    ErrorCode.ACCESS_CHECK_FAILED,
                )
        undecided += denials
    return undecided


def simulate(aws: Aws, role_arn: str, calls: Calls, documents: Sequence[str] = ()) -> list[Denial]:
    """Ask the simulator whether the policies on a role allow `calls`.

    Args:
        aws: makes the call.
        role_arn: of the role.
        calls: at least one action and one resource.
        documents: policy documents that count as if they were on the role.

    Returns:
        What the simulator does not allow, or rejects to simulate.

    Raises:
        RequestError: the role does not exist.
        AwsApiError: the simulator failed.
    """
    try:
        with aws.max_attempts(MAX_ATTEMPTS):
            pages = list(
                aws.paginate(
                    aws.iam.simulate_principal_policy,
                    PolicySourceArn=role_arn,
                    PolicyInputList=documents,
                    ActionNames=calls.actions,
                    ResourceArns=calls.resources,
                    ContextEntries=[_context_entry(key, value) for key, value in calls.context.items()],
                )
            )
    except AwsApiError as error:
        if error.code == "NoSuchEntity":
            raise role_not_found(role_arn) from error
        if error.code != "InvalidInput":
            raise
        if len(calls.actions) == 1:
            return [_not_simulated(calls, error)]
        # "... require different authorization information": the simulator rejects some combinations of actions, which
        # are not documented.
        single_actions = (calls._replace(actions=[action]) for action in calls.actions)
        return [denial for single in single_actions for denial in simulate(aws, role_arn, single, documents)]
    results = [result for page in pages for result in page.get("EvaluationResults", [])]
    return [denial for result in results for denial in _denials(calls, result)]


def _not_simulated(calls: Calls, error: AwsApiError, suffix: str = "") -> Denial:
    reason = f"the policy simulator failed ({error.code}: {quoted(error.message)}){suffix}"
    return Denial(tuple(calls.actions), tuple(calls.resources), reason)


def _context_entry(key: str, value: str | bool) -> ContextEntryTypeDef:
    if isinstance(value, bool):
        return {"ContextKeyName": key, "ContextKeyType": "boolean", "ContextKeyValues": [str(value).lower()]}
    return {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}


def _denials(calls: Calls, result: EvaluationResultTypeDef) -> Iterator[Denial]:
    """Yield what one result does not allow."""
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
        blocker = _blocker(decision)
        missing_keys = {*(result.get("MissingContextValues") or ()), *(decision["MissingContextValues"] or ())}
        missing_keys = {key for key in missing_keys if key.lower() not in calls.absent_keys}
        action, resource = (result["EvalActionName"],), (decision["EvalResourceName"],)
        if blocker and not missing_keys:
            yield Denial(action, resource, blocker=blocker)
        else:
            is_implicit = not missing_keys and not _is_denied_by_organization(decision)
            reason = _reason_undecided(decision, blocker, sorted(missing_keys))
            yield Denial(action, resource, reason, is_implicit=is_implicit)


def _blocker(decision: dict[str, Any]) -> str:
    """Return what blocks the simulated call, to complete a sentence; empty if nothing certainly does."""
    if (decision.get("PermissionsBoundaryDecisionDetail") or {}).get("AllowedByPermissionsBoundary") is False:
        return "the role's permissions boundary"
    if decision["EvalResourceDecision"] != "explicitDeny":
        return ""
    policies = sorted({statement.get("SourcePolicyId") or "" for statement in decision.get("MatchedStatements") or ()})
    names = [policy for policy in policies if policy]
    if _is_denied_by_organization(decision) and not policies:
        # No statement on the role matched, so the deny is in the SCP.
        return ""
    return f"an explicit deny in {quoted(names[0]) if names else 'a policy of the role'}"


def _is_denied_by_organization(decision: dict[str, Any]) -> bool:
    return (decision["OrganizationsDecisionDetail"] or {}).get("AllowedByOrganizations") is False


def _reason_undecided(decision: dict[str, Any], blocker: str, missing_keys: list[str]) -> str:
    """Return why a denial proves nothing."""
    if missing_keys:
        denier = f" by {blocker}" if blocker else ""
        return f"denied{denier} in the policy simulator, but the context keys {', '.join(missing_keys)} were missing"
    if _is_denied_by_organization(decision):
        return (
            "denied by a service control policy (SCP) in the policy simulator, which evaluates SCPs without the context"
            " of the real call"
        )
    return "not allowed in the policy simulator, which does not report why"
