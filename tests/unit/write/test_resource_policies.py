"""What the resource policies of secrets and keys block before the policy is written, and how many calls that costs."""

import dataclasses
import json
import time
from typing import Any

import pytest

from rotation_role_policy.errors import AwsApiError, ErrorCode, RequestError
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.state import EnvironmentKey, Secret, State
from rotation_role_policy.write.access_check import check_access
from rotation_role_policy.write.resource_policies import MAX_ATTEMPTS, check_resource_policies
from rotation_role_policy.write.resource_policy_results import DoubtKind, PolicyDoubt
from tests.support.account import Account, WatchedAws, error
from tests.unit.rules.test_policy import EARLIER_KEY, KEY, SECOND, SECRET, SUPERUSER, SUPERUSER_KEY, state

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/rotation-role"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/rotation-role/rotate-db"
DBA = f"arn:aws:iam::{ACCOUNT}:role/dba"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
OURS, DELETED = "AROAEXAMPLEOURS", "AROAEXAMPLEDELETED"

ROTATE = (
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
)
USE_KEY = ("kms:Decrypt", "kms:GenerateDataKey")
DELEGATES = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*"}

Statement = dict[str, Any]


class World:
    """The resource policies of an account. By default no secret has one, and the policies of the keys delegate."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.policies: dict[str, list[Statement]] = {}
        self.grants: list[dict[str, Any]] = []
        self.policy_names = ["default"]
        self.boundary: dict[str, str] = {}
        account.api_responses |= {
            "secretsmanager:GetResourcePolicy": self._secret,
            "kms:GetKeyPolicy": lambda parameters: {"Policy": self._document(parameters["KeyId"], [DELEGATES])},
            "kms:ListGrants": lambda _: {"Grants": self.grants, "Truncated": False},
            "kms:ListKeyPolicies": lambda _: {"PolicyNames": self.policy_names, "Truncated": False},
            "iam:GetRole": lambda _: {"Role": {"RoleId": OURS, "PermissionsBoundary": self.boundary}},
        }

    def _document(self, resource: str, default: list[Statement]) -> str:
        return json.dumps({"Version": "2012-10-17", "Statement": self.policies.get(resource, default)})

    def _secret(self, parameters: dict[str, Any]) -> dict[str, Any]:
        secret = parameters["SecretId"]
        return {"ResourcePolicy": self._document(secret, [])} if secret in self.policies else {}

    def check(self, inspected: State) -> list[PolicyDoubt]:
        """Return what the resource policies leave open."""
        self.account.calls.clear()
        return check_resource_policies(WatchedAws(self.account), inspected)

    def actions(self) -> list[str]:
        """Return the actions of the calls, without the service."""
        return [action.partition(":")[2] for action in self.account.actions()]


@pytest.fixture
def world(account: Account) -> World:
    return World(account)


def deny(**members: Any) -> Statement:
    return {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*", **members}


def allow_key(**members: Any) -> Statement:
    return {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "kms:*", "Resource": "*", **members}


def when(operator: str, key: str, *values: str) -> dict[str, Any]:
    return {"Condition": {operator: {key: list(values)}}}


UNDER_KEY = state(Secret(SECRET, KEY))
DENIED, OPEN, FINE = "denied", "open", "fine"


def outcome(world: World, inspected: State) -> str:
    """Return what the check finds: denied, open or fine."""
    try:
        doubts = world.check(inspected)
    except RequestError as refusal:
        assert refusal.error_code is ErrorCode.ACCESS_CHECK_FAILED
        return DENIED
    assert {doubt.kind for doubt in doubts} <= {DoubtKind.DENIAL_OPEN, DoubtKind.ALLOW_OPEN}
    return OPEN if doubts else FINE


# --- a Deny -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (deny(), DENIED),
        (deny(Principal={"AWS": "*"}), DENIED),
        (deny(Principal={"AWS": ROLE}), DENIED),
        (deny(Principal={"AWS": ACCOUNT}), DENIED),
        (deny(Principal={"AWS": ROOT}), DENIED),
        (deny(Principal={"AWS": DBA}), FINE),
        (deny(Principal={"AWS": ROLE.replace(ACCOUNT, "999999999999")}), FINE),
        (deny(Principal={"AWS": SESSION.replace(ACCOUNT, "999999999999")}), FINE),
        (deny(Principal={"AWS": SESSION}), OPEN),
        (deny(Principal={"Service": "secretsmanager.amazonaws.com"}), FINE),
        (deny(Principal={"AWS": DELETED}), FINE),
        (deny(Principal={"AWS": OURS}), DENIED),
        (deny(Action="kms:ScheduleKeyDeletion"), FINE),
        # The role is not excepted.
        (deny(**when("StringNotEquals", "aws:PrincipalArn", DBA)), DENIED),
        (deny(**when("ArnNotLike", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:role/dba*")), DENIED),
        (deny(**when("StringNotEquals", "aws:PrincipalArn", DBA, ROLE)), FINE),
        (deny(**when("ArnNotLike", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT}:role/rotation-*")), FINE),
        (deny(**when("StringNotEquals", "aws:PrincipalArn", "${aws:PrincipalArn}")), OPEN),
        (deny(**when("StringNotEqualsIfExists", "aws:PrincipalArn", DBA)), DENIED),
        (deny(**when("StringNotEquals", "aws:PrincipalAccount", "999999999999")), DENIED),
        (deny(**when("StringEquals", "aws:PrincipalType", "User")), FINE),
        (deny(**when("Bool", "aws:SecureTransport", "false")), FINE),
        (deny(**when("Bool", "aws:PrincipalIsAWSService", "false")), DENIED),
        (deny(**when("Null", "aws:PrincipalArn", "false")), DENIED),
        # What is not known.
        (deny(**when("NotIpAddress", "aws:SourceIp", "10.0.0.0/8")), OPEN),
        (deny(**when("StringNotEquals", "aws:SourceVpc", "vpc-1")), OPEN),
        (deny(**when("StringNotEqualsIfExists", "aws:SourceVpce", "vpce-1")), OPEN),
        (deny(**when("StringNotEquals", "aws:PrincipalOrgID", "o-1")), OPEN),
        (deny(**when("StringNotLike", "aws:userid", "AROAEXAMPLEDBA:*")), OPEN),
        (deny(**when("Null", "aws:PrincipalTag/team", "true")), OPEN),
        (deny(**when("ForAllValues:StringNotEquals", "aws:PrincipalArn", DBA)), DENIED),
        (deny(**when("ForAllValues:StringNotEquals", "aws:TagKeys", "team")), OPEN),
        (deny(**when("ForAnyValue:StringEquals", "aws:CalledVia", "x.amazonaws.com")), OPEN),
        (deny(**when("DateGreaterThan", "aws:CurrentTime", "2020-01-01T00:00:00Z")), OPEN),
        (deny(**when("StringNotEquals", "lambda:SourceFunctionArn", "arn:aws:lambda:eu-central-1:1:function:f")), OPEN),
        # One condition does not hold, so the others do not matter.
        (
            deny(Condition={"StringNotEquals": {"aws:SourceVpc": "vpc-1", "aws:PrincipalArn": ROLE}}),
            FINE,
        ),
        # One of several is not known.
        (deny(Condition={"StringNotEquals": {"aws:SourceVpc": "vpc-1", "aws:PrincipalArn": DBA}}), OPEN),
    ],
)
@pytest.mark.parametrize("resource", [SECRET, KEY])
def test_only_a_deny_that_certainly_applies_is_an_error(
    world: World, statement: Statement, expected: str, resource: str
) -> None:
    world.policies[resource] = [DELEGATES, statement]
    assert outcome(world, UNDER_KEY) == expected


@pytest.mark.parametrize(
    ("excepted", "without_boundary", "with_boundary"),
    [
        ({"AWS": DBA}, DENIED, DENIED),
        ({"AWS": [DBA, ROLE.replace(ACCOUNT, "999999999999")]}, DENIED, DENIED),
        ({"Service": "secretsmanager.amazonaws.com"}, DENIED, DENIED),
        ({"AWS": DELETED}, DENIED, DENIED),
        ({"AWS": ROLE}, OPEN, DENIED),
        ({"AWS": [ROLE, SESSION, ROOT]}, OPEN, DENIED),
        ({"AWS": SESSION}, OPEN, DENIED),
        ({"AWS": ROOT}, OPEN, DENIED),
        ({"AWS": ACCOUNT}, OPEN, DENIED),
        ({"AWS": OURS}, OPEN, DENIED),
    ],
)
@pytest.mark.parametrize("resource", [SECRET, KEY])
def test_a_deny_with_not_principal_depends_on_the_boundary_of_a_listed_role(
    world: World, excepted: Any, without_boundary: str, with_boundary: str, resource: str
) -> None:
    world.policies[resource] = [
        DELEGATES,
        {"Effect": "Deny", "NotPrincipal": excepted, "Action": "*", "Resource": "*"},
    ]
    assert outcome(world, UNDER_KEY) == without_boundary
    world.boundary = {"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary"}
    assert outcome(world, UNDER_KEY) == with_boundary


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Deny", "NotPrincipal": {"AWS": ROLE}, "Action": "*", "Resource": "*"},
        deny(Principal={"AWS": OURS}),
    ],
)
def test_the_role_is_described_once_and_only_if_a_statement_depends_on_it(world: World, statement: Statement) -> None:
    inspected = state(Secret(SECRET, KEY), Secret(SECOND, KEY))
    world.policies[SECRET] = [deny(Principal={"AWS": SESSION}), deny(**when("StringEquals", "aws:SourceVpc", "vpc-1"))]
    world.check(inspected)
    assert "GetRole" not in world.actions()
    # A statement for another action does not matter, and no Allow of a secret does.
    for other in ({"Action": "secretsmanager:DeleteSecret"}, {"Effect": "Allow"}):
        world.policies[SECRET] = [statement | other]
        assert world.check(inspected) == []
        assert "GetRole" not in world.actions()
    world.policies = {secret: [statement] for secret in (SECRET, SECOND)}
    outcome(world, inspected)
    assert world.actions().count("GetRole") == 1
    # If the role cannot be described, nothing is certain.
    world.account.faults["iam:GetRole"] = [error("AccessDenied")] * 9
    assert outcome(world, inspected) == OPEN
    assert world.actions().count("GetRole") == 1


def test_a_tag_that_the_secret_does_not_have_is_certainly_absent(world: World) -> None:
    tagged = state(Secret(SECRET, KEY, (("team", "orders"), ("Env", "prod"), ("env", "test"))))
    for key in ("aws:ResourceTag", "secretsmanager:ResourceTag"):
        for statement, expected in (
            (deny(**when("StringNotEquals", f"{key}/Team", "orders")), FINE),
            (deny(**when("StringNotEquals", f"{key}/team", "billing")), DENIED),
            (deny(**when("StringNotEquals", f"{key}/owner", "billing")), DENIED),
            (deny(**when("StringEquals", f"{key}/owner", "billing")), FINE),
            (deny(**when("StringEqualsIfExists", f"{key}/owner", "billing")), DENIED),
            (deny(**when("Null", f"{key}/owner", "true")), DENIED),
            (deny(**when("Null", f"{key}/owner", "false")), FINE),
            # Two tags of the secret differ only in case.
            (deny(**when("StringNotEquals", f"{key}/env", "prod")), OPEN),
        ):
            world.policies = {SECRET: [statement]}
            assert outcome(world, tagged) == expected, statement
            # The tags of a key are not known.
            world.policies = {KEY: [DELEGATES, statement]}
            assert outcome(world, tagged) == OPEN


def test_the_calls_of_secrets_manager_on_a_key_have_a_context_of_their_own(world: World) -> None:
    for statement, expected in (
        (deny(**when("StringNotEquals", "kms:CallerAccount", ACCOUNT)), FINE),
        (deny(**when("StringNotEquals", "kms:CallerAccount", "999999999999")), DENIED),
        (deny(**when("StringNotEquals", "kms:ViaService", "ec2.eu-central-1.amazonaws.com")), DENIED),
        (deny(**when("StringNotEquals", "kms:ViaService", "secretsmanager.eu-central-1.amazonaws.com")), FINE),
        (deny(**when("StringNotLike", "kms:ViaService", "secretsmanager.*")), FINE),
        (deny(**when("StringNotEquals", "kms:EncryptionContext:SecretARN", SECOND)), DENIED),
        (deny(**when("StringNotEquals", "kms:EncryptionContext:SecretARN", SECRET)), FINE),
        (deny(**when("Null", "kms:EncryptionContext:aws:lambda:FunctionArn", "true")), DENIED),
        # The version of the secret is sent, and a new one in each rotation.
        (deny(**when("Null", "kms:EncryptionContext:SecretVersionId", "false")), OPEN),
        # Without a condition on aws:ViaAWSService, a condition on the network is about Secrets Manager's own.
        (
            deny(Condition={"Bool": {"aws:ViaAWSService": "false"}, "NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
            FINE,
        ),
    ):
        world.policies[KEY] = [DELEGATES, statement]
        assert outcome(world, UNDER_KEY) == expected, statement
    # The calls on the secret are the function's own.
    world.policies = {SECRET: [deny(**when("Bool", "aws:ViaAWSService", "true"))]}
    assert outcome(world, UNDER_KEY) == FINE
    world.policies = {SECRET: [deny(**when("StringNotEquals", "kms:ViaService", "x"))]}
    assert outcome(world, UNDER_KEY) == OPEN


def test_in_a_partition_with_another_suffix_only_what_holds_for_both_forms_is_certain(world: World) -> None:
    inspected = state(Secret(SECRET, KEY), dns_suffix="amazonaws.com.cn")
    one, other = (f"secretsmanager.eu-central-1.{suffix}" for suffix in ("amazonaws.com.cn", "amazonaws.com"))
    for services, denied, allowed in (
        ([one, other], FINE, FINE),
        (["secretsmanager.*"], FINE, FINE),
        ([one], OPEN, OPEN),
        ([other], OPEN, OPEN),
        (["ec2.eu-central-1.amazonaws.com.cn"], DENIED, DENIED),
    ):
        world.policies[KEY] = [DELEGATES, deny(**when("StringNotLike", "kms:ViaService", *services))]
        assert outcome(world, inspected) == denied
        world.policies[KEY] = [allow_key(**when("StringLike", "kms:ViaService", *services))]
        assert outcome(world, inspected) == allowed


def test_the_error_names_the_policy_the_statement_and_only_the_blocked_actions(world: World) -> None:
    world.policies[SECRET] = [
        deny(Action="secretsmanager:DeleteSecret"),
        deny(Sid="OnlyDba", Action=["secretsmanager:Get*", "secretsmanager:PutSecretValue"])
        | when("StringNotEquals", "aws:PrincipalArn", DBA),
    ]
    with pytest.raises(RequestError) as refused:
        world.check(state())
    assert str(refused.value) == (
        'AccessCheck: role "rotation-role": secretsmanager:GetSecretValue and secretsmanager:PutSecretValue on'
        f' "{SECRET}" are blocked by the statement "OnlyDba" in the resource policy of the secret. Exclude'
        f' "{ROLE}" from this statement (ArnNotEquals on aws:PrincipalArn), or set AccessCheck to Off.'
    )
    assert DBA not in str(refused.value)
    # Without a Sid, by its number.
    del world.policies[SECRET][1]["Sid"]
    with pytest.raises(RequestError, match=r"by statement 2 in the resource policy of the secret\."):
        world.check(state())


def test_the_actions_of_all_statements_for_a_secret_are_in_one_error(world: World) -> None:
    superuser = Secret(SUPERUSER, None, managed_by="rds")
    world.policies[SUPERUSER] = [deny()]
    with pytest.raises(
        RequestError, match=r"secretsmanager:GetSecretValue and secretsmanager:DescribeSecret on .*superuser"
    ):
        world.check(state(superuser=superuser))


def test_the_error_names_the_secret_if_the_key_is_blocked_only_for_some(world: World) -> None:
    third = SECOND.replace("second", "third")
    inspected = state(Secret(SECRET, KEY), Secret(SECOND, KEY), Secret(third, KEY))
    world.policies[KEY] = [DELEGATES, deny(**when("StringEquals", "kms:EncryptionContext:SecretARN", SECOND))]
    with pytest.raises(RequestError) as refused:
        world.check(inspected)
    assert f'on "{KEY}" for "{SECOND}" are blocked by statement 2 in the policy of the key' in str(refused.value)
    world.policies[KEY] = [DELEGATES, deny(**when("StringLike", "kms:EncryptionContext:SecretARN", SECOND, third))]
    with pytest.raises(RequestError, match=r'second-AbCdEf" and 1 more are blocked'):
        world.check(inspected)
    world.policies[KEY] = [DELEGATES, deny()]
    with pytest.raises(RequestError, match=rf'on "{KEY}" are blocked'):
        world.check(inspected)


def test_a_warning_says_which_statement_decides(world: World) -> None:
    statement = deny(Sid="FromVpc", Action="secretsmanager:PutSecretValue")
    world.policies[SECRET] = [statement | when("StringNotEquals", "aws:SourceVpc", "vpc-1")]
    [doubt] = world.check(state())
    assert (doubt.actions, doubt.resources) == (("secretsmanager:PutSecretValue",), (SECRET,))
    assert str(doubt) == (
        f'secretsmanager:PutSecretValue on "{SECRET}": it is not known whether the statement "FromVpc" in the resource'
        " policy of the secret denies the call"
    )


def test_actions_that_depend_on_different_statements_are_different_warnings(world: World) -> None:
    open_ = when("StringNotEquals", "aws:SourceVpc", "vpc-1")
    world.policies[SECRET] = [
        deny(Sid="Get", Action=["secretsmanager:Get*", "secretsmanager:Describe*"], **open_),
        deny(Sid="Both", Action=["secretsmanager:GetSecretValue", "secretsmanager:Put*"], **open_),
    ]
    assert [str(doubt).replace(SECRET, "SECRET") for doubt in world.check(state())] == [
        f'secretsmanager:{actions} on "SECRET": it is not known whether the statement {statements} in the resource'
        " policy of the secret denies the call"
        for actions, statements in (
            ("DescribeSecret", '"Get"'),
            ("GetSecretValue", '"Get" or the statement "Both"'),
            ("PutSecretValue", '"Both"'),
        )
    ]
    world.policies[SECRET] = [deny(**open_)]
    [doubt] = world.check(state())
    assert str(doubt).startswith(f'{", ".join(ROTATE)} on "{SECRET}": ')
    world.policies[SECRET] = [deny()]
    with pytest.raises(RequestError, match=f"{', '.join(ROTATE[:3])} and {ROTATE[3]} on"):
        world.check(state())


# --- the policy of a key allows nothing -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statements", "blocked"),
    [
        ([DELEGATES], ()),
        ([allow_key()], ()),
        ([allow_key(Principal={"AWS": ACCOUNT})], ()),
        ([allow_key(Principal="*", **when("StringEquals", "kms:CallerAccount", ACCOUNT))], ()),
        ([allow_key(Principal={"AWS": OURS})], ()),
        ([allow_key(Action="kms:Decrypt"), DELEGATES | {"Action": "kms:GenerateDataKey*"}], ()),
        (
            [
                allow_key(
                    Principal="*",
                    Condition={
                        "StringEquals": {
                            "kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com",
                            "kms:CallerAccount": ACCOUNT,
                        }
                    },
                )
            ],
            (),
        ),
        ([], USE_KEY),
        ([allow_key(Principal={"AWS": DBA})], USE_KEY),
        ([allow_key(Principal={"AWS": DELETED})], USE_KEY),
        ([allow_key(Principal={"AWS": ROLE.replace(ACCOUNT, "999999999999")})], USE_KEY),
        ([allow_key(Principal={"AWS": "arn:aws:iam::999999999999:root"})], USE_KEY),
        ([allow_key(Principal={"Service": "secretsmanager.amazonaws.com"})], USE_KEY),
        ([allow_key(Action="kms:Decrypt")], ("kms:GenerateDataKey",)),
        ([DELEGATES | {"Action": ["kms:Describe*", "kms:Get*", "kms:List*"]}], USE_KEY),
        ([allow_key(**when("StringEquals", "kms:CallerAccount", "999999999999"))], USE_KEY),
        ([allow_key(**when("StringEquals", "kms:ViaService", "ec2.eu-central-1.amazonaws.com"))], USE_KEY),
        ([allow_key(**when("StringEquals", "kms:EncryptionContext:AppName", "orders"))], USE_KEY),
    ],
)
def test_the_policy_of_a_key_must_allow_the_role_or_delegate(
    world: World, statements: list[Statement], blocked: tuple[str, ...]
) -> None:
    world.policies[KEY] = statements
    if not blocked:
        assert world.check(UNDER_KEY) == []
        assert "ListGrants" not in world.actions()
        return
    with pytest.raises(RequestError) as refused:
        world.check(UNDER_KEY)
    verb, them = ("are", "them") if len(blocked) > 1 else ("is", "it")
    assert str(refused.value) == (
        f'AccessCheck: role "rotation-role": {" and ".join(blocked)} on "{KEY}" {verb} blocked by the policy of the'
        f" key, which allows {them} neither to the role nor to its account. No grant does. Allow {them} there to"
        f' "{ROLE}", or set AccessCheck to Off.'
    )


@pytest.mark.parametrize(
    "condition",
    [
        when("StringEquals", "aws:PrincipalOrgID", "o-1"),
        when("IpAddress", "aws:SourceIp", "10.0.0.0/8"),
        when("ForAnyValue:StringEquals", "kms:EncryptionContextKeys", "SecretARN"),
    ],
)
def test_an_allow_of_which_it_is_not_known_whether_it_applies_is_a_warning(world: World, condition: Any) -> None:
    world.policies[KEY] = [allow_key(Sid="UseOfTheKey", **condition)]
    [doubt] = world.check(UNDER_KEY)
    assert (doubt.kind, doubt.actions, doubt.resources) == (DoubtKind.ALLOW_OPEN, USE_KEY, (KEY,))
    assert doubt.doubt == (
        'it is not known whether the statement "UseOfTheKey" in the policy of the key allows the call, and no other'
        " statement does"
    )
    # Another statement decides.
    world.policies[KEY].append(DELEGATES)
    assert world.check(UNDER_KEY) == []


def test_an_allow_with_not_principal_that_lists_the_role_is_a_warning(world: World) -> None:
    statement = {"Effect": "Allow", "NotPrincipal": {"AWS": ROLE}, "Action": "kms:*", "Resource": "*"}
    world.policies[KEY] = [allow_key(Principal={"AWS": DBA}), statement]
    [doubt] = world.check(UNDER_KEY)
    assert (doubt.kind, doubt.actions) == (DoubtKind.ALLOW_OPEN, USE_KEY)
    assert doubt.doubt.startswith("it is not known whether statement 2 in the policy of the key allows the call")
    assert "ListGrants" not in world.actions()
    # If it lists somebody else, it allows the role.
    world.policies[KEY] = [statement | {"NotPrincipal": {"AWS": DBA}}]
    assert world.check(UNDER_KEY) == []


def grant(*operations: str, grantee: str = ROLE, **constraints: Any) -> dict[str, Any]:
    members = {"Constraints": constraints} if constraints else {}
    return {"GranteePrincipal": grantee, "Operations": list(operations), **members}


BOTH = ("Decrypt", "GenerateDataKey")


@pytest.mark.parametrize(
    ("grants", "blocked"),
    [
        ([grant(*BOTH)], ()),
        ([grant("Decrypt"), grant("GenerateDataKey", "RetireGrant")], ()),
        ([grant("Decrypt")], ("kms:GenerateDataKey",)),
        ([grant("Encrypt", "DescribeKey")], USE_KEY),
        ([grant(*BOTH, EncryptionContextSubset={"SecretARN": SECRET})], ()),
        ([grant(*BOTH, EncryptionContextSubset={"SecretVersionId": "11111111"})], ()),
        ([grant(*BOTH, EncryptionContextSubset={"SecretARN": SECOND})], USE_KEY),
        ([grant(*BOTH, EncryptionContextSubset={"SecretARN": SECRET, "team": "orders"})], USE_KEY),
        ([grant(*BOTH, EncryptionContextEquals={"SecretARN": SECRET, "SecretVersionId": "1"})], ()),
        # Secrets Manager always sends both.
        ([grant(*BOTH, EncryptionContextEquals={"SecretARN": SECRET})], USE_KEY),
        ([grant(*BOTH, EncryptionContextEquals={})], USE_KEY),
        ([grant(*BOTH, EncryptionContextEquals={"aws:lambda:FunctionArn": "arn:aws:lambda:x"})], USE_KEY),
        # Whether it matches is not known.
        ([grant(*BOTH, SourceArn="arn:aws:lambda:eu-central-1:123456789012:function:rotate-db")], ()),
        # A session of the role, and its account.
        ([grant(*BOTH, grantee="arn:aws:sts::123456789012:assumed-role/rotation-role/rotate-db")], ()),
        ([grant(*BOTH, grantee="arn:aws:iam::123456789012:root")], ()),
        ([grant(*BOTH, grantee="123456789012")], ()),
        ([grant(*BOTH, grantee="arn:aws:sts::123456789012:assumed-role/rotation-role-2/rotate-db")], USE_KEY),
        ([grant(*BOTH, grantee="arn:aws:sts::999999999999:assumed-role/rotation-role/rotate-db")], USE_KEY),
        ([grant(*BOTH, grantee=DBA)], USE_KEY),
        ([grant(*BOTH, grantee="arn:aws:iam::999999999999:root")], USE_KEY),
        ([grant(*BOTH, grantee="rds.amazonaws.com")], USE_KEY),
        # It is not known for whom it is.
        ([{"Operations": [*BOTH]}], ()),
    ],
)
def test_a_grant_can_stand_in_for_the_policy_of_the_key(
    world: World, grants: list[dict[str, Any]], blocked: tuple[str, ...]
) -> None:
    world.policies[KEY] = [allow_key(Principal={"AWS": DBA})]
    world.grants = grants
    if blocked:
        with pytest.raises(RequestError, match=rf"{' and '.join(blocked)} on .* blocked by the policy of the key"):
            world.check(UNDER_KEY)
    else:
        assert world.check(UNDER_KEY) == []
        assert "ListKeyPolicies" not in world.actions()
    [parameters] = [parameters for action, parameters in world.account.calls if action == "kms:ListGrants"]
    assert parameters == {"KeyId": KEY, "Limit": 100}


def test_a_grant_overrides_no_deny(world: World) -> None:
    world.policies[KEY] = [deny(Sid="Nobody", Action="kms:Decrypt")]
    world.grants = [grant(*BOTH)]
    with pytest.raises(RequestError, match=r'kms:Decrypt on .* is blocked by the statement "Nobody"'):
        world.check(UNDER_KEY)


def test_all_pages_of_grants_are_read(world: World) -> None:
    world.policies[KEY] = []
    pages = iter(
        [{"Grants": [], "Truncated": True, "NextMarker": "next"}, {"Grants": [grant(*BOTH)], "Truncated": False}]
    )
    world.account.api_responses["kms:ListGrants"] = lambda _: next(pages)
    assert world.check(UNDER_KEY) == []
    assert world.account.calls[-1] == ("kms:ListGrants", {"KeyId": KEY, "Limit": 100, "Marker": "next"})


def test_a_key_with_thousands_of_grants_is_a_warning_after_a_few_calls(world: World) -> None:
    world.policies[KEY] = []
    page = {"Grants": [grant(*BOTH, grantee=DBA)] * 100, "Truncated": True, "NextMarker": "next"}
    world.account.api_responses["kms:ListGrants"] = lambda _: page
    [doubt] = world.check(UNDER_KEY)
    assert (doubt.kind, doubt.failure) == (DoubtKind.ALLOWANCE_NOT_READ, "the key has more than 500 grants")
    assert world.actions().count("ListGrants") == 6


ONLY_PREVIOUS = state(Secret(SECRET, KEY, earlier_key_arns=(EARLIER_KEY,), previous_key_arns=(EARLIER_KEY,)))


@pytest.mark.parametrize("key_policy", [[], [{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}]])
def test_a_key_that_only_awsprevious_needs_is_never_a_reason_to_refuse(
    world: World, key_policy: list[dict[str, Any]]
) -> None:
    """AWS's functions for alternating users do not read this version."""
    world.policies[EARLIER_KEY] = key_policy
    [doubt] = world.check(ONLY_PREVIOUS)
    assert (doubt.kind, doubt.actions, doubt.resources) == (
        DoubtKind.ONLY_PREVIOUS,
        ("kms:Decrypt",),
        (EARLIER_KEY,),
    )
    assert "only the version AWSPREVIOUS needs this key" in doubt.doubt
    # The same key is needed for another version of the secret, or of another secret.
    for needed in (
        state(Secret(SECRET, KEY, earlier_key_arns=(EARLIER_KEY,))),
        state(*ONLY_PREVIOUS.secrets, Secret(SECOND, KEY, earlier_key_arns=(EARLIER_KEY,))),
    ):
        with pytest.raises(RequestError, match="blocked by"):
            world.check(needed)


