"""Plain implementation: crhelper as in its README, boto3 clients at module level, no checks."""

import json
import logging
from typing import Any

import boto3
from crhelper import CfnResource

logger = logging.getLogger(__name__)
helper = CfnResource()

secretsmanager = boto3.client("secretsmanager")
kms = boto3.client("kms")
lambda_ = boto3.client("lambda")
iam = boto3.client("iam")


def handler(event: dict[str, Any], context: Any) -> None:
    """Lambda entry point."""
    helper(event, context)


@helper.create
@helper.update
def put(event: dict[str, Any], _context: Any) -> str:
    """Inspect the secret, its key and the function, and put the policy on the function's role."""
    properties = event["ResourceProperties"]
    secret = secretsmanager.describe_secret(SecretId=properties["SecretId"])
    statements = [
        {
            "Effect": "Allow",
            "Action": [
                "secretsmanager:DescribeSecret",
                "secretsmanager:GetSecretValue",
                "secretsmanager:PutSecretValue",
                "secretsmanager:UpdateSecretVersionStage",
            ],
            "Resource": secret["ARN"],
        },
        {"Effect": "Allow", "Action": "secretsmanager:GetRandomPassword", "Resource": "*"},
    ]
    if key_id := secret.get("KmsKeyId"):
        key = kms.describe_key(KeyId=key_id)["KeyMetadata"]
        if key["KeyManager"] == "CUSTOMER":
            statements.append(
                {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": key["Arn"]}
            )
    function = lambda_.get_function_configuration(FunctionName=properties["RotationLambdaARN"])
    if function.get("VpcConfig", {}).get("VpcId"):
        statements.append(
            {
                "Effect": "Allow",
                "Action": [
                    "ec2:CreateNetworkInterface",
                    "ec2:DeleteNetworkInterface",
                    "ec2:DescribeNetworkInterfaces",
                    "ec2:DetachNetworkInterface",
                ],
                "Resource": "*",
            }
        )
    role = function["Role"].split("/")[-1]
    policy = f"{event['LogicalResourceId']}-policy"
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=document)
    helper.Data["PolicyName"] = policy
    return f"{role}/{policy}"
