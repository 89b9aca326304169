"""The example of a failed request: what a stack's events show for a disabled key."""

import contextlib
import io

from docs.generate.example_account import FUNCTION, SECRET, example_account


def failure() -> str:
    """Return the event of a real Create that failed, in the form of `aws cloudformation describe-stack-events`."""
    with example_account() as account, contextlib.redirect_stdout(io.StringIO()):
        key_id = account.client("secretsmanager").describe_secret(SecretId=SECRET)["KmsKeyId"].rpartition("/")[2]
        account.client("kms").disable_key(KeyId=key_id)
        response = account.create(SecretId=SECRET, RotationLambdaARN=FUNCTION)
    return f"```text\nCREATE_FAILED  RotationPolicy  {response['Reason']}\n```"
