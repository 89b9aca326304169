"""The calls that resource policies decide about, and a second opinion on what is called certain."""

import dataclasses
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rotation_role_policy.iam.document import Policy, PolicyKind, PolicyName
from rotation_role_policy.iam.resource_policies import CallingRole, decide
from rotation_role_policy.rules.resource_policy_calls import resource_policy_calls, with_certain_context
from rotation_role_policy.rules.state import EnvironmentKey, Role, Secret
from tests.support.iam import decision_with_resource_policy
from tests.unit.rules.test_policy import EARLIER_KEY, KEY, SECOND, SECRET, SUPERUSER, SUPERUSER_KEY, state

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/rotation-role"
SECRET_ARN, VERSION_ID = "kms:EncryptionContext:SecretARN", "kms:EncryptionContext:SecretVersionId"


def policy_of(resource: str, *statements: dict[str, Any]) -> Policy:
    return Policy(PolicyName(PolicyKind.KEY, resource), {"Version": "2012-10-17", "Statement": list(statements)})


def test_the_actions_on_one_resource_are_together() -> None:
    inspected = state(
        Secret(SECRET, KEY, earlier_key_arns=(EARLIER_KEY,)),
        Secret(SECOND, KEY),
        superuser=Secret(SUPERUSER, KEY, managed_by="rds"),
    )
    found = {
        resource: [(each.context.get(SECRET_ARN), [name.partition(":")[2] for name in each.actions]) for each in calls]
        for resource, calls in resource_policy_calls(inspected).items()
    }
    rotate = ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"]
    use = ["Decrypt", "GenerateDataKey"]
    assert found == {
        SECRET: [(None, rotate)],
        SECOND: [(None, rotate)],
        KEY: [(SECRET, use), (SECOND, use), (SUPERUSER, ["Decrypt"])],
        EARLIER_KEY: [(SECRET, ["Decrypt"])],
        SUPERUSER: [(None, ["GetSecretValue", "DescribeSecret"])],
    }


def test_a_secret_that_is_rotated_and_the_superuser_secret_counts_once() -> None:
    inspected = state(Secret(SECRET, KEY), superuser=Secret(SECRET, KEY))
    assert {resource: len(calls) for resource, calls in resource_policy_calls(inspected).items()} == {SECRET: 1, KEY: 1}


def test_only_keys_of_the_account_of_the_role_that_encrypt_secrets_count() -> None:
    inspected = state(Secret(SECRET, SUPERUSER_KEY))
    inspected = dataclasses.replace(inspected, environment_key=EnvironmentKey(KEY), target_arns=(), in_vpc=True)
    assert list(resource_policy_calls(inspected)) == [SECRET]
    of_other = dataclasses.replace(inspected, role=Role("rotation-role", ROLE.replace(ACCOUNT, "999999999999")))
    assert list(resource_policy_calls(of_other)) == [SECRET, SUPERUSER_KEY]


def test_only_certain_context_keys_are_known() -> None:
    inspected = state(Secret(SECRET, KEY, (("team", "orders"), ("Env", "a"), ("env", "b"))))
    calls = resource_policy_calls(inspected)
    used = ("aws:ResourceTag/Owner", "secretsmanager:ResourceTag/Team", "aws:ResourceTag/ENV", "kms:ViaService")
    encryption = ("kms:EncryptionContext:Other", VERSION_ID, SECRET_ARN)
    policy = policy_of(SECRET, {"Condition": {"Null": dict.fromkeys((*used, *encryption), "true")}})
    [on_secret] = with_certain_context(inspected, calls[SECRET][0], policy)
    common = {
        "aws:PrincipalAccount": ACCOUNT,
        "aws:PrincipalArn": ROLE,
        "aws:PrincipalIsAWSService": False,
        "aws:PrincipalType": "AssumedRole",
        "aws:RequestedRegion": "eu-central-1",
        "aws:ResourceAccount": ACCOUNT,
        "aws:SecureTransport": True,
    }
    assert on_secret.context == common | {
        "aws:ViaAWSService": False,
        "aws:ResourceTag/team": "orders",
        "secretsmanager:ResourceTag/team": "orders",
    }
    assert on_secret.absent_keys == {"aws:resourcetag/owner"}
    [on_key] = with_certain_context(inspected, calls[KEY][0], policy)
    assert on_key.context == common | {
        "aws:ViaAWSService": True,
        SECRET_ARN: SECRET,
        "kms:CallerAccount": ACCOUNT,
        "kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com",
    }
    assert on_key.absent_keys == {"kms:encryptioncontext:other"}


def test_in_a_partition_with_another_suffix_there_are_two_contexts() -> None:
    inspected = state(Secret(SECRET, KEY), dns_suffix="amazonaws.com.cn")
    [calls] = resource_policy_calls(inspected)[KEY]
    contexts = with_certain_context(inspected, calls, policy_of(KEY))
    assert [each.context["kms:ViaService"] for each in contexts] == [
        "secretsmanager.eu-central-1.amazonaws.com.cn",
        "secretsmanager.eu-central-1.amazonaws.com",
    ]


