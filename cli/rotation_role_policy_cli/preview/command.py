"""The command `preview`: preview one resource, or the resources of a template, and print the result."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from rotation_role_policy.aws.client import Aws
from rotation_role_policy_cli.exit_status import ExitStatus
from rotation_role_policy_cli.messages import EXPECTED_ERRORS, message
from rotation_role_policy_cli.preview.page import page
from rotation_role_policy_cli.preview.preview import PlannedDocuments, Preview, preview
from rotation_role_policy_cli.render import Paragraph, show, show_json
from rotation_role_policy_cli.resource import Resource
from rotation_role_policy_cli.schema import TYPE
from rotation_role_policy_cli.template.file import TemplateError, load
from rotation_role_policy_cli.template.resolver import Template
from rotation_role_policy_cli.template.stack import DeployedStack


class PreviewResult(NamedTuple):
    """The result of the command."""

    previews: dict[str | None, Preview]
    """Keyed by logical ID; None for a resource that options describe."""
    removed: dict[str, str]
    """The physical IDs of resources that the template no longer has, keyed by logical ID."""
    errors: list[str]

    @property
    def status(self) -> ExitStatus:
        """The exit status of the command."""
        if self.errors or self.refusals:
            return ExitStatus.ERROR
        is_changed = self.removed or any(result.has_changes for result in self.previews.values())
        return ExitStatus.WOULD_CHANGE if is_changed else ExitStatus.UNCHANGED

    @property
    def refusals(self) -> list[str]:
        """Why the provider would refuse, for each resource that it would refuse."""
        return [
            f"{logical_id}: {result.refusal}" if logical_id else result.refusal
            for logical_id, result in self.previews.items()
            if result.refusal
        ]


def preview_properties(aws: Aws, properties: Mapping[str, Any], policy_name: str | None) -> PreviewResult:
    """Preview a resource with these properties."""
    try:
        return PreviewResult({None: preview(aws, Resource(properties, policy_name=policy_name))}, {}, [])
    except EXPECTED_ERRORS as error:
        return PreviewResult({}, {}, [message(error)])


def preview_template(
    aws: Aws, path: Path, parameters: Mapping[str, str], stack_name: str | None, logical_id: str | None
) -> PreviewResult:
    """Preview the resources of a template, or only one of them.

    Resources that only the deployed stack has count as removed. An error in one resource does not stop the others.
    """
    outcome = PreviewResult({}, {}, [])
    try:
        stack = DeployedStack(aws, stack_name) if stack_name else None
        template = Template(aws, load(path), parameters, stack)
        deployed = stack.policy_ids if stack else {}
        logical_ids = list(dict.fromkeys([*template.logical_ids, *deployed]))
        if logical_id:
            if logical_id not in logical_ids:
                raise TemplateError(f"--resource {logical_id}: {path} has no {TYPE} with this logical ID.")
            logical_ids = [logical_id]
        else:
            outcome.errors.extend(template.unexpanded)
        if not logical_ids and not outcome.errors:
            raise TemplateError(f"{path} has no {TYPE}.")
    except EXPECTED_ERRORS as error:
        return PreviewResult({}, {}, [message(error)])
    planned: PlannedDocuments = {}
    for name in logical_ids:
        try:
            if name in template.logical_ids and not template.is_excluded(name):
                found = preview(aws, template.resource(name), planned)
                refusal = found.refusal and template.without_fetched(found.refusal)
                notes = [template.without_fetched(note) for note in found.notes]
                outcome.previews[name] = replace(found, refusal=refusal, notes=notes)
            elif name in deployed:
                outcome.removed[name] = deployed[name]
        except EXPECTED_ERRORS as error:
            outcome.errors.append(f"{name}: {template.without_fetched(message(error))}")
    return outcome


def show_documents(console: Console, outcome: PreviewResult, *, is_single: bool) -> None:
    """Print the documents as JSON, keyed by logical ID; null for a policy that would be removed.

    With `is_single`, print the only document without a key, or nothing if there was an error.
    """
    documents: dict[str, Any] = {name or "": result.plan.document for name, result in outcome.previews.items()}
    documents |= dict.fromkeys(outcome.removed)
    if not is_single:
        show_json(console, documents)
    elif not outcome.errors:
        show_json(console, next(iter(documents.values()), None))


def show_pages(console: Console, outcome: PreviewResult) -> None:
    """Print a page for each preview, and a sentence for each policy that would be removed."""
    for result in outcome.previews.values():
        show(console, *page(result), "")
    for logical_id, physical_id in outcome.removed.items():
        role_name, _, policy_name = physical_id.partition("/")
        text = f"{logical_id} will be removed, and with it the policy {policy_name} on the role {role_name}."
        show(console, Paragraph(text), "")
    if not outcome.previews and not outcome.removed and not outcome.errors:
        show(console, Paragraph(f"Nothing to preview: the template's conditions exclude every {TYPE}."), "")
