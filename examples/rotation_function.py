"""Rotates a token that services share. Each reads it from the secret: there is nothing to set elsewhere."""

import json

import boto3

secrets = boto3.client("secretsmanager")


def handler(event: dict[str, str], context: object) -> None:
    """One of the four steps of a rotation. Each is safe to repeat."""
    step, secret_id, version = event["Step"], event["SecretId"], event["ClientRequestToken"]
    if step == "createSecret":
        create(secret_id, version)
    elif step == "setSecret":
        pass  # A password would be set here, in the database that knows it, ...
    elif step == "testSecret":
        # ... and tried here.
        secrets.get_secret_value(SecretId=secret_id, VersionId=version, VersionStage="AWSPENDING")
    elif step == "finishSecret":
        finish(secret_id, version)


def create(secret_id: str, version: str) -> None:
    """Stores the secret with a new token as AWSPENDING, unless an earlier delivery has."""
    try:
        secrets.get_secret_value(SecretId=secret_id, VersionId=version, VersionStage="AWSPENDING")
    except secrets.exceptions.ResourceNotFoundException:
        value = json.loads(secrets.get_secret_value(SecretId=secret_id)["SecretString"])
        random = secrets.get_random_password(PasswordLength=40, ExcludePunctuation=True)
        value["token"] = random["RandomPassword"]
        secrets.put_secret_value(
            SecretId=secret_id,
            ClientRequestToken=version,
            SecretString=json.dumps(value),
            VersionStages=["AWSPENDING"],
        )


def finish(secret_id: str, version: str) -> None:
    """Makes the new version AWSCURRENT; the old one becomes AWSPREVIOUS."""
    versions = secrets.describe_secret(SecretId=secret_id)["VersionIdsToStages"]
    current = next(one for one, stages in versions.items() if "AWSCURRENT" in stages)
    if current != version:
        secrets.update_secret_version_stage(
            SecretId=secret_id,
            VersionStage="AWSCURRENT",
            MoveToVersionId=version,
            RemoveFromVersionId=current,
        )
