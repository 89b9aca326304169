"""The table of AWS's rotation functions: which properties each needs, and which statements follow.

The statements are those of the policy for a state with these properties. The calls were read in
aws-samples/aws-secrets-manager-rotation-lambdas, commit b4b8eca.
"""

from dataclasses import dataclass

from rotation_role_policy.rules import policy
from rotation_role_policy.rules.state import Role, Secret, State
from rotation_role_policy.rules.targets import target_type

_ARN = "arn:aws:{}:eu-central-1:123456789012:{}"
_SECRET = Secret(_ARN.format("secretsmanager", "secret:user-AbCdEf"), None)
_SUPERUSER = Secret(_ARN.format("secretsmanager", "secret:superuser-AbCdEf"), None)
_CLUSTER = _ARN.format("rds", "cluster:prod")
_INSTANCE = _ARN.format("rds", "db:prod")
_WAREHOUSE = _ARN.format("redshift", "cluster:prod")
_NAMESPACE = _ARN.format("redshift-serverless", "namespace/prod")
_DIRECTORY = _ARN.format("ds", "directory/d-0123456789")
_INFLUXDB = _ARN.format("timestream-influxdb", "db-instance/prod")


@dataclass(frozen=True)
class RotationFunction:
    """One row of the table: functions of AWS that need the same properties."""

    names: tuple[str, ...]
    """Folders in AWS's repository."""
    calls: tuple[str, ...]
    """Markdown: a function in AWS's code, and the calls that it makes besides those of all rotation functions."""
    case: str = ""
    """When the row applies, if there are several rows for a function."""
    secrets: tuple[Secret, ...] = (_SECRET,)
    superuser: Secret | None = None
    targets: tuple[str, ...] = ()


_RDS_ALTERNATING = (
    "SecretsManagerRDSMySQLRotationMultiUser",
    "SecretsManagerRDSPostgreSQLRotationMultiUser",
    "SecretsManagerRDSMariaDBRotationMultiUser",
    "SecretsManagerRDSOracleRotationMultiUser",
    "SecretsManagerRDSSQLServerRotationMultiUser",
    "SecretsManagerRDSDb2RotationMultiUser",
    "SecretsManagerRDSDb2RotationSingleUser",
)
_AURORA_ALTERNATING = _RDS_ALTERNATING[:2]
_REDSHIFT_ALTERNATING = ("SecretsManagerRedshiftRotationMultiUser",)
_OTHERWISE = "no other row applies"
_READ_SUPERUSER = "`get_secret_dict`: GetSecretValue"
_FIND_DATABASE = "`fetch_instance_arn_from_system_tags`: DescribeSecret"
_DESCRIBE_SUPERUSER = "`get_tags_from_metadata`: DescribeSecret"


