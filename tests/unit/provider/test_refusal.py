"""What the provider refuses before any call: other types, accounts and regions, what is too large, `Documented`."""

import json
from typing import Any

import pytest

from rotation_role_policy.provider import settings
from rotation_role_policy.provider.operation import Direction, DocumentedProfile, if_documented_is_not_allowed
from rotation_role_policy.rules import identity
from tests.support.account import ACCOUNT, LOGICAL_ID, OWN_POLICY, REGION, STACK_ID, Account

OWN_ID = f"rotation-role/{OWN_POLICY}"
PROPERTIES: dict[str, Any] = {"SecretId": "prod/db", "RotationLambdaARN": "rotate-db"}
CHANGED = PROPERTIES | {"Triggers": {"Key": "new"}}
DOCUMENTED = PROPERTIES | {"PolicyProfile": "Documented"}


@pytest.fixture
def secret(account: Account) -> str:
    """Create a secret under a customer managed key, and the function ``rotate-db``. Return the secret's ARN."""
    account.function(account.role())
    return account.secret(key=account.key())


# --- the type of the resource ---

TYPES = ["Custom::Innocent", "AWS::CloudFormation::CustomResource", "custom::rotationrolepolicy", ""]


@pytest.mark.parametrize("resource_type", TYPES)
def test_another_type_is_refused_and_a_rollback_keeps_the_policy(
    account: Account, secret: str, resource_type: str
) -> None:
    other = {"ResourceType": resource_type}
    created = account.send(account.request("Create", PROPERTIES, **other))
    assert (created["Status"], created["PhysicalResourceId"]) == ("FAILED", f"uncreated-{LOGICAL_ID}")
    assert f'The resource type "{resource_type}" is not Custom::RotationRolePolicy.' in created["Reason"]
    assert created["Reason"].endswith("under a new logical ID (in the CDK: resourceType).")
    assert account.actions() == []
    # An older version of the provider has served the type.
    account.create(**PROPERTIES)
    before = account.policies()
    updated = account.send(account.request("Update", CHANGED, PhysicalResourceId=OWN_ID, **other))
    assert (updated["Status"], updated["PhysicalResourceId"]) == ("FAILED", OWN_ID)
    assert account.policies() == before
    account.cloudformation.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")
    status = "UPDATE_ROLLBACK_IN_PROGRESS"
    request = account.request("Update", PROPERTIES, stack_status=status, PhysicalResourceId=OWN_ID, **other)
    rolled_back = account.send(request)
    assert (rolled_back["Status"], rolled_back["PhysicalResourceId"]) == ("SUCCESS", OWN_ID)
    assert rolled_back["Data"]["SecretArns"] == secret
    assert account.policies() == before
    deleted = account.send(account.request("Delete", PROPERTIES, PhysicalResourceId=OWN_ID, **other))
    assert (deleted["Status"], account.policies()) == ("SUCCESS", {})


def test_a_type_that_is_missing_is_refused(account: Account, secret: str) -> None:
    event = account.request("Create", PROPERTIES)
    del event["ResourceType"]
    assert account.send(event)["Status"] == "FAILED"


# --- stacks of other accounts and regions ---

ELSEWHERE = [
    STACK_ID.replace(ACCOUNT, "999999999999"),
    STACK_ID.replace(REGION, "us-east-1"),
    STACK_ID.replace("arn:aws:", "arn:aws-cn:"),
    "a stack",
]


@pytest.mark.parametrize("stack_id", ELSEWHERE)
def test_a_create_of_another_account_or_region_is_refused_and_its_delete_makes_no_call(
    account: Account, secret: str, stack_id: str
) -> None:
    response = account.send(account.request("Create", PROPERTIES, StackId=stack_id))
    assert (response["Status"], account.actions()) == ("FAILED", [])
    assert f'The stack "{stack_id}" is not in region {REGION} of account {ACCOUNT}' in response["Reason"]
    physical_id = response["PhysicalResourceId"]
    for other_id in (physical_id, "foreign_Policy_ABC"):
        deleted = account.send(account.request("Delete", PROPERTIES, StackId=stack_id, PhysicalResourceId=other_id))
        assert (deleted["Status"], account.actions()) == ("SUCCESS", [])


