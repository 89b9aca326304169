"""Read the resource policies of the secrets and the keys, before the policy is written, and find out what they block.

The policy simulator evaluates no resource policies for roles. Only what is certain is an error: a Deny that applies to
the role in every case, and the policy of a key that neither allows the role nor delegates to the policies of its
account, if no grant and no second policy can allow the calls. Everything else is a warning.

Calls: one for each secret, one for each customer managed key of the role's account, two more where a key would be
refused, and one for the role if a statement depends on it.

Sources: docs/policy.md, "The access check",
https://docs.aws.amazon.com/kms/latest/developerguide/control-access.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.aws.errors import is_throttling
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, quoted
from rotation_role_policy.iam.document import Policy, Statement
from rotation_role_policy.iam.evaluation import Calls
from rotation_role_policy.iam.key_grants import can_allow, is_for_role
from rotation_role_policy.iam.resource_policies import (
    CallingRole,
    PolicyDecision,
    decide,
    depends_on_identity,
    is_key,
    resource_policy_of,
)
from rotation_role_policy.rules.resource_policy_calls import (
    encryption_context,
    resource_policy_calls,
    with_certain_context,
)
from rotation_role_policy.rules.state import Role, State
from rotation_role_policy.rules.statements import SECRET_ARN_KEY
from rotation_role_policy.write.resource_policy_results import DoubtKind, PolicyDoubt, denied, not_allowed

if TYPE_CHECKING:
    from types_boto3_kms.type_defs import GrantListEntryTypeDef

MAX_GRANT_PAGES = 5
"""Pages of 100 grants that are read. A key can have 50,000."""
MAX_ATTEMPTS = 3
"""Attempts at a call that fails. The access check can do without its result."""

Value = TypeVar("Value")


class _UnusableError(Exception):
    """A response of AWS cannot be used. `str()` of the error says why, without a part of the response."""


class _Unread(NamedTuple):
    """A call that failed."""

    failure: str


class _Decided(NamedTuple):
    """What a policy says about one action on a secret, or on a key for one secret."""

    calls: Calls
    decision: PolicyDecision

    @property
    def secret_arn(self) -> str:
        [resource] = self.calls.resources
        return str(self.calls.context.get(SECRET_ARN_KEY, resource))


def check_resource_policies(aws: Aws, state: State) -> list[PolicyDoubt]:
    """Evaluate the resource policies for the calls of a rotation, and return what they leave open.

    Args:
        aws: makes the calls.
        state: determines the role, the secrets and the keys.

    Raises:
        RequestError: a resource policy certainly blocks calls. The message has the policy, the statement and the
            actions.
        AwsApiError: AWS throttles a call.
    """
    check = _Check(aws, state)
    return [
        doubt for resource, calls in resource_policy_calls(state).items() for doubt in check.resource(resource, calls)
    ]


class _Check:
    """The check of one state. The role is described at most once."""

    def __init__(self, aws: Aws, state: State) -> None:
        self.aws = aws
        self.state = state
        self.described_role: CallingRole | None = None

    def resource(self, resource: str, calls: list[Calls]) -> Iterator[PolicyDoubt]:
        """Yield what the policy of a secret or key leaves open. Raise an error for what it blocks."""
        policy = _attempt(lambda: _read_policy(self.aws, resource))
        if isinstance(policy, _Unread):
            actions = (action for of_secret in calls for action in of_secret.actions)
            yield self._doubt(resource, actions, DoubtKind.NOT_READ, failure=policy.failure)
            return
        decided = [each for of_secret in calls for each in self._decide(policy, of_secret)]
        essential = [each for each in decided if not self._is_dispensable(each)]
        if statement := next((each.decision.denied_by for each in essential if each.decision.denied_by), None):
            blocked = [each for each in essential if each.decision.denied_by == statement]
            raise denied(self.state.role, resource, _actions(blocked), statement, _only(blocked, decided))
        if dispensable := [each for each in decided if each.decision.denied_by]:
            yield self._doubt(resource, _actions(dispensable), DoubtKind.ONLY_PREVIOUS)
        yield from self._open(resource, decided, DoubtKind.DENIAL_OPEN, lambda each: each.open_denials)
        if is_key(resource):
            open_ = [each for each in decided if each.decision.is_allowed is None]
            yield from self._open(resource, open_, DoubtKind.ALLOW_OPEN, lambda each: each.open_allows)
            yield from self._not_allowed(policy, decided)

    def _decide(self, policy: Policy, calls: Calls) -> Iterator[_Decided]:
        contexts = with_certain_context(self.state, calls, policy)
        # An Allow for the account counts, because the policy that is to be written allows the calls.
        decisions = decide(policy, self.role, *contexts, account_delegates=True)
        if self.described_role is None and any(self._depends_on_identity(each, calls) for each in decisions):
            self.described_role = _describe(self.aws, self.state.role)
            decisions = decide(policy, self.role, *contexts, account_delegates=True)
        for decision in decisions:
            yield _Decided(calls, decision)

    def _depends_on_identity(self, decision: PolicyDecision, calls: Calls) -> bool:
        # An Allow of a secret is not needed.
        statements = decision.open_denials + (decision.open_allows if is_key(*calls.resources) else ())
        return any(depends_on_identity(statement, self.state.role.arn) for statement in statements)

    @property
    def role(self) -> CallingRole:
        """What is known about the role."""
        return self.described_role or CallingRole(self.state.role.arn, has_boundary=None, unique_id=None)

    def _open(
        self,
        resource: str,
        decided: Iterable[_Decided],
        kind: DoubtKind,
        statements_of: Callable[[PolicyDecision], tuple[Statement, ...]],
    ) -> Iterator[PolicyDoubt]:
        """Yield a doubt for all actions that depend on the same statements."""
        by_statements: dict[tuple[int, ...], list[_Decided]] = {}
        for each in decided:
            if statements := statements_of(each.decision):
                by_statements.setdefault(tuple(statement.number for statement in statements), []).append(each)
        for same in by_statements.values():
            yield self._doubt(resource, _actions(same), kind, statements_of(same[0].decision))

    def _not_allowed(self, policy: Policy, decided: list[_Decided]) -> Iterator[PolicyDoubt]:
        """Yield what a grant or a second policy of a key may allow. Raise an error if nothing can allow a call."""
        key_arn = policy.name.name
        blocked = [each for each in decided if each.decision.is_allowed is False and not each.decision.denied_by]
        if not blocked:
            return
        # Whether such an Allow is for the sessions of a role that it lists is not documented.
        if allows := tuple(each for each in policy.statements if each.allows and _excepts(each)):
            yield self._doubt(key_arn, _actions(blocked), DoubtKind.ALLOW_OPEN, allows)
            return
        grants = _attempt(lambda: _grants(self.aws, key_arn, self.state.role.arn))
        if isinstance(grants, _Unread):
            yield self._doubt(key_arn, _actions(blocked), DoubtKind.ALLOWANCE_NOT_READ, failure=grants.failure)
            return
        blocked = [each for each in blocked if not any(_can_allow(grant, each) for grant in grants)]
        if not blocked:
            return
        names = _attempt(lambda: _policy_names(self.aws, key_arn))
        if isinstance(names, _Unread):
            yield self._doubt(key_arn, _actions(blocked), DoubtKind.ALLOWANCE_NOT_READ, failure=names.failure)
        elif set(names) - {"default"}:
            yield self._doubt(key_arn, _actions(blocked), DoubtKind.SECOND_POLICY)
        elif essential := [each for each in blocked if not self._is_dispensable(each)]:
            raise not_allowed(self.state.role, key_arn, _actions(essential), _only(essential, decided))
        else:
            yield self._doubt(key_arn, _actions(blocked), DoubtKind.ONLY_PREVIOUS)

    def _is_dispensable(self, decided: _Decided) -> bool:
        """Return whether only the version AWSPREVIOUS of a secret needs the key, which not every function reads."""
        secrets = {secret.arn: secret for secret in self.state.all_secrets}
        return decided.calls.resources[0] in secrets[decided.secret_arn].previous_key_arns

    def _doubt(
        self,
        resource: str,
        actions: Iterable[str],
        kind: DoubtKind,
        statements: tuple[Statement, ...] = (),
        failure: str = "",
    ) -> PolicyDoubt:
        return PolicyDoubt(tuple(dict.fromkeys(actions)), (resource,), kind, self.state.role.arn, statements, failure)


def _excepts(statement: Statement) -> bool:
    return statement.principals is not None and statement.principals.is_negated


def _actions(decided: Iterable[_Decided]) -> list[str]:
    return list(dict.fromkeys(each.decision.action for each in decided))


def _only(blocked: Iterable[_Decided], decided: Iterable[_Decided]) -> list[str]:
    """Return the secrets for which a key is blocked, if it is not blocked for all; nothing for a secret."""
    secrets = dict.fromkeys(each.secret_arn for each in blocked)
    return [] if secrets.keys() == {each.secret_arn for each in decided} else list(secrets)


def _can_allow(grant: Mapping[str, Any], decided: _Decided) -> bool:
    return can_allow(grant, decided.decision.action, encryption_context(decided.secret_arn))


# --- calls ------------------------------------------------------------------------------------------------------------


def _attempt(call: Callable[[], Value]) -> Value | _Unread:
    """Return the result of a call, or how it failed. Throttling is an error, as for a simulation."""
    try:
        return call()
    except AccessDeniedError as error:
        return _Unread(f"AWS denies {error.action}")
    except AwsApiError as error:
        if is_throttling(error.code):
            raise
        return _Unread(f"{error.action} failed with {error.code}: {quoted(error.message)}")
    except _UnusableError as error:
        return _Unread(str(error))


def _read_policy(aws: Aws, resource: str) -> Policy:
    """Return the policy of a secret or key. A secret without one has a policy without statements."""
    with aws.max_attempts(MAX_ATTEMPTS):
        if is_key(resource):
            text = aws.call(aws.kms.get_key_policy, KeyId=resource, PolicyName="default")["Policy"]
        else:
            text = aws.call(aws.secretsmanager.get_resource_policy, SecretId=resource).get("ResourcePolicy") or "{}"
    try:
        return _parse(resource, text)
    except (ValueError, RecursionError):
        # The error has a part of the document, which is not for everybody who sees the log.
        raise _UnusableError("the document does not follow IAM's grammar") from None


def _parse(resource: str, text: str) -> Policy:
    """Return a policy whose statements are parsed. Raises `ValueError` if the text does not follow IAM's grammar."""
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("the document is not an object")  # noqa: TRY004  # one error
    policy = resource_policy_of(resource, document)
    _ = policy.statements
    return policy


