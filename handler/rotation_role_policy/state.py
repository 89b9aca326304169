"""The state of the secrets, keys, function and role in AWS, from which the policy follows.

`inspection` reads the state from AWS, `policy` builds the document from it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Secret:
    """A secret, from DescribeSecret and DescribeKey."""

    arn: str
    """Full ARN."""
    key_arn: str | None
    """Full ARN of its customer managed key; None if the secret uses the AWS managed key."""
    tags: tuple[tuple[str, str], ...] = ()
    """Keys and values."""
    managed_by_rds: bool = False
    database_arns: tuple[str, ...] = ()
    """For a secret that RDS manages: the DB instance or cluster whose master user it holds, from the secret's tags."""


@dataclass(frozen=True)
class Role:
    """An IAM role. `arn` contains the path, `name` does not."""

    name: str
    arn: str


@dataclass(frozen=True)
class State:
    """Everything that the policy depends on."""

    secrets: tuple[Secret, ...]
    """The rotated secrets in the order of the template, without duplicates."""
    superuser_secret: Secret | None
    role: Role
    function_arn: str
    """Unqualified ARN; empty in declared mode."""
    in_vpc: bool
    dns_suffix: str
    """DNS suffix of the secrets' partition, such as ``amazonaws.com``."""

    @property
    def all_secrets(self) -> tuple[Secret, ...]:
        """The rotated secrets, and the superuser secret if there is one."""
        return (*self.secrets, self.superuser_secret) if self.superuser_secret else self.secrets

    @property
    def key_arns(self) -> tuple[str, ...]:
        """The customer managed keys of all secrets, without duplicates."""
        return tuple(dict.fromkeys(secret.key_arn for secret in self.all_secrets if secret.key_arn))
