"""Asks IAM's policy simulator, before the policy is written, whether anything certainly blocks what it grants.

Each statement of the new document is simulated together with all that is attached to the role. Two results are certain:
an explicit deny, and a permissions boundary that does not allow the action, if no context key was missing. Any other
denial is a warning. The simulator evaluates SCPs without the context of the real calls and does not report the keys
that it misses for them, so that an SCP alone proves nothing.

Sources: https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html,
https://github.com/aws/aws-cli/issues/10525
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws, is_throttling
from rotation_role_policy.errors import CallFailed, Kind, Refused, no_such_role, quoted
from rotation_role_policy.policy import Caller, Document, Grant, grants, via_service
from rotation_role_policy.policy_grammar import as_list
from rotation_role_policy.state import Secret, Situation

TRIES = 3
"""For a simulation that fails. `PolicyEvaluation` is an HTTP 500 that does not pass by itself."""

_SOURCE_FUNCTION = "lambda:SourceFunctionArn"
"""Only calls of a function's code have this context key.
https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html"""

Context = dict[str, str | bool]


class Simulation(NamedTuple):
    """One request to the simulator: each action on each resource, in a context."""

    actions: list[str]
    resources: list[str]
    context: Context
    absent: frozenset[str] = frozenset()
    """Context keys that the real call does not have either: to miss them leaves nothing open."""


@dataclass(frozen=True)
class AccessWarning:
    """A grant of which the simulator could not prove that it takes effect, nor that it does not."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    why: str

    def __str__(self) -> str:
        on = ", ".join(quoted(resource) for resource in self.resources)
        return f"{', '.join(self.actions)} on {on}: {self.why}"


def check_access(aws: Aws, situation: Situation, document: Document) -> list[AccessWarning]:
    """Raise `Refused` if a grant of `document` is certainly blocked; return what the simulator leaves open.

    The reason has the action, the resource and what blocks it. The number of simulations is that of the statements that
    allow something; a statement for secrets of different tags takes one for each set of tags, a statement for a key one
    for each secret under it.
    Source of the rule: contract, section 6.
    """
    # The policy's own Deny is about other callers; what others deny is the question here.
    allowed = [statement for statement in document["Statement"] if statement["Effect"] == "Allow"]
    text = json.dumps({**document, "Statement": allowed}, separators=(",", ":"))
    warnings = []
    wanted = (grant for grant in grants(situation) if grant.statement["Effect"] == "Allow")
    for simulation in (simulation for grant in wanted for simulation in _simulations(situation, grant)):
        try:
            warnings += _run(aws, situation.role.arn, text, simulation)
        except CallFailed as failure:
            if is_throttling(failure.code):
                raise
            # It would fail for the others too, and take its time.
            return [*warnings, _unanswered(simulation, failure, "; no further grant was simulated")]
    return warnings


def _simulations(situation: Situation, grant: Grant) -> Iterator[Simulation]:
    """The calls that a grant is about, with the context that they have, as far as it is known."""
    actions, resources = grant.statement["Action"], as_list(grant.statement["Resource"])
    context: Context = {
        # What SCPs and boundaries ask for most.
        "aws:PrincipalAccount": arn.parse(situation.role.arn).account,
        "aws:PrincipalArn": situation.role.arn,
        "aws:PrincipalIsAWSService": False,
        "aws:RequestedRegion": arn.parse(situation.secrets[0].arn).region,
        "aws:SecureTransport": True,
        "aws:ViaAWSService": grant.caller is Caller.SECRETS_MANAGER,
    }
    if resources != ["*"]:
        context["aws:ResourceAccount"] = arn.parse(resources[0]).account
    match grant.caller:
        case Caller.SECRETS_MANAGER:
            for secret in grant.secrets:
                of_secret: Context = {
                    "kms:EncryptionContext:SecretARN": secret.arn,
                    "kms:ViaService": via_service(secret, situation.dns_suffix),
                }
                yield Simulation(actions, resources, context | of_secret)
        case Caller.LAMBDA:
            yield Simulation(actions, resources, context, absent=frozenset({_SOURCE_FUNCTION.lower()}))
        case Caller.FUNCTION_CODE:
            if situation.function_arn:
                context[_SOURCE_FUNCTION] = situation.function_arn
            for tagged, of_tags in _by_tags(grant.secrets):
                yield Simulation(actions, [secret.arn for secret in tagged], context | of_tags)
            if not grant.secrets:
                yield Simulation(actions, resources, context)


def _by_tags(secrets: tuple[Secret, ...]) -> Iterator[tuple[list[Secret], Context]]:
    """Secrets with the same tags, and these tags as the context of calls about the secrets."""
    for tags in dict.fromkeys(secret.tags for secret in secrets):
        # IAM takes a condition key in any case, and each key once.
        once = {key.lower(): (key, value) for key, value in reversed(tags)}
        context: Context = {
            f"{service}:ResourceTag/{key}": value
            for key, value in sorted(once.values())
            for service in ("aws", "secretsmanager")
        }
        yield [secret for secret in secrets if secret.tags == tags], context


