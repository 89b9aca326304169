"""The attributes to which properties of the resource usually refer (`Fn::GetAtt`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rotation_role_policy.aws.client import Aws
from rotation_role_policy_cli.template.file import TemplateError

if TYPE_CHECKING:
    from types_boto3_rds.type_defs import DBClusterTypeDef, DBInstanceTypeDef


def _arn_of(service: str, prefix: str) -> Callable[[Aws, str], str]:
    """Return a function that builds the ARN of a resource of the user's account and region from its physical ID."""
    return lambda aws, name: f"arn:{aws.caller.partition}:{service}:{aws.region()}:{aws.caller.account}:{prefix}{name}"


_function_arn = _arn_of("lambda", "function:")


def _role_arn(aws: Aws, name: str) -> str:
    # The ARN has the role's path, the name does not.
    return aws.call(aws.iam.get_role, RoleName=name)["Role"]["Arn"]


def _itself(_: Aws, physical_id: str) -> str:
    return physical_id


def _cluster_secret_arn(aws: Aws, name: str) -> str:
    [cluster] = aws.call(aws.rds.describe_db_clusters, DBClusterIdentifier=name)["DBClusters"]
    return _master_user_secret_arn(cluster, name)


def _instance_secret_arn(aws: Aws, name: str) -> str:
    [instance] = aws.call(aws.rds.describe_db_instances, DBInstanceIdentifier=name)["DBInstances"]
    return _master_user_secret_arn(instance, name)


def _redshift_secret_arn(aws: Aws, name: str) -> str:
    [cluster] = aws.call(aws.session.client("redshift").describe_clusters, ClusterIdentifier=name)["Clusters"]
    if "MasterPasswordSecretArn" not in cluster:
        raise TemplateError(f"Redshift does not manage the password of {name}: it has no MasterPasswordSecretArn.")
    return str(cluster["MasterPasswordSecretArn"])


def _master_user_secret_arn(database: DBClusterTypeDef | DBInstanceTypeDef, name: str) -> str:
    if "MasterUserSecret" not in database:
        raise TemplateError(f"RDS does not manage the master user password of {name}: it has no MasterUserSecret.")
    return database["MasterUserSecret"]["SecretArn"]


ATTRIBUTES: dict[tuple[str, str], Callable[[Aws, str], str]] = {
    ("AWS::EC2::SecurityGroup", "GroupId"): _itself,
    ("AWS::ElastiCache::User", "Arn"): _arn_of("elasticache", "user:"),
    ("AWS::IAM::Role", "Arn"): _role_arn,
    ("AWS::KMS::Key", "Arn"): _arn_of("kms", "key/"),
    ("AWS::KMS::Key", "KeyId"): _itself,
    ("AWS::Lambda::Alias", "AliasArn"): _itself,
    ("AWS::Lambda::Function", "Arn"): _function_arn,
    ("AWS::Lambda::Version", "FunctionArn"): _itself,
    ("AWS::RDS::DBCluster", "DBClusterArn"): _arn_of("rds", "cluster:"),
    ("AWS::RDS::DBCluster", "MasterUserSecret.SecretArn"): _cluster_secret_arn,
    ("AWS::RDS::DBInstance", "DBInstanceArn"): _arn_of("rds", "db:"),
    ("AWS::RDS::DBInstance", "MasterUserSecret.SecretArn"): _instance_secret_arn,
    ("AWS::Redshift::Cluster", "MasterPasswordSecretArn"): _redshift_secret_arn,
    ("AWS::SecretsManager::Secret", "Id"): _itself,
    ("AWS::Serverless::Function", "Arn"): _function_arn,
}
"""How to get each attribute from the physical ID of a resource."""
