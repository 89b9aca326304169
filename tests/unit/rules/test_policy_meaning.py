"""The effect of the policies, as MiniStack evaluates it, an independent evaluator of IAM policies.

Each request is one that AWS makes, or that a faulty function would make, with its context keys.
"""

import dataclasses
from typing import Any

import pytest

from rotation_role_policy.rules import policy
from rotation_role_policy.rules.state import Secret, State
from rotation_role_policy.rules.statements import NETWORK_INTERFACE_ACTIONS
from tests.support import iam
from tests.unit.rules.test_policy import (
    CACHE_USER,
    CLUSTER,
    DIRECTORY,
    EARLIER_KEY,
    ENVIRONMENT_KEY,
    INFLUX,
    INSTANCE,
    KEY,
    NAMESPACE,
    SECOND,
    SECRET,
    SUPERUSER,
    SUPERUSER_KEY,
    state,
)

OTHER_SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/other-AbCdEf"
OTHER_KEY = "arn:aws:kms:eu-central-1:123456789012:key/44444444-4444-4444-4444-444444444444"
INTERFACE = "arn:aws:ec2:eu-central-1:123456789012:network-interface/eni-0123456789abcdef0"
FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:rotate-db"
PROFILES = ("Strict", "Documented")


def decision(inspected: State, profile: str, action: str, resource: str, **context: Any) -> str:
    """Return ``Allow``, ``Deny`` or ``ImplicitDeny``. `context` has the context keys of the request."""
    return iam.decision([policy.document(inspected, profile)], action, resource, context)


def through_secrets_manager(secret: str, suffix: str = "amazonaws.com") -> dict[str, str]:
    """Return the context of a KMS call that Secrets Manager makes for its caller."""
    return {
        "kms:EncryptionContext:SecretARN": secret,
        "kms:EncryptionContext:SecretVersionId": "11111111-2222-3333-4444-555555555555",
        "kms:ViaService": f"secretsmanager.eu-central-1.{suffix}",
    }


BY_FUNCTION_CODE = {"lambda:SourceFunctionArn": FUNCTION}
ALL = state(
    Secret(SECRET, KEY, earlier_key_arns=(EARLIER_KEY,)),
    Secret(SECOND, None),
    superuser=Secret(SUPERUSER, SUPERUSER_KEY, managed_by="rds", database_arns=(CLUSTER, NAMESPACE)),
    in_vpc=True,
    targets=(INSTANCE, CACHE_USER, INFLUX, DIRECTORY),
)

NEEDED = [
    *[
        (f"secretsmanager:{action}", secret, BY_FUNCTION_CODE)
        for action in ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
        for secret in (SECRET, SECOND)
    ],
    ("secretsmanager:GetRandomPassword", "*", BY_FUNCTION_CODE),
    ("kms:Decrypt", KEY, through_secrets_manager(SECRET)),
    ("kms:GenerateDataKey", KEY, through_secrets_manager(SECRET)),
    ("secretsmanager:GetSecretValue", SUPERUSER, BY_FUNCTION_CODE),
    ("secretsmanager:DescribeSecret", SUPERUSER, BY_FUNCTION_CODE),
    ("kms:Decrypt", SUPERUSER_KEY, through_secrets_manager(SUPERUSER)),
    ("kms:Decrypt", EARLIER_KEY, through_secrets_manager(SECRET)),
    ("rds:DescribeDBClusters", CLUSTER, BY_FUNCTION_CODE),
    ("rds:DescribeDBInstances", INSTANCE, BY_FUNCTION_CODE),
    ("redshift-serverless:ListNamespaces", "*", BY_FUNCTION_CODE),
    ("redshift-serverless:ListWorkgroups", "*", BY_FUNCTION_CODE),
    ("elasticache:DescribeUsers", CACHE_USER, BY_FUNCTION_CODE),
    ("elasticache:ModifyUser", CACHE_USER, BY_FUNCTION_CODE),
    ("timestream-influxdb:GetDbInstance", INFLUX, BY_FUNCTION_CODE),
    ("ds:ResetUserPassword", DIRECTORY, BY_FUNCTION_CODE),
    ("ds:DescribeDirectories", "*", BY_FUNCTION_CODE),
    # Lambda manages the interfaces before the function exists and after it is deleted.
    ("ec2:CreateNetworkInterface", INTERFACE, {}),
    ("ec2:DeleteNetworkInterface", INTERFACE, {}),
    ("ec2:DescribeNetworkInterfaces", "*", {}),
    ("ec2:DetachNetworkInterface", INTERFACE, {}),
]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("action", "resource", "context"), NEEDED)
def test_requests_that_rotation_needs_are_allowed(
    profile: str, action: str, resource: str, context: dict[str, Any]
) -> None:
    assert decision(ALL, profile, action, resource, **context) == "Allow"


