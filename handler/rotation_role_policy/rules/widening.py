"""What the policy of a resource grants that the provider would never write for the resource: somebody has edited it.

The provider writes known statements in known forms (docs/policy.md). Everything else in one of its policies widens it.
What is narrower, or outdated, does not.
"""

from collections.abc import Collection, Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.iam.document import Element, Policy, Statement
from rotation_role_policy.iam.wildcard import has_wildcard
from rotation_role_policy.rules.statements import (
    FUNCTION_ARN_KEY,
    NETWORK_INTERFACE_ACTIONS,
    ROTATE_ACTIONS,
    SECRET_ARN_KEY,
    SOURCE_FUNCTION_KEY,
)
from rotation_role_policy.rules.targets import ACTIONS_WITHOUT_RESOURCE, ANY_TARGET, target_type

_SUPERUSER_ACTIONS = ("secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret")


class Declared(NamedTuple):
    """What the policy of a resource is for."""

    rotated: Collection[str]
    """The rotated secrets: names, partial ARNs or full ARNs, as the superuser secrets."""
    superusers: Collection[str]
    targets: Collection[str]
    """Full ARNs of targets, and of the databases that the tags of a superuser secret name."""
    profile: str
    """`PolicyProfile`."""
    place: tuple[str, str]
    """Region and account of the stack. A name alone is that of a secret there."""
    is_for_any_function: bool
    """Whether the key of the environment can be for any function of the account: in declared mode."""


def named_secrets(own: Policy) -> set[str]:
    """Return the secrets of the first statement of a resource's policy, if it is as the provider writes it."""
    first = own.statements[0] if own.statements else None
    if first is None or not first.allows or first.conditions or set(first.actions.patterns) != set(ROTATE_ACTIONS):
        return set()
    return {each for each in first.resources.patterns if each.startswith("arn:") and arn.SECRET.fullmatch(each)}


class WideningKind(Enum):
    """In which way a policy is wider than the provider writes it."""

    ACTIONS = auto()
    """Actions that the provider never grants, or never on this resource."""
    SECRETS = auto()
    """Secrets that the resource does not name."""
    KEYS = auto()
    """A key without the conditions that limit its use to the secrets."""
    CODE = auto()
    """Network interfaces, without the Deny that leaves them to Lambda alone."""


class Widening(NamedTuple):
    """A grant that the provider would not write."""

    kind: WideningKind
    statement: int
    """The number of the statement, from 1."""
    actions: Element
    """As the policy has them, as the resource."""
    resource: Element


def widenings(statements: Sequence[Statement], declared: Declared) -> Iterator[Widening]:
    """Yield what the statements of a resource's policy grant beyond what the provider writes."""
    for statement in statements:
        if statement.allows:
            yield from _of_statement(statement, declared)
    interfaces = [each for each in statements if each.allows and _allows_interfaces(each)]
    if interfaces and declared.profile == "Strict" and not any(map(_keeps_from_code, statements)):
        first = interfaces[0]
        yield Widening(WideningKind.CODE, first.number, first.actions, first.resources)


def _allows_interfaces(statement: Statement) -> bool:
    return any(statement.includes_action(action) for action in NETWORK_INTERFACE_ACTIONS if "Describe" not in action)


def _of_statement(statement: Statement, declared: Declared) -> Iterator[Widening]:
    if statement.actions.is_negated or statement.resources.is_negated:
        yield Widening(WideningKind.ACTIONS, statement.number, statement.actions, statement.resources)
        return
    for resource in statement.resources.patterns:
        by_kind: dict[WideningKind, list[str]] = {}
        for action in statement.actions.patterns:
            if kind := _kind(action, resource, statement, declared):
                by_kind.setdefault(kind, []).append(action)
        for kind, actions in by_kind.items():
            yield Widening(kind, statement.number, Element(tuple(actions)), Element((resource,)))


