"""The command `preview`: preview one resource, or the resources of a template, and print the result."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from rotation_role_policy.aws.client import Aws
from rotation_role_policy_cli.exit_status import ExitStatus
from rotation_role_policy_cli.messages import EXPECTED_ERRORS, message, other_function
from rotation_role_policy_cli.preview.formats import as_terraform, as_yaml
from rotation_role_policy_cli.preview.page import page
from rotation_role_policy_cli.preview.preview import PlannedDocuments, Preview, is_other_function, preview
from rotation_role_policy_cli.render import Paragraph, show, show_json
from rotation_role_policy_cli.resource import Resource
from rotation_role_policy_cli.schema import TYPE
from rotation_role_policy_cli.template.changes import changes
from rotation_role_policy_cli.template.file import TemplateError, load
from rotation_role_policy_cli.template.names import scheduled_functions
from rotation_role_policy_cli.template.placeholders import is_planned
from rotation_role_policy_cli.template.planned import PlannedResources
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
        stack = DeployedStack.find(aws, stack_name) if stack_name else None
        template = Template(aws, load(path), parameters, stack, stack_name or "")
        aws.retries = PlannedResources(aws.retries, template)
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
                refusal = found.refusal and template.fetched.replaced(found.refusal)
                notes = [
                    template.fetched.replaced(note)
                    for note in (*found.notes, *_template_notes(found, template, stack_name, stack))
                ]
                outcome.previews[name] = replace(found, refusal=refusal, notes=notes)
            elif name in deployed:
                outcome.removed[name] = deployed[name]
        except EXPECTED_ERRORS as error:
            outcome.errors.append(f"{name}: {template.fetched.replaced(message(error))}")
    return outcome


def _template_notes(
    found: Preview, template: Template, stack_name: str | None, stack: DeployedStack | None
) -> Iterator[str]:
    """Yield what is not known yet, and the schedules of the template that name another function."""
    if stack_name and not stack:
        yield f"There is no stack {stack_name} in this region yet. The name of the policy follows from the stack."
    if is_planned(json.dumps([found.plan.document, found.state.role.arn, found.state.function_arn])):
        or_deployed = "" if stack_name else ", or need --stack"
        yield (
            f"Names in <> stand for resources that do not exist yet{or_deployed}. Their keys and their VPC are those of"
            " the template. Policies that could block the role are checked when you deploy."
        )
    for logical_id, name in changes(template, stack, found.state) if stack else ():
        yield (
            f"The template changes {name} of {logical_id}. The preview shows the policy for what {logical_id} is today."
            " Let Triggers refer to the new value, so that the same update renews the policy."
        )
    properties = found.resource.properties
    secret_ids = {properties.get("SecretId"), *properties.get("SecretIds", [])}
    for logical_id, secret_id, function_id in scheduled_functions(template):
        if secret_id in secret_ids and is_other_function(function_id, found.state.function_arn):
            yield other_function(f"The schedule {logical_id}", function_id, found.state.function_arn)


def show_documents(console: Console, outcome: PreviewResult, document_format: str, *, is_single: bool) -> None:
    """Print the documents, keyed by logical ID; null for a policy that would be removed.

    Args:
        console: the terminal or pipe.
        outcome: of the command.
        document_format: ``json``, ``yaml`` or ``terraform``. In the last, each document is a resource with a name.
        is_single: whether the only document is printed without a key, and nothing if there was an error.
    """
    if document_format == "terraform":
        labels: set[str] = set()
        for logical_id, result in outcome.previews.items():
            name = result.policy_name or logical_id or "rotation"
            show(console, Text(as_terraform(name, result.state.role.name, result.plan.document, labels)))
        return
    documents: Any = {name or "": result.plan.document for name, result in outcome.previews.items()}
    documents |= dict.fromkeys(outcome.removed)
    if is_single:
        if outcome.errors:
            return
        documents = next(iter(documents.values()), None)
    if document_format == "yaml":
        show(console, Text(as_yaml(documents).rstrip()))
    else:
        show_json(console, documents)


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
