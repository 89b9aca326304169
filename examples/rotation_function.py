"""Rotate a token that several services share.

Each service reads the token from the secret, so no other system has to be updated.
"""

import json

import boto3

secrets = boto3.client("secretsmanager")


def handler(event: dict[str, str], context: object) -> None:
    """Run one of the four steps of a rotation. Each step can be repeated safely."""
    step, secret_id, version_id = event["Step"], event["SecretId"], event["ClientRequestToken"]
    if step == "createSecret":
        create_secret(secret_id, version_id)
    elif step == "setSecret":
        pass  # For a database password: set the new password in the database here.
    elif step == "testSecret":
        # For a database password: log in to the database with the new password here.
        secrets.get_secret_value(SecretId=secret_id, VersionId=version_id, VersionStage="AWSPENDING")
    elif step == "finishSecret":
        finish_secret(secret_id, version_id)


def create_secret(secret_id: str, version_id: str) -> None:
    """Store a new token as version AWSPENDING, unless an earlier delivery of the event has stored one."""
    try:
        secrets.get_secret_value(SecretId=secret_id, VersionId=version_id, VersionStage="AWSPENDING")
    except secrets.exceptions.ResourceNotFoundException:
        value = json.loads(secrets.get_secret_value(SecretId=secret_id)["SecretString"])
        password = secrets.get_random_password(PasswordLength=40, ExcludePunctuation=True)
        value["token"] = password["RandomPassword"]
        secrets.put_secret_value(
            SecretId=secret_id,
            ClientRequestToken=version_id,
            SecretString=json.dumps(value),
            VersionStages=["AWSPENDING"],
        )


def finish_secret(secret_id: str, version_id: str) -> None:
    """Label the new version AWSCURRENT. Secrets Manager labels the previous version AWSPREVIOUS."""
    stages_by_version = secrets.describe_secret(SecretId=secret_id)["VersionIdsToStages"]
    current_id = next(version for version, stages in stages_by_version.items() if "AWSCURRENT" in stages)
    if current_id != version_id:
        secrets.update_secret_version_stage(
            SecretId=secret_id,
            VersionStage="AWSCURRENT",
            MoveToVersionId=version_id,
            RemoveFromVersionId=current_id,
        )
