"""Quotas of an account, and the token buckets that admit calls at their rates."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple


class Quota(NamedTuple):
    """Calls that share a rate."""

    name: str
    rate: float
    """Calls per second."""
    calls: tuple[str, ...]
    """IAM actions, or the prefix of a service, such as ``iam:``, for all other calls of the service."""


IAM = Quota("IAM", 15, ("iam:",))
"""AWS publishes no rate for the calls of IAM. In AWS, several buckets can apply to a call:
https://aws.amazon.com/blogs/security/how-to-monitor-and-query-iam-resources-at-scale-part-2/"""

CLOUDFORMATION = Quota("CloudFormation", 10, ("cloudformation:ListStacks", "cloudformation:DescribeStackResource"))
"""AWS publishes no rate for the calls of CloudFormation. This one is an assumption."""

# The default quotas of an account in each region:
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#api-requests
# https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html (only the quotas of cryptographic
# operations differ by region)
# For STS, AWS publishes no rate of its call. The rate is that of IAM.
DEFAULT_QUOTAS = (
    Quota("ListSecrets", 100, ("secretsmanager:ListSecrets",)),
    Quota("DescribeSecret", 10_000, ("secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue")),
    Quota("ListSecretVersionIds", 50, ("secretsmanager:ListSecretVersionIds",)),
    Quota("GetResourcePolicy", 50, ("secretsmanager:GetResourcePolicy",)),
    Quota("DescribeKey", 2_000, ("kms:DescribeKey",)),
    Quota("GetKeyPolicy", 1_000, ("kms:GetKeyPolicy",)),
    Quota("Lambda GetPolicy", 15, ("lambda:GetPolicy",)),
    Quota("Lambda GetFunction", 100, ("lambda:GetFunction",)),
    Quota("Lambda, all others", 15, ("lambda:",)),
    IAM,
    CLOUDFORMATION,
    Quota("STS", IAM.rate, ("sts:",)),
)
UNLIMITED = Quota("no quota", 1e9, ())


@dataclass
class TokenBucket:
    """The calls of a quota. The bucket holds the tokens of one second."""

    quota: Quota
    admitted: Counter[str] = field(default_factory=Counter)
    """By IAM action."""
    throttled: int = 0
    first: float = 0.0
    """Time of the first call."""
    last: float = 0.0
    """Time of the last admitted call."""

    def __post_init__(self) -> None:
        self._tokens = self.quota.rate
        self._filled = time.monotonic()

    def admits(self, action: str) -> bool:
        """Return whether there is a token for a call, and take it."""
        now = time.monotonic()
        self.first = self.first or now
        self._tokens = min(self.quota.rate, self._tokens + (now - self._filled) * self.quota.rate)
        self._filled = now
        if self._tokens < 1:
            self.throttled += 1
            return False
        self._tokens -= 1
        self.admitted[action] += 1
        self.last = now
        return True

    @property
    def seconds(self) -> float:
        """The time from the first call to the last admitted one."""
        return max(0.0, self.last - self.first)

    @property
    def required_seconds(self) -> float:
        """The time that the rate requires for the admitted calls. The bucket starts with the tokens of one second."""
        return max(0.0, self.admitted.total() / self.quota.rate - 1)

    @property
    def throttled_per_admitted(self) -> float:
        """The number of throttled calls for each admitted one."""
        return self.throttled / max(1, self.admitted.total())
