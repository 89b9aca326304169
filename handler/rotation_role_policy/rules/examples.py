"""Examples of the resources that a pattern matches and that no policy names.

Their names consist of a character that no policy can contain. So a pattern of a Deny or of a permissions boundary does
not match an example by chance: it matches by its wildcards, and then it matches everything of this form.
"""

from collections.abc import Collection, Iterable, Iterator

from rotation_role_policy import arn
from rotation_role_policy.iam.document import Element
from rotation_role_policy.iam.resource_patterns import completed, includes, includes_any
from rotation_role_policy.iam.wildcard import UNNAMED, common, filled, has_wildcard

_LONG = 100 * UNNAMED
"""Beside a short text: a pattern of some question marks does not match both."""
_SUFFIX = f"-{6 * UNNAMED}"
_RESOURCES = {
    "secretsmanager": (f"secret:{UNNAMED}{_SUFFIX}", f"secret:{_LONG}{_SUFFIX}"),
    # A key in one region, and one in several.
    "kms": ("key/" + "-".join(length * UNNAMED for length in (8, 4, 4, 4, 12)), f"key/mrk-{32 * UNNAMED}"),
    "ec2": (f"network-interface/eni-{17 * UNNAMED}",),
    "lambda": (f"function:{UNNAMED}", f"function:{_LONG}"),
}
"""By service: the last fields of ARNs, one for each form."""
_TYPES = {"secretsmanager": "secret:", "kms": "key/", "lambda": "function:"}
"""By service: how the last field of an ARN begins."""
_ANY_REGION = "-".join(length * UNNAMED for length in (2, 4, 1))
Place = tuple[str, str, str]
"""Partition, region and account."""
_ANY_PLACE: Place = ("aws", _ANY_REGION, 12 * UNNAMED)


def unnamed(service: str, secret_arns: Collection[str]) -> Iterator[str]:
    """Yield examples in the account, in each region of the secrets and in any other.

    Args:
        service: such as ``kms``.
        secret_arns: secrets of the account.
    """
    for place in _places(secret_arns):
        for resource in _RESOURCES[service]:
            yield _arn(service, place, resource)


def examples(resource: Element, service: str, secret_arns: Collection[str]) -> tuple[str, ...]:
    """Return examples of what a resource of a statement matches: one pattern, or all but some patterns.

    The other arguments are those of `unnamed`.
    """
    if resource.is_negated:
        return tuple(each for each in unnamed(service, secret_arns) if not includes_any(resource.patterns, each))
    [pattern] = resource.patterns
    found = dict.fromkeys((*unnamed(service, secret_arns), *_in_form_of(pattern, service, secret_arns)))
    return tuple(each for each in found if includes(pattern, each) is not False) or (filled(completed(pattern)),)


def examples_within(
    resource: Element, others: Iterable[str], service: str, secret_arns: Collection[str]
) -> Iterator[str]:
    """Yield `examples` of a resource, and of other patterns that can match a part of it."""
    yield from examples(resource, service, secret_arns)
    patterns, is_negated = resource
    own = "*" if is_negated else patterns[0]
    for other in dict.fromkeys(others):
        for pattern in (other, common(own, other), common(other, own)):
            found = examples(Element((pattern,)), service, secret_arns) if pattern else ()
            yield from (each for each in found if includes_any(patterns, each) != is_negated)


def unnamed_beside(pattern: str, service: str) -> Iterator[str]:
    """Yield examples in the place of a pattern: with its partition, its region and its account."""
    for resource in _RESOURCES[service]:
        yield _arn(service, _place(pattern, _ANY_PLACE), resource)


def examples_in(default: Place, pattern: str, service: str) -> Iterator[str]:
    """Yield ARNs in the place of a pattern, and with its name, as far as it has them.

    Args:
        default: partition, region and account, where the pattern leaves them open.
        pattern: of ARNs.
        service: such as ``kms``.
    """
    _, begins, name = pattern.rpartition(_TYPES.get(service, "\n"))
    for resource in (*_RESOURCES[service], *(begins + each for each in _names(name, service) if begins)):
        yield _arn(service, _place(pattern, default), resource)


def _in_form_of(pattern: str, service: str, secret_arns: Collection[str]) -> Iterator[str]:
    for default in (*_places(secret_arns), _ANY_PLACE):
        yield from examples_in(default, pattern, service)


def _place(pattern: str, default: Place) -> Place:
    """Return the partition, the region and the account of a pattern, each by default if the pattern leaves it open."""
    _, partition, _, region, account, *_ = [*completed(pattern).split(":", 5), *[""] * 5]
    if account.strip("0123456789*?") and not has_wildcard(account):
        # In ``arn:aws:secretsmanager:*:secret:x``, the star stands for region and account.
        region = account = ""
    found = (filled(each) if each.strip("*") else "" for each in (partition, region, account))
    own = tuple(each or other for each, other in zip(found, default, strict=True))
    return own[0], own[1], own[2]


def _names(name: str, service: str) -> Iterator[str]:
    """Yield what the pattern of a name matches. A star at its end also matches the random characters of a secret."""
    suffix = _SUFFIX if service == "secretsmanager" and name.endswith("*") else ""
    for text in (UNNAMED, _LONG):
        yield filled(name, text) + suffix


def _places(secret_arns: Collection[str]) -> Iterator[Place]:
    """Yield the place of each secret, and any other region."""
    owners = [arn.parse(secret_arn) for secret_arn in secret_arns]
    for partition, account in dict.fromkeys((owner.partition, owner.account) for owner in owners):
        for region in dict.fromkeys((*(owner.region for owner in owners), _ANY_REGION)):
            yield partition, region, account


def _arn(service: str, place: Place, resource: str) -> str:
    return f"arn:{place[0]}:{service}:{place[1]}:{place[2]}:{resource}"
