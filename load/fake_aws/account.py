"""What the fake AWS contains: secrets, keys, rotation functions and roles."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

ACCOUNT = "123456789012"
REGION = "eu-central-1"

Document = dict[str, Any]
"""A policy document."""


class FakeSecret(NamedTuple):
    """A secret."""

    name: str
    arn: str
    key_arn: str = ""
    """Empty for the AWS managed key."""
    function: str = ""
    """The name of its rotation function; empty without rotation."""


class FakeFunction(NamedTuple):
    """A rotation function."""

    name: str
    in_vpc: bool

    @property
    def arn(self) -> str:
        """The unqualified ARN."""
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}"

    @property
    def role(self) -> str:
        """The name of the execution role."""
        return f"{self.name}-role"


class FakeRole(NamedTuple):
    """A role with its policies."""

    name: str
    inline: dict[str, Document]
    """By name."""
    service: str = "lambda.amazonaws.com"
    """The service that can assume the role."""
    attached: tuple[str, ...] = ()
    """ARNs of managed policies."""
    boundary: str = ""
    """ARN of the permissions boundary."""


class FakeStack(NamedTuple):
    """A stack with one ``Custom::RotationRolePolicy``."""

    logical_id: str
    physical_id: str


@dataclass(frozen=True)
class FakeAccount:
    """An account in one region."""

    secrets: list[FakeSecret]
    functions: list[FakeFunction]
    roles: dict[str, FakeRole]
    """By name."""
    managed_policies: dict[str, Document] = field(default_factory=dict)
    """By ARN."""
    stacks: dict[str, FakeStack] = field(default_factory=dict)
    """By the ID of the stack."""
    expected: dict[str, Any] = field(default_factory=dict)
    """What a client must find, for those who check it."""


def secret_arn(name: str, suffix: str = "a1b2c3") -> str:
    """Return the ARN of a secret."""
    return f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-{suffix}"


def key_arn(number: int) -> str:
    """Return the ARN of a key."""
    return f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-0000-4000-8000-{number:012}"


def role_arn(name: str) -> str:
    """Return the ARN of a role."""
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def policy_document(*statements: dict[str, Any]) -> Document:
    """Return a policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(actions: list[str], resource: str = "*", **elements: Any) -> dict[str, Any]:
    """Return a statement."""
    return {"Effect": "Allow", "Action": actions, "Resource": resource, **elements}


def new_account(size: int, *, customer_key: bool = False, in_vpc: bool = False) -> FakeAccount:
    """Return an account without rotations, with secrets ``db-0``, ``db-1``, ... and functions ``rotate-0``, ...

    The roles of the functions have no policy. `customer_key` gives the secrets a customer managed key.
    """
    names = [f"db-{number}" for number in range(size)]
    functions = [FakeFunction(f"rotate-{number}", in_vpc) for number in range(size)]
    return FakeAccount(
        secrets=[FakeSecret(name, secret_arn(name), key_arn(0) if customer_key else "") for name in names],
        functions=functions,
        roles={function.role: FakeRole(function.role, {}) for function in functions},
    )
