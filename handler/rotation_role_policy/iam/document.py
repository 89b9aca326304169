"""Policy documents: what a policy says, parsed once.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from typing import Any, NamedTuple

from rotation_role_policy.iam.wildcard import matches

JsonDocument = dict[str, Any]
"""A policy document as boto3 takes and returns it."""
JsonStatement = dict[str, Any]
"""One of its statements."""


class PolicyKind(Enum):
    """The kind of a policy, which says where the policy is."""

    INLINE = auto()
    MANAGED = auto()
    ROLE = auto()
    """Inline or managed: it is not known which."""
    BOUNDARY = auto()
    SECRET = auto()
    """Resource-based, as the next two."""
    KEY = auto()
    FUNCTION = auto()


class PolicyName(NamedTuple):
    """The kind of a policy, and its name, its ARN, or the ARN of the resource that has it."""

    kind: PolicyKind
    name: str


class Element(NamedTuple):
    """The patterns of an element such as `Action`, or of its negated form such as `NotAction`."""

    patterns: tuple[str, ...]
    is_negated: bool = False


class Principals(NamedTuple):
    """The element `Principal`, or `NotPrincipal`."""

    names: Mapping[str, tuple[str, ...]]
    """By type: ``AWS``, ``Service``, ``Federated``, ``CanonicalUser``. Anyone is ``*`` of the type ``AWS``."""
    is_negated: bool = False


class Condition(NamedTuple):
    """One operator for one context key."""

    operator: str
    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Statement:
    """One statement of a document."""

    number: int
    """Its place in the document, from 1."""
    sid: str
    """Empty if it has none."""
    effect: str
    """``Allow`` or ``Deny``."""
    actions: Element
    resources: Element
    """Empty in a trust policy."""
    principals: Principals | None
    """None in a policy of a role."""
    conditions: tuple[Condition, ...]

    @property
    def label(self) -> str | int:
        """`Sid`, or the number if there is none."""
        return self.sid or self.number

    @property
    def allows(self) -> bool:
        """Whether the effect is Allow."""
        return self.effect == "Allow"

    def includes_action(self, action: str) -> bool:
        """Return whether `action` is among the actions of the statement."""
        patterns, is_negated = self.actions
        return any(matches(pattern, action, ignore_case=True) for pattern in patterns) != is_negated


@dataclass(frozen=True)
class Policy:
    """A policy with its name."""

    name: PolicyName
    json: JsonDocument

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        """The statements of the policy. Raises `ValueError` if the document is none of IAM's grammar."""
        return parse(self.json)


def parse(document: JsonDocument) -> tuple[Statement, ...]:
    """Return the statements of a policy document.

    Raises:
        ValueError: the document does not follow IAM's grammar.
    """
    statements = as_list(document.get("Statement", []))
    return tuple(_statement(number, statement) for number, statement in enumerate(statements, 1))


def _statement(number: int, statement: Any) -> Statement:
    if not isinstance(statement, Mapping):
        raise ValueError(f"statement {number} of the policy is not an object: {statement!r}")  # noqa: TRY004  # one error
    return Statement(
        number,
        str(statement.get("Sid", "")),
        str(statement.get("Effect", "")),
        _element(statement, "Action"),
        _element(statement, "Resource"),
        _principals(statement),
        tuple(_conditions(number, statement.get("Condition") or {})),
    )


def _conditions(number: int, conditions: Any) -> Iterator[Condition]:
    if not isinstance(conditions, Mapping) or not all(isinstance(keys, Mapping) for keys in conditions.values()):
        raise ValueError(f"a condition in statement {number} of the policy is not an object: {conditions!r}")
    for operator, keys in conditions.items():
        for key, values in keys.items():
            yield Condition(operator, key, tuple(_text(value) for value in as_list(values)))


def _element(statement: Mapping[str, Any], name: str) -> Element:
    is_negated = f"Not{name}" in statement
    values = as_list(statement.get(f"Not{name}" if is_negated else name, []))
    return Element(tuple(str(value) for value in values), is_negated)


def _principals(statement: Mapping[str, Any]) -> Principals | None:
    is_negated = "NotPrincipal" in statement
    value = statement.get("NotPrincipal" if is_negated else "Principal")
    if value is None:
        return None
    if not isinstance(value, Mapping):
        # "*" is short for {"AWS": "*"}.
        value = {"AWS": value}
    return Principals({kind: tuple(str(name) for name in as_list(names)) for kind, names in value.items()}, is_negated)


def _text(value: Any) -> str:
    """Return the value of a condition. JSON may have true or 10 in place of a string."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_list(value: Any) -> list[Any]:
    """Return the values of an element such as Action, which may be one value without a list."""
    return value if isinstance(value, list) else [value]
