"""What the policies of a role grant beyond what the functions of the role need.

The check covers Secrets Manager, KMS and network interfaces. Other services are the business of the function's owner.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.audit.findings import (
    KMS_ALL_KEYS,
    KMS_WITHOUT_CONTEXT,
    NETWORK_INTERFACES_OPEN,
    OTHER_SECRETS,
    UNNEEDED_GRANT,
    FindingType,
)
from rotation_role_policy.iam.evaluation import Outcome, evaluate
from rotation_role_policy.iam.wildcard import as_list, matches
from rotation_role_policy.rules.calls import SOURCE_FUNCTION, Calls
from rotation_role_policy.rules.policy import NETWORK_INTERFACE_ACTIONS, Document, Statement

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
_PROBES = {
    ":secretsmanager:": "us-east-1:111111111111:secret:x-aaaaaa",
    ":kms:": "us-east-1:111111111111:key/x",
    ":ec2:": "us-east-1:111111111111:network-interface/x",
}
"""By service: the end of an ARN that only a pattern for all resources matches."""
_INTERFACE_ACTIONS = ("ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface")

_LIMITING_KEYS = re.compile(r"secretsmanager:(resource/|ResourceTag/|SecretId|Name)|aws:ResourceTag/", re.IGNORECASE)
"""Context keys by which a condition limits a statement to some secrets.
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html"""
_LIMITING_OPERATORS = re.compile(r"(ForAnyValue:)?(String|Arn)(Equals|EqualsIgnoreCase|Like)", re.IGNORECASE)
"""Not the negated ones, and not those that a missing context key satisfies (IfExists, ForAllValues)."""
_CONTEXT_KEY = re.compile(r"kms:EncryptionContext:SecretARN$", re.IGNORECASE)
_VIA_SERVICE_KEY = re.compile(r"kms:ViaService$", re.IGNORECASE)


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
    sid: str
    """Of the statement; empty if it has none."""
    actions: tuple[str, ...]
    """As the policy has them."""
    resource: str
    """As the policy has it."""
    problem: str
    """To complete a sentence that begins with the grant."""


def find_excess(
    documents: Mapping[str, Document],
    all_documents: Mapping[str, Document],
    boundary: Document | None,
    needed: Needed,
) -> list[Excess]:
    """Return what `documents` grant beyond what is needed.

    Args:
        documents: the policies to judge, keyed by their names in words. The provider's own policies are not among
            them: they are compared with what the provider would write.
        all_documents: all policies of the role. Their denials count.
        boundary: the permissions boundary of the role. A grant is only as broad as the boundary.
        needed: what the functions of the role need.
    """
    found = _find(documents, all_documents, boundary, needed)
    if boundary is None:
        return found
    in_boundary = {excess.type for excess in _find({"": boundary}, all_documents, None, needed)}
    return [excess for excess in found if excess.type not in _WILDCARD_TYPES or excess.type in in_boundary]


_WILDCARD_TYPES = (OTHER_SECRETS, KMS_ALL_KEYS)


def _find(
    documents: Mapping[str, Document],
    all_documents: Mapping[str, Document],
    boundary: Document | None,
    needed: Needed,
) -> list[Excess]:
    found: dict[Excess, None] = {}
    for policy, document in documents.items():
        for statement in as_list(document.get("Statement", [])):
            if statement.get("Effect") == "Allow":
                found |= dict.fromkeys(_of_secrets(policy, statement, needed))
                found |= dict.fromkeys(_of_keys(policy, statement, needed))
                found |= dict.fromkeys(_of_interfaces(policy, statement, needed, all_documents, boundary))
    return list(found)


def _of_secrets(policy: str, statement: Statement, needed: Needed) -> Iterator[Excess]:
    actions = _granted(statement, _SECRET_ACTIONS)
    if not actions:
        return
    sid = str(statement.get("Sid", ""))
    for resource in _resources(statement, ":secretsmanager:"):
        if not _is_one_secret(resource):
            if not _is_limited(statement, _LIMITING_KEYS):
                problem = "which matches secrets that the functions of the role do not rotate, or can match them later"
                yield Excess(OTHER_SECRETS, policy, sid, actions, resource, problem)
            continue
        is_rotated, is_superuser = _names(resource, needed.rotated_arns), _names(resource, needed.superuser_arns)
        if not is_rotated and not is_superuser:
            problem = "which no function of the role is configured to rotate"
            yield Excess(UNNEEDED_GRANT, policy, sid, actions, resource, problem)
        elif management := _granted(statement, (_MANAGEMENT["secretsmanager"],)):
            problem = "so the function can also delete the secret"
            yield Excess(UNNEEDED_GRANT, policy, sid, management, resource, problem)


def _of_keys(policy: str, statement: Statement, needed: Needed) -> Iterator[Excess]:
    actions = _granted(statement, _KEY_ACTIONS)
    if not actions or _is_everything(statement, actions) or _is_for_another_service(statement):
        return
    sid = str(statement.get("Sid", ""))
    has_context = _is_limited(statement, _CONTEXT_KEY)
    for resource in _resources(statement, ":kms:"):
        if ":alias/" in resource:
            problem = "which allows nothing: these actions need the ARN of the key"
            yield Excess(UNNEEDED_GRANT, policy, sid, actions, resource, problem)
        elif set("*?$") & set(resource):
            if not has_context:
                problem = "which matches keys that no secret of the role needs"
                yield Excess(KMS_ALL_KEYS, policy, sid, actions, resource, problem)
        elif resource not in (*needed.key_arns, *needed.other_key_arns):
            yield Excess(UNNEEDED_GRANT, policy, sid, actions, resource, "which encrypts no secret of the role")
        elif resource in needed.key_arns and not has_context:
            yield from _of_key_without_context(policy, statement, sid, actions, resource)


def _of_key_without_context(
    policy: str, statement: Statement, sid: str, actions: tuple[str, ...], resource: str
) -> Iterator[Excess]:
    covered = "every secret" if _is_limited(statement, _VIA_SERVICE_KEY) else "everything"
    problem = f"without a condition on kms:EncryptionContext:SecretARN, so it covers {covered} under this key"
    yield Excess(KMS_WITHOUT_CONTEXT, policy, sid, actions, resource, problem)
    # With the condition, the management is not allowed: these calls have no encryption context.
    if management := _granted(statement, (_MANAGEMENT["kms"],)):
        yield Excess(UNNEEDED_GRANT, policy, sid, management, resource, "so the function can also delete the key")


def _is_for_another_service(statement: Statement) -> bool:
    """Return whether a condition limits the use of keys to another service than Secrets Manager, such as SQS."""
    services = _values(statement, _VIA_SERVICE_KEY)
    return bool(services) and not any(service.startswith(("secretsmanager.", "*")) for service in services)


def _of_interfaces(
    policy: str,
    statement: Statement,
    needed: Needed,
    all_documents: Mapping[str, Document],
    boundary: Document | None,
) -> Iterator[Excess]:
    actions = _granted(statement, _INTERFACE_ACTIONS)
    resources = _resources(statement, ":ec2:")
    if not actions or not resources or _is_everything(statement, actions):
        return
    sid = str(statement.get("Sid", ""))
    if not needed.in_vpc:
        problem = "although no function of the role is in a VPC"
        yield Excess(UNNEEDED_GRANT, policy, sid, actions, resources[0], problem)
        return
    for function_arn in needed.function_arns:
        calls = Calls(NETWORK_INTERFACE_ACTIONS[:1], ["*"], {SOURCE_FUNCTION: function_arn})
        if any(decision.outcome is Outcome.ALLOWED for decision in evaluate(all_documents, boundary, calls)):
            problem = "although only Lambda itself needs that, not the code of the function"
            yield Excess(NETWORK_INTERFACES_OPEN, policy, sid, actions, resources[0], problem)
            return


def _is_everything(statement: Statement, actions: tuple[str, ...]) -> bool:
    """Return whether the statement grants every service, which is reported once, for the secrets."""
    is_every_action = all(action == "*" or action.startswith("all but ") for action in actions)
    return is_every_action and bool(_resources(statement, ":secretsmanager:"))


def _granted(statement: Statement, actions: tuple[str, ...]) -> tuple[str, ...]:
    """Return the statement's patterns that match one of the actions."""
    if "NotAction" in statement:
        excluded = as_list(statement["NotAction"])
        is_granted = any(not _matches_any(excluded, action) for action in actions)
        return (f"all but {', '.join(excluded)}",) if is_granted else ()
    patterns = as_list(statement.get("Action", []))
    return tuple(pattern for pattern in patterns if any(matches(pattern, each, ignore_case=True) for each in actions))


