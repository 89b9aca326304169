"""What the policies of a role grant beyond what its functions need, as tables of policies."""

import json
from pathlib import Path
from typing import Any

import pytest
import samtranslator
from moto.iam.aws_managed_policies import aws_managed_policies_data

from rotation_role_policy.audit.checks.excess import FINDING_TYPES
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.iam.document import Element, PolicyKind, PolicyName
from rotation_role_policy.rules.excess import Excess, ExcessKind, find_excess
from rotation_role_policy.rules.needed import Needed
from rotation_role_policy.rules.statements import NETWORK_INTERFACE_ACTIONS
from tests.support.iam import boundary_with, inline
from tests.unit.rules.test_policy import EARLIER_KEY, KEY, SECOND, SECRET, SUPERUSER

ANY_SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:*"
FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:rotate-db"
ROTATE = [
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
]
GET = "secretsmanager:GetSecretValue"
USE_KEY = ["kms:Decrypt", "kms:GenerateDataKey"]
SHARING = ("PutResourcePolicy", "DeleteResourcePolicy", "RotateSecret", "ReplicateSecretToRegions")
OTHER_SECRET = SECRET.replace("prod/db", "other")
MASTER = SECRET.replace("prod/db", "prod/mysql-master")
IN_ANY_REGION = SECRET.replace("eu-central-1", "*")
NEEDED = Needed(
    {SECRET}, {SUPERUSER}, {KEY}, {EARLIER_KEY}, in_vpc=False, function_arns=(FUNCTION,), regions={"eu-central-1"}
)
CONTEXT = "kms:EncryptionContext:SecretARN"
OTHER_KEY_USE = (
    "Encrypt",
    "ReEncryptFrom",
    "ReEncryptTo",
    "ReEncrypt*",
    "GenerateDataKeyPair",
    "GenerateDataKeyPair*",
    "GenerateDataKeyWithoutPlaintext",
)
KEY_SHARING = ("CreateGrant", "PutKeyPolicy", "ReplicateKey")
IN_VPC = NEEDED._replace(in_vpc=True)


def allow(action: Any, resource: Any, **members: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **members}


FOR_FUNCTION = {"StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": FUNCTION}}
FOR_SECRET = {"StringEquals": {"kms:EncryptionContext:SecretARN": SECRET}}
INTERFACES = allow(list(NETWORK_INTERFACE_ACTIONS), "*")
KEEP_FROM_CODE = INTERFACES | {"Effect": "Deny", "Condition": {"Null": {"lambda:SourceFunctionArn": "false"}}}


def excess(*statements: Any, needed: Needed = NEEDED) -> list[Excess]:
    """Return the excess of one policy."""
    policies = [inline({"Version": "2012-10-17", "Statement": list(statements)})]
    return find_excess(policies, policies, None, needed)


def types(*statements: Any, needed: Needed = NEEDED) -> list[FindingType]:
    """Return the types of the excess of one policy."""
    return as_types(excess(*statements, needed=needed))


def as_types(found: list[Excess]) -> list[FindingType]:
    """Return the types of the audit's findings."""
    return [FINDING_TYPES[each.kind] for each in found]


# --- policies that AWS publishes ---

GUIDE = [allow(ROTATE, SECRET), allow(["secretsmanager:GetRandomPassword"], "*")]
"""The user guide's policy, without the statement for network interfaces."""
PUBLISHED = [
    allow(ROTATE, ANY_SECRET, Condition=FOR_FUNCTION),
    allow("secretsmanager:GetRandomPassword", "*"),
    allow(GET, SUPERUSER),
]
"""The policy of AWS's published rotation functions, as HostedRotationLambda deploys them."""


def sam_policy(name: str) -> list[Any]:
    """Return the statements of one of SAM's policy templates, with its parameters filled in."""
    file = Path(samtranslator.__file__).parent / "policy_templates_data" / "policy_templates.json"
    text = json.dumps(json.loads(file.read_text(encoding="utf-8"))["Templates"][name]["Definition"]["Statement"])
    values = {"Partition": "aws", "Region": "eu-central-1", "AccountId": "123456789012"}
    for parameter, value in values.items():
        text = text.replace(f"${{AWS::{parameter}}}", value)
    text = text.replace("${functionName}", "rotate-db").replace("${secretArn}", SUPERUSER)

    def resolve(value: dict[str, Any]) -> Any:
        substituted = value.get("Fn::Sub", value)
        return substituted[0] if isinstance(substituted, list) else substituted

    statements: list[Any] = json.loads(text, object_hook=resolve)
    return statements


@pytest.mark.parametrize(
    "statements",
    [
        GUIDE,
        PUBLISHED,
        [*GUIDE, allow(USE_KEY, KEY, Condition=FOR_SECRET), allow(GET, SUPERUSER)],
        sam_policy("AWSSecretsManagerRotationPolicy"),
        sam_policy("AWSSecretsManagerGetSecretValuePolicy"),
    ],
)
def test_the_policies_that_aws_publishes_grant_nothing_too_much(statements: list[Any]) -> None:
    assert excess(*statements) == []
    # Outside a VPC, the statement for network interfaces is too much. In a VPC, function code can use it too.
    assert types(*statements, INTERFACES) == [FindingType.UNNEEDED_GRANT]
    assert types(*statements, INTERFACES, needed=IN_VPC) == [FindingType.NETWORK_INTERFACES_OPEN]
    assert types(*statements, INTERFACES, KEEP_FROM_CODE, needed=IN_VPC) == []


def test_the_user_guide_s_statement_for_a_key_has_no_encryption_context() -> None:
    assert types(*GUIDE, allow(USE_KEY, KEY)) == [FindingType.KMS_WITHOUT_CONTEXT]


