"""Whether a role may make the calls that its rotations need.

First the policies are evaluated here (`evaluation`), without a call. What that leaves open goes to IAM's policy
simulator. What no policy of the role allows can still be allowed by the resource policy of the secret or by the policy
of the key, so these are read then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, cast

from rotation_role_policy import access_check, policy
from rotation_role_policy.access_check import Denial
from rotation_role_policy.audit.evaluation import Outcome, evaluate
from rotation_role_policy.audit.lookups import Lookups, Workers
from rotation_role_policy.audit.roles import RolePolicies
from rotation_role_policy.audit.units import Unit
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.calls import Calls, Context, calls_of
from rotation_role_policy.errors import RequestError
from rotation_role_policy.policy import Document, Statement
from rotation_role_policy.policy_grammar import as_list
from rotation_role_policy.state import Role

_THREADS = 4

DISPENSABLE_ACTIONS = {"ec2:DetachNetworkInterface"}
"""Needed actions whose absence does not fail a rotation. AWS's own AWSLambdaVPCAccessExecutionRole lacks them.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions"""

_ROTATION_FUNCTION_KEY = "secretsmanager:resource/AllowRotationLambdaArn"
"""Context key by which the policies of AWS's published rotation functions are limited to the secrets of a function.
https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html"""


@dataclass(frozen=True)
class Problem:
    """Calls that the role may not make, or about which nothing is known."""

    unit: Unit
    role: RolePolicies
    calls: Calls
    denial: Denial
    error: RequestError | None = None
    """Why nothing is known."""


class _Question(NamedTuple):
    """Calls that the evaluation left open."""

    unit: Unit
    role: RolePolicies
    calls: Calls


def find_problems(workers: Workers, units: list[tuple[Unit, RolePolicies]]) -> list[Problem]:
    """Return what blocks the rotations of the units, and what could not be decided."""
    problems: list[Problem] = []
    not_allowed: list[Problem] = []
    open_questions: list[_Question] = []
    for unit, role in units:
        for calls in _needed_calls(unit):
            for outcome, denials in _evaluate(role, calls):
                if outcome is Outcome.OPEN:
                    open_questions += [_Question(unit, role, denied_calls(calls, denial)) for denial in denials]
                else:
                    found = [Problem(unit, role, calls, denial) for denial in denials]
                    (problems if outcome is Outcome.BLOCKED else not_allowed).extend(found)

    simulations: Lookups[int, list[Denial]] = Lookups(
        workers, _THREADS, lambda number: _simulate(open_questions[number])
    )
    simulations.add_all(range(len(open_questions)))
    workers.wait("policy simulator")
    for number, question in enumerate(open_questions):
        for denial in simulations.values.get(number, ()):
            found_problem = Problem(*question, denial)
            (not_allowed if denial.is_implicit else problems).append(found_problem)
        if error := simulations.errors.get(number):
            problems.append(Problem(*question, _denial(question.calls, ""), error))
    return problems + _not_allowed_by_resource(workers, not_allowed)


def denied_calls(calls: Calls, denial: Denial) -> Calls:
    """Return those of the calls that a denial is about."""
    return calls._replace(actions=list(denial.actions), resources=list(denial.resources))


def _needed_calls(unit: Unit) -> Iterator[Calls]:
    state = unit.state()
    if state is None:
        return
    rotated = {secret.arn for secret in state.secrets}
    for grant in policy.grants(state):
        if grant.statement["Effect"] == "Allow":
            for calls in calls_of(state, grant):
                known: Context = {_ROTATION_FUNCTION_KEY: unit.function_id} if rotated >= set(calls.resources) else {}
                yield calls._replace(context=calls.context | known)


def _evaluate(role: RolePolicies, calls: Calls) -> Iterator[tuple[Outcome, list[Denial]]]:
    """Yield the calls that are not plainly allowed, by outcome: a denial for each resource and blocker."""
    actions: dict[tuple[Outcome, str, str], list[str]] = {}
    for decision in evaluate(role.documents(), role.boundary, calls):
        if decision.outcome is not Outcome.ALLOWED and decision.action not in DISPENSABLE_ACTIONS:
            actions.setdefault((decision.outcome, decision.resource, decision.blocker), []).append(decision.action)
    for (outcome, resource, blocker), denied in actions.items():
        yield outcome, [Denial(tuple(denied), (resource,), blocker=blocker, is_implicit=not blocker)]


def _denial(calls: Calls, reason: str) -> Denial:
    return Denial(tuple(calls.actions), tuple(calls.resources), reason)


def _simulate(question: _Question) -> list[Denial]:
    denials = access_check.simulate(question.unit.inventory.aws, question.role.role.arn, question.calls)
    return [denial for denial in denials if not set(denial.actions) <= DISPENSABLE_ACTIONS]


# --- resource-based policies ------------------------------------------------------------------------------------------


def _not_allowed_by_resource(workers: Workers, problems: list[Problem]) -> list[Problem]:
    """Return the problems that remain after the policies of the secrets and keys are read."""
    regions = {id(problem.unit.inventory.aws): problem.unit.inventory.aws for problem in problems}
    documents = {name: Lookups(workers, _THREADS, partial(_resource_policy, aws)) for name, aws in regions.items()}
    for problem in problems:
        [resource] = problem.denial.resources
        if _has_policy(resource):
            documents[id(problem.unit.inventory.aws)].add(resource)
    workers.wait("resource policies")
    remaining = []
    for problem in problems:
        [resource] = problem.denial.resources
        read = documents[id(problem.unit.inventory.aws)]
        if error := read.errors.get(resource):
            remaining.append(Problem(problem.unit, problem.role, problem.calls, problem.denial, error))
        elif not _has_policy(resource) or resource in read.values:
            document = read.values.get(resource, {})
            actions = [
                action
                for action in problem.denial.actions
                if not _allows_role(document, problem.role.role, denied_calls(problem.calls, problem.denial), action)
            ]
            if actions:
                denial = Denial(tuple(actions), (resource,), is_implicit=True)
                remaining.append(Problem(problem.unit, problem.role, problem.calls, denial))
    return remaining


def _has_policy(resource: str) -> bool:
    return resource.split(":")[2:3] in (["secretsmanager"], ["kms"])


def _resource_policy(aws: Aws, resource: str) -> Document:
    """Return the policy of a secret or a key; an empty document if there is none."""
    if ":kms:" in resource:
        text = aws.call(aws.kms.get_key_policy, KeyId=resource, PolicyName="default")["Policy"]
    else:
        text = aws.call(aws.secretsmanager.get_resource_policy, SecretId=resource).get("ResourcePolicy", "")
    return cast(Document, json.loads(text)) if text else {}


def _allows_role(document: Document, role: Role, calls: Calls, action: str) -> bool:
    """Return whether a resource's policy allows the action to the role itself, or whether that is open."""
    statements = [each for each in as_list(document.get("Statement", [])) if _names_role(each, role)]
    decisions = evaluate({"": {"Statement": statements}}, None, calls._replace(actions=[action]))
    return all(decision.outcome in (Outcome.ALLOWED, Outcome.OPEN) for decision in decisions)


def _names_role(statement: Statement, role: Role) -> bool:
    """Return whether the role is a principal of the statement. The account alone is not: it delegates to IAM."""
    principal = statement.get("Principal", {})
    names = as_list(principal.get("AWS", [])) if isinstance(principal, dict) else [principal]
    session = f":assumed-role/{role.name}/"
    return any(name in ("*", role.arn) or session in name for name in names)
