"""The AWS calls that a grant is for, with the context keys whose values are known.

The access check simulates them (`calls_of`). The audit evaluates them against the policies that a role has, with more
context keys (`certain_calls`).
"""

from collections.abc import Collection, Iterator, Mapping

from rotation_role_policy import arn
from rotation_role_policy.arn import Arn
from rotation_role_policy.iam.conditions import Context
from rotation_role_policy.iam.document import as_list
from rotation_role_policy.iam.evaluation import Calls
from rotation_role_policy.rules.state import Secret, State
from rotation_role_policy.rules.statements import (
    SECRET_ARN_KEY,
    SOURCE_FUNCTION_KEY,
    Caller,
    Grant,
    via_services,
)

TAG_KEYS = ("aws:resourcetag/", "secretsmanager:resourcetag/")
"""Beginnings of the context keys for the tags of a secret, in lower case."""
ENCRYPTION_CONTEXT_KEYS = (SECRET_ARN_KEY.rpartition(":")[2], "SecretVersionId")
"""Secrets Manager always sends these two keys of the encryption context, and no other.
https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html"""
_ENCRYPTION_CONTEXT = "kms:encryptioncontext:"
_SECRET_ID, _STAGE = "secretsmanager:SecretId", "secretsmanager:VersionStage"
_STAGES = {
    "secretsmanager:GetSecretValue": ("AWSCURRENT", "AWSPENDING"),
    "secretsmanager:UpdateSecretVersionStage": ("AWSCURRENT",),
}
"""By action: the staging labels with which all of AWS's rotation functions call it for the secret that they rotate. Not
all of them read AWSPREVIOUS. Other actions do not have the context key.
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html"""
_SUPERUSER_STAGES = {"secretsmanager:GetSecretValue": ("AWSCURRENT",)}
"""The same for the superuser secret."""


def calls_of(state: State, grant: Grant) -> Iterator[Calls]:
    """Yield the calls that a grant is for, with the context keys whose values are known.

    None for a safety net: whether the calls are allowed does not depend on the policies of the role alone.
    """
    if grant.is_safety_net:
        return
    actions, resources = tuple(grant.statement["Action"]), tuple(as_list(grant.statement["Resource"]))
    # A target can be in another region or account.
    owner = arn.parse(state.secrets[0].arn if resources == ("*",) else resources[0])
    context: dict[str, str | bool] = {
        # The context keys that SCPs and permissions boundaries use most.
        "aws:PrincipalAccount": arn.parse(state.role.arn).account,
        "aws:PrincipalArn": state.role.arn,
        "aws:PrincipalIsAWSService": False,
        "aws:RequestedRegion": owner.region,
        "aws:SecureTransport": True,
        "aws:ViaAWSService": grant.caller is Caller.SECRETS_MANAGER,
    }
    if resources != ("*",):
        context["aws:ResourceAccount"] = owner.account
    match grant.caller:
        case Caller.SECRETS_MANAGER:
            for secret in grant.secrets:
                encryption = {
                    SECRET_ARN_KEY: secret.arn,
                    "kms:ViaService": via_services(secret, state.dns_suffix)[0],
                }
                yield Calls(actions, resources, context | encryption)
        case Caller.LAMBDA:
            yield Calls(actions, resources, context, absent_keys=frozenset({SOURCE_FUNCTION_KEY.lower()}))
        case Caller.FUNCTION_CODE:
            if state.function_arn:
                context[SOURCE_FUNCTION_KEY] = state.function_arn
            for secrets, tag_context in _by_tags(grant.secrets):
                yield Calls(actions, tuple(secret.arn for secret in secrets), {**context, **tag_context})
            if not grant.secrets:
                yield Calls(actions, resources, context)


def _by_tags(secrets: tuple[Secret, ...]) -> Iterator[tuple[list[Secret], Context]]:
    """Yield groups of secrets with the same tags, and these tags as context keys."""
    for tags in dict.fromkeys(secret.tags for secret in secrets):
        # The simulator rejects duplicate context keys, and ignores their case.
        distinct_tags = {key.lower(): (key, value) for key, value in reversed(tags)}
        context: Context = {
            f"{service}:ResourceTag/{key}": value
            for key, value in sorted(distinct_tags.values())
            for service in ("aws", "secretsmanager")
        }
        yield [secret for secret in secrets if secret.tags == tags], context


# --- what is certain --------------------------------------------------------------------------------------------------