@pytest.mark.parametrize(
    ("name", "outside_vpc", "in_vpc"),
    [
        (
            "AdministratorAccess",
            [FindingType.OTHER_SECRETS],
            [FindingType.OTHER_SECRETS],
        ),
        (
            "PowerUserAccess",
            [FindingType.OTHER_SECRETS],
            [FindingType.OTHER_SECRETS],
        ),
        ("SecretsManagerReadWrite", [FindingType.OTHER_SECRETS], [FindingType.OTHER_SECRETS]),
        ("AWSLambdaVPCAccessExecutionRole", [FindingType.UNNEEDED_GRANT], [FindingType.NETWORK_INTERFACES_OPEN]),
        ("AWSLambdaBasicExecutionRole", [], []),
        ("ReadOnlyAccess", [], []),
    ],
)
def test_a_policy_that_aws_manages_is_judged_by_its_content(
    name: str, outside_vpc: list[FindingType], in_vpc: list[FindingType]
) -> None:
    document = json.loads(aws_managed_policies_data)[name]["Document"]
    policies = [inline(document)]
    assert as_types(find_excess(policies, policies, None, NEEDED)) == outside_vpc
    assert as_types(find_excess(policies, policies, None, IN_VPC)) == in_vpc
    # A deny in another policy of the role keeps function code from the network interfaces.
    with_deny = [*policies, inline({"Statement": KEEP_FROM_CODE}, "deny")]
    found = as_types(find_excess(policies, with_deny, None, IN_VPC))
    assert found == [each for each in in_vpc if each is not FindingType.NETWORK_INTERFACES_OPEN]


# --- secrets ---


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (allow(ROTATE, SECRET), []),
        (allow(ROTATE, [SECRET[:-6] + "??????"]), []),
        (allow(GET, SUPERUSER), []),
        (allow(GET, SUPERUSER[:-6] + "??????"), []),
        (allow(GET, "*"), [FindingType.OTHER_SECRETS]),
        (allow("secretsmanager:Get*", "*"), [FindingType.OTHER_SECRETS]),
        (allow("SECRETSMANAGER:PUTSECRETVALUE", "*"), [FindingType.OTHER_SECRETS]),
        (allow(GET, ANY_SECRET), [FindingType.OTHER_SECRETS]),
        (allow(GET, "arn:aws:*"), [FindingType.OTHER_SECRETS]),
        (allow(GET, "arn:*:secret*:*:*:secret:prod/*"), [FindingType.OTHER_SECRETS]),
        (allow(GET, SECRET[:-6] + "*"), [FindingType.OTHER_SECRETS]),
        # Not all six characters: the pattern can match other secrets too.
        (allow(GET, SECRET[:-6] + "?????"), [FindingType.OTHER_SECRETS]),
        (allow(GET, SECRET[:-7] + "???????"), [FindingType.OTHER_SECRETS]),
        (allow(GET, "*:secret:${aws:PrincipalTag/team}/*"), [FindingType.OTHER_SECRETS]),
        (allow(ROTATE, [SECRET, ANY_SECRET]), [FindingType.OTHER_SECRETS]),
        ({"Effect": "Allow", "Action": GET, "NotResource": SUPERUSER}, [FindingType.OTHER_SECRETS]),
        ({"Effect": "Allow", "NotAction": "iam:*", "Resource": ANY_SECRET}, [FindingType.OTHER_SECRETS]),
        ({"Effect": "Allow", "NotAction": ["secretsmanager:*", "kms:*", "ec2:*"], "Resource": "*"}, []),
        # Incomplete ARNs are completed with stars, those of another service stay with it.
        (allow(GET, "arn:aws:secretsmanager"), [FindingType.OTHER_SECRETS]),
        (allow(GET, "arn:aws:secretsmanager:eu-central-1"), [FindingType.OTHER_SECRETS]),
        (allow(GET, "arn:aws:secretsmanager:*:123456789012"), [FindingType.OTHER_SECRETS]),
        (allow(GET, "arn:aws:secretsmanager:*:secret:prod/*"), [FindingType.OTHER_SECRETS]),
        (allow("*", "arn:aws:s3"), []),
        (allow("*", "arn:aws:sqs:eu-central-1"), []),
        # A star for the region alone: the replicas of one secret.
        (allow(ROTATE, IN_ANY_REGION), []),
        (allow(ROTATE, SECRET.replace("eu-central-1", "eu-*")), []),
        (allow(GET, SUPERUSER.replace("eu-central-1", "*")), []),
        (allow(ROTATE, SECOND.replace("eu-central-1", "*")), [FindingType.UNNEEDED_GRANT]),
        (allow(ROTATE, SECRET.replace("eu-central-1", "us-*")), []),
        # In another region, other random characters belong to another secret.
        (allow(ROTATE, f"{IN_ANY_REGION[:-6]}??????"), [FindingType.OTHER_SECRETS]),
        (allow(ROTATE, SECRET.replace("123456789012", "*")), [FindingType.OTHER_SECRETS]),
        # Another secret by its name.
        (allow(ROTATE, SECOND), [FindingType.UNNEEDED_GRANT]),
        (allow(GET, SECOND[:-6] + "??????"), [FindingType.UNNEEDED_GRANT]),
        (allow("secretsmanager:DescribeSecret", SECOND), []),
        # Management of the function's own secrets.
        (allow("secretsmanager:*", SECRET), [FindingType.UNNEEDED_GRANT]),
        (allow([*ROTATE, "secretsmanager:DeleteSecret"], SECRET), [FindingType.UNNEEDED_GRANT]),
        ({"Effect": "Allow", "NotAction": "secretsmanager:Create*", "Resource": SECRET}, [FindingType.UNNEEDED_GRANT]),
        # Actions by which a role gives itself access.
        *((allow(f"secretsmanager:{name}", "*"), [FindingType.OTHER_SECRETS]) for name in SHARING),
        *((allow([*ROTATE, f"secretsmanager:{name}"], SECRET), [FindingType.UNNEEDED_GRANT]) for name in SHARING),
        (
            allow(["secretsmanager:Delete*", "secretsmanager:PutResourcePolicy"], SECRET),
            [FindingType.UNNEEDED_GRANT] * 2,
        ),
        # Policies have conditions on tags.
        (allow("secretsmanager:TagResource", "*"), [FindingType.OTHER_SECRETS]),
        # Not a grant on secrets.
        (allow(GET, "*") | {"Effect": "Deny"}, []),
        (allow("secretsmanager:ListSecrets", "*"), []),
        (allow("secretsmanager:GetRandomPassword", "*"), []),
        (allow("*", "arn:aws:s3:::bucket/*"), []),
        (allow("logs:*", "*"), []),
    ],
)
def test_a_grant_on_secrets_is_compared_with_those_of_the_functions(
    statement: dict[str, Any], expected: list[FindingType]
) -> None:
    assert types(statement) == expected
    # A single statement needs no list.
    policies = [inline({"Statement": statement})]
    assert as_types(find_excess(policies, policies, None, NEEDED)) == expected


