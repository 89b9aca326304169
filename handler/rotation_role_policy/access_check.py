"""Proves before the policy is written that nothing blocks what it grants.

The new document is simulated together with all that is attached to the role. A permissions boundary, an SCP or an
explicit deny that blocks a grant is certain. An implicit deny alone proves nothing: the simulator does not know every
context key (contract, `AccessCheck`).

Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.aws import Aws
from rotation_role_policy.errors import CallFailed, Refused, no_such_role, shown
from rotation_role_policy.policy import Document
from rotation_role_policy.situation import Role, Situation


class Grant(NamedTuple):
    """One action on one resource, as a document grants it."""

    action: str
    resource: str


def refuse_blocked(aws: Aws, situation: Situation, document: Document) -> None:
    """Raises `Refused` where a grant of `document` would be blocked, with the action, the resource and what blocks it.

    One SimulatePrincipalPolicy for the whole document; one for each secret where several are under customer managed
    keys, because the encryption context names the secret.
    """
    # Our own Deny is about calls of the function's code; what others deny is the question here.
    allowed = [statement for statement in document["Statement"] if statement["Effect"] == "Allow"]
    text = json.dumps({**document, "Statement": allowed}, separators=(",", ":"))
    for grants, context in _simulations(situation, allowed):
        for verdict in _simulate(aws, situation.role, text, grants, context):
            if verdict.grant in grants and verdict.blocker:
                raise Refused(
                    f"AccessCheck: role {shown(situation.role.name)}: {verdict.grant.action} on"
                    f" {shown(verdict.grant.resource)} is blocked by {verdict.blocker}. Allow it there, or set"
                    f" AccessCheck to Off."
                )


def _simulations(situation: Situation, allowed: list[Any]) -> Iterator[tuple[list[Grant], dict[str, str]]]:
    """The grants of the document, each with the context that its calls will have."""
    secrets = (*situation.secrets, *([situation.superuser_secret] if situation.superuser_secret else ()))
    region = arn.parse(secrets[0].arn).region
    common = {
        # What SCPs and boundaries ask for most, with the values of the rotation's own calls.
        "aws:RequestedRegion": region,
        "aws:PrincipalArn": situation.role.arn,
        "aws:SecureTransport": "true",
    }
    grants = [
        # A grant on "*" is tried on the first secret: any resource will do.
        Grant(action, secrets[0].arn if resource == "*" else resource)
        for statement in allowed
        for action in statement["Action"]
        for resource in ([statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"])
    ]
    of_keys = [grant for grant in grants if grant.action.startswith("kms:")]
    others = [grant for grant in grants if grant not in of_keys]
    for secret in [secret for secret in secrets if secret.key_arn]:
        use_of_key = {
            "kms:EncryptionContext:SecretARN": secret.arn,
            "kms:ViaService": f"secretsmanager.{region}.{situation.dns_suffix}",
        }
        yield [*others, *(grant for grant in of_keys if grant.resource == secret.key_arn)], common | use_of_key
        others = []
    if others:
        yield others, common


class _Verdict(NamedTuple):
    grant: Grant
    blocker: str
    """What certainly blocks the grant, in words; empty where nothing does."""


def _simulate(aws: Aws, role: Role, document: str, grants: list[Grant], context: dict[str, str]) -> Iterator[_Verdict]:
    """The verdicts on every action of `grants` with every resource of them, more than was asked for."""
    actions = list(dict.fromkeys(grant.action for grant in grants))
    try:
        results = list(
            aws.items(
                "iam",
                "SimulatePrincipalPolicy",
                "EvaluationResults",
                PolicySourceArn=role.arn,
                PolicyInputList=[document],
                ActionNames=actions,
                ResourceArns=list(dict.fromkeys(grant.resource for grant in grants)),
                ContextEntries=[
                    {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}
                    for key, value in context.items()
                ],
            )
        )
    except CallFailed as failure:
        if failure.code == "NoSuchEntity":
            raise no_such_role(role.arn) from failure
        if failure.code != "InvalidInput" or len(actions) == 1:
            raise
        # "... require different authorization information": the simulator does not take every mix of actions, and does
        # not document which. Each half is tried by itself.
        for half in (actions[: len(actions) // 2], actions[len(actions) // 2 :]):
            yield from _simulate(aws, role, document, [grant for grant in grants if grant.action in half], context)
        return
    for result in results:
        yield from _verdicts(result)


def _verdicts(result: dict[str, Any]) -> Iterator[_Verdict]:
    """The verdicts in one EvaluationResult: one for each resource where it says so, else one for the whole.

    Since 2026 the top level is the aggregate of all resources, so a resource's own result comes first; the effect of
    SCPs stands at the top alone, and cannot have blocked a resource whose own decision is `allowed`.
    """
    action = result["EvalActionName"]
    whole = {"EvalResourceName": "", **result, "EvalResourceDecision": result["EvalDecision"]}
    for one in result.get("ResourceSpecificResults") or [whole]:
        of_organization = {"OrganizationsDecisionDetail": result.get("OrganizationsDecisionDetail")}
        yield _Verdict(Grant(action, one["EvalResourceName"]), _blocker(of_organization | one))


def _blocker(verdict: dict[str, Any]) -> str:
    """What certainly blocks a resource's simulated call, in words; empty where nothing does."""
    if verdict["EvalResourceDecision"] == "allowed":
        return ""
    if (verdict.get("PermissionsBoundaryDecisionDetail") or {}).get("AllowedByPermissionsBoundary") is False:
        return "the role's permissions boundary"
    if (verdict.get("OrganizationsDecisionDetail") or {}).get("AllowedByOrganizations") is False:
        return "a service control policy (SCP)"
    if verdict["EvalResourceDecision"] == "explicitDeny":
        policies = {statement.get("SourcePolicyId", "") for statement in verdict.get("MatchedStatements", ())}
        names = ", ".join(sorted(policies - {""}))
        return f"an explicit deny in {shown(names) if names else 'a policy of the role'}"
    return ""
