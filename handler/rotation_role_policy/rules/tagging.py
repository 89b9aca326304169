"""Whether a role can give secrets the tags that limit its own grants.

A condition on a tag does not limit a role that may tag secrets.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/access_tags.html
"""

from collections.abc import Collection, Sequence

from rotation_role_policy.iam.document import Condition, Element, Policy
from rotation_role_policy.iam.evaluation import Calls, Outcome, evaluate
from rotation_role_policy.rules.breadth import TAG_KEYS, examples, untouched_keys

_ACTION = "secretsmanager:TagResource"


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
    secrets = examples(resource, "secretsmanager", secret_arns)
    absent = untouched_keys(policies, boundary)
    # The call has the tag that the condition asks for.
    context = {f"aws:RequestTag/{found['tag']}": condition.values[0], "aws:TagKeys": found["tag"]}
    calls = Calls((_ACTION,), secrets, context, absent)
    # What is open depends on the role or on its network, not on the secret.
    return any(each.outcome in (Outcome.ALLOWED, Outcome.OPEN) for each in evaluate(policies, boundary, calls))
