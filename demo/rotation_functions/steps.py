"""The four steps of a rotation, as far as they are the same for both strategies."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import psycopg

Value = dict[str, Any]
"""The value of a secret: `engine`, `host`, `port`, `dbname`, `username`, `password`, and perhaps `masterarn`."""

secrets = boto3.client("secretsmanager")


def run(event: dict[str, str], next_user: Callable[[str], str], set_password: Callable[[str, str], None]) -> None:
    """Run one step of a rotation. Each step can be repeated.

    Args:
        event: from Secrets Manager, with `SecretId`, `ClientRequestToken` and `Step`.
        next_user: returns the user who gets the new password, for the current user.
        set_password: sets the new password in the database, for the ARN of the secret and the new version's ID.
    """
    secret_id, token, step = event["SecretId"], event["ClientRequestToken"], event["Step"]
    if "AWSCURRENT" in secrets.describe_secret(SecretId=secret_id)["VersionIdsToStages"][token]:
        return
    if step == "createSecret":
        _create(secret_id, token, next_user)
    elif step == "setSecret":
        set_password(secret_id, token)
    elif step == "testSecret":
        log_in(read_pending(secret_id, token), "new").close()
    elif step == "finishSecret":
        _finish(secret_id, token)


def _create(secret_id: str, token: str, next_user: Callable[[str], str]) -> None:
    value = read(secret_id)
    try:
        read_pending(secret_id, token)
    except secrets.exceptions.ResourceNotFoundException:
        value["username"] = next_user(value["username"])
        value["password"] = secrets.get_random_password(ExcludeCharacters="/@\"'\\")["RandomPassword"]
        secrets.put_secret_value(
            SecretId=secret_id,
            ClientRequestToken=token,
            SecretString=json.dumps(value),
            VersionStages=["AWSPENDING"],
        )


def _finish(secret_id: str, token: str) -> None:
    versions = secrets.describe_secret(SecretId=secret_id)["VersionIdsToStages"]
    current = next(version for version, labels in versions.items() if "AWSCURRENT" in labels)
    secrets.update_secret_version_stage(
        SecretId=secret_id, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
    )


def read(secret_id: str, label: str = "AWSCURRENT") -> Value:
    """Return the value of the version with a label."""
    value: Value = json.loads(secrets.get_secret_value(SecretId=secret_id, VersionStage=label)["SecretString"])
    return value


def read_pending(secret_id: str, token: str) -> Value:
    """Return the value of the new version, whose ID is `token`."""
    version = secrets.get_secret_value(SecretId=secret_id, VersionId=token, VersionStage="AWSPENDING")
    value: Value = json.loads(version["SecretString"])
    return value


def connect(value: Value) -> "psycopg.Connection | None":
    """Log in to the database. Return None if the database refuses."""
    try:
        return psycopg.connect(
            host=value["host"],
            port=value["port"],
            user=value["username"],
            password=value["password"],
            dbname=value["dbname"],
            connect_timeout=5,
        )
    except psycopg.OperationalError:
        return None


def log_in(value: Value, which: str) -> psycopg.Connection:
    """Log in to the database. Raises ValueError if the database refuses; `which` password is part of the message."""
    connection = connect(value)
    if connection is None:
        raise ValueError(f"The database at {value['host']} refuses the {which} password of {value['username']}.")
    return connection
