"""The account that is audited: secrets, functions and roles in realistic proportions, with faults to find."""

from collections.abc import Iterator
from enum import StrEnum
from random import Random
from typing import Any

from load.fake_aws.account import (
    ACCOUNT,
    REGION,
    Document,
    FakeAccount,
    FakeFunction,
    FakeRole,
    FakeSecret,
    FakeStack,
    allow,
    key_arn,
    policy_document,
    role_arn,
    secret_arn,
)
from rotation_role_policy.rules import identity, policy, state


class Kind(StrEnum):
    """What the policies of a rotation function's role do."""

    STRICT = "strict"  # the policy of a Custom::RotationRolePolicy
    BROAD = "broad"  # for all secrets and keys, which the audit must find
    CONDITIONAL = "conditional"  # only IAM's simulator can decide it
    LACKING = "lacking"  # lacks an action that a rotation needs, which the audit must find


SHARES = {Kind.STRICT: 0.6, Kind.BROAD: 0.25, Kind.CONDITIONAL: 0.1, Kind.LACKING: 0.05}
FUNCTIONS_PER_SECRET = 0.3
WITHOUT_ROTATION = 0.03
"""The share of secrets without rotation."""
SECRETS_PER_KEY = 50

BOUNDARY_ARN = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
VPC_POLICY_ARN = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
BASIC_POLICY_ARN = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
_LOGS = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
_NETWORK = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
]
MANAGED_POLICIES: dict[str, Document] = {
    BOUNDARY_ARN: policy_document(allow(["secretsmanager:*", "kms:*", "ec2:*", "logs:*"])),
    BASIC_POLICY_ARN: policy_document(allow(_LOGS)),
    VPC_POLICY_ARN: policy_document(allow(_LOGS + _NETWORK)),
}
STACK_ARN = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/database"
LOGICAL_ID = "RotationPolicy"
_NOT_IN_ORGANIZATION = {"StringNotEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}
DENY = {"Effect": "Deny", "Action": "secretsmanager:*", "Resource": "*", "Condition": _NOT_IN_ORGANIZATION}


def make_account(size: int) -> FakeAccount:
    """Return an account with this number of secrets. The same number always gives the same account.

    `FakeAccount.expected` has the numbers of rotations and of functions with one and, for each kind of policy, the
    secrets that are rotated with such a role, as lists of ARNs by the role's ARN.
    """
    random = Random(1)  # noqa: S311  # not cryptographic
    kinds = _kinds(max(1, int(FUNCTIONS_PER_SECRET * size)), random)
    functions = [FakeFunction(f"rotate-{number:05}", in_vpc=number % 2 == 1) for number in range(len(kinds))]
    secrets = list(_secrets(size, functions, random))
    rotated: dict[str, list[FakeSecret]] = {function.name: [] for function in functions}
    for secret in secrets:
        if secret.function:
            rotated[secret.function].append(secret)
    roles: list[FakeRole] = []
    expected: dict[str, Any] = {kind: {} for kind in Kind}
    for number, (function, kind) in enumerate(zip(functions, kinds, strict=True)):
        roles += [_rotation_role(number, function, kind, rotated[function.name]), _other_role(number)]
        if rotated[function.name]:
            expected[kind][role_arn(function.role)] = [secret.arn for secret in rotated[function.name]]
    expected["rotations"] = sum(map(len, rotated.values()))
    expected["functions"] = sum(map(bool, rotated.values()))
    stacks = {
        _stack_id(number): FakeStack(LOGICAL_ID, identity.physical_id(role.name, name))
        for number, role in enumerate(roles[::2])
        for name in role.inline
        if name == identity.policy_name(_stack_id(number), LOGICAL_ID)
    }
    by_name = {role.name: role for role in roles}
    return FakeAccount(secrets, functions, by_name, MANAGED_POLICIES, stacks, expected)


def _kinds(functions: int, random: Random) -> list[Kind]:
    """Return the kind of each function's role, in the proportions of `SHARES`."""
    kinds = [kind for kind, share in SHARES.items() for _ in range(round(share * functions))]
    kinds = (kinds + [Kind.STRICT] * functions)[:functions]
    random.shuffle(kinds)
    return kinds


def _secrets(size: int, functions: list[FakeFunction], random: Random) -> Iterator[FakeSecret]:
    rotated = size - int(WITHOUT_ROTATION * size)
    # Each function has a secret before one has a second.
    names = [functions[number % len(functions)].name for number in range(rotated)] + [""] * (size - rotated)
    random.shuffle(names)
    keys = max(1, size // SECRETS_PER_KEY)
    for number, function in enumerate(names):
        name = f"prod/database-{number:05}"
        suffix = "".join(random.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", k=6))
        customer_key = key_arn(number // 3 % keys) if number % 3 == 0 else ""
        yield FakeSecret(name, secret_arn(name, suffix), customer_key, function)


def _rotation_role(number: int, function: FakeFunction, kind: Kind, secrets: list[FakeSecret]) -> FakeRole:
    document = _strict_policy(function, secrets)
    name, attached, boundary = "rotation", (BASIC_POLICY_ARN,), ""
    match kind:
        case Kind.BROAD:
            attached = (VPC_POLICY_ARN,)
            document = policy_document(allow(["secretsmanager:*"]), allow(["kms:Decrypt", "kms:GenerateDataKey"]))
        case Kind.CONDITIONAL if number % 3 == 0:
            document["Statement"][0]["Condition"] = {"StringEquals": {"aws:PrincipalTag/team": "databases"}}
        case Kind.CONDITIONAL if number % 3 == 1:
            boundary = BOUNDARY_ARN
        case Kind.CONDITIONAL:
            document["Statement"].append(DENY)
        case Kind.LACKING:
            document["Statement"][0]["Action"].remove("secretsmanager:PutSecretValue")
    if kind is Kind.STRICT or boundary:
        name = identity.policy_name(_stack_id(number), LOGICAL_ID)
    return FakeRole(function.role, {name: document}, attached=attached, boundary=boundary)


def _stack_id(number: int) -> str:
    return f"{STACK_ARN}-{number}/6b1e1c50-0000-11ef-8e9a-0a1b2c3d4e5f"


def _strict_policy(function: FakeFunction, secrets: list[FakeSecret]) -> Document:
    """Return the policy of a ``Custom::RotationRolePolicy``."""
    facts = state.State(
        secrets=tuple(state.Secret(secret.arn, secret.key_arn or None) for secret in secrets),
        superuser_secret=None,
        role=state.Role(function.role, role_arn(function.role)),
        function_arn=function.arn,
        in_vpc=function.in_vpc,
        dns_suffix="amazonaws.com",
    )
    return policy.document(facts, "Strict")


def _other_role(number: int) -> FakeRole:
    """Return a role without a rotation function."""
    document = policy_document(
        allow(["s3:GetObject", "s3:PutObject"], f"arn:aws:s3:::application-{number}/*"),
        allow(["sqs:SendMessage"], f"arn:aws:sqs:{REGION}:{ACCOUNT}:application-{number}"),
    )
    return FakeRole(f"application-{number:05}", {"application": document}, "ecs-tasks.amazonaws.com")
