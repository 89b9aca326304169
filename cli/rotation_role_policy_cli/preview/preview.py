"""Preview one resource: the policy, the difference from the existing policy, and whether the provider would refuse.

The preview makes only read calls. It runs the provider's own modules in the provider's order: properties, look-ups,
plan, access check, write. Instead of the write it checks what IAM would refuse.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, RequestError
from rotation_role_policy.iam.document import JsonDocument, Policy, PolicyKind, PolicyName, parse
from rotation_role_policy.lookup.resource import inspect
from rotation_role_policy.lookup.roles import attached_policies, boundary_of, managed_policy
from rotation_role_policy.provider import response
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.attributes import attributes
from rotation_role_policy.rules.excess import Excess, find_excess
from rotation_role_policy.rules.identity import is_possible_policy_name
from rotation_role_policy.rules.needed import needed_by
from rotation_role_policy.rules.own_policies import other_policies, own_policies
from rotation_role_policy.rules.place import Place
from rotation_role_policy.rules.plan import Plan, make_plan, redirected
from rotation_role_policy.rules.properties import Properties, parse_properties
from rotation_role_policy.rules.size import check_document, smallest_state
from rotation_role_policy.rules.state import Role, RolePolicies, State
from rotation_role_policy.rules.warnings import warnings_of
from rotation_role_policy.write import access_check, inline_policy
from rotation_role_policy_cli import messages
from rotation_role_policy_cli.resource import Resource
from rotation_role_policy_cli.template.placeholders import is_planned

_DOCUMENTED_NOTE = (
    "The provider writes PolicyProfile Documented only if the parameter AllowDocumentedProfile of its stack is true."
)
_SHORTEST_STACK_ID = "arn:aws:cloudformation:::stack//" + 36 * "-"
_SHORTEST_REQUEST_ID = 36 * "-"
"""The shortest IDs that a request can have. A response that is too long with them is too long with any."""


@dataclass
class Preview:
    """What the provider would do for a resource."""

    resource: Resource
    properties: Properties
    state: State
    """As inspected and declared."""
    plan: Plan
    policy_name: str | None
    """The inline policy with which the plan compares.

    The name follows from the stack, or the user gives it. Otherwise the name is guessed, and `notes` say so; None if
    there is no likely policy on the role.
    """
    refusal: str | None = None
    """Why the provider would refuse to write the policy."""
    excess: list[Excess] = field(default_factory=list)
    """What the other policies on the role grant beyond what the rotation needs."""
    notes: list[str] = field(default_factory=list)
    """What could not be inspected, and what the preview assumes instead."""

    @property
    def planned_state(self) -> State:
        """The state of the planned document: a function that has just left its VPC still counts as in a VPC."""
        return replace(self.state, in_vpc=policy.summarize(self.plan.document).in_vpc)

    @property
    def has_changes(self) -> bool:
        """Whether the role would get another document than it has, or another role would lose its policy."""
        return self.plan.is_changed or self.previous_role is not None

    @property
    def previous_role(self) -> str | None:
        """The name of the role that has the policy today, if that is another role."""
        current_role = self.resource.current_role
        return current_role if current_role and current_role != self.state.role.name else None


PlannedDocuments = dict[tuple[str, str], JsonDocument]
"""The documents that the same update would write, keyed by role name and policy name (or logical ID)."""


def preview(aws: Aws, resource: Resource, planned: PlannedDocuments | None = None) -> Preview:
    """Preview one resource. Raises `RequestError` and `AwsApiError` as the provider's modules do.

    `planned` has the documents of the resources that were previewed before, because all documents on a role count
    towards IAM's size limit. The document of this resource is added.
    """
    planned = {} if planned is None else planned
    properties = parse_properties(resource.properties)
    place = Place(aws.caller.partition, aws.region(), aws.caller.account)
    smallest = smallest_state(properties, place)
    _check_response(resource, properties, smallest, policy_name="")
    check_document(properties, policy.document(smallest, *properties.form))
    state = inspect(aws, properties, place, partial(_existing_document, aws, resource), resource.current_role)
    notes = [messages.warning(warning) for warning in warnings_of(state)]
    if properties.policy_profile == "Documented":
        notes.append(_DOCUMENTED_NOTE)
    notes += [
        messages.other_function(f"The secret {secret.arn} today", secret.rotation_function_id, state.function_arn)
        for secret in state.secrets
        if secret.rotation_function_id and is_other_function(secret.rotation_function_id, state.function_arn)
    ]

    role_name = state.role.name
    # No policy has an empty name, so this reads all inline policies.
    inline = inline_policy.read_others(aws, role_name, "")
    if resource.own_policy_name:
        name: str | None = resource.own_policy_name
    else:
        document = policy.document(state, *properties.form)
        name = resource.policy_name or _guess_policy_name(inline, resource, state, document, notes)
    # The properties of the deployed resource are not known. So in declared mode, existing network statements stay.
    plan = make_plan(properties, None, state, inline.pop(name, None) if name else None, datetime.now(UTC))
    result = Preview(resource, properties, state, plan, name, notes=notes)

    role = _role_policies(aws, state.role, inline, notes)
    planned_here = {other: text for (role_with, other), text in planned.items() if role_with == role_name}
    result.excess = _excess(role, state, plan.document, [*own_policies(inline).values(), *planned_here.values()])
    inline |= planned_here
    planned[role_name, name or resource.logical_id or ""] = plan.document
    try:
        _raise_if_refused(aws, result, inline)
    except RequestError as error:
        result.refusal = str(error)
    return result


def is_other_function(function_id: str, function_arn: str) -> bool:
    """Return whether an ID is certainly not that of a function.

    Args:
        function_id: name, partial ARN or full ARN, with or without a version or alias.
        function_arn: full ARN without version and alias; empty in declared mode.
    """
    if not function_arn or not arn.FUNCTION.fullmatch(function_id):
        return False
    function, _ = arn.split_qualifier(function_id)
    # A name or a partial ARN is the end of the full ARN.
    return not f":{function_arn}".endswith(f":{function}")


def _raise_if_refused(aws: Aws, result: Preview, others: Mapping[str, JsonDocument]) -> None:
    """Raise `RequestError` if the provider would refuse: a response that is too long, blocked access, a full role."""
    _check_response(result.resource, result.properties, result.state, result.policy_name or "")
    check_document(result.properties, result.plan.document)
    _check_redirection(result)
    if result.plan.needs_access_check:
        _check_access(aws, result)
    if result.plan.is_changed:
        inline_policy.check_size(result.state.role.name, result.plan.document, others)


def _check_response(resource: Resource, properties: Properties, state: State, policy_name: str) -> None:
    """Raise `RequestError` if the response with the attributes of a state would be too long."""
    response.check_response_size(
        response.RequestIds(resource.stack_id or _SHORTEST_STACK_ID, _SHORTEST_REQUEST_ID, resource.logical_id or ""),
        properties.secret_property,
        len(state.secrets),
        f"{state.role.name}/{policy_name}",
        attributes(policy_name, state),
    )


def _check_redirection(result: Preview) -> None:
    """Raise `RequestError` if only the secrets' configuration would move the policy of a deployed resource."""
    if result.previous_role and not result.properties.names_role:
        raise redirected(
            result.properties.secret_property,
            result.state.function_reported_by,
            result.state.function_arn,
            result.state.role.name,
            result.previous_role,
        )