NOT_NEEDED = [
    # Other secrets, and other actions on the secrets.
    ("secretsmanager:GetSecretValue", OTHER_SECRET, {}),
    ("secretsmanager:GetSecretValue", SECRET + "x", {}),
    ("secretsmanager:GetSecretValue", "*", {}),
    ("secretsmanager:PutSecretValue", SUPERUSER, {}),
    ("secretsmanager:UpdateSecretVersionStage", SUPERUSER, {}),
    ("secretsmanager:DeleteSecret", SECRET, {}),
    ("secretsmanager:UpdateSecret", SECRET, {}),
    ("secretsmanager:PutResourcePolicy", SECRET, {}),
    ("secretsmanager:ListSecrets", "*", {}),
    # Other keys, and other actions on the keys.
    ("kms:Decrypt", OTHER_KEY, through_secrets_manager(SECRET)),
    ("kms:Encrypt", KEY, through_secrets_manager(SECRET)),
    ("kms:DescribeKey", KEY, {}),
    ("kms:CreateGrant", KEY, through_secrets_manager(SECRET)),
    ("kms:GenerateDataKey", SUPERUSER_KEY, through_secrets_manager(SUPERUSER)),
    ("kms:GenerateDataKey", EARLIER_KEY, through_secrets_manager(SECRET)),
    ("rds:DescribeDBClusters", CLUSTER + "-other", {}),
    ("rds:DescribeDBInstances", INSTANCE + "-other", {}),
    ("rds:ModifyDBInstance", INSTANCE, {}),
    ("elasticache:ModifyUser", CACHE_USER + "-other", {}),
    ("elasticache:DeleteUser", CACHE_USER, {}),
    ("ds:ResetUserPassword", DIRECTORY[:-1] + "0", {}),
    ("redshift-serverless:GetCredentials", NAMESPACE, {}),
    ("rds:DescribeDBInstances", CLUSTER, {}),
    ("ec2:DescribeSubnets", "*", {}),
    ("iam:PassRole", "*", {}),
]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("action", "resource", "context"), NOT_NEEDED)
def test_other_requests_are_not_allowed(profile: str, action: str, resource: str, context: dict[str, Any]) -> None:
    assert decision(ALL, profile, action, resource, **context) == "ImplicitDeny"


MISUSED_KEYS = [
    ("without encryption context", {"kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com"}),
    ("for another secret", through_secrets_manager(OTHER_SECRET)),
    ("for the secret of another key", through_secrets_manager(SECOND)),
    ("directly", {"kms:EncryptionContext:SecretARN": SECRET}),
    ("directly, without any context", {}),
    ("through another service", through_secrets_manager(SECRET) | {"kms:ViaService": "s3.eu-central-1.amazonaws.com"}),
    (
        "from another region",
        through_secrets_manager(SECRET) | {"kms:ViaService": "secretsmanager.us-east-1.amazonaws.com"},
    ),
    ("through a look-alike", through_secrets_manager(SECRET, "example.com")),
]


@pytest.mark.parametrize(
    ("action", "key"), [("kms:Decrypt", KEY), ("kms:GenerateDataKey", KEY), ("kms:Decrypt", EARLIER_KEY)]
)
@pytest.mark.parametrize(("how", "context"), MISUSED_KEYS)
def test_a_strict_policy_allows_a_key_only_through_secrets_manager_for_its_secrets(
    how: str, action: str, key: str, context: dict[str, str]
) -> None:
    assert decision(ALL, "Strict", action, key, **context) == "ImplicitDeny", how
    assert decision(ALL, "Documented", action, key, **context) == "Allow", "the guide's statement has no condition"


def test_a_strict_policy_separates_the_secrets_that_share_a_key() -> None:
    shared = state(Secret(SECRET, KEY), superuser=Secret(SUPERUSER, KEY))
    assert decision(shared, "Strict", "kms:Decrypt", KEY, **through_secrets_manager(SUPERUSER)) == "Allow"
    assert decision(shared, "Strict", "kms:GenerateDataKey", KEY, **through_secrets_manager(SECRET)) == "Allow"
    assert (
        decision(shared, "Strict", "kms:GenerateDataKey", KEY, **through_secrets_manager(SUPERUSER)) == "ImplicitDeny"
    )


