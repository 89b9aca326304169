"""A rotation of a database user's password in the emulator: the secrets, the function and the policy."""

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from demo.rotation_functions import zip_file
from emulator.postgres import Postgres
from emulator.rotation import rotate
from emulator.server import ACCOUNT_ID, REGION
from emulator.stack import Stack
from tests.e2e.account import EmulatedAccount
from tests.e2e.test_end_to_end import TRUST, rotation_policy, template


@dataclass
class Rotation:
    """A database user, the user's secret, and the function that rotates it."""

    account: EmulatedAccount
    database: Postgres
    name: str = field(default_factory=lambda: f"user{uuid.uuid4().hex[:8]}")
    """Of the user, the secret, the function, its role and the stack."""

    def create_secret(self, key: str | None = None, **members: Any) -> str:
        """Create the user and the user's secret, and return its ARN. `members` are members of the secret's value."""
        self.database.create_user(self.name, "old")
        return self.create_secret_of(self.name, self.database.secret_value(self.name, "old") | members, key)

    def create_superuser_secret(self, key: str | None = None, **members: Any) -> str:
        """Create the secret of the database's superuser, and return its ARN."""
        value = self.database.secret_value(self.database.superuser, self.database.password)
        return self.create_secret_of(f"{self.name}-superuser", value | members, key)

    def create_secret_of(self, name: str, value: dict[str, Any], key: str | None = None) -> str:
        """Create a secret with a value, and return its ARN."""
        parameters = {"KmsKeyId": key} if key else {}
        created = self.account.client("secretsmanager").create_secret(
            Name=name, SecretString=json.dumps(value), **parameters
        )
        return str(created["ARN"])

    def create_key(self) -> str:
        """Create a customer managed key, and return its ARN."""
        return str(self.account.client("kms").create_key()["KeyMetadata"]["Arn"])

    def create_function(self, handler: str) -> None:
        """Create the rotation function with a role that has no permissions."""
        self.account.client("iam").create_role(RoleName=self.name, AssumeRolePolicyDocument=json.dumps(TRUST))
        self.account.client("lambda").create_function(
            FunctionName=self.name,
            Runtime="python3.13",
            Handler=handler,
            Timeout=30,
            Role=f"arn:aws:iam::{ACCOUNT_ID}:role/{self.name}",
            Code={"ZipFile": zip_file()},
            # Whatever the secret's host is, psycopg connects to the one database.
            Environment={"Variables": {"PGHOSTADDR": self.database.host}},
        )

    def create_policy(
        self, secret: str, superuser: str | None = None, targets: list[str] | None = None, **properties: str
    ) -> tuple[str, dict[str, Any]]:
        """Create the custom resource, and return the name and the document of the policy that it has written.

        `properties` are further properties of the resource.
        """
        optional: dict[str, Any] = {"SuperuserSecretId": superuser} if superuser else {}
        optional |= {"TargetArns": targets} if targets else {}
        optional |= properties
        stack = Stack(self.account.emulator, self.name)
        stack.create(template(Policy=rotation_policy(SecretId=secret, RotationLambdaARN=self.name, **optional)))
        [(policy_name, document)] = self.account.policies(self.name).items()
        return policy_name, document

    def client_of_role(self, service: str) -> Any:
        """Return a client with the permissions of the function's execution role."""
        role = f"arn:aws:iam::{ACCOUNT_ID}:role/{self.name}"
        assumed = self.account.client("sts").assume_role(RoleArn=role, RoleSessionName="rotation")
        return self.account.emulator.client(service, credentials=assumed["Credentials"])

    def put_policy(self, policy_name: str, document: dict[str, Any]) -> None:
        """Replace the policy on the role."""
        self.account.client("iam").put_role_policy(
            RoleName=self.name, PolicyName=policy_name, PolicyDocument=json.dumps(document)
        )

    def rotate(self) -> str:
        """Rotate the secret. Return the step that failed and its error, or an empty string."""
        function = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{self.name}"
        return rotate(self.account.emulator, self.name, RotationLambdaARN=function)

    def discard_pending_version(self) -> None:
        """Remove the label AWSPENDING, so that the next rotation begins with a new version."""
        secrets = self.account.client("secretsmanager")
        versions = secrets.describe_secret(SecretId=self.name)["VersionIdsToStages"]
        [pending] = [version for version, labels in versions.items() if labels == ["AWSPENDING"]]
        secrets.update_secret_version_stage(SecretId=self.name, VersionStage="AWSPENDING", RemoveFromVersionId=pending)

    def current_value(self) -> dict[str, Any]:
        """Return the value of the secret."""
        value = self.account.client("secretsmanager").get_secret_value(SecretId=self.name)["SecretString"]
        return dict(json.loads(value))


def change_key_without_permission_on_the_earlier_key(rotation: Rotation, secret: str, key: str) -> None:
    """Change the key of a secret as a user who may use only the new key, as a role for deployments."""
    iam, name = rotation.account.client("iam"), f"{rotation.name}-deployer"
    iam.create_user(UserName=name)
    statements = [
        {"Effect": "Allow", "Action": "secretsmanager:UpdateSecret", "Resource": secret},
        {"Effect": "Allow", "Action": "kms:*", "Resource": key},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=name, PolicyName="deploy", PolicyDocument=document)
    credentials = iam.create_access_key(UserName=name)["AccessKey"]
    secrets = rotation.account.emulator.client("secretsmanager", credentials=credentials)
    secrets.update_secret(SecretId=secret, KmsKeyId=key)
