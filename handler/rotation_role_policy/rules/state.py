"""The state of the secrets, keys, function and role in AWS, from which the policy follows.

`lookup` reads the state from AWS, `policy` builds the document from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from rotation_role_policy.iam.document import JsonDocument, Policy, PolicyKind, PolicyName


@dataclass(frozen=True, slots=True)
class KeyProblem:
    """A KMS key that cannot be used, or of which nothing is known."""

    key_id: str
    """Full ARN. If the key could not be described, the ID by which it was looked up."""
    key_state: str = ""
    """`KeyState` of DescribeKey; empty if the key does not exist, or if the call was denied."""
    denied: str = ""
    """AWS's message if it denied kms:DescribeKey, or did not respond to it."""

    @property
    def detail(self) -> str:
        """What is wrong with the key, as part of a sentence."""
        if self.denied:
            return self.denied
        return f"the key is {self.key_state}, not Enabled" if self.key_state else "the key does not exist"


@dataclass(frozen=True, slots=True)
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
    previous_key_arns: tuple[str, ...] = ()
    """Those of the earlier keys that only the version AWSPREVIOUS needs, which functions for alternating users do not
    read."""
    unreadable_previous: KeyProblem | None = None
    """The key that alone encrypts the version AWSPREVIOUS, and cannot decrypt it. AWS's single-user functions fail. If
    AWS denied to describe it, or another key of the version, it is not known whether the version can be decrypted."""
    keys_not_described: tuple[KeyProblem, ...] = ()
    """The keys whose full ARN is known, and that are taken for usable, because AWS denied to describe them."""
    rotation_function_id: str = ""
    """The ARN of the function that rotates the secret, as the secret reports it; empty if none does."""
    partial_arn: str = ""
    """The ARN by which the secret was given, if AWS took this partial ARN for the full ARN of another secret."""
    failed_replicas: tuple[str, ...] = ()
    """The regions or ARNs of the replicas to which Secrets Manager could not replicate the secret."""
    replicas_without_role: tuple[str, ...] = ()
    """The ARNs of replicas in other accounts that have no replication role. Secrets Manager replicates to them with the
    permissions of the caller that updates the secret."""
    pending_since: datetime | None = None
    """When the version AWSPENDING was created, in UTC; None if there is none, or if it is also AWSCURRENT. A rotation
    has begun and is not finished."""


@dataclass(frozen=True, slots=True)
class Role:
    """An IAM role. `arn` contains the path, `name` does not."""

    name: str
    arn: str


class EnvironmentKey(NamedTuple):
    """The KMS key of a function's environment variables. Nothing about it fails a request."""

    arn: str = ""
    """Full ARN of the customer managed key; empty if there is none, or if an alias could not be resolved."""
    problem: KeyProblem | None = None
    """Why the key cannot be used, or why nothing is known about it."""


NO_KEY = EnvironmentKey()


@dataclass(frozen=True, slots=True)
class Function:
    """A rotation function."""

    arn: str
    """Unqualified ARN; empty in declared mode."""
    role: Role
    in_vpc: bool
    environment_key_id: str = ""
    """The key of its environment variables, as `KMSKeyArn` names it: the ARN of a key or of an alias; empty if there is
    none."""
    qualifier: str = ""
    """The version or alias by which it is named; empty if there is none."""
    last_modified: datetime | None = None
    """`LastModified` of GetFunctionConfiguration; None if unknown, and in declared mode."""
    reported_by: str = ""
    """The name of the secret that reports the function; empty if the properties name the function."""


@dataclass(frozen=True)
class RolePolicies:
    """A role, and everything that limits or grants its permissions inside IAM."""

    role: Role
    trust_policy: JsonDocument
    inline: Mapping[str, JsonDocument]
    """Documents by policy name."""
    managed: Mapping[str, JsonDocument]
    """Documents by ARN."""
    boundary_arn: str = ""
    boundary: JsonDocument | None = None
    unique_id: str | None = None
    """`RoleId`, such as ``AROAEXAMPLE``; None if it is not known."""
    created: datetime | None = None
    """`CreateDate`, in UTC; None if it is not known."""
    owner_tags: Mapping[str, str] = field(default_factory=dict)
    """The tags that say which template or application the role belongs to."""

    @cached_property
    def policies(self) -> tuple[Policy, ...]:
        """The inline and the managed policies."""
        inline = [Policy(PolicyName(PolicyKind.INLINE, name), document) for name, document in self.inline.items()]
        managed = [Policy(PolicyName(PolicyKind.MANAGED, arn), document) for arn, document in self.managed.items()]
        return (*inline, *managed)

    @cached_property
    def boundary_policy(self) -> Policy | None:
        """The permissions boundary."""
        if self.boundary is None:
            return None
        return Policy(PolicyName(PolicyKind.BOUNDARY, self.boundary_arn), self.boundary)


@dataclass(frozen=True, slots=True)
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
    environment_key: EnvironmentKey = NO_KEY
    """The key of the function's environment variables."""
    target_arns: tuple[str, ...] = ()
    """The targets that the properties list, each of a type in `targets`."""
    function_qualifier: str = ""
    """The version or alias by which the function is named; empty if there is none."""
    function_reported_by: str = ""
    """As in `Function`."""
    function_modified: datetime | None = None
    """When the function was last modified; None if unknown, and in declared mode."""

    @property
    def all_secrets(self) -> tuple[Secret, ...]:
        """The rotated secrets, and the superuser secret if there is one and it is not among them."""
        superuser = self.superuser_secret
        if superuser is None or superuser.arn in {secret.arn for secret in self.secrets}:
            return self.secrets
        return (*self.secrets, superuser)

    @property
    def secret_key_arns(self) -> tuple[str, ...]:
        """The customer managed keys of the secrets and of their versions, without duplicates."""
        return self._keys_with("")

    @property
    def key_arns(self) -> tuple[str, ...]:
        """All customer managed keys, in the order of the policy with `KmsScope` Key, without duplicates."""
        return self._keys_with(self.environment_key.arn)

    def _keys_with(self, environment_key_arn: str) -> tuple[str, ...]:
        keys = [secret.key_arn for secret in self.secrets]
        keys += [key_arn for secret in self.all_secrets for key_arn in secret.earlier_key_arns]
        keys += [environment_key_arn, self.superuser_secret.key_arn if self.superuser_secret else ""]
        return tuple(dict.fromkeys(key_arn for key_arn in keys if key_arn))