@pytest.mark.parametrize(
    "condition",
    [
        FOR_FUNCTION,
        {"StringLike": {"SecretsManager:Resource/allowrotationlambdaarn": FUNCTION}},
        {"StringEquals": {"aws:ResourceTag/rotated-by": "rotate-db"}},
        {"StringEquals": {"secretsmanager:ResourceTag/rotated-by": "rotate-db"}},
        {"ArnEquals": {"secretsmanager:SecretId": SECRET}},
        # All conditions have to hold, so one of them is enough.
        {"StringLike": {"aws:ResourceTag/team": "*"}, **FOR_FUNCTION},
    ],
)
def test_a_condition_on_the_secret_limits_a_wildcard(condition: dict[str, Any]) -> None:
    assert types(allow(ROTATE, "*", Condition=condition)) == []


@pytest.mark.parametrize(
    "condition",
    [
        {"Bool": {"aws:SecureTransport": "true"}},
        {"StringEquals": {"aws:ResourceAccount": "123456789012"}},
        {"StringEquals": {"aws:RequestedRegion": "eu-central-1"}},
        {"StringEquals": {"aws:PrincipalTag/team": "data"}},
        {"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}},
    ],
)
def test_another_condition_does_not_limit_a_wildcard(condition: dict[str, Any]) -> None:
    assert types(allow(ROTATE, "*", Condition=condition)) == [FindingType.OTHER_SECRETS]


def test_the_china_partition_is_judged_alike() -> None:
    china = NEEDED._replace(rotated_arns={SECRET.replace("arn:aws:", "arn:aws-cn:")})
    assert types(allow(ROTATE, SECRET.replace("arn:aws:", "arn:aws-cn:")), needed=china) == []
    assert types(allow(ROTATE, ANY_SECRET.replace("arn:aws:", "arn:aws-cn:")), needed=china) == [
        FindingType.OTHER_SECRETS
    ]
    assert types(allow(ROTATE, SECRET), needed=china) == [FindingType.UNNEEDED_GRANT]


# --- keys ---


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (allow(USE_KEY, KEY, Condition=FOR_SECRET), []),
        (allow(USE_KEY, KEY, Condition={"StringEquals": {"kms:encryptioncontext:secretarn": SECRET}}), []),
        (
            allow(
                USE_KEY,
                KEY,
                Condition={"StringEquals": {"kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com"}},
            ),
            [FindingType.KMS_WITHOUT_CONTEXT],
        ),
        # A star for the region alone: the replicas of one key.
        (allow(USE_KEY, KEY.replace("eu-central-1", "*"), Condition=FOR_SECRET), []),
        (allow(USE_KEY, KEY.replace("eu-central-1", "*")), [FindingType.KMS_WITHOUT_CONTEXT]),
        (allow(USE_KEY, KEY.replace("eu-central-1", "*").replace("1111", "9999")), [FindingType.UNNEEDED_GRANT]),
        (allow(USE_KEY, EARLIER_KEY.replace("eu-central-1", "*")), []),
        (allow(USE_KEY, KEY.replace("123456789012", "*")), [FindingType.KMS_ALL_KEYS]),
        (allow("kms:Decrypt", "arn:aws:kms"), [FindingType.KMS_ALL_KEYS]),
        (allow("kms:Decrypt", "arn:aws:kms:eu-central-1"), [FindingType.KMS_ALL_KEYS]),
        # Actions that use a key in another way, or by which a role gives itself its use.
        *((allow(f"kms:{name}", "*"), [FindingType.KMS_ALL_KEYS]) for name in (*OTHER_KEY_USE, *KEY_SHARING)),
        *((allow(f"kms:{name}", KEY), [FindingType.KMS_WITHOUT_CONTEXT]) for name in OTHER_KEY_USE),
        *((allow(f"kms:{name}", KEY), [FindingType.UNNEEDED_GRANT]) for name in KEY_SHARING),
        *((allow(f"kms:{name}", KEY, Condition=FOR_SECRET), []) for name in KEY_SHARING if name != "CreateGrant"),
        # Of CreateGrant, the encryption context is that of the grant.
        (allow("kms:CreateGrant", KEY, Condition=FOR_SECRET), [FindingType.UNNEEDED_GRANT]),
        # A service of AWS makes such a grant, not the function.
        (allow("kms:CreateGrant", "*", Condition={"Bool": {"kms:GrantIsForAWSResource": True}}), []),
        (
            allow("kms:CreateGrant", "*", Condition={"Bool": {"kms:GrantIsForAWSResource": "false"}}),
            [FindingType.KMS_ALL_KEYS],
        ),
        # Conditions that limit nothing.
        *(
            (allow(USE_KEY, KEY, Condition={"StringLike": {CONTEXT: value}}), [FindingType.KMS_WITHOUT_CONTEXT])
            for value in ("*", "?*", "arn:*", "arn:aws:secretsmanager:*", ANY_SECRET, [SECRET, ANY_SECRET])
        ),
        (
            allow(USE_KEY, KEY, Condition={"ArnLike": {CONTEXT: "arn:aws:secretsmanager:*"}}),
            [FindingType.KMS_WITHOUT_CONTEXT],
        ),
        (allow(USE_KEY, KEY, Condition={"StringLike": {CONTEXT: SECRET[:-6] + "??????"}}), []),
        (
            allow("kms:*", KEY, Condition={"StringLike": {"kms:ViaService": "*.amazonaws.com"}}),
            [FindingType.KMS_WITHOUT_CONTEXT, FindingType.UNNEEDED_GRANT],
        ),
        # Such as for the dead-letter queue of the function.
        (allow(USE_KEY, "*", Condition={"StringEquals": {"kms:ViaService": "sqs.eu-central-1.amazonaws.com"}}), []),
        (allow(USE_KEY, "*", Condition=FOR_SECRET), []),
        (
            allow(USE_KEY, "*", Condition={"StringNotEquals": {"kms:EncryptionContext:SecretARN": SECRET}}),
            [FindingType.KMS_ALL_KEYS],
        ),
        (
            allow(USE_KEY, "*", Condition={"StringLike": {"kms:EncryptionContext:SecretARN": "*"}}),
            [FindingType.KMS_ALL_KEYS],
        ),
        (allow("kms:Decrypt", KEY), [FindingType.KMS_WITHOUT_CONTEXT]),
        (allow("kms:*", "*"), [FindingType.KMS_ALL_KEYS]),
        (allow("kms:Decrypt", "arn:aws:kms:*:*:key/*"), [FindingType.KMS_ALL_KEYS]),
        (allow("kms:Decrypt", KEY[:-1] + "?"), [FindingType.KMS_ALL_KEYS]),
        (allow("kms:Dec*", "arn:aws:kms:eu-central-1:123456789012:alias/rotation"), [FindingType.UNNEEDED_GRANT]),
        ({"Effect": "Allow", "NotAction": "ec2:*", "Resource": "arn:aws:kms:*:*:key/*"}, [FindingType.KMS_ALL_KEYS]),
        (allow("kms:Decrypt", KEY.replace("1111", "9999")), [FindingType.UNNEEDED_GRANT]),
        # The key of the function's environment variables.
        (allow("kms:Decrypt", EARLIER_KEY), []),
        (allow(["kms:DescribeKey", "kms:ListAliases"], "*"), []),
        (allow("kms:DescribeKey", KEY), []),
        # `kms:*` on the key also allows to delete it. With an encryption context it does not: the call to schedule the
        # deletion has none, so the condition does not hold.
        (allow("kms:*", KEY), [FindingType.KMS_WITHOUT_CONTEXT, FindingType.UNNEEDED_GRANT]),
        (allow(["kms:ScheduleKeyDeletion", "kms:Decrypt"], KEY, Condition=FOR_SECRET), []),
        (allow("kms:ScheduleKeyDeletion", KEY), [FindingType.UNNEEDED_GRANT]),
        # The call to delete the key comes from no service.
        (
            allow("kms:*", KEY, Condition={"StringLike": {"kms:ViaService": "secretsmanager.*"}}),
            [FindingType.KMS_WITHOUT_CONTEXT],
        ),
        (allow("kms:ScheduleKeyDeletion", "*"), [FindingType.KMS_ALL_KEYS]),
        (
            allow(USE_KEY, "*", Condition={"StringLike": {"kms:EncryptionContext:SecretARN": ["**", SECRET]}}),
            [FindingType.KMS_ALL_KEYS],
        ),
        (
            allow(USE_KEY, "*", Condition={"StringLike": {"kms:ViaService": "*"}} | FOR_SECRET),
            [],
        ),
        (
            allow(USE_KEY, "*", Condition={"StringLike": {"kms:ViaService": "s*.amazonaws.com"}}),
            [FindingType.KMS_ALL_KEYS],
        ),
        (allow(USE_KEY, "*", Condition={"StringLike": {"kms:ViaService": "sq*.amazonaws.com"}}), []),
        (
            allow(
                USE_KEY,
                "*",
                Condition={
                    "StringLike": {"kms:ViaService": "*"},
                    "StringEquals": {"kms:ViaService": "sqs.eu-central-1.amazonaws.com"},
                },
            ),
            [],
        ),
    ],
)
def test_a_grant_on_keys_is_compared_with_those_of_the_secrets(
    statement: dict[str, Any], expected: list[FindingType]
) -> None:
    assert types(statement) == expected


