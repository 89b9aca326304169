"""Whether Lambda can decrypt the environment variables of a rotation function.

Lambda decrypts them with the execution role. A policy of the role allows it, or the policy of the key, or the grant
that Lambda makes for the role when somebody creates or updates the function. The grant is lost if the role is deleted
and created again. What is not known is no problem.
Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars-encryption.html

As `access.examine`, `examine` makes no call. It yields questions for the facts that it lacks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from rotation_role_policy import arn
from rotation_role_policy.audit.facts import FunctionDetails, FunctionFacts, Known, RoleFacts
from rotation_role_policy.audit.resources import (
    ResourceFact,
    ResourceQuestion,
    answer,
    calling_role,
    is_granted,
)
from rotation_role_policy.iam.evaluation import BlockedBy, Calls, Decision, Outcome, evaluate
from rotation_role_policy.iam.resource_policies import decide, resource_policy_of
from rotation_role_policy.rules.state import KeyProblem, RolePolicies
from rotation_role_policy.rules.statements import FUNCTION_ARN_KEY

_DECRYPT = "kms:Decrypt"


class EnvironmentProblemKind(Enum):
    """Why Lambda cannot decrypt the variables, or probably cannot."""

    KEY_UNUSABLE = auto()
    """The key is disabled or gone. This is certain."""
    NOT_GRANTED = auto()
    """Neither a policy nor a grant allows it."""
    ROLE_RECREATED = auto()
    """The role is younger than the function's last change, so the grant was for the former role."""


@dataclass(frozen=True)
class EnvironmentProblem:
    """A function whose variables cannot be decrypted."""

    kind: EnvironmentProblemKind
    function: FunctionFacts
    key_arn: str
    """Full ARN. If the key could not be described, the ID by which the function names it."""
    key: KeyProblem | None = None
    """For `KEY_UNUSABLE`: what is wrong with the key."""


def examine(facts: RoleFacts) -> Iterator[EnvironmentProblem | ResourceQuestion]:
    """Yield the problems of the functions with a role, and the questions that have no answer in `facts` yet."""
    for function in facts.functions:
        if isinstance(function.details, Known) and function.is_rotating:
            yield from _of_function(facts, function, function.details.value)


def questions(facts: RoleFacts) -> list[ResourceQuestion]:
    """Return what else must be known to decide whether the variables can be decrypted."""
    return list(dict.fromkeys(each for each in examine(facts) if isinstance(each, ResourceQuestion)))


def _of_function(
    facts: RoleFacts, function: FunctionFacts, details: FunctionDetails
) -> Iterator[EnvironmentProblem | ResourceQuestion]:
    key_arn, problem = details.environment_key
    if not details.has_variables or details.is_key_reported:
        return
    if problem:
        # Lambda does not need an alias to decrypt, so an alias that is gone proves nothing.
        if not problem.denied and arn.KEY.fullmatch(problem.key_id):
            yield EnvironmentProblem(EnvironmentProblemKind.KEY_UNUSABLE, function, problem.key_id, problem)
        return
    if key_arn and isinstance(facts.role, Known) and facts.role.value:
        yield from _Decryption(facts, facts.role.value, function, details, key_arn).examine()


@dataclass(frozen=True)
class _Decryption:
    """The decryption of the variables of one function, whose key can be used."""

    facts: RoleFacts
    role: RolePolicies
    function: FunctionFacts
    details: FunctionDetails
    key_arn: str

    def examine(self) -> Iterator[EnvironmentProblem | ResourceQuestion]:
        calls = self._calls()
        [by_role] = evaluate(self.role.policies, self.role.boundary_policy, calls)
        if by_role.outcome is Outcome.OPEN:
            return
        if _is_denied(by_role):
            # No grant overrides a Deny.
            yield self._problem(EnvironmentProblemKind.NOT_GRANTED)
            return
        question = self._question(ResourceFact.POLICY)
        read = answer(self.facts, question)
        if read is None:
            yield question
        if not isinstance(read, Known):
            return
        policy = resource_policy_of(self.key_arn, read.value)
        is_allowed = by_role.outcome is Outcome.ALLOWED
        [by_key] = decide(policy, calling_role(self.role), calls, account_delegates=is_allowed)
        if by_key.denied_by:
            yield self._problem(EnvironmentProblemKind.NOT_GRANTED)
        elif not by_key.open_denials and by_key.is_allowed is False:
            yield from self._without_policy(recreated=not is_allowed and self._is_role_younger())

    def _without_policy(self, *, recreated: bool) -> Iterator[EnvironmentProblem | ResourceQuestion]:
        """Yield a problem if no grant can allow the decryption either."""
        question = self._question(ResourceFact.GRANTS)
        grants = answer(self.facts, question)
        if grants is None:
            yield question
            return
        context: dict[str, str | None] = {FUNCTION_ARN_KEY.partition(":EncryptionContext:")[2]: self._function_arn}
        if isinstance(grants, Known) and is_granted(grants.value, self.role, _DECRYPT, context):
            return
        if recreated:
            yield self._problem(EnvironmentProblemKind.ROLE_RECREATED)
            return
        if not isinstance(grants, Known):
            return
        question = self._question(ResourceFact.POLICY_NAMES)
        names = answer(self.facts, question)
        if names is None:
            yield question
        elif isinstance(names, Known) and set(names.value) <= {"default"}:
            yield self._problem(EnvironmentProblemKind.NOT_GRANTED)

    def _is_role_younger(self) -> bool:
        """Return whether the role was created after the function's last change, which made the grant.

        Of a version or an alias, the date of the version says nothing about the grant.
        """
        _, qualifier = arn.split_qualifier(self.function.function_id)
        modified = self.details.function.last_modified
        is_version = qualifier and not qualifier.startswith("$LATEST")
        return bool(not is_version and modified and self.role.created and self.role.created > modified)

    def _calls(self) -> Calls:
        role_arn = self.role.role.arn
        account = arn.parse(role_arn).account
        context: dict[str, str | bool] = {
            FUNCTION_ARN_KEY: self._function_arn,
            "aws:PrincipalAccount": account,
            "aws:PrincipalArn": role_arn,
            "aws:PrincipalType": "AssumedRole",
            "aws:RequestedRegion": arn.parse(self.key_arn).region,
            "kms:CallerAccount": account,
        }
        return Calls((_DECRYPT,), (self.key_arn,), context)

    @property
    def _function_arn(self) -> str:
        return self.details.function.arn

    def _question(self, fact: ResourceFact) -> ResourceQuestion:
        return ResourceQuestion(fact, self.key_arn, self.function.region)

    def _problem(self, kind: EnvironmentProblemKind) -> EnvironmentProblem:
        return EnvironmentProblem(kind, self.function, self.key_arn)


def _is_denied(decision: Decision) -> bool:
    return decision.blocker is not None and decision.blocker.by is BlockedBy.DENY
