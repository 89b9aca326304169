"""Whether a function's resource-based policy lets Secrets Manager invoke it.

Source: https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets-required-permissions-function.html
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.iam.evaluation import Outcome, evaluate
from rotation_role_policy.iam.wildcard import as_list, matches
from rotation_role_policy.rules.calls import Calls
from rotation_role_policy.rules.policy import Document, Statement

_SERVICE = "secretsmanager.amazonaws.com"
_ACTION = "lambda:InvokeFunction"
_SOURCE_KEYS = {"aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid", "aws:sourceorgpaths"}
"""In lower case. The last two limit the accounts to those of an organization."""

_FUNCTION_URL_KEYS = {"lambda:functionurlauthtype", "lambda:invokedviafunctionurl"}
"""In lower case: context keys of statements for the function's URL, which Secrets Manager does not use."""


class InvokePolicy(NamedTuple):
    """The statements of a function's policy that concern Secrets Manager. Empty if there is no policy."""

    document: Document

    def may_invoke(self, function_id: str, secret_arn: str) -> bool:
        """Return whether Secrets Manager may invoke the function to rotate the secret, or whether that is open."""
        account = arn.parse(secret_arn).account
        name, qualifier = arn.split_qualifier(function_id)
        # The unpublished version has the policy of the function itself.
        invoked = name if qualifier and qualifier.startswith("$LATEST") else function_id
        calls = Calls([_ACTION], [invoked], {"aws:SourceArn": secret_arn, "aws:SourceAccount": account})
        [decision] = evaluate({"the function's policy": self.document}, None, calls)
        return decision.outcome in (Outcome.ALLOWED, Outcome.OPEN)

    def without_source(self) -> Iterator[str]:
        """Yield the `Sid` of each statement that allows the invocation for secrets of any account."""
        for statement in as_list(self.document.get("Statement", [])):
            if statement["Effect"] == "Allow" and not _has_source(statement) and _is_for_invocation(statement):
                yield str(statement.get("Sid", ""))


def parse_invoke_policy(text: str) -> InvokePolicy:
    """Return the policy of GetPolicy, a JSON text, reduced to the statements whose principal is Secrets Manager."""
    document = json.loads(text)
    statements = [statement for statement in as_list(document.get("Statement", [])) if _concerns(statement)]
    return InvokePolicy({**document, "Statement": statements})


def _concerns(statement: Statement) -> bool:
    if any(key.lower() in _FUNCTION_URL_KEYS for keys in statement.get("Condition", {}).values() for key in keys):
        return False
    principal = statement.get("Principal", {})
    services = as_list(principal.get("Service", [])) if isinstance(principal, dict) else [principal]
    anyone = isinstance(principal, dict) and "*" in as_list(principal.get("AWS", []))
    return anyone or bool({_SERVICE, "*"} & set(services))


def _has_source(statement: Statement) -> bool:
    return any(key.lower() in _SOURCE_KEYS for keys in statement.get("Condition", {}).values() for key in keys)


def _is_for_invocation(statement: Statement) -> bool:
    return any(matches(pattern, _ACTION, ignore_case=True) for pattern in as_list(statement.get("Action", [])))
