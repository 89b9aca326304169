"""The provider of an earlier commit is deployed and used, and then this provider over it, with the same ServiceToken.

The emulator's CloudFormation shows all of it. A stack whose update fails has the status UPDATE_ROLLBACK_IN_PROGRESS, in
which the failed resource gets an Update with its previous properties, then UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS
and UPDATE_ROLLBACK_COMPLETE, as on AWS.
"""

import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator import provider
from emulator.server import ACCOUNT_ID, REGION, Emulator
from emulator.stack import Stack, StackError
from tests import ROOT
from tests.e2e.account import EmulatedAccount
from tests.e2e.test_end_to_end import KEY, function, one_secret, role, rotation_policy, secret, template

EARLIER = "bd8a4c2"
"""The last commit whose provider wrote policies of the profile Documented for everybody, for any type of resource, and
on the role that the secret's rotation led to."""
VPC_CONFIG = {"SubnetIds": ["subnet-0123456789abcdef0"], "SecurityGroupIds": ["sg-0123456789abcdef0"]}


def extract_earlier_provider(folder: Path) -> None:
    """Write the files of the earlier commit to a folder. Skip the test if this is not a clone with the commit."""
    try:
        archive = subprocess.run(["git", "archive", EARLIER], cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    if archive.returncode:
        pytest.skip(f"the commit {EARLIER} is missing")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")


def strict(name: str, **properties: Any) -> dict[str, Any]:
    """Return a resource that names its function. The secret has a customer managed key."""
    return one_secret(name, **properties) | {"Secret": secret(name, "Key"), "Key": KEY}


def documented(name: str, **properties: Any) -> dict[str, Any]:
    return strict(name, **{"PolicyProfile": "Documented"} | properties)


def of_another_type(name: str, **properties: Any) -> dict[str, Any]:
    resources = strict(name, **properties)
    resources["Policy"]["Type"] = "Custom::Innocent"
    return resources


def found_by_the_secret(name: str, **properties: Any) -> dict[str, Any]:
    """Return a resource that names neither function nor role."""
    policy = rotation_policy(SecretId={"Ref": "Secret"}, **properties)
    return strict(name) | {"Policy": policy}


def declared(name: str, **properties: Any) -> dict[str, Any]:
    """Return a resource for a function in a VPC, which CloudFormation creates after the policy."""
    policy = rotation_policy(SecretId={"Ref": "Secret"}, RoleName={"Ref": "Role"}, VpcConfig=VPC_CONFIG, **properties)
    return {
        "Secret": secret(name),
        "Role": role(name),
        "Policy": policy,
        "Function": function(name, DependsOn="Policy", Properties={"VpcConfig": VPC_CONFIG}),
    }


RESOURCES = {
    "e2e-strict": strict,
    "e2e-documented": documented,
    "e2e-other-type": of_another_type,
    "e2e-found": found_by_the_secret,
    "e2e-declared": declared,
    "e2e-documented-2": documented,
    "e2e-documented-3": documented,
    "e2e-other-type-2": of_another_type,
}
"""The stacks of the earlier provider, by name."""


def create(emulator: Emulator, name: str) -> None:
    """Create a stack. If the resource finds its function by the secret, a rotation is configured before."""
    stack, resources = Stack(emulator, name), RESOURCES[name](name)
    if RESOURCES[name] is not found_by_the_secret:
        stack.create(template(**resources))
        return
    policy = resources.pop("Policy")
    stack.create(template(**resources))
    arn = emulator.client("lambda").get_function_configuration(FunctionName=name)["FunctionArn"]
    emulator.client("secretsmanager").rotate_secret(
        SecretId=f"e2e/{name}", RotationLambdaARN=arn, RotateImmediately=False
    )
    stack.update(template(**resources, Policy=policy))


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmulatedAccount, dict[str, Any]]]:
    """The account after the upgrade, and the policies before it, keyed by stack."""
    folder = tmp_path_factory.mktemp("upgrade")
    earlier = folder / "earlier"
    extract_earlier_provider(earlier)
    provider.build(earlier, folder / "build-earlier")
    provider.build(ROOT, folder / "build")
    with Emulator(folder / "emulator") as emulator:
        account = EmulatedAccount(emulator, provider.deploy(emulator, earlier, folder / "build-earlier"))
        token = account.provider.outputs["ServiceToken"]
        for name in RESOURCES:
            create(emulator, name)
        before = {name: account.policies(name) for name in RESOURCES}
        provider.deploy(emulator, ROOT, folder / "build")
        assert account.provider.outputs["ServiceToken"] == token
        yield account, before


TRIGGERS = {"Deployment": "2"}


