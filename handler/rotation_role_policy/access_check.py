"""Asks IAM's policy simulator, before the policy is written, whether anything blocks what it grants.

Each statement of the new document is simulated together with all that is attached to the role. What a permissions
boundary, an SCP or an explicit deny blocks is refused. An implicit deny alone proves nothing: the simulator does not
know every context key.

Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

import json
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.aws import Aws
from rotation_role_policy.errors import CallFailed, Kind, Refused, no_such_role, shown
from rotation_role_policy.grammar import as_list
from rotation_role_policy.log import facts
from rotation_role_policy.policy import Document, Statement, via_service
from rotation_role_policy.situation import Situation

logger = logging.getLogger(__name__)

_BLOCKER_CHARACTERS = 40


class Simulation(NamedTuple):
    """One request to the simulator: each action on each resource, in a context."""

    actions: list[str]
    resources: list[str]
    context: dict[str, str | bool]


def refuse_blocked(aws: Aws, situation: Situation, document: Document) -> None:
    """Raises `Refused` where a grant of `document` would be blocked, with the action, the resource and what blocks it.

    One SimulatePrincipalPolicy for each statement that allows something; for a key, one for each secret under it.
    """
    # Our own Deny is about calls of the function's code; what others deny is the question here.
    allowed = [statement for statement in document["Statement"] if statement["Effect"] == "Allow"]
    text = json.dumps({**document, "Statement": allowed}, separators=(",", ":"))
    for statement in allowed:
        for simulation in _simulations(situation, statement):
            for result in _simulate(aws, situation.role.arn, text, simulation):
                _refuse_if_blocked(situation.role.name, simulation, result)


def _simulations(situation: Situation, statement: Statement) -> Iterator[Simulation]:
    """The statement's grants with the context that the rotation's calls have, as far as it can be known."""
    actions, resource = statement["Action"], statement["Resource"]
    resources = as_list(resource)
    account = arn.parse(situation.role.arn).account
    context: dict[str, str | bool] = {
        # What SCPs and boundaries ask for most.
        "aws:PrincipalAccount": account,
        "aws:PrincipalArn": situation.role.arn,
        "aws:PrincipalIsAWSService": False,
        "aws:RequestedRegion": arn.parse(situation.secrets[0].arn).region,
        "aws:SecureTransport": True,
        "aws:ViaAWSService": False,
    }
    if resource != "*":
        context["aws:ResourceAccount"] = arn.parse(resources[0]).account
    if not actions[0].startswith("kms:"):
        yield Simulation(actions, resources, context)
        return
    for secret in situation.all_secrets:
        if secret.key_arn == resource:
            of_secret: dict[str, str | bool] = {
                "aws:ViaAWSService": True,
                "kms:EncryptionContext:SecretARN": secret.arn,
                "kms:ViaService": via_service(secret, situation.dns_suffix),
            }
            yield Simulation(actions, resources, context | of_secret)


def _simulate(aws: Aws, role_arn: str, document: str, simulation: Simulation) -> Iterator[dict[str, Any]]:
    """The simulator's EvaluationResults."""
    try:
        yield from list(
            aws.items(
                "SimulatePrincipalPolicy",
                "EvaluationResults",
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
            # What the simulator cannot judge is not proven to be blocked.
            logger.warning("not simulated", extra=facts(actions=simulation.actions, aws=failure.message))
            return
        # "... require different authorization information": the simulator does not take every mix of actions, and does
        # not document which.
        for action in simulation.actions:
            yield from _simulate(aws, role_arn, document, simulation._replace(actions=[action]))


def _context_entry(key: str, value: str | bool) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"ContextKeyName": key, "ContextKeyType": "boolean", "ContextKeyValues": [str(value).lower()]}
    return {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}


def _refuse_if_blocked(role_name: str, simulation: Simulation, result: dict[str, Any]) -> None:
    """Raises `Refused` for a result, or for the first of its resources, that is certainly blocked."""
    # Without results of its resources the result speaks for them. Its own name can be a template of an ARN.
    name = result.get("EvalResourceName")
    name = name if name in simulation.resources else simulation.resources[0]
    whole = {**result, "EvalResourceDecision": result["EvalDecision"], "EvalResourceName": name}
    for one in result.get("ResourceSpecificResults") or [whole]:
        # The effect of SCPs may stand at the top alone.
        of_organization = {"OrganizationsDecisionDetail": result.get("OrganizationsDecisionDetail")}
        if blocker := _blocker(of_organization | one):
            raise Refused(
                f"AccessCheck: role {shown(role_name)}: {result['EvalActionName']} on {shown(one['EvalResourceName'])}"
                f" is blocked by {blocker}. Allow it there, or set AccessCheck to Off.",
                Kind.BLOCKED,
            )


def _blocker(result: dict[str, Any]) -> str:
    """What certainly blocks the simulated call, in words; empty where nothing does."""
    if result["EvalResourceDecision"] == "allowed":
        return ""
    if (result.get("PermissionsBoundaryDecisionDetail") or {}).get("AllowedByPermissionsBoundary") is False:
        return "the role's permissions boundary"
    if (result.get("OrganizationsDecisionDetail") or {}).get("AllowedByOrganizations") is False:
        return "a service control policy (SCP)"
    if result["EvalResourceDecision"] == "explicitDeny":
        policies = sorted({statement.get("SourcePolicyId", "") for statement in result.get("MatchedStatements", ())})
        named = [policy for policy in policies if policy]
        return f"an explicit deny in {shown(named[0], _BLOCKER_CHARACTERS) if named else 'a policy of the role'}"
    return ""
