"""The statements of a role today beside those that its rotations need, statement by statement.

A needed statement is the same as those of today that belong to it if they allow the same actions on the same resources
under the same conditions. Nothing else is evaluated: no wildcard, no denial, no permissions boundary. Whether a
difference matters, the findings say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from enum import Enum
from itertools import product
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
    before: str
    """The words that lead to it; empty for none."""
    same_as: str
    """What is equal for equal lines: IAM ignores the case of actions and of condition keys."""
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
    wanted = parse({"Statement": list(needed)})
    grants = [_single_grants(each) for each in wanted]
    rows = []
    for number, statement in enumerate(wanted):
        # What another needed statement is for is not too much here.
        others = set().union(*(each for other, each in enumerate(grants) if other != number)) - grants[number]
        parts = ((each.name, each.part_for(statement, others)) for each in statements)
        rows.append(_row(statement, others, [(name, part) for name, part in parts if part]))
    return rows + [row for each in statements for row in each.rest()]


class _Today:
    """A statement of today, and what of it belongs to needed statements."""

    def __init__(self, statement: RoleStatement) -> None:
        label = statement.label
        self.name = f"{statement.policy}, {f'statement {label}' if isinstance(label, int) else label}"
        [self._statement] = parse({"Statement": statement.json})
        self._used: set[tuple[str, str]] = set()
        """Actions and resources that belong to a needed statement."""

    def part_for(self, needed: Statement, others: set[_SingleGrant]) -> Statement | None:
        """Return the part that belongs to a needed statement; None if there is none.

        Args:
            needed: the needed statement.
            others: what other needed statements grant.
        """
        if self._statement.effect != needed.effect:
            return None
        part = self._part(
            tuple(self._actions_for(needed.actions.patterns)), tuple(self._resources_for(needed.resources.patterns))
        )
        grants = _single_grants(part)
        # A part without an action or a resource grants nothing. A Deny that only resembles the needed one has a purpose
        # of its own.
        if grants <= others or not (needed.allows or grants & _single_grants(needed)):
            return None
        self._used.update(product(part.actions.patterns, part.resources.patterns))
        return part

    def rest(self) -> Iterator[Row]:
        """Yield rows for what belongs to no needed statement."""
        whole = self._statement
        kind = RowKind.ONLY_TODAY if whole.allows else RowKind.DENY
        # Of other services, only the owner of a function knows what it needs. A Deny is shown as it is.
        is_whole = whole.actions.is_negated or not whole.allows
        concerned = whole.actions.patterns if is_whole else rotation_actions(whole.actions)
        by_actions: dict[tuple[str, ...], list[str]] = {}
        for resource in whole.resources.patterns:
            actions = tuple(each for each in concerned if (each, resource) not in self._used)
            by_actions.setdefault(actions, []).append(resource)
        for actions, resources in by_actions.items():
            if actions:
                yield Row(kind, (_column(self.name, self._part(actions, tuple(resources))),), None)

    def _actions_for(self, needed: Sequence[str]) -> Iterable[str]:
        actions = self._statement.actions
        if actions.is_negated:
            return actions.patterns if any(map(self._statement.includes_action, needed)) else ()
        return (each for each in actions.patterns if any(matches(each, action, ignore_case=True) for action in needed))

    def _resources_for(self, needed: Sequence[str]) -> Iterable[str]:
        resources = self._statement.resources
        if resources.is_negated:
            return () if all(includes_any(resources.patterns, each) for each in needed) else resources.patterns
        return (
            each
            for each in resources.patterns
            if _names_interfaces(each, needed) or any(includes_any([each], resource) for resource in needed)
        )

    def _part(self, actions: tuple[str, ...], resources: tuple[str, ...]) -> Statement:
        statement = self._statement
        return replace(
            statement,
            actions=statement.actions._replace(patterns=actions),
            resources=statement.resources._replace(patterns=resources),
        )


def _names_interfaces(pattern: str, needed: Sequence[str]) -> bool:
    """Return whether a pattern names the network interfaces that a needed ``*`` stands for.

    Other actions that need ``*`` support no other resource.
    """
    return _ANY in needed and pattern.startswith("arn:") and ":ec2:" in pattern


def _row(statement: Statement, others: set[_SingleGrant], parts: Sequence[tuple[str, Statement]]) -> Row:
    needed = _column(statement.sid, statement)
    if not parts:
        return Row(RowKind.MISSING, (), needed)
    wanted = _single_grants(statement)
    allowed = set().union(*(_single_grants(part) for _, part in parts)) - others
    today = tuple(_without(_column(name, part), part, statement) for name, part in parts)
    if wanted == allowed:
        return Row(RowKind.SAME, today, needed)
    marked, needed = tuple(_marked(each, [needed]) for each in today), _marked(needed, today)
    missing = {each for each in wanted - allowed if not any(_covers(part, each) for _, part in parts)}
    return Row(RowKind.DIFFERENT, marked, _with_pairs(needed, missing))


def _covers(part: Statement, grant: _SingleGrant) -> bool:
    """Return whether a statement of today grants an action on a resource, perhaps by wildcards.

    What it grants for which secret, only the same text says.
    """
    patterns, is_negated = part.resources
    return (
        part.includes_action(grant.action) and includes_any(patterns, grant.resource) != is_negated and not grant.secret
    )


def _with_pairs(needed: Column, missing: set[_SingleGrant]) -> Column:
    """Return a needed statement with what is missing although each of its elements is somewhere in those of today."""
    marked = {line.same_as for line in needed.lines if line.is_only_here}
    if any(line.is_only_here for line in needed.conditions):
        return needed
    names = {line.same_as: line.text for line in needed.actions}
    pairs = sorted(
        f"{names[grant.action]} on {grant.resource}{f' for {grant.secret}' if grant.secret else ''}"
        for grant in missing
        if marked.isdisjoint((grant.action, f"on {grant.resource}"))
    )
    lines = tuple(Line(each, "not together today: ", each, is_only_here=True) for each in pairs)
    return needed._replace(conditions=needed.conditions + lines)


class _SingleGrant(NamedTuple):
    """One of the grants of a statement."""

    action: str
    """In lower case."""
    resource: str
    secret: str
    """The secret of a condition on the encryption context; empty if there is none."""
    others: frozenset[tuple[str, str, frozenset[str]]]
    """The other conditions, and which elements are negated."""


def _single_grants(statement: Statement) -> set[_SingleGrant]:
    """Return what a statement grants one by one, so that several statements can be the same as one."""
    on_secret = [each for each in statement.conditions if _is_on_secret(each)]
    others = {
        (each.operator, each.key.lower(), frozenset(each.values))
        for each in statement.conditions
        if each not in on_secret
    }
    negated = {(name, "", frozenset[str]()) for name in ("actions", "resources") if getattr(statement, name).is_negated}
    secrets = {value for each in on_secret for value in each.values} or {""}
    return {
        _SingleGrant(action.lower(), resource, secret, frozenset(others | negated))
        for action in statement.actions.patterns
        for resource in statement.resources.patterns
        for secret in secrets
    }


def _is_on_secret(condition: Condition) -> bool:
    return condition.operator == "StringEquals" and condition.key.lower() == SECRET_ARN_KEY.lower()


def _column(name: str, statement: Statement) -> Column:
    actions, resources = statement.actions, statement.resources
    all_but = "all but " if actions.is_negated else ""
    on = "on all but " if resources.is_negated else "on "
    return Column(
        name,
        statement.effect,
        tuple(Line(each, all_but, f"{all_but}{each.lower()}") for each in actions.patterns),
        tuple(Line(each, on, f"{on}{each}") for each in resources.patterns),
        tuple(line for number, each in enumerate(statement.conditions) for line in _condition(each, number)),
    )


def _condition(condition: Condition, number: int) -> Iterator[Line]:
    """Yield a line for each value of a condition. One of them has to match; of a negated operator, none may."""
    operator, key, values = condition
    before = "and if " if number else "if "
    if operator == "Null" and len(values) == 1 and values[0] in _PRESENCE:
        texts = [f"{key} {_PRESENCE[values[0]]}"]
    elif ":" in operator:
        # A condition on a key with several values is about all of them together.
        texts = [f"{key} {operator} {', '.join(sorted(values))}"]
    else:
        texts = [f"{key} {operator} {value}" for value in sorted(values)]
    for text in texts:
        yield Line(text, before, f"{key.lower()}{text[len(key) :]}")
        before = "and " if "Not" in operator else "or "


def _without(column: Column, statement: Statement, needed: Statement) -> Column:
    """Return a column that says which conditions its statement lacks."""
    keys = {each.key.lower() for each in statement.conditions}
    lacking = dict.fromkeys(each.key for each in needed.conditions if each.key.lower() not in keys)
    lines = tuple(Line(key, "without a condition on ", f"without {key}") for key in lacking)
    return column._replace(conditions=column.conditions + lines)


def _marked(column: Column, others: Sequence[Column]) -> Column:
    """Return a column whose lines say if no other column has them."""
    known = {line.same_as for each in others for line in each.lines}

    def marked(lines: tuple[Line, ...]) -> tuple[Line, ...]:
        return tuple(each._replace(is_only_here=each.same_as not in known) for each in lines)

    return column._replace(
        actions=marked(column.actions), resources=marked(column.resources), conditions=marked(column.conditions)
    )