def _existing_document(aws: Aws, resource: Resource) -> JsonDocument | None:
    """Return the document of the policy that the physical ID of a deployed resource names; None if there is none."""
    role_name = resource.current_role
    return inline_policy.read(aws, role_name, resource.own_policy_name) if role_name else None


def _check_access(aws: Aws, result: Preview) -> None:
    """Raise `RequestError` if a grant would be blocked, and note what the policy simulator leaves open."""
    arns = [result.state.role.arn, *(secret.arn for secret in result.state.all_secrets), *result.state.key_arns]
    if any(map(is_planned, arns)):
        # Whether a condition on a name holds is not known.
        return
    try:
        warnings = access_check.check_access(aws, result.state, result.plan.document)
    except (AccessDeniedError, AwsApiError) as failure:
        result.notes.append(f"The access check could not run: {_cause(failure)}. The provider will run it.")
    else:
        result.notes += [f"The access check could not decide: {warning}." for warning in warnings]


def _guess_policy_name(
    inline: Mapping[str, JsonDocument], resource: Resource, state: State, document: JsonDocument, notes: list[str]
) -> str | None:
    """Guess which of the role's inline policies is the resource's own, from their names and their secrets.

    The name follows from the stack, so without a stack it is not known. Adds to `notes` that it is a guess. Returns
    None if no policy is likely, or if several are and none of them is equal to `document`.
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
        # If several stacks have written the same document, it is unchanged for each of them.
        return next((name for name in likely if inline[name] == document), None)
    if not likely:
        return None
    notes.append(
        f"The preview compares with {likely[0]}, because its name and secrets match. If this is the wrong policy, give"
        f" {option}."
    )
    return likely[0]


def _cause(failure: AccessDeniedError | AwsApiError) -> str:
    if isinstance(failure, AwsApiError):
        return f"{failure.action} failed with {failure.code}"
    return f"AWS denies you {failure.action}"


def _role_policies(aws: Aws, role: Role, inline: Mapping[str, JsonDocument], notes: list[str]) -> RolePolicies:
    """Return the other policies on a role. Adds to `notes` what could not be inspected."""
    managed: dict[str, JsonDocument] = {}
    boundary_arn, boundary = "", None
    try:
        for policy_arn in attached_policies(aws, role.name):
            managed[policy_arn] = managed_policy(aws, policy_arn)
        if boundary_arn := boundary_of(aws, role.name):
            boundary = managed_policy(aws, boundary_arn)
    except (AccessDeniedError, AwsApiError) as failure:
        notes.append(f"Not all managed policies of the role were inspected: {_cause(failure)}.")
    return RolePolicies(role, {}, inline, managed, boundary_arn, boundary)


def _readable_secrets(document: JsonDocument) -> Iterator[str]:
    """Yield the secrets that a policy of the provider allows to read, among them the superuser secret."""
    for statement in parse(document):
        if statement.allows and statement.includes_action("secretsmanager:GetSecretValue"):
            yield from statement.resources.patterns


def _excess(role: RolePolicies, state: State, document: JsonDocument, others: list[JsonDocument]) -> list[Excess]:
    """Return what the other policies of a role grant beyond what this resource and the others on the role need.

    `others` are the documents of the other resources, which other rotations need. Functions that have no such resource
    are not known here.
    """
    needed = needed_by([state])
    summaries = [policy.summarize(other) for other in others]
    needed = needed._replace(
        rotated_arns={*needed.rotated_arns, *(each for summary in summaries for each in summary.secret_arns)},
        superuser_arns={*needed.superuser_arns, *(each for other in others for each in _readable_secrets(other))},
        key_arns={*needed.key_arns, *(each for summary in summaries for each in summary.key_arns)},
        in_vpc=needed.in_vpc or any(summary.in_vpc for summary in summaries),
    )
    # The Deny of the new document counts too.
    new = Policy(PolicyName(PolicyKind.INLINE, ""), document)
    return find_excess(other_policies(role), [*role.policies, new], role.boundary_policy, needed)
