"""The warnings about a state: about the superuser secret and about replicas."""

from dataclasses import replace
from typing import Any

import pytest

from rotation_role_policy.lookup.resource import inspect
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy.rules.state import KeyProblem, Secret
from rotation_role_policy.rules.warnings import StateWarning, WarningKind, warnings_of
from rotation_role_policy_cli import messages
from tests.support.account import ACCOUNT, PLACE, REGION, Account, AlteredAws
from tests.unit.rules.test_policy import KEY, SECRET, SUPERUSER, state

REPLICA = f"arn:aws:secretsmanager:{REGION}:999999999999:secret:replica-AbCdEf"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/replication"


def test_a_state_without_anything_odd_has_no_warning() -> None:
    assert list(warnings_of(state(Secret(SECRET, KEY), superuser=Secret(SUPERUSER, KEY)))) == []


def test_a_superuser_secret_that_is_also_rotated_has_a_warning() -> None:
    both = state(Secret(SECRET, None), Secret(SUPERUSER, None), superuser=Secret(SUPERUSER, None, has_rotation=True))
    assert list(warnings_of(both)) == [StateWarning(WarningKind.SUPERUSER_IS_ROTATED, SUPERUSER)]
    by_another_function = state(Secret(SECRET, None), superuser=Secret(SUPERUSER, None, has_rotation=True))
    assert list(warnings_of(by_another_function)) == [StateWarning(WarningKind.SUPERUSER_HAS_ROTATION, SUPERUSER)]


@pytest.mark.parametrize(
    ("described", "has_rotation"),
    [
        ({"RotationEnabled": True, "RotationLambdaARN": "f"}, True),
        # The rotation is switched off, or the owner of a managed secret rotates it.
        ({"RotationEnabled": False, "RotationLambdaARN": "f"}, False),
        ({"RotationEnabled": True, "OwningService": "rds"}, False),
    ],
)
def test_the_rotation_of_the_superuser_secret_is_found(
    account: Account, described: dict[str, Any], has_rotation: bool
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
    assert superuser.has_rotation is has_rotation


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
