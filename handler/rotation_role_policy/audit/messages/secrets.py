"""The words of findings about secrets: their keys, their schedules, and the permission to invoke the function."""

from datetime import datetime

from rotation_role_policy import arn
from rotation_role_policy.audit.facts import ListedSecret, UnusableKey
from rotation_role_policy.audit.findings import Words
from rotation_role_policy.audit.messages.failures import unusable_key_problem
from rotation_role_policy.rules.state import KeyProblem


def key_unusable(found: UnusableKey) -> Words:
    """Return the words for a secret whose key cannot be used."""
    if found.labels:
        labels = " ".join(found.labels)
        otherwise = f"store the secret's value again (aws secretsmanager put-secret-value --version-stages {labels})"
    else:
        otherwise = "encrypt the secret with another key (aws secretsmanager update-secret --kms-key-id)"
    return Words(
        f"{unusable_key_problem(found)}. Nobody can read what this key encrypts, so applications fail too, not only the"
        " rotation.",
        f"First try to restore the key. If that is not possible, {otherwise}.",
    )


def previous_version_unreadable(secret_arn: str, key: KeyProblem) -> Words:
    """Return the words for a secret whose version AWSPREVIOUS cannot be decrypted."""
    return Words(
        f"The version AWSPREVIOUS of {secret_arn} is encrypted only with the KMS key {key.key_id}, which cannot be"
        " used. AWS's single-user rotation functions read this version, and fail.",
        "Restore the key, or remove the label AWSPREVIOUS (aws secretsmanager update-secret-version-stage).",
    )


def key_of_other_account(secret_arn: str, key_arn: str) -> Words:
    """Return the words for a key whose owner does not let the caller describe it."""
    return Words(
        f"The KMS key {key_arn} of {secret_arn} belongs to another account, which does not let you describe it. Whether"
        " it is enabled is not known.",
        "Ask the owner of the key.",
    )


def rotation_overdue(secret: ListedSecret, due: datetime) -> Words:
    """Return the words for a rotation that was due."""
    last_rotated = f"{secret.last_rotated:%Y-%m-%d}" if secret.last_rotated else "never"
    name = arn.parse(arn.split_qualifier(secret.function_id)[0]).resource.removeprefix("function:")
    return Words(
        f"The rotation of {secret.arn} was due on {due:%Y-%m-%d}. It was last rotated: {last_rotated}.",
        "Read the log of the rotation function for the error of the last attempt, by default in the log group"
        f" /aws/lambda/{name}. Correct the errors of this secret, its function and its role, then rotate it (aws"
        f" secretsmanager rotate-secret --secret-id {secret.arn}). Do not remove the label AWSPENDING before you know"
        " whether the password was changed.",
    )


def invoke_not_allowed(secret: ListedSecret) -> Words:
    """Return the words for a function that Secrets Manager may not invoke."""
    name, qualifier = arn.split_qualifier(secret.function_id)
    version = f" --qualifier {qualifier}" if qualifier and not qualifier.startswith("$LATEST") else ""
    return Words(
        f"Secrets Manager may not invoke the function {secret.function_id} for the secret {secret.arn}.",
        f"Add a permission (AWS::Lambda::Permission, or aws lambda add-permission --function-name {name}{version}"
        " --statement-id SecretsManager --action lambda:InvokeFunction --principal secretsmanager.amazonaws.com"
        f" --source-arn {secret.arn}).",
    )
