"""Whether a function's resource-based policy lets Secrets Manager invoke it.

Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets-required-permissions-function.html
"""

from collections.abc import Iterator

from rotation_role_policy import arn
from rotation_role_policy.iam.conditions import excludes
from rotation_role_policy.iam.document import JsonDocument, Policy, PolicyKind, PolicyName, Statement
from rotation_role_policy.iam.evaluation import Calls, Outcome, applies, evaluate
from rotation_role_policy.iam.principals import is_about_service

_SERVICE = "secretsmanager.amazonaws.com"
_ACTION = "lambda:InvokeFunction"
_ANY_ACCOUNT = "000000000000"
"""An account that no policy names."""
_ORGANIZATION_PROBES = {
    "aws:sourceorgid": "o-0anyorg000",
    "aws:sourceorgpaths": "o-0anyorg000/r-0any/ou-0any-00000000/",
}
"""By context key in lower case: the value for an organization that no policy names."""
_SOURCE_KEYS = {"aws:sourcearn", "aws:sourceaccount"}
"""In lower case."""
_FUNCTION_URL_KEYS = {"lambda:functionurlauthtype", "lambda:invokedviafunctionurl"}
"""In lower case: context keys of statements for the function's URL, which Secrets Manager does not use."""


def may_invoke(document: JsonDocument, function_id: str, secret_arn: str) -> bool:
    """Return whether Secrets Manager may invoke a function to rotate a secret, or whether that is open.

    Args:
        document: the policy of the function, or of the version or alias that the secret names.
        function_id: `RotationLambdaARN` of the secret.
        secret_arn: full ARN.
    """
    policy = Policy(PolicyName(PolicyKind.FUNCTION, function_id), document)
    [decision] = evaluate([policy], None, _calls(function_id, secret_arn), _concerns)
    return decision.outcome in (Outcome.ALLOWED, Outcome.OPEN)


def statements_without_source(document: JsonDocument, function_id: str) -> Iterator[str]:
    """Yield the `Sid` of each statement that allows the invocation for secrets of any account.

    Args:
        document: the policy of the function, or of the version or alias that a secret names.
        function_id: `RotationLambdaARN` of the secret.
    """
    function = arn.parse(function_id)
    foreign_secret = f"arn:{function.partition}:secretsmanager:{function.region}:{_ANY_ACCOUNT}:secret:x-aaaaaa"
    calls = _calls(function_id, foreign_secret)
    policy = Policy(PolicyName(PolicyKind.FUNCTION, function_id), document)
    if any(decision.outcome is Outcome.BLOCKED for decision in evaluate([policy], None, calls, _concerns)):
        return
    for statement in policy.statements:
        if statement.allows:
            is_open = applies(statement, calls, _concerns)
            # A condition on the organization limits the accounts, and which of them are in it is not known.
            if is_open or (is_open is None and not _is_limited(statement)):
                yield statement.sid


def _calls(function_id: str, secret_arn: str) -> Calls:
    """Return the invocation for a secret."""
    name, qualifier = arn.split_qualifier(function_id)
    # The unpublished version has the policy of the function itself.
    invoked = name if qualifier and qualifier.startswith("$LATEST") else function_id
    context = {"aws:SourceArn": secret_arn, "aws:SourceAccount": arn.parse(secret_arn).account}
    return Calls((_ACTION,), (invoked,), context)


def _is_limited(statement: Statement) -> bool:
    """Return whether a statement that may apply to other accounts is limited to an organization, or by a variable."""
    for condition in statement.conditions:
        key = condition.key.lower()
        if key in _ORGANIZATION_PROBES and excludes(condition, _ORGANIZATION_PROBES[key]):
            return True
        if key in _SOURCE_KEYS and any("${" in value for value in condition.values):
            return True
    return False


def _concerns(statement: Statement) -> bool:
    """Return whether a statement is about Secrets Manager, and not only about the function's URL."""
    return _keys(statement).isdisjoint(_FUNCTION_URL_KEYS) and is_about_service(statement, _SERVICE)


def _keys(statement: Statement) -> set[str]:
    return {condition.key.lower() for condition in statement.conditions}
