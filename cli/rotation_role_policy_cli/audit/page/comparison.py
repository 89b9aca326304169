"""The statements of a role today beside those that its rotations need, statement by statement.

This compares texts: it decides which statement of today belongs to which needed one, and which of their elements are
not the same. Whether a difference matters, the findings say.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from enum import Enum
from typing import NamedTuple

from rotation_role_policy.audit.report import RoleStatement
from rotation_role_policy.iam.document import Condition, JsonStatement, Statement, as_list, parse
from rotation_role_policy.iam.resource_patterns import includes_any
from rotation_role_policy.iam.wildcard import matches
from rotation_role_policy.rules.needed import rotation_actions

_ANY = "*"
_PRESENCE = {"true": "is absent", "false": "is present"}
"""The values of the operator `Null` in words."""


class Line(NamedTuple):
    """An action, a resource or a condition."""

    text: str
    is_only_here: bool = False
    """Whether no statement in the other column has it."""


class Column(NamedTuple):
    """A statement, or the part of one that a row is about."""

    name: str
    """Of a statement of today: its policy and its `Sid` or number. Of a needed one: its `Sid`."""
    effect: str
    actions: tuple[Line, ...]
    resources: tuple[Line, ...]
    conditions: tuple[Line, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines."""
        return (*self.actions, *self.resources, *self.conditions)


class RowKind(Enum):
    """How the two columns of a row compare. The value is for readers."""

    SAME = "Same"
    DIFFERENT = "Different"
    MISSING = "Missing"
    ONLY_TODAY = "Only today"
    DENY = "Deny"


class Row(NamedTuple):
    """A needed statement with those of today that belong to it, or what belongs to none."""

    kind: RowKind
    today: tuple[Column, ...]
    needed: Column | None


def needed_by_all(needed: Iterable[Sequence[JsonStatement]]) -> list[JsonStatement]:
    """Return the statements that rotations with these statements need together.

    Args:
        needed: the statements of each rotation, as the provider writes them.
    """
    merged: dict[str, JsonStatement] = {}
    for statement in (each for statements in needed for each in statements):
        sid = statement.get("Sid", "").rstrip("0123456789")
        condition = statement.get("Condition")
        # Statements on keys have a condition on their secrets. The others differ only in their resources.
        same = merged.setdefault(
            f"{sid} {statement['Effect']} {statement['Action']} {statement['Resource'] if condition else ''}",
            statement | {"Sid": sid, "Resource": [], **({"Condition": {}} if condition else {})},
        )
        same["Resource"] = _union(same["Resource"], statement["Resource"])
        for operator, keys in (condition or {}).items():
            known = same["Condition"].setdefault(operator, {})
            for key, values in keys.items():
                known[key] = _union(known.get(key, []), values)
    return list(merged.values())


def _union(known: list[str], more: str | list[str]) -> list[str]:
    return list(dict.fromkeys([*known, *as_list(more)]))


def compare(today: Sequence[RoleStatement], needed: Sequence[JsonStatement]) -> list[Row]:
    """Return the rows of the comparison: needed statements in their order, then what no rotation needs.

    Args:
        today: the statements of the role.
        needed: by its rotations (`needed_by_all`).
    """
    statements = [_Today(each) for each in today]
    rows = []
    for wanted in parse({"Statement": list(needed)}):
        parts = ((each.name, each.part_for(wanted)) for each in statements)
        rows.append(_row(wanted, [_column(name, part) for name, part in parts if part]))
    return rows + [row for each in statements for row in each.rest()]


