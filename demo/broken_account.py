"""An emulated account whose rotations are broken, or too broad, each in its own way, and some that are sound."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from emulator.code import zip_code
from emulator.server import ACCOUNT_ID, REGION, Emulator
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.state import Role, Secret, State

LAMBDA_TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
VPC_POLICY = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
Statement = dict[str, Any]

_ROTATE = ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"]
RANDOM_PASSWORD = {"Effect": "Allow", "Action": "secretsmanager:GetRandomPassword", "Resource": "*"}


def rotate(secret_arn: str, **members: Any) -> list[Statement]:
    """Return the statements that a secret under the AWS managed key needs."""
    actions = [f"secretsmanager:{action}" for action in _ROTATE]
    return [{"Effect": "Allow", "Action": actions, "Resource": secret_arn, **members}, RANDOM_PASSWORD]


def use_key(key_arn: str, secret_arn: str, *actions: str) -> Statement:
    """Return the statement for a customer managed key, with the encryption context."""
    return {
        "Effect": "Allow",
        "Action": list(actions) or ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": key_arn,
        "Condition": {"StringEquals": {"kms:EncryptionContext:SecretARN": secret_arn}},
    }


@dataclass
class BrokenAccount:
    """Builds rotations, and remembers which findings each must have."""

    emulator: Emulator
    expected: dict[str, set[str]] = field(default_factory=dict)
    """The codes by the name of the secret: errors and warnings."""

    def client(self, service: str) -> Any:
        """Return a client with the permissions of the account's administrator."""
        return self.emulator.client(service)

    def secret(self, name: str, **members: Any) -> str:
        """Create a secret, and return its ARN."""
        created = self.client("secretsmanager").create_secret(Name=name, SecretString="{}", **members)
        return str(created["ARN"])

    def key(self) -> str:
        """Create a customer managed key, and return its ARN."""
        return str(self.client("kms").create_key()["KeyMetadata"]["Arn"])

    def role(self, name: str, trust: Statement = LAMBDA_TRUST, **members: Any) -> str:
        """Create a role, and return its ARN."""
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        role = self.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document, **members)
        return str(role["Role"]["Arn"])

    def function(self, name: str, role_arn: str, *, in_vpc: bool = False) -> str:
        """Create a function, and return its ARN."""
        vpc = {"SubnetIds": ["subnet-11111111"], "SecurityGroupIds": ["sg-11111111"]} if in_vpc else {}
        created = self.client("lambda").create_function(
            FunctionName=name,
            Role=role_arn,
            Runtime="python3.13",
            Handler="index.handler",
            Code={"ZipFile": zip_code("def handler(event, context): pass")},
            VpcConfig=vpc,
        )
        return str(created["FunctionArn"])

    def allow_invoke(self, function: str, **source: str) -> None:
        """Let Secrets Manager invoke a function: for the secrets of this account, unless `source` says otherwise."""
        self.client("lambda").add_permission(
            FunctionName=function,
            StatementId="SecretsManager",
            Action="lambda:InvokeFunction",
            Principal="secretsmanager.amazonaws.com",
            **(source if source != {"no": "source"} else {}),
        )

    def put_policy(self, role: str, statements: list[Statement], name: str = "rotation") -> None:
        """Put an inline policy on a role."""
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.client("iam").put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=document)

    def rotation(
        self,
        name: str,
        statements: Callable[[str], list[Statement]],
        *codes: str,
        key: str = "",
        in_vpc: bool = False,
        source: dict[str, str] | None = None,
        trust: Statement = LAMBDA_TRUST,
        boundary: str = "",
        role: str = "",
        tags: dict[str, str] | None = None,
    ) -> str:
        """Build a rotation, and return the ARN of the secret.

        Args:
            name: of the secret. The role and the function are named after it.
            statements: returns the inline policy for the secret's ARN.
            codes: of the errors and warnings that an audit must report.
            key: the secret's customer managed key.
            in_vpc: whether the function is in a VPC.
            source: of the invoke permission; by default the account. Without members, there is no permission.
            trust: the statement of the role's trust policy.
            boundary: ARN of the role's permissions boundary.
            role: the ARN of an existing role.
            tags: of the secret.
        """
        members: dict[str, Any] = {"KmsKeyId": key} if key else {}
        members["Tags"] = [{"Key": tag, "Value": value} for tag, value in (tags or {}).items()]
        secret_arn = self.secret(name, **members)
        role_arn = role or self.role(name, trust, **({"PermissionsBoundary": boundary} if boundary else {}))
        role_name = role_arn.rpartition("/")[2]
        self.put_policy(role_name, statements(secret_arn), f"rotation-{name}")
        function_arn = self.function(name, role_arn, in_vpc=in_vpc)
        if source is None:
            source = {"SourceAccount": ACCOUNT_ID}
        if source:
            self.allow_invoke(name, **source)
        self.enable(secret_arn, function_arn)
        self.expected[name] = set(codes)
        return secret_arn

    def enable(self, secret_arn: str, function_arn: str) -> None:
        """Configure the rotation of a secret, without rotating it."""
        self.client("secretsmanager").rotate_secret(
            SecretId=secret_arn,
            RotationLambdaARN=function_arn,
            RotateImmediately=False,
            RotationRules={"AutomaticallyAfterDays": 30},
        )


