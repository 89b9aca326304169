"""What the policies of a role grant beyond what the functions of the role need.

The check covers Secrets Manager, KMS and network interfaces. Of other services, only the owner of a function knows what
it needs.
The audit and the preview use it, so that they call the same grants too much.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.iam.document import Condition, Element, Policy, PolicyName, Statement
from rotation_role_policy.iam.evaluation import Calls, Outcome, evaluate
from rotation_role_policy.iam.wildcard import has_wildcard, matches, matches_any
from rotation_role_policy.rules.state import State
from rotation_role_policy.rules.statements import SOURCE_FUNCTION_KEY

_SECRET_ACTIONS = (
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
    "secretsmanager:UpdateSecret",
    "secretsmanager:DeleteSecret",
)
"""The actions that read or change a secret."""
_SECRET_MANAGEMENT = ("secretsmanager:DeleteSecret",)
"""No rotation needs this action. A pattern that matches it grants the management of the secret."""
_SUPERUSER_WRITE = (
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
    "secretsmanager:UpdateSecret",
)
"""Actions on a superuser secret that no rotation needs: it is only read."""
_KEY_USE = ("kms:Decrypt", "kms:GenerateDataKey", "kms:Encrypt", "kms:ReEncryptFrom")
_KEY_MANAGEMENT = ("kms:ScheduleKeyDeletion",)
_KEY_ACTIONS = (*_KEY_USE, *_KEY_MANAGEMENT)
_INTERFACE_ACTIONS = ("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface")

_PROBES = {
    "secretsmanager": "secret:0.any-secret.0-aaaaaa",
    "kms": "key/0.any-key.0",
    "ec2": "network-interface/0.any-interface.0",
}
"""By service: the resource of an ARN that only a pattern for all resources of the service matches."""
_ANY_REGION = "xx-any-1"
"""A region that no policy names."""
_ANY_FUNCTION = "arn:aws:lambda:xx-any-1:000000000000:function:any"
"""A function that no policy names, in place of one that does not exist yet."""

_LIMITING_KEYS = re.compile(r"secretsmanager:(resource/|ResourceTag/|SecretId|Name)|aws:ResourceTag/", re.IGNORECASE)
"""Context keys by which a condition limits a statement to some secrets.
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html"""
_CONTEXT_KEY = re.compile(r"kms:EncryptionContext:SecretARN$", re.IGNORECASE)
_VIA_SERVICE_KEY = re.compile(r"kms:ViaService$", re.IGNORECASE)


class ExcessKind(Enum):
    """In which way a grant is too much."""

    OTHER_SECRETS = auto()
    """A pattern matches secrets that the functions do not rotate, or can match them later."""
    SECRET_NOT_NEEDED = auto()
    """No function of the role rotates or reads the secret."""
    SECRET_MANAGEMENT = auto()
    """The function can also delete the secret."""
    SUPERUSER_WRITABLE = auto()
    """The function only reads the superuser secret, but may also write it."""
    OTHER_KEYS = auto()
    """A pattern matches other keys, without a condition on the encryption context."""
    KEY_NOT_NEEDED = auto()
    """The key encrypts no secret of the role."""
    KEY_ALIAS = auto()
    """A grant on an alias has no effect."""
    KEY_FOR_EVERYTHING = auto()
    """Without a condition on the encryption context, the grant covers everything under the key."""
    KEY_FOR_EVERY_SECRET = auto()
    """The same, limited to Secrets Manager: every secret under the key."""
    KEY_MANAGEMENT = auto()
    """The function can also delete the key."""
    INTERFACES_OUTSIDE_VPC = auto()
    """No function of the role is in a VPC."""
    INTERFACES_OPEN_TO_CODE = auto()
    """Only Lambda itself needs the grant, and the code of the function has it too."""


_WITHIN_BOUNDARY = {
    ExcessKind.OTHER_SECRETS: {ExcessKind.OTHER_SECRETS, ExcessKind.SECRET_NOT_NEEDED},
    ExcessKind.OTHER_KEYS: {ExcessKind.OTHER_KEYS, ExcessKind.KEY_NOT_NEEDED},
}
"""A wildcard is only as broad as the permissions boundary. By kind: what in the boundary leaves the grant too broad."""


class Needed(NamedTuple):
    """What all functions of a role need together."""

    rotated_arns: Collection[str]
    superuser_arns: Collection[str]
    key_arns: Collection[str]
    """Of these secrets."""
    other_key_arns: Collection[str]
    """Keys that the functions need for other things, such as their environment variables."""
    in_vpc: bool
    function_arns: tuple[str, ...]
    """Unqualified."""
    regions: Collection[str]
    """The regions whose functions are known. In another region, a function can need what is not needed here."""
    are_all_keys_known: bool = True
    """Whether the keys of all secrets are known."""


class Excess(NamedTuple):
    """One grant beyond what is needed."""

    kind: ExcessKind
    policy: PolicyName
    statement: int
    """The number of the statement, from 1."""
    sid: str
    """Of the statement; empty if it has none."""
    actions: Element
    """As the policy has them."""
    resource: Element
    """As the policy has it."""


_Grant = tuple[ExcessKind, Element, Element]
"""Actions and resource of a grant that is too much."""


def needed_by(states: Sequence[State]) -> Needed:
    """Return what rotations with these states need together."""
    superusers = [state.superuser_secret for state in states if state.superuser_secret]
    return Needed(
        rotated_arns={secret.arn for state in states for secret in state.secrets},
        superuser_arns={superuser.arn for superuser in superusers},
        key_arns={key_arn for state in states for key_arn in state.secret_key_arns},
        other_key_arns={state.environment_key.arn for state in states},
        in_vpc=any(state.in_vpc for state in states),
        function_arns=tuple(dict.fromkeys(state.function_arn for state in states if state.function_arn)),
        regions={arn.region(secret.arn) for state in states for secret in state.secrets},
    )


def find_excess(
    policies: Sequence[Policy], all_policies: Sequence[Policy], boundary: Policy | None, needed: Needed
) -> list[Excess]:
    """Return what `policies` grant beyond what is needed.

    Args:
        policies: the policies to check. The provider's own policies are not among them: they are compared with what the
            provider would write.
        all_policies: all policies of the role. Their denials count.
        boundary: the permissions boundary of the role. A grant is only as broad as the boundary.
        needed: what the functions of the role need.
    """
    kept = _kinds_within(boundary, needed)
    found: dict[Excess, Excess] = {}
    for policy in policies:
        for statement in policy.statements:
            interfaces = _of_interfaces(statement, needed, all_policies, boundary) if statement.allows else ()
            for kind, actions, resource in _once(
                (*_of_secrets_and_keys(statement, needed, kept), *interfaces), statement
            ):
                excess = Excess(kind, policy.name, statement.number, statement.sid, actions, resource)
                # Two statements of a policy can grant the same.
                found.setdefault(excess._replace(statement=0), excess)
    return list(found.values())


def _kinds_within(boundary: Policy | None, needed: Needed) -> set[ExcessKind]:
    """Return the kinds of excess that the permissions boundary does not limit to what is needed."""
    kinds = set(ExcessKind)
    if boundary:
        grants = [each for statement in boundary.statements for each in _of_secrets_and_keys(statement, needed, kinds)]
        in_boundary = {kind for kind, _, _ in grants}
        kinds -= {kind for kind, broad in _WITHIN_BOUNDARY.items() if broad.isdisjoint(in_boundary)}
    return kinds


def _of_secrets_and_keys(statement: Statement, needed: Needed, kinds: Collection[ExcessKind]) -> Iterator[_Grant]:
    if statement.allows:
        for grant in (*_of_secrets(statement, needed), *_of_keys(statement, needed)):
            kind, _, _ = grant
            if kind in kinds:
                yield grant


def _once(grants: Iterable[_Grant], statement: Statement) -> Iterator[_Grant]:
    """Yield the grants of a statement. One for every service is reported once, for the secrets."""
    is_every_service = statement.actions.is_negated or "*" in statement.actions.patterns
    reported: set[Element] = set()
    for grant in grants:
        kind, _, resource = grant
        if resource not in reported:
            yield grant
        if kind is ExcessKind.OTHER_SECRETS and is_every_service:
            reported.add(resource)


# --- secrets ----------------------------------------------------------------------------------------------------------


def _of_secrets(statement: Statement, needed: Needed) -> Iterator[_Grant]:
    actions = _granted(statement, _SECRET_ACTIONS)
    if actions is None:
        return
    for resource in _resources(statement, "secretsmanager", needed):
        pattern = _one_secret(resource)
        if pattern is None:
            if not _is_limited(statement, _LIMITING_KEYS):
                yield ExcessKind.OTHER_SECRETS, actions, resource
        elif not _names(pattern, needed.rotated_arns) and not _names(pattern, needed.superuser_arns):
            if arn.region(pattern) in needed.regions:
                yield ExcessKind.SECRET_NOT_NEEDED, actions, resource
        elif management := _granted(statement, _SECRET_MANAGEMENT):
            yield ExcessKind.SECRET_MANAGEMENT, management, resource
        elif (
            not _names(pattern, needed.rotated_arns)
            and arn.region(pattern) in needed.regions
            and (write := _granted(statement, _SUPERUSER_WRITE))
        ):
            yield ExcessKind.SUPERUSER_WRITABLE, write, resource


def _one_secret(resource: Element) -> str | None:
    """Return the pattern if it matches one secret: a whole ARN, perhaps but for its random characters."""
    if resource.is_negated:
        return None
    [pattern] = resource.patterns
    return None if has_wildcard(arn.ANY_RANDOM_SUFFIX.sub("", pattern)) else pattern


def _names(pattern: str, secret_arns: Collection[str]) -> bool:
    """Return whether the pattern of one secret matches one of the ARNs."""
    if pattern in secret_arns:
        return True
    without_suffix = arn.ANY_RANDOM_SUFFIX.sub("", pattern)
    # A superuser secret can be known by its partial ARN.
    partial_arns = (secret_arn.rpartition("-")[0] for secret_arn in secret_arns)
    return without_suffix != pattern and (without_suffix in secret_arns or without_suffix in partial_arns)


# --- keys -------------------------------------------------------------------------------------------------------------


def _of_keys(statement: Statement, needed: Needed) -> Iterator[_Grant]:
    actions = _granted(statement, _KEY_ACTIONS)
    if actions is None or _is_for_another_service(statement):
        return
    has_context = _is_limited(statement, _CONTEXT_KEY)
    for resource in _resources(statement, "kms", needed):
        key_arn = "*" if resource.is_negated else resource.patterns[0]
        if ":alias/" in key_arn:
            yield ExcessKind.KEY_ALIAS, actions, resource
        elif has_wildcard(key_arn):
            if not has_context:
                yield ExcessKind.OTHER_KEYS, actions, resource
        elif key_arn not in needed.key_arns:
            if _is_needed_nowhere(key_arn, needed):
                yield ExcessKind.KEY_NOT_NEEDED, actions, resource
        elif not has_context:
            yield from _of_key_without_context(statement, resource)


def _is_needed_nowhere(key_arn: str, needed: Needed) -> bool:
    return needed.are_all_keys_known and arn.region(key_arn) in needed.regions and key_arn not in needed.other_key_arns


def _of_key_without_context(statement: Statement, resource: Element) -> Iterator[_Grant]:
    is_limited = _is_limited(statement, _VIA_SERVICE_KEY)
    if use := _granted(statement, _KEY_USE):
        yield ExcessKind.KEY_FOR_EVERY_SECRET if is_limited else ExcessKind.KEY_FOR_EVERYTHING, use, resource
    # With an encryption context or a service, the management is not allowed: the function's own call to delete the key
    # has neither.
    if not is_limited and (management := _granted(statement, _KEY_MANAGEMENT)):
        yield ExcessKind.KEY_MANAGEMENT, management, resource


def _is_for_another_service(statement: Statement) -> bool:
    """Return whether a condition limits the use of keys to another service than Secrets Manager, such as SQS."""
    return any(
        not any(_can_be_secrets_manager(service) for service in condition.values)
        for condition in _limits(statement, _VIA_SERVICE_KEY)
    )


def _can_be_secrets_manager(service: str) -> bool:
    """Return whether a value of ``kms:ViaService``, or a pattern, can be Secrets Manager in some region."""
    name, *_ = re.split(r"[*?]", service.partition(".")[0])
    return name == "secretsmanager" or (has_wildcard(service) and "secretsmanager".startswith(name))


# --- network interfaces -----------------------------------------------------------------------------------------------


def _of_interfaces(
    statement: Statement, needed: Needed, all_policies: Sequence[Policy], boundary: Policy | None
) -> Iterator[_Grant]:
    actions = _granted(statement, _INTERFACE_ACTIONS)
    resources = _resources(statement, "ec2", needed)
    granted = tuple(action for action in _INTERFACE_ACTIONS if _includes(statement, action, boundary))
    if actions is None or not resources or not granted:
        return
    if not needed.in_vpc:
        yield ExcessKind.INTERFACES_OUTSIDE_VPC, actions, resources[0]
        return
    for function_arn in needed.function_arns or (_ANY_FUNCTION,):
        calls = Calls(granted, ("*",), {SOURCE_FUNCTION_KEY: function_arn})
        if any(decision.outcome is Outcome.ALLOWED for decision in evaluate(all_policies, boundary, calls)):
            yield ExcessKind.INTERFACES_OPEN_TO_CODE, actions, resources[0]
            return


def _includes(statement: Statement, action: str, boundary: Policy | None) -> bool:
    """Return whether a statement allows an action on something, and the permissions boundary does too."""
    limits = boundary.statements if boundary else [statement]
    is_in_boundary = any(limit.allows and limit.includes_action(action) for limit in limits)
    return statement.allows and statement.includes_action(action) and is_in_boundary


# --- statements -------------------------------------------------------------------------------------------------------


def _granted(statement: Statement, actions: Collection[str]) -> Element | None:
    """Return the statement's patterns that match one of the actions; None if there are none."""
    patterns, is_negated = statement.actions
    if is_negated:
        return statement.actions if any(statement.includes_action(action) for action in actions) else None
    granting = tuple(
        pattern for pattern in patterns if any(matches(pattern, action, ignore_case=True) for action in actions)
    )
    return Element(granting) if granting else None


