"""Whom a statement of a resource-based policy or of a trust policy is about.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
"""

from collections.abc import Iterable

from rotation_role_policy import arn
from rotation_role_policy.iam.document import Principals, Statement


def is_about_service(statement: Statement, service: str) -> bool:
    """Return whether the principals of a statement include a service, such as ``lambda.amazonaws.com``."""
    principals = statement.principals
    if principals is None:
        return False
    services, accounts = principals.names.get("Service", ()), principals.names.get("AWS", ())
    is_named = service in services or "*" in (*services, *accounts)
    return is_named != principals.is_negated


def is_about_role(
    statement: Statement, role_arn: str, *, has_boundary: bool | None, unique_id: str | None
) -> bool | None:
    """Return whether the principals of a statement include a role; None if that is not known.

    It can depend on the session, on the role's boundary, or on its unique ID.

    An Allow for the role's account alone is not for the role: it delegates to the policies of the role
    (`is_about_account`). A Deny for the account is for everybody in it.

    Args:
        statement: of a resource-based policy.
        role_arn: full ARN of the role, with its path.
        has_boundary: whether the role has a permissions boundary. A Deny with `NotPrincipal` then always applies. None
            if that is not known.
        unique_id: the role's ID, such as ``AROAEXAMPLE``. In a policy, the ID of a deleted role stands in place of its
            ARN, and a new role with the same name has another one. Empty if no statement names the role by its ID; None
            if the ID is not known.
    """
    principals = statement.principals
    if principals is None:
        return False
    may_be_named = unique_id is None and bool(unique_ids(statement))
    if not principals.is_negated:
        if _names(principals, role_arn, unique_id) or (
            statement.effect == "Deny" and _names_account(principals, role_arn)
        ):
            return True
        return None if may_be_named or _names_session(principals, role_arn) else False
    is_excepted = _names_account(principals, role_arn) or _names(principals, role_arn, unique_id)
    if not (is_excepted or may_be_named or _names_session(principals, role_arn)):
        return True
    if statement.effect == "Deny":
        # If the role is listed and its session is not, the service decides.
        return True if has_boundary else None
    # If only a session is excepted, the others are not.
    return False if is_excepted else None


def is_about_account(statement: Statement, role_arn: str) -> bool:
    """Return whether the principals of a statement name the account of a role, which delegates to its policies.

    With `NotPrincipal`, what counts is whether the role is excepted (`is_about_role`).
    """
    principals = statement.principals
    return principals is not None and not principals.is_negated and _names_account(principals, role_arn)


def unique_ids(statement: Statement) -> list[str]:
    """Return the roles that a statement lists by their unique ID.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
    """
    names = statement.principals.names.get("AWS", ()) if statement.principals else ()
    return [name for name in names if name.startswith("AROA")]


def account_names(role_arn: str) -> set[str]:
    """Return the forms in which a policy or a grant names the account of a role."""
    owner = arn.parse(role_arn)
    return {owner.account, f"arn:{owner.partition}:iam::{owner.account}:root"}


def session_prefix(role_arn: str) -> str:
    """Return the start of the ARN of each session of a role. A role of another account can have the same name."""
    owner = arn.parse(role_arn)
    return f"arn:{owner.partition}:sts::{owner.account}:assumed-role/{arn.role_name(role_arn)}/"


def _names(principals: Principals, role_arn: str, unique_id: str | None) -> bool:
    # No principal is None.
    return not {"*", role_arn, unique_id}.isdisjoint(principals.names.get("AWS", ()))


def _names_account(principals: Principals, role_arn: str) -> bool:
    return not account_names(role_arn).isdisjoint(principals.names.get("AWS", ()))


def _names_session(principals: Principals, role_arn: str) -> bool:
    return any(name.startswith(session_prefix(role_arn)) for name in principals.names.get("AWS", ()))


def can_assume(trust_policy: Iterable[Statement], service: str) -> bool:
    """Return whether a statement of a role's trust policy allows a service to assume the role.

    Conditions are not evaluated. Lambda checks them when it creates the function.
    """
    return any(
        statement.allows and is_about_service(statement, service) and statement.includes_action("sts:AssumeRole")
        for statement in trust_policy
    )
