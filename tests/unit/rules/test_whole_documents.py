"""Whole documents for combinations of properties, with every form of a key ID."""

import itertools
from typing import Any

import pytest

from rotation_role_policy.lookup.resource import inspect
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.properties import parse_properties
from tests.support.account import ACCOUNT, PLACE, REGION, Account, AlteredAws, managed_secret
from tests.unit.rules.test_policy import KEEP, MANAGE, PASSWORD, documented, key_statement, rotate

CLUSTER = f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:prod"
ARN_OF_ALIASES = f"arn:aws:kms:{REGION}:{ACCOUNT}:"
KEY_ID_FORMS = ("none", "alias-of-aws", "alias-arn-of-aws", "id", "arn", "alias", "alias-arn")
CUSTOMER_MANAGED = KEY_ID_FORMS[3:]
SUPERUSERS = ("none", "default-key", "own-key", "same-key", "managed")
PROFILES = ("Strict", "Documented")
COMBINATIONS = list(
    itertools.product(KEY_ID_FORMS, SUPERUSERS, ("1", "2"), ("outside", "inside"), ("inspected", "declared"), PROFILES)
)


@pytest.fixture(scope="module")
def arns(shared_account: Account) -> dict[str, str]:
    """Return the full ARNs of keys and secrets by name. The name of a secret tells the form of its key ID."""
    account = shared_account
    key, own_key = account.key(), account.key()
    account.client("kms").create_alias(AliasName="alias/mine", TargetKeyId=key)
    key_ids = {
        "none": None,
        "alias-of-aws": "alias/aws/secretsmanager",
        "alias-arn-of-aws": f"{ARN_OF_ALIASES}alias/aws/secretsmanager",
        "id": key.rpartition("/")[2],
        "arn": key,
        "alias": "alias/mine",
        "alias-arn": f"{ARN_OF_ALIASES}alias/mine",
    }
    arns = {"key": key, "own": own_key}
    for key_id_form, key_id in key_ids.items():
        for number in (1, 2):
            name = f"{key_id_form}-{number}"
            arns[name] = account.secret(name, key_id)
    arns |= {"default-key": account.secret("default-key"), "own-key": account.secret("own-key", own_key)}
    arns |= {"same-key": account.secret("same-key", key), "managed": account.secret("managed", own_key)}
    account.function(account.role("outside"), "outside")
    account.function(account.role("inside"), "inside", account.vpc())
    return arns


def expected(arns: dict[str, str], names: list[str], superuser: str, function: str) -> list[dict[str, Any]]:
    """Return the statements of `Strict`."""
    secrets = [arns[name] for name in names]
    resource = secrets if len(secrets) > 1 else secrets[0]
    statements = [rotate(resource), PASSWORD]
    if names[0].rpartition("-")[0] in CUSTOMER_MANAGED:
        actions = ["kms:Decrypt", "kms:GenerateDataKey"]
        statements.append(key_statement("UseSecretKey", actions, arns["key"], resource))
    if superuser != "none":
        arn = arns[superuser]
        read = {"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"], "Resource": arn}
        statements.append({"Sid": "ReadSuperuserSecret", **read})
        if superuser != "default-key":
            key = arns["key" if superuser == "same-key" else "own"]
            statements.append(key_statement("UseSuperuserKey", ["kms:Decrypt"], key, arn))
        if superuser == "managed":
            describe = {"Effect": "Allow", "Action": ["secretsmanager:DescribeSecret"], "Resource": arn}
            statements.append({"Sid": "DescribeSuperuserSecret", **describe})
            database = {"Effect": "Allow", "Action": ["rds:DescribeDBClusters"], "Resource": CLUSTER}
            statements.append({"Sid": "DescribeSuperuserDatabase", **database})
    return statements + ([MANAGE, KEEP] if function == "inside" else [])


@pytest.fixture(scope="module")
def aws(shared_account: Account) -> AlteredAws:
    """Return the account as the provider sees it."""
    tags = [{"Key": "aws:rds:primaryDBClusterArn", "Value": CLUSTER}]
    return managed_secret(shared_account, OwningService="rds", Tags=tags)


@pytest.mark.parametrize("combination", COMBINATIONS, ids="-".join)
def test_the_document_follows_from_the_properties_and_the_responses_of_aws(
    aws: AlteredAws, arns: dict[str, str], combination: tuple[str, ...]
) -> None:
    key_id_form, superuser, count, function, mode, profile = combination
    names = [f"{key_id_form}-{number}" for number in ("1", "2")][: int(count)]
    properties: dict[str, Any] = {"SecretId": names[0]} if count == "1" else {"SecretIds": names}
    if superuser != "none":
        properties["SuperuserSecretId"] = superuser
    if mode == "inspected":
        properties["RotationLambdaARN"] = function
    else:
        subnets = ["subnet-0123456789abcdef0"] if function == "inside" else []
        properties |= {"RoleName": function, "VpcConfig": {"SubnetIds": subnets}}

    document = policy.document(inspect(aws, parse_properties(properties), PLACE), profile)

    statements = expected(arns, names, superuser, function)
    if profile == "Documented":
        statements = documented(statements)
    assert document == {"Version": "2012-10-17", "Statement": statements}
