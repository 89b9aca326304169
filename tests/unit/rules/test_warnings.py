"""The warnings about a state: about the superuser secret and about replicas."""

from dataclasses import replace
from typing import Any

import pytest

from rotation_role_policy.lookup.resource import inspect
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy.rules.state import NO_KEY, EnvironmentKey, KeyProblem, Secret
from rotation_role_policy.rules.warnings import StateWarning, WarningKind, warnings_of
from rotation_role_policy_cli import messages
from tests.support.account import ACCOUNT, PLACE, REGION, Account, AlteredAws
from tests.unit.rules.test_policy import KEY, SECRET, SUPERUSER, state

REPLICA = f"arn:aws:secretsmanager:{REGION}:999999999999:secret:replica-AbCdEf"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/replication"


def test_a_state_without_anything_odd_has_no_warning() -> None:
    assert list(warnings_of(state(Secret(SECRET, KEY), superuser=Secret(SUPERUSER, KEY)))) == []


def test_a_superuser_secret_that_is_also_rotated_has_a_warning() -> None:
    both = state(
        Secret(SECRET, None), Secret(SUPERUSER, None), superuser=Secret(SUPERUSER, None, rotation_function_id="f")
    )
    assert list(warnings_of(both)) == [StateWarning(WarningKind.SUPERUSER_IS_ROTATED, SUPERUSER)]
    by_another_function = state(Secret(SECRET, None), superuser=Secret(SUPERUSER, None, rotation_function_id="f"))
    assert list(warnings_of(by_another_function)) == [StateWarning(WarningKind.SUPERUSER_HAS_ROTATION, SUPERUSER)]


_DENIED = KeyProblem(KEY, denied="not authorized")
_DISABLED = KeyProblem(KEY, "Disabled")


@pytest.mark.parametrize(
    ("members", "environment", "text"),
    [
        (
            {"keys_not_described": (_DENIED,)},
            NO_KEY,
            f"Key not inspected: kms:DescribeKey is denied ({KEY}: not authorized).",
        ),
        (
            {"unreadable_previous": _DISABLED},
            NO_KEY,
            "AWSPREVIOUS cannot be decrypted, so AWS's single-user rotation functions fail. Remove this label (aws"
            " secretsmanager update-secret-version-stage), or restore the key"
            f" ({KEY}: the key is Disabled, not Enabled).",
        ),
        (
            {"unreadable_previous": _DENIED},
            NO_KEY,
            "It is not known whether AWSPREVIOUS can be decrypted, which AWS's single-user rotation functions read:"
            f" kms:DescribeKey is denied ({KEY}: not authorized).",
        ),
        (
            {},
            EnvironmentKey(KEY, _DISABLED),
            "The key of the function's environment variables cannot be used, so the function does not start. Restore or"
            " enable the key, or give the function another key (aws lambda update-function-configuration --kms-key-arn)"
            f" ({KEY}: the key is Disabled, not Enabled).",
        ),
        (
            {},
            EnvironmentKey(KEY, _DENIED),
            "The key of the function's environment variables could not be inspected, so it is not known whether it can"
            f" be used ({KEY}: not authorized).",
        ),
        (
            {},
            EnvironmentKey("", KeyProblem("alias/x")),
            "The key of the function's environment variables could not be resolved, so the policy has no statement for"
            " it. The function starts only with the grant that Lambda has made on the key (alias/x: the key does not"
            " exist).",
        ),
        (
            {"partial_arn": SECRET[:-7]},
            NO_KEY,
            "AWS takes this ARN for the full ARN of another secret, because it ends in a hyphen and six characters. It"
            " was taken as a partial ARN, and the secret was found by its name. Give the full ARN or the name"
            f" ({SECRET[:-7]}: the secret is {SECRET}).",
        ),
        (
            {"failed_replicas": ("us-east-1",)},
            NO_KEY,
            "Secrets Manager could not replicate the secret, so a replica keeps an old value after a rotation. See"
            f" ReplicationStatus (aws secretsmanager describe-secret) ({SECRET}: replica: us-east-1).",
        ),
        (
            {"replicas_without_role": (REPLICA,)},
            NO_KEY,
            "A replica of the secret in another account has no replication role. Secrets Manager replicates a new value"
            " with the permissions of the rotation function, and the policy does not contain them. Associate the"
            " replica with a replication role (aws secretsmanager associate-cross-account-replica"
            f" --replication-role-arn) ({SECRET}: replica: {REPLICA}).",
        ),
    ],
)
def test_each_warning_has_its_text_and_its_resource(
    members: dict[str, Any], environment: EnvironmentKey, text: str
) -> None:
    [warning] = warnings_of(replace(state(Secret(SECRET, KEY, **members)), environment_key=environment))
    assert messages.warning(warning) == text


