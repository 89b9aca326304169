"""Requests that the provider refuses, whatever it would find in AWS. The decisions need no call."""

from rotation_role_policy.errors import RequestError, quoted, quoted_text
from rotation_role_policy.provider.request import Request
from rotation_role_policy.rules.place import Place
from rotation_role_policy.rules.properties import RESOURCE_TYPE


def is_foreign(request: Request, place: Place) -> bool:
    """Return whether the stack of a request is in another account, region or partition than the provider."""
    try:
        return Place.of(request.stack_id) != place
    except ValueError:
        return True


def foreign_stack(request: Request, place: Place) -> RequestError:
    """Return the error for a request of a stack that `is_foreign`."""
    return RequestError(
        f"The stack {quoted(request.stack_id)} is not in region {place.region} of account {place.account}, whose stacks"
        f" the provider serves. Deploy a provider in the stack's account and region, and use its ServiceToken."
    )


def check_type(request: Request) -> None:
    """Raise `RequestError` if the resource has another type than Custom::RotationRolePolicy."""
    if request.resource_type != RESOURCE_TYPE:
        raise RequestError(
            f"The resource type {quoted_text(request.resource_type)} is not {RESOURCE_TYPE}. Use {RESOURCE_TYPE} under"
            f" a new logical ID (in the CDK: resourceType)."
        )


def documented_not_allowed() -> RequestError:
    """Return the error for the profile `Documented` if the provider's stack does not allow it."""
    return RequestError(
        "PolicyProfile Documented is not allowed: it grants kms:Decrypt without a condition. Use Strict, which has the"
        " same grants with conditions. Or the administrator of the provider allows it with the parameter"
        " AllowDocumentedProfile of its stack (sam deploy --parameter-overrides AllowDocumentedProfile=true)."
    )