def _grants(aws: Aws, key_arn: str, role_arn: str) -> list[GrantListEntryTypeDef]:
    with aws.max_attempts(MAX_ATTEMPTS):
        # Not only those of the role: a grant to a session of the role, or to its account, can allow the call too.
        pages = list(islice(aws.paginate(aws.kms.list_grants, KeyId=key_arn, Limit=100), MAX_GRANT_PAGES + 1))
    if len(pages) > MAX_GRANT_PAGES:
        raise _UnusableError(f"the key has more than {100 * MAX_GRANT_PAGES} grants")
    return [grant for page in pages for grant in page["Grants"] if is_for_role(grant, role_arn)]


def _policy_names(aws: Aws, key_arn: str) -> list[str]:
    with aws.max_attempts(MAX_ATTEMPTS):
        return [name for page in aws.paginate(aws.kms.list_key_policies, KeyId=key_arn) for name in page["PolicyNames"]]


def _describe(aws: Aws, role: Role) -> CallingRole:
    """Return what a policy can depend on. If the role cannot be described, that is not known."""
    with aws.max_attempts(MAX_ATTEMPTS):
        described = _attempt(lambda: aws.call_on_role(aws.iam.get_role, RoleName=role.name)["Role"])
    if isinstance(described, _Unread):
        return CallingRole(role.arn, has_boundary=None, unique_id=None)
    return CallingRole(role.arn, bool(described.get("PermissionsBoundary")), described["RoleId"])
