"""Grants that are too much: their kinds, and what one of them says."""

from collections.abc import Collection, Iterator
from enum import Enum, auto
from typing import NamedTuple

from rotation_role_policy.iam.document import Element, Statement
from rotation_role_policy.rules.breadth import granted


class ExcessKind(Enum):
    """In which way a grant is too much."""

    OTHER_SECRETS = auto()
    """A pattern matches secrets that the functions do not rotate, or can match them later."""
    SECRET_NOT_NEEDED = auto()
    """No function of the role rotates or reads the secret."""
    SECRET_MANAGEMENT = auto()
    """The function can also delete the secret, or change its settings."""
    SUPERUSER_WRITABLE = auto()
    """The function only reads the superuser secret, but may also write it."""
    SECRET_SHARING = auto()
    """The function can also give itself and others access to the secret."""
    INCOMPLETE_ARN = auto()
    """The ARN of a secret lacks its six random characters, so the grant has no effect."""
    OTHER_KEYS = auto()
    """A pattern matches other keys, without a condition on the encryption context."""
    KEY_NOT_NEEDED = auto()
    """The key encrypts no secret of the role."""
    KEY_ALIAS = auto()
    """A grant on an alias has no effect."""
    KEY_FOR_EVERYTHING = auto()
    """Without a condition on the encryption context, the grant covers everything under the key."""
    KEY_FOR_EVERY_SECRET = auto()
    """The same, limited to Secrets Manager: every secret under the key."""
    KEY_FOR_OTHER_SECRETS = auto()
    """The condition on the encryption context is for secrets that no function of the role needs."""
    KEY_MANAGEMENT = auto()
    """The function can also delete the key, or change it."""
    KEY_SHARING = auto()
    """The function can also give itself and others the use of the key."""
    INTERFACES_OUTSIDE_VPC = auto()
    """No function of the role is in a VPC."""
    INTERFACES_OPEN_TO_CODE = auto()
    """Only Lambda itself needs the grant, and the code of the function has it too."""


class Grant(NamedTuple):
    """A grant that is too much, whatever policy has it."""

    kind: ExcessKind
    actions: Element
    """As the policy has them."""
    resource: Element
    """As the policy has it."""
    remaining: tuple[str, ...] = ()
    """What the permissions boundary, the denials and the conditions leave of a wildcard, if they leave named resources
    only."""
    instead: str = ""
    """A resource for this grant: the ARN that is incomplete as a whole, or a pattern that matches one secret only."""


def grants_of(
    statement: Statement, remaining: tuple[str, ...], *kinds: tuple[ExcessKind, Collection[str]]
) -> Iterator[Grant]:
    """Yield the grants of a statement that has one resource, by kind with its actions.

    A pattern of actions is reported once.
    """
    reported: set[str] = set()
    for kind, actions in kinds:
        found = granted(statement, actions)
        if found and not reported.issuperset(found.patterns):
            yield Grant(kind, found, statement.resources, remaining)
            reported.update(found.patterns)
