"""What a person declared for a rotation: the superuser secret and the targets, as far as the role's policies show them.

No API reports them. The policy that a `Custom::RotationRolePolicy` has put on the role has them all; other policies
show them as grants on whole ARNs.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.iam.wildcard import as_list, matches
from rotation_role_policy.rules.identity import is_possible_policy_name
from rotation_role_policy.rules.policy import Document, summarize
from rotation_role_policy.rules.targets import ANY_TARGET, target_type

_ROTATE_ACTIONS = {
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
}
"""The actions of the first statement of every policy that the provider writes."""


class Declared(NamedTuple):
    """What the policies of a role show about a rotation."""

    superuser_arns: tuple[str, ...] = ()
    """The candidates for the superuser secret. More than one leaves it unknown."""
    target_arns: tuple[str, ...] = ()
    describes_superuser: bool = False
    """Whether the function may describe the superuser secret."""
    wildcard: str = ""
    """A pattern by which the role may read other secrets too, so that the superuser secret can be any of them."""


def own_policies(inline: Mapping[str, Document]) -> dict[str, Document]:
    """Return those inline policies that a `Custom::RotationRolePolicy` has put on the role."""
    return {name: document for name, document in inline.items() if _is_own(name, document)}


def _is_own(name: str, document: Document) -> bool:
    statements = as_list(document.get("Statement", []))
    if not is_possible_policy_name(name, "") or not statements:
        return False
    return set(as_list(statements[0].get("Action", []))) == _ROTATE_ACTIONS and all(
        arn.SECRET.fullmatch(secret) for secret in summarize(document).secret_arns
    )


def declared_by(documents: Iterable[Document], rotated_arns: Collection[str]) -> Declared:
    """Return what the documents show about the superuser secret and the targets.

    Args:
        documents: the provider's policy alone, or all policies of the role.
        rotated_arns: the secrets that the functions of the role rotate.
    """
    readable: dict[str, None] = {}
    described: set[str] = set()
    writable: set[str] = set()
    targets: dict[str, None] = {}
    wildcard = ""
    for actions, resource in (grant for document in documents for grant in _grants(document)):
        secret = arn.ANY_RANDOM_SUFFIX.sub("", resource)
        if ":secretsmanager:" in resource and arn.SECRET.fullmatch(secret):
            if _has(actions, "secretsmanager:PutSecretValue"):
                writable.add(secret)
            if _has(actions, "secretsmanager:DescribeSecret"):
                described.add(secret)
            if _has(actions, "secretsmanager:GetSecretValue"):
                readable[secret] = None
        elif _is_pattern_of_secrets(resource) and _has(actions, "secretsmanager:GetSecretValue"):
            wildcard = wildcard or resource
        elif ANY_TARGET.fullmatch(resource) and any(_has(actions, action) for action in target_type(resource).actions):
            targets[resource] = None
    # A pattern without the random characters is the same secret as its whole ARN.
    rotated = {*rotated_arns, *(secret.rpartition("-")[0] for secret in rotated_arns)}
    superusers = tuple(secret for secret in readable if secret not in writable and secret not in rotated)
    return Declared(superusers, tuple(targets), any(secret in described for secret in superusers), wildcard)


def _grants(document: Document) -> Iterator[tuple[list[str], str]]:
    """Yield the actions and each resource of the statements that allow."""
    for statement in as_list(document.get("Statement", [])):
        if statement.get("Effect") == "Allow":
            for resource in as_list(statement.get("Resource", [])):
                yield as_list(statement.get("Action", [])), resource


def _is_pattern_of_secrets(resource: str) -> bool:
    return resource == "*" or (":secretsmanager:" in resource and bool(set("*?$") & set(resource)))


def _has(patterns: list[Any], action: str) -> bool:
    return any(matches(pattern, action, ignore_case=True) for pattern in patterns)
