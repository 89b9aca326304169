"""What AWS says now, as the facts that the policy follows from. `inspection` fills it, `policy` reads it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Secret:
    """A secret as DescribeSecret and DescribeKey show it."""

    arn: str
    """The full ARN."""
    key_arn: str | None
    """The full ARN of its customer managed key; None under the AWS managed key."""
    tags: tuple[tuple[str, str], ...] = ()
    """Keys and values."""
    managed_by_rds: bool = False
    database_arns: tuple[str, ...] = ()
    """The RDS instance or cluster whose master user an RDS-managed secret holds, from its tags."""


@dataclass(frozen=True)
class Role:
    """An IAM role; `arn` has the path that `name` lacks."""

    name: str
    arn: str


@dataclass(frozen=True)
class Situation:
    """All that the policy follows from."""

    secrets: tuple[Secret, ...]
    """In the order given, each once."""
    superuser_secret: Secret | None
    role: Role
    function_arn: str
    """Unqualified; empty in declared mode."""
    in_vpc: bool
    dns_suffix: str
    """Of the secrets' partition, such as ``amazonaws.com``."""

    @property
    def all_secrets(self) -> tuple[Secret, ...]:
        """The rotated secrets, then the superuser secret if there is one."""
        return (*self.secrets, self.superuser_secret) if self.superuser_secret else self.secrets

    @property
    def key_arns(self) -> tuple[str, ...]:
        """The customer managed keys of all secrets, each once."""
        return tuple(dict.fromkeys(secret.key_arn for secret in self.all_secrets if secret.key_arn))
