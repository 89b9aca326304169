"""The quotas of the fake AWS: the default quotas of an account, as far as AWS publishes them."""

from typing import Any, NamedTuple

from load.token_bucket import TokenBucket


class Quota(NamedTuple):
    """Calls that share a rate."""

    name: str
    rate: float
    """Calls per second."""
    calls: tuple[str, ...]
    """IAM actions, or the prefix of a service, such as ``iam:``, for all other calls of the service."""


# The default quotas of an account in each region:
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#api-requests
# https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html (only the quotas of cryptographic
# operations differ by region)
# For IAM and STS, AWS publishes no rate of these calls. The rate of 15, for all calls of a service together, is that of
# `load.provider_load`. In AWS, several buckets can apply to a call of IAM:
# https://aws.amazon.com/blogs/security/how-to-monitor-and-query-iam-resources-at-scale-part-2/
QUOTAS = (
    Quota("ListSecrets", 100, ("secretsmanager:ListSecrets",)),
    Quota("DescribeSecret", 10_000, ("secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue")),
    Quota("ListSecretVersionIds", 50, ("secretsmanager:ListSecretVersionIds",)),
    Quota("GetResourcePolicy", 50, ("secretsmanager:GetResourcePolicy",)),
    Quota("DescribeKey", 2_000, ("kms:DescribeKey",)),
    Quota("GetKeyPolicy", 1_000, ("kms:GetKeyPolicy",)),
    Quota("Lambda GetPolicy", 15, ("lambda:GetPolicy",)),
    Quota("Lambda GetFunction", 100, ("lambda:GetFunction",)),
    Quota("Lambda, all others", 15, ("lambda:",)),
    Quota("IAM", 15, ("iam:",)),
    Quota("STS", 15, ("sts:",)),
)


class QuotaBucket(TokenBucket):
    """The token bucket of a quota."""

    def __init__(self, quota: Quota) -> None:
        super().__init__(quota.rate)
        self.quota = quota

    def statistics(self) -> dict[str, Any]:
        """Return the statistics of the quota as data for JSON."""
        admitted, rate = self.admitted.total(), self.rate
        return {
            "name": self.quota.name,
            "rate": rate,
            "admitted": admitted,
            "throttled": self.throttled,
            "calls": dict(self.admitted),
            # The bucket starts with the tokens of one second.
            "required_seconds": max(0.0, (admitted - rate) / rate),
            "seconds": max(0.0, self.last - self.first),
        }
