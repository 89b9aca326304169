"""The template that adopts rotations: a resource for each function, at most 20 secrets in each."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rotation_role_policy import arn
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.report import Report, Rotation
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy.rules.state import Secret, State
from rotation_role_policy_cli.audit import adopt
from rotation_role_policy_cli.schema import TYPE
from rotation_role_policy_cli.template.file import load
from tests.support.audit_account import write_templates
from tests.support.audit_report import ACCOUNT, REGION, TIME, account, finding, rotation
from tests.unit.rules.test_policy import CACHE_USER, CLUSTER, INSTANCE, SUPERUSER

STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")
CLOUDFORMATION_LOGICAL_ID = re.compile(r"[A-Za-z0-9]{1,255}")


def unadopted(name: str, function: str = "rotate-db", qualifier: str = "", **state: Any) -> Rotation:
    """Return a rotation that no policy covers."""
    found = rotation(name, function)
    assert found.state
    return replace(
        found, policy_name="", function_arn=found.function_arn + qualifier, state=replace(found.state, **state)
    )


def written(path: Path, *rotations: Rotation) -> dict[str, Any]:
    """Return the resources of the template for these rotations, and check that each is valid."""
    ordered = tuple(sorted(rotations, key=lambda each: each.secret_arn))
    regions = tuple({arn.parse(each.secret_arn).region for each in rotations})
    files = write_templates(Report((account(regions),), ordered, ()), path / "adopt")
    resources: dict[str, Any] = {}
    for file in files:
        template = load(file)
        assert template["AWSTemplateFormatVersion"] == "2010-09-09"
        for logical_id, resource in template["Resources"].items():
            assert CLOUDFORMATION_LOGICAL_ID.fullmatch(logical_id)
            assert resource["Type"] == TYPE
            properties = dict(resource["Properties"])
            assert properties.pop("ServiceToken")
            parse_properties(properties)
            assert logical_id not in resources
            resources[logical_id] = properties
    return resources


def secrets_of(properties: dict[str, Any]) -> list[str]:
    """Return the secrets of a resource."""
    return properties.get("SecretIds") or [properties["SecretId"]]


def test_each_function_has_a_resource_with_its_secrets(tmp_path: Path) -> None:
    first, second = unadopted("first"), unadopted("second")
    other = unadopted("other", "rotate-other")
    resources = written(tmp_path, second, other, first)
    assert [(each["RotationLambdaARN"], secrets_of(each)) for each in resources.values()] == [
        (first.function_arn, [first.secret_arn, second.secret_arn]),
        (other.function_arn, [other.secret_arn]),
    ]


def test_a_rotation_that_has_a_resource_or_was_not_inspected_is_left_out(tmp_path: Path) -> None:
    covered, unknown = rotation("covered"), rotation("unknown", inspected=False)
    assert write_templates(Report((account(),), (covered, unknown), ()), tmp_path / "adopt") == []
    assert [file.name for file in (tmp_path / "adopt").iterdir()] == [adopt.LEFT_OUT]
    resources = written(tmp_path, covered, unknown, unadopted("new"))
    assert [secrets_of(each) for each in resources.values()] == [[unadopted("new").secret_arn]]


@pytest.mark.parametrize(("number", "sizes"), [(1, [1]), (20, [20]), (21, [20, 1]), (60, [20, 20, 20])])
def test_more_than_20_secrets_of_a_function_are_split(tmp_path: Path, number: int, sizes: list[int]) -> None:
    rotations = [unadopted(f"db-{index:02}") for index in range(number)]
    resources = written(tmp_path, *rotations)
    assert [len(secrets_of(each)) for each in resources.values()] == sizes
    secrets = [secret for each in resources.values() for secret in secrets_of(each)]
    assert secrets == [each.secret_arn for each in rotations]


def test_logical_ids_are_unique_and_stable(tmp_path: Path) -> None:
    rotations = [
        *(unadopted(f"db-{index:02}") for index in range(45)),
        # Names that differ only in characters that a logical ID cannot have.
        unadopted("a", "rotate_db"),
        unadopted("b", "Rotate-Db"),
        unadopted("c", "rotatedb"),
        unadopted("d", "rotate-db", ":live"),
        unadopted("e", "rotate-db", ":$LATEST"),
        unadopted("f", "9-" + "x" * 138),
    ]
    resources = written(tmp_path, *rotations)
    assert sum(len(secrets_of(each)) for each in resources.values()) == len(rotations)
    assert len(resources) == 9
    assert written(tmp_path, *reversed(rotations)) == resources


def test_a_new_secret_does_not_change_the_logical_id_of_another_function(tmp_path: Path) -> None:
    before = written(tmp_path, unadopted("first"), unadopted("other", "rotate-other"))
    after = written(
        tmp_path, unadopted("first"), unadopted("new", "a-new-function"), unadopted("other", "rotate-other")
    )
    assert set(before) < set(after)


def test_the_superuser_secret_and_the_targets_are_named(tmp_path: Path) -> None:
    [properties] = written(
        tmp_path, unadopted("db", superuser_secret=Secret(SUPERUSER, None), target_arns=(INSTANCE, CACHE_USER))
    ).values()
    assert properties["SuperuserSecretId"] == SUPERUSER
    assert properties["TargetArns"] == [INSTANCE, CACHE_USER]


def test_the_database_of_a_managed_superuser_secret_is_no_target(tmp_path: Path) -> None:
    managed = Secret(SUPERUSER, None, managed_by="rds", database_arns=(CLUSTER,))
    [properties] = written(tmp_path, unadopted("db", superuser_secret=managed, target_arns=(CLUSTER,))).values()
    assert "TargetArns" not in properties


def test_what_only_a_person_can_know_is_a_comment(tmp_path: Path) -> None:
    sentence = "The role may read several other secrets, " + ", ".join(f"secret-{number}" for number in range(60)) + "."
    written(
        tmp_path, replace(unadopted("first"), unknowns=(sentence,)), replace(unadopted("second"), unknowns=(sentence,))
    )
    [file] = (tmp_path / "adopt").iterdir()
    text = file.read_text(encoding="utf-8")
    assert text.count("secret-59") == 1
    assert all(len(line) < 130 for line in text.splitlines() if "arn:" not in line)


def test_each_region_has_a_file_of_its_own(tmp_path: Path) -> None:
    def elsewhere(found: Rotation) -> Rotation:
        secret_arn, function_arn = (
            text.replace(REGION, "us-east-1") for text in (found.secret_arn, found.function_arn)
        )
        state = found.state
        assert isinstance(state, State)
        return replace(
            found,
            secret_arn=secret_arn,
            function_arn=function_arn,
            state=replace(state, secrets=(Secret(secret_arn, None),)),
        )

    here, there = unadopted("here"), elsewhere(unadopted("there", "rotate-there"))
    files = write_templates(Report((account((REGION, "us-east-1")),), (here, there), ()), tmp_path / "adopt")
    assert set(files) == set((tmp_path / "adopt").iterdir())
    for file, (region, expected) in zip(sorted(files), ((REGION, here), ("us-east-1", there)), strict=True):
        assert file.name.startswith(f"{ACCOUNT}-{region}-rotation-policies-unowned-1-")
        assert f"--region {region} --stack-name rotation-policies-unowned-1-" in file.read_text(encoding="utf-8")
        [resource] = load(file)["Resources"].values()
        assert resource["Properties"]["SecretId"] == expected.secret_arn


def owned(name: str, **tags: str) -> Rotation:
    return replace(unadopted(name, f"rotate-{name}"), owner=tags)


def test_each_owner_has_templates_of_its_own_whose_stacks_have_different_names(tmp_path: Path) -> None:
    stack, application = "aws:cloudformation:stack-name", "serverlessrepo:applicationId"
    rotations = [
        owned("a", **{stack: "shop"}),
        owned("b", **{stack: "shop"}),
        owned("c", **{stack: "billing_2"}),
        owned("d", **{application: "arn:aws:serverlessrepo:us-east-1:297356227824:applications/MySQLRotation"}),
        owned("e"),
    ]
    files = write_templates(Report((account(),), tuple(rotations), ()), tmp_path / "adopt")
    stacks = [file.stem for file in files]
    assert [re.sub("-[0-9a-f]{8}$", "", name) for name in stacks] == [
        "rotation-policies-unowned-1",
        "rotation-policies-MySQLRotation-1",
        "rotation-policies-billing-2-1",
        "rotation-policies-shop-1",
    ]
    for file, name in zip(files, stacks, strict=True):
        assert STACK_NAME.fullmatch(name)
        assert f"aws cloudformation create-stack --region {REGION} --stack-name {name} " in file.read_text()
        assert f"--template-body file://{file.name}" in file.read_text()
    assert len(load(files[-1])["Resources"]) == 2
    # Other resources have another stack, and the same ones the same.
    again = adopt.files(Report((account(time=TIME + timedelta(1)),), tuple(rotations[1:]), ()), tmp_path)
    assert [file.stem for file in again][:3] == stacks[:3]
    assert [file.stem for file in again][3] != stacks[3]


@pytest.mark.parametrize(("number", "sizes"), [(50, [50]), (51, [50, 1]), (130, [50, 50, 30])])
def test_a_template_has_at_most_50_resources_and_is_small_enough_for_a_request(
    tmp_path: Path, number: int, sizes: list[int]
) -> None:
    rotations = [unadopted(f"db-{index:03}", f"rotate-{index:03}") for index in range(number)]
    files = write_templates(Report((account(),), tuple(rotations), ()), tmp_path / "adopt")
    assert [len(load(file)["Resources"]) for file in files] == sizes
    assert all(f"-{wave}-" in file.name for wave, file in enumerate(files, 1))
    long = [replace(each, unknowns=(f"{'long ' * 800}.",)) for each in rotations]
    files = write_templates(Report((account(),), tuple(long), ()), tmp_path / "long")
    assert max(len(file.read_bytes()) for file in files) <= 51_200
    assert sum(len(load(file)["Resources"]) for file in files) == number


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x85", "\u2028", "\ufffe", "\ud800", "\n"])
def test_a_control_character_in_a_message_does_not_make_a_template_unreadable(tmp_path: Path, character: str) -> None:
    strange = replace(unadopted("db"), unknowns=(f"It may{character}x: y, as {character}.",), owner={"a": character})
    found = finding(FindingType.ROTATION_OVERDUE, strange, f"The policy {character} says\n- no: {character}.")
    broken = finding(FindingType.FUNCTION_MISSING, rotation("other"), character)
    other = replace(rotation("other"), policy_name="")
    report = Report((account(),), (strange, other), (found, broken))
    [file] = write_templates(report, tmp_path / "adopt")
    [resource] = load(file)["Resources"].values()
    assert resource["Properties"]["SecretId"] == strange.secret_arn
    assert other.secret_arn in (tmp_path / "adopt" / adopt.LEFT_OUT).read_text(encoding="utf-8")