def _matches_any(patterns: list[Any], value: str) -> bool:
    return any(matches(pattern, value, ignore_case=True) for pattern in patterns)


def _resources(statement: Statement, service: str) -> list[str]:
    """Return the statement's patterns for resources that can be of a service, such as ``:kms:``."""
    if "NotResource" in statement:
        excluded = as_list(statement["NotResource"])
        if any(matches(pattern, f"arn:aws{service}{_PROBES[service]}") for pattern in excluded):
            return []
        # It is as broad as a wildcard.
        return [f"* but {', '.join(as_list(statement['NotResource']))}"]
    resources = as_list(statement.get("Resource", []))
    return [resource for resource in resources if service in resource or _is_any_service(resource)]


def _is_any_service(resource: str) -> bool:
    """Return whether a pattern leaves the service of an ARN open."""
    parts = resource.split(":", 3)
    return len(parts) < 4 or bool(set("*?$") & set(parts[2]))


def _is_limited(statement: Statement, keys: re.Pattern[str]) -> bool:
    """Return whether the statement has a condition that allows only some values of a context key."""
    values = _values(statement, keys)
    return bool(values) and "*" not in values


def _values(statement: Statement, keys: re.Pattern[str]) -> list[str]:
    """Return the values, or patterns, to which a condition limits a context key."""
    return [
        str(value)
        for operator, members in statement.get("Condition", {}).items()
        if _LIMITING_OPERATORS.fullmatch(operator)
        for key, values in members.items()
        if keys.match(key)
        for value in as_list(values)
    ]


def _is_one_secret(pattern: str) -> bool:
    """Return whether the pattern matches one secret: a whole ARN, perhaps but for its random characters."""
    return not set("*?$") & set(arn.ANY_RANDOM_SUFFIX.sub("", pattern))


def _names(pattern: str, secret_arns: Collection[str]) -> bool:
    if pattern in secret_arns:
        return True
    without_suffix = arn.ANY_RANDOM_SUFFIX.sub("", pattern)
    # A superuser secret can be known by its partial ARN.
    partial_arns = (secret_arn.rpartition("-")[0] for secret_arn in secret_arns)
    return without_suffix != pattern and (without_suffix in secret_arns or without_suffix in partial_arns)
