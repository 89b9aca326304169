"""Read, put and delete the resource's own inline policy on the role. No policy with another name is changed."""

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, cast

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AwsApiError, ErrorCode, RequestError, quoted, role_not_found
from rotation_role_policy.iam.document import JsonDocument

# Characters of all inline policies of a role, without white space.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
ROLE_LIMIT = 10_240


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


def check_size(role_name: str, document: JsonDocument, others: Iterable[JsonDocument]) -> None:
    """Raise `RequestError` if `document` and the role's `others` together exceed IAM's limit."""
    total = size(document) + sum(size(other) for other in others)
    if total > ROLE_LIMIT:
        raise _too_large(role_name, f"{total:,}", size(document))


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
            check_size(role_name, document, others.values())
            raise _too_large(role_name, f"more than {ROLE_LIMIT:,}", size(document)) from error
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


def size(document: Any) -> int:
    """Return the number of characters that IAM counts, which is without white space."""
    text = json.dumps(document, ensure_ascii=False)
    return sum(not character.isspace() for character in text)


def _too_large(role_name: str, total: str, own: int) -> RequestError:
    return RequestError(
        f"The role {quoted(role_name)} is full: with this policy ({own:,} characters), its inline policies would have"
        f" {total} characters, and IAM allows {ROLE_LIMIT:,}. Move other inline policies to a managed policy.",
        ErrorCode.SERVICE_LIMIT_EXCEEDED,
    )
