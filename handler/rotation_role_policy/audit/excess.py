"""What the policies of a role grant beyond what the functions of the role need.

The check covers Secrets Manager, KMS and network interfaces. Other services are the business of the function's owner.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from rotation_role_policy.audit.evaluation import Outcome, evaluate
from rotation_role_policy.audit.findings import (
    KMS_ALL_KEYS,
    KMS_WITHOUT_CONTEXT,
    NETWORK_INTERFACES_OPEN,
    OTHER_SECRETS,
    UNNEEDED_GRANT,
    FindingType,
)
from rotation_role_policy.calls import SOURCE_FUNCTION, Calls
from rotation_role_policy.policy import NETWORK_INTERFACE_ACTIONS, Document, Statement
from rotation_role_policy.policy_grammar import as_list, matches

_SECRET_ACTIONS = (
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
    "secretsmanager:UpdateSecret",
    "secretsmanager:DeleteSecret",
)
"""The actions that read or change a secret."""
_KEY_ACTIONS = ("kms:Decrypt", "kms:GenerateDataKey", "kms:Encrypt", "kms:ReEncryptFrom")
_MANAGEMENT = {"secretsmanager": "secretsmanager:DeleteSecret", "kms": "kms:ScheduleKeyDeletion"}
"""By service: an action that no rotation needs. A pattern that matches it grants the management of the resource."""
_INTERFACE_ACTIONS = ("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface")

_LIMITING_KEYS = re.compile(r"secretsmanager:(resource/|ResourceTag/|SecretId|Name)|aws:ResourceTag/", re.IGNORECASE)
"""Context keys by which a condition limits a statement to some secrets.
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html"""
_CONTEXT_KEY = "kms:EncryptionContext:SecretARN"
_ANY_RANDOM_SUFFIX = re.compile(r"-\?{6}$")
"""Stands for the six characters that Secrets Manager adds to a secret's ARN: such a pattern matches one secret."""


class Needed(NamedTuple):
    """What all functions of a role need together."""

    rotated_arns: Collection[str]
    superuser_arns: Collection[str]
    key_arns: Collection[str]
    """Of these secrets."""
    other_key_arns: Collection[str]
    """Keys that the functions need for other things, such as their environment variables."""
    in_vpc: bool
    function_arns: tuple[str, ...]
    """Unqualified."""


class Excess(NamedTuple):
    """One grant beyond what is needed."""

    type: FindingType
    policy: str
    """The policy in words."""
    actions: tuple[str, ...]
    """As the policy has them."""
    resource: str
    """As the policy has it."""
    problem: str
    """To complete a sentence that begins with the grant."""


def find_excess(
    documents: Mapping[str, Document], all_documents: Mapping[str, Document], needed: Needed
) -> list[Excess]:
    """Return what `documents` grant beyond what is needed.

    Args:
        documents: the policies to judge, keyed by their names in words. The provider's own policies are not among
            them: they are compared with what the provider would write.
        all_documents: all policies of the role. Their denials count.
        needed: what the functions of the role need.
    """
    found: dict[Excess, None] = {}
    for policy, document in documents.items():
        for statement in as_list(document.get("Statement", [])):
            if statement.get("Effect") == "Allow":
                found |= dict.fromkeys(_of_secrets(policy, statement, needed))
                found |= dict.fromkeys(_of_keys(policy, statement, needed))
                found |= dict.fromkeys(_of_interfaces(policy, statement, needed, all_documents))
    return list(found)


def _of_secrets(policy: str, statement: Statement, needed: Needed) -> Iterator[Excess]:
    actions = _granted(statement, _SECRET_ACTIONS)
    if not actions:
        return
    for resource in _resources(statement, ":secretsmanager:"):
        if not _is_one_secret(resource):
            if not _is_limited(statement):
                problem = "which includes secrets that the functions of the role do not rotate"
                yield Excess(OTHER_SECRETS, policy, actions, resource, problem)
            continue
        is_rotated, is_superuser = _names(resource, needed.rotated_arns), _names(resource, needed.superuser_arns)
        if not is_rotated and not is_superuser:
            problem = "which no function of the role rotates"
            yield Excess(UNNEEDED_GRANT, policy, actions, resource, problem)
        elif management := _management(statement, "secretsmanager"):
            yield Excess(UNNEEDED_GRANT, policy, management, resource, "so the function can also delete the secret")


