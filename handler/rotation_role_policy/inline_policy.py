"""This resource's own inline policy on the role: read, put, deleted. No policy of another name is touched."""

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import CallFailed, Kind, OutOfTime, ProviderDenied, Refused, no_such_role, quoted
from rotation_role_policy.policy import Document

# All inline policies of a role together, white space not counted.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
ROLE_LIMIT = 10_240


def read(aws: Aws, role_name: str, policy_name: str) -> Document | None:
    """The document that stands on the role under this name; None where there is none, or no such role."""
    try:
        response = aws.call("iam", "GetRolePolicy", RoleName=role_name, PolicyName=policy_name)
    except CallFailed as failure:
        if failure.code == "NoSuchEntity":
            return None
        raise
    document: Document = response["PolicyDocument"]
    return document


def read_others(aws: Aws, role_name: str, policy_name: str) -> dict[str, Document]:
    """The role's inline policies but for the one of this name: documents by name. Raises `Refused` without the role."""
    try:
        names = list(aws.items("ListRolePolicies", "PolicyNames", RoleName=role_name))
    except CallFailed as failure:
        if failure.code == "NoSuchEntity":
            raise no_such_role(role_name) from failure
        raise
    # One can go between the two calls.
    documents = {name: read(aws, role_name, name) for name in names if name != policy_name}
    return {name: document for name, document in documents.items() if document}


def check_size(role_name: str, document: Document, others: Iterable[Document]) -> None:
    """Raise `Refused` if the role's inline policies, `document` and the `others`, would exceed IAM's limit."""
    total = size(document) + sum(size(other) for other in others)
    if total > ROLE_LIMIT:
        raise _too_large(role_name, f"{total:,}", size(document))


def put(aws: Aws, role_name: str, policy_name: str, document: Document) -> None:
    """Puts the document under this name, in place of what stands there.

    Raises `Refused` where the role is gone, is AWS's own, or is full. IAM itself refuses a document that would exceed
    the role's limit, with nothing written: the other policies are measured only for the text of that error.
    """
    try:
        text = json.dumps(document)
        aws.call_on_role("PutRolePolicy", RoleName=role_name, PolicyName=policy_name, PolicyDocument=text)
    except CallFailed as failure:
        if failure.code == "NoSuchEntity":
            raise no_such_role(role_name) from failure
        if failure.code == "UnmodifiableEntity":
            raise Refused(
                f"The role {quoted(role_name)} is a service-linked role, which takes no inline policy. Give the"
                f" function a role of its own.",
                Kind.ROLE,
            ) from failure
        if failure.code == "LimitExceeded":
            # The other policies are in the way of no other request, and may be hard to read: IAM has said enough.
            with suppress(CallFailed, OutOfTime, ProviderDenied):
                check_size(role_name, document, read_others(aws, role_name, policy_name).values())
            raise _too_large(role_name, f"more than {ROLE_LIMIT:,}", size(document)) from failure
        raise


def delete(aws: Aws, role_name: str, policy_name: str) -> bool:
    """Deletes the policy of this name. False where there can be none: it, or the role, is not there."""
    try:
        aws.call("iam", "DeleteRolePolicy", RoleName=role_name, PolicyName=policy_name)
    except CallFailed as failure:
        # A role that only AWS can modify has no policy of ours: what we may not take away, we could not put there.
        if failure.code in ("NoSuchEntity", "UnmodifiableEntity"):
            return False
        raise
    return True


def restore(aws: Aws, role_name: str, policy_name: str, standing: Document | None) -> None:
    """Brings back what `read` has given before: that document, or none. Raises as `put` and `delete` do."""
    if standing is None:
        delete(aws, role_name, policy_name)
    else:
        put(aws, role_name, policy_name, standing)


def size(document: Any) -> int:
    """The document's characters as IAM counts them: without white space."""
    text = json.dumps(document, ensure_ascii=False)
    return sum(not character.isspace() for character in text)


def _too_large(role_name: str, total: str, own: int) -> Refused:
    return Refused(
        f"The role {quoted(role_name)} is full: with this policy ({own:,} characters) its inline policies would have"
        f" {total} characters; IAM allows {ROLE_LIMIT:,}. Move others to a managed policy.",
        Kind.LIMIT,
    )
