"""The page of a preview: each statement with its reason, what is left out, the difference from the existing policy."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from rotation_role_policy.iam.difference import difference as policy_difference
from rotation_role_policy.iam.document import JsonStatement, as_list
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.state import Secret
from rotation_role_policy_cli import messages
from rotation_role_policy_cli.preview.preview import Preview
from rotation_role_policy_cli.render import Paragraph, difference
from rotation_role_policy_cli.template.placeholders import is_planned

_LABEL_WIDTH = 12
"""Columns of a label, in front of its value."""


def page(preview: Preview) -> Iterator[RenderableType]:
    """Yield the parts of the page, each followed by an empty line, and finally the result."""
    for part in (_head, _statements, _left_out, _difference, _excess):
        yield from part(preview)
        yield ""
    yield from _verdict(preview)


def _head(preview: Preview) -> Iterator[RenderableType]:
    state = preview.state
    form = preview.properties.policy_profile
    form += ", KmsScope Secret" if preview.properties.kms_scope == "Secret" else ""
    yield _bold(f"{preview.resource.logical_id or 'Custom::RotationRolePolicy'} ({form})")
    yield ""
    for secret in state.secrets:
        yield from _secret("secret", secret)
    if state.superuser_secret:
        yield from _secret("superuser", state.superuser_secret)
    yield from _labelled(2, "target", *state.target_arns)
    place = "in a VPC" if state.in_vpc else "not in a VPC"
    yield from _labelled(2, "function", f"{state.function_arn or 'declared, not inspected'}, {place}")
    if key_arn := state.environment_key.arn:
        yield from _labelled(2, "", f"its environment variables encrypted with {key_arn}")
    yield from _labelled(2, "role", state.role.arn)
    name = preview.policy_name or "unknown without the stack"
    yield from _labelled(2, "policy", name if preview.plan.existing_document else f"{name} (does not exist yet)")


def _secret(label: str, secret: Secret) -> Iterator[RenderableType]:
    earlier_keys = [f"earlier versions encrypted with {key_arn}" for key_arn in secret.earlier_key_arns]
    yield from _labelled(
        2, label, secret.arn, f"encrypted with {secret.key_arn or 'the AWS managed key'}", *earlier_keys
    )


def _statements(preview: Preview) -> Iterator[RenderableType]:
    yield _bold("Granted")
    for statement_type, statements in policy.statements_by_type(preview.planned_state, *preview.properties.form):
        reason = statement_type.reason_for(preview.properties.kms_scope)
        for statement in statements:
            yield ""
            yield Paragraph(Text.assemble((statement.get("Sid", statement_type.sid), "bold"), f": {reason}"), "  ")
            yield from _statement(statement)


def _statement(statement: JsonStatement) -> Iterator[RenderableType]:
    yield from _labelled(4, "denies" if statement["Effect"] == "Deny" else "allows", *as_list(statement["Action"]))
    yield from _labelled(4, "on", *as_list(statement["Resource"]))
    conditions = [
        f"{key} is {'present' if operator == 'Null' else ' or '.join(as_list(value))}"
        for operator, keys in statement.get("Condition", {}).items()
        for key, value in keys.items()
    ]
    yield from _labelled(4, "only where", *conditions)


def _left_out(preview: Preview) -> Iterator[RenderableType]:
    state = preview.planned_state
    by_type = policy.statements_by_type(state, *preview.properties.form)
    missing = [
        (statement_type.sid, statement_type.reason_omitted(state))
        for statement_type, statements in by_type
        if not statements
    ]
    yield _bold("Left out")
    yield ""
    if not missing:
        yield "  Nothing."
        return
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for sid, reason in missing:
        table.add_row("", Text(sid, style="dim", no_wrap=True), reason)
    yield table


def _difference(preview: Preview) -> Iterator[RenderableType]:
    yield _bold("Changes")
    yield ""
    if not preview.has_changes:
        yield "  None."
    if preview.previous_role and not preview.refusal:
        yield Paragraph(
            f"The policy moves: it is written to this role, and removed from the role {preview.previous_role} when the"
            " stack's update has succeeded.",
            "  ",
        )
    if preview.plan.existing_document is None:
        yield "  The role does not have this policy yet. All of it is new."
    elif preview.plan.is_changed:
        yield difference(policy_difference(preview.plan.existing_document, preview.plan.document), "  ")


def _excess(preview: Preview) -> Iterator[RenderableType]:
    if is_planned(preview.state.role.arn):
        yield "The role does not exist yet, so other policies on it are not compared."
        return
    if not preview.excess:
        yield "No other policy on the role grants more than this."
        return
    yield _bold("Overly permissive policies on the same role", "yellow")
    yield ""
    for found in preview.excess:
        yield Paragraph(f"{messages.excess(found)}.", Text.assemble("  ", ("! ", "bold yellow")))
    yield ""
    yield Paragraph(
        "The function can do all of this in addition to the policy above. Narrow or remove these grants, unless the"
        " code of the function, or another function with this role, needs them. SCPs are not considered here.",
        "  ",
    )


def _verdict(preview: Preview) -> Iterator[RenderableType]:
    for note in preview.notes:
        yield Paragraph(Text.assemble(("Note:", "bold"), f" {note}"))
    if preview.refusal:
        yield Paragraph(Text.assemble(("Refused:", "bold red"), f" {preview.refusal}"))
    elif not preview.has_changes:
        yield _bold("Unchanged: the role has this policy.")
    elif preview.plan.existing_document is None:
        yield _bold("The policy would be created.")
    else:
        yield _bold("The policy would change.")


def _bold(text: str, colour: str = "") -> Text:
    return Text(text, style=f"bold {colour}".strip())


def _labelled(indent: int, label: str, *values: str) -> Iterator[RenderableType]:
    """Yield values below each other, the first beside the label."""
    for value in values:
        yield Paragraph(value, Text.assemble(" " * indent, (label.ljust(_LABEL_WIDTH), "dim")), hanging=2)
        label = ""
