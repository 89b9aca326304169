"""What an audit knows of a role: frozen values, from which `role.audit_role` decides without a call.

The facts can be written as JSON (`to_json`). They contain no value of a secret, and of a function's environment only
the key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rotation_role_policy.audit.ownership import ElsewherePolicy, Owner, Unproven
from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.iam.evaluation import Calls
from rotation_role_policy.iam.simulation import Denial
from rotation_role_policy.rules.state import NO_KEY, EnvironmentKey, Function, KeyProblem, RolePolicies, Secret

if TYPE_CHECKING:
    from types_boto3_secretsmanager.type_defs import SecretListEntryTypeDef

Value = TypeVar("Value", covariant=True)

Grant = Mapping[str, Any]
"""A grant on a KMS key, one of the `Grants` of ListGrants."""


# --- known or unknown -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A call of the audit that AWS denied or failed."""

    action: str
    """IAM action, such as ``iam:GetRole``."""
    code: str
    message: str
    is_denied: bool


def is_of_disabled_region(problem: object) -> bool:
    """Return whether the first call in a region failed as in a region that the account has not enabled."""
    return isinstance(problem, FailedCall) and problem.code in ("InvalidClientTokenId", "UnrecognizedClientException")


@dataclass(frozen=True, slots=True)
class UnusableKey:
    """The key of a secret, or the only key of a version in use, that cannot be used."""

    secret_name: str
    key: KeyProblem
    labels: tuple[str, ...]
    """The staging labels of the version; empty if it is the secret's own key."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """Another reason why the provider would refuse a secret."""

    reason: str


@dataclass(frozen=True, slots=True)
class InternalError:
    """The audit itself failed with what AWS returned."""

    error_type: str
    message: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The audit was stopped before the look-up."""


@dataclass(frozen=True, slots=True)
class OtherAccount:
    """The function belongs to another account, so nothing about it is looked up."""


Problem = FailedCall | UnusableKey | Unusable | InternalError | Stopped | OtherAccount


@dataclass(frozen=True, slots=True)
class Known(Generic[Value]):
    """A fact that was looked up."""

    value: Value


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that is not known, and why."""

    problem: Problem


# --- secrets and functions --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListedSecret:
    """A secret with a rotation function, from ListSecrets."""

    arn: str
    name: str
    function_id: str
    """`RotationLambdaARN`."""
    description: SecretListEntryTypeDef
    """The members from which the state of the secret follows."""
    is_enabled: bool
    """Whether Secrets Manager rotates the secret on a schedule."""
    days: int | None
    """`AutomaticallyAfterDays`."""
    last_rotated: datetime | None
    next_rotation: datetime | None
    created: datetime | None
    schedule: str = ""
    """`ScheduleExpression`; empty if the schedule is only a number of days."""
    is_replicated: bool = False
    """Whether the secret has replicas."""
    changed: datetime | None = None
    """When the secret, its value or its schedule was last changed."""


def secret_ids(name: str, secret_arn: str) -> frozenset[str]:
    """Return the IDs of a secret: its name, its full ARN, and its partial ARN without the random characters."""
    return frozenset({name, secret_arn, secret_arn.rpartition("-")[0]})


@dataclass(frozen=True, slots=True)
class SecretFacts:
    """A rotated secret."""

    listed: ListedSecret
    is_selected: bool
    """Whether the audit reports on the secret. The others determine what its role needs."""
    state: Known[Secret] | Unknown
    failed_replicas: Known[tuple[str, ...]] | Unknown = Known(())
    """The regions or ARNs of the replicas to which Secrets Manager could not replicate the secret."""

    @property
    def arn(self) -> str:
        """The full ARN."""
        return self.listed.arn


@dataclass(frozen=True, slots=True)
class FunctionDetails:
    """A rotation function, or a version or alias of it."""

    function: Function
    lambda_state: str
    """`State` of GetFunctionConfiguration."""
    state_reason: str
    """`StateReason`: Lambda's own sentence; it may be empty."""
    environment_key: EnvironmentKey = NO_KEY
    reason_code: str = ""
    """`StateReasonCode`; empty if there is none."""
    has_variables: bool = False
    """Whether the function has environment variables."""

    @property
    def is_idle(self) -> bool:
        """Whether Lambda has released what the function needs, because nobody invoked it. The next invocation wakes it.

        https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
        """
        return self.lambda_state == "Inactive" and self.reason_code in ("", "Idle", "Creating", "Restoring")

    @property
    def is_key_reported(self) -> bool:
        """Whether Lambda reports that it cannot use a key of the function."""
        return self.failure_code in ("DisabledKMSKey", "InvalidStateKMSKey", "KMSKeyAccessDenied", "KMSKeyNotFound")

    @property
    def is_network_reported(self) -> bool:
        """Whether Lambda reports that the role lacks permissions for the function's network interfaces."""
        return self.failure_code == "InsufficientRolePermissions"

    @property
    def failure_code(self) -> str | None:
        """Lambda's code for why the function cannot be invoked, perhaps empty; None if it can, or if it is idle."""
        if self.lambda_state in ("Active", "Pending") or self.is_idle:
            return None
        return self.reason_code


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """A rotation function, as secrets name it, with its secrets."""

    function_id: str
    """`RotationLambdaARN` of the secrets."""
    region: str
    dns_suffix: str
    """Of the region's partition, such as ``amazonaws.com``."""
    details: Known[FunctionDetails] | Unknown
    invoke_policy: Known[JsonDocument] | Unknown
    """The policy that lets services invoke it. Empty if there is none."""
    secrets: tuple[SecretFacts, ...]

    @property
    def is_rotating(self) -> bool:
        """Whether the rotation of at least one of its secrets is turned on."""
        return any(secret.listed.is_enabled for secret in self.secrets)

    @property
    def role_arn(self) -> str:
        """The ARN of the execution role; empty if it is not known."""
        return self.details.value.function.role.arn if isinstance(self.details, Known) else ""


