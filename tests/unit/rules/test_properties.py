"""Validation of the properties, and its error messages."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotation_role_policy.errors import RequestError, quoted_text
from rotation_role_policy.rules.properties import EXACTLY_ONE_OF, PROPERTIES, RESOURCE_TYPE, Property, parse_properties

SECRET_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/db-AbCdEf"


def test_optional_properties_have_the_defaults_of_the_contract() -> None:
    declared = parse_properties({"ServiceToken": "arn:aws:lambda:x", "ServiceTimeout": "600", "SecretId": "prod/db"})
    assert declared.secret_ids == ("prod/db",)
    assert declared.rotation_lambda_arn is None
    assert declared.role_name is None
    assert declared.subnet_ids is None
    assert declared.superuser_secret_id is None
    assert declared.target_arns == ()
    assert declared.policy_profile == "Strict"
    assert declared.access_check == "Enforce"
    assert declared.propagation_delay == 10


@pytest.mark.parametrize(("value", "expected"), [("0", 0), ("60", 60), (7, 7), (7.0, 7), ("60.0", 60)])
def test_an_integer_can_be_a_string_and_can_have_a_zero_fraction(value: Any, expected: int) -> None:
    assert parse_properties({"SecretId": "db", "PropagationDelay": value}).propagation_delay == expected


@pytest.mark.parametrize(
    "secret_id",
    [
        SECRET_ARN,
        SECRET_ARN.rpartition("-")[0],
        "prod/db",
        "rds!db-1111",
        "a" * 512,
        SECRET_ARN.replace("aws", "aws-cn", 1),
    ],
)
def test_a_secret_can_be_a_full_arn_a_partial_arn_or_a_name(secret_id: str) -> None:
    assert parse_properties({"SecretId": secret_id}).secret_ids == (secret_id,)
    assert parse_properties({"SecretIds": ["other", secret_id]}).secret_ids == ("other", secret_id)
    assert parse_properties({"SecretId": "db", "SuperuserSecretId": secret_id}).superuser_secret_id == secret_id


TARGETS = [
    "arn:aws:rds:eu-central-1:123456789012:db:prod-replica",
    "arn:aws:rds:eu-central-1:123456789012:cluster:prod",
    "arn:aws:redshift:eu-central-1:123456789012:cluster:warehouse",
    "arn:aws:redshift-serverless:eu-central-1:123456789012:namespace/12345678-1234-1234-1234-123456789012",
    "arn:aws-cn:elasticache:cn-north-1:123456789012:user:cache-user",
    "arn:aws:timestream-influxdb:eu-central-1:123456789012:db-instance/abcdefghij",
    "arn:aws:ds:eu-central-1:123456789012:directory/d-0123456789",
]


def test_the_targets_can_be_of_each_type() -> None:
    assert parse_properties({"SecretId": "db", "TargetArns": TARGETS}).target_arns == tuple(TARGETS)


@pytest.mark.parametrize(
    "target",
    [
        "prod",
        "*",
        "arn:aws:rds:eu-central-1:123456789012:db:*",
        "arn:aws:rds:eu-central-1:123456789012:db:prod?",
        "arn:aws:rds:*:123456789012:db:prod",
        "arn:aws:rds:eu-central-1:123456789012:snapshot:prod",
        "arn:aws:rds:eu-central-1::db:prod",
        "arn:aws:ds:eu-central-1:123456789012:directory/*",
        "arn:aws:docdb-elastic:eu-central-1:123456789012:cluster/prod",
        "arn:aws:redshift-serverless:eu-central-1:123456789012:workgroup/prod",
        TARGETS[0] + "\n",
        SECRET_ARN,
    ],
)
def test_any_other_target_is_rejected_with_the_types_of_targets(target: str) -> None:
    with pytest.raises(RequestError) as rejected:
        parse_properties({"SecretId": "db", "TargetArns": [TARGETS[0], target]})
    assert str(rejected.value) == (
        f"TargetArns[1] {quoted_text(target)} has the wrong form. Give the full ARN, without wildcards, of an RDS DB"
        " instance, an RDS or Aurora cluster, a Redshift cluster, a Redshift Serverless namespace, an ElastiCache user,"
        " a Timestream for InfluxDB instance or a directory."
    )


@pytest.mark.parametrize(("name", "value"), [("SecretId", "db"), ("SecretIds", ["db"])])
def test_secret_property_is_the_name_of_the_given_property(name: str, value: Any) -> None:
    assert parse_properties({name: value}).secret_property == name


@pytest.mark.parametrize(
    "function",
    [
        "rotate-db",
        "rotate-db:live",
        "123456789012:function:rotate-db",
        "arn:aws:lambda:eu-central-1:123456789012:function:rotate-db",
        "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:rotate-db:7",
        "arn:aws:lambda:eu-central-1:123456789012:function:rotate-db:$LATEST",
    ],
)
def test_a_function_can_be_a_name_or_an_arn_with_a_version_or_alias(function: str) -> None:
    assert parse_properties({"SecretId": "db", "RotationLambdaARN": function}).rotation_lambda_arn == function


@pytest.mark.parametrize(
    "role", ["role", "arn:aws:iam::123456789012:role/role", "arn:aws:iam::123456789012:role/a/b/role"]
)
def test_a_role_can_be_a_name_or_an_arn_with_a_path(role: str) -> None:
    assert parse_properties({"SecretId": "db", "RoleName": role}).role_name == role


def test_a_role_with_a_long_path_and_an_invalid_name_is_rejected_quickly() -> None:
    # A pattern with exponential backtracking would never end.
    role = f"arn:aws:iam::123456789012:role/{'a/' * 240}?"
    with pytest.raises(RequestError, match="Give a role's name"):
        parse_properties({"SecretId": "db", "RoleName": role})


@pytest.mark.parametrize(
    ("vpc_config", "subnets"),
    [
        ({}, ()),
        ({"SubnetIds": []}, ()),
        ({"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}, ("subnet-1", "subnet-2")),
        ({"SubnetIds": ["subnet-1"], "Ipv6AllowedForDualStack": "true"}, ("subnet-1",)),
        ({"SubnetIds": ["subnet-1"], "Ipv6AllowedForDualStack": "false"}, ("subnet-1",)),
        ({"SubnetIds": ["subnet-1"], "Ipv6AllowedForDualStack": False}, ("subnet-1",)),
    ],
)
def test_vpc_config_has_the_members_of_a_lambda_function(vpc_config: Any, subnets: tuple[str, ...]) -> None:
    assert parse_properties({"SecretId": "db", "RoleName": "role", "VpcConfig": vpc_config}).subnet_ids == subnets


DB: dict[str, Any] = {"SecretId": "db"}
INVALID_PROPERTIES: list[tuple[Any, str]] = [
    # Properties, and words that the error message must have.
    ([], "ResourceProperties is not an object"),
    ({}, "Exactly one of SecretId and SecretIds is required, but neither is given."),
    (DB | {"TargetArns": []}, "TargetArns is an empty list. Give at least 1."),
    (DB | {"TargetArns": TARGETS[0]}, "is not a list. Give a list of strings."),
    ({"SecretId": "a", "SecretIds": ["b"]}, "Exactly one of SecretId and SecretIds is required, but both are given."),
    (DB | {"SecretID": "x"}, "SecretID is not a property. Did you mean SecretId?"),
    (DB | {"rotationlambdaarn": "x"}, "Did you mean RotationLambdaARN?"),
    (DB | {"RotationLambdaArn": "x"}, "Did you mean RotationLambdaARN?"),
    (DB | {"Role": "x"}, "Role is not a property. Did you mean RoleName?"),
    (DB | {"KmsKeyId": "x"}, "KmsKeyId is not a property. Did you mean "),
    (DB | {"": "x"}, " is not a property. Did you mean "),
    (
        DB | {"RoleName": "r", "VpcConfig": {"Subnets": []}},
        "VpcConfig.Subnets is not a property. Did you mean VpcConfig.S",
    ),
    ({"SecretId": ""}, "SecretId is empty. Give a value, or omit the property (AWS::NoValue)."),
    ({"SecretId": 7}, "SecretId 7 is not a string."),
    ({"SecretId": None}, "SecretId null is not a string."),
    ({"SecretId": ["db"]}, 'SecretId ["db"] is not a string.'),
    ({"SecretId": "*"}, 'SecretId "*" has the wrong form. Give a secret\'s full ARN, partial ARN or name'),
    ({"SecretId": "prod/*"}, "without wildcards"),
    ({"SecretId": "arn:aws:s3:::bucket"}, "has the wrong form"),
    ({"SecretId": "db\n"}, "has the wrong form"),
    ({"SecretIds": []}, "SecretIds is an empty list. Give at least 1."),
    ({"SecretIds": "a,b"}, 'SecretIds "a,b" is not a list. Give a list of strings.'),
    ({"SecretIds": ["a", "b*"]}, 'SecretIds[1] "b*" has the wrong form. Give a secret\'s full ARN'),
    (DB | {"SuperuserSecretId": "a?"}, 'SuperuserSecretId "a?" has the wrong form. Give a secret\'s full ARN'),
    (DB | {"RotationLambdaARN": "a b"}, "Give a function's name, its ARN, or its ARN with a version or alias."),
    (DB | {"RotationLambdaARN": "arn:aws:lambda:eu-central-1:123456789012:function:*"}, "has the wrong form"),
    (DB | {"RoleName": "service-role/role"}, "Give a role's name (without its path) or its ARN."),
    (DB | {"RoleName": "*"}, "has the wrong form"),
    (DB | {"PolicyProfile": "strict"}, 'PolicyProfile "strict" is not an allowed value. Use Strict or Documented.'),
    (DB | {"AccessCheck": "false"}, 'AccessCheck "false" is not an allowed value. Use Enforce or Off.'),
    (DB | {"AccessCheck": False}, "AccessCheck false is not a string."),
    (DB | {"PropagationDelay": "61"}, 'PropagationDelay "61" is not a whole number from 0 to 60.'),
    (DB | {"PropagationDelay": 61}, "PropagationDelay 61 is not a whole number from 0 to 60."),
    (DB | {"PropagationDelay": -1}, "PropagationDelay -1 is not a whole number"),
    (DB | {"PropagationDelay": "-1"}, "is not a whole number"),
    (DB | {"PropagationDelay": "1.5"}, "is not a whole number"),
    (DB | {"PropagationDelay": 1.5}, "is not a whole number"),
    (DB | {"PropagationDelay": 61.0}, "PropagationDelay 61.0 is not a whole number from 0 to 60."),
    (DB | {"PropagationDelay": "10.01"}, "is not a whole number"),
    (DB | {"PropagationDelay": "10."}, "is not a whole number"),
    (DB | {"PropagationDelay": "10.0\n"}, "is not a whole number"),
    (DB | {"PropagationDelay": float("inf")}, "is not a whole number"),
    (DB | {"PropagationDelay": float("nan")}, "is not a whole number"),
    (DB | {"PropagationDelay": True}, "is not a whole number"),
    (DB | {"PropagationDelay": ""}, "is not a whole number"),
    (DB | {"PropagationDelay": "1" * 5000}, "is not a whole number"),
    (DB | {"Triggers": "key"}, 'Triggers "key" is not an object.'),
    (DB | {"VpcConfig": {}}, "VpcConfig requires RoleName"),
    (DB | {"VpcConfig": "x", "RoleName": "r"}, 'VpcConfig "x" is not an object.'),
    (DB | {"VpcConfig": {"SubnetIds": "subnet-1"}, "RoleName": "r"}, 'VpcConfig.SubnetIds "subnet-1" is not a list.'),
    (DB | {"VpcConfig": {"SubnetIds": [""]}, "RoleName": "r"}, "VpcConfig.SubnetIds[0] is empty."),
    (
        DB | {"VpcConfig": {"Ipv6AllowedForDualStack": "yes"}, "RoleName": "r"},
        'VpcConfig.Ipv6AllowedForDualStack "yes" is neither true nor false.',
    ),
    (
        DB | {"VpcConfig": {}, "RoleName": "r", "RotationLambdaARN": "f"},
        "VpcConfig cannot be combined with RotationLambdaARN",
    ),
]


@pytest.mark.parametrize(("properties", "words"), INVALID_PROPERTIES)
def test_the_error_for_invalid_properties_has_name_value_and_remedy(properties: Any, words: str) -> None:
    with pytest.raises(RequestError) as rejected:
        parse_properties(properties)
    assert words in str(rejected.value)
    assert len(str(rejected.value)) <= 240


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ("db", "ResourceProperties is not an object. Give the properties of Custom::RotationRolePolicy."),
        (
            DB | {"VpcConfig": {}, "RoleName": "r", "RotationLambdaARN": "f"},
            "VpcConfig cannot be combined with RotationLambdaARN. Give RotationLambdaARN for a function that exists, or"
            " VpcConfig and RoleName for a function that does not exist yet.",
        ),
        (
            DB | {"VpcConfig": {}},
            "VpcConfig requires RoleName. Give RoleName, the role that the function will have, because the function"
            " does not exist yet.",
        ),
        (
            DB | {"KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:alias/x", "RoleName": "r"},
            "KmsKeyArn requires VpcConfig. Omit KmsKeyArn, because the provider reads the key from the function, or"
            " declare the function (VpcConfig).",
        ),
        (
            DB | {"KmsKeyArn": "alias/x", "VpcConfig": {}, "RoleName": "r"},
            'KmsKeyArn "alias/x" has the wrong form. Give the full ARN of a KMS key or of an alias.',
        ),
        (
            DB | {"KmsScope": "Secret", "PolicyProfile": "Documented"},
            "KmsScope Secret cannot be combined with PolicyProfile Documented. Use PolicyProfile Strict: only its"
            " conditions limit the KMS statements to the secrets.",
        ),
        (
            {"SecretIds": ["a"] * 101},
            "SecretIds has 101 values, more than 100. Distribute them over several functions with a role and a resource"
            " each.",
        ),
        (
            DB | {"AccessCheck": "false"},
            'AccessCheck "false" is not an allowed value. Use Enforce or Off. YAML reads On, Off, Yes and No as Boolean'
            " values unless they are in quotation marks.",
        ),
        (DB | {"AccessCheck": "no"}, 'AccessCheck "no" is not an allowed value. Use Enforce or Off.'),
    ],
)
def test_the_error_for_conflicting_properties_has_only_the_problem_and_the_remedy(properties: Any, reason: str) -> None:
    with pytest.raises(RequestError) as rejected:
        parse_properties(properties)
    assert str(rejected.value) == reason


def test_what_is_not_given_is_empty_and_100_values_are_not_too_many() -> None:
    assert RESOURCE_TYPE == "Custom::RotationRolePolicy"
    assert parse_properties(DB).kms_key_arn == ""
    assert parse_properties({"SecretIds": ["a"] * 100}).secret_ids == ("a",)
    assert parse_properties(DB | {"KmsScope": "Secret"}).form == ("Strict", "Secret")
    assert parse_properties(DB | {"PolicyProfile": "Documented"}).form == ("Documented", "Key")


@pytest.mark.parametrize("name", [row.name for row in PROPERTIES if row.type != "CloudFormation"])
@pytest.mark.parametrize("value", [None, 1.5, "x" * 5000 + "\x00", [{}], [[]], {"a": {"b": "c" * 5000}}, "ü", "\u202e"])
def test_the_error_for_any_invalid_value_is_short_and_printable_ascii(name: str, value: Any) -> None:
    try:
        parse_properties({"SecretId": "db", name: value})
    except RequestError as rejected:
        assert len(str(rejected)) <= 240
        assert name in str(rejected)
        assert str(rejected).isascii()
        assert str(rejected).isprintable()
    else:
        assert name == "Triggers"


@given(
    st.dictionaries(
        st.text() | st.sampled_from([row.name for row in PROPERTIES]), st.text() | st.none() | st.lists(st.text())
    )
)
def test_any_properties_are_parsed_or_rejected(properties: dict[str, Any]) -> None:
    try:
        declared = parse_properties(properties)
    except RequestError as rejected:
        assert len(str(rejected)) <= 240
    else:
        assert declared.secret_ids
        assert not any(set("*?$") & set(secret) for secret in declared.secret_ids)


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)))
def test_triggers_accept_any_value_and_do_not_change_the_parsed_properties(triggers: dict[str, Any]) -> None:
    assert parse_properties({"SecretId": "db", "Triggers": triggers}) == parse_properties({"SecretId": "db"})


# --- a new property: CONTRIBUTING.md, "Add a property" ---


VALID: dict[str, Any] = {"SecretId": "db"}


@pytest.mark.parametrize(
    "row",
    [row for row in PROPERTIES if row.type != "CloudFormation" and row.name != "Triggers"],
    ids=lambda row: row.name,
)
def test_each_property_reaches_the_parsed_properties(row: Property) -> None:
    required: dict[str, Any] = {"VpcConfig": {}, "RoleName": "x"} if row.name == "KmsKeyArn" else {}
    required |= {"RoleName": "x"} if row.name == "VpcConfig" else {}
    without = required | ({} if row.name in EXACTLY_ONE_OF else VALID)
    by_type: dict[str, Any] = {"Integer": 1, "Object": {}, "List of String": [row.example]}
    value = row.allowed_values[-1] if row.allowed_values else by_type.get(row.type, row.example)
    if row.name in EXACTLY_ONE_OF:
        assert parse_properties(without | {row.name: value}).secret_ids == ("x",)
    else:
        assert parse_properties(without | {row.name: value}) != parse_properties(without)
