"""The JSON Schema of the properties: the generated file, and its agreement with the validation in the handler."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rotation_role_policy.errors import RequestError
from rotation_role_policy.rules.properties import PROPERTIES, Property, parse_properties
from rotation_role_policy_cli import main, schema
from tests import ROOT
from tests.model.test_bad_input import DAMAGED_PROPERTIES, JSON, TEXT
from tests.unit.rules.test_properties import INVALID_PROPERTIES

VALIDATOR = jsonschema.Draft7Validator(schema.schema())
MANY = settings(max_examples=8 * settings().max_examples)
"""More examples than usual, because each example is cheap."""


def is_valid_in_schema(properties: Any) -> bool:
    """Return whether the schema accepts the properties with a ServiceToken.

    The schema requires a ServiceToken. The handler does not, because CloudFormation calls no handler without one.
    """
    with_token = {"ServiceToken": "arn"} | properties if isinstance(properties, dict) else properties
    return bool(VALIDATOR.is_valid(with_token))


def is_valid_in_handler(properties: Any) -> bool:
    """Return whether the handler accepts the properties."""
    try:
        parse_properties(properties)
    except RequestError:
        return False
    return True


# --- the file --------------------------------------------------------------------------------------------------------


def test_the_command_prints_the_schema_that_is_generated_from_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["schema"]) == 0
    assert capsys.readouterr().out == schema.text() == schema.FILE.read_text()


def test_the_schema_is_valid_and_describes_every_property() -> None:
    jsonschema.Draft7Validator.check_schema(schema.schema())
    parsed_schema = json.loads(schema.text())
    assert parsed_schema["$schema"] == VALIDATOR.META_SCHEMA["$schema"]
    assert not re.search(r"`|\]\(", schema.text()), "Markdown"
    for row in PROPERTIES:
        assert parsed_schema["properties"][row.name]["description"].startswith(re.split(r"[`\[]", row.description)[0])
        assert parsed_schema["properties"][row.name].get("default") == row.default
        for member in row.members:
            assert parsed_schema["properties"][row.name]["properties"][member.name]["description"] == member.description


def test_the_patterns_have_no_python_specific_syntax() -> None:
    patterns = re.findall(r'"pattern": (".*")', schema.text())
    assert len(patterns) == len([row for row in PROPERTIES if row.pattern or row.type == "Integer"])
    for pattern in map(json.loads, patterns):
        assert pattern.startswith("^(")
        assert pattern.endswith(r")$(?!\n)")
        # These are specific to Python: named groups and inline flags, \A and \Z, possessive quantifiers.
        assert not re.search(r"\(\?|\\[A-Za-z]|[*+?}]\+", pattern.removesuffix(r"$(?!\n)"))


def test_the_schema_requires_the_service_token_and_the_handler_does_not() -> None:
    properties = {"SecretId": "db"}
    assert is_valid_in_handler(properties)
    assert not VALIDATOR.is_valid(properties)
    assert VALIDATOR.is_valid(properties | {"ServiceToken": "arn"})


# --- agreement -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("properties", [properties for properties, _ in INVALID_PROPERTIES])
def test_the_schema_rejects_properties_that_the_handler_rejects(properties: Any) -> None:
    assert not is_valid_in_schema(properties)


@pytest.mark.parametrize("path", sorted((ROOT / "events").glob("*.json")), ids=lambda path: path.stem)
def test_schema_and_handler_agree_on_the_properties_of_the_events(path: Path) -> None:
    event = json.loads(path.read_text())
    for name in ("ResourceProperties", "OldResourceProperties"):
        if name in event:
            assert is_valid_in_schema(event[name]) == is_valid_in_handler(event[name])
            assert is_valid_in_schema(event[name]) or path.stem in ("delete-failed-create", "create-wrong-role")


def well_formed(row: Property) -> st.SearchStrategy[Any]:
    """Generate values of a row that the schema and the handler accept."""
    if row.type == "List of String":
        return st.lists(_text(row), min_size=row.minimum, max_size=3)
    if row.type == "Integer":
        number = st.integers(row.minimum, row.maximum)
        padded = st.tuples(number, st.integers(1, 9)).map(lambda both: f"{both[0]:0{both[1]}}")
        return number | number.map(float) | number.map(str) | number.map(lambda integer: f"{integer}.0") | padded
    if row.type == "Boolean":
        return st.sampled_from([True, False, "true", "false"])
    if row.type == "Object":
        members = {member.name: well_formed(member) for member in row.members}
        return st.fixed_dictionaries({}, optional=members) if members else st.dictionaries(TEXT, JSON, max_size=2)
    return _text(row)


def _text(row: Property) -> st.SearchStrategy[str]:
    if row.allowed_values:
        return st.sampled_from(row.allowed_values)
    if row.pattern:
        return st.from_regex(row.pattern, fullmatch=True)
    return st.text(min_size=1, max_size=3)


def almost(value: Any) -> st.SearchStrategy[Any]:
    """Generate values that differ slightly from this value: in a character, in the type, or in one member."""
    if isinstance(value, str) and value:
        places = st.integers(0, len(value))
        odd = st.sampled_from(["\n", "*", " ", "/", ":", "$", "-", ".", ".0", "0", "ü", "\u0661"])
        return st.one_of(
            st.tuples(places, odd).map(lambda both: value[: both[0]] + both[1] + value[both[0] :]),
            places.map(lambda place: value[:place] + value[place + 1 :]),
            st.sampled_from([[value], {"Ref": value}, value.lower(), value + "\n", value * 60]),
        )
    if isinstance(value, list):
        damaged = almost(value[0]).map(lambda item: [*value[1:], item]) if value else st.just([""])
        return damaged | st.sampled_from([[], [*value, None], ",".join(map(str, value))])
    if isinstance(value, dict):
        return st.dictionaries(TEXT | st.just("Subnets"), JSON, max_size=1).map(lambda members: value | members)
    if isinstance(value, bool):
        return st.sampled_from([int(value), float(value), str(value), None])
    if isinstance(value, int | float):
        return st.sampled_from([value + 0.5, -value, value + 61, str(-value), f"{value}.", f"{value}0", bool(value)])
    return JSON


def make_valid(properties: dict[str, Any]) -> None:
    """Remove from generated properties what others exclude, or what lacks a required one."""
    properties.pop("VpcConfig" if "RoleName" not in properties else "RotationLambdaARN", None)
    if "VpcConfig" not in properties:
        properties.pop("KmsKeyArn", None)
    if properties.get("KmsScope") == "Secret":
        properties.pop("PolicyProfile", None)


BY_NAME = {row.name: row for row in PROPERTIES}
WELL_FORMED_VALUES = st.fixed_dictionaries({}, optional={name: well_formed(row) for name, row in BY_NAME.items()})


@st.composite
def _properties(draw: st.DrawFn) -> dict[str, Any]:
    """Generate properties with valid values. Some have an invalid combination or one almost valid value."""
    properties: dict[str, Any] = draw(WELL_FORMED_VALUES)
    if draw(st.booleans()):
        secret = draw(st.sampled_from(["SecretId", "SecretIds"]))
        properties = {name: value for name, value in properties.items() if not name.startswith("SecretId")}
        properties[secret] = draw(well_formed(BY_NAME[secret]))
        make_valid(properties)
    if draw(st.booleans()) and properties:
        name = draw(st.sampled_from(sorted(properties)))
        properties[name] = draw(almost(properties[name]))
    return properties


@MANY
@given(_properties())
@example({"SecretId": "db", "PropagationDelay": 10.0})
@example({"SecretId": "db", "PropagationDelay": "-0.0"})
@example({"SecretId": "db", "PropagationDelay": "0000000060.0"})
@example({"SecretId": "db\n"})
@example({"SecretIds": ["db"], "RoleName": "r", "VpcConfig": {"Ipv6AllowedForDualStack": 1}})
@example({"SecretIds": ["db"] * 100})
@example({"SecretIds": ["db"] * 101})
@example({"SecretId": "db", "KmsScope": "Secret", "PolicyProfile": "Documented"})
@example({"SecretId": "db", "KmsScope": "Secret", "PolicyProfile": "Strict"})
@example({"SecretId": "db", "RoleName": "r", "KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/1"})
def test_schema_and_handler_agree_on_valid_and_almost_valid_properties(properties: dict[str, Any]) -> None:
    assert is_valid_in_schema(properties) == is_valid_in_handler(properties)


@MANY
@given(DAMAGED_PROPERTIES | JSON)
def test_schema_and_handler_agree_on_damaged_properties(properties: Any) -> None:
    assert is_valid_in_schema(properties) == is_valid_in_handler(properties)


def test_the_generated_properties_include_valid_and_invalid_ones() -> None:
    """Otherwise, the tests of agreement could pass with invalid properties only."""
    are_valid = []

    @settings(max_examples=200)
    @given(_properties())
    def count(properties: dict[str, Any]) -> None:
        are_valid.append(is_valid_in_handler(properties))

    count()
    assert 0.15 < sum(are_valid) / len(are_valid) < 0.85


@pytest.mark.parametrize("number", range(-1, 62))
def test_schema_and_handler_agree_on_every_form_of_a_propagation_delay(number: int) -> None:
    for form in (number, float(number), str(number), f"{number}.0", f"{number:09}", f"{number:010}", f"{number}.", ""):
        properties = {"SecretId": "db", "PropagationDelay": form}
        assert is_valid_in_schema(properties) == is_valid_in_handler(properties), form
