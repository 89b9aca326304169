"""Rotations of passwords in a real PostgreSQL, under the policy that the custom resource writes.

In each situation, a rotation needs each granted action: without the action, the rotation fails in the step that makes
the call. Only the EC2 actions are left out: the emulator has no network interfaces. With `KmsScope: Secret`, the
policy outlives a new key of the secret.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from demo.rotation_functions import ALTERNATING_USERS, SINGLE_USER
from emulator.postgres import Postgres
from emulator.server import ACCOUNT_ID, REGION
from tests.e2e.account import EmulatedAccount, deployed_account
from tests.e2e.rotation import Rotation, change_key_without_permission_on_the_earlier_key

RDS = f"arn:aws:rds:{REGION}:{ACCOUNT_ID}"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedAccount]:
    with deployed_account(tmp_path_factory.mktemp("rotations")) as account:
        yield account


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("database")) as database:
        yield database


# --- the situations ---


@dataclass(frozen=True)
class Resources:
    """What the custom resource is for, and what it must grant."""

    secret: str
    grants: dict[str, dict[str, str]]
    """By `Sid` and action: the step of the rotation that needs the action."""
    superuser: str | None = None
    targets: list[str] = field(default_factory=list)
    handler: str = ALTERNATING_USERS


ALWAYS = {
    "RotateSecret": {
        "secretsmanager:DescribeSecret": "createSecret",
        "secretsmanager:GetSecretValue": "createSecret",
        "secretsmanager:PutSecretValue": "createSecret",
        "secretsmanager:UpdateSecretVersionStage": "finishSecret",
    },
    "GeneratePassword": {"secretsmanager:GetRandomPassword": "createSecret"},
}
READ_SUPERUSER = {"ReadSuperuserSecret": {"secretsmanager:GetSecretValue": "setSecret"}}
DESCRIBE_SUPERUSER = {"DescribeSuperuserSecret": {"secretsmanager:DescribeSecret": "setSecret"}}


def single_user(rotation: Rotation) -> Resources:
    return Resources(rotation.create_secret(), ALWAYS, handler=SINGLE_USER)


def alternating_users(rotation: Rotation) -> Resources:
    superuser = rotation.create_superuser_secret()
    return Resources(rotation.create_secret(masterarn=superuser), ALWAYS | READ_SUPERUSER, superuser)


def customer_managed_keys(rotation: Rotation) -> Resources:
    """Give each secret a key of its own. The current version of the rotated secret is still under an earlier key."""
    superuser = rotation.create_superuser_secret(rotation.create_key())
    secret = rotation.create_secret(rotation.create_key(), masterarn=superuser)
    change_key_without_permission_on_the_earlier_key(rotation, secret, rotation.create_key())
    grants = ALWAYS | {
        "UseSecretKey": {"kms:Decrypt": "createSecret", "kms:GenerateDataKey": "createSecret"},
        "DecryptEarlierVersions": {"kms:Decrypt": "createSecret"},
        **READ_SUPERUSER,
        "UseSuperuserKey": {"kms:Decrypt": "setSecret"},
    }
    return Resources(secret, grants, superuser)


def superuser_that_rds_manages(rotation: Rotation) -> Resources:
    """Create a DB instance, and the secret that RDS would create for it. Its tags name the instance."""
    user, password = f"{rotation.name}_superuser", "managed"
    instance = rotation.account.client("rds").create_db_instance(
        DBInstanceIdentifier=rotation.name,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        Port=rotation.database.port,
        MasterUsername=user,
        MasterUserPassword=password,
    )["DBInstance"]
    rotation.database.create_user(user, password, superuser=True)
    tags = {"aws:secretsmanager:owningService": "rds", "aws:rds:primaryDBInstanceArn": instance["DBInstanceArn"]}
    superuser = rotation.account.client("secretsmanager").create_secret(
        Name=f"rds!db-{uuid.uuid4()}",
        SecretString=json.dumps({"username": user, "password": password}),
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )["ARN"]
    secret = rotation.create_secret(host=instance["Endpoint"]["Address"], masterarn=superuser)
    grants = ALWAYS | READ_SUPERUSER | DESCRIBE_SUPERUSER
    grants |= {"DescribeSuperuserDatabase": {"rds:DescribeDBInstances": "setSecret"}}
    return Resources(secret, grants, superuser)


def read_replica(rotation: Rotation) -> Resources:
    source, replica = f"{rotation.name}-source", f"{rotation.name}-replica"
    rds = rotation.account.client("rds")
    rds.create_db_instance(
        DBInstanceIdentifier=source,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="postgres",
        MasterUserPassword="unused-password",
    )
    rds.create_db_instance_read_replica(DBInstanceIdentifier=replica, SourceDBInstanceIdentifier=source)
    superuser = rotation.create_superuser_secret(host=f"{source}.rds.example")
    secret = rotation.create_secret(host=f"{replica}.rds.example", masterarn=superuser)
    grants = ALWAYS | READ_SUPERUSER | {"CallTarget": {"rds:DescribeDBInstances": "setSecret"}}
    return Resources(secret, grants, superuser, [f"{RDS}:db:{replica}"])


def reader_endpoint(rotation: Rotation) -> Resources:
    cluster = rotation.account.client("rds").create_db_cluster(
        DBClusterIdentifier=rotation.name,
        Engine="aurora-postgresql",
        MasterUsername="postgres",
        MasterUserPassword="unused-password",
    )["DBCluster"]
    superuser = rotation.create_superuser_secret(host=cluster["Endpoint"], engine="aurora-postgresql")
    secret = rotation.create_secret(host=cluster["ReaderEndpoint"], engine="aurora-postgresql", masterarn=superuser)
    grants = ALWAYS | READ_SUPERUSER | {"CallTarget": {"rds:DescribeDBClusters": "setSecret"}}
    return Resources(secret, grants, superuser, [f"{RDS}:cluster:{rotation.name}"])


def redshift(rotation: Rotation) -> Resources:
    """Make the calls of AWS's function for Redshift, which has PostgreSQL's protocol."""
    superuser = rotation.create_superuser_secret(engine="redshift")
    secret = rotation.create_secret(engine="redshift", masterarn=superuser)
    cluster = f"arn:aws:redshift:{REGION}:{ACCOUNT_ID}:cluster:warehouse"
    return Resources(secret, ALWAYS | READ_SUPERUSER | DESCRIBE_SUPERUSER, superuser, [cluster])


SITUATIONS = (
    single_user,
    alternating_users,
    customer_managed_keys,
    superuser_that_rds_manages,
    read_replica,
    reader_endpoint,
    redshift,
)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.__name__)
def test_a_rotation_needs_each_action_of_the_policy_and_no_other(
    account: EmulatedAccount, database: Postgres, situation: Callable[[Rotation], Resources]
) -> None:
    rotation = Rotation(account, database)
    resources = situation(rotation)
    rotation.create_function(resources.handler)
    policy_name, document = rotation.create_policy(resources.secret, resources.superuser, resources.targets)
    granted = {statement["Sid"]: set(statement["Action"]) for statement in document["Statement"]}
    assert granted == {sid: set(steps) for sid, steps in resources.grants.items()}

    last = ("RotateSecret", "secretsmanager:UpdateSecretVersionStage")
    permissions = [(sid, action) for sid, steps in resources.grants.items() for action in steps]
    for sid, action in sorted(permissions, key=last.__eq__):
        rotation.put_policy(policy_name, without(document, sid, action))
        error = rotation.rotate()
        assert error.startswith(f"failed in {resources.grants[sid][action]}: "), (sid, action, error)
        assert "not authorized" in error or "Access to KMS is not allowed" in error
        if (sid, action) != last:
            rotation.discard_pending_version()

    # The last rotation has failed after the new password was set. The next attempt finishes it.
    rotation.put_policy(policy_name, document)
    assert rotation.rotate() == ""
    value = rotation.current_value()
    assert value["password"] != "old"
    assert database.can_log_in(value["username"], value["password"])
    is_same_user = resources.handler == SINGLE_USER
    assert value["username"] == (rotation.name if is_same_user else f"{rotation.name}_clone")
    assert database.can_log_in(rotation.name, "old") is not is_same_user

    assert rotation.rotate() == ""
    second_value = rotation.current_value()
    assert second_value["username"] == rotation.name
    assert database.can_log_in(rotation.name, second_value["password"])
    assert not database.can_log_in(rotation.name, "old")


def without(document: dict[str, Any], sid: str, action: str) -> dict[str, Any]:
    """Return a policy document without an action of a statement, or without the statement if it has no other action."""
    statements = [
        statement | {"Action": [other for other in statement["Action"] if (statement["Sid"], other) != (sid, action)]}
        for statement in document["Statement"]
    ]
    return document | {"Statement": [statement for statement in statements if statement["Action"]]}


# --- KmsScope: another key, without a deployment ---

AWS_MANAGED_KEY = "alias/aws/secretsmanager"
KMS_DENIES = "Access to KMS is not allowed"


def outcome(call: Callable[..., Any], **parameters: Any) -> str:
    """Return AWS's message if it denies the call; otherwise an empty string."""
    try:
        call(**parameters)
    except ClientError as error:
        assert "AccessDenied" in error.response["Error"]["Code"]
        return str(error.response["Error"]["Message"])
    return ""


