"""The options of `preview` that are generated from the table of properties."""

from typing import Any

import click
import pytest

from rotation_role_policy.rules.properties import PROPERTIES, Property
from rotation_role_policy_cli import main
from rotation_role_policy_cli.options import PropertyOption, is_option, option_name, properties_from, property_options


def properties(*arguments: str) -> dict[str, Any]:
    """Return the properties that a command line sets."""
    command = click.Command("test", params=list(property_options()), callback=lambda **values: properties_from(values))
    parsed: dict[str, Any] = command.main(list(arguments), standalone_mode=False)
    return parsed


def names(option: PropertyOption) -> set[str]:
    """Return the names of the properties that an option sets."""
    rows = [option.row, option.parent, option.plural]
    return {row.name for row in rows if row}


@pytest.mark.parametrize("row", PROPERTIES, ids=lambda row: row.name)
def test_each_property_has_an_option_unless_a_rule_excludes_it(row: Property) -> None:
    has_option = any(row.name in names(option) for option in property_options())
    assert has_option is is_option(row)
    assert has_option is (row.name not in ("ServiceToken", "ServiceTimeout", "PropagationDelay", "Triggers"))


def test_the_help_of_each_option_names_its_property() -> None:
    helps = [option.help or "" for option in property_options()]
    assert [text.split(": ")[0] for text in helps] == [
        "SecretId, SecretIds",
        "RotationLambdaARN",
        "RoleName",
        "VpcConfig.SubnetIds",
        "KmsKeyArn",
        "SuperuserSecretId",
        "TargetArns",
        "PolicyProfile",
        "KmsScope",
        "AccessCheck",
    ]
    assert [text for text in helps if "`" in text or "](" in text or not text.endswith(".")] == []
    assert "the user guide" in helps[7]


def test_a_new_property_gets_an_option_automatically() -> None:
    table = (
        *PROPERTIES,
        Property("MaximumAge", "Integer", "days", default=30, minimum=1, maximum=365),
        Property("IsShared", "Boolean", "whether it is shared"),
        Property("Regions", "List of String", "replicas"),
        Property("Note", "Object", "anything", affects_policy=False),
    )
    new = list(property_options(table))[-3:]
    assert [option.opts for option in new] == [["--maximum-age"], ["--is-shared"], ["--regions"]]
    [age, shared, regions] = [option.type for option in new]
    assert age.convert("365", None, None) == 365
    with pytest.raises(click.BadParameter):
        age.convert("366", None, None)
    assert shared.convert("true", None, None) is True
    assert regions.convert("a,b", None, None) == ["a", "b"]
    assert new[0].help == "MaximumAge: Days. Default: 30."


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--secret-id", "a"], {"SecretId": "a"}),
        (["--secret-ids", "a"], {"SecretId": "a"}),
        (["--secret-id", "a", "--secret-ids", "b"], {"SecretIds": ["a", "b"]}),
        (["--rotation-lambda", "f"], {"RotationLambdaARN": "f"}),
        (["--rotation-lambda-arn", "f"], {"RotationLambdaARN": "f"}),
        (["--role", "r"], {"RoleName": "r"}),
        (["--role-name", "r"], {"RoleName": "r"}),
        (["--vpc", "subnet-1,subnet-2"], {"VpcConfig": {"SubnetIds": ["subnet-1", "subnet-2"]}}),
        (["--vpc-config-subnet-ids", "none"], {"VpcConfig": {"SubnetIds": []}}),
        (["--superuser-secret-id", "s"], {"SuperuserSecretId": "s"}),
        (["--target-arns", "arn:a,arn:b"], {"TargetArns": ["arn:a", "arn:b"]}),
        (["--policy-profile", "Documented"], {"PolicyProfile": "Documented"}),
        (["--access-check", "Off"], {"AccessCheck": "Off"}),
        ([], {}),
    ],
)
def test_an_option_sets_its_property(arguments: list[str], expected: dict[str, Any]) -> None:
    assert properties(*arguments) == expected


def test_the_name_of_an_option_is_derived_from_its_property() -> None:
    assert option_name("RotationLambdaARN") == "--rotation-lambda-arn"
    assert option_name("VpcConfig.Ipv6AllowedForDualStack") == "--vpc-config-ipv6-allowed-for-dual-stack"


def test_the_help_lists_the_options_in_sections(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["preview", "--help"]) == 0
    out = capsys.readouterr().out
    of_properties, of_template = out.split("Properties of one resource:")[1].split("Resources of a template:")
    for option in property_options():
        assert f"  {', '.join(option.opts)} " in of_properties
    assert "  --policy-name NAME" in of_properties
    assert "  --template FILE" in of_template.split("Options:")[0]
    assert "  --json " in of_template.split("Options:")[1]
