"""The rules with random properties and templates: the rules agree with the provider, and never crash."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cfnlint.template import Template
from hypothesis import given, settings
from hypothesis import strategies as st

from rotation_role_policy.errors import RequestError
from rotation_role_policy.rules.properties import EXACTLY_ONE_OF, PROPERTIES, parse_properties
from rotation_role_policy_cli import lint
from tests import ROOT
from tests.lint.findings import errors, findings
from tests.unit.cli.test_schema import make_valid, well_formed

MANY = settings(max_examples=2 * settings().max_examples)

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-100, 100) | st.text(max_size=5) | st.sampled_from(["db", "a*", "61"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FUNCTIONS: list[Any] = [
    {"Ref": "Text"},
    {"Ref": "AWS::StackName"},
    {"Fn::Base64": "x"},
    {"Fn::Cidr": ["10.0.0.0/16", 2, 8]},
    {"Fn::FindInMap": ["Map", "a", "b"]},
    {"Fn::GetAtt": ["Secret", "Id"]},
    {"Fn::GetAtt": "Secret.Id"},
    {"Fn::GetAZs": ""},
    {"Fn::If": ["IsProd", {"Ref": "Text"}, {"Ref": "AWS::StackName"}]},
    {"Fn::ImportValue": {"Fn::Sub": "${Stage}-x"}},
    {"Fn::Join": ["*", ["a", "?"]]},
    {"Fn::Length": [1, 2]},
    {"Fn::Select": [0, {"Fn::GetAZs": ""}]},
    {"Fn::Split": [",", "a*,b"]},
    {"Fn::Sub": ["${x}*", {"x": "y"}]},
    {"Fn::ToJsonString": {"a": 1}},
    {"Fn::Transform": {"Name": "AWS::Include", "Parameters": {"Location": "s3://x/y"}}},
    "{{resolve:ssm:/a/name with blanks}}",
]
TEMPLATE: dict[str, Any] = {
    "Parameters": {"Stage": {"Type": "String", "AllowedValues": ["test", "prod"]}, "Text": {"Type": "String"}},
    "Conditions": {
        "IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
        "IsNot": {"Fn::Not": [{"Condition": "IsProd"}]},
    },
    "Resources": {"Secret": {"Type": "AWS::SecretsManager::Secret"}},
}


def with_policy(properties: Any) -> Any:
    template = copy.deepcopy(TEMPLATE)
    template["Resources"]["Policy"] = {"Type": "Custom::RotationRolePolicy", "Properties": properties}
    return template


def as_sent(value: Any) -> Any:
    """Return the properties of a template as CloudFormation sends them: every scalar is a string."""
    if isinstance(value, dict):
        return {name: as_sent(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return list(map(as_sent, value))
    return str(value).lower() if isinstance(value, bool) else value if value is None else str(value)


@pytest.mark.parametrize("function", FUNCTIONS, ids=json.dumps)
def test_an_intrinsic_function_as_the_value_of_a_property_is_no_error(function: Any) -> None:
    for row in PROPERTIES:
        other_properties: dict[str, Any] = {"RoleName": "r"} if row.name in ("VpcConfig", "KmsKeyArn") else {}
        other_properties |= {"VpcConfig": {}} if row.name == "KmsKeyArn" else {}
        other_properties |= {} if row.name in EXACTLY_ONE_OF else {"SecretId": "db"}
        values = [function, *([[row.example, function]] if row.type == "List of String" else [])]
        values += [{member.name: function} for member in row.members]
        for value in values:
            assert errors(with_policy(copy.deepcopy(other_properties | {row.name: value}))) == []


@st.composite
def properties_with_functions(draw: st.DrawFn) -> dict[str, Any]:
    """Draw properties that the provider accepts, with intrinsic functions as some of the values."""
    secret = draw(st.sampled_from(EXACTLY_ONE_OF))
    optional = {row.name: well_formed(row) for row in PROPERTIES if row.name not in EXACTLY_ONE_OF}
    properties: dict[str, Any] = draw(st.fixed_dictionaries({secret: well_formed(by_name(secret))}, optional=optional))
    make_valid(properties)
    for name, value in sorted(properties.items()):
        function = draw(st.sampled_from(FUNCTIONS))
        nested = {"Fn::If": ["IsProd", {"Fn::If": ["IsNot", function, value]}, value]}
        properties[name] = draw(
            st.sampled_from([value, value, function, {"Fn::If": ["IsProd", value, function]}, nested])
        )
    return properties


def by_name(name: str) -> Any:
    return next(row for row in PROPERTIES if row.name == name)


@MANY
@given(properties_with_functions())
def test_valid_properties_with_functions_are_no_error(properties: dict[str, Any]) -> None:
    assert errors(with_policy(copy.deepcopy(properties))) == []


@MANY
@given(st.dictionaries(st.sampled_from([row.name for row in PROPERTIES]) | st.text(max_size=5), JSON, max_size=3))
def test_the_rules_agree_with_the_provider_on_literal_properties(properties: dict[str, Any]) -> None:
    try:
        parse_properties(as_sent(properties))
    except RequestError as error:
        rejected_property = str(error).split(" ", 1)[0]
        assert any(rejected_property in finding for finding in findings(with_policy(properties)))
    else:
        assert errors(with_policy(properties)) == []


@pytest.mark.parametrize("path", sorted((ROOT / "events").glob("*.json")), ids=lambda path: path.stem)
def test_the_rules_agree_with_the_provider_on_the_properties_of_the_events(path: Path) -> None:
    properties = json.loads(path.read_text())["ResourceProperties"]
    try:
        parse_properties(properties)
    except RequestError as error:
        assert any(str(error) in finding for finding in findings(with_policy(properties)))
    else:
        assert errors(with_policy(properties)) == []


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of a value and of all values in it."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        yield from paths(part, (*path, name))


def replace_at(value: Any, path: tuple[Any, ...], replacement: Any) -> Any:
    """Return a copy of the value in which `replacement` is at the path."""
    if not path:
        return replacement
    copied: Any = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = replace_at(value[path[0]], path[1:], replacement)
    return copied


def assert_no_crash(template: Any) -> None:
    """Run the rules. Nothing is checked if cfn-lint itself cannot read the template."""
    try:
        cfn = Template("template.yaml", copy.deepcopy(template), ["eu-central-1"])
        cfn.transform()
    except Exception:  # cfn-lint documents no exception type
        return
    for rule in lint.RULES:
        list(rule().matchall("template.yaml", cfn))


# A template with elements for every rule.
FULL_TEMPLATE = json.loads((Path(__file__).parent / "templates" / "good" / "every_rule.json").read_text())
PATHS = list(paths(FULL_TEMPLATE))[1:]
INVALID_IFS: list[Any] = [[], ["IsProd", 1], [[], [], []], {}, ["Nowhere", 1, 2]]
INVALID_GETATTS: list[Any] = ["", ".", "Policy", [], ["Policy"], ["Policy", {}], {}, [[], []], 7]
INVALID_SUBS: list[Any] = ["${", "${}", "${Policy.}", [], [1, 2], ["${a}"], ["${a}", []], {}, [[]]]
INVALID_VALUES: list[Any] = [
    *(None, 7, "", "x", [], [None], {}, {"Ref": []}, {"Ref": "Role"}, {"Fn::If": ["IsProd", [], {}]}),
    *({"Fn::If": value} for value in INVALID_IFS),
    *({"Fn::GetAtt": value} for value in INVALID_GETATTS),
    *({"Fn::Sub": value} for value in INVALID_SUBS),
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_no_rule_crashes_on_a_template_with_an_invalid_value(path: tuple[Any, ...]) -> None:
    for invalid_value in INVALID_VALUES:
        assert_no_crash(replace_at(FULL_TEMPLATE, path, invalid_value))


@MANY
@given(st.lists(st.tuples(st.sampled_from(PATHS), JSON | st.sampled_from(INVALID_VALUES)), min_size=1, max_size=3))
def test_no_rule_crashes_on_a_template_with_several_invalid_values(
    replacements: list[tuple[tuple[Any, ...], Any]],
) -> None:
    template = FULL_TEMPLATE
    # Replace the longest paths first, so that every path still exists.
    for path, invalid_value in sorted(replacements, key=lambda pair: -len(pair[0])):
        try:
            template = replace_at(template, path, invalid_value)
        except (KeyError, IndexError, TypeError):
            continue
    assert_no_crash(template)
