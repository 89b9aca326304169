"""Patterns for ARNs and names, and the parts of an ARN.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
"""

import re
from typing import NamedTuple

_PREFIX = r"arn:[a-z0-9-]+"
_REGION = r"[a-z0-9-]+"
_ACCOUNT = r"[0-9]{12}"

# No pattern matches a wildcard, so no text from a template can widen a statement's Resource.
SECRET = re.compile(
    # A name has up to 512 characters. An ARN ends in a hyphen and six more. Names of managed secrets contain "!".
    rf"({_PREFIX}:secretsmanager:{_REGION}:{_ACCOUNT}:secret:)?[A-Za-z0-9/_+=.@!-]{{1,519}}"
)
# The path is matched as one run up to the last slash. A repeated group would backtrack exponentially, because "/" is
# among its characters.
ROLE = re.compile(rf"({_PREFIX}:iam::{_ACCOUNT}:role/([!-~]+/)?)?(?P<name>[A-Za-z0-9_+=,.@-]{{1,64}})")
FUNCTION = re.compile(
    rf"(?P<function>({_PREFIX}:lambda:{_REGION}:{_ACCOUNT}:function:|{_ACCOUNT}:function:)?[A-Za-z0-9_-]{{1,140}})"
    r"(:(?P<qualifier>\$LATEST(\.PUBLISHED)?|[A-Za-z0-9_-]{1,128}))?"
)
KEY = re.compile(rf"{_PREFIX}:kms:{_REGION}:{_ACCOUNT}:key/[A-Za-z0-9-]{{1,256}}")
KEY_OR_ALIAS = re.compile(rf"{KEY.pattern}|{_PREFIX}:kms:{_REGION}:{_ACCOUNT}:alias/[A-Za-z0-9/_-]{{1,250}}")
# At the end of a pattern in a policy, it stands for the six random characters that Secrets Manager adds to the ARN of a
# secret: such a pattern matches one secret.
ANY_RANDOM_SUFFIX = re.compile(r"-\?{6}$")
# The AWS managed key for Secrets Manager: its alias, which DescribeSecret usually omits, or its name in
# ListSecretVersionIds.
AWS_MANAGED_KEY = re.compile(rf"({_PREFIX}:kms:{_REGION}:{_ACCOUNT}:)?alias/aws/secretsmanager|DefaultEncryptionKey")


class Arn(NamedTuple):
    """The parts of an ARN: ``arn:partition:service:region:account:resource``."""

    partition: str
    service: str
    region: str
    account: str
    resource: str


def parse(text: str) -> Arn:
    """Return the parts of `text`, a full ARN. Raises ValueError if it is not an ARN."""
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn":
        raise ValueError(f"not an ARN: {text!r}")
    return Arn(*parts[1:])


def service(resource: str) -> str:
    """Return the service of an ARN or of a pattern of ARNs, such as ``kms``; empty if it names none."""
    return "".join(resource.split(":")[2:3])


def region(resource: str) -> str:
    """Return the region of an ARN or of a pattern of ARNs; empty if it names none."""
    return "".join(resource.split(":")[3:4])


def account(resource: str) -> str:
    """Return the account of an ARN or of a pattern of ARNs; empty if it names none."""
    return "".join(resource.split(":")[4:5])


def name_in_partial_arn(secret_id: str) -> str:
    """Return the name of a secret if `secret_id` can be a partial ARN that AWS takes for a full one; else empty.

    The ARN then ends in a hyphen and six characters, and the name of the secret does so too.
    """
    name = secret_id.split(":", 6)[-1]
    return name if secret_id.startswith("arn:") and name[-7:-6] == "-" else ""


def ids_of_secret(secret_arn: str) -> frozenset[str]:
    """Return what names a secret: its full ARN, its partial ARN without the random characters, and its name."""
    partial_arn = secret_arn[:-7]
    return frozenset({secret_arn, partial_arn, partial_arn.split(":", 6)[-1]})


def is_partial(partial_arn: str, secret_arn: str) -> bool:
    """Return whether the full ARN of a secret is `partial_arn`, a hyphen and six random characters."""
    return len(secret_arn) == len(partial_arn) + 7 and secret_arn.startswith(f"{partial_arn}-")


def role_name(role: str) -> str:
    """Return the name of a role, given as a name or as an ARN with or without a path."""
    return role.rpartition("/")[2]


def split_qualifier(function: str) -> tuple[str, str | None]:
    """Split a function's name or ARN into the part without qualifier, and its version or alias (None if absent)."""
    match = FUNCTION.fullmatch(function)
    if match is None:
        raise ValueError(f"not a function's name or ARN: {function!r}")
    return match["function"], match["qualifier"]