# --- network interfaces ---


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([INTERFACES], [FindingType.NETWORK_INTERFACES_OPEN]),
        ([INTERFACES, KEEP_FROM_CODE], []),
        (
            [
                INTERFACES,
                KEEP_FROM_CODE | {"Condition": {"ArnEquals": {"lambda:SourceFunctionArn": FUNCTION}}},
            ],
            [],
        ),
        # The AWS guide for Lambda denies a function by its name.
        (
            [
                INTERFACES,
                KEEP_FROM_CODE | {"Condition": {"ArnEquals": {"lambda:SourceFunctionArn": FUNCTION + "-other"}}},
            ],
            [FindingType.NETWORK_INTERFACES_OPEN],
        ),
        ([INTERFACES | {"Condition": {"Null": {"lambda:SourceFunctionArn": "true"}}}], []),
        ([allow("ec2:Describe*", "*")], []),
        ([allow("ec2:DeleteNetworkInterface", "*")], [FindingType.NETWORK_INTERFACES_OPEN]),
        (
            [
                INTERFACES,
                {"Effect": "Deny", "Action": "ec2:CreateNetworkInterface", "Resource": "*"},
            ],
            [FindingType.NETWORK_INTERFACES_OPEN],
        ),
        ([allow("ec2:*", "arn:aws:ec2:*:*:instance/*")], []),
        # The form of the AWS Lambda guide.
        (
            [allow("ec2:DeleteNetworkInterface", "arn:aws:ec2:eu-central-1:123456789012:*/*")],
            [FindingType.NETWORK_INTERFACES_OPEN],
        ),
        ([allow("ec2:CreateNetworkInterface", "arn:aws:ec2:*:*:network-interface/*")], []),
    ],
)
def test_network_interfaces_are_for_lambda_alone(statements: list[Any], expected: list[FindingType]) -> None:
    assert types(*statements, needed=IN_VPC) == expected


@pytest.mark.parametrize(
    ("resource", "is_unneeded"),
    [
        ("arn:aws:ec2:eu-central-1:123456789012:*/*", True),
        ("arn:aws:ec2:*:*:network-interface/*", True),
        ("arn:aws:ec2:*:*:network-interface/eni-0123456789abcdef0", True),
        ("arn:aws:ec2", True),
        ("arn:aws:ec2:*:*:instance/*", False),
        ("arn:aws:s3", False),
    ],
)
def test_outside_a_vpc_a_grant_for_interfaces_is_unneeded(resource: str, is_unneeded: bool) -> None:
    assert types(allow("ec2:*", resource)) == ([FindingType.UNNEEDED_GRANT] if is_unneeded else [])


