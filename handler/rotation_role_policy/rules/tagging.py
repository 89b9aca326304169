"""Whether a role can give secrets the tags that limit its own grants.

A condition on a tag does not limit a role that may tag secrets.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/access_tags.html
"""

from collections.abc import Collection, Sequence

from rotation_role_policy.iam.document import Condition, Element, Policy
from rotation_role_policy.iam.evaluation import Calls, Outcome, evaluate
from rotation_role_policy.iam.resource_patterns import includes
from rotation_role_policy.rules.breadth import TAG_KEYS, example, probes

_ACTION = "secretsmanager:TagResource"
_ROTATION_FUNCTION_KEY = "secretsmanager:resource/allowrotationlambdaarn"


def can_give(
    condition: Condition,
    resource: Element,
    policies: Sequence[Policy],
    boundary: Policy | None,
    secret_arns: Collection[str],
) -> bool:
    """Return whether a role may give a tag to a secret that does not have it and is not rotated.

    Args:
        condition: on a tag of the secret.
        resource: of the statement with the condition, which is for many secrets.
        policies: of the role.
        boundary: its permissions boundary.
        secret_arns: secrets of the account.
    """
    found = TAG_KEYS.match(condition.key)
    if found is None:
        return False
    secrets = tuple(probes("secretsmanager", secret_arns))
    if not resource.is_negated:
        [pattern] = resource.patterns
        secrets = tuple(each for each in secrets if includes(pattern, each)) or (_matching(pattern),)
    used = {
        condition.key.lower()
        for policy in (*policies, *([boundary] if boundary else []))
        for statement in policy.statements
        for condition in statement.conditions
    }
    absent = {key for key in used if TAG_KEYS.match(key) or key == _ROTATION_FUNCTION_KEY}
    # The call has the tag that the condition asks for.
    context = {f"aws:RequestTag/{found['tag']}": condition.values[0], "aws:TagKeys": found["tag"]}
    calls = Calls((_ACTION,), secrets, context, frozenset(absent))
    # What is open depends on the role or on its network, not on the secret.
    return any(each.outcome in (Outcome.ALLOWED, Outcome.OPEN) for each in evaluate(policies, boundary, calls))


def _matching(pattern: str) -> str:
    """Return the ARN of a secret that a pattern matches."""
    secret = example(pattern, "secretsmanager")
    if includes(pattern, secret) is not False:
        return secret
    name = pattern.split(":", 5)[-1].replace("*", "0").replace("?", "0")
    return ":".join([*secret.split(":")[:5], name])
