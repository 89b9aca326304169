"""What the provider would put on the role, and what stands there: found with read-only calls, nothing is changed.

The same modules in the same order as `custom_resource`: declaration, inspection, policy, inline_policy, access_check.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rotation_role_policy import access_check, answer, inline_policy, inspection, policy
from rotation_role_policy.attributes import attributes
from rotation_role_policy.declaration import Declaration, declare
from rotation_role_policy.errors import CallFailed, ProviderDenied, Refused
from rotation_role_policy.identity import policy_name
from rotation_role_policy.policy import Document
from rotation_role_policy.situation import Situation
from rotation_role_policy.tools.broader import Broader, broader
from rotation_role_policy.tools.users_aws import UsersAws

_FORM_OF_OUR_NAMES = re.compile(r"[A-Za-z0-9]{1,115}-[0-9a-f]{12}")
"""As `identity.policy_name` makes them."""

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
    declaration: Declaration
    situation: Situation
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
        """Whether the role would have another policy than today."""
        return self.document != self.standing

    @property
    def leaves_role(self) -> str:
        """The role from which the policy would go, being put on another one; empty where it stays."""
        role_name = self.resource.physical_id.partition("/")[0] if "/" in self.resource.physical_id else ""
        return role_name if role_name != self.situation.role.name else ""


def preview(aws: UsersAws, resource: Resource) -> Preview:
    """Looks everything up. Raises `Refused` and `CallFailed` as the provider's modules do."""
    declaration = declare(resource.properties)
    with _warnings() as notes:
        situation = inspection.inspect(aws, declaration, aws.caller.account)
    document = policy.document(situation, declaration.policy_profile)

    role_name = situation.role.name
    inline = inline_policy.read_others(aws, role_name)
    name = resource.policy_name
    if resource.stack_id:
        name = policy_name(resource.stack_id, resource.logical_id)
    elif not name:
        name = _likely_name(inline, situation, document)
    found = Preview(resource, declaration, situation, document, name, inline.pop(name, None), notes=notes)

    attached = _attached(aws, role_name, found.notes)
    others = {f'the inline policy "{other}"': text for other, text in inline.items()} | attached
    found.broader = broader(document, others)
    try:
        _refuse(aws, found, inline)
    except Refused as refused:
        found.refusal = str(refused)
    return found


def _refuse(aws: UsersAws, found: Preview, others: Mapping[str, Document]) -> None:
    """Raises `Refused` for what the provider would refuse before it writes."""
    request = {**_SHORTEST_REQUEST, "LogicalResourceId": found.resource.logical_id}
    if found.resource.stack_id:
        request["StackId"] = found.resource.stack_id
    answer.refuse_too_many(
        request,
        found.declaration.secret_property,
        len(found.situation.secrets),
        f"{found.situation.role.name}/{found.policy_name}",
        attributes(found.policy_name, found.situation),
    )
    if found.changes:
        inline_policy.refuse_too_large(found.situation.role.name, found.document, others.values())
        if found.declaration.access_check == "Enforce":
            try:
                access_check.refuse_blocked(aws, found.situation, found.document)
            except ProviderDenied as denied:
                found.notes.append(
                    f"The access check was not made: AWS denies you {denied.action}. The provider would make it."
                )


def _likely_name(inline: Mapping[str, Document], situation: Situation, document: Document) -> str:
    """The role's inline policy that a resource of some stack has put there for these secrets; empty without one."""
    ours = {name: standing for name, standing in inline.items() if _FORM_OF_OUR_NAMES.fullmatch(name)}
    arns = {secret.arn for secret in situation.secrets}
    same = [name for name, standing in ours.items() if standing == document]
    of_same_secrets = [name for name, standing in ours.items() if any(secret in str(standing) for secret in arns)]
    return next(iter(same + of_same_secrets), "")


def _attached(aws: UsersAws, role_name: str, notes: list[str]) -> dict[str, Document]:
    """The managed policies of the role: documents by their names in words."""
    documents: dict[str, Document] = {}
    try:
        for one in aws.items("ListAttachedRolePolicies", "AttachedPolicies", RoleName=role_name):
            version = aws.call("iam", "GetPolicy", PolicyArn=one["PolicyArn"])["Policy"]["DefaultVersionId"]
            found = aws.call("iam", "GetPolicyVersion", PolicyArn=one["PolicyArn"], VersionId=version)
            documents[f"the managed policy {one['PolicyArn']}"] = found["PolicyVersion"]["Document"]
    except (ProviderDenied, CallFailed) as failure:
        said = f"AWS denies you {failure.action}"
        if isinstance(failure, CallFailed):
            said = f"{failure.action} answered {failure.code}"
        notes.append(f"Not all of the role's managed policies were looked at: {said}.")
    return documents


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What the provider's modules warn of in the block, such as a key that could not be looked at."""
    notes: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            about = getattr(record, "facts", {}).get("key", "")
            notes.append(f"{record.getMessage()} ({about})." if about else f"{record.getMessage()}.")

    package = logging.getLogger("rotation_role_policy")
    handler = Handler(logging.WARNING)
    package.addHandler(handler)
    try:
        yield notes
    finally:
        package.removeHandler(handler)