@pytest.mark.parametrize(("scope", "under_later_key"), [("Secret", ""), ("Key", KMS_DENIES)])
def test_the_role_can_use_a_later_key_only_with_the_scope_secret_and_only_for_its_secrets(
    account: EmulatedAccount, database: Postgres, scope: str, under_later_key: str
) -> None:
    """The role has all permissions in Secrets Manager, so that whatever is denied, KMS denies.

    The emulator has no keys of other accounts or regions, and no other service that calls KMS for its caller:
    tests/unit/rules/test_policy_meaning.py covers them.
    """
    rotation = Rotation(account, database)
    secret, superuser = rotation.create_secret(), rotation.create_superuser_secret()
    other = rotation.create_secret_of(f"{rotation.name}-other", {"password": "old"})
    rotation.create_function(ALTERNATING_USERS)
    rotation.create_policy(secret, superuser, KmsScope=scope)
    rotation.put_policy("all-secrets", allow("secretsmanager:*"))
    administrator, role = account.client("secretsmanager"), rotation.client_of_role("secretsmanager")

    def read_and_write(secret_id: str) -> tuple[str, str]:
        value = administrator.get_secret_value(SecretId=secret_id)["SecretString"]
        parameters = {"SecretString": value, "ClientRequestToken": str(uuid.uuid4())}
        return (
            outcome(role.get_secret_value, SecretId=secret_id),
            outcome(role.put_secret_value, SecretId=secret_id, **parameters),
        )

    first, second = rotation.create_key(), rotation.create_key()
    for key in (first, second):
        for each in (secret, superuser, other):
            administrator.update_secret(SecretId=each, KmsKeyId=key)
        assert read_and_write(secret) == (under_later_key, under_later_key)
        assert read_and_write(superuser) == (under_later_key, KMS_DENIES)
        assert read_and_write(other) == (KMS_DENIES, KMS_DENIES)
    for each in (secret, superuser, other):
        administrator.update_secret(SecretId=each, KmsKeyId=AWS_MANAGED_KEY)
    assert read_and_write(secret) == ("", "")