def test_each_function_of_the_role_must_be_kept_from_network_interfaces() -> None:
    two = IN_VPC._replace(function_arns=(FUNCTION, FUNCTION + "-2"))
    deny = KEEP_FROM_CODE | {"Condition": {"ArnEquals": {"lambda:SourceFunctionArn": FUNCTION}}}
    assert types(INTERFACES, deny, needed=two) == [FindingType.NETWORK_INTERFACES_OPEN]
    assert types(INTERFACES, KEEP_FROM_CODE, needed=two) == []


# --- what a finding says ---


def test_an_excess_has_the_policy_the_actions_and_the_resource_as_the_policy_has_them() -> None:
    [found] = excess(allow(["secretsmanager:Get*", "logs:*", "secretsmanager:Put*"], ANY_SECRET))
    assert (found.policy, found.statement, found.sid) == (PolicyName(PolicyKind.INLINE, "policy"), 1, "")
    assert found.actions == Element(("secretsmanager:Get*", "secretsmanager:Put*"))
    assert found.resource == Element((ANY_SECRET,))


def test_the_same_excess_is_reported_once() -> None:
    assert len(excess(allow(GET, ANY_SECRET), allow(GET, [ANY_SECRET, ANY_SECRET]))) == 1
    assert len(excess(allow(GET, [ANY_SECRET, SECOND]))) == 2


def test_only_the_given_policies_are_judged() -> None:
    assert find_excess([], [inline({"Statement": allow("*", "*")}, "own")], None, NEEDED) == []


# --- what limits a wildcard besides ---


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (allow(ROTATE, SECRET), []),
        (allow(ROTATE, ANY_SECRET), [FindingType.OTHER_SECRETS]),
        (allow("*", "*"), [FindingType.OTHER_SECRETS]),
        (allow("logs:*", "*"), []),
    ],
)
def test_a_wildcard_is_only_as_broad_as_the_permissions_boundary(
    statement: dict[str, Any], expected: list[FindingType]
) -> None:
    policies = [inline({"Statement": allow(ROTATE, "*")})]
    found = find_excess(policies, policies, boundary_with({"Statement": [statement]}), NEEDED)
    assert as_types(found) == expected


@pytest.mark.parametrize(
    ("boundary", "expected"),
    [
        (allow("*", "*"), [FindingType.KMS_ALL_KEYS]),
        ({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, [FindingType.KMS_ALL_KEYS]),
        (allow("kms:*", [KEY, KEY.replace("1111", "9999")]), [FindingType.KMS_ALL_KEYS]),
        # As if the key were named.
        (allow("kms:*", KEY), [FindingType.KMS_WITHOUT_CONTEXT]),
        (allow("kms:*", KEY, Condition=FOR_SECRET), []),
    ],
)
def test_a_wildcard_for_keys_is_as_broad_as_the_boundary(boundary: dict[str, Any], expected: list[FindingType]) -> None:
    policies = [inline({"Statement": allow("kms:Decrypt", "*")})]
    assert as_types(find_excess(policies, policies, boundary_with({"Statement": [boundary]}), NEEDED)) == expected


@pytest.mark.parametrize(
    ("statement", "boundary", "expected"),
    [
        # What the boundary does not allow is not granted, and neither is what a name grants.
        (allow("kms:Decrypt", KEY), allow(ROTATE, SECRET), []),
        (allow(ROTATE, SECRET.replace("prod/db", "other")), allow(ROTATE, SECRET), []),
        (allow("secretsmanager:*", SECRET), allow(ROTATE, "*"), []),
        (allow("secretsmanager:*", SECRET), allow("secretsmanager:Delete*", "*"), [FindingType.UNNEEDED_GRANT]),
        # What the boundary leaves of a statement for all services is reported for the next service.
        (allow("*", "*"), allow("kms:*", "*"), [FindingType.KMS_ALL_KEYS]),
        (allow("*", "*"), allow(["kms:*", "ec2:*"], "*"), [FindingType.KMS_ALL_KEYS, FindingType.UNNEEDED_GRANT]),
        (allow("*", "*"), allow(["secretsmanager:*", "kms:*", "ec2:*"], "*"), [FindingType.OTHER_SECRETS]),
        (allow("*", "*"), allow(ROTATE, SECRET), []),
    ],
)
def test_a_grant_is_only_what_the_boundary_leaves_of_it(
    statement: dict[str, Any], boundary: dict[str, Any], expected: list[FindingType]
) -> None:
    policies = [inline({"Statement": statement})]
    assert as_types(find_excess(policies, policies, boundary_with({"Statement": [boundary]}), NEEDED)) == expected


def test_a_boundary_that_names_another_secret_leaves_a_wildcard_too_broad() -> None:
    policies = [inline({"Statement": allow(ROTATE, "*")})]
    boundary = boundary_with({"Statement": [allow(ROTATE, [SECRET, SECRET.replace("prod/db", "other")])]})
    assert as_types(find_excess(policies, policies, boundary, NEEDED)) == [FindingType.OTHER_SECRETS]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        # A statement for all services is one excess if it is one for the secrets.
        (allow("*", "*"), [FindingType.OTHER_SECRETS]),
        ({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, [FindingType.OTHER_SECRETS]),
        (allow("*", [ANY_SECRET, "arn:aws:kms:*:*:key/*"]), [FindingType.OTHER_SECRETS, FindingType.KMS_ALL_KEYS]),
        (
            {"Effect": "Allow", "NotAction": "secretsmanager:*", "Resource": "*"},
            [FindingType.KMS_ALL_KEYS, FindingType.UNNEEDED_GRANT],
        ),
        (
            {"Effect": "Allow", "NotAction": "secretsmanager:*", "NotResource": "arn:aws:s3:::*"},
            [FindingType.KMS_ALL_KEYS, FindingType.UNNEEDED_GRANT],
        ),
        (allow("*", ["arn:aws:kms:*:*:key/*", SECRET]), [FindingType.UNNEEDED_GRANT, FindingType.KMS_ALL_KEYS]),
    ],
)
def test_a_statement_for_all_services_is_reported_for_each_that_it_covers(
    statement: dict[str, Any], expected: list[FindingType]
) -> None:
    assert types(statement) == expected


