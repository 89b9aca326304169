"""Whether a function's resource-based policy lets Secrets Manager invoke it.

Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets-required-permissions-function.html
"""

from collections.abc import Iterator

from rotation_role_policy import arn
from rotation_role_policy.iam.document import JsonDocument, Policy, PolicyKind, PolicyName, Statement, parse
from rotation_role_policy.iam.evaluation import Calls, Outcome, evaluate
from rotation_role_policy.iam.principals import is_about_service

_SERVICE = "secretsmanager.amazonaws.com"
_ACTION = "lambda:InvokeFunction"
_SOURCE_KEYS = {"aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths"}
"""In lower case. The last two limit the accounts to those of an organization."""
_FUNCTION_URL_KEYS = {"lambda:functionurlauthtype", "lambda:invokedviafunctionurl"}
"""In lower case: context keys of statements for the function's URL, which Secrets Manager does not use."""


def may_invoke(document: JsonDocument, function_id: str, secret_arn: str) -> bool:
    """Return whether Secrets Manager may invoke a function to rotate a secret, or whether that is open.

    Args:
        document: the policy of the function, or of the version or alias that the secret names.
        function_id: `RotationLambdaARN` of the secret.
        secret_arn: full ARN.
    """
    account = arn.parse(secret_arn).account
    name, qualifier = arn.split_qualifier(function_id)
    # The unpublished version has the policy of the function itself.
    invoked = name if qualifier and qualifier.startswith("$LATEST") else function_id
    calls = Calls((_ACTION,), (invoked,), {"aws:SourceArn": secret_arn, "aws:SourceAccount": account})
    policy = Policy(PolicyName(PolicyKind.FUNCTION, invoked), document)
    [decision] = evaluate([policy], None, calls, _concerns)
    return decision.outcome in (Outcome.ALLOWED, Outcome.OPEN)


def statements_without_source(document: JsonDocument) -> Iterator[str]:
    """Yield the `Sid` of each statement that allows the invocation for secrets of any account."""
    for statement in parse(document):
        is_for_invocation = statement.allows and _concerns(statement) and statement.includes_action(_ACTION)
        if is_for_invocation and _keys(statement).isdisjoint(_SOURCE_KEYS):
            yield statement.sid


def _concerns(statement: Statement) -> bool:
    """Return whether a statement is about Secrets Manager, and not only about the function's URL."""
    return _keys(statement).isdisjoint(_FUNCTION_URL_KEYS) and is_about_service(statement, _SERVICE)


def _keys(statement: Statement) -> set[str]:
    return {condition.key.lower() for condition in statement.conditions}
