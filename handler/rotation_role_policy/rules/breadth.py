"""How broad a grant is: what a pattern of a resource can match, and whether a condition limits a statement.

A pattern is broad if it can match more than one resource.
"""

import re
from collections.abc import Collection

from rotation_role_policy import arn
from rotation_role_policy.iam.conditions import excludes
from rotation_role_policy.iam.document import Condition, Element, Policy, Statement
from rotation_role_policy.iam.resource_patterns import completed, includes
from rotation_role_policy.iam.wildcard import has_wildcard, matches
from rotation_role_policy.rules.examples import examples, unnamed_beside

TAG_KEYS = re.compile(r"(secretsmanager|aws):ResourceTag/(?P<tag>.+)", re.IGNORECASE)
"""Context keys for the tags of a secret.
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecretsmanager.html"""
ROTATION_FUNCTION_KEY = "secretsmanager:resource/allowrotationlambdaarn"
"""In lower case: the context key with the rotation function of a secret."""
SECRET_ID_KEY = "secretsmanager:secretid"  # noqa: S105  # a context key
"""In lower case."""

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
        is_excluded = not examples(statement.resources, service, secret_arns)
        return [] if is_excluded else [statement.resources]
    return [Element((pattern,)) for pattern in patterns if can_be_of(pattern, service)]


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
        ":network-interface/" in each
        for pattern in resource.patterns
        for each in examples(Element((pattern,)), "ec2", ())
    )


# --- conditions -------------------------------------------------------------------------------------------------------


def limits_functions(condition: Condition) -> bool:
    """Return whether a condition on the rotation function of a secret excludes functions that it does not name."""
    return bool(condition.values) and all(
        excludes(condition._replace(values=(value,)), example)
        for value in condition.values
        for example in unnamed_beside(value, "lambda")
    )
