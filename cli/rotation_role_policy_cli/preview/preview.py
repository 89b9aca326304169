"""What the provider would put on the role, and what stands there: found with read-only calls, nothing is changed.

The same modules in the same order as `custom_resource`: declaration, inspection, policy, inline_policy, access_check.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rotation_role_policy import access_check, arn, inline_policy, inspection, policy
from rotation_role_policy.attributes import attributes
from rotation_role_policy.cloudformation import response
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, RequestError
from rotation_role_policy.identity import is_possible_policy_name, policy_name
from rotation_role_policy.policy import Document
from rotation_role_policy.properties import Properties, parse_properties
from rotation_role_policy.state import State
from rotation_role_policy_cli.caller_aws import CallerAws
from rotation_role_policy_cli.preview.overly_permissive import Broader, broader

_SHORTEST_REQUEST = {"StackId": "arn:aws:cloudformation:::stack//" + 36 * "-", "RequestId": 36 * "-"}
"""Of a stack that is not known: what is too long for it is too long for any."""


@dataclass(frozen=True)
class Resource:
    """One `Custom::RotationRolePolicy`. Without a stack it is known by its properties alone."""

    properties: Mapping[str, Any]
    logical_id: str = ""
    stack_id: str = ""
    physical_id: str = ""
    """``<RoleName>/<PolicyName>`` where the stack has it already."""
    policy_name: str = ""
    """Of the inline policy to compare with, where the user names one."""


@dataclass
class Preview:
    """What the provider would do for a resource."""

    resource: Resource
    properties: Properties
    state: State
    document: Document
    policy_name: str
    """Of the policy that stands there, or that would; empty where no stack says it."""
    standing: Document | None
    refusal: str = ""
    """Why the provider would refuse to write, though the facts are all there."""
    broader: list[Broader] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What could not be looked at, and what that leaves open."""

    @property
    def changes(self) -> bool:
        """Whether the role would have another policy than today, or another role would lose its."""
        return self.document != self.standing or bool(self.leaves_role)

    @property
    def leaves_role(self) -> str:
        """The role from which the policy would go, being put on another one; empty where it stays."""
        role_name = self.resource.physical_id.partition("/")[0] if "/" in self.resource.physical_id else ""
        return role_name if role_name != self.state.role.name else ""


Planned = dict[tuple[str, str], Document]
"""What is to be put, by the name of the role and that of the policy, or of its resource where that is not known."""


def preview(aws: CallerAws, resource: Resource, planned: Planned | None = None) -> Preview:
    """Looks everything up. Raises `RequestError` and `AwsApiError` as the provider's modules do.

    `planned` are other policies that come at the same time; this one is added.
    """
    properties = parse_properties(resource.properties)
    with _warnings() as notes:
        state = inspection.inspect(aws, properties, aws.caller.account)
    document = policy.document(state, properties.policy_profile)

    role_name = state.role.name
    # All of them: no policy has an empty name.
    inline = inline_policy.read_others(aws, role_name, "")
    name = resource.policy_name
    if resource.stack_id:
        name = policy_name(resource.stack_id, resource.logical_id)
    elif not name:
        name = _likely_name(inline, resource, state, document, notes)
    found = Preview(resource, properties, state, document, name, inline.pop(name, None), notes=notes)

    attached = _attached(aws, role_name, notes)
    others = {f'the inline policy "{other}"': text for other, text in inline.items()} | attached
    found.broader = broader(document, others)
    notes += _not_the_providers(aws, state)
    planned = {} if planned is None else planned
    inline |= {other: text for (role, other), text in planned.items() if role == role_name}
    planned[role_name, name or resource.logical_id] = document
    try:
        with _warnings() as more_notes:
            _refuse(aws, found, inline)
    except RequestError as refused:
        found.refusal = str(refused)
    notes += more_notes
    return found


def _refuse(aws: CallerAws, found: Preview, others: Mapping[str, Document]) -> None:
    """Raises `RequestError` for what the provider would refuse before it writes."""
    request = {**_SHORTEST_REQUEST, "LogicalResourceId": found.resource.logical_id}
    if found.resource.stack_id:
        request["StackId"] = found.resource.stack_id
    response.check_response_size(
        request,
        found.properties.secret_property,
        len(found.state.secrets),
        f"{found.state.role.name}/{found.policy_name}",
        attributes(found.policy_name, found.state),
    )
    if found.document != found.standing:
        inline_policy.check_size(found.state.role.name, found.document, others.values())
        if found.properties.access_check == "Enforce":
            try:
                warnings = access_check.check_access(aws, found.state, found.document)
                found.notes += [f"The access check leaves open: {warning}." for warning in warnings]
            except (AccessDeniedError, AwsApiError) as failure:
                found.notes.append(f"The access check was not made: {_why(failure)}. The provider would make it.")


def _likely_name(
    inline: Mapping[str, Document], resource: Resource, state: State, document: Document, notes: list[str]
) -> str:
    """The inline policy that stands there for these secrets, by its form; empty where there is none, or more than one.

    Without a stack its name is not known: it is a guess, and `notes` says so.
    """
    wanted = [secret.arn for secret in state.secrets]
    likely = [
        name
        for name, standing in inline.items()
        if is_possible_policy_name(name, resource.logical_id)
        and sorted(policy.summarize(standing).secret_arns) == sorted(wanted)
    ]
    same = [name for name in likely if inline[name] == document]
    if len(likely) > 1:
        notes.append(f"Several policies may be this resource's: {', '.join(likely)}. Give --stack or --policy-name.")
        return same[0] if len(same) == 1 else ""
    if likely:
        notes.append(
            f"It was compared with {likely[0]}, by its form and its secrets. If it is another, say --policy-name."
        )
    return next(iter(likely), "")


def _not_the_providers(aws: CallerAws, state: State) -> list[str]:
    """Secrets that the user may describe, and the provider, as template.yaml has it, may not."""
    return [
        f"The provider may describe secrets of its own account alone, and {secret.arn} is of another."
        for secret in state.all_secrets
        if arn.parse(secret.arn).account != aws.caller.account
    ]


def _why(failure: AccessDeniedError | AwsApiError) -> str:
    if isinstance(failure, AwsApiError):
        return f"{failure.action} answered {failure.code}"
    return f"AWS denies you {failure.action}"


def _attached(aws: CallerAws, role_name: str, notes: list[str]) -> dict[str, Document]:
    """The managed policies of the role: documents by their names in words."""
    documents: dict[str, Document] = {}
    try:
        for one in aws.paginate("ListAttachedRolePolicies", "AttachedPolicies", RoleName=role_name):
            version = aws.call("iam", "GetPolicy", PolicyArn=one["PolicyArn"])["Policy"]["DefaultVersionId"]
            found = aws.call("iam", "GetPolicyVersion", PolicyArn=one["PolicyArn"], VersionId=version)
            documents[f"the managed policy {one['PolicyArn']}"] = found["PolicyVersion"]["Document"]
    except (AccessDeniedError, AwsApiError) as failure:
        notes.append(f"Not all of the role's managed policies were looked at: {_why(failure)}.")
    return documents


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What the provider's modules warn of in the block, such as a key that could not be looked at."""
    notes: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            about = getattr(record, "key", "") or ", ".join(getattr(record, "actions", ()))
            notes.append(f"{record.getMessage()} ({about})." if about else f"{record.getMessage()}.")

    package = logging.getLogger("rotation_role_policy")
    handler = Handler(logging.WARNING)
    package.addHandler(handler)
    try:
        yield notes
    finally:
        package.removeHandler(handler)