def certain_calls(state: State, grant: Grant, used_keys: Collection[str]) -> Iterator[Calls]:
    """Yield the calls of `calls_of` with all that is certain about their context, and with the resources that count.

    AWS's rotation functions call Secrets Manager with the ARN of the secret that the event gives them, and with staging
    labels that depend on the action. Where a policy depends on one of the two, there is more than one element.

    Args:
        state: to which the grant belongs.
        grant: whose calls are asked for.
        used_keys: the context keys of the policies, in lower case. They determine which absent keys matter.
    """
    rotated = {secret.arn for secret in state.secrets}
    for calls in calls_of(state, grant):
        match grant.caller:
            case Caller.LAMBDA:
                yield calls._replace(checked=checked_interfaces(arn.parse(state.secrets[0].arn)))
            case Caller.SECRETS_MANAGER:
                yield _without(for_key(state, calls, used_keys), used_keys, "secretsmanager:")
            case Caller.FUNCTION_CODE if grant.secrets:
                certain = _without(for_secrets(calls, grant.secrets, used_keys), used_keys, "kms:")
                is_rotated = rotated.issuperset(calls.resources)
                for each in _by_stage(certain, _STAGES if is_rotated else _SUPERUSER_STAGES, used_keys):
                    # A function can call a superuser secret by its name.
                    yield from _by_secret(each, used_keys) if is_rotated else [each]
            case Caller.FUNCTION_CODE if calls.resources == ("*",):
                yield _without(calls, used_keys, *TAG_KEYS, "secretsmanager:", "kms:")
            case _:
                # The tags of a target are not known.
                yield calls


def for_secrets(calls: Calls, secrets: Collection[Secret], used_keys: Collection[str]) -> Calls:
    """Return calls on secrets that have the same tags, with the tags that are certain.

    All tags of a secret are known, so it has no other.
    """
    tags = next(secret.tags for secret in secrets if secret.arn in calls.resources)
    names = [key.lower() for key, _ in tags]
    # IAM ignores the case of tags that differ only in it, and does not say which counts.
    ambiguous = {prefix + name for name in names if names.count(name) > 1 for prefix in TAG_KEYS}
    context = {key: value for key, value in calls.context.items() if key.lower() not in ambiguous}
    return _without(calls._replace(context=context), set(used_keys) - ambiguous, *TAG_KEYS)


def for_key(state: State, calls: Calls, used_keys: Collection[str]) -> Calls:
    """Return calls that Secrets Manager makes on keys, with what is certain about them."""
    sent = {_ENCRYPTION_CONTEXT + key.lower() for key in ENCRYPTION_CONTEXT_KEYS}
    context = {**calls.context, "kms:CallerAccount": arn.parse(state.role.arn).account}
    return _without(calls._replace(context=context), set(used_keys) - sent, _ENCRYPTION_CONTEXT)


def _without(calls: Calls, used_keys: Collection[str], *beginnings: str) -> Calls:
    """Return calls that have none of the used context keys with these beginnings but those in their context."""
    known = {key.lower() for key in calls.context}
    absent = {key for key in used_keys if key.startswith(beginnings)} - known
    return calls._replace(absent_keys=calls.absent_keys | absent)


def _by_stage(calls: Calls, stages: Mapping[str, tuple[str, ...]], used_keys: Collection[str]) -> Iterator[Calls]:
    """Yield calls by their staging label, if policies depend on it. `stages` are the labels of each action."""
    if _STAGE.lower() not in used_keys:
        yield calls
        return
    for stage in dict.fromkeys(stage for some in stages.values() for stage in some):
        if actions := tuple(action for action in calls.actions if stage in stages.get(action, ())):
            yield calls._replace(actions=actions, context={**calls.context, _STAGE: stage})
    if others := tuple(action for action in calls.actions if action not in stages):
        yield calls._replace(actions=others, absent_keys=calls.absent_keys | {_STAGE.lower()})


def _by_secret(calls: Calls, used_keys: Collection[str]) -> Iterator[Calls]:
    """Yield calls by the secret that they name, if policies depend on it."""
    if _SECRET_ID.lower() not in used_keys:
        yield calls
        return
    for resource in calls.resources:
        yield calls._replace(resources=(resource,), context={**calls.context, _SECRET_ID: resource})


def checked_interfaces(place: Arn) -> dict[str, tuple[str, ...]]:
    """Return the resources that IAM checks when network interfaces are managed: all, because no ID is known before.

    Args:
        place: something in the region and account of the function.

    Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
    """
    interface, subnet, group = (
        f"arn:{place.partition}:ec2:{place.region}:{place.account}:{resource}"
        for resource in ("network-interface/eni-*", "subnet/subnet-*", "security-group/sg-*")
    )
    return {
        "ec2:CreateNetworkInterface": (interface, subnet, group),
        "ec2:DeleteNetworkInterface": (interface,),
        "ec2:DetachNetworkInterface": (interface,),
    }
