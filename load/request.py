"""The requests that the measured providers serve."""

from typing import Any

from load.fake_aws.account import ACCOUNT, REGION


def create_request(response_url: str, request_id: str, *, secret: int, function: int) -> dict[str, Any]:
    """Return a Create for a secret and a function of `new_account`, which is that of a resource for each function."""
    return {
        "RequestType": "Create",
        "ResponseURL": response_url,
        "StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/load/6b1e1c50-0000-11ef-8e9a-0a1b2c3d4e5f",
        "RequestId": request_id,
        "ResourceType": "Custom::RotationRolePolicy",
        "LogicalResourceId": f"Policy{function}",
        "ResourceProperties": {
            "ServiceToken": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:provider",
            "SecretId": f"db-{secret}",
            "RotationLambdaARN": f"rotate-{function}",
            # A wait takes no CPU time, and does not depend on IAM's rate.
            "PropagationDelay": "0",
        },
    }
