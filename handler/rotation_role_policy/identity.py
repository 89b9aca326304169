"""Which policy is a resource's own: its name belongs to one resource of one stack (README, "What you can rely on")."""

import hashlib

POLICY_NAME_CHARACTERS = 128
"""https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePolicy.html"""


def policy_name(stack_id: str, logical_id: str) -> str:
    """The name of the inline policy of a resource of the stack with this ARN: the same in every delivery."""
    digits = hashlib.sha256(f"{stack_id}/{logical_id}".encode()).hexdigest()[:12]
    return f"{logical_id[: POLICY_NAME_CHARACTERS - 1 - len(digits)]}-{digits}"