@pytest.mark.parametrize("text", ["[]", '"x"', "1", "null", "[" * 5000 + "]" * 5000])
def test_a_policy_that_is_json_but_no_object_is_a_warning(world: World, text: str) -> None:
    world.account.api_responses["secretsmanager:GetResourcePolicy"] = lambda _: {"ResourcePolicy": text}
    world.policies[KEY] = [allow_key()]
    doubts = world.check(UNDER_KEY)
    assert [doubt.kind for doubt in doubts] == [DoubtKind.NOT_READ]


def test_a_key_with_a_second_policy_is_a_warning(world: World) -> None:
    world.policies[KEY] = [allow_key(Action="kms:Decrypt")]
    world.policy_names = ["default", "AWS_RAM"]
    [doubt] = world.check(UNDER_KEY)
    assert (doubt.kind, doubt.actions) == (DoubtKind.SECOND_POLICY, ("kms:GenerateDataKey",))
    assert doubt.doubt == "the policy of the key does not allow the call, and the key's second policy cannot be read"


@pytest.mark.parametrize("action", ["kms:ListGrants", "kms:ListKeyPolicies"])
def test_a_grant_or_second_policy_that_cannot_be_listed_is_a_warning(world: World, action: str) -> None:
    world.policies[KEY] = []
    world.account.faults[action] = [error("AccessDeniedException")]
    [doubt] = world.check(UNDER_KEY)
    assert (doubt.kind, doubt.actions) == (DoubtKind.ALLOWANCE_NOT_READ, USE_KEY)
    assert doubt.doubt == (
        "the policy of the key does not allow the call, and it is not known whether a grant or a second policy does"
        f" (AWS denies {action}); otherwise the key's policy must allow kms:Decrypt and kms:GenerateDataKey to"
        f' "{ROLE}" or to its account'
    )


