"""Preview one resource: the policy, the difference from the existing policy, and whether the provider would refuse.

The preview makes only read calls. It runs the provider's own modules in the provider's order: properties, inspection,
policy, access check, write. Instead of the write it checks what IAM would refuse.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rotation_role_policy import arn
from rotation_role_policy.audit.roles import managed_policy
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, RequestError
from rotation_role_policy.lookup import inspection
from rotation_role_policy.provider import response
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.attributes import attributes
from rotation_role_policy.rules.identity import is_possible_policy_name, policy_name
from rotation_role_policy.rules.policy import Document
from rotation_role_policy.rules.properties import Properties, parse_properties
from rotation_role_policy.rules.state import State
from rotation_role_policy.write import access_check, inline_policy
from rotation_role_policy_cli.caller_aws import CallerAws
from rotation_role_policy_cli.preview.overly_permissive import OverlyPermissiveGrant, find_overly_permissive
from rotation_role_policy_cli.resource import Resource

_SHORTEST_STACK_ID = "arn:aws:cloudformation:::stack//" + 36 * "-"
_SHORTEST_REQUEST_ID = 36 * "-"
"""The shortest IDs that a request can have. A response that is too long with them is too long with any."""


@dataclass
class Preview:
    """What the provider would do for a resource."""

    resource: Resource
    properties: Properties
    state: State
    document: Document
    policy_name: str | None
    """The inline policy that `document` is compared with.

    The name follows from the stack, or the user gives it. Otherwise the name is guessed, and `notes` say so; None if
    there is no likely policy on the role.
    """
    current: Document | None
    """The document that the role has under `policy_name`."""
    refusal: str | None = None
    """Why the provider would refuse to write the policy."""
    overly_permissive: list[OverlyPermissiveGrant] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What could not be inspected, and what the preview assumes instead."""

    @property
    def has_changes(self) -> bool:
        """Whether the role would get another document than it has, or another role would lose its policy."""
        return self.document != self.current or self.previous_role is not None

    @property
    def previous_role(self) -> str | None:
        """The name of the role that has the policy today, if that is another role."""
        role_name, slash, _ = (self.resource.physical_id or "").partition("/")
        return role_name if slash and role_name != self.state.role.name else None


PlannedDocuments = dict[tuple[str, str], Document]
"""The documents that the same update would write, keyed by role name and policy name (or logical ID)."""


def preview(aws: CallerAws, resource: Resource, planned: PlannedDocuments | None = None) -> Preview:
    """Preview one resource. Raises `RequestError` and `AwsApiError` as the provider's modules do.

    `planned` has the documents of the resources that were previewed before, because all documents on a role count
    towards IAM's size limit. The document of this resource is added.
    """
    planned = {} if planned is None else planned
    properties = parse_properties(resource.properties)
    with _logged_warnings() as notes:
        state = inspection.inspect(aws, properties, aws.caller.account)
    document = policy.document(state, properties.policy_profile)

    role_name = state.role.name
    # No policy has an empty name, so this reads all inline policies.
    inline = inline_policy.read_others(aws, role_name, "")
    if resource.stack_id and resource.logical_id:
        name: str | None = policy_name(resource.stack_id, resource.logical_id)
    else:
        name = resource.policy_name or _guess_policy_name(inline, resource, state, document, notes)
    current = inline.pop(name, None) if name else None
    result = Preview(resource, properties, state, document, name, current, notes=notes)

    others = {f'the inline policy "{other}"': text for other, text in inline.items()}
    others |= _managed_policies(aws, role_name, notes)
    result.overly_permissive = find_overly_permissive(document, others)
    notes += _cross_account_notes(aws, state)
    inline |= {other: text for (role, other), text in planned.items() if role == role_name}
    planned[role_name, name or resource.logical_id or ""] = document
    try:
        with _logged_warnings() as more_notes:
            _raise_if_refused(aws, result, inline)
    except RequestError as error:
        result.refusal = str(error)
    notes += more_notes
    return result


