"""Policies for tests, and MiniStack's evaluator of policies as a second opinion."""

from collections.abc import Iterable, Mapping
from typing import Any

from ministack.core.iam_evaluator import (
    EvalContext,
    EvalResult,
    combine_resource_policy,
    evaluate,
    parse_policy_document,
)

from rotation_role_policy.iam.document import Policy, PolicyKind, PolicyName


def inline(document: Any, name: str = "policy") -> Policy:
    """Return an inline policy with a document."""
    return Policy(PolicyName(PolicyKind.INLINE, name), document)


def boundary_with(document: Any) -> Policy:
    """Return a permissions boundary with a document."""
    return Policy(PolicyName(PolicyKind.BOUNDARY, "arn:aws:iam::123456789012:policy/boundary"), document)


def decision(
    documents: Iterable[Any], action: str, resource: str, context: Mapping[str, Any], *, boundary: Any = None
) -> str:
    """Return ``Allow``, ``Deny`` or ``ImplicitDeny`` for a call of a rotation function's role.

    Args:
        documents: the policies of the role.
        action: IAM action of the call.
        resource: ARN of the resource.
        context: context keys and their values.
        boundary: the permissions boundary of the role.
    """
    request = EvalContext(
        principal_arn="arn:aws:sts::123456789012:assumed-role/rotation-role/rotate-db",
        principal_type="AssumedRole",
        principal_account="123456789012",
        action=action,
        resource_arn=resource,
        region="eu-central-1",
        service_context={key.lower(): value for key, value in context.items()},
    )
    policies = [parse_policy_document(document) for document in documents]
    limits = [] if boundary is None else [[parse_policy_document(boundary)]]
    return str(evaluate(request, policies, *limits).decision)


def decision_with_resource_policy(resource_policy: Any, action: str, resource: str, context: Mapping[str, Any]) -> str:
    """As `decision`, for a role whose own policies allow the call, and a resource that has a policy.

    The evaluator gets the role in place of its session, because AWS compares `aws:PrincipalArn` with the role. It does
    not know `NotPrincipal`.
    """
    request = EvalContext(
        principal_arn="arn:aws:iam::123456789012:role/rotation-role",
        principal_type="AssumedRole",
        principal_account="123456789012",
        action=action,
        resource_arn=resource,
        region="eu-central-1",
        source_ip="10.0.0.1",
        secure_transport=True,
        service_context={key.lower(): value for key, value in context.items()},
    )
    is_key = resource.split(":")[2] == "kms"
    combined = combine_resource_policy(EvalResult("Allow"), request, resource_policy, "123456789012", required=is_key)
    return str(combined.decision)
