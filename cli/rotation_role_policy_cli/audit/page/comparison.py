"""The statements of a role today beside those that its rotations need, statement by statement.

A needed statement is the same as those of today that belong to it if they allow the same actions on the same resources
under the same conditions. Nothing else is evaluated: no wildcard, no denial, no permissions boundary. Whether a
difference matters, the findings say.
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
from rotation_role_policy.rules.statements import SECRET_ARN_KEY

_ANY = "*"
_PRESENCE = {"true": "is absent", "false": "is present"}
"""The values of the operator `Null` in words."""


class Line(NamedTuple):
    """An action, a resource or a condition."""

    text: str
    before: str = ""
    """The words that lead to it."""
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
        rows.append(_row(wanted, [(name, part) for name, part in parts if part]))
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
        kind = RowKind.ONLY_TODAY if whole.allows else RowKind.DENY
        # Of other services, only the owner of a function knows what it needs. A Deny is shown as it is.
        is_whole = whole.actions.is_negated or not whole.allows
        concerned = whole.actions.patterns if is_whole else rotation_actions(whole.actions)
        other_actions = tuple(each for each in concerned if each not in self._actions)
        used_actions = tuple(each for each in concerned if each in self._actions)
        other_resources = tuple(each for each in whole.resources.patterns if each not in self._resources)
        for actions, resources in ((other_actions, whole.resources.patterns), (used_actions, other_resources)):
            if actions and resources:
                yield Row(kind, (_column(self.name, self._part(actions, resources)),), None)

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


def _row(statement: Statement, parts: Sequence[tuple[str, Statement]]) -> Row:
    needed = _column(statement.sid, statement)
    if not parts:
        return Row(RowKind.MISSING, (), needed)
    wanted, allowed = _single_grants(statement), set().union(*(_single_grants(part) for _, part in parts))
    today = tuple(_without(_column(name, part), part, statement) for name, part in parts)
    if wanted == allowed:
        return Row(RowKind.SAME, today, needed)
    marked, needed = tuple(_marked(each, [needed]) for each in today), _marked(needed, today)
    if not any(line.is_only_here for each in (*marked, needed) for line in each.lines):
        # The elements are the same, but not all of them are in one statement.
        pairs = sorted({f"{grant.action} on {grant.resource}" for grant in wanted - allowed})
        lines = tuple(Line(each, "not together today: ", is_only_here=True) for each in pairs)
        needed = needed._replace(conditions=needed.conditions + lines)
    return Row(RowKind.DIFFERENT, marked, needed)


class _SingleGrant(NamedTuple):
    """One of the grants of a statement."""

    action: str
    resource: str
    secret: str
    """The secret of a condition on the encryption context; empty if there is none."""
    others: frozenset[tuple[str, str, frozenset[str]]]
    """The other conditions, and which elements are negated."""


def _single_grants(statement: Statement) -> set[_SingleGrant]:
    """Return what a statement grants one by one, so that several statements can be the same as one."""
    on_secret = [each for each in statement.conditions if (each.operator, each.key) == ("StringEquals", SECRET_ARN_KEY)]
    others = {
        (each.operator, each.key.lower(), frozenset(each.values))
        for each in statement.conditions
        if each not in on_secret
    }
    negated = {(name, "", frozenset[str]()) for name in ("actions", "resources") if getattr(statement, name).is_negated}
    secrets = {value for each in on_secret for value in each.values} or {""}
    return {
        # Actions ignore the case, ARNs do not.
        _SingleGrant(action.lower(), resource, secret, frozenset(others | negated))
        for action in statement.actions.patterns
        for resource in statement.resources.patterns
        for secret in secrets
    }


def _column(name: str, statement: Statement) -> Column:
    return Column(
        name,
        statement.effect,
        _lines(statement.actions.patterns, "all but " if statement.actions.is_negated else ""),
        _lines(statement.resources.patterns, "on all but " if statement.resources.is_negated else "on "),
        tuple(line for number, each in enumerate(statement.conditions) for line in _condition(each, number)),
    )


def _lines(patterns: Iterable[str], before: str) -> tuple[Line, ...]:
    return tuple(Line(each, before) for each in patterns)


def _condition(condition: Condition, number: int) -> Iterator[Line]:
    """Yield a line for each value of a condition: one of them has to match."""
    operator, key, values = condition
    before = "and if " if number else "if "
    if operator == "Null" and values and values[0] in _PRESENCE:
        yield Line(f"{key} {_PRESENCE[values[0]]}", before)
        return
    for value in sorted(values):
        yield Line(f"{key} {operator} {value}", before)
        before = "or "


def _without(column: Column, statement: Statement, needed: Statement) -> Column:
    """Return a column that says which conditions its statement lacks."""
    keys = {each.key.lower() for each in statement.conditions}
    lacking = dict.fromkeys(each.key for each in needed.conditions if each.key.lower() not in keys)
    return column._replace(
        conditions=column.conditions + tuple(Line(key, "without a condition on ", is_only_here=True) for key in lacking)
    )


def _marked(column: Column, others: Sequence[Column]) -> Column:
    """Return a column whose lines say if no other column has them."""
    actions = {(line.before, line.text.lower()) for each in others for line in each.actions}
    resources = {(line.before, line.text) for each in others for line in each.resources}
    conditions = {line.text for each in others for line in each.conditions}
    return column._replace(
        actions=tuple(
            each._replace(is_only_here=(each.before, each.text.lower()) not in actions) for each in column.actions
        ),
        resources=tuple(
            each._replace(is_only_here=(each.before, each.text) not in resources) for each in column.resources
        ),
        conditions=tuple(each._replace(is_only_here=each.text not in conditions) for each in column.conditions),
    )