def test_in_another_region_a_grant_can_be_needed() -> None:
    elsewhere = [each.replace("eu-central-1", "us-east-1") for each in (SECRET, KEY.replace("1111", "9999"))]
    statements = [allow(ROTATE, elsewhere[0]), allow(USE_KEY, elsewhere[1])]
    assert types(*statements) == []
    everywhere = NEEDED._replace(regions={"eu-central-1", "us-east-1"})
    assert types(*statements, needed=everywhere) == [FindingType.UNNEEDED_GRANT] * 2
    assert types(statements[1], needed=everywhere._replace(are_all_keys_known=False)) == []


def test_a_function_that_does_not_exist_yet_must_be_kept_from_network_interfaces() -> None:
    declared = IN_VPC._replace(function_arns=())
    assert types(INTERFACES, needed=declared) == [FindingType.NETWORK_INTERFACES_OPEN]
    assert types(INTERFACES, KEEP_FROM_CODE, needed=declared) == []


def test_no_pattern_matches_the_probe_by_chance() -> None:
    all_but_some = {"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:secretsmanager:*:*:secret:x*"}
    assert FindingType.OTHER_SECRETS in types(all_but_some)


def test_what_not_resource_excludes_is_not_granted() -> None:
    all_but_secrets = {"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:secretsmanager:*:*:secret:*"}
    assert FindingType.OTHER_SECRETS not in types(all_but_secrets)
    all_but_one = {"Effect": "Allow", "Action": "*", "NotResource": SECRET}
    assert FindingType.OTHER_SECRETS in types(all_but_one)


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
@pytest.mark.parametrize(
    ("excluded", "expected"),
    [
        ("arn:PARTITION:secretsmanager:*", False),
        ("arn:*:secretsmanager:*:*:secret:*", False),
        ("arn:PARTITION:secretsmanager:*:123456789012:*", False),
        ("*", False),
        # Secrets of another region, or of this account in any region, remain.
        ("arn:PARTITION:secretsmanager:eu-central-1:123456789012:*", True),
        ("arn:PARTITION:secretsmanager:us-east-1:*:secret:*", True),
        ("arn:PARTITION:secretsmanager:*:111111111111:*", True),
        ("arn:PARTITION:secretsmanager:*:*:secret:prod/*", True),
        ("arn:PARTITION:s3:::*", True),
        ("arn:other:secretsmanager:*", True),
    ],
)
def test_not_resource_is_compared_with_the_partition_the_account_and_the_regions_of_the_secrets(
    partition: str, excluded: str, expected: bool
) -> None:
    needed = NEEDED._replace(rotated_arns={SECRET.replace("arn:aws:", f"arn:{partition}:")})
    statement = {"Effect": "Allow", "Action": "*", "NotResource": excluded.replace("PARTITION", partition)}
    assert (FindingType.OTHER_SECRETS in types(statement, needed=needed)) is expected


LAMBDA_KEY = "secretsmanager:resource/AllowRotationLambdaArn"


@pytest.mark.parametrize(
    "condition",
    [
        {"StringNotEquals": {"aws:ResourceTag/team": "data"}},
        {"StringEqualsIfExists": {"aws:ResourceTag/team": "data"}},
        {"ForAllValues:StringEquals": {"aws:ResourceTag/team": "data"}},
        {"Null": {"aws:ResourceTag/team": "false"}},
        {"StringLike": {"aws:ResourceTag/team": "?*"}},
        {"StringLike": {"secretsmanager:ResourceTag/team": ["**", "data"]}},
        {"StringLike": {LAMBDA_KEY: "*"}},
        {"StringLike": {LAMBDA_KEY: ["**", FUNCTION]}},
        {"StringLike": {LAMBDA_KEY: "arn:*"}},
        {"ArnLike": {LAMBDA_KEY: "arn:aws:lambda:*:*:function:*"}},
        {"StringLike": {LAMBDA_KEY: "arn:aws:lambda:eu-central-1:123456789012:function:*"}},
        {"ArnLike": {LAMBDA_KEY: "arn:aws:lambda:*"}},
        {"StringLike": {"secretsmanager:SecretId": "arn:aws:secretsmanager:*:*:secret:*"}},
        {"ArnLike": {"secretsmanager:SecretId": "arn:aws:secretsmanager:eu-central-1:*:secret:*"}},
        {"StringLike": {"secretsmanager:SecretId": "arn:aws:secretsmanager:*:secret:*"}},
        {"StringLike": {"secretsmanager:SecretId": "*:secret:*"}},
    ],
)
def test_a_condition_that_most_secrets_satisfy_does_not_limit_a_wildcard(condition: dict[str, Any]) -> None:
    assert types(allow(ROTATE, "*", Condition=condition)) == [FindingType.OTHER_SECRETS]


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"aws:ResourceTag/team": "data"}},
        {"StringLike": {"aws:ResourceTag/team": "data-*"}},
        {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}},
        {"ForAnyValue:StringEquals": {"aws:ResourceTag/team": "data"}},
        {"ArnLike": {LAMBDA_KEY: "arn:aws:lambda:*:*:function:rotate-db"}},
        {"StringEquals": {LAMBDA_KEY: f"{FUNCTION}:live"}},
        {"ArnLike": {LAMBDA_KEY: f"{FUNCTION}:*"}},
        {"StringEquals": {LAMBDA_KEY: "${lambda:SourceFunctionArn}"}},
        # The functions of another region are not known.
        {"StringEquals": {LAMBDA_KEY: FUNCTION.replace("eu-central-1", "us-east-1")}},
        {"StringEquals": {"secretsmanager:SecretId": [SECRET]}},
        {"StringLike": {"secretsmanager:SecretId": SECRET[:-6] + "??????"}},
        {"StringEquals": {"secretsmanager:SecretId": "prod/db"}},
        {"StringEquals": {"secretsmanager:SecretId": "${aws:PrincipalTag/secret}"}},
    ],
)
def test_a_condition_that_excludes_secrets_limits_a_wildcard(condition: dict[str, Any]) -> None:
    assert types(allow(ROTATE, "*", Condition=condition)) == []


