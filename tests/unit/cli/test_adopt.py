"""The template that adopts rotations: a resource for each function, at most 20 secrets in each."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rotation_role_policy import arn
from rotation_role_policy.audit.report import Report, Rotation
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy.rules.state import Secret, State
from rotation_role_policy_cli.schema import TYPE
from rotation_role_policy_cli.template.file import load
from tests.support.audit_account import write_templates
from tests.support.audit_report import REGION, account, rotation
from tests.unit.rules.test_policy import CACHE_USER, CLUSTER, INSTANCE, SUPERUSER

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
    files = write_templates(Report((account(regions),), ordered, ()), path / "adopt.yaml")
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
    assert write_templates(Report((account(),), (covered, unknown), ()), tmp_path / "adopt.yaml") == []
    assert list(tmp_path.iterdir()) == []
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
    text = (tmp_path / "adopt.yaml").read_text(encoding="utf-8")
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
    files = write_templates(Report((account((REGION, "us-east-1")),), (here, there), ()), tmp_path / "adopt.yaml")
    assert sorted(file.name for file in files) == [f"adopt.{REGION}.yaml", "adopt.us-east-1.yaml"]
    assert set(files) == set(tmp_path.iterdir())
    for file, expected in ((f"adopt.{REGION}.yaml", here), ("adopt.us-east-1.yaml", there)):
        [resource] = load(tmp_path / file)["Resources"].values()
        assert resource["Properties"]["SecretId"] == expected.secret_arn
