"""Minimal implementation: the AWS calls with botocore, the response with http.client, and nothing else."""

import http.client
import json
import ssl
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import botocore.session

session = botocore.session.get_session()


@cache
def client(service: str) -> Any:
    """Return a client. It is created on first use."""
    return session.create_client(service)


@cache
def tls() -> ssl.SSLContext:
    """Return the TLS context that all responses share."""
    return ssl.create_default_context()


def handler(event: dict[str, Any], _context: Any) -> None:
    """Serve one CloudFormation request."""
    properties = event["ResourceProperties"]
    secret = client("secretsmanager").describe_secret(SecretId=properties["SecretId"])
    actions = ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"]
    statements = [
        {"Effect": "Allow", "Action": [f"secretsmanager:{action}" for action in actions], "Resource": secret["ARN"]},
        {"Effect": "Allow", "Action": "secretsmanager:GetRandomPassword", "Resource": "*"},
    ]
    if key_id := secret.get("KmsKeyId"):
        key = client("kms").describe_key(KeyId=key_id)["KeyMetadata"]
        if key["KeyManager"] == "CUSTOMER":
            actions = ["kms:Decrypt", "kms:GenerateDataKey"]
            statements.append({"Effect": "Allow", "Action": actions, "Resource": key["Arn"]})
    function = client("lambda").get_function_configuration(FunctionName=properties["RotationLambdaARN"])
    if function.get("VpcConfig", {}).get("VpcId"):
        actions = [f"ec2:{verb}NetworkInterface" for verb in ("Create", "Delete", "Detach")]
        actions.append("ec2:DescribeNetworkInterfaces")
        statements.append({"Effect": "Allow", "Action": actions, "Resource": "*"})
    role = function["Role"].rpartition("/")[2]
    policy = f"{event['LogicalResourceId']}-policy"
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    client("iam").put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=document)

    names = ("StackId", "RequestId", "LogicalResourceId")
    response = {name: event[name] for name in names} | {"Status": "SUCCESS", "PhysicalResourceId": f"{role}/{policy}"}
    url = urlsplit(event["ResponseURL"])
    connection = http.client.HTTPSConnection(url.netloc, context=tls())
    connection.request("PUT", f"{url.path}?{url.query}", json.dumps(response), {"Content-Type": ""})
    connection.getresponse().read()
    connection.close()