ROTATION_FUNCTIONS = (
    RotationFunction(
        (
            "SecretsManagerRotationTemplate",
            "SecretsManagerRDSMySQLRotationSingleUser",
            "SecretsManagerRDSMariaDBRotationSingleUser",
            "SecretsManagerRDSPostgreSQLRotationSingleUser",
            "SecretsManagerRDSOracleRotationSingleUser",
            "SecretsManagerRDSSQLServerRotationSingleUser",
            "SecretsManagerRedshiftRotationSingleUser",
            "SecretsManagerMongoDBRotationSingleUser",
        ),
        (),
    ),
    RotationFunction(_RDS_ALTERNATING, (_READ_SUPERUSER,), case=_OTHERWISE, superuser=_SUPERUSER),
    RotationFunction(
        _RDS_ALTERNATING,
        (_READ_SUPERUSER, _FIND_DATABASE, "`get_connection_params_from_rds_api`: DescribeDBInstances"),
        case="RDS manages the superuser secret of a DB instance",
        superuser=Secret(_SUPERUSER.arn, None, managed_by="rds", database_arns=(_INSTANCE,)),
    ),
    RotationFunction(
        _AURORA_ALTERNATING,
        (_READ_SUPERUSER, _FIND_DATABASE, "`get_connection_params_from_rds_api`: DescribeDBClusters"),
        case="RDS manages the superuser secret of a cluster, also if the secret's host is a reader endpoint",
        superuser=Secret(_SUPERUSER.arn, None, managed_by="rds", database_arns=(_CLUSTER,)),
    ),
    RotationFunction(
        _RDS_ALTERNATING,
        (_READ_SUPERUSER, "`is_rds_replica_database`: DescribeDBInstances on the replica"),
        case="the secret's host is a read replica: give the replica",
        superuser=_SUPERUSER,
        targets=(_INSTANCE,),
    ),
    RotationFunction(
        _AURORA_ALTERNATING,
        (_READ_SUPERUSER, "`is_rds_replica_database`: DescribeDBClusters"),
        case="the secret's host is a reader of an Aurora cluster, and the superuser's host is the cluster endpoint:"
        " give the cluster",
        superuser=_SUPERUSER,
        targets=(_CLUSTER,),
    ),
    RotationFunction(
        _AURORA_ALTERNATING,
        (_READ_SUPERUSER, "`is_rds_replica_database`: DescribeDBInstances, DescribeDBClusters"),
        case="the secret's host is a reader of an Aurora cluster, and the superuser's host is an instance: give this"
        " instance and the cluster",
        superuser=_SUPERUSER,
        targets=(_INSTANCE, _CLUSTER),
    ),
    RotationFunction(("SecretsManagerMongoDBRotationMultiUser",), (_READ_SUPERUSER,), superuser=_SUPERUSER),
    RotationFunction(
        _REDSHIFT_ALTERNATING,
        (_READ_SUPERUSER, _DESCRIBE_SUPERUSER),
        case=_OTHERWISE,
        superuser=_SUPERUSER,
        targets=(_WAREHOUSE,),
    ),
    RotationFunction(
        _REDSHIFT_ALTERNATING,
        (_READ_SUPERUSER, _DESCRIBE_SUPERUSER, "`get_connection_params_from_redshift_api`: DescribeClusters"),
        case="Redshift manages the superuser secret of a cluster",
        superuser=Secret(_SUPERUSER.arn, None, managed_by="redshift", database_arns=(_WAREHOUSE,)),
    ),
    RotationFunction(
        _REDSHIFT_ALTERNATING,
        (
            _READ_SUPERUSER,
            _DESCRIBE_SUPERUSER,
            "`get_connection_params_from_redshift_serverless_api`: ListNamespaces, ListWorkgroups",
        ),
        case="Redshift Serverless manages the superuser secret of a namespace",
        superuser=Secret(_SUPERUSER.arn, None, managed_by="redshift", database_arns=(_NAMESPACE,)),
    ),
    RotationFunction(
        ("SecretsManagerInfluxDBRotationSingleUser",), ("`get_db_info`: GetDbInstance",), targets=(_INFLUXDB,)
    ),
    RotationFunction(
        ("SecretsManagerInfluxDBRotationMultiUser",),
        ("`get_db_endpoint`: GetDbInstance", "`get_secret_dict`: GetSecretValue on the admin secret"),
        superuser=_SUPERUSER,
        targets=(_INFLUXDB,),
    ),
    RotationFunction(
        ("SecretsManagerElasticacheUserRotation",),
        ("`create_secret`, `wait_for_user_be_active`: DescribeUsers", "`set_secret`: ModifyUser"),
        targets=(_ARN.format("elasticache", "user:app"),),
    ),
    RotationFunction(
        ("SecretsManagerActiveDirectoryRotationSingleUser",),
        ("`lambda_handler`: DescribeDirectories", "`set_secret`: ResetUserPassword"),
        targets=(_DIRECTORY,),
    ),
    RotationFunction(
        ("SecretsManagerActiveDirectoryAndKeytabRotationSingleUser",),
        (
            "`lambda_handler`: DescribeDirectories",
            "`set_secret`: ResetUserPassword",
            "`set_keytab`, `finish_keytabs`: the four actions of `RotateSecret` on each keytab secret",
        ),
        case="give the user's secret and all keytab secrets",
        secrets=(_SECRET, Secret(_ARN.format("secretsmanager", "secret:keytab-AbCdEf"), None)),
        targets=(_DIRECTORY,),
    ),
)
"""The rows, which name each of AWS's 22 functions."""


def cells(row: RotationFunction) -> list[str]:
    """Return the cells of a row: functions, case, properties, statements, and the calls that need them."""
    state = State(
        secrets=row.secrets,
        superuser_secret=row.superuser,
        role=Role("role", "arn:aws:iam::123456789012:role/role"),
        function_arn=_ARN.format("lambda", "function:rotate"),
        in_vpc=False,
        dns_suffix="amazonaws.com",
        target_arns=row.targets,
    )
    statements = [
        f"`{statement_type.sid}`"
        for statement_type, built in policy.statements_by_type(state, "Strict")
        if built and statement_type.when != "always"
    ]
    return [
        "<br>".join(f"`{name.removeprefix('SecretsManager')}`" for name in row.names),
        row.case,
        "<br>".join(_properties(row)),
        "<br>".join(statements) or "no others",
        "<br>".join(row.calls) or "no others",
    ]


def _properties(row: RotationFunction) -> list[str]:
    properties = ["`SecretIds`" if len(row.secrets) > 1 else "`SecretId`"]
    properties += ["`SuperuserSecretId`"] if row.superuser else []
    if row.targets:
        properties.append(f"`TargetArns`: {' and '.join(target_type(target).name for target in row.targets)}")
    return properties
