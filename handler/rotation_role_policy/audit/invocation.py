"""Whether a function's resource-based policy lets Secrets Manager invoke it.

Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets-required-permissions-function.html
"""

from collections.abc import Iterator

from rotation_role_policy import arn
from rotation_role_policy.iam.conditions import KnownContext, excludes, holds
from rotation_role_policy.iam.document import JsonDocument, Policy, PolicyKind, PolicyName, Statement
from rotation_role_policy.iam.evaluation import Calls, Outcome, applies, evaluate
from rotation_role_policy.iam.principals import is_about_service
from rotation_role_policy.iam.wildcard import UNNAMED
from rotation_role_policy.rules.examples import examples_in

_SERVICE = "secretsmanager.amazonaws.com"
_ACTION = "lambda:InvokeFunction"
_ORGANIZATION_PROBES = {
    "aws:sourceorgid": f"o-{UNNAMED}",
    "aws:sourceorgpaths": f"o-{UNNAMED}/r-{UNNAMED}/ou-{UNNAMED}/",
}
"""By context key in lower case: the value for an organization that no policy names."""
_SOURCE_KEYS = {"aws:sourcearn", "aws:sourceaccount"}
"""In lower case."""
_URL_AUTH_TYPE, _VIA_URL = "lambda:functionurlauthtype", "lambda:invokedviafunctionurl"
"""In lower case: context keys of statements for the function's URL, which Secrets Manager does not use. Its calls lack
the first. AWS does not say whether they lack the second too, or have it as false."""


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
    policy = Policy(PolicyName(PolicyKind.FUNCTION, function_id), document)
    calls = [_calls(function_id, each) for each in _foreign_secrets(policy, function_id)]
    allowed = [
        each
        for each in calls
        if all(found.outcome is not Outcome.BLOCKED for found in evaluate([policy], None, each, _concerns))
    ]
    for statement in policy.statements:
        if statement.allows:
            applied = [applies(statement, each, _concerns) for each in allowed]
            # A condition on the organization limits the accounts, and which of them are in it is not known.
            if any(applied) or (None in applied and not _is_limited(statement)):
                yield statement.sid


def _foreign_secrets(policy: Policy, function_id: str) -> Iterator[str]:
    """Yield ARNs of secrets in an account that no policy names: of any name, and of names that the conditions ask for.

    Everybody can give a secret of their own account such a name.
    """
    function = arn.parse(function_id)
    patterns = [
        value
        for statement in policy.statements
        for condition in statement.conditions
        if condition.key.lower() == "aws:sourcearn"
        for value in condition.values
    ]
    default = (function.partition, function.region, 12 * UNNAMED)
    for pattern in dict.fromkeys(("*", *patterns)):
        for secret_arn in examples_in(default, pattern, "secretsmanager"):
            # A pattern can have an account. Secrets are rotated by functions of their region.
            owner = arn.parse(secret_arn)
            if UNNAMED in owner.account and owner.region == function.region:
                yield secret_arn


def sids(document: JsonDocument) -> set[str]:
    """Return the `Sid` of each statement, which another statement of the policy cannot have."""
    return {statement.sid for statement in Policy(PolicyName(PolicyKind.FUNCTION, ""), document).statements}


def _calls(function_id: str, secret_arn: str) -> Calls:
    """Return the invocation for a secret."""
    name, qualifier = arn.split_qualifier(function_id)
    # The unpublished version has the policy of the function itself.
    invoked = name if qualifier and qualifier.startswith("$LATEST") else function_id
    context = {"aws:SourceArn": secret_arn, "aws:SourceAccount": arn.parse(secret_arn).account}
    return Calls((_ACTION,), (invoked,), context, frozenset({_URL_AUTH_TYPE}))


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
    is_for_url = any(
        condition.key.lower() == _VIA_URL and holds(condition, KnownContext({_VIA_URL: "false"})) is False
        for condition in statement.conditions
        if condition.operator.lower() != "null"
    )
    return not is_for_url and is_about_service(statement, _SERVICE)
