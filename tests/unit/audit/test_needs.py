"""What the policies of a role show about the superuser secret and the targets."""

from typing import Any

import pytest

from rotation_role_policy.audit.needs import Needs, infer_needs
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.own_policies import own_policies
from rotation_role_policy.rules.state import Secret
from tests.support.iam import inline
from tests.unit.rules.test_policy import (
    CACHE_USER,
    CLUSTER,
    DIRECTORY,
    INSTANCE,
    REDSHIFT,
    SECOND,
    SECRET,
    SUPERUSER,
    state,
)

ROTATE = [
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
]
GET = "secretsmanager:GetSecretValue"


def allow(action: Any, resource: Any, **members: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **members}


def inferred(*statements: dict[str, Any]) -> Needs:
    """Return what one document shows about a function that rotates `SECRET`."""
    return infer_needs([inline({"Version": "2012-10-17", "Statement": list(statements)})], {SECRET})


# --- the provider's own policies ---


@pytest.mark.parametrize("profile", ["Strict", "Documented"])
@pytest.mark.parametrize("in_vpc", [True, False])
def test_a_policy_of_the_provider_is_recognized(profile: str, in_vpc: bool) -> None:
    document = policy.document(state(Secret(SECRET, None), Secret(SECOND, None), in_vpc=in_vpc), profile)
    assert own_policies({"DatabaseRotationPolicy-697baaecb2ba": document, "other": document}) == {
        "DatabaseRotationPolicy-697baaecb2ba": document
    }


@pytest.mark.parametrize(
    "statements",
    [
        [],
        [{}],
        [allow("*", "*")],
        [allow(ROTATE[:3], SECRET)],
        [allow([*ROTATE, "secretsmanager:DeleteSecret"], SECRET)],
        [allow(ROTATE, "*")],
        [allow(ROTATE, SECRET[:-6] + "??????")],
        [allow(ROTATE, [SECRET, "arn:aws:secretsmanager:*:*:secret:*"])],
        [allow(["secretsmanager:GetRandomPassword"], "*"), allow(ROTATE, SECRET)],
        {"Effect": "Allow", "NotAction": "iam:*", "NotResource": SECRET},
    ],
)
def test_another_policy_with_such_a_name_is_not_the_provider_s(statements: Any) -> None:
    assert own_policies({"DatabaseRotationPolicy-697baaecb2ba": {"Statement": statements}}) == {}


@pytest.mark.parametrize("name", ["rotation", "Rotation-697BAAECB2BA", "Rotation-697baaecb2b", "a-b-697baaecb2ba"])
def test_a_policy_with_another_name_is_not_the_provider_s(name: str) -> None:
    assert own_policies({name: policy.document(state(), "Strict")}) == {}


# --- the superuser secret ---


@pytest.mark.parametrize(
    ("statements", "superusers"),
    [
        # The user guide's policy for the alternating users strategy.
        ([allow(ROTATE, SECRET), allow([GET], SUPERUSER)], [SUPERUSER]),
        ([allow(ROTATE, SECRET), allow(GET, [SUPERUSER])], [SUPERUSER]),
        ([allow(ROTATE, SECRET)], []),
        # Without the random characters the pattern means the same secret.
        ([allow(ROTATE, SECRET), allow(GET, SUPERUSER[:-6] + "??????")], [SUPERUSER[:-6] + "??????"]),
        ([allow(GET, [SECRET, SUPERUSER])], [SUPERUSER]),
        ([allow("secretsmanager:Get*", SUPERUSER)], [SUPERUSER]),
        ([allow(["SecretsManager:getsecretvalue"], SUPERUSER)], [SUPERUSER]),
        # The order of the policies, without duplicates.
        ([allow(GET, [SUPERUSER, SECOND]), allow(GET, SECOND)], [SUPERUSER, SECOND]),
        # Whatever else the role may do with it: nobody rotates it with this role.
        ([allow(ROTATE, SECRET), allow(ROTATE, SECOND)], [SECOND]),
        ([allow("secretsmanager:*", SECOND)], [SECOND]),
        ([allow(GET, SECOND), allow("secretsmanager:PutSecretValue", SECOND)], [SECOND]),
        # Nothing names a secret.
        ([allow(ROTATE, SECRET), allow(GET, "*")], []),
        ([allow(GET, SUPERUSER[:-6] + "*")], []),
        ([allow(GET, "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/*")], []),
        ([allow("*", "*")], []),
        ([{"Effect": "Allow", "NotAction": "iam:*", "Resource": SUPERUSER}], [SUPERUSER]),
        ([{"Effect": "Allow", "NotAction": "secretsmanager:*", "Resource": SUPERUSER}], []),
        ([{"Effect": "Allow", "Action": GET, "NotResource": SUPERUSER}], []),
        ([allow(GET, SUPERUSER) | {"Effect": "Deny"}], []),
        ([allow("secretsmanager:DescribeSecret", SUPERUSER)], []),
        # A grant on the rotated secret, in each of its forms.
        ([allow(GET, SECRET[:-6] + "??????")], []),
        ([allow(GET, SECRET[:-7])], []),
    ],
)
def test_a_secret_that_the_role_may_only_read_is_taken_for_the_superuser_secret(
    statements: list[dict[str, Any]], superusers: list[str]
) -> None:
    assert list(inferred(*statements).superuser_ids) == superusers