# --- a policy that is not read ----------------------------------------------------------------------------------------


def test_a_policy_that_cannot_be_read_is_a_warning(world: World) -> None:
    for fault, failure in (
        (error("AccessDeniedException"), "AWS denies {}"),
        (error("ResourceNotFoundException", "gone"), '{} failed with ResourceNotFoundException: "gone"'),
    ):
        world.account.faults = {name: [fault] for name in ("secretsmanager:GetResourcePolicy", "kms:GetKeyPolicy")}
        of_secret, of_key = world.check(UNDER_KEY)
        assert (of_secret.kind, of_secret.actions, of_secret.resources) == (DoubtKind.NOT_READ, ROTATE, (SECRET,))
        read = failure.format("secretsmanager:GetResourcePolicy")
        assert of_secret.doubt == f"the resource policy of the secret was not read ({read})"
        assert (of_key.kind, of_key.actions, of_key.resources) == (DoubtKind.NOT_READ, USE_KEY, (KEY,))
        # What the user can check.
        assert of_key.doubt == (
            f"the policy of the key was not read ({failure.format('kms:GetKeyPolicy')}); the key's policy must allow"
            f' kms:Decrypt and kms:GenerateDataKey to "{ROLE}" or to its account'
        )


@pytest.mark.parametrize("text", ["{", '{"Statement": "Allow"}', '{"Statement": [{"Condition": ["x"]}]}'])
def test_a_document_that_is_none_is_a_warning(world: World, text: str) -> None:
    world.account.api_responses["secretsmanager:GetResourcePolicy"] = lambda _: {"ResourcePolicy": text}
    [doubt] = world.check(state())
    assert doubt.doubt == "the resource policy of the secret was not read (the document does not follow IAM's grammar)"