# --- roles ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Simulation:
    """A question for IAM's policy simulator: may a role make these calls?"""

    role_arn: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    context: tuple[tuple[str, str | bool], ...]
    absent_keys: frozenset[str]

    @property
    def calls(self) -> Calls:
        """The simulated calls."""
        return Calls(self.actions, self.resources, dict(self.context), self.absent_keys)


@dataclass(frozen=True, slots=True)
class Simulated:
    """A simulation, and what the simulator does not allow."""

    simulation: Simulation
    denials: Known[tuple[Denial, ...]] | Unknown


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """Everything about one execution role that its rotations depend on."""

    role_arn: str
    role: Known[RolePolicies | None] | Unknown
    """None if the role does not exist."""
    functions: tuple[FunctionFacts, ...]
    """The rotation functions that have the role."""
    sharing: frozenset[str] = frozenset()
    """Unqualified ARNs of all functions that ListFunctions shows with the role."""
    other_secrets: tuple[ListedSecret, ...] = ()
    """Secrets of other functions that ListFunctions shows with the role, which a narrow selection leaves out."""
    regions: frozenset[str] = frozenset()
    """The regions that are audited. A function in another region can have the role too."""
    are_functions_known: bool = True
    """Whether all rotation functions of these regions are known that have the role."""
    owners: Mapping[str, Owner | Unproven] = field(default_factory=dict)
    """By name: the inline policies that a resource of a stack has put on the role, or can have put on it."""
    elsewhere: Mapping[str, ElsewherePolicy] = field(default_factory=dict)
    """By the ARN of a secret: the policy of a resource that covers it, on another role."""
    is_elsewhere_known: bool = True
    """Whether the policies of other roles could be read."""
    superusers: Mapping[str, Known[Secret | None] | Unknown] = field(default_factory=dict)
    """The superuser secrets and the candidates by their ID in `needs.Needs`; None if the secret is gone or scheduled
    for deletion."""
    simulations: tuple[Simulated, ...] = ()
    resource_policies: Mapping[str, Known[JsonDocument] | Unknown] = field(default_factory=dict)
    """The policies of secrets and keys by their ARN, as far as they matter. Empty if there is none."""
    grants: Mapping[str, Known[tuple[Grant, ...]] | Unknown] = field(default_factory=dict)
    """All grants on keys by the ARN of the key, as far as they matter."""
    key_policy_names: Mapping[str, Known[tuple[str, ...]] | Unknown] = field(default_factory=dict)
    """The names of the policies of keys by the ARN of the key, as far as they matter."""


def to_json(facts: RoleFacts | FunctionFacts) -> Any:
    """Return facts as data for JSON."""
    return _plain(dataclasses.asdict(facts))


def _plain(value: Any) -> Any:
    match value:
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case set() | frozenset():
            return sorted(_plain(each) for each in value)
        case datetime():
            return value.isoformat()
        case Enum():
            return value.name
    return value
