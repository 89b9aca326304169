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
