"""The demo's rotation function: the four steps of a rotation, with the calls of AWS's own rotation functions.

The demo passes this file to its templates as the source code. There is no database, so setSecret does nothing and
testSecret only reads the secret.
"""

import json
from typing import Any

import boto3


def handler(event: dict[str, str], context: object) -> None:  # noqa: ARG001  # Lambda passes two
    """Run one step of a rotation. Each step can be repeated."""
    secrets = boto3.client("secretsmanager")
    secret_id, new_version, step = event["SecretId"], event["ClientRequestToken"], event["Step"]
    versions: dict[str, list[str]] = secrets.describe_secret(SecretId=secret_id)["VersionIdsToStages"]
    if step == "createSecret":
        create(secrets, secret_id, new_version)
    elif step == "testSecret":
        secrets.get_secret_value(SecretId=secret_id, VersionId=new_version, VersionStage="AWSPENDING")
    elif step == "finishSecret":
        old_version = next(version for version, stages in versions.items() if "AWSCURRENT" in stages)
        if old_version != new_version:
            secrets.update_secret_version_stage(
                SecretId=secret_id,
                VersionStage="AWSCURRENT",
                MoveToVersionId=new_version,
                RemoveFromVersionId=old_version,
            )


def create(secrets: Any, secret_id: str, new_version: str) -> None:
    """Store the secret with a new password as AWSPENDING."""
    current = secrets.get_secret_value(SecretId=secret_id, VersionStage="AWSCURRENT")
    value = json.loads(current["SecretString"])
    value["password"] = secrets.get_random_password(ExcludePunctuation=True)["RandomPassword"]
    secrets.put_secret_value(
        SecretId=secret_id,
        ClientRequestToken=new_version,
        SecretString=json.dumps(value),
        VersionStages=["AWSPENDING"],
    )
