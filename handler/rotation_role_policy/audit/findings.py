"""A finding, and what it is about."""

import json
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.audit.finding_types import FindingType, Severity, UnknownType
from rotation_role_policy.iam.document import Element, JsonStatement
from rotation_role_policy.iam.resource_policies import is_key


class Subject(NamedTuple):
    """What a finding is about. An ARN is empty if the finding does not concern one, or if it is not known."""

    secret_arn: str = ""
    """Empty if the finding concerns all secrets of the function or of the role."""
    function_arn: str = ""
    """As the secret reports it, with a version or alias if there is one."""
    role_arn: str = ""
    region: str = ""
    """For a finding about a whole region."""

    @property
    def scope(self) -> str:
        """The ARN of the secret, else of the function, else of the role: whose secrets the finding concerns."""
        return self.secret_arn or self.function_arn or self.role_arn


class Words(NamedTuple):
    """The text of a finding (`messages/`)."""

    message: str
    """What is wrong, with full ARNs."""
    remediation: str
    """What to do about this resource."""
    commands: tuple[str, ...] = ()
    """The commands in the remediation (`messages.commands`), in their order and as they stand there."""


class DeniedCall(NamedTuple):
    """A call that AWS denies to the audit."""

    region: str
    action: str
    """IAM action, such as ``kms:GetKeyPolicy``."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant in a policy, for a script that removes or replaces it."""

    statement: str | int
    """`Sid` of the statement; its number in the policy, from 1, if it has none."""
    actions: Element
    resource: Element
    replacement: tuple[JsonStatement, ...] | None = None
    """The statements that rotations need in its place, in full. Empty if they need none. None if the grant has to stay,
    or if a person has to find something out before it is changed."""


class Acceptance(NamedTuple):
    """A finding, or several, that somebody has accepted."""

    code: str
    resource: str
    """Pattern for the resource of the finding, as in a policy: ``*`` and ``?`` are wildcards."""
    reason: str
    until: date | None = None
    """The last day, in UTC; None if it does not end."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding."""

    type: FindingType | UnknownType
    subject: Subject
    resource: str
    """ARN of the resource that has to change, or the ID by which it is known, such as the name of a region."""
    words: Words
    difference: tuple[str, ...] = ()
    """Lines of a unified difference of two policy documents."""
    is_blocked: bool = False
    """Whether something certainly blocks calls of the role, so that the provider would refuse to write its policy."""
    denied: DeniedCall | None = None
    """For `NOT_INSPECTED`: the call, if the findings of many roles have the same cause (`report.merge_denied`)."""
    policy: str = ""
    """The policy that is too broad or outdated: its name, or the ARN of a managed policy."""
    grants: tuple[Grant, ...] = ()
    """What in this policy is too much."""
    actions: tuple[str, ...] = ()
    """IAM actions that the role may not make, or that the audit could not make."""
    cause: tuple[str, ...] = ()
    """What else distinguishes it from other findings of its type about the same subject, such as context keys."""
    accepted: Acceptance | None = None
    account: str = ""
    """The ID, for a finding about a whole region or a whole account."""
    known_id: str = ""
    """`id`, if the finding is from a report that another audit has written."""

    @property
    def severity(self) -> Severity:
        """The severity of the type."""
        return self.type.severity

    @property
    def is_obstacle(self) -> bool:
        """Whether the provider would refuse to write a policy for what the finding is about."""
        # The key of the environment variables is no reason to refuse a policy.
        is_of_secret = self.type is FindingType.KEY_UNUSABLE and not is_key(self.resource)
        return self.is_blocked or is_of_secret or self.type is FindingType.FUNCTION_MISSING

    @property
    def place(self) -> tuple[str, str]:
        """The account and the region; each is empty if the finding has none."""
        scope = self.subject.scope
        return (arn.account(scope), arn.region(scope)) if scope else (self.account, self.subject.region)

    @property
    def id(self) -> str:
        """The same in each audit as long as the same is wrong with the same resource. No text is a part of it."""
        grants = [(each.statement, each.actions, each.resource) for each in self.grants]
        about = [self.type.code, *self.subject, *self.place, self.resource, self.policy, grants]
        digest = sha256(json.dumps([*about, sorted(self.actions), sorted(self.cause)]).encode())
        return self.known_id or digest.hexdigest()[:16]

    @property
    def message(self) -> str:
        """What is wrong, with full ARNs."""
        return self.words.message

    @property
    def remediation(self) -> str:
        """What to do about this resource."""
        return self.words.remediation

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands in the remediation, in their order and as they stand there."""
        return self.words.commands
