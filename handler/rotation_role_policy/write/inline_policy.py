"""Read, put and delete the resource's own inline policy on the role. No policy with another name is changed."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import cast

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AwsApiError, ErrorCode, RequestError, quoted, role_not_found
from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.rules.own_policies import own_policies
from rotation_role_policy.rules.size import ROLE_LIMIT, size


def read(aws: Aws, role_name: str, policy_name: str) -> JsonDocument | None:
    """Return the document of the role's policy with this name; None if the policy or the role does not exist."""
    try:
        response = aws.call(aws.iam.get_role_policy, RoleName=role_name, PolicyName=policy_name)
    except AwsApiError as error:
        if error.code == "NoSuchEntity":
            return None
        raise
    # botocore decodes the document.
    return cast(JsonDocument, response["PolicyDocument"])


def read_others(aws: Aws, role_name: str, policy_name: str) -> dict[str, JsonDocument]:
    """Return the role's other inline policies: documents by name. Raises `RequestError` if the role does not exist."""
    try:
        pages = list(aws.paginate(aws.iam.list_role_policies, RoleName=role_name))
    except AwsApiError as error:
        if error.code == "NoSuchEntity":
            raise role_not_found(role_name) from error
        raise
    names = [name for page in pages for name in page["PolicyNames"]]
    # A policy can be deleted between the two calls.
    documents = {name: read(aws, role_name, name) for name in names if name != policy_name}
    return {name: document for name, document in documents.items() if document}


def check_size(role_name: str, document: JsonDocument, others: Mapping[str, JsonDocument]) -> None:
    """Raise `RequestError` if `document` and the role's `others` (by name) together exceed IAM's limit."""
    total = size(document) + sum(size(other) for other in others.values())
    if total > ROLE_LIMIT:
        raise _too_large(role_name, f"{total:,}", size(document), others)


def put(aws: Aws, role_name: str, policy_name: str, document: JsonDocument) -> None:
    """Create or replace the policy with this name.

    IAM itself rejects a document that exceeds the role's limit, and then writes nothing. Only then are the other
    policies read, for the message.

    Raises:
        RequestError: the role does not exist, is a service-linked role, or is full.
    """
    try:
        text = json.dumps(document)
        aws.call_on_role(aws.iam.put_role_policy, RoleName=role_name, PolicyName=policy_name, PolicyDocument=text)
    except AwsApiError as error:
        if error.code == "NoSuchEntity":
            raise role_not_found(role_name) from error
        if error.code == "UnmodifiableEntity":
            raise RequestError(
                f"The role {quoted(role_name)} is a service-linked role, which cannot have an inline policy. Give the"
                f" function a role of its own.",
            ) from error
        if error.code == "LimitExceeded":
            others: dict[str, JsonDocument] = {}
            # The sizes are only for the message.
            with suppress(RequestError):
                others = read_others(aws, role_name, policy_name)
            check_size(role_name, document, others)
            raise _too_large(role_name, f"more than {ROLE_LIMIT:,}", size(document), others) from error
        raise


def delete(aws: Aws, role_name: str, policy_name: str) -> bool:
    """Delete the policy with this name. Returns False if the policy or the role does not exist."""
    try:
        aws.call(aws.iam.delete_role_policy, RoleName=role_name, PolicyName=policy_name)
    except AwsApiError as error:
        # A role that only AWS can modify cannot have the policy, because the provider could not have put it there.
        if error.code in ("NoSuchEntity", "UnmodifiableEntity"):
            return False
        raise
    return True


def restore(aws: Aws, role_name: str, policy_name: str, previous: JsonDocument | None) -> None:
    """Restore what `read` returned before: this document, or no policy. Raises as `put` and `delete`."""
    if previous is None:
        delete(aws, role_name, policy_name)
    else:
        put(aws, role_name, policy_name, previous)


def _too_large(role_name: str, total: str, own: int, others: Mapping[str, JsonDocument]) -> RequestError:
    of_resources = len(own_policies(others))
    advice = (
        f"Inline policies of other Custom::RotationRolePolicy resources on this role: {of_resources}. List all secrets"
        f" of the function in SecretIds of one resource, or give each function a role of its own."
        if of_resources
        else "Move other inline policies to a managed policy, or give the function a role of its own."
    )
    return RequestError(
        f"The role {quoted(role_name)} is full: with this policy ({own:,} characters), its inline policies would have"
        f" {total} characters, and IAM allows {ROLE_LIMIT:,}. {advice}",
        ErrorCode.SERVICE_LIMIT_EXCEEDED,
    )