def test_a_read_that_fails_is_repeated_a_few_times(world: World) -> None:
    response: Any = {"Error": {"Code": "InternalServiceError"}, "ResponseMetadata": {"HTTPStatusCode": 500}}
    fault = type(error("x"))(response, "GetResourcePolicy")
    world.account.faults["secretsmanager:GetResourcePolicy"] = [fault] * (MAX_ATTEMPTS - 1)
    assert world.check(state()) == []
    world.account.faults["secretsmanager:GetResourcePolicy"] = [fault] * 1000
    assert [doubt.kind for doubt in world.check(state())] == [DoubtKind.NOT_READ]
    assert world.actions() == ["GetResourcePolicy"] * MAX_ATTEMPTS


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("kms:GetKeyPolicy", DoubtKind.NOT_READ),
        ("kms:ListGrants", DoubtKind.ALLOWANCE_NOT_READ),
        ("kms:ListKeyPolicies", DoubtKind.ALLOWANCE_NOT_READ),
        ("iam:GetRole", DoubtKind.DENIAL_OPEN),
    ],
)
def test_each_call_that_fails_is_repeated_only_a_few_times(world: World, action: str, kind: DoubtKind) -> None:
    if action == "iam:GetRole":
        world.policies[KEY] = [DELEGATES, deny(Principal={"AWS": OURS})]
    else:
        world.policies[KEY] = []
    response: Any = {"Error": {"Code": "InternalError"}, "ResponseMetadata": {"HTTPStatusCode": 500}}
    world.account.faults[action] = [type(error("x"))(response, "Operation")] * 1000
    assert [doubt.kind for doubt in world.check(UNDER_KEY)] == [kind]
    assert world.account.actions().count(action) == MAX_ATTEMPTS


