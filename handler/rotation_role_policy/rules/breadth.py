"""How broad a grant is: what a pattern of a resource can match, and whether a condition limits a statement.

A pattern is broad if it matches a resource that no policy names: a probe.
"""

import re
from collections.abc import Collection, Iterable, Iterator

from rotation_role_policy import arn
from rotation_role_policy.iam.conditions import context_keys, excludes
from rotation_role_policy.iam.document import Condition, Element, Policy, Statement
from rotation_role_policy.iam.resource_patterns import completed, includes, includes_any
from rotation_role_policy.iam.wildcard import has_wildcard, matches

_PROBES = {
    "secretsmanager": "secret:0.any-secret.0-aaaaaa",
    "kms": "key/0.any-key.0",
    "ec2": "network-interface/0.any-interface.0",
    "lambda": "function:0.any-function.0",
}
"""By service: the resource of an ARN that only a pattern for all resources of the service matches."""
_ANY_REGION, _ANY_ACCOUNT = "xx-any-1", "000000000000"
"""A region and an account that no policy names."""
_ANY_VALUE = "0.any-value.0"
_ANY_SERVICE = "0.any-service.0.amazonaws.com"

SECRET_KEYS = re.compile(r"secretsmanager:(resource/|ResourceTag/|SecretId|Name)|aws:ResourceTag/", re.IGNORECASE)
"""Context keys by which a condition limits a statement to some secrets.
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html"""
TAG_KEYS = re.compile(r"(secretsmanager|aws):ResourceTag/(?P<tag>.+)", re.IGNORECASE)
"""Those of them that are tags."""
ROTATION_FUNCTION_KEY = "secretsmanager:resource/allowrotationlambdaarn"
"""In lower case: the context key with the rotation function of a secret."""
SECRET_ID_KEY = "secretsmanager:secretid"  # noqa: S105  # a context key
"""In lower case."""
CONTEXT_KEY = re.compile(r"kms:EncryptionContext:SecretARN$", re.IGNORECASE)
VIA_SERVICE_KEY = re.compile(r"kms:ViaService$", re.IGNORECASE)
_ARN_KEYS = {
    re.compile(r"secretsmanager:SecretId$|kms:EncryptionContext:SecretARN$", re.IGNORECASE): "secretsmanager",
    re.compile(r"secretsmanager:resource/AllowRotationLambdaArn$", re.IGNORECASE): "lambda",
}
"""By context key with ARNs: their service."""

_RANDOM_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}$")

# --- statements -------------------------------------------------------------------------------------------------------


def granted(statement: Statement, actions: Collection[str]) -> Element | None:
    """Return the statement's patterns that match one of the actions; None if there are none."""
    patterns, is_negated = statement.actions
    if is_negated:
        return statement.actions if any(statement.includes_action(action) for action in actions) else None
    granting = tuple(
        pattern for pattern in patterns if any(matches(pattern, action, ignore_case=True) for action in actions)
    )
    return Element(granting) if granting else None


def resources_of(statement: Statement, service: str, secret_arns: Collection[str]) -> list[Element]:
    """Return the statement's patterns for resources that can be of a service, such as ``kms``, one by one.

    A `NotResource` is one of them: it is as broad as a wildcard, unless it excludes the resources of the service in the
    account and in the regions of the secrets, and in any other region.
    """
    patterns, is_negated = statement.resources
    if is_negated:
        is_excluded = all(includes_any(patterns, probe) for probe in probes(service, secret_arns))
        return [] if is_excluded else [statement.resources]
    return [Element((pattern,)) for pattern in patterns if can_be_of(pattern, service)]


def probes(service: str, secret_arns: Collection[str]) -> Iterator[str]:
    """Yield ARNs of the account, in each region of the secrets and in any other, that no role needs."""
    owners = [arn.parse(secret_arn) for secret_arn in secret_arns]
    for partition, account in {(owner.partition, owner.account) for owner in owners}:
        for region in {_ANY_REGION, *(owner.region for owner in owners)}:
            yield f"arn:{partition}:{service}:{region}:{account}:{_PROBES[service]}"


def is_included(statement: Statement, action: str, boundary: Policy | None) -> bool:
    """Return whether a statement allows an action on something, and the permissions boundary does too."""
    limiting = boundary.statements if boundary else [statement]
    is_in_boundary = any(limit.allows and limit.includes_action(action) for limit in limiting)
    return statement.allows and statement.includes_action(action) and is_in_boundary


# --- resources --------------------------------------------------------------------------------------------------------


def can_be_of(pattern: str, service: str) -> bool:
    """Return whether a pattern names a service, or leaves the service of an ARN open."""
    fields = completed(pattern).split(":")
    if len(fields) < 3 or fields[:1] != ["arn"]:
        # A star can stand for the first fields.
        return f":{service}:" in pattern or has_wildcard(fields[0])
    return matches(fields[2], service) or (has_wildcard(fields[1]) and f":{service}:" in pattern)


def is_one(pattern: str) -> bool:
    """Return whether a pattern can match one resource only, and its replicas: the same one in other regions.

    At the end of a secret's ARN, ``-??????`` stands for its random characters. In another region, they do not belong to
    the same secret.
    """
    fields = pattern.split(":", 5)
    if len(fields) < 6:
        return False
    partition, service, region, account, resource = fields[1:]
    if not has_wildcard(region):
        resource = arn.ANY_RANDOM_SUFFIX.sub("", resource)
    is_literal = not any(map(has_wildcard, (partition, service, account, resource)))
    return is_literal and (not has_wildcard(region) or resource.startswith(("secret:", "key/")))