def _resources(statement: Statement, service: str, needed: Needed) -> list[Element]:
    """Return the statement's patterns for resources that can be of a service, such as ``kms``, one by one.

    A `NotResource` is one of them: it is as broad as a wildcard, unless it excludes the resources of the service.
    """
    patterns, is_negated = statement.resources
    if is_negated:
        is_excluded = all(matches_any(patterns, probe) for probe in _probes(service, needed))
        return [] if is_excluded else [statement.resources]
    return [Element((pattern,)) for pattern in patterns if _can_be_of(pattern, service)]


def _probes(service: str, needed: Needed) -> Iterator[str]:
    """Yield ARNs of the account, in each region of the secrets and in any other, that no role needs."""
    owners = [arn.parse(secret_arn) for secret_arn in needed.rotated_arns]
    for partition, account in {(owner.partition, owner.account) for owner in owners}:
        for region in {_ANY_REGION, *(owner.region for owner in owners)}:
            yield f"arn:{partition}:{service}:{region}:{account}:{_PROBES[service]}"


def _can_be_of(pattern: str, service: str) -> bool:
    """Return whether a pattern names a service, or leaves the service of an ARN open."""
    parts = pattern.split(":", 3)
    return f":{service}:" in pattern or len(parts) < 4 or has_wildcard(parts[2])


def _is_limited(statement: Statement, keys: re.Pattern[str]) -> bool:
    """Return whether the statement has a condition that allows only some values of a context key."""
    return any(_limits(statement, keys))


def _limits(statement: Statement, keys: re.Pattern[str]) -> Iterator[Condition]:
    """Yield the conditions that allow only some values of a context key. All of them have to hold."""
    return (condition for condition in statement.conditions if condition.is_limit and keys.match(condition.key))
