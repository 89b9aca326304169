"""Collect the facts about roles. All calls read, and none reads the value of a secret."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, cast

from rotation_role_policy import arn
from rotation_role_policy.audit import access, environment, lookups
from rotation_role_policy.audit.coverage import coverages, expected_document
from rotation_role_policy.audit.elsewhere import Elsewhere
from rotation_role_policy.audit.facts import (
    FunctionDetails,
    FunctionFacts,
    InternalError,
    Known,
    ListedSecret,
    OtherAccount,
    RoleFacts,
    SecretFacts,
    Simulated,
    Simulation,
    Unknown,
)
from rotation_role_policy.audit.listing import Selection, functions_by_role, list_secrets
from rotation_role_policy.audit.lookups import Lookups, Workers
from rotation_role_policy.audit.needs import MAX_CANDIDATES, secret_id_of
from rotation_role_policy.audit.ownership import Owner, Unproven
from rotation_role_policy.audit.resource_lookups import ResourceLookups
from rotation_role_policy.audit.resources import ResourceFact, ResourceQuestion
from rotation_role_policy.audit.roles import RoleFact
from rotation_role_policy.audit.stacks import Stacks, owners
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AwsApiError
from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.iam.simulation import Denial
from rotation_role_policy.lookup.functions import function_from, get_function_configuration
from rotation_role_policy.lookup.keys import Keys
from rotation_role_policy.lookup.secrets import failed_replicas, rotated_secret, superuser_secret_of
from rotation_role_policy.rules.state import Secret
from rotation_role_policy.write import access_check

_SECRET_SUBJECT, _SUPERUSER_SUBJECT = "The secret", "The superuser secret"
"""The subjects of messages about secrets."""

_FOREIGN = Unknown(OtherAccount())
"""What is known of a function of another account."""

# Enough threads for the account's rate, at 60 ms for each call. With many more, boto3's pacing wastes some of the rate
# (`make audit-load`).
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html: ListSecretVersionIds 50 per second.
_SECRET_THREADS = 4
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: GetPolicy 15 per second, the others together
# 15 per second.
_FUNCTION_THREADS = 2
_POLICY_THREADS = 4


class Region:
    """One region: its listed secrets, and the look-ups of what belongs to them.

    Args:
        aws: makes the calls in the region, in several threads (`bulk.bulk_aws`).
        workers: of the audit.
    """

    def __init__(self, aws: Aws, workers: Workers) -> None:
        self.name = aws.region()
        self.aws = aws
        self._dns_suffix = aws.dns_suffix(aws.secretsmanager.meta.partition)
        keys = Keys(aws)
        self._states: Lookups[str, Secret] = Lookups(
            workers, "secrets", _SECRET_THREADS, lambda secret_arn: self._state(keys, secret_arn)
        )
        self._failed_replicas: Lookups[str, tuple[str, ...]] = Lookups(
            workers, "replicas", _SECRET_THREADS, partial(_failed_replicas, aws)
        )
        # By `RotationLambdaARN`.
        self._details = Lookups(workers, "functions", _FUNCTION_THREADS, partial(_details, aws, keys))
        self._invoke_policies = Lookups(workers, "functions", _FUNCTION_THREADS, partial(_invoke_policy, aws))
        self._functions_by_role: Lookups[str, Mapping[str, tuple[str, ...]]] = Lookups(
            workers, "functions", 1, lambda _: functions_by_role(aws)
        )
        self.superusers: Lookups[str, Secret | None] = Lookups(
            workers, "secrets", _SECRET_THREADS, lambda superuser_id: self._superuser(keys, superuser_id)
        )
        """By the ID in `needs.Needs`."""
        self.resources = ResourceLookups(aws, workers)
        self.stacks = Stacks(aws, workers)
        self._secrets: dict[str, ListedSecret] = {}
        self._secrets_of: dict[str, list[ListedSecret]] = {}
        """By `RotationLambdaARN`."""
        self._ids_of_function: dict[str, list[str]] = {}
        """By unqualified ARN: each `RotationLambdaARN` of the function, with and without versions and aliases."""
        self.selected: set[str] = set()
        """The ARNs of the secrets that the audit reports on."""
        self.functions: dict[str, None] = {}
        """`RotationLambdaARN` of these secrets, in the order of the look-ups."""
        self._foreign_functions: set[str] = set()
        """Each `RotationLambdaARN` of another account. Nothing about these functions is looked up."""
        self.not_listed: dict[str, InternalError] = {}
        """Secrets that could not be listed, by their ARN."""
        self._is_listed = False
        self.is_empty = False
        """Whether it is known that no secret of the region has a rotation function."""

    def list_rotations(self, selection: Selection) -> None:
        """List the secrets, and start the look-ups. Raises `RequestError`.

        All secrets are listed, because the other secrets of a function determine what its role needs. The look-ups are
        for the functions of the selected secrets, and for all secrets of these functions. They run function by
        function, so that the first roles can be audited while the last functions are looked up.
        """
        for secret in list_secrets(self.aws):
            try:
                self._add(secret, selection)
            except lookups.CONTAINED_ERRORS as error:
                self.not_listed[secret.arn] = lookups.internal_error(secret.arn, error)
        for function_id in self.functions:
            for secret in self._secrets_of[function_id]:
                self._states.start(secret.arn)
                if secret.is_replicated:
                    self._failed_replicas.start(secret.arn)
        self._is_listed = not self.not_listed
        self.is_empty = not self._secrets and not self.not_listed

    def _add(self, secret: ListedSecret, selection: Selection) -> None:
        function_arn, _ = arn.split_qualifier(secret.function_id)
        if arn.parse(function_arn).account != arn.parse(secret.arn).account:
            self._foreign_functions.add(secret.function_id)
        self._secrets[secret.arn] = secret
        if secret.function_id not in self._secrets_of:
            self._ids_of_function.setdefault(function_arn, []).append(secret.function_id)
        self._secrets_of.setdefault(secret.function_id, []).append(secret)
        if selection.includes(secret):
            self.selected.add(secret.arn)
            self.functions[secret.function_id] = None
            if secret.function_id not in self._foreign_functions:
                # Lambda's rates are the lowest.
                self._functions_by_role.start(self.name)
                self._details.start(secret.function_id)
                self._invoke_policies.start(secret.function_id)

    def functions_by_role(self) -> Known[Mapping[str, tuple[str, ...]]] | Unknown:
        """Return all functions of the region by the ARN of their role; empty if no secret has a function there."""
        return self._functions_by_role.get(self.name) if self._own_functions() else Known({})

    def details(self, function_id: str) -> Known[FunctionDetails] | Unknown:
        """Return the details of a function, by `RotationLambdaARN`."""
        return _FOREIGN if function_id in self._foreign_functions else self._details.get(function_id)

    def _invoke_policy(self, function_id: str) -> Known[JsonDocument] | Unknown:
        return _FOREIGN if function_id in self._foreign_functions else self._invoke_policies.get(function_id)

    def _own_functions(self) -> Collection[str]:
        return self._secrets_of.keys() - self._foreign_functions

    @cached_property
    def are_roles_known(self) -> bool:
        """Whether it is known which role each rotation function of the region has. Waits for the look-ups."""
        if not self._is_listed:
            return False
        if isinstance(self.functions_by_role(), Known):
            return True
        return all(
            function_id in self.functions and isinstance(self.details(function_id), Known)
            for function_id in self._own_functions()
        )

    def function(self, function_id: str) -> FunctionFacts:
        """Return the facts about a rotation function and its secrets."""
        secrets = (
            SecretFacts(
                secret,
                secret.arn in self.selected,
                self._states.get(secret.arn),
                self._failed_replicas.get(secret.arn) if secret.is_replicated else Known(()),
            )
            for secret in self._secrets_of[function_id]
        )
        return FunctionFacts(
            function_id,
            self.name,
            self._dns_suffix,
            self.details(function_id),
            self._invoke_policy(function_id),
            tuple(secrets),
        )

    def secrets_of(self, function_arns: Iterable[str], without: Collection[str]) -> Iterator[ListedSecret]:
        """Yield the secrets of functions, `without` those with some `RotationLambdaARN`."""
        for function_arn in function_arns:
            for function_id in self._ids_of_function.get(function_arn, ()):
                if function_id not in without:
                    yield from self._secrets_of[function_id]

    def _state(self, keys: Keys, secret_arn: str) -> Secret:
        secret = self._secrets[secret_arn]
        if secret.is_enabled:
            # At the same pace, because both calls have the same rate. All at once would wait in memory.
            self.resources.start(ResourceQuestion(ResourceFact.POLICY, secret_arn, self.name))
        return rotated_secret(keys, _SECRET_SUBJECT, secret.description)

    def _superuser(self, keys: Keys, superuser_id: str) -> Secret | None:
        account = arn.parse(next(iter(self._secrets))).account
        return _superuser(self.aws, keys, secret_id_of(superuser_id, self.name, account))


class Sources:
    """Where the facts about roles come from.

    Args:
        regions: the regions, with their listed secrets.
        workers: of the audit.
    """

    def __init__(self, regions: Iterable[Region], workers: Workers) -> None:
        self.regions = {region.name: region for region in regions}
        # IAM is the same in all regions.
        self.iam = next(iter(self.regions.values())).aws
        self.simulations: Lookups[Simulation, tuple[Denial, ...]] = Lookups(
            workers, "policy simulator", _POLICY_THREADS, partial(_simulate, self.iam)
        )
        self.elsewhere = Elsewhere(self.iam, workers)

    @property
    def stacks(self) -> list[Stacks]:
        """The stacks of the regions."""
        return [region.stacks for region in self.regions.values()]


def collect_role(sources: Sources, role_arn: str, role: RoleFact, functions: Sequence[FunctionFacts]) -> RoleFacts:
    """Return the facts about a role. Waits for the look-ups that they need.

    Args:
        sources: where the facts come from.
        role_arn: of the role.
        role: the role with its policies, as it was read by name.
        functions: the rotation functions with the role.
    """
    if isinstance(role, Known) and role.value and role.value.role.arn != role_arn:
        # Another role has the name, with another path or in another account.
        role = Known(None)
    sharing: set[str] = set()
    other_secrets: list[ListedSecret] = []
    function_ids = {function.function_id for function in functions}
    for region in sources.regions.values():
        listed = region.functions_by_role()
        function_arns = listed.value.get(role_arn, ()) if isinstance(listed, Known) else ()
        sharing.update(function_arns)
        other_secrets += region.secrets_of(function_arns, without=function_ids)
    facts = RoleFacts(
        role_arn,
        role,
        tuple(functions),
        frozenset(sharing),
        tuple(other_secrets),
        frozenset(sources.regions),
        all(region.are_roles_known for region in sources.regions.values()),
    )
    secret_arns = [secret.arn for function in functions for secret in function.secrets]
    elsewhere = sources.elsewhere.covering(sources.stacks, role_arn, secret_arns)
    facts = replace(facts, elsewhere=elsewhere, is_elsewhere_known=sources.elsewhere.is_known)
    facts = _with_owners(sources, facts)
    covered = coverages(facts)
    facts = replace(
        facts,
        superusers={
            superuser_id: sources.regions[coverage.function.region].superusers.get(superuser_id)
            for coverage in covered
            for superuser_id in coverage.needs.superuser_ids[:MAX_CANDIDATES]
        },
    )
    covered = coverages(facts)
    # What the policies and the simulator do not allow, a resource-based policy may allow. So answers lead to questions.
    while questions := (*access.questions(facts, covered), *environment.questions(facts)):
        facts = _with_answers(sources, facts, questions)
    return facts


def _with_owners(sources: Sources, facts: RoleFacts) -> RoleFacts:
    """Return the facts with the owners of the role's policies, and with the properties that matter.

    A policy that shows neither a superuser secret nor a target, and that is as the provider writes it for secrets that
    no other role has a policy for, needs no more.
    """
    if not isinstance(facts.role, Known) or facts.role.value is None:
        return facts
    role = facts.role.value
    found = owners(sources.stacks, role.role.name, role.inline)
    facts = replace(facts, owners=found)
    covered = coverages(facts)
    stacks = {each.region: each for each in sources.stacks}
    needing = {
        coverage.policy_name
        for coverage in covered
        if coverage.needs.superuser_ids
        or coverage.needs.target_arns
        or any(secret.arn in facts.elsewhere for secret in coverage.secrets)
    }

    def with_properties(name: str, owner: Owner | Unproven) -> Owner | Unproven:
        current = role.inline[name]
        is_as_written = name not in needing and expected_document(name, current, facts, covered, None) == current
        if isinstance(owner, Unproven) or is_as_written:
            return owner
        return replace(owner, properties=stacks[arn.region(owner.stack_id)].properties(owner))

    return replace(facts, owners={name: with_properties(name, owner) for name, owner in found.items()})


def _with_answers(sources: Sources, facts: RoleFacts, questions: Iterable[Simulation | ResourceQuestion]) -> RoleFacts:
    simulations = [each for each in questions if isinstance(each, Simulation)]
    of_resources = [each for each in questions if isinstance(each, ResourceQuestion)]
    for simulation in simulations:
        sources.simulations.start(simulation)
    for question in of_resources:
        sources.regions[question.region].resources.start(question)
    simulated = tuple(Simulated(each, sources.simulations.get(each)) for each in simulations)
    answers: dict[ResourceFact, dict[str, Any]] = {fact: {} for fact in ResourceFact}
    for question in of_resources:
        answers[question.fact][question.resource] = sources.regions[question.region].resources.get(question)
    return replace(
        facts,
        simulations=(*facts.simulations, *simulated),
        resource_policies={**facts.resource_policies, **answers[ResourceFact.POLICY]},
        grants={**facts.grants, **answers[ResourceFact.GRANTS]},
        key_policy_names={**facts.key_policy_names, **answers[ResourceFact.POLICY_NAMES]},
    )


# --- the look-ups -----------------------------------------------------------------------------------------------------


def _details(aws: Aws, keys: Keys, function_id: str) -> FunctionDetails:
    configuration = get_function_configuration(aws, function_id)
    function = function_from(configuration)
    return FunctionDetails(
        function,
        configuration.get("State", "Active"),
        configuration.get("StateReason", ""),
        keys.environment_key(function.environment_key_id),
        configuration.get("StateReasonCode", ""),
        # Who may not decrypt the variables gets an error in their place. No value is kept.
        any((configuration.get("Environment") or {}).values()),
    )


def _invoke_policy(aws: Aws, function_id: str) -> JsonDocument:
    """Return the policy of the function, or of the version or alias that the secret names; empty if there is none."""
    name, qualifier = arn.split_qualifier(function_id)
    # The policy without a qualifier is also that of $LATEST.
    version = {"Qualifier": qualifier} if qualifier and not qualifier.startswith("$LATEST") else {}
    try:
        text = aws.call(aws.lambda_.get_policy, FunctionName=name, **version)["Policy"]
    except AwsApiError as error:
        if error.code == "ResourceNotFoundException":
            return {}
        raise
    return cast(JsonDocument, json.loads(text))


def _failed_replicas(aws: Aws, secret_arn: str) -> tuple[str, ...]:
    return failed_replicas(aws.call(aws.secretsmanager.describe_secret, SecretId=secret_arn))


def _superuser(aws: Aws, keys: Keys, secret_id: str) -> Secret | None:
    try:
        described = aws.call(aws.secretsmanager.describe_secret, SecretId=secret_id)
    except AwsApiError as error:
        if error.code in ("ResourceNotFoundException", "InvalidRequestException"):
            return None
        raise
    return None if described.get("DeletedDate") else superuser_secret_of(keys, _SUPERUSER_SUBJECT, described)


def _simulate(aws: Aws, simulation: Simulation) -> tuple[Denial, ...]:
    return tuple(access_check.simulate(aws, simulation.role_arn, simulation.calls))