def names_secret(pattern: str, secret_arns: Collection[str]) -> bool:
    """Return whether the pattern of one secret (`is_one`) matches one of the ARNs.

    A superuser secret can be known by its ARN without the random characters.
    """
    if pattern in secret_arns or (has_wildcard(pattern) and any(includes(pattern, each) for each in secret_arns)):
        return True
    without_suffix = arn.ANY_RANDOM_SUFFIX.sub("", pattern)
    return without_suffix != pattern and without_suffix in secret_arns


def completed_secret(pattern: str, secret_arns: Collection[str]) -> str:
    """Return what a pattern of a secret was meant to be if its ARN lacks the random characters; else empty.

    That is the ARN of the known secret whose ARN begins with it, or the pattern with ``-??????``. Without them, it
    matches no secret. If its name ends in a hyphen and six characters, only a known ARN shows whether they are missing.
    https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_iam-policies.html

    Args:
        pattern: one of a statement's resources.
        secret_arns: known ARNs. One without its random characters is no help.
    """
    fields = pattern.split(":", 5)
    if has_wildcard(pattern) or len(fields) < 6 or not fields[5].startswith("secret:"):
        return ""
    if _RANDOM_SUFFIX.search(pattern) and pattern in secret_arns:
        return ""
    known = next((secret_arn for secret_arn in secret_arns if arn.is_partial(pattern, secret_arn)), "")
    if _RANDOM_SUFFIX.search(pattern) and not known:
        return ""
    return known or f"{pattern}-??????"


def ending_in_one(pattern: str, secret_arns: Collection[str]) -> str:
    """Return a pattern that ends in ``-*`` as one for a single secret; empty if it then does not match what it must.

    Args:
        pattern: one of a statement's resources.
        secret_arns: the secrets that are needed. The result matches all of them that `pattern` matches.
    """
    narrower = f"{pattern[:-1]}??????"
    if not pattern.endswith("-*") or not is_one(narrower):
        return ""
    matched = [secret_arn for secret_arn in secret_arns if includes(pattern, secret_arn)]
    return narrower if matched and all(includes(narrower, secret_arn) for secret_arn in matched) else ""


def can_be_interface(resource: Element) -> bool:
    """Return whether a resource of a statement for EC2 can be a network interface. ``NotResource`` can."""
    return resource.is_negated or any(
        ":network-interface/" in pattern or includes(pattern, example(pattern, "ec2")) is not False
        for pattern in resource.patterns
    )


def example(pattern: str, service: str) -> str:
    """Return the ARN that `pattern` matches if it is broad, in the region and account of the pattern."""
    fields = [*completed(pattern).split(":", 5), *[""] * 5]
    partition, region, account = (
        field if field and not has_wildcard(field) else default
        for field, default in ((fields[1], "aws"), (fields[3], _ANY_REGION), (fields[4], _ANY_ACCOUNT))
    )
    return f"arn:{partition}:{service}:{region}:{account}:{_PROBES[service]}"


def examples(resource: Element, service: str, secret_arns: Collection[str]) -> tuple[str, ...]:
    """Return ARNs of a service that a broad resource of a statement matches, and that no role needs.

    Arguments as for `resources_of`.
    """
    found = tuple(probes(service, secret_arns))
    if resource.is_negated:
        return tuple(each for each in found if not includes_any(resource.patterns, each))
    [pattern] = resource.patterns
    matched = tuple(each for each in (*found, example(pattern, service)) if includes(pattern, each))
    if matched:
        return matched
    name = pattern.split(":", 5)[-1].replace("*", "0").replace("?", "0")
    return (":".join([*example(pattern, service).split(":")[:5], name]),)


# --- conditions -------------------------------------------------------------------------------------------------------


def is_limited(statement: Statement, keys: re.Pattern[str]) -> bool:
    """Return whether the statement has a condition that allows only some values of a context key."""
    return any(limits(statement, keys))


def limits(statement: Statement, keys: re.Pattern[str]) -> Iterator[Condition]:
    """Yield the conditions that allow only some values of a context key. All of them have to hold."""
    return (each for each in statement.conditions if keys.match(each.key) and is_limit(each))


def is_limit(condition: Condition) -> bool:
    """Return whether a condition needs its context key, and each of its values excludes what no policy names."""
    service = next((service for keys, service in _ARN_KEYS.items() if keys.match(condition.key)), "")
    probe = _ANY_SERVICE if VIA_SERVICE_KEY.match(condition.key) else _ANY_VALUE
    return bool(condition.values) and all(
        excludes(condition._replace(values=(value,)), example(value, service) if service else probe)
        for value in condition.values
    )


def untouched_keys(policies: Iterable[Policy], boundary: Policy | None) -> frozenset[str]:
    """Return the context keys of policies, in lower case, that a secret lacks which has no tag and is not rotated."""
    statements = (each for policy in (*policies, *([boundary] if boundary else [])) for each in policy.statements)
    used = {key for statement in statements for key in context_keys(statement.conditions)}
    return frozenset(key for key in used if TAG_KEYS.match(key) or key == ROTATION_FUNCTION_KEY)


def is_for_another_service(statement: Statement) -> bool:
    """Return whether a condition limits the use of keys to another service than Secrets Manager, such as SQS."""
    return any(
        not any(_can_be_secrets_manager(service) for service in condition.values)
        for condition in limits(statement, VIA_SERVICE_KEY)
    )


def _can_be_secrets_manager(service: str) -> bool:
    """Return whether a value of ``kms:ViaService``, or a pattern, can be Secrets Manager in some region."""
    name, *_ = re.split(r"[*?]", service.partition(".")[0])
    return name == "secretsmanager" or (has_wildcard(service) and "secretsmanager".startswith(name))