def build(emulator: Emulator) -> BrokenAccount:
    """Build the account."""
    account = BrokenAccount(emulator)
    _build_sound(account)
    _build_failing(account)
    _build_too_broad(account)
    return account


def _build_sound(account: BrokenAccount) -> None:
    account.rotation("sound-guide", rotate)
    key = account.key()
    account.rotation("sound-key", lambda arn: [*rotate(arn), use_key(key, arn)], key=key)
    function_arn = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:sound-published"
    any_secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:*"
    limited = {"StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": function_arn}}
    account.rotation("sound-published", lambda _: rotate(any_secret, Condition=limited))
    superuser = account.secret("superuser")
    read = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": superuser}
    account.rotation("sound-superuser", lambda arn: [*rotate(arn), read])
    # The secret's own policy grants what the role's policies do not.
    by_resource = account.rotation("sound-resource-policy", lambda _: [RANDOM_PASSWORD])
    statement = rotate("*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT_ID}:role/sound-resource-policy"})[0]
    account.client("secretsmanager").put_resource_policy(
        SecretId=by_resource, ResourcePolicy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    # A policy of the provider, for a function in a VPC.
    with_vpc = account.rotation("sound-strict", rotate, in_vpc=True)
    state = State(
        (Secret(with_vpc, None),),
        None,
        Role("sound-strict", f"arn:aws:iam::{ACCOUNT_ID}:role/sound-strict"),
        f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:sound-strict",
        in_vpc=True,
        dns_suffix="amazonaws.com",
    )
    account.put_policy("sound-strict", policy.document(state, "Strict")["Statement"], "Policy-0123456789ab")
    account.client("iam").delete_role_policy(RoleName="sound-strict", PolicyName="rotation-sound-strict")


def _build_failing(account: BrokenAccount) -> None:
    kms, iam, secretsmanager = account.client("kms"), account.client("iam"), account.client("secretsmanager")

    def without_put(arn: str) -> list[Statement]:
        first, second = rotate(arn)
        return [first | {"Action": [each for each in first["Action"] if "PutSecretValue" not in each]}, second]

    account.rotation("lacks-put", without_put, "ActionNotGranted")
    key = account.key()
    account.rotation(
        "lacks-data-key", lambda arn: [*rotate(arn), use_key(key, arn, "kms:Decrypt")], "ActionNotGranted", key=key
    )
    # The secret got another key after the policy was written.
    old, new = account.key(), account.key()
    rekeyed = account.rotation(
        "re-keyed", lambda arn: [*rotate(arn), use_key(old, arn)], "ActionNotGranted", "UnneededGrant", key=old
    )
    secretsmanager.update_secret(SecretId=rekeyed, KmsKeyId=new)
    # The version is still under the earlier key, and the role may not use that any more.
    earlier, current = account.key(), account.key()
    account.rotation("earlier-key", lambda arn: [*rotate(arn), use_key(current, arn)], "ActionNotGranted", key=earlier)
    _change_key_without_encrypting_again(account, "earlier-key", current)
    disabled = account.key()
    account.rotation("disabled-key", lambda arn: [*rotate(arn), use_key(disabled, arn)], "KeyUnusable", key=disabled)
    kms.disable_key(KeyId=disabled)
    account.rotation("denied", lambda arn: [*rotate(arn), _deny(arn)], "ActionBlocked")
    boundary = iam.create_policy(
        PolicyName="boundary",
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": ["logs:*", "secretsmanager:Get*"], "Resource": "*"}],
            }
        ),
    )["Policy"]["Arn"]
    account.rotation("boundary", rotate, "ActionBlocked", boundary=boundary)
    account.rotation("no-function", rotate, "FunctionMissing")
    account.client("lambda").delete_function(FunctionName="no-function")
    account.rotation("no-invoke", rotate, "InvokeNotAllowed", source={})
    other = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:another-111111"
    account.rotation("invoke-for-another", rotate, "InvokeNotAllowed", source={"SourceArn": other})
    trust = {**LAMBDA_TRUST, "Principal": {"Service": "ec2.amazonaws.com"}}
    account.rotation("trusts-ec2", rotate, "RoleNotAssumable", trust=trust)
    yesterday = str(int(time.time()) - 24 * 3600)
    account.rotation("overdue", rotate, "RotationOverdue", tags={"emulator:NextRotationDate": yesterday})
    account.rotation("vpc-lacks-interfaces", rotate, "NetworkInterfacesNotGranted", in_vpc=True)


