"""The account of the fake AWS: secrets, functions and roles in realistic proportions."""

from collections.abc import Iterator
from enum import StrEnum
from random import Random
from typing import Any, NamedTuple

from rotation_role_policy.rules import identity, policy
from rotation_role_policy.rules.state import Role, Secret, State

ACCOUNT = "123456789012"
REGION = "eu-central-1"
LATENCY = 0.03
"""Seconds before each response: about what a call from the same continent takes."""
SEED = 1

Document = dict[str, Any]


class Kind(StrEnum):
    """What the policies of a rotation function's role do."""

    STRICT = "strict"
    """The policy of a ``Custom::RotationRolePolicy``."""
    BROAD = "broad"
    """A policy for all secrets and keys, which the audit must find."""
    CONDITIONAL = "conditional"
    """A policy that only IAM's simulator can decide."""
    LACKING = "lacking"
    """A policy without an action that a rotation needs, which the audit must find."""


SHARES = {Kind.STRICT: 0.6, Kind.BROAD: 0.25, Kind.CONDITIONAL: 0.1, Kind.LACKING: 0.05}
WITHOUT_ROTATION = 0.03
"""The share of secrets without rotation."""
SECRETS_PER_KEY = 50

BOUNDARY_ARN = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
VPC_POLICY_ARN = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
BASIC_POLICY_ARN = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def policy_document(*statements: dict[str, Any]) -> Document:
    """Return a policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(actions: list[str], resource: str = "*") -> dict[str, Any]:
    """Return a statement."""
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


_LOGS = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
MANAGED_POLICIES: dict[str, Document] = {
    BOUNDARY_ARN: policy_document(allow(["secretsmanager:*", "kms:*", "ec2:*", "logs:*"])),
    BASIC_POLICY_ARN: policy_document(allow(_LOGS)),
    VPC_POLICY_ARN: policy_document(
        allow(
            [
                *_LOGS,
                "ec2:CreateNetworkInterface",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSubnets",
                "ec2:DeleteNetworkInterface",
                "ec2:AssignPrivateIpAddresses",
                "ec2:UnassignPrivateIpAddresses",
            ]
        )
    ),
}


class FakeSecret(NamedTuple):
    """A secret. Without rotation, `function` is negative."""

    name: str
    arn: str
    key_arn: str
    """Empty for the AWS managed key."""
    function: int


class FakeFunction(NamedTuple):
    """A rotation function, and what the policies of its role do."""

    name: str
    kind: Kind
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
    service: str
    """The service that can assume the role."""
    inline: dict[str, Document]
    attached: tuple[str, ...]
    boundary: str = ""


def role_arn(name: str) -> str:
    """Return the ARN of the role with this name."""
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


class Account:
    """The secrets, keys, functions and roles. The same number of secrets always gives the same account."""

    def __init__(self, secrets: int) -> None:
        random = Random(SEED)  # noqa: S311  # not cryptographic
        self._random = random
        self.functions = [
            FakeFunction(f"rotate-{number:05}", kind, in_vpc=number % 2 == 1)
            for number, kind in enumerate(_kinds(max(1, 3 * secrets // 10), random))
        ]
        self.keys = [
            f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{random.getrandbits(32):08x}-0000-4000-8000-{number:012x}"
            for number in range(max(1, secrets // SECRETS_PER_KEY))
        ]
        self.secrets = list(self._make_secrets(secrets))
        self.secrets_by_id = {key: secret for secret in self.secrets for key in (secret.name, secret.arn)}
        self.functions_by_name = {function.name: function for function in self.functions}
        self.rotated: dict[int, list[FakeSecret]] = {}
        """The secrets of each function."""
        for secret in self.secrets:
            if secret.function >= 0:
                self.rotated.setdefault(secret.function, []).append(secret)
        self.roles = {role.name: role for role in (*self._rotation_roles(), *self._other_roles())}

    def _make_secrets(self, secrets: int) -> Iterator[FakeSecret]:
        rotated = secrets - int(WITHOUT_ROTATION * secrets)
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        # Each function has a secret before one has a second.
        functions = [number % len(self.functions) for number in range(rotated)] + [-1] * (secrets - rotated)
        self._random.shuffle(functions)
        for number, function in enumerate(functions):
            name = f"prod/database-{number:05}"
            suffix = "".join(self._random.choices(letters, k=6))
            key_arn = self.keys[number // 3 % len(self.keys)] if number % 3 == 0 else ""
            yield FakeSecret(
                name, f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-{suffix}", key_arn, function
            )

    def _rotation_roles(self) -> Iterator[FakeRole]:
        for number, function in enumerate(self.functions):
            document = policy.document(self._state(number), "Strict")
            name = identity.policy_name(
                f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/database-{number}/6b1e1c50-0000-11ef-8e9a-0a1b2c3d4e5f",
                "RotationPolicy",
            )
            attached: tuple[str, ...] = (BASIC_POLICY_ARN,)
            boundary = ""
            match function.kind:
                case Kind.BROAD:
                    attached = (VPC_POLICY_ARN,)
                    name = "rotation"
                    use_keys = allow(["kms:Decrypt", "kms:GenerateDataKey"])
                    document = policy_document(allow(["secretsmanager:*"]), use_keys)
                case Kind.CONDITIONAL:
                    boundary = self._limit(number, document)
                    # A condition is not part of what the provider writes, a boundary and another Deny are.
                    name = name if boundary else "rotation"
                case Kind.LACKING:
                    name = "rotation"
                    document["Statement"][0]["Action"].remove("secretsmanager:PutSecretValue")
            yield FakeRole(function.role, "lambda.amazonaws.com", {name: document}, attached, boundary)

    def _limit(self, number: int, document: Document) -> str:
        """Add what only the simulator can decide. Return the ARN of the permissions boundary, empty without one."""
        match number % 3:
            case 0:
                condition = {"StringEquals": {"aws:PrincipalTag/team": "databases"}}
                document["Statement"][0]["Condition"] = condition
            case 1:
                return BOUNDARY_ARN
            case _:
                condition = {"StringNotEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}
                deny = {"Effect": "Deny", "Action": "secretsmanager:*", "Resource": "*", "Condition": condition}
                document["Statement"].append(deny)
        return ""

    def _state(self, number: int) -> State:
        function = self.functions[number]
        return State(
            secrets=tuple(Secret(secret.arn, secret.key_arn or None) for secret in self.rotated.get(number, ())),
            superuser_secret=None,
            role=Role(function.role, role_arn(function.role)),
            function_arn=function.arn,
            in_vpc=function.in_vpc,
            dns_suffix="amazonaws.com",
        )

    def _other_roles(self) -> Iterator[FakeRole]:
        """Yield as many roles without a rotation function as there are with one."""
        for number in range(len(self.functions)):
            document = policy_document(
                allow(["s3:GetObject", "s3:PutObject"], f"arn:aws:s3:::application-{number}/*"),
                allow(["sqs:SendMessage"], f"arn:aws:sqs:{REGION}:{ACCOUNT}:application-{number}"),
            )
            yield FakeRole(f"application-{number:05}", "ecs-tasks.amazonaws.com", {"application": document}, ())

    def expectations(self) -> dict[str, Any]:
        """Return what an audit must find, as data for JSON. Roles are keyed by ARN."""
        arns: dict[Kind, dict[str, list[str]]] = {kind: {} for kind in SHARES}
        for number, secrets in self.rotated.items():
            function = self.functions[number]
            arns[function.kind][role_arn(function.role)] = [secret.arn for secret in secrets]
        return {
            "rotations": sum(len(secrets) for secrets in self.rotated.values()),
            "functions": len(self.rotated),
            "lacking": arns[Kind.LACKING],
            "broad": arns[Kind.BROAD],
        }


def _kinds(functions: int, random: Random) -> list[Kind]:
    """Return the kind of each function, in the proportions of `SHARES`."""
    kinds = [kind for kind, share in SHARES.items() for _ in range(round(share * functions))]
    kinds = (kinds + [Kind.STRICT] * functions)[:functions]
    random.shuffle(kinds)
    return kinds