def test_throttling_until_the_deadline_fails_the_request(world: World) -> None:
    world.account.faults["secretsmanager:GetResourcePolicy"] = [error("ThrottlingException")] * 1000
    aws = WatchedAws(world.account)
    aws.deadline = time.monotonic() + 60
    with pytest.raises(AwsApiError, match="ThrottlingException"):
        check_resource_policies(aws, state())


# --- which policies are read ------------------------------------------------------------------------------------------


def test_each_secret_and_each_key_of_the_own_account_costs_one_call(world: World) -> None:
    inspected = dataclasses.replace(
        state(
            Secret(SECRET, KEY, earlier_key_arns=(EARLIER_KEY,)),
            Secret(SECOND, KEY),
            superuser=Secret(SUPERUSER, SUPERUSER_KEY, managed_by="rds"),
            in_vpc=True,
        ),
        environment_key=EnvironmentKey(KEY.replace("1111", "4444")),
    )
    assert world.check(inspected) == []
    assert [
        (action, parameters.get("SecretId") or parameters["KeyId"]) for action, parameters in world.account.calls
    ] == [
        ("secretsmanager:GetResourcePolicy", SECRET),
        ("secretsmanager:GetResourcePolicy", SECOND),
        ("kms:GetKeyPolicy", KEY),
        ("kms:GetKeyPolicy", EARLIER_KEY),
        # Not the key of the superuser secret: it belongs to another account.
        ("secretsmanager:GetResourcePolicy", SUPERUSER),
    ]
    assert world.account.calls[2][1]["PolicyName"] == "default"