def _run(aws: Aws, role_arn: str, document: str, simulation: Simulation) -> list[AccessWarning]:
    """Simulate. Raise `Refused` for what is certainly blocked, return what is left open.

    Raises `CallFailed` if the simulator does not answer.
    """
    try:
        results = list(
            aws.items(
                "SimulatePrincipalPolicy",
                "EvaluationResults",
                tries=TRIES,
                PolicySourceArn=role_arn,
                PolicyInputList=[document],
                ActionNames=simulation.actions,
                ResourceArns=simulation.resources,
                ContextEntries=[_context_entry(key, value) for key, value in simulation.context.items()],
            )
        )
    except CallFailed as failure:
        if failure.code == "NoSuchEntity":
            raise no_such_role(role_arn) from failure
        if failure.code != "InvalidInput":
            raise
        if len(simulation.actions) == 1:
            return [_unanswered(simulation, failure)]
        # "... require different authorization information": the simulator does not take every mix of actions, and does
        # not document which.
        apart = (simulation._replace(actions=[action]) for action in simulation.actions)
        return [warning for one in apart for warning in _run(aws, role_arn, document, one)]
    return [warning for result in results for warning in _warnings(role_arn, simulation, result)]


def _unanswered(simulation: Simulation, failure: CallFailed, more: str = "") -> AccessWarning:
    why = f"the policy simulator could not say ({failure.code}: {quoted(failure.message)}){more}"
    return AccessWarning(tuple(simulation.actions), tuple(simulation.resources), why)


def _context_entry(key: str, value: str | bool) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"ContextKeyName": key, "ContextKeyType": "boolean", "ContextKeyValues": [str(value).lower()]}
    return {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}


def _warnings(role_arn: str, simulation: Simulation, result: dict[str, Any]) -> Iterator[AccessWarning]:
    """What one result of the simulator leaves open. Raise `Refused` if it, or one of its resources, is blocked."""
    # Without results of its resources the result speaks for them. Its own name can be a template of an ARN.
    name = result.get("EvalResourceName")
    name = name if name in simulation.resources else simulation.resources[0]
    whole = {**result, "EvalResourceDecision": result["EvalDecision"], "EvalResourceName": name}
    # The effect of SCPs, and the missing context keys, may stand at the top alone.
    at_the_top = {
        "OrganizationsDecisionDetail": result.get("OrganizationsDecisionDetail"),
        "MissingContextValues": result.get("MissingContextValues"),
    }
    for one in result.get("ResourceSpecificResults") or [whole]:
        verdict = at_the_top | one
        if verdict["EvalResourceDecision"] == "allowed":
            continue
        blocker = _blocker(verdict)
        missing = {*(result.get("MissingContextValues") or ()), *(verdict["MissingContextValues"] or ())}
        missing = {key for key in missing if key.lower() not in simulation.absent}
        action, resource = result["EvalActionName"], one["EvalResourceName"]
        if blocker and not missing:
            raise Refused(
                f"AccessCheck: role {quoted(arn.role_name(role_arn))}: {action} on {quoted(resource)} is blocked by"
                f" {blocker}. Allow it there, or set AccessCheck to Off.",
                Kind.BLOCKED,
            )
        yield AccessWarning((action,), (resource,), _why_open(verdict, blocker, sorted(missing)))


def _blocker(verdict: dict[str, Any]) -> str:
    """What blocks the simulated call for certain, in words, if no context key was missing; empty if nothing does."""
    if (verdict.get("PermissionsBoundaryDecisionDetail") or {}).get("AllowedByPermissionsBoundary") is False:
        return "the role's permissions boundary"
    if verdict["EvalResourceDecision"] != "explicitDeny":
        return ""
    policies = sorted({statement.get("SourcePolicyId") or "" for statement in verdict.get("MatchedStatements") or ()})
    named = [policy for policy in policies if policy]
    if _is_denied_by_organization(verdict) and not policies:
        # No statement of the role's own matched: the deny is the SCP's.
        return ""
    return f"an explicit deny in {quoted(named[0]) if named else 'a policy of the role'}"


def _is_denied_by_organization(verdict: dict[str, Any]) -> bool:
    return (verdict["OrganizationsDecisionDetail"] or {}).get("AllowedByOrganizations") is False


def _why_open(verdict: dict[str, Any], blocker: str, missing: list[str]) -> str:
    """Why a denial is no proof."""
    if missing:
        by = f" by {blocker}" if blocker else ""
        return f"denied{by} in the policy simulator, which was not given {', '.join(missing)}"
    if _is_denied_by_organization(verdict):
        return (
            "denied by a service control policy (SCP) in the policy simulator, which evaluates SCPs without the context"
            " of the real call"
        )
    return "not allowed in the policy simulator, which does not say what denies it"