def _kind(action: str, resource: str, statement: Statement, declared: Declared) -> WideningKind | None:
    """Return how an action on a resource widens a policy; None if the provider grants it."""
    known = {each.lower(): each for each in (*ROTATE_ACTIONS, *NETWORK_INTERFACE_ACTIONS)}
    name = known.get(action.lower(), action)
    if name in ROTATE_ACTIONS:
        is_read = name in _SUPERUSER_ACTIONS and _names(resource, declared.superusers, declared)
        return None if is_read or _names(resource, declared.rotated, declared) else WideningKind.SECRETS
    if action.lower() in ("kms:decrypt", "kms:generatedatakey"):
        return _kind_of_key(action, resource, statement, declared)
    if name in NETWORK_INTERFACE_ACTIONS or action.lower() == "secretsmanager:getrandompassword":
        return None
    return None if _is_for_target(action, resource, declared.targets) else WideningKind.ACTIONS


def _names(resource: str, secret_ids: Collection[str], declared: Declared) -> bool:
    """Return whether a resource is the whole ARN of one of some secrets."""
    if not resource.startswith("arn:") or not arn.SECRET.fullmatch(resource):
        return False
    is_here = (arn.region(resource), arn.account(resource)) == declared.place
    named = (each for each in arn.ids_of_secret(resource) if is_here or each.startswith("arn:"))
    return not set(named).isdisjoint(secret_ids)


def _kind_of_key(action: str, resource: str, statement: Statement, declared: Declared) -> WideningKind | None:
    limits = {(each.operator.lower(), each.key.lower()): each.values for each in statement.conditions}
    functions = limits.get(("stringlike", FUNCTION_ARN_KEY.lower()), ())
    if action.lower() == "kms:decrypt" and functions and all(_is_function(each, declared) for each in functions):
        return None if arn.KEY.fullmatch(resource) else WideningKind.KEYS
    if declared.profile == "Documented":
        return None if arn.KEY.fullmatch(resource) else WideningKind.KEYS
    contexts = limits.get(("stringequals", SECRET_ARN_KEY.lower()), ())
    services = limits.get(("stringequals", "kms:viaservice"), ())
    if not contexts or not services or not all(each.startswith("secretsmanager.") for each in services):
        return WideningKind.KEYS
    readable = {*declared.rotated, *(declared.superusers if action.lower() == "kms:decrypt" else ())}
    return None if all(_names(context, readable, declared) for context in contexts) else WideningKind.SECRETS


def _is_function(pattern: str, declared: Declared) -> bool:
    """Return whether a pattern is for a function of the stack's place, as `statements.decrypt_environment` has it."""
    _, _, _, region, account, kind, name, *version = [*pattern.split(":"), *[""] * 7][: max(7, pattern.count(":") + 1)]
    is_one = name != "" and not has_wildcard(name) and version in ([], ["*"])
    is_here = kind == "function" and (region, account) == declared.place
    return is_here and (is_one or (declared.is_for_any_function and name == "*" and not version))


def _is_for_target(action: str, resource: str, targets: Collection[str]) -> bool:
    called = [target_type(target) for target in targets if ANY_TARGET.fullmatch(target)]
    if action in ACTIONS_WITHOUT_RESOURCE:
        return any(action in (*each.actions, *each.superuser_actions) for each in called)
    if resource not in targets:
        return False
    own_type = target_type(resource)
    return action in (*own_type.actions, *own_type.superuser_actions)


def _keeps_from_code(statement: Statement) -> bool:
    """Return whether a statement denies the network interfaces to the code of the function."""
    conditions = [(each.operator.lower(), each.key.lower(), each.values) for each in statement.conditions]
    return (
        statement.effect == "Deny"
        and statement.resources == Element(("*",))
        and all(statement.includes_action(action) for action in NETWORK_INTERFACE_ACTIONS)
        and conditions == [("null", SOURCE_FUNCTION_KEY.lower(), ("false",))]
    )