def test_the_warnings_about_the_superuser_secret_have_their_texts() -> None:
    assert messages.warning(StateWarning(WarningKind.SUPERUSER_IS_ROTATED, SUPERUSER)) == (
        "The superuser secret is also one of the rotated secrets, so the rotation function may change the superuser"
        " secret. Give the secret as SuperuserSecretId or as a secret to rotate, not as both"
        f" ({SUPERUSER})."
    )
    assert messages.warning(StateWarning(WarningKind.SUPERUSER_HAS_ROTATION, SUPERUSER)) == (
        "The superuser secret is also rotated. The superuser's password changes in the database before it changes in"
        " the secret, so a rotation that uses the superuser can fail in between. Schedule the two rotations at"
        f" different times ({SUPERUSER})."
    )


@pytest.mark.parametrize(
    ("described", "function_id"),
    [
        ({"RotationEnabled": True, "RotationLambdaARN": "f"}, "f"),
        # The rotation is switched off, or the owner of a managed secret rotates it.
        ({"RotationEnabled": False, "RotationLambdaARN": "f"}, ""),
        ({"RotationEnabled": True, "OwningService": "rds"}, ""),
    ],
)
def test_the_rotation_of_the_superuser_secret_is_found(
    account: Account, described: dict[str, Any], function_id: str
) -> None:
    account.function(account.role())
    for name in ("prod/db", "prod/superuser"):
        account.secret(name)
    aws = AlteredAws(
        account,
        DescribeSecret=lambda response: response | (described if response["Name"] == "prod/superuser" else {}),
    )
    properties = {"SecretId": "prod/db", "SuperuserSecretId": "prod/superuser", "RotationLambdaARN": "rotate-db"}
    superuser = inspect(aws, parse_properties(properties), PLACE).superuser_secret
    assert superuser
    assert superuser.rotation_function_id == function_id


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ({"ReplicationStatus": [{"Region": "us-east-1", "Status": "InProgress"}]}, []),
        ({"ReplicationStatus": [{"Region": "us-east-1", "Status": "InSync"}]}, []),
        (
            {"ReplicationStatus": [{"Region": "us-east-1", "Status": "Failed", "StatusMessage": "x"}]},
            [(WarningKind.REPLICATION_FAILED, "replica: us-east-1")],
        ),
        (
            {"CrossAccountReplicas": [{"ReplicaSecretARN": REPLICA, "ReplicationStatus": "InSync"}]},
            [(WarningKind.REPLICA_WITHOUT_ROLE, f"replica: {REPLICA}")],
        ),
        (
            {
                "CrossAccountReplicas": [
                    {"ReplicaSecretARN": REPLICA, "ReplicationStatus": "Failed", "ReplicationRoleARN": ROLE}
                ]
            },
            [(WarningKind.REPLICATION_FAILED, f"replica: {REPLICA}")],
        ),
    ],
)
def test_replicas_that_a_rotation_does_not_reach_have_a_warning(
    account: Account, described: dict[str, Any], expected: list[tuple[WarningKind, str]]
) -> None:
    account.function(account.role())
    secret = account.secret()
    account.secret("prod/superuser")
    aws = AlteredAws(account, DescribeSecret=lambda response: response | described)
    properties = {"SecretId": "prod/db", "SuperuserSecretId": "prod/superuser", "RotationLambdaARN": "rotate-db"}
    found = list(warnings_of(inspect(aws, parse_properties(properties), PLACE)))
    # The rotation does not change the superuser secret.
    assert found == [StateWarning(kind, secret, detail) for kind, detail in expected]


@pytest.mark.parametrize("kind", WarningKind)
def test_each_warning_is_a_sentence_with_its_resource(kind: WarningKind) -> None:
    text = kind.value
    assert not text.endswith(".")
    assert messages.warning(StateWarning(kind, SECRET)) == f"{text[0].upper()}{text[1:]} ({SECRET})."
    assert messages.warning(StateWarning(kind, SECRET, "no")).endswith(f" ({SECRET}: no).")


@pytest.mark.parametrize(
    ("problem", "kind", "detail"),
    [
        (KeyProblem(KEY, "Disabled"), WarningKind.PREVIOUS_UNREADABLE, "the key is Disabled, not Enabled"),
        (KeyProblem(KEY), WarningKind.PREVIOUS_UNREADABLE, "the key does not exist"),
        (KeyProblem(KEY, denied="no"), WarningKind.PREVIOUS_NOT_DESCRIBED, "no"),
    ],
)
def test_a_key_of_awsprevious_has_a_warning(problem: KeyProblem, kind: WarningKind, detail: str) -> None:
    secret = replace(Secret(SECRET, KEY), unreadable_previous=problem)
    assert list(warnings_of(state(secret))) == [StateWarning(kind, KEY, detail)]