def _raise_if_refused(aws: CallerAws, result: Preview, others: Mapping[str, Document]) -> None:
    """Raise `RequestError` if the provider would refuse: a response that is too long, blocked access, a full role."""
    response.check_response_size(
        response.RequestIds(
            result.resource.stack_id or _SHORTEST_STACK_ID, _SHORTEST_REQUEST_ID, result.resource.logical_id or ""
        ),
        result.properties.secret_property,
        len(result.state.secrets),
        f"{result.state.role.name}/{result.policy_name or ''}",
        attributes(result.policy_name or "", result.state),
    )
    if result.document != result.current:
        if result.properties.access_check == "Enforce":
            _check_access(aws, result)
        inline_policy.check_size(result.state.role.name, result.document, others.values())


def _check_access(aws: CallerAws, result: Preview) -> None:
    """Raise `RequestError` if a grant would be blocked, and note what the policy simulator leaves open."""
    try:
        warnings = access_check.check_access(aws, result.state, result.document)
    except (AccessDeniedError, AwsApiError) as failure:
        result.notes.append(f"The access check could not run: {_cause(failure)}. The provider will run it.")
    else:
        result.notes += [f"The access check could not decide: {warning}." for warning in warnings]


def _guess_policy_name(
    inline: Mapping[str, Document], resource: Resource, state: State, document: Document, notes: list[str]
) -> str | None:
    """Guess which of the role's inline policies is the resource's own, from their names and their secrets.

    The name follows from the stack, so without a stack it is not known. Adds to `notes` that it is a guess. Returns
    None if no policy is likely, or if several are and not exactly one of them is equal to `document`.
    """
    option = "--stack" if resource.logical_id else "--policy-name"
    secret_arns = sorted(secret.arn for secret in state.secrets)
    likely = [
        name
        for name, other in inline.items()
        if is_possible_policy_name(name, resource.logical_id or "")
        and sorted(policy.summarize(other).secret_arns) == secret_arns
    ]
    if len(likely) > 1:
        notes.append(f"Several inline policies match this resource: {', '.join(likely)}. Give {option}.")
        likely = [name for name in likely if inline[name] == document]
        return likely[0] if len(likely) == 1 else None
    if not likely:
        return None
    notes.append(
        f"The preview compares with {likely[0]}, because its name and secrets match. If this is the wrong policy, give"
        f" {option}."
    )
    return likely[0]


def _cross_account_notes(aws: CallerAws, state: State) -> list[str]:
    """Return a note for each secret that the provider, with the permissions of template.yaml, may not describe."""
    return [
        f"The provider may describe only secrets of its own account, and {secret.arn} is in another account."
        for secret in state.all_secrets
        if arn.parse(secret.arn).account != aws.caller.account
    ]


def _cause(failure: AccessDeniedError | AwsApiError) -> str:
    if isinstance(failure, AwsApiError):
        return f"{failure.action} failed with {failure.code}"
    return f"AWS denies you {failure.action}"


def _managed_policies(aws: CallerAws, role_name: str, notes: list[str]) -> dict[str, Document]:
    """Read the managed policies of a role: documents keyed by their names in words."""
    documents: dict[str, Document] = {}
    try:
        pages = aws.paginate(aws.iam.list_attached_role_policies, RoleName=role_name)
        for policy_arn in (policy["PolicyArn"] for page in pages for policy in page.get("AttachedPolicies", [])):
            documents[f"the managed policy {policy_arn}"] = managed_policy(aws, policy_arn)
    except (AccessDeniedError, AwsApiError) as failure:
        notes.append(f"Not all managed policies of the role were inspected: {_cause(failure)}.")
    return documents


@contextmanager
def _logged_warnings() -> Iterator[list[str]]:
    """Collect the warnings that the provider's modules log in the block, as sentences."""
    notes: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            subject = getattr(record, "key", "") or ", ".join(getattr(record, "actions", ()))
            subject = ": ".join(filter(None, [subject, getattr(record, "problem", "")]))
            notes.append(f"{record.getMessage()} ({subject})." if subject else f"{record.getMessage()}.")

    package = logging.getLogger("rotation_role_policy")
    handler = Handler(logging.WARNING)
    package.addHandler(handler)
    try:
        yield notes
    finally:
        package.removeHandler(handler)
