"""The size of policies: what IAM allows on a role, and what the properties alone show to be too large.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
"""

import json
import re
from collections.abc import Iterable

from rotation_role_policy.errors import ErrorCode, RequestError
from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.rules.place import Place
from rotation_role_policy.rules.properties import Properties
from rotation_role_policy.rules.state import Role, Secret, State

ROLE_LIMIT = 10_240
"""Characters of all inline policies of a role, without white space."""

_RANDOM_SUFFIXES = re.compile(r"(-[A-Za-z0-9]{6})+$")
"""At the end of the full ARN of a secret. The name of a secret can end so too."""


def size(document: JsonDocument) -> int:
    """Return the number of characters that IAM counts, which is without white space."""
    text = json.dumps(document, ensure_ascii=False)
    return sum(not character.isspace() for character in text)


def check_document(properties: Properties, document: JsonDocument) -> None:
    """Raise `RequestError` if a document can never fit a role, whatever other policies the role has.

    Args:
        properties: of the resource, for the message.
        document: for their state, or for the smallest state to which they can lead.
    """
    if size(document) > ROLE_LIMIT:
        lists = {properties.secret_property: properties.secret_ids, "TargetArns": properties.target_arns}
        given = {name: len(values) for name, values in lists.items() if values}
        raise RequestError(
            f"{' and '.join(given)}: the policy for {' and '.join(map(str, given.values()))} values would have at least"
            f" {size(document):,} characters, and IAM allows {ROLE_LIMIT:,} for all inline policies of a role."
            f" Distribute the values over several functions with a role and a resource each.",
            ErrorCode.SERVICE_LIMIT_EXCEEDED,
        )


def smallest_state(properties: Properties, place: Place) -> State:
    """Return the state with the smallest policy and the shortest attributes to which the properties can lead.

    AWS's managed keys, no VPC unless it is declared, and each secret once, even if it may be listed by name and by ARN.

    Args:
        properties: of the resource.
        place: of the provider, which has the resources.
    """
    superuser = properties.superuser_secret_id
    return State(
        secrets=_smallest_secrets(properties.secret_ids, place),
        superuser_secret=_smallest_secrets([superuser], place)[0] if superuser else None,
        role=Role("r", f"arn:{place.partition}:iam::{place.account}:role/r"),
        function_arn="",
        in_vpc=bool(properties.subnet_ids),
        dns_suffix="amazonaws.com",
        target_arns=properties.target_arns,
    )


def _smallest_secrets(secret_ids: Iterable[str], place: Place) -> tuple[Secret, ...]:
    """Return secrets with the shortest ARNs that these IDs can have. IDs that can name one secret count once."""
    prefix = f"arn:{place.partition}:secretsmanager:{place.region}:{place.account}:secret:"
    shortest: dict[str, str] = {}
    for secret_id in secret_ids:
        secret_arn = secret_id if secret_id.startswith("arn:") else f"{prefix}{secret_id}-000000"
        name = _RANDOM_SUFFIXES.sub("", secret_id.split(":")[-1])
        shortest[name] = min(shortest.get(name, secret_arn), secret_arn, key=len)
    return tuple(Secret(secret_arn, None) for secret_arn in shortest.values())