def test_a_key_that_would_be_refused_costs_two_more_calls(world: World) -> None:
    world.policies[KEY] = []
    with pytest.raises(RequestError):
        world.check(state(Secret(SECRET, KEY), Secret(SECOND, KEY)))
    assert world.actions() == [
        "GetResourcePolicy",
        "GetResourcePolicy",
        "GetKeyPolicy",
        "ListGrants",
        "ListKeyPolicies",
    ]


def test_an_earlier_key_needs_only_to_decrypt(world: World) -> None:
    world.policies[EARLIER_KEY] = [allow_key(Action="kms:Decrypt")]
    assert world.check(state(Secret(SECRET, None, earlier_key_arns=(EARLIER_KEY,)))) == []
    world.policies[EARLIER_KEY] = []
    with pytest.raises(RequestError, match=rf'kms:Decrypt on "{EARLIER_KEY}" is blocked'):
        world.check(state(Secret(SECRET, None, earlier_key_arns=(EARLIER_KEY,))))


def test_the_access_check_simulates_first_and_then_reads_the_resource_policies(world: World) -> None:
    world.policies[SECRET] = [deny(**when("StringNotEquals", "aws:SourceVpc", "vpc-1"))]
    world.account.simulate = lambda parameters: [
        {"EvalActionName": action, "EvalResourceName": "*", "EvalDecision": "implicitDeny"}
        for action in parameters["ActionNames"]
        if action == "secretsmanager:GetRandomPassword"
    ]
    simulated, read = check_access(WatchedAws(world.account), state(), policy.document(state(), "Strict"))
    assert (simulated.actions, read.actions) == (("secretsmanager:GetRandomPassword",), ROTATE)
    assert world.actions() == ["SimulatePrincipalPolicy"] * 2 + ["GetResourcePolicy"]


def test_a_simulation_that_fails_keeps_no_resource_policy_from_being_read(world: World) -> None:
    world.policies[SECRET] = [deny(Sid="Nobody")]
    world.account.faults["iam:SimulatePrincipalPolicy"] = [error("ServiceFailure")] * 9
    with pytest.raises(RequestError, match='"Nobody"'):
        check_access(WatchedAws(world.account), state(), policy.document(state(), "Strict"))