@pytest.mark.parametrize("action", NETWORK_INTERFACE_ACTIONS)
def test_a_strict_policy_denies_network_interface_actions_to_the_function_code(action: str) -> None:
    assert decision(ALL, "Strict", action, INTERFACE, **BY_FUNCTION_CODE) == "Deny"
    assert decision(ALL, "Documented", action, INTERFACE, **BY_FUNCTION_CODE) == "Allow", "the guide has no Deny"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("action", NETWORK_INTERFACE_ACTIONS)
def test_outside_a_vpc_no_network_interface_action_is_allowed(profile: str, action: str) -> None:
    outside = dataclasses.replace(ALL, in_vpc=False)
    assert decision(outside, profile, action, INTERFACE) == "ImplicitDeny"


@pytest.mark.parametrize("suffix", ["amazonaws.com", "amazonaws.com.cn"])
def test_in_china_the_key_is_allowed_through_both_names_of_secrets_manager(suffix: str) -> None:
    china = dataclasses.replace(ALL, dns_suffix="amazonaws.com.cn")
    assert decision(china, "Strict", "kms:Decrypt", KEY, **through_secrets_manager(SECRET, suffix)) == "Allow"


# --- KmsScope ---

REKEYED = "arn:aws:kms:eu-central-1:123456789012:key/66666666-6666-6666-6666-666666666666"
AWS_MANAGED_KEY = "arn:aws:kms:eu-central-1:123456789012:key/77777777-7777-7777-7777-777777777777"
FOREIGN_KEY = "arn:aws:kms:eu-central-1:999999999999:key/88888888-8888-8888-8888-888888888888"
LATER_FOREIGN_KEY = FOREIGN_KEY.replace("8888-", "9999-")
OTHER_REGION_KEY = "arn:aws:kms:us-east-1:123456789012:key/mrk-11111111111111111111111111111111"

ONE = state(Secret(SECRET, KEY))
WITHOUT_KEY = state(Secret(SECRET, None))
TWO = state(Secret(SECRET, KEY), Secret(SECOND, None))
WITH_SUPERUSER = state(Secret(SECRET, KEY), superuser=Secret(SUPERUSER, KEY))
SUPERUSER_WITHOUT_KEY = state(Secret(SECRET, None), superuser=Secret(SUPERUSER, None))
SUPERUSER_IS_ROTATED = state(Secret(SECRET, KEY), Secret(SUPERUSER, KEY), superuser=Secret(SUPERUSER, KEY))
UNDER_FOREIGN_KEY = state(Secret(SECRET, FOREIGN_KEY))
FOREIGN_SUPERUSER_KEY = state(Secret(SECRET, KEY), superuser=Secret(SUPERUSER, SUPERUSER_KEY))
EARLIER_FOREIGN_KEY = state(Secret(SECRET, KEY, earlier_key_arns=(FOREIGN_KEY,)))
EARLIER_OWN_KEY = state(Secret(SECRET, KEY, earlier_key_arns=(EARLIER_KEY,)))

DECRYPT, GENERATE = "kms:Decrypt", "kms:GenerateDataKey"
ALLOWED, NOT_ALLOWED = "Allow", "ImplicitDeny"