def _of_keys(policy: str, statement: Statement, needed: Needed) -> Iterator[Excess]:
    actions = _granted(statement, _KEY_ACTIONS)
    if not actions:
        return
    for resource in _resources(statement, ":kms:"):
        if set("*?$") & set(resource) or ":alias/" in resource:
            yield Excess(
                KMS_ALL_KEYS, policy, actions, resource, "which includes keys that no secret of the role needs"
            )
        elif resource in needed.other_key_arns:
            continue
        elif resource not in needed.key_arns:
            yield Excess(UNNEEDED_GRANT, policy, actions, resource, "which encrypts no secret of the role")
        elif not _has_condition_on(statement, _CONTEXT_KEY):
            problem = f"without a condition on {_CONTEXT_KEY}, so the function can decrypt everything under this key"
            yield Excess(KMS_WITHOUT_CONTEXT, policy, actions, resource, problem)
            # With such a condition, the management is not allowed: these calls have no encryption context.
            if management := _management(statement, "kms"):
                yield Excess(UNNEEDED_GRANT, policy, management, resource, "so the function can also delete the key")


def _of_interfaces(
    policy: str, statement: Statement, needed: Needed, all_documents: Mapping[str, Document]
) -> Iterator[Excess]:
    actions = _granted(statement, _INTERFACE_ACTIONS)
    if not actions:
        return
    resource = _resources(statement, ":ec2:")[0:1]
    if not resource:
        return
    if not needed.in_vpc:
        problem = "although no function of the role is in a VPC"
        yield Excess(UNNEEDED_GRANT, policy, actions, resource[0], problem)
        return
    for function_arn in needed.function_arns:
        calls = Calls(NETWORK_INTERFACE_ACTIONS[:1], ["*"], {SOURCE_FUNCTION: function_arn})
        if any(decision.outcome is Outcome.ALLOWED for decision in evaluate(all_documents, None, calls)):
            problem = "although only Lambda itself needs that, not the code of the function"
            yield Excess(NETWORK_INTERFACES_OPEN, policy, actions, resource[0], problem)
            return


def _granted(statement: Statement, actions: tuple[str, ...]) -> tuple[str, ...]:
    """Return the statement's patterns that match one of the actions."""
    if "NotAction" in statement:
        excluded = as_list(statement["NotAction"])
        is_granted = any(not _matches_any(excluded, action) for action in actions)
        return (f"all but {', '.join(excluded)}",) if is_granted else ()
    patterns = as_list(statement.get("Action", []))
    return tuple(pattern for pattern in patterns if any(matches(pattern, each, ignore_case=True) for each in actions))


def _management(statement: Statement, service: str) -> tuple[str, ...]:
    return _granted(statement, (_MANAGEMENT[service],))


def _matches_any(patterns: list[Any], value: str) -> bool:
    return any(matches(pattern, value, ignore_case=True) for pattern in patterns)


def _resources(statement: Statement, service: str) -> list[str]:
    """Return the statement's patterns for resources that can be of a service, such as ``:kms:``."""
    if "NotResource" in statement:
        # It is as broad as a wildcard.
        return [f"* but {', '.join(as_list(statement['NotResource']))}"]
    resources = as_list(statement.get("Resource", []))
    return [resource for resource in resources if service in resource or _is_any_service(resource)]


def _is_any_service(resource: str) -> bool:
    """Return whether a pattern leaves the service of an ARN open."""
    parts = resource.split(":", 3)
    return len(parts) < 4 or bool(set("*?$") & set(parts[2]))


def _is_limited(statement: Statement) -> bool:
    return any(_LIMITING_KEYS.match(key) for keys in statement.get("Condition", {}).values() for key in keys)


def _has_condition_on(statement: Statement, context_key: str) -> bool:
    return any(key.lower() == context_key.lower() for keys in statement.get("Condition", {}).values() for key in keys)


def _is_one_secret(pattern: str) -> bool:
    """Return whether the pattern matches one secret: a whole ARN, perhaps but for its random characters."""
    return not set("*?$") & set(_ANY_RANDOM_SUFFIX.sub("", pattern))


def _names(pattern: str, secret_arns: Collection[str]) -> bool:
    if pattern in secret_arns:
        return True
    without_suffix = _ANY_RANDOM_SUFFIX.sub("", pattern)
    # IAM also matches an ARN without the random characters only literally. A superuser secret can be known that way.
    return without_suffix != pattern and any(without_suffix in (arn, arn.rpartition("-")[0]) for arn in secret_arns)
