"""The existing policy, for an Update of a rollback whose old properties no longer lead to a policy.

The secret was deleted, or its key was disabled, so the document for the old properties cannot be built. The existing
policy stays, and the attributes are derived from what is known. Source: docs/guarantees.md, "Rollbacks".
"""

from contextlib import suppress

from rotation_role_policy import arn
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import RequestError
from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.lookup.resource import find_function
from rotation_role_policy.lookup.roles import describe_role
from rotation_role_policy.provider.request import Request
from rotation_role_policy.provider.response import Success, fit_attributes
from rotation_role_policy.rules import attributes, identity
from rotation_role_policy.rules.place import Place
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy.rules.state import Function, Role
from rotation_role_policy.write import inline_policy


def find(aws: Aws, request: Request, previous_role: str, place: Place) -> Success:
    """Return the response to an Update of a rollback with the existing policy. An unknown attribute is empty.

    The policy is looked up on `previous_role`, then on the role that the template names by itself or by its function,
    then on the role that the physical ID of the request names. What the secrets report does not count: whoever
    configures a rotation could show another policy with this name.

    If the update moved the policy to another role, the old policy still exists on the old role, because
    CloudFormation's clean-up follows the rollback. The response then has the old physical ID, so that CloudFormation
    deletes the new policy. It would never delete the old one.

    Args:
        aws: makes the calls.
        request: an Update with the old properties.
        previous_role: the role before the update, if the update moved the policy; else empty.
        place: of the provider. The roles are in its account.
    """
    named, function = _named_by_template(aws, request, place)
    role_name, document = _locate(aws, request, previous_role, named)
    return _response(aws, request, role_name, document, function, place)


def on_own_role(aws: Aws, request: Request, place: Place) -> Success:
    """Return the response with the policy on the role that the physical ID of the request names."""
    document = None
    with suppress(RequestError):
        document = inline_policy.read(aws, request.role_name, request.policy_name)
    return _response(aws, request, request.role_name, document, None, place)


def without_lookup(request: Request, place: Place) -> Success:
    """Return the response with the existing policy if there is no time for any look-up."""
    role = _role_without_path(request.role_name, place)
    return Success(request.physical_id, attributes.from_document(request.policy_name, role, None, None))


def _response(
    aws: Aws,
    request: Request,
    role_name: str,
    document: JsonDocument | None,
    function: Function | None,
    place: Place,
) -> Success:
    if function and function.role.name == role_name:
        role = function.role
    else:
        role, function = _describe_role(aws, role_name, place), None
    data = attributes.from_document(request.policy_name, role, function, document)
    physical_id = identity.physical_id(role_name, request.policy_name) if role_name else request.physical_id
    return Success(physical_id, fit_attributes(request.ids, physical_id, data))


def _named_by_template(aws: Aws, request: Request, place: Place) -> tuple[str, Function | None]:
    """Return the role that the template names, by itself or by its function, and the function if it is found."""
    try:
        properties = parse_properties(request.properties)
    except RequestError:
        return "", None
    if properties.names_role:
        with suppress(RequestError):
            function = find_function(aws, properties, place)
            return function.role.name, function
    return arn.role_name(properties.role_name or ""), None


def _locate(aws: Aws, request: Request, previous_role: str, named: str) -> tuple[str, JsonDocument | None]:
    """Return the first of the roles that has the policy, and the document; the request's role and None if none has it.

    Arguments as for `find`; `named` is the role that the template names.
    """
    for role_name in filter(None, (previous_role, named, request.role_name)):
        try:
            document = inline_policy.read(aws, role_name, request.policy_name)
        except RequestError:
            if role_name == previous_role:
                # According to CloudFormation the policy is on the previous role. If the response named another role,
                # nothing would ever delete this policy.
                return role_name, None
        else:
            if document:
                return role_name, document
    return request.role_name, None


def _describe_role(aws: Aws, role_name: str, place: Place) -> Role:
    with suppress(RequestError):
        return describe_role(aws, role_name)
    return _role_without_path(role_name, place)


def _role_without_path(role_name: str, place: Place) -> Role:
    """Return a role of which only the name is known. If it has a path, the ARN is wrong."""
    return Role(role_name, f"arn:{place.partition}:iam::{place.account}:role/{role_name}")
