"""A preview as a page for a person: each statement with its reason, what is left out, and the difference to today."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from rotation_role_policy import policy
from rotation_role_policy.policy import Statement
from rotation_role_policy.policy_grammar import as_list
from rotation_role_policy_cli.preview.overly_permissive import Broader
from rotation_role_policy_cli.preview.preview import Preview
from rotation_role_policy_cli.render import BOLD, DIM, RED, YELLOW, painted, policy_difference

_LABEL = 12
"""Columns before a value."""


@dataclass(frozen=True)
class Page:
    """How a page is set: its columns, and whether it has colour."""

    width: int
    colour: bool

    def of(self, preview: Preview) -> str:
        """The whole page."""
        parts = (self._head, self._statements, self._left_out, self._difference, self._broader, self._end)
        return "\n".join(line for part in parts for line in part(preview))

    # --- parts ---

    def _head(self, preview: Preview) -> Iterator[str]:
        state, properties = preview.state, preview.properties
        title = f"{preview.resource.logical_id or 'Custom::RotationRolePolicy'} ({properties.policy_profile})"
        yield self._bold(title)
        yield ""
        for secret in state.secrets:
            yield from self._labelled("secret", secret.arn)
            yield from self._labelled("", f"under {secret.key_arn or 'the AWS managed key'}")
        if superuser := state.superuser_secret:
            yield from self._labelled("superuser", superuser.arn)
            yield from self._labelled("", f"under {superuser.key_arn or 'the AWS managed key'}")
        where = "in a VPC" if state.in_vpc else "not in a VPC"
        yield from self._labelled("function", f"{state.function_arn or 'declared, not looked at'}, {where}")
        yield from self._labelled("role", state.role.arn)
        name = preview.policy_name or "named after the resource that declares it"
        yield from self._labelled("policy", f"{name}{'' if preview.standing else ' (none there yet)'}")
        yield ""

    def _statements(self, preview: Preview) -> Iterator[str]:
        yield self._bold("What it grants")
        yield ""
        for kind, statements in policy.statements_by_type(preview.state, preview.properties.policy_profile):
            for statement in statements:
                yield from self._wrapped(statement.get("Sid", kind.sid), f": {kind.reason}", "  ")
                yield from self._statement(statement)
                yield ""

    def _statement(self, statement: Statement) -> Iterator[str]:
        yield from self._listed("denies" if statement["Effect"] == "Deny" else "allows", as_list(statement["Action"]))
        yield from self._listed("on", as_list(statement["Resource"]))
        conditions = [
            (key, "present" if operator == "Null" else " or ".join(as_list(value)))
            for operator, keys in statement.get("Condition", {}).items()
            for key, value in keys.items()
        ]
        yield from self._listed(
            "only where", [line for key, value in conditions for line in self._condition(key, value)]
        )

    def _condition(self, key: str, value: str) -> list[str]:
        line = f"{key} is {value}"
        return [line] if _LABEL + 4 + len(line) <= self.width else [f"{key} is", f"  {value}"]

    def _left_out(self, preview: Preview) -> Iterator[str]:
        statements_by_type = policy.statements_by_type(preview.state, preview.properties.policy_profile)
        missing = [
            (kind.sid, kind.reason_omitted(preview.state)) for kind, statements in statements_by_type if not statements
        ]
        if missing:
            yield self._bold("Left out")
            yield ""
            column = max(len(sid) for sid, _ in missing)
            for sid, reason_omitted in missing:
                yield f"  {self._dim(sid.ljust(column))}  {reason_omitted}"
            yield ""

    def _difference(self, preview: Preview) -> Iterator[str]:
        if not preview.changes:
            return
        yield self._bold("What would change")
        yield ""
        if preview.leaves_role:
            yield from self._wrapped(
                "The policy moves",
                f": it is put on this role, and taken from the role {preview.leaves_role} when the stack's update has"
                " succeeded.",
                "  ",
            )
        if preview.standing:
            width = self.width - 3
            lines = policy_difference(preview.standing, preview.document, width, 4, self.colour)
            yield from (f"  {line}" for line in lines)
        else:
            yield "  The role has no such policy: all of it is new."
        yield ""

    def _broader(self, preview: Preview) -> Iterator[str]:
        if not preview.broader:
            yield "Nothing else on the role grants these more broadly."
            yield ""
            return
        yield self._bold("Broader on the same role", YELLOW)
        yield ""
        for one in preview.broader:
            yield from self._wrapped("!", f" {sentence(one)}", "  ", "    ")
        yield ""
        yield from self._wrapped(
            "",
            "What is granted there holds besides the narrow policy: narrow or remove it, or the function has all of it."
            " Denies, boundaries and SCPs are not counted here.",
            "  ",
        )
        yield ""

    def _end(self, preview: Preview) -> Iterator[str]:
        for note in preview.notes:
            yield from self._wrapped("Note:", f" {note}")
        if preview.refusal:
            yield from self._wrapped("Refused:", f" {preview.refusal}", style=RED)
        elif preview.changes:
            yield self._bold("The policy would change." if preview.standing else "The policy would be put there.")
        else:
            yield self._bold("Unchanged: the role has this policy.")

    # --- lines ---

    def _labelled(self, label: str, value: str) -> Iterator[str]:
        yield f"  {self._dim(label.ljust(_LABEL))}{value}"

    def _listed(self, label: str, values: list[str]) -> Iterator[str]:
        for value in values:
            yield f"    {self._dim(label.ljust(_LABEL))}{value}"
            label = ""

    def _wrapped(
        self, head: str, text: str, first: str = "", rest: str | None = None, style: str = ""
    ) -> Iterator[str]:
        """A paragraph whose `head` stands out; its lines begin with `first` and `rest`."""
        # Nothing is broken that somebody will copy: an ARN may pass the width.
        lines = textwrap.wrap(
            head + text,
            self.width,
            initial_indent=first,
            subsequent_indent=first if rest is None else rest,
            break_long_words=False,
            break_on_hyphens=False,
        )
        # Painted when its length has been counted.
        lines[0] = lines[0].replace(head, self._bold(head, *filter(None, [style])), 1) if head else lines[0]
        yield from lines

    def _bold(self, text: str, *styles: str) -> str:
        return painted(";".join((BOLD, *styles)), text, self.colour)

    def _dim(self, text: str) -> str:
        return painted(DIM, text, self.colour)


def sentence(one: Broader) -> str:
    """What a broader statement does, such as ``the inline policy "x" allows secretsmanager:GetSecretValue on *``."""
    under = ", under a condition" if one.is_conditional else ""
    return f"{one.policy} allows {', '.join(one.actions)} on {one.resource}{under}"