def _change_key_without_encrypting_again(account: BrokenAccount, name: str, key_arn: str) -> None:
    """Give a secret another key, as a user who may not use the earlier key."""
    user, iam = f"deployer-{name}", account.client("iam")
    iam.create_user(UserName=user)
    allow = [
        {"Effect": "Allow", "Action": "secretsmanager:UpdateSecret", "Resource": "*"},
        {"Effect": "Allow", "Action": "kms:*", "Resource": key_arn},
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": allow})
    iam.put_user_policy(UserName=user, PolicyName="deploy", PolicyDocument=document)
    credentials = iam.create_access_key(UserName=user)["AccessKey"]
    client = account.emulator.client("secretsmanager", credentials=credentials)
    client.update_secret(SecretId=name, KmsKeyId=key_arn)


def _deny(secret_arn: str) -> Statement:
    return {"Effect": "Deny", "Action": "secretsmanager:UpdateSecret*", "Resource": secret_arn}


def _build_too_broad(account: BrokenAccount) -> None:
    iam = account.client("iam")
    account.rotation("every-secret", lambda _: rotate("*"), "OtherSecrets")
    prefix = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:a-*"
    account.rotation("a-prefix", lambda _: rotate(prefix), "OtherSecrets")
    administrator = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    account.rotation("administrator", lambda _: [administrator], "OtherSecrets")
    key = account.key()
    context = use_key(key, "-")
    without_context = {name: value for name, value in context.items() if name != "Condition"}
    account.rotation("no-context", lambda arn: [*rotate(arn), without_context], "KmsWithoutEncryptionContext", key=key)
    account.rotation("all-keys", lambda arn: [*rotate(arn), without_context | {"Resource": "*"}], "KmsAllKeys", key=key)
    account.rotation("vpc-open", rotate, "NetworkInterfacesOpenToCode", in_vpc=True)
    iam.attach_role_policy(RoleName="vpc-open", PolicyArn=VPC_POLICY)
    account.rotation("was-in-vpc", rotate, "UnneededGrant")
    iam.attach_role_policy(RoleName="was-in-vpc", PolicyArn=VPC_POLICY)
    former = account.secret("former")
    account.rotation("former-secret", lambda arn: [*rotate(arn), *rotate(former)], "UnneededGrant")
    account.rotation("invoke-open", rotate, "InvokeWithoutSource", source={"no": "source"})
    shared = account.role("shared")
    for name in ("shared-1", "shared-2"):
        account.rotation(name, rotate, "SharedRole", role=shared)
