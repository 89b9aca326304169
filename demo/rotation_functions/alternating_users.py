"""The alternating-users strategy: a superuser sets the password of the user that is not in use.

It makes the calls of SecretsManagerRDSPostgreSQLRotationMultiUser and, for the engine `redshift`, of
SecretsManagerRedshiftRotationMultiUser, on the same resources.
"""

import boto3
from psycopg import sql

from .steps import Value, connect, log_in, read, read_pending, run, secrets


def handler(event: dict[str, str], context: object) -> None:  # noqa: ARG001  # Lambda passes two
    """Run one step of a rotation."""
    run(event, next_user, set_password)


def next_user(user: str) -> str:
    """Return the other one of the two users."""
    return user.removesuffix("_clone") if user.endswith("_clone") else f"{user}_clone"


def set_password(secret_id: str, token: str) -> None:
    """Set the password of the other user, or create this user with the rights of the current one."""
    current, pending = read(secret_id), read_pending(secret_id, token)
    if connection := connect(pending):
        connection.close()
        return
    log_in(current, "current").close()
    superuser = read_superuser(current)
    if current["host"] != superuser["host"] and not is_replica(current["host"], superuser):
        raise ValueError(f"{current['host']} is not a replica of {superuser['host']}.")
    with log_in(superuser, "superuser's") as connection:
        user, password = sql.Identifier(pending["username"]), sql.Literal(pending["password"])
        known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [pending["username"]]).fetchone()
        if known:
            connection.execute(sql.SQL("ALTER USER {} PASSWORD {}").format(user, password))
        else:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(user, password))
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(current["username"]), user))


def read_superuser(current: Value) -> Value:
    """Return the superuser's credentials. A secret that RDS manages contains no host: its tags name the database."""
    secret_id = current["masterarn"]
    superuser = read(secret_id) | {"dbname": current["dbname"]}
    if current["engine"] == "redshift":
        # AWS's function looks for the tags of a secret that Redshift manages.
        secrets.describe_secret(SecretId=secret_id)
    elif "host" not in superuser:
        tags = {tag["Key"]: tag["Value"] for tag in secrets.describe_secret(SecretId=secret_id)["Tags"]}
        rds = boto3.client("rds")
        if instance_arn := tags.get("aws:rds:primaryDBInstanceArn"):
            [instance] = rds.describe_db_instances(DBInstanceIdentifier=instance_arn)["DBInstances"]
            host, port, engine = instance["Endpoint"]["Address"], instance["Endpoint"]["Port"], instance["Engine"]
        else:
            cluster_arn = tags["aws:rds:primaryDBClusterArn"]
            [cluster] = rds.describe_db_clusters(DBClusterIdentifier=cluster_arn)["DBClusters"]
            host, port, engine = cluster["Endpoint"], cluster["Port"], cluster["Engine"]
        superuser |= {"host": host, "port": port, "engine": engine}
    return superuser


def is_replica(host: str, superuser: Value) -> bool:
    """Return whether the host is a read replica of the superuser's database, or the reader endpoint of its cluster."""
    rds = boto3.client("rds")
    superuser_name = superuser["host"].split(".")[0]
    if superuser["engine"] == "aurora-postgresql":
        [cluster] = rds.describe_db_clusters(DBClusterIdentifier=superuser_name)["DBClusters"]
        return bool(cluster["ReaderEndpoint"] == host)
    [replica] = rds.describe_db_instances(DBInstanceIdentifier=host.split(".")[0])["DBInstances"]
    return bool(replica["ReadReplicaSourceDBInstanceIdentifier"] == superuser_name)
