"""The targets of rotation functions: databases, users and directories whose own API a rotation function calls.

One table, `TARGET_TYPES`, lists the types of targets and the calls that AWS's rotation functions make on them. The
property `TargetArns`, the policy and the documentation (docs/rotation-functions.md) are derived from it.
Source: the functions in aws-samples/aws-secrets-manager-rotation-lambdas.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class TargetType:
    """One row of the table of target types."""

    name: str
    """With an article, for error messages and documentation."""
    pattern: re.Pattern[str]
    """Matches the full ARNs of targets of this type. It matches no wildcard."""
    actions: tuple[str, ...]
    """What `TargetArns` grants on the target. Empty if the rotation function calls no API of the target."""
    purpose: str
    """Which rotation function needs the target, for the documentation."""
    superuser_tag: str = ""
    """The tag of a managed superuser secret that has the ARN of a target of this type as its value."""
    superuser_actions: tuple[str, ...] = ()
    """What a superuser secret with this tag grants on the target, because such a secret contains no host."""
    requires_describe_superuser: bool = False
    """Whether the rotation function describes the superuser secret, even if no service manages it."""


ACTIONS_WITHOUT_RESOURCE = frozenset(
    {
        "ds:DescribeDirectories",
        "redshift-serverless:ListNamespaces",
        "redshift-serverless:ListWorkgroups",
    }
)
"""The actions of the table that support no resource, so that only ``*`` grants them.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsdirectoryservice.html,
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonredshiftserverless.html
"""


def _pattern(service: str, resource: str) -> re.Pattern[str]:
    """Return the pattern of the ARNs of a service's resources. `resource` is the pattern of the last part."""
    return re.compile(rf"arn:[a-z0-9-]+:{service}:[a-z0-9-]+:[0-9]{{12}}:{resource}")


TARGET_TYPES = (
    TargetType(
        "an RDS DB instance",
        _pattern("rds", "db:[A-Za-z0-9-]{1,255}"),
        ("rds:DescribeDBInstances",),
        "AWS's functions that use a superuser: a read replica that is the secret's host, or the instance of an Aurora"
        " cluster that is the superuser's host while the secret's host is a reader",
        superuser_tag="aws:rds:primaryDBInstanceArn",
        superuser_actions=("rds:DescribeDBInstances",),
    ),
    TargetType(
        "an RDS or Aurora cluster",
        _pattern("rds", "cluster:[A-Za-z0-9-]{1,255}"),
        ("rds:DescribeDBClusters",),
        "AWS's functions that use a superuser: the cluster of which the secret's host is a reader endpoint or instance",
        superuser_tag="aws:rds:primaryDBClusterArn",
        superuser_actions=("rds:DescribeDBClusters",),
    ),
    TargetType(
        "a Redshift cluster",
        _pattern("redshift", "cluster:[A-Za-z0-9-]{1,255}"),
        (),
        "AWS's alternating-users function for Redshift, which describes the superuser secret",
        superuser_tag="aws:redshift:primaryClusterArn",
        superuser_actions=("redshift:DescribeClusters",),
        requires_describe_superuser=True,
    ),
    TargetType(
        "a Redshift Serverless namespace",
        _pattern("redshift-serverless", "namespace/[A-Za-z0-9-]{1,255}"),
        (),
        "AWS's alternating-users function for Redshift, which describes the superuser secret",
        superuser_tag="aws:redshift-serverless:namespaceArn",
        superuser_actions=("redshift-serverless:ListNamespaces", "redshift-serverless:ListWorkgroups"),
        requires_describe_superuser=True,
    ),
    TargetType(
        "an ElastiCache user",
        _pattern("elasticache", "user:[A-Za-z0-9-]{1,255}"),
        ("elasticache:DescribeUsers", "elasticache:ModifyUser"),
        "AWS's function for ElastiCache",
    ),
    TargetType(
        "a Timestream for InfluxDB instance",
        _pattern("timestream-influxdb", "db-instance/[A-Za-z0-9-]{1,255}"),
        ("timestream-influxdb:GetDbInstance",),
        "AWS's functions for InfluxDB",
    ),
    TargetType(
        "a directory",
        _pattern("ds", "directory/d-[0-9a-f]{10}"),
        ("ds:DescribeDirectories", "ds:ResetUserPassword"),
        "AWS's functions for Active Directory",
    ),
)
"""The types of targets (docs/rotation-functions.md)."""

ANY_TARGET = re.compile("|".join(f"({row.pattern.pattern})" for row in TARGET_TYPES))
"""Matches the full ARN of a target of any type."""


def target_type(target_arn: str) -> TargetType:
    """Return the type of a target. Raises ValueError if no type has such ARNs."""
    for row in TARGET_TYPES:
        if row.pattern.fullmatch(target_arn):
            return row
    raise ValueError(f"not the ARN of a target: {target_arn!r}")