@pytest.mark.parametrize("name", ["e2e-strict", "e2e-found", "e2e-declared"])
def test_after_an_upgrade_an_update_succeeds_and_the_policy_can_be_deleted(
    upgraded: tuple[EmulatedAccount, dict[str, Any]], name: str
) -> None:
    account, before = upgraded
    stack = Stack(account.emulator, name)
    physical_id = stack.physical_id("Policy")
    stack.update(template(**RESOURCES[name](name, Triggers=TRIGGERS)))
    assert stack.physical_id("Policy") == physical_id
    assert account.policies(name) == before[name]
    assert account.rotate(name, f"e2e/{name}") == ""
    delete(account, name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("e2e-documented", "PolicyProfile Documented is not allowed: it grants kms:Decrypt without a condition. Use"),
        (
            "e2e-other-type",
            'The resource type "Custom::Innocent" is not Custom::RotationRolePolicy. Use Custom::RotationRolePolicy'
            " under a new logical ID",
        ),
    ],
)
def test_after_an_upgrade_what_is_no_longer_served_fails_keeps_its_policy_and_can_be_deleted(
    upgraded: tuple[EmulatedAccount, dict[str, Any]], name: str, reason: str
) -> None:
    account, before = upgraded
    stack = Stack(account.emulator, name)
    physical_id = stack.physical_id("Policy")
    with pytest.raises(StackError) as failed:
        stack.update(template(**RESOURCES[name](name, Triggers=TRIGGERS)))
    assert failed.value.status == "UPDATE_ROLLBACK_COMPLETE"
    assert [failure.logical_id for failure in failed.value.failures] == ["Policy"]
    assert failed.value.reason.startswith(reason)
    assert statuses_of_stack(stack)[:3] == [
        "UPDATE_ROLLBACK_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
    ]
    # The Update of the rollback.
    assert stack.events()[2]["LogicalResourceId"] == "Policy"
    assert stack.events()[2]["ResourceStatus"] == "UPDATE_COMPLETE"
    assert stack.physical_id("Policy") == physical_id
    assert account.policies(name) == before[name]
    assert account.rotate(name, f"e2e/{name}") == ""
    delete(account, name)


def statuses_of_stack(stack: Stack) -> list[str]:
    """Return the statuses that a stack has had, the newest first."""
    return [event["ResourceStatus"] for event in stack.events() if event["LogicalResourceId"] == stack.name]


def is_strict(document: dict[str, Any]) -> bool:
    """Return whether a policy has the form of the profile Strict."""
    on_keys = [statement for statement in document["Statement"] if "kms:Decrypt" in statement["Action"]]
    return bool(on_keys) and all("Sid" in each and "Condition" in each for each in on_keys)


def check_becomes_strict(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Check that a policy had another profile before, and has the profile Strict under the same name."""
    assert after.keys() == before.keys()
    assert [is_strict(before[name]) for name in before if name != "other-policy"] == [False]
    assert [is_strict(after[name]) for name in after if name != "other-policy"] == [True]


def delete(account: EmulatedAccount, name: str) -> None:
    """Delete a stack's policy, which must leave only the policy of the role's owner, and then the stack."""
    stack, resources = Stack(account.emulator, name), RESOURCES[name](name)
    del resources["Policy"]
    stack.update(template(**resources))
    assert list(account.policies(name)) == ["other-policy"]
    stack.delete()
    assert stack.status == "DELETE_COMPLETE"


def test_a_resource_with_the_profile_documented_goes_on_as_strict(
    upgraded: tuple[EmulatedAccount, dict[str, Any]],
) -> None:
    account, before = upgraded
    stack = Stack(account.emulator, "e2e-documented-2")
    stack.update(template(**strict(stack.name)))
    check_becomes_strict(before[stack.name], account.policies(stack.name))
    assert account.rotate(stack.name, f"e2e/{stack.name}") == ""
    stack.delete()


def test_a_rollback_to_the_profile_documented_writes_strict(upgraded: tuple[EmulatedAccount, dict[str, Any]]) -> None:
    account, before = upgraded
    stack = Stack(account.emulator, "e2e-documented-3")
    invalid = rotation_policy(SecretId="e2e/nowhere") | {"DependsOn": "Policy"}
    replica = f"arn:aws:rds:{REGION}:{ACCOUNT_ID}:db:replica"
    with pytest.raises(StackError) as failed:
        stack.update(template(**strict(stack.name, TargetArns=[replica]), Invalid=invalid))
    assert failed.value.status == "UPDATE_ROLLBACK_COMPLETE"
    assert failed.value.failures[0].logical_id == "Invalid"
    check_becomes_strict(before[stack.name], account.policies(stack.name))
    assert replica not in str(account.policies(stack.name)), "the failed update had written it"
    assert account.rotate(stack.name, f"e2e/{stack.name}") == ""
    stack.delete()


def test_a_resource_of_another_type_is_replaced_under_a_new_logical_id(
    upgraded: tuple[EmulatedAccount, dict[str, Any]],
) -> None:
    """The advice of the reason."""
    account, before = upgraded
    stack = Stack(account.emulator, "e2e-other-type-2")
    resources = strict(stack.name)
    resources["RotationPolicy"] = resources.pop("Policy")
    stack.update(template(**resources))
    assert list(account.policies(stack.name)) != list(before[stack.name])
    assert len(account.policies(stack.name)) == 2
    assert account.rotate(stack.name, f"e2e/{stack.name}") == ""
    stack.delete()
