"""What the resource policies of secrets and keys block, or may block, and the words for it.

A statement is named by its Sid or its number. Its content may not be for everybody who sees the stack's events.
"""

from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

from rotation_role_policy.errors import ErrorCode, RequestError, quoted, quoted_text
from rotation_role_policy.iam.document import Statement
from rotation_role_policy.iam.resource_policies import is_key
from rotation_role_policy.rules.state import Role


class DoubtKind(Enum):
    """Why a resource policy leaves open whether it blocks calls."""

    DENIAL_OPEN = auto()
    """Whether a Deny applies depends on something that is not known."""
    ALLOW_OPEN = auto()
    """Whether the only Allow applies depends on something that is not known."""
    SECOND_POLICY = auto()
    """The policy of the key allows nothing, but the key has a second policy."""
    ALLOWANCE_NOT_READ = auto()
    """The policy of the key allows nothing, but the key can have a grant, or a second policy."""
    ONLY_PREVIOUS = auto()
    """The call is blocked, but only for the version AWSPREVIOUS, which not every rotation function reads."""
    NOT_READ = auto()
    """The policy was not read."""


class PolicyDoubt(NamedTuple):
    """Calls of which it is not known whether the resource policy of a secret or key blocks them."""

    actions: tuple[str, ...]
    resources: tuple[str]
    """The secret or the key."""
    kind: DoubtKind
    role_arn: str
    statements: tuple[Statement, ...] = ()
    """The statements on which the result depends."""
    failure: str = ""
    """AWS's error, if something was not read."""

    @property
    def doubt(self) -> str:
        """Why it is not known, to complete a sentence."""
        [resource] = self.resources
        policy = _policy_of(resource)
        statements = " or ".join(_named(each) for each in self.statements)
        match self.kind:
            case DoubtKind.DENIAL_OPEN:
                return f"it is not known whether {statements} in {policy} denies the call"
            case DoubtKind.ALLOW_OPEN:
                return f"it is not known whether {statements} in {policy} allows the call, and no other statement does"
            case DoubtKind.SECOND_POLICY:
                return f"{policy} does not allow the call, and the key's second policy cannot be read"
            case DoubtKind.ALLOWANCE_NOT_READ:
                return (
                    f"{policy} does not allow the call, and it is not known whether a grant or a second policy does"
                    f" ({self.failure}); otherwise {_must_allow(self.actions, self.role_arn)}"
                )
            case DoubtKind.ONLY_PREVIOUS:
                return (
                    f"blocked by {policy}, but only the version AWSPREVIOUS needs this key. AWS's single-user rotation"
                    " functions read it"
                )
            case DoubtKind.NOT_READ:
                suffix = f"; {_must_allow(self.actions, self.role_arn)}" if is_key(resource) else ""
                return f"{policy} was not read ({self.failure}){suffix}"

    def __str__(self) -> str:
        [resource] = self.resources
        return f"{', '.join(self.actions)} on {quoted(resource)}: {self.doubt}"


def denied(
    role: Role, resource: str, actions: Sequence[str], statement: Statement, secrets: Sequence[str]
) -> RequestError:
    """Return the error for calls that a Deny blocks. Arguments as for `not_allowed`, and the Deny."""
    return RequestError(
        f"{_calls(role, resource, actions, secrets)} blocked by {_named(statement)} in {_policy_of(resource)}. Exclude"
        f" {quoted(role.arn)} from this statement (ArnNotEquals on aws:PrincipalArn), or set AccessCheck to Off.",
        ErrorCode.ACCESS_CHECK_FAILED,
    )


def not_allowed(role: Role, key_arn: str, actions: Sequence[str], secrets: Sequence[str]) -> RequestError:
    """Return the error for calls that neither the policy of a key nor a grant allows.

    Args:
        role: makes the calls.
        key_arn: the key.
        actions: the blocked actions.
        secrets: those under the key for which the calls are blocked, if they are not blocked for all.
    """
    them = "it" if len(actions) == 1 else "them"
    return RequestError(
        f"{_calls(role, key_arn, actions, secrets)} blocked by {_policy_of(key_arn)}, which allows {them} neither to"
        f" the role nor to its account. No grant does. Allow {them} there to {quoted(role.arn)}, or set AccessCheck to"
        " Off.",
        ErrorCode.ACCESS_CHECK_FAILED,
    )


def _calls(role: Role, resource: str, actions: Sequence[str], secrets: Sequence[str]) -> str:
    only = f" for {quoted(secrets[0])}" if secrets else ""
    only += f" and {len(secrets) - 1} more" if len(secrets) > 1 else ""
    are = "is" if len(actions) == 1 else "are"
    return f"AccessCheck: role {quoted(role.name)}: {_and(actions)} on {quoted(resource)}{only} {are}"


def _must_allow(actions: Sequence[str], role_arn: str) -> str:
    return f"the key's policy must allow {_and(actions)} to {quoted(role_arn)} or to its account"


def _policy_of(resource: str) -> str:
    return "the policy of the key" if is_key(resource) else "the resource policy of the secret"


def _named(statement: Statement) -> str:
    # AWS does not limit the length of a Sid.
    return f"the statement {quoted_text(statement.sid)}" if statement.sid else f"statement {statement.number}"


def _and(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