# One call of Secrets Manager each: what it is, the state when the policy was written, the action, the key, the secret
# in the encryption context; the decisions with the scope Secret and with the scope Key.
CALLS_FOR_A_SECRET = [
    ("today's key", ONE, DECRYPT, KEY, SECRET, ALLOWED, ALLOWED),
    ("today's key", ONE, GENERATE, KEY, SECRET, ALLOWED, ALLOWED),
    ("today's key, no other action", ONE, "kms:Encrypt", KEY, SECRET, NOT_ALLOWED, NOT_ALLOWED),
    ("today's key, no other action", ONE, "kms:CreateGrant", KEY, SECRET, NOT_ALLOWED, NOT_ALLOWED),
    ("a later key", ONE, DECRYPT, REKEYED, SECRET, ALLOWED, NOT_ALLOWED),
    ("a later key", ONE, GENERATE, REKEYED, SECRET, ALLOWED, NOT_ALLOWED),
    ("a later key of another region", ONE, DECRYPT, OTHER_REGION_KEY, SECRET, NOT_ALLOWED, NOT_ALLOWED),
    ("the key before the later one", ONE, DECRYPT, KEY, SECRET, ALLOWED, ALLOWED),
    ("from the AWS managed key", WITHOUT_KEY, DECRYPT, REKEYED, SECRET, ALLOWED, NOT_ALLOWED),
    ("from the AWS managed key", WITHOUT_KEY, GENERATE, REKEYED, SECRET, ALLOWED, NOT_ALLOWED),
    # The AWS managed key's own policy allows the call, so that it needs no statement. None denies it.
    ("to the AWS managed key", ONE, GENERATE, AWS_MANAGED_KEY, SECRET, ALLOWED, NOT_ALLOWED),
    ("to the AWS managed key, versions under the old one", ONE, DECRYPT, KEY, SECRET, ALLOWED, ALLOWED),
    ("an earlier key", EARLIER_OWN_KEY, DECRYPT, EARLIER_KEY, SECRET, ALLOWED, ALLOWED),
    ("another secret under the same key", ONE, DECRYPT, KEY, OTHER_SECRET, NOT_ALLOWED, NOT_ALLOWED),
    ("another secret under the same key", ONE, GENERATE, KEY, OTHER_SECRET, NOT_ALLOWED, NOT_ALLOWED),
    ("another secret under a later key", ONE, DECRYPT, REKEYED, OTHER_SECRET, NOT_ALLOWED, NOT_ALLOWED),
    ("a secret whose name begins with this one's", ONE, DECRYPT, KEY, f"{SECRET}x", NOT_ALLOWED, NOT_ALLOWED),
    ("the second secret gets the first one's key", TWO, GENERATE, KEY, SECOND, ALLOWED, NOT_ALLOWED),
    ("the second secret gets a key of its own", TWO, GENERATE, REKEYED, SECOND, ALLOWED, NOT_ALLOWED),
    ("the superuser secret is read", WITH_SUPERUSER, DECRYPT, KEY, SUPERUSER, ALLOWED, ALLOWED),
    ("the superuser secret is never written", WITH_SUPERUSER, GENERATE, KEY, SUPERUSER, NOT_ALLOWED, NOT_ALLOWED),
    ("a later key of the superuser secret", WITH_SUPERUSER, DECRYPT, REKEYED, SUPERUSER, ALLOWED, NOT_ALLOWED),
    ("a later key of the superuser secret", WITH_SUPERUSER, GENERATE, REKEYED, SUPERUSER, NOT_ALLOWED, NOT_ALLOWED),
    ("from the AWS managed key", SUPERUSER_WITHOUT_KEY, DECRYPT, REKEYED, SUPERUSER, ALLOWED, NOT_ALLOWED),
    ("from the AWS managed key", SUPERUSER_WITHOUT_KEY, GENERATE, REKEYED, SUPERUSER, NOT_ALLOWED, NOT_ALLOWED),
    ("the superuser secret is also rotated", SUPERUSER_IS_ROTATED, GENERATE, KEY, SUPERUSER, ALLOWED, ALLOWED),
    ("the superuser secret is also rotated", SUPERUSER_IS_ROTATED, GENERATE, REKEYED, SUPERUSER, ALLOWED, NOT_ALLOWED),
    ("today's key of another account", UNDER_FOREIGN_KEY, DECRYPT, FOREIGN_KEY, SECRET, ALLOWED, ALLOWED),
    ("today's key of another account", UNDER_FOREIGN_KEY, GENERATE, FOREIGN_KEY, SECRET, ALLOWED, ALLOWED),
    ("from another account's key to an own one", UNDER_FOREIGN_KEY, GENERATE, REKEYED, SECRET, ALLOWED, NOT_ALLOWED),
    ("a later key of another account", ONE, DECRYPT, FOREIGN_KEY, SECRET, NOT_ALLOWED, NOT_ALLOWED),
    ("a later foreign key", UNDER_FOREIGN_KEY, DECRYPT, LATER_FOREIGN_KEY, SECRET, NOT_ALLOWED, NOT_ALLOWED),
    ("another secret under a foreign key", UNDER_FOREIGN_KEY, DECRYPT, FOREIGN_KEY, OTHER_SECRET, *2 * [NOT_ALLOWED]),
    ("an earlier foreign key", EARLIER_FOREIGN_KEY, DECRYPT, FOREIGN_KEY, SECRET, ALLOWED, ALLOWED),
    ("an earlier foreign key", EARLIER_FOREIGN_KEY, GENERATE, FOREIGN_KEY, SECRET, NOT_ALLOWED, NOT_ALLOWED),
    ("the superuser's foreign key", FOREIGN_SUPERUSER_KEY, DECRYPT, SUPERUSER_KEY, SUPERUSER, ALLOWED, ALLOWED),
    ("the superuser's foreign key", FOREIGN_SUPERUSER_KEY, GENERATE, SUPERUSER_KEY, SUPERUSER, *2 * [NOT_ALLOWED]),
    ("the superuser's foreign key", FOREIGN_SUPERUSER_KEY, DECRYPT, SUPERUSER_KEY, SECRET, NOT_ALLOWED, NOT_ALLOWED),
]


