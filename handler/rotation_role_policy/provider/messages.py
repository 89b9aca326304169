"""The provider's words for errors: the reasons in the stack's events.

Errors of calls are data (`errors`). What limits the provider's own calls, and where its log is, only the provider says.
"""

from rotation_role_policy.errors import (
    AccessDeniedError,
    CallError,
    DeadlineExceededError,
    SecretDeniedError,
    UndoFailedError,
    quoted,
)

_LIMITED_BY = {
    "secretsmanager": (
        "the secret's resource policy",
        "the provider's parameters SecretNamePattern and RequiredSecretTag",
    ),
    "iam:PutRolePolicy": (
        "the provider's parameters RoleNamePattern, RequiredRoleTag and RequiredRoleBoundaryArn. A role with the tag"
        " rotation-role-policy:provider belongs to a provider and gets no policy",
    ),
    "iam": ("the provider's parameter RoleNamePattern",),
    "kms": ("the key's policy",),
}
"""By action or by service: what limits the provider's calls, besides SCPs and a permissions boundary. The parameters
are those of template.yaml."""

DEADLINE_EXCEEDED = (
    "The provider function ran out of time, most likely because AWS throttled its calls. Try again. The provider's log"
    " shows how far it got."
)


def reason(error: Exception) -> str:
    """Return the reason in the stack's events for an error, or for the log if the request succeeds."""
    match error:
        case SecretDeniedError():
            return (
                f"{error.subject}: AWS denies the provider {error.action}. If the secret exists in {error.region},"
                f" check {_what_limits(error.action)}."
            )
        case AccessDeniedError():
            resource = f" on {quoted(error.resource)}" if error.resource else ""
            return f"AWS denies the provider {error.action}{resource}. Check {_what_limits(error.action)}."
        case CallError():
            return (
                f"{error.action} failed with {error.code}: {quoted(error.message)}. Try again. The provider's log has"
                " more details."
            )
        case DeadlineExceededError():
            return DEADLINE_EXCEEDED
        case UndoFailedError():
            return (
                f"The update failed, and the provider could not undo its change to the policy"
                f" {quoted(error.policy_name)} on the role {quoted(error.role_name)}. After the stack has rolled back,"
                f" remove this policy if the stack no longer names the role."
            )
    return str(error)


def _what_limits(action: str) -> str:
    """Return the end of an error message: what can deny `action` to the provider, most likely cause last."""
    limits = _LIMITED_BY.get(action) or _LIMITED_BY.get(action.split(":")[0], ())
    *others, last = ("SCPs", "the provider's permissions boundary", *limits)
    return f"{', '.join(others)}{',' if limits else ''} and {last}"
