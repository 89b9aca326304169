"""The words of findings about functions."""

from rotation_role_policy import arn
from rotation_role_policy.audit.findings import Words
from rotation_role_policy.errors import quoted


def function_missing(function_id: str) -> Words:
    """Return the words for a rotation function that does not exist."""
    return Words(
        f"The rotation function {function_id} does not exist.",
        "Deploy the function again, or give the secrets another one (aws secretsmanager rotate-secret --secret-id ID"
        " --rotation-lambda-arn ARN --no-rotate-immediately), or turn the rotation off (aws secretsmanager"
        " cancel-rotate-secret --secret-id ID).",
    )


def function_in_other_account(function_id: str) -> Words:
    """Return the words for a rotation function of another account than its secrets."""
    return Words(
        f"The rotation function {function_id} belongs to the account {arn.parse(function_id).account}. The audit looks"
        " at its secrets here, but not at the function and its role.",
        "Run the audit in that account for the role. If you do not know that account, give the secrets another function"
        " (aws secretsmanager rotate-secret --secret-id ID --rotation-lambda-arn ARN --no-rotate-immediately).",
    )


def function_idle(function_id: str) -> Words:
    """Return the words for a function that Lambda has made inactive because nobody invoked it."""
    return Words(
        f"The rotation function {function_id} was not invoked for weeks, so Lambda has made it inactive (state"
        " Inactive). The next invocation fails and wakes it. Secrets Manager repeats an attempt that fails, so a"
        " rotation succeeds a few minutes later. That is normal for a rotation once a month.",
        "Nothing, if a rotation may take some minutes longer. Otherwise invoke the function before it (aws lambda"
        f" invoke --function-name {function_id} response.json): that wakes the function and does not run its code.",
    )


def invoke_without_source(function_id: str, sid: str) -> Words:
    """Return the words for a statement by which secrets of any account can invoke the function."""
    return Words(
        f"The statement {quoted(sid)} in the policy of the function {function_id} lets Secrets Manager invoke it for"
        " secrets of any account, because no condition on aws:SourceArn or aws:SourceAccount excludes other accounts.",
        "Add a permission with the account as SourceAccount, or one with each secret as SourceArn. Then remove this one"
        f" (aws lambda remove-permission --function-name {function_id} --statement-id {sid}).",
    )
