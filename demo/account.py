"""The emulated account of the demo: its clients, and what the demo reads from it."""

from __future__ import annotations

import json
from typing import Any

from emulator.rotation import rotate
from emulator.server import REGION, Emulator
from emulator.stack import Stack


class DemoAccount:
    """The account, with the clients of its administrator. `shop` is the stack whose secret and keys the demo uses."""

    def __init__(self, aws: Emulator, shop: Stack) -> None:
        self._aws = aws
        self.shop = shop
        self.iam = aws.client("iam")
        self.kms = aws.client("kms")
        self.functions = aws.client("lambda")
        self.s3 = aws.client("s3")
        self.secrets = aws.client("secretsmanager")

    def policy(self, stack: Stack) -> dict[str, Any]:
        """Return the document that the role has, from IAM."""
        role, name = stack.physical_id("RotationRolePolicy").split("/")
        document: dict[str, Any] = self.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        return document

    def secret(self) -> dict[str, Any]:
        """Return the description of the shop's secret."""
        described: dict[str, Any] = self.secrets.describe_secret(SecretId=self.shop.physical_id("Secret"))
        return described

    def key(self, logical_id: str) -> str:
        """Return the ARN of a key of the shop's stack."""
        return str(self.kms.describe_key(KeyId=self.shop.physical_id(logical_id))["KeyMetadata"]["Arn"])

    def value(self, secret_id: str) -> Any:
        """Return the value of a secret."""
        return json.loads(self.secrets.get_secret_value(SecretId=secret_id)["SecretString"])

    def change_key(self, secret_id: str, key: str) -> None:
        """Give a secret a key of the shop's stack, as the account's administrator."""
        self.secrets.update_secret(SecretId=secret_id, KmsKeyId=self.key(key))

    def keys_of_current_version(self) -> list[str]:
        """Return the keys that encrypt the current version of the shop's secret."""
        versions = self.secrets.list_secret_version_ids(SecretId=self.secret()["ARN"])["Versions"]
        [current] = [version for version in versions if "AWSCURRENT" in version["VersionStages"]]
        return list(current["KmsKeyIds"])

    def upload(self, bucket: str, key: str, content: bytes) -> None:
        """Create a bucket with one object."""
        self.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.s3.put_object(Bucket=bucket, Key=key, Body=content)

    def delete_upload(self, bucket: str, key: str) -> None:
        """Delete the object and its bucket."""
        self.s3.delete_object(Bucket=bucket, Key=key)
        self.s3.delete_bucket(Bucket=bucket)

    def rotate(self, stack: Stack, secret_id: str = "") -> str:
        """Rotate a secret with the stack's function, by default the stack's own secret.

        Returns:
            The step that failed and its error, or an empty string.
        """
        function = self.functions.get_function_configuration(FunctionName=stack.physical_id("RotationFunction"))
        secret_id = secret_id or stack.physical_id("Secret")
        return rotate(self._aws, secret_id, RotationLambdaARN=function["FunctionArn"])

    def deployer_without(self, key: str) -> Stack:
        """Return the shop's stack for a user who may do everything except use a key."""
        statements = [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Deny", "Action": "kms:*", "Resource": self.key(key)},
        ]
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.iam.create_user(UserName="deployer")
        self.iam.put_user_policy(UserName="deployer", PolicyName="deploy", PolicyDocument=document)
        credentials = self.iam.create_access_key(UserName="deployer")["AccessKey"]
        return Stack(self._aws, self.shop.name, credentials=credentials)

    def remaining_resources(self) -> dict[str, list[str]]:
        """Return the names of the resources in the account, keyed by the kinds that the demo has created."""
        stacks = self._aws.client("cloudformation").describe_stacks()["Stacks"]
        log_groups = self._aws.client("logs").describe_log_groups()["logGroups"]
        ssm_parameters = self._aws.client("ssm").describe_parameters()["Parameters"]
        keys = [key["KeyId"] for key in self.kms.list_keys()["Keys"]]
        states = {key: self.kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] for key in keys}
        return {
            "stacks": [stack["StackName"] for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE"],
            "roles": [role["RoleName"] for role in self.iam.list_roles()["Roles"]],
            "functions": [function["FunctionName"] for function in self.functions.list_functions()["Functions"]],
            "secrets": [secret["Name"] for secret in self.secrets.list_secrets()["SecretList"]],
            "keys": [key for key, state in states.items() if state != "PendingDeletion"],
            "log groups": [group["logGroupName"] for group in log_groups],
            "SSM parameters": [parameter["Name"] for parameter in ssm_parameters],
        }
