"""Whether a grant on a KMS key can allow a call.

Source: https://docs.aws.amazon.com/kms/latest/developerguide/grants.html,
https://docs.aws.amazon.com/kms/latest/APIReference/API_GrantConstraints.html
"""

from collections.abc import Mapping
from typing import Any

from rotation_role_policy.iam.principals import account_names, session_prefix


def is_for_role(grant: Mapping[str, Any], role_arn: str) -> bool:
    """Return whether the grantee of a grant is a role, a session of it, or its account.

    Whether a grant to the account reaches a role is not documented, so it counts, as does a grant without a grantee.
    """
    grantee = str(grant.get("GranteePrincipal", role_arn))
    return grantee in {role_arn, *account_names(role_arn)} or grantee.startswith(session_prefix(role_arn))


def can_allow(grant: Mapping[str, Any], action: str, encryption_context: Mapping[str, str | None]) -> bool:
    """Return whether a grant can allow a call: its operation, and the constraints on the encryption context.

    Args:
        grant: one of the `Grants` of ListGrants, of the caller's principal.
        action: IAM action of the call, such as ``kms:Decrypt``.
        encryption_context: of the call, complete. A value is None if it is not known.
    """
    if action.removeprefix("kms:") not in grant.get("Operations", ()):
        return False
    # Of other constraints, such as SourceArn, it is not known whether they match.
    constraints = grant.get("Constraints", {})
    subset, equal = constraints.get("EncryptionContextSubset", {}), constraints.get("EncryptionContextEquals")
    if equal is not None and equal.keys() != encryption_context.keys():
        return False
    return all(
        key in encryption_context and encryption_context[key] in (None, value)
        for key, value in (*subset.items(), *(equal or {}).items())
    )