def test_with_the_scope_secret_the_role_can_not_call_kms_itself(account: EmulatedAccount, database: Postgres) -> None:
    rotation = Rotation(account, database)
    secret, key = rotation.create_secret(), rotation.create_key()
    rotation.create_function(SINGLE_USER)
    rotation.create_policy(secret, KmsScope="Secret")
    administrator, role = account.client("kms"), rotation.client_of_role("kms")
    call = {"KeyId": key, "EncryptionContext": {"SecretARN": secret}}
    encrypted = administrator.encrypt(**call, Plaintext=b"a data key")["CiphertextBlob"]

    def calls() -> tuple[str, str]:
        return (
            outcome(role.decrypt, **call, CiphertextBlob=encrypted),
            outcome(role.generate_data_key, **call, KeySpec="AES_256"),
        )

    assert all("is not authorized to perform: kms:" in message for message in calls())
    # With the encryption context alone as a condition, both would succeed.
    condition = {"StringEquals": {"kms:EncryptionContext:SecretARN": secret}}
    rotation.put_policy("context-alone", allow("kms:*", Condition=condition))
    assert calls() == ("", "")


def allow(action: str, **elements: Any) -> dict[str, Any]:
    """Return a policy document with one statement."""
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*", **elements}],
    }


def by_an_administrator(rotation: Rotation, secret: str, key: str) -> None:
    rotation.account.client("secretsmanager").update_secret(SecretId=secret, KmsKeyId=key)


@pytest.mark.parametrize("scope", ["Secret", "Key"])
@pytest.mark.parametrize("begins_with_key", [True, False])
@pytest.mark.parametrize("rekey", [by_an_administrator, change_key_without_permission_on_the_earlier_key])
def test_after_a_new_key_without_a_deployment_a_rotation_succeeds_only_with_the_scope_secret(
    account: EmulatedAccount, database: Postgres, scope: str, begins_with_key: bool, rekey: Callable[..., None]
) -> None:
    rotation = Rotation(account, database)
    old_key, new_key = rotation.create_key() if begins_with_key else None, rotation.create_key()
    secret = rotation.create_secret(old_key)
    rotation.create_function(SINGLE_USER)
    _, before = rotation.create_policy(secret, KmsScope=scope)
    assert rotation.rotate() == ""

    rekey(rotation, secret, new_key)
    password = rotation.current_value()["password"]
    failure = rotation.rotate()
    if scope == "Key":
        assert failure.startswith("failed in createSecret: ")
        assert KMS_DENIES in failure
        assert database.can_log_in(rotation.name, password)
    else:
        # The second rotation reads AWSPREVIOUS, and writes the version that is under the new key for certain.
        assert (failure, rotation.rotate()) == ("", "")
        assert not database.can_log_in(rotation.name, password)
        assert database.can_log_in(rotation.name, rotation.current_value()["password"])
    assert list(account.policies(rotation.name).values()) == [before]


def test_after_a_new_key_of_the_superuser_secret_a_rotation_succeeds_with_the_scope_secret(
    account: EmulatedAccount, database: Postgres
) -> None:
    rotation = Rotation(account, database)
    superuser = rotation.create_superuser_secret()
    secret = rotation.create_secret(rotation.create_key(), masterarn=superuser)
    rotation.create_function(ALTERNATING_USERS)
    rotation.create_policy(secret, superuser, KmsScope="Secret")
    by_an_administrator(rotation, superuser, rotation.create_key())
    by_an_administrator(rotation, secret, AWS_MANAGED_KEY)
    assert rotation.rotate() == ""
    value = rotation.current_value()
    assert database.can_log_in(value["username"], value["password"])