@pytest.mark.parametrize(
    ("case", "written_for", "action", "key", "secret", "with_secret", "with_key"), CALLS_FOR_A_SECRET
)
def test_the_scope_secret_allows_the_values_of_the_secrets_under_any_key_of_the_account(
    case: str, written_for: State, action: str, key: str, secret: str, with_secret: str, with_key: str
) -> None:
    context = through_secrets_manager(secret)
    for scope, expected in (("Secret", with_secret), ("Key", with_key)):
        document = policy.document(written_for, kms_scope=scope)
        assert iam.decision([document], action, key, context) == expected, (case, scope)


@pytest.mark.parametrize("scope", ["Secret", "Key"])
@pytest.mark.parametrize("action", [DECRYPT, GENERATE])
@pytest.mark.parametrize("key", [KEY, REKEYED, FOREIGN_KEY])
@pytest.mark.parametrize(("how", "context"), MISUSED_KEYS)
def test_no_scope_allows_a_key_without_secrets_manager_and_the_secret(
    scope: str, action: str, key: str, how: str, context: dict[str, str]
) -> None:
    written_for = state(Secret(SECRET, KEY, earlier_key_arns=(FOREIGN_KEY,)))
    document = policy.document(written_for, kms_scope=scope)
    assert iam.decision([document], action, key, context) == "ImplicitDeny", how


@pytest.mark.parametrize("key", [KEY, REKEYED])
@pytest.mark.parametrize(
    ("suffix", "expected"),
    [("amazonaws.com", "Allow"), ("amazonaws.com.cn", "Allow"), ("example.com", "ImplicitDeny")],
)
def test_in_china_the_scope_secret_allows_any_key_through_both_names_of_secrets_manager(
    key: str, suffix: str, expected: str
) -> None:
    def in_china(arn: str) -> str:
        return arn.replace("arn:aws:", "arn:aws-cn:").replace("eu-central-1", "cn-north-1")

    secret = in_china(SECRET)
    china = dataclasses.replace(state(Secret(secret, in_china(KEY))), dns_suffix="amazonaws.com.cn")
    context = through_secrets_manager(secret) | {"kms:ViaService": f"secretsmanager.cn-north-1.{suffix}"}
    document = policy.document(china, kms_scope="Secret")
    for action in (DECRYPT, GENERATE):
        assert iam.decision([document], action, in_china(key), context) == expected
        assert iam.decision([document], action, key, context) == "ImplicitDeny", "a key of another partition"


# --- the key of the environment ---

FUNCTION_CONTEXT = "kms:EncryptionContext:aws:lambda:FunctionArn"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    ("action", "key", "context", "expected", "expected_in_declared_mode"),
    [
        ("kms:Decrypt", ENVIRONMENT_KEY, {FUNCTION_CONTEXT: FUNCTION}, "Allow", "Allow"),
        ("kms:Decrypt", ENVIRONMENT_KEY, {FUNCTION_CONTEXT: f"{FUNCTION}:7"}, "Allow", "Allow"),
        ("kms:Decrypt", ENVIRONMENT_KEY, {FUNCTION_CONTEXT: f"{FUNCTION}-2"}, "ImplicitDeny", "Allow"),
        (
            "kms:Decrypt",
            ENVIRONMENT_KEY,
            {FUNCTION_CONTEXT: FUNCTION.replace("123456789012", "999999999999")},
            "ImplicitDeny",
            "ImplicitDeny",
        ),
        ("kms:Decrypt", ENVIRONMENT_KEY, {}, "ImplicitDeny", "ImplicitDeny"),
        ("kms:Decrypt", ENVIRONMENT_KEY, through_secrets_manager(SECRET), "ImplicitDeny", "ImplicitDeny"),
        ("kms:Decrypt", OTHER_KEY, {FUNCTION_CONTEXT: FUNCTION}, "ImplicitDeny", "ImplicitDeny"),
        ("kms:GenerateDataKey", ENVIRONMENT_KEY, {FUNCTION_CONTEXT: FUNCTION}, "ImplicitDeny", "ImplicitDeny"),
    ],
)
def test_the_key_of_the_environment_decrypts_only_for_the_function(
    profile: str, action: str, key: str, context: dict[str, str], expected: str, expected_in_declared_mode: str
) -> None:
    inspected = state(environment_key=ENVIRONMENT_KEY)
    assert decision(inspected, profile, action, key, **context) == expected
    declared = dataclasses.replace(inspected, function_arn="")
    assert decision(declared, profile, action, key, **context) == expected_in_declared_mode