def test_the_statement_and_the_document_can_be_in_any_form_and_any_policy() -> None:
    single = inline({"Statement": allow(GET, SUPERUSER)})
    assert infer_needs([inline({}), inline({"Statement": []}), single], [SECRET]).superuser_ids == (SUPERUSER,)
    writes = inline({"Statement": allow("secretsmanager:PutSecretValue", SUPERUSER)})
    assert infer_needs([single, writes], [SECRET]).superuser_ids == (SUPERUSER,)
    assert infer_needs([single], [SECRET]).writable_ids == frozenset()
    assert infer_needs([single, writes], [SECRET]).writable_ids == {SUPERUSER}


def test_the_china_partition_has_secrets_and_targets_too() -> None:
    superuser, cluster = (text.replace("arn:aws:", "arn:aws-cn:") for text in (SUPERUSER, CLUSTER))
    found = inferred(allow(GET, superuser), allow("rds:DescribeDBClusters", cluster))
    assert (found.superuser_ids, found.target_arns) == ((superuser,), (cluster,))


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([allow(GET, SUPERUSER)], False),
        ([allow([GET, "secretsmanager:DescribeSecret"], SUPERUSER)], True),
        ([allow(GET, SUPERUSER), allow("secretsmanager:Describe*", SUPERUSER)], True),
        ([allow(GET, SUPERUSER), allow("secretsmanager:DescribeSecret", SECRET)], False),
    ],
)
def test_a_superuser_secret_can_be_described(statements: list[dict[str, Any]], expected: bool) -> None:
    assert inferred(*statements).describes_superuser is expected


# --- targets ---


@pytest.mark.parametrize(
    ("statements", "targets"),
    [
        ([allow("rds:DescribeDBInstances", INSTANCE)], [INSTANCE]),
        ([allow("rds:Describe*", [INSTANCE, CLUSTER])], [INSTANCE, CLUSTER]),
        ([allow("*", CACHE_USER)], [CACHE_USER]),
        ([allow("ds:ResetUserPassword", DIRECTORY)], [DIRECTORY]),
        # The action of another type, or no resource that is a target.
        ([allow("rds:DescribeDBInstances", CLUSTER)], []),
        ([allow("rds:DescribeDBInstances", "*")], []),
        ([allow("rds:DescribeDBInstances", "arn:aws:rds:*:*:db:*")], []),
        ([allow("rds:DeleteDBInstance", INSTANCE)], []),
        # No action on a Redshift target is needed.
        ([allow("redshift:DescribeClusters", REDSHIFT)], []),
    ],
)
def test_a_grant_on_a_target_declares_it(statements: list[dict[str, Any]], targets: list[str]) -> None:
    assert list(inferred(*statements).target_arns) == targets


@pytest.mark.parametrize("profile", ["Strict", "Documented"])
def test_the_provider_s_policy_shows_what_its_resource_declares(profile: str) -> None:
    targets = (INSTANCE, CLUSTER, CACHE_USER, DIRECTORY)
    inspected = state(superuser=Secret(SUPERUSER, None, managed_by="rds"), targets=targets)
    found = infer_needs([inline(policy.document(inspected, profile))], {SECRET})
    assert found == Needs((SUPERUSER,), targets, describes_superuser=True)
