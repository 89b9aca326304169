"""A plain implementation for `bench`: crhelper as in its README, boto3 clients at module level, no checks."""

import json
from typing import Any

import boto3
from crhelper import CfnResource

helper = CfnResource()
secretsmanager, kms = boto3.client("secretsmanager"), boto3.client("kms")
lambda_, iam = boto3.client("lambda"), boto3.client("iam")


def handler(event: dict[str, Any], context: Any) -> None:
    """Lambda entry point."""
    helper(event, context)


@helper.create
@helper.update
def put(event: dict[str, Any], _context: Any) -> str:
    """Inspect the secret, its key and the function, and put the policy on the function's role."""
    secret = secretsmanager.describe_secret(SecretId=event["ResourceProperties"]["SecretId"])
    actions = ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"]
    statements = [allow("secretsmanager", actions, secret["ARN"]), allow("secretsmanager", ["GetRandomPassword"])]
    if key_id := secret.get("KmsKeyId"):
        key = kms.describe_key(KeyId=key_id)["KeyMetadata"]
        if key["KeyManager"] == "CUSTOMER":
            statements.append(allow("kms", ["Decrypt", "GenerateDataKey"], key["Arn"]))
    function = lambda_.get_function_configuration(FunctionName=event["ResourceProperties"]["RotationLambdaARN"])
    if function.get("VpcConfig", {}).get("VpcId"):
        actions = [f"{verb}NetworkInterface" for verb in ("Create", "Delete", "Detach")]
        statements.append(allow("ec2", [*actions, "DescribeNetworkInterfaces"]))
    role, policy = function["Role"].split("/")[-1], f"{event['LogicalResourceId']}-policy"
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=document)
    return f"{role}/{policy}"


def allow(service: str, actions: list[str], resource: str = "*") -> dict[str, Any]:
    """Return a statement."""
    return {"Effect": "Allow", "Action": [f"{service}:{action}" for action in actions], "Resource": resource}