@pytest.mark.parametrize("stack_id", ELSEWHERE)
@pytest.mark.parametrize("status", ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"])
def test_an_update_of_another_account_or_region_writes_nothing(
    account: Account, secret: str, stack_id: str, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An older version of the provider has written the policy."""
    name = identity.policy_name(stack_id, LOGICAL_ID)
    account.create(**PROPERTIES)
    [document] = account.policies().values()
    iam = account.client("iam")
    iam.put_role_policy(RoleName="rotation-role", PolicyName=name, PolicyDocument=json.dumps(document))
    before = account.policies()
    foreign: dict[str, Any] = {"StackId": stack_id, "stack_status": status}
    capsys.readouterr()
    own_id = f"rotation-role/{name}"
    response = account.send(account.request("Update", DOCUMENTED, PhysicalResourceId=own_id, **foreign))
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", own_id)
    assert response["Data"]["SecretArns"] == secret
    assert response["Data"]["KmsKeyArns"]
    assert account.policies() == before
    assert set(account.actions()) == {"iam:GetRolePolicy", "iam:GetRole"}
    assert "\"policy of another account's or region's stack kept\"" in capsys.readouterr().out
    # Any other physical ID names nothing that belongs to the stack.
    for physical_id in (OWN_ID, f"uncreated-{LOGICAL_ID}"):
        response = account.send(account.request("Update", PROPERTIES, PhysicalResourceId=physical_id, **foreign))
        assert (response["Status"], account.actions()) == ("FAILED", [])
    deleted = account.send(account.request("Delete", {}, StackId=stack_id, PhysicalResourceId=own_id))
    assert (deleted["Status"], list(account.policies())) == ("SUCCESS", [OWN_POLICY])


# --- the cost of a mistake ---

TARGET = f"arn:aws:rds:{REGION}:{ACCOUNT}:db:"


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"TargetArns": [f"{TARGET}{number}" for number in range(1500)]}, "TargetArns has 1,500 values, more than 100"),
        ({"SecretIds": ["a"] * 3000}, "SecretIds has 3,000 values, more than 100"),
        ({"SecretIds": [f"prod/{number}" for number in range(100)]}, "SecretIds: 100 secrets are too many"),
        (
            {"TargetArns": [f"{TARGET}{'x' * 120}{number}" for number in range(100)]},
            "SecretId and TargetArns: the policy for 1 and 100 values would have at least",
        ),
        (
            {
                "SecretIds": [f"prod/{number}" for number in range(20)],
                "TargetArns": [f"{TARGET}{'x' * 60}{number}" for number in range(90)],
            },
            "SecretIds and TargetArns: the policy for 20 and 90 values would have at least",
        ),
    ],
)
def test_what_the_properties_show_to_be_too_large_makes_no_call(
    account: Account, secret: str, properties: dict[str, Any], words: str
) -> None:
    given = {"RotationLambdaARN": "rotate-db"} | ({} if "SecretIds" in properties else {"SecretId": "prod/db"})
    response = account.create(**given, **properties)
    assert (response["Status"], account.actions()) == ("FAILED", [])
    assert response["Reason"].startswith(words)


def test_what_only_the_keys_show_to_be_too_large_makes_no_simulation_and_reads_no_resource_policy(
    account: Account, secret: str
) -> None:
    names = [f"s{number}" for number in range(22)]
    for name in names:
        account.secret(name, key=account.key())
    account.function(account.role("in-vpc"), "in-vpc", vpc=account.vpc())
    response = account.create(SecretIds=names, RotationLambdaARN="in-vpc")
    assert response["Status"] == "FAILED"
    assert response["Reason"].startswith("SecretIds: the policy for 22 values would have at least 1")
    actions = set(account.actions())
    assert "kms:DescribeKey" in actions
    assert "iam:GetRolePolicy" not in actions
    assert not actions & {"iam:SimulatePrincipalPolicy", "secretsmanager:GetResourcePolicy", "kms:GetKeyPolicy"}
    assert account.policies() == {}


def test_names_and_arns_of_one_secret_count_once(account: Account, secret: str) -> None:
    partial = secret[:-7]
    response = account.create(SecretIds=["prod/db", secret, partial] * 33, RotationLambdaARN="rotate-db")
    assert (response["Status"], response["Data"]["SecretArns"]) == ("SUCCESS", secret)
    # The name is described first. Then the full ARN is known.
    assert account.actions().count("secretsmanager:DescribeSecret") == 2
    assert account.actions().count("secretsmanager:ListSecretVersionIds") == 1


# --- Documented ---


@pytest.fixture
def strict_provider(account: Account) -> None:
    """Let the stack of the provider have the default of its parameter."""
    account.settings = settings.Settings()


def test_documented_is_refused_by_default(account: Account, secret: str, strict_provider: None) -> None:
    response = account.create(**DOCUMENTED)
    assert (response["Status"], account.actions()) == ("FAILED", [])
    assert response["Reason"] == (
        "PolicyProfile Documented is not allowed: it grants kms:Decrypt without a condition. Use Strict, which has the"
        " same grants with conditions. Or the administrator of the provider allows it with the parameter"
        " AllowDocumentedProfile of its stack (sam deploy --parameter-overrides AllowDocumentedProfile=true)."
    )
    account.create(**PROPERTIES)
    before = account.policies()
    assert account.update(OWN_ID, **DOCUMENTED)["Status"] == "FAILED"
    assert account.policies() == before


@pytest.mark.parametrize("status", ["known", "CloudFormation does not respond"])
def test_a_rollback_keeps_what_exists_if_the_failed_update_was_documented_too(
    account: Account, secret: str, status: str
) -> None:
    account.create(**DOCUMENTED)
    before = account.policies()
    account.settings = settings.Settings()
    failed = DOCUMENTED | {"Triggers": {"a": "b"}}
    assert account.update(OWN_ID, **failed)["Status"] == "FAILED"
    account.cloudformation.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")
    request = account.request(
        "Update",
        DOCUMENTED,
        stack_status="UPDATE_ROLLBACK_IN_PROGRESS",
        PhysicalResourceId=OWN_ID,
        OldResourceProperties=failed,
    )
    response = account.send(request)
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", OWN_ID)
    assert account.policies() == before


@pytest.mark.parametrize("old", [PROPERTIES, None, "x"])
def test_a_rollback_writes_strict_in_place_of_documented(
    account: Account, secret: str, strict_provider: None, old: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anybody who may deploy can send the Update of a stack of his own that is rolling back."""
    account.create(**PROPERTIES)
    strict = account.policies()
    account.cloudformation.set_status(STACK_ID, "UPDATE_ROLLBACK_IN_PROGRESS")
    account.client("iam").delete_role_policy(RoleName="rotation-role", PolicyName=OWN_POLICY)
    request = account.request(
        "Update",
        DOCUMENTED,
        stack_status="UPDATE_ROLLBACK_IN_PROGRESS",
        PhysicalResourceId=OWN_ID,
        OldResourceProperties=old,
    )
    capsys.readouterr()
    assert account.send(request)["Status"] == "SUCCESS"
    assert account.policies() == strict
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["RollbackWarnings"] for line in lines if line["message"] == "sending response"] == [1]
    assert "rollback writes the profile Strict" in [line["message"] for line in lines]


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("old_profile", ["Strict", "Documented", None])
def test_only_a_rollback_writes_strict(direction: Direction, old_profile: str | None) -> None:
    writes_strict = direction is Direction.ROLLBACK and old_profile != "Documented"
    expected = DocumentedProfile.WRITE_STRICT if writes_strict else DocumentedProfile.REFUSE
    assert if_documented_is_not_allowed(direction, old_profile) is expected


@pytest.mark.parametrize(("value", "allowed"), [("true", True), ("false", False), ("", False), (None, False)])
def test_the_parameter_of_the_stack_reaches_the_function_as_an_environment_variable(
    monkeypatch: pytest.MonkeyPatch, value: str | None, allowed: bool
) -> None:
    monkeypatch.delenv("ALLOW_DOCUMENTED_PROFILE", raising=False)
    if value is not None:
        monkeypatch.setenv("ALLOW_DOCUMENTED_PROFILE", value)
    assert settings.Settings.from_env().allow_documented_profile is allowed
