"""Find out, before the policy is written, whether anything blocks what the policy grants.

IAM's policy simulator evaluates the policies on the role. It evaluates no resource policies for roles, so these are
read and evaluated in `resource_policies`.

Each statement of the new document is simulated together with the policies on the role. Two results are certain: an
explicit deny, and a permissions boundary that does not allow the action, if no context key was missing. Any other
denial is a warning. The simulator evaluates SCPs without the context of the real calls, and does not report the context
keys that it lacks for them, so a denial by an SCP alone proves nothing.

Sources: docs/policy.md, "The access check",
https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html,
https://github.com/aws/aws-cli/issues/10525
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.aws.errors import is_throttling
from rotation_role_policy.errors import AwsApiError, ErrorCode, RequestError, quoted, role_not_found
from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.iam.evaluation import Calls
from rotation_role_policy.iam.simulation import Denial, denials_of, in_words
from rotation_role_policy.rules.calls import calls_of
from rotation_role_policy.rules.policy import grants
from rotation_role_policy.rules.state import State
from rotation_role_policy.write.resource_policies import check_resource_policies
from rotation_role_policy.write.resource_policy_results import PolicyDoubt

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import ContextEntryTypeDef

MAX_ATTEMPTS = 3
"""Attempts at a simulation that fails. `PolicyEvaluation` is an HTTP 500 that retries do not fix."""


def check_access(aws: Aws, state: State, document: JsonDocument) -> list[Denial | PolicyDoubt]:
    """Simulate each grant of `document`, evaluate the resource policies, and return the results that prove nothing.

    Args:
        aws: makes the calls.
        state: from which `document` was built.
        document: the policy document to be written.

    Raises:
        RequestError: a grant is certainly blocked. The message has the action, the resource and what blocks it.
    """
    return [*simulate_grants(aws, state, document), *check_resource_policies(aws, state)]


def simulate_grants(aws: Aws, state: State, document: JsonDocument) -> list[Denial]:
    """Simulate each grant of `document`, and return the denials that prove nothing.

    There is one simulation for each Allow statement. A statement for secrets with different tags needs one for each set
    of tags, a statement for a key one for each secret that the key encrypts. Arguments and errors are those of
    `check_access`.
    """
    # The document's own Deny applies to other callers, so it is left out of the simulation.
    allow_statements = [statement for statement in document["Statement"] if statement["Effect"] == "Allow"]
    text = json.dumps({**document, "Statement": allow_statements}, separators=(",", ":"))
    allow_grants = (grant for grant in grants(state) if grant.statement["Effect"] == "Allow")
    undecided: list[Denial] = []
    for allowed, calls in ((grant, calls) for grant in allow_grants for calls in calls_of(state, grant)):
        try:
            denials = simulate(aws, state.role.arn, calls, [text])
        except AwsApiError as error:
            if is_throttling(error.code):
                raise
            # The other simulations would most likely fail too.
            return [*undecided, replace(_not_simulated(calls, error), is_last=True)]
        for denial in denials:
            if denial.blocker and denial.is_certain and not allowed.is_dispensable:
                [action], [resource] = denial.actions, denial.resources
                raise RequestError(
                    f"AccessCheck: role {quoted(state.role.name)}: {action} on {quoted(resource)} is blocked by"
                    f" {in_words(denial.blocker)}. Allow it there, or set AccessCheck to Off.",
                    ErrorCode.ACCESS_CHECK_FAILED,
                )
        undecided += denials
    return undecided


def simulate(aws: Aws, role_arn: str, calls: Calls, documents: Sequence[str] = ()) -> list[Denial]:
    """Ask the simulator whether the policies on a role allow `calls`.

    Args:
        aws: makes the call.
        role_arn: of the role.
        calls: at least one action and one resource.
        documents: policy documents that count as if they were on the role.

    Returns:
        What the simulator does not allow, or rejects to simulate.

    Raises:
        RequestError: the role does not exist.
        AwsApiError: the simulator failed.
    """
    try:
        with aws.max_attempts(MAX_ATTEMPTS):
            pages = list(
                aws.paginate(
                    aws.iam.simulate_principal_policy,
                    PolicySourceArn=role_arn,
                    PolicyInputList=documents,
                    ActionNames=list(calls.actions),
                    ResourceArns=list(calls.resources),
                    ContextEntries=[_context_entry(key, value) for key, value in calls.context.items()],
                )
            )
    except AwsApiError as error:
        if error.code == "NoSuchEntity":
            raise role_not_found(role_arn) from error
        if error.code != "InvalidInput":
            raise
        if len(calls.actions) == 1:
            return [_not_simulated(calls, error)]
        # "... require different authorization information": the simulator rejects some combinations of actions, which
        # are not documented.
        single_actions = (calls._replace(actions=(action,)) for action in calls.actions)
        return [denial for single in single_actions for denial in simulate(aws, role_arn, single, documents)]
    results = [result for page in pages for result in page.get("EvaluationResults", [])]
    return [denial for result in results for denial in denials_of(calls, result)]


def _not_simulated(calls: Calls, error: AwsApiError) -> Denial:
    return Denial(calls.actions, calls.resources, failure=f"{error.code}: {quoted(error.message)}")


def _context_entry(key: str, value: str | bool) -> ContextEntryTypeDef:
    if isinstance(value, bool):
        return {"ContextKeyName": key, "ContextKeyType": "boolean", "ContextKeyValues": [str(value).lower()]}
    return {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}