class _Today:
    """A statement of today, and what of it belongs to needed statements."""

    def __init__(self, statement: RoleStatement) -> None:
        label = statement.label
        self.name = f"{statement.policy}, {f'statement {label}' if isinstance(label, int) else label}"
        [self._statement] = parse({"Statement": statement.json})
        self._actions: set[str] = set()
        self._resources: set[str] = set()

    def part_for(self, needed: Statement) -> Statement | None:
        """Return the part that belongs to a needed statement; None if there is none."""
        if self._statement.effect != needed.effect:
            return None
        actions = tuple(self._actions_for(needed.actions.patterns))
        resources = tuple(self._resources_for(needed.resources.patterns))
        if not actions or not resources:
            return None
        self._actions.update(actions)
        self._resources.update(resources)
        return self._part(actions, resources)

    def rest(self) -> Iterator[Row]:
        """Yield rows for what belongs to no needed statement."""
        whole = self._statement
        if not whole.allows:
            if not self._actions:
                yield Row(RowKind.DENY, (_column(self.name, whole),), None)
            return
        concerned = whole.actions.patterns if whole.actions.is_negated else rotation_actions(whole.actions)
        other_actions = tuple(each for each in concerned if each not in self._actions)
        used_actions = tuple(each for each in concerned if each in self._actions)
        other_resources = tuple(each for each in whole.resources.patterns if each not in self._resources)
        for actions, resources in ((other_actions, whole.resources.patterns), (used_actions, other_resources)):
            if actions and resources:
                yield Row(RowKind.ONLY_TODAY, (_column(self.name, self._part(actions, resources)),), None)

    def _actions_for(self, needed: Sequence[str]) -> Iterable[str]:
        actions = self._statement.actions
        if actions.is_negated:
            return actions.patterns if any(map(self._statement.includes_action, needed)) else ()
        return (each for each in actions.patterns if any(matches(each, action, ignore_case=True) for action in needed))

    def _resources_for(self, needed: Sequence[str]) -> Iterable[str]:
        resources = self._statement.resources
        if resources.is_negated:
            return () if all(includes_any(resources.patterns, each) for each in needed) else resources.patterns
        # A needed "*" stands for what supports no resource, or does not exist yet.
        return (
            each
            for each in resources.patterns
            if _ANY in needed or any(includes_any([each], resource) for resource in needed)
        )

    def _part(self, actions: tuple[str, ...], resources: tuple[str, ...]) -> Statement:
        statement = self._statement
        return replace(
            statement,
            actions=statement.actions._replace(patterns=actions),
            resources=statement.resources._replace(patterns=resources),
        )


def _row(statement: Statement, today: Sequence[Column]) -> Row:
    needed = _column(statement.sid, statement)
    if not today:
        return Row(RowKind.MISSING, (), needed)
    marked = tuple(_marked(each, [needed]) for each in today)
    needed = _marked(needed, today)
    is_same = not any(line.is_only_here for each in (*marked, needed) for line in each.lines)
    return Row(RowKind.SAME if is_same else RowKind.DIFFERENT, marked, needed)


def _column(name: str, statement: Statement) -> Column:
    return Column(
        name,
        statement.effect,
        _lines(statement.actions.patterns, statement.actions.is_negated),
        _lines(statement.resources.patterns, statement.resources.is_negated),
        tuple(Line(_in_words(each)) for each in statement.conditions),
    )


def _lines(patterns: Iterable[str], is_negated: bool) -> tuple[Line, ...]:
    return tuple(Line(f"all but {each}" if is_negated else each) for each in patterns)


def _in_words(condition: Condition) -> str:
    operator, key, values = condition
    if operator == "Null" and values and values[0] in _PRESENCE:
        return f"{key} {_PRESENCE[values[0]]}"
    return f"{key} {operator} {', '.join(sorted(values))}"


def _marked(column: Column, others: Sequence[Column]) -> Column:
    """Return a column whose lines say if no other column has them."""
    actions = {line.text.lower() for each in others for line in each.actions}
    texts = {line.text for each in others for line in (*each.resources, *each.conditions)}
    return column._replace(
        actions=tuple(Line(each.text, each.text.lower() not in actions) for each in column.actions),
        resources=tuple(Line(each.text, each.text not in texts) for each in column.resources),
        conditions=tuple(Line(each.text, each.text not in texts) for each in column.conditions),
    )
