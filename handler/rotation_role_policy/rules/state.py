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
    managed_by: str = ""
    """For a superuser secret: ``rds`` or ``redshift``, if this service manages the secret."""
    database_arns: tuple[str, ...] = ()
    """For a managed superuser secret: the databases whose superuser it holds, from the secret's tags."""
    earlier_key_arns: tuple[str, ...] = ()
    """Full ARNs of other customer managed keys that still encrypt versions which the rotation function reads."""


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
    target_arns: tuple[str, ...] = ()
    """The targets that the properties list, each of a type in `targets`."""

    @property
    def all_secrets(self) -> tuple[Secret, ...]:
        """The rotated secrets, and the superuser secret if there is one and it is not among them."""
        superuser = self.superuser_secret
        if superuser is None or superuser.arn in {secret.arn for secret in self.secrets}:
            return self.secrets
        return (*self.secrets, superuser)

    @property
    def key_arns(self) -> tuple[str, ...]:
        """The customer managed keys that the policy names, in its order and without duplicates."""
        keys = [secret.key_arn for secret in self.secrets]
        keys += [key_arn for secret in self.all_secrets for key_arn in secret.earlier_key_arns]
        keys += [self.superuser_secret.key_arn] if self.superuser_secret else []
        return tuple(dict.fromkeys(key_arn for key_arn in keys if key_arn))
