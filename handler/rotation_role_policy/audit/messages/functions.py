"""The words of findings about functions."""

from rotation_role_policy import arn
from rotation_role_policy.audit.findings import Words
from rotation_role_policy.audit.messages.commands import aws
from rotation_role_policy.errors import quoted

_ID = "ID"
"""Of a secret that only a person can know."""


def function_missing(function_id: str) -> Words:
    """Return the words for a rotation function that does not exist."""
    change = _other_function(function_id)
    cancel = aws("secretsmanager cancel-rotate-secret", function_id, secret_id=_ID)
    return Words(
        f"The rotation function {function_id} does not exist.",
        f"Deploy the function again, or give the secrets another one ({change}), or turn the rotation off ({cancel}).",
        (change, cancel),
    )


def _other_function(function_id: str) -> str:
    """Return the command that gives a secret another rotation function."""
    return aws(
        "secretsmanager rotate-secret",
        function_id,
        secret_id=_ID,
        rotation_lambda_arn="ARN",
        no_rotate_immediately=True,
    )


def function_in_other_account(function_id: str) -> Words:
    """Return the words for a rotation function of another account than its secrets."""
    change = _other_function(function_id)
    return Words(
        f"The rotation function {function_id} belongs to the account {arn.parse(function_id).account}. The audit looks"
        " at its secrets here, but not at the function and its role.",
        "Run the audit in that account for the role. If you do not know that account, give the secrets another function"
        f" ({change}).",
        (change,),
    )


def function_idle(function_id: str) -> Words:
    """Return the words for a function that Lambda has made inactive because nobody invoked it."""
    invoke = aws("lambda invoke", function_id, "response.json", function_name=function_id)
    return Words(
        f"The rotation function {function_id} was not invoked for weeks, so Lambda has made it inactive (state"
        " Inactive). The next invocation fails and wakes it. Secrets Manager repeats an attempt that fails, so a"
        " rotation succeeds a few minutes later. That is normal for a rotation once a month.",
        "Nothing, if a rotation may take some minutes longer. Otherwise invoke the function before it"
        f" ({invoke}): that wakes the function and does not run its code.",
        (invoke,),
    )


def invoke_without_source(function_id: str, sid: str) -> Words:
    """Return the words for a statement by which secrets of any account can invoke the function."""
    remove = aws("lambda remove-permission", function_id, function_name=function_id, statement_id=sid)
    return Words(
        f"The statement {quoted(sid)} in the policy of the function {function_id} lets Secrets Manager invoke it for"
        " secrets of any account, because no condition on aws:SourceArn or aws:SourceAccount excludes other accounts.",
        "Add a permission with the account as SourceAccount, or one with each secret as SourceArn. Then remove this one"
        f" ({remove}).",
        (remove,),
    )