@pytest.mark.parametrize(
    "condition",
    [
        {"StringLike": {"secretsmanager:SecretId": "arn:aws:secretsmanager:*:*:secret:prod/*"}},
        {"StringEquals": {"secretsmanager:SecretId": [SECRET, OTHER_SECRET]}},
        {"StringEquals": {"secretsmanager:SecretId": "other"}},
        {"StringEquals": {LAMBDA_KEY: [FUNCTION, FUNCTION.replace("rotate-db", "rotate-other")]}},
    ],
)
def test_a_condition_that_names_other_secrets_does_not_limit_a_wildcard(condition: dict[str, Any]) -> None:
    assert types(allow(ROTATE, "*", Condition=condition)) == [FindingType.OTHER_SECRETS]


def test_of_a_function_that_does_not_exist_yet_no_arn_is_known() -> None:
    declared = NEEDED._replace(function_arns=())
    assert types(allow(ROTATE, "*", Condition=FOR_FUNCTION), needed=declared) == []


# --- a Deny that leaves only some ---


def all_but(*resources: str, action: Any = "secretsmanager:*", **members: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": action, "NotResource": list(resources), **members}


@pytest.mark.parametrize(
    ("denial", "remaining"),
    [
        (all_but(SECRET), None),
        (all_but(SECRET, "arn:aws:s3:::*"), None),
        (all_but(SECRET, OTHER_SECRET), (OTHER_SECRET,)),
        (all_but(SECRET, OTHER_SECRET[:-6] + "??????"), (OTHER_SECRET[:-6] + "??????",)),
        # What is broad remains broad.
        (all_but(SECRET, ANY_SECRET), ()),
        (all_but(f"{OTHER_SECRET[:-7]}*"), ()),
        # Not all that the statement allows is denied, or not always.
        (all_but(SECRET, action=GET), ()),
        (all_but(SECRET, Condition={"StringEquals": {"aws:PrincipalTag/team": "data"}}), ()),
        (all_but(SECRET, Condition={"Bool": {"aws:SecureTransport": "false"}}), ()),
        ({"Effect": "Deny", "Action": GET, "Resource": OTHER_SECRET}, ()),
        # A condition on the secret is a limit in a Deny too.
        (
            {
                "Effect": "Deny",
                "Action": "*",
                "Resource": "*",
                "Condition": {"StringNotEquals": {LAMBDA_KEY: FUNCTION}},
            },
            None,
        ),
        (
            {
                "Effect": "Deny",
                "Action": "*",
                "Resource": "*",
                "Condition": {"StringNotEquals": {"aws:ResourceTag/team": "data"}},
            },
            None,
        ),
    ],
)
def test_a_deny_leaves_named_secrets_of_a_wildcard(denial: dict[str, Any], remaining: tuple[str, ...] | None) -> None:
    for policies in (
        [inline({"Statement": [allow(ROTATE, "*"), denial]})],
        [inline({"Statement": denial}, "guard"), inline({"Statement": allow(ROTATE, ANY_SECRET)})],
    ):
        found = find_excess(policies, policies, None, NEEDED)
        assert [each.remaining for each in found] == ([] if remaining is None else [remaining])
        assert as_types(found) == ([] if remaining is None else [FindingType.OTHER_SECRETS])


def test_a_deny_leaves_named_keys_of_a_wildcard() -> None:
    other = KEY.replace("1111", "9999")
    # The function needs the key of its secret with an encryption context, and that of its environment variables.
    for excepted, expected in (
        ([KEY, EARLIER_KEY], [(FindingType.KMS_WITHOUT_CONTEXT, (KEY,))]),
        ([EARLIER_KEY], []),
        ([KEY, other], [(FindingType.KMS_ALL_KEYS, (other,))]),
    ):
        found = excess(allow(USE_KEY, "*"), all_but(*excepted, action="kms:*"))
        assert [(FINDING_TYPES[each.kind], each.remaining) for each in found] == expected
    # The Deny of a boundary counts too.
    boundary = boundary_with({"Statement": [allow("*", "*"), all_but(EARLIER_KEY, action="kms:*")]})
    policies = [inline({"Statement": allow("kms:Decrypt", "*")})]
    assert find_excess(policies, policies, boundary, NEEDED) == []


# --- tags that the role can give ---

TAGGED = {"StringEquals": {"aws:ResourceTag/team": "data"}}
TAG = "secretsmanager:TagResource"


@pytest.mark.parametrize(
    ("statement", "limits"),
    [
        (allow(TAG, "*"), False),
        (allow("secretsmanager:Tag*", ANY_SECRET), False),
        ({"Effect": "Allow", "NotAction": "iam:*", "NotResource": "arn:aws:s3:::*"}, False),
        (allow(TAG, "*", Condition={"StringEquals": {"aws:RequestTag/team": ["data", "web"]}}), False),
        (allow(TAG, "*", Condition={"ForAllValues:StringEquals": {"aws:TagKeys": ["team", "stage"]}}), False),
        # What is open depends on the network.
        (allow(TAG, "*", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), False),
        # Another tag, or another value.
        (allow(TAG, "*", Condition={"StringEquals": {"aws:RequestTag/team": "web"}}), True),
        (allow(TAG, "*", Condition={"ForAllValues:StringEquals": {"aws:TagKeys": ["stage"]}}), True),
        # Only secrets that have the tag already, or that the role rotates.
        (allow(TAG, "*", Condition=TAGGED), True),
        (allow(TAG, "*", Condition=FOR_FUNCTION), True),
        (allow(TAG, SECRET), True),
        (allow(TAG, SECRET[:-6] + "??????"), True),
        # Some of the secrets.
        (allow(TAG, "arn:aws:secretsmanager:eu-central-1:123456789012:secret:test/*"), False),
        (allow(TAG, OTHER_SECRET), False),
    ],
)
def test_a_condition_on_a_tag_does_not_limit_a_role_that_gives_the_tag(statement: dict[str, Any], limits: bool) -> None:
    limited = allow(ROTATE, "*", Condition=TAGGED)
    for some in ([limited, statement], [statement, limited]):
        found = [each for each in excess(*some) if GET in each.actions.patterns]
        assert as_types(found) == ([] if limits else [FindingType.OTHER_SECRETS])
    # In one statement, with the same condition, it cannot. What remains are the tags of its own secret.
    [found_in_one] = excess(allow([*ROTATE, TAG], "*", Condition=TAGGED))
    assert (found_in_one.kind, found_in_one.remaining) == (ExcessKind.SECRET_SHARING, (SECRET,))


def test_the_tag_must_be_for_the_secrets_of_the_wildcard() -> None:
    team = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:test/*"
    other_team = team.replace("test/", "prod/")
    assert types(allow(GET, team, Condition=TAGGED), allow(TAG, team)) == [FindingType.OTHER_SECRETS] * 2
    assert [
        each.resource.patterns[0] for each in excess(allow(GET, team, Condition=TAGGED), allow(TAG, other_team))
    ] == [other_team]
    # A deny, and the boundary.
    assert types(allow(GET, team, Condition=TAGGED), allow(TAG, team), allow(TAG, "*") | {"Effect": "Deny"}) == []
    policies = [inline({"Statement": [allow(GET, team, Condition=TAGGED), allow(TAG, team)]})]
    for action, expected in ((ROTATE, []), ([*ROTATE, TAG], [FindingType.OTHER_SECRETS] * 2)):
        boundary = boundary_with({"Statement": [allow(action, "*")]})
        assert as_types(find_excess(policies, policies, boundary, NEEDED)) == expected


# --- incomplete ARNs ---


@pytest.mark.parametrize(
    ("resource", "instead"),
    [
        (SECRET[:-7], SECRET),
        (SUPERUSER[:-7], SUPERUSER),
        (SECOND[:-7], f"{SECOND[:-7]}-??????"),
        ("arn:aws:secretsmanager:us-east-1:999999999999:secret:x", None),
        # The name of a known secret ends in a hyphen and six characters.
        (MASTER[:-7], MASTER),
        # The ARN of a secret that is not known.
        (MASTER[:-14] + "-orders", ""),
        (SECRET, ""),
    ],
)
def test_an_arn_without_the_random_characters_matches_no_secret(resource: str, instead: str | None) -> None:
    needed = NEEDED._replace(rotated_arns={SECRET, MASTER})
    found = excess(allow(ROTATE, resource), needed=needed)
    if instead == "":
        assert FindingType.INCOMPLETE_ARN not in as_types(found)
        return
    assert [(FINDING_TYPES[each.kind], each.instead) for each in found] == [
        (FindingType.INCOMPLETE_ARN, instead or f"{resource}-??????")
    ]
    # Another action on the secret is as much in vain, one without a resource is not.
    assert types(allow("secretsmanager:DescribeSecret", resource), needed=needed) == [FindingType.INCOMPLETE_ARN]
    assert types(allow(["logs:*", "secretsmanager:GetRandomPassword"], resource), needed=needed) == []


def test_a_superuser_secret_that_only_an_incomplete_arn_shows_cannot_be_read() -> None:
    needed = NEEDED._replace(superuser_arns={SUPERUSER[:-7]})
    assert types(allow(GET, SUPERUSER[:-7]), needed=needed) == [FindingType.INCOMPLETE_ARN]


@pytest.mark.parametrize(
    ("resource", "instead"),
    [
        (SECRET[:-6] + "*", SECRET[:-6] + "??????"),
        # It would not match what it matches now and must.
        ("arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod-*", ""),
        (SECOND[:-6] + "*", ""),
        (SECRET[:-7] + "*", ""),
        (ANY_SECRET, ""),
        (IN_ANY_REGION[:-6] + "*", ""),
    ],
)
def test_a_wildcard_behind_the_name_can_end_in_the_random_characters(resource: str, instead: str) -> None:
    needed = NEEDED._replace(rotated_arns={SECRET, SECRET.replace("prod/db", "prod-db")})
    [found] = excess(allow(ROTATE, resource), needed=needed)
    assert (FINDING_TYPES[found.kind], found.instead) == (FindingType.OTHER_SECRETS, instead)


# --- what the boundary leaves ---


@pytest.mark.parametrize(
    ("resource", "boundary", "remaining"),
    [
        ("*", [SECRET, OTHER_SECRET, SECOND], (OTHER_SECRET, SECOND)),
        ("*", [SECRET, OTHER_SECRET[:-6] + "??????"], (OTHER_SECRET[:-6] + "??????",)),
        ("*", [SECRET], None),
        ("*", [SECRET, IN_ANY_REGION], None),
        ("*", [OTHER_SECRET, ANY_SECRET], ()),
        # The wildcard itself excludes what the boundary names.
        (OTHER_SECRET[:-7] + "*", [SECRET, OTHER_SECRET, SECOND], (OTHER_SECRET,)),
        (OTHER_SECRET[:-7] + "*", [SECRET, SECOND], None),
    ],
)
def test_the_boundary_leaves_named_secrets_of_a_wildcard(
    resource: str, boundary: list[str], remaining: tuple[str, ...] | None
) -> None:
    policies = [inline({"Statement": allow(ROTATE, resource)})]
    found = find_excess(policies, policies, boundary_with({"Statement": allow(ROTATE, boundary)}), NEEDED)
    assert [each.remaining for each in found] == ([] if remaining is None else [remaining])
    assert as_types(found) == ([] if remaining is None else [FindingType.OTHER_SECRETS])


def test_the_boundary_leaves_named_keys_of_a_wildcard() -> None:
    other = KEY.replace("1111", "9999")
    boundary = boundary_with({"Statement": [allow("kms:*", [KEY, other])]})
    policies = [inline({"Statement": {"Effect": "Allow", "Action": "kms:Decrypt", "NotResource": "arn:aws:s3:::*"}})]
    [found] = find_excess(policies, policies, boundary, NEEDED)
    assert (FINDING_TYPES[found.kind], found.remaining) == (FindingType.KMS_ALL_KEYS, (other,))
    excluding = [inline({"Statement": {"Effect": "Allow", "Action": "kms:Decrypt", "NotResource": [KEY, other]}})]
    assert find_excess(excluding, excluding, boundary, NEEDED) == []