# --- a second opinion -------------------------------------------------------------------------------------------------

TAGS = (("team", "orders"),)
UNDER_KEY = state(Secret(SECRET, KEY, TAGS))
PRINCIPALS = st.sampled_from(
    [
        "*",
        {"AWS": "*"},
        {"AWS": ROLE},
        {"AWS": ACCOUNT},
        {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        {"AWS": f"arn:aws:iam::{ACCOUNT}:role/dba"},
        {"AWS": [ROLE.replace(ACCOUNT, "999999999999"), "arn:aws:iam::999999999999:root"]},
        {"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/rotation-role/rotate-db"},
        {"Service": "secretsmanager.amazonaws.com"},
        {"AWS": "AROAEXAMPLEDELETED"},
    ]
)
ACTIONS = st.sampled_from(
    ["*", "kms:*", "secretsmanager:*", "kms:Decrypt", "KMS:Generate*", "secretsmanager:GetSecretValue", "s3:*"]
)
OPERATORS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "", "", "ForAllValues:", "ForAnyValue:"]),
    st.sampled_from(["StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "ArnLike", "ArnNotLike"]),
    st.sampled_from(["", "", "IfExists"]),
)
VIA = "secretsmanager.eu-central-1.amazonaws.com"
VALUES: dict[str, list[str]] = {
    "aws:PrincipalArn": [ROLE, f"arn:aws:iam::{ACCOUNT}:role/*", f"arn:aws:iam::{ACCOUNT}:role/dba"],
    "aws:PrincipalAccount": [ACCOUNT, "999999999999"],
    "aws:PrincipalType": ["AssumedRole", "User"],
    "aws:SourceVpc": ["vpc-1", "vpc-*"],
    "aws:PrincipalOrgID": ["o-1", "o-2"],
    "aws:ResourceTag/team": ["orders", "billing", "*"],
    "aws:ResourceTag/owner": ["orders", "*"],
    "lambda:SourceFunctionArn": ["arn:aws:lambda:eu-central-1:123456789012:function:rotate-db"],
    "kms:CallerAccount": [ACCOUNT, "999999999999"],
    "kms:ViaService": [VIA, "ec2.eu-central-1.amazonaws.com", "secretsmanager.*"],
    SECRET_ARN: [SECRET, SECOND, "*"],
    VERSION_ID: ["11111111", "*"],
    "kms:EncryptionContext:Other": ["x", "*"],
}
"""By context key: values of conditions."""
UNKNOWN = ("aws:SourceVpc", "aws:PrincipalOrgID", "lambda:SourceFunctionArn", VERSION_ID)
"""The context keys whose values the real call may have or not."""


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for key in draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=2, unique=True)):
        values = draw(st.lists(st.sampled_from(VALUES[key]), min_size=1, max_size=2, unique=True))
        if draw(st.integers(0, 5)):
            found.setdefault(draw(OPERATORS), {})[key] = values
        else:
            found.setdefault("Null", {})[key] = draw(st.sampled_from(["true", "false"]))
    return found


STATEMENTS = st.fixed_dictionaries(
    {
        "Effect": st.sampled_from(["Allow", "Deny"]),
        "Principal": PRINCIPALS,
        "Action": ACTIONS,
        "Resource": st.sampled_from(["*", "*", KEY, SECRET, SECOND]),
        "Condition": conditions(),
    }
)


@settings(max_examples=1500, deadline=None)
@given(
    st.lists(STATEMENTS, min_size=1, max_size=3),
    st.fixed_dictionaries({}, optional={key: st.sampled_from(VALUES[key]) for key in UNKNOWN}),
)
def test_no_certain_refusal_is_a_call_that_an_independent_evaluator_allows(
    statements: list[dict[str, Any]], unknown: dict[str, str]
) -> None:
    document = {"Version": "2012-10-17", "Statement": statements}
    role = CallingRole(ROLE, has_boundary=None, unique_id="")
    for resource, [calls] in resource_policy_calls(UNDER_KEY).items():
        is_key = resource == KEY
        policy = Policy(PolicyName(PolicyKind.KEY, resource), document)
        [known] = with_certain_context(UNDER_KEY, calls, policy)
        context = {**known.context, **{key: value for key, value in unknown.items() if is_key or key != VERSION_ID}}
        for found in decide(policy, role, known, account_delegates=True):
            other = decision_with_resource_policy(document, found.action, resource, context)
            if found.denied_by:
                assert other == "Deny"
            elif is_key and found.is_allowed is False:
                assert other != "Allow"
            # The other way around, what is fine is allowed.
            elif not found.open_denials and (found.is_allowed or not is_key):
                assert other == "Allow"
