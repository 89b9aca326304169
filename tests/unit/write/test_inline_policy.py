"""The inline policy on the role: size, put, read and delete."""

import json

import pytest

from rotation_role_policy.errors import AwsApiError, RequestError
from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.rules.size import ROLE_LIMIT, size
from rotation_role_policy.rules.statements import ROTATE_ACTIONS
from rotation_role_policy.write import inline_policy
from tests.support.account import Account, WatchedAws, error

SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:"
DOCUMENT: JsonDocument = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["secretsmanager:GetRandomPassword"], "Resource": "*"}],
}


def document_of(characters: int) -> str:
    """Return a policy document of this number of characters, as IAM counts them."""
    statement = '{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::%s"}'
    text = f'{{"Version": "2012-10-17",\n  "Statement": [{statement}]}}'
    fixed = sum(not character.isspace() for character in text % "")
    return text % ("x" * (characters - fixed))


@pytest.fixture
def aws(account: Account) -> WatchedAws:
    """Return AWS with the role ``rotation-role``."""
    account.role()
    return WatchedAws(account)


def test_a_policy_is_put_read_and_deleted_by_its_name(aws: WatchedAws, account: Account) -> None:
    assert inline_policy.read(aws, "rotation-role", "own") is None
    inline_policy.put(aws, "rotation-role", "own", DOCUMENT)
    assert inline_policy.read(aws, "rotation-role", "own") == DOCUMENT
    assert inline_policy.delete(aws, "rotation-role", "own") is True
    assert inline_policy.delete(aws, "rotation-role", "own") is False
    assert account.policies() == {}


def test_a_missing_role_is_an_error_for_put_and_read_others_but_not_for_read_and_delete(aws: WatchedAws) -> None:
    assert inline_policy.read(aws, "gone", "own") is None
    assert inline_policy.delete(aws, "gone", "own") is False
    with pytest.raises(RequestError, match='The role "gone" does not exist in this account'):
        inline_policy.put(aws, "gone", "own", DOCUMENT)
    with pytest.raises(RequestError, match='The role "gone" does not exist in this account'):
        inline_policy.read_others(aws, "gone", "own")


def test_restore_puts_the_former_document(aws: WatchedAws, account: Account) -> None:
    inline_policy.put(aws, "rotation-role", "own", DOCUMENT | {"Id": "new"})
    inline_policy.restore(aws, "rotation-role", "own", DOCUMENT)
    assert account.policies() == {"own": DOCUMENT}


def test_restore_deletes_the_policy_if_there_was_none_before(aws: WatchedAws, account: Account) -> None:
    for name in ("own", "other"):
        inline_policy.put(aws, "rotation-role", name, DOCUMENT)
    inline_policy.restore(aws, "rotation-role", "own", None)
    assert account.policies() == {"other": DOCUMENT}


def test_a_non_ascii_character_counts_as_one_character() -> None:
    assert size({"ü": "é"}) == len('{"ü":"é"}')


def test_white_space_does_not_count() -> None:
    assert size({"a": "b  c\n\t"}) == len('{"a":"bc"}') + len("\\n\\t")
    assert size(json.loads(document_of(500))) == 500


@pytest.mark.parametrize(("room", "fits"), [(0, True), (1, True), (-1, False)])
def test_all_inline_policies_of_a_role_together_have_at_most_10240_characters(
    aws: WatchedAws, account: Account, room: int, fits: bool
) -> None:
    other_size = ROLE_LIMIT - size(DOCUMENT) - room
    iam = account.client("iam")
    iam.put_role_policy(RoleName="rotation-role", PolicyName="a", PolicyDocument=document_of(other_size - 4000))
    iam.put_role_policy(RoleName="rotation-role", PolicyName="b", PolicyDocument=document_of(4000))
    # The policy with the own name is replaced, so its size does not count.
    iam.put_role_policy(RoleName="rotation-role", PolicyName="own", PolicyDocument=document_of(5000))
    others = inline_policy.read_others(aws, "rotation-role", "own")
    assert list(others) == ["a", "b"]
    if fits:
        inline_policy.check_size("rotation-role", DOCUMENT, others)
        return
    with pytest.raises(RequestError) as rejected:
        inline_policy.check_size("rotation-role", DOCUMENT, others)
    own = size(DOCUMENT)
    assert str(rejected.value).startswith(
        f'The role "rotation-role" is full: with this policy ({own} characters), its inline policies would have 10,241'
        f" characters, and IAM allows 10,240."
    )
    assert len(str(rejected.value)) <= 240
    assert rejected.value.error_code == "ServiceLimitExceeded"


def test_the_inline_policies_are_measured_only_after_iam_rejects_the_policy(aws: WatchedAws, account: Account) -> None:
    inline_policy.put(aws, "rotation-role", "other", json.loads(document_of(10_200)))
    # The current document of the policy does not count, because the new one replaces it.
    inline_policy.put(aws, "rotation-role", "own", json.loads(document_of(120)))
    assert "iam:ListRolePolicies" not in account.actions()
    account.faults["iam:PutRolePolicy"] = [error("LimitExceeded")]
    own = size(DOCUMENT)
    with pytest.raises(RequestError) as rejected:
        inline_policy.put(aws, "rotation-role", "own", DOCUMENT)
    assert str(rejected.value) == (
        f'The role "rotation-role" is full: with this policy ({own} characters), its inline policies would have'
        f" {10_200 + own:,} characters, and IAM allows 10,240. Move other inline policies to a managed policy,"
        " or give the function a role of its own."
    )


@pytest.mark.parametrize("code", ["", "AccessDenied", "ServiceFailure"])
def test_a_full_role_is_an_error_even_if_its_policies_cannot_be_measured(
    aws: WatchedAws, account: Account, code: str
) -> None:
    account.faults["iam:PutRolePolicy"] = [error("LimitExceeded")]
    account.faults["iam:ListRolePolicies"] = [error(code)] if code else []
    with pytest.raises(RequestError) as rejected:
        inline_policy.put(aws, "rotation-role", "own", DOCUMENT)
    own = size(DOCUMENT)
    assert str(rejected.value).startswith(
        f'The role "rotation-role" is full: with this policy ({own} characters), its inline policies would have more'
        f" than 10,240 characters, and IAM allows 10,240."
    )


@pytest.mark.parametrize(
    ("action", "call"),
    [
        ("iam:GetRolePolicy", lambda aws: inline_policy.read(aws, "rotation-role", "own")),
        ("iam:ListRolePolicies", lambda aws: inline_policy.read_others(aws, "rotation-role", "own")),
        ("iam:PutRolePolicy", lambda aws: inline_policy.put(aws, "rotation-role", "own", DOCUMENT)),
        ("iam:DeleteRolePolicy", lambda aws: inline_policy.delete(aws, "rotation-role", "own")),
    ],
)
def test_any_other_error_of_aws_is_raised(aws: WatchedAws, account: Account, action: str, call: object) -> None:
    account.faults[action] = [error("ServiceFailure", "down")]
    with pytest.raises(AwsApiError, match=f'{action} failed with ServiceFailure: "down"'):
        call(aws)  # type: ignore[operator]


def test_a_service_linked_role_has_nothing_to_delete(aws: WatchedAws, account: Account) -> None:
    account.faults["iam:DeleteRolePolicy"] = [error("UnmodifiableEntity")]
    assert inline_policy.delete(aws, "rotation-role", "own") is False


def test_a_service_linked_role_is_rejected(aws: WatchedAws, account: Account) -> None:
    account.faults["iam:PutRolePolicy"] = [error("UnmodifiableEntity")]
    with pytest.raises(RequestError, match='"rotation-role" is a service-linked role') as rejected:
        inline_policy.put(aws, "rotation-role", "own", DOCUMENT)
    assert rejected.value.error_code == "InvalidRequest"


def test_a_role_that_is_full_of_the_providers_policies_needs_another_advice(aws: WatchedAws, account: Account) -> None:
    own = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": list(ROTATE_ACTIONS), "Resource": f"{SECRET}{'x' * 400}-AbCdEf"},
        ],
    }
    for number in range(7):
        name = f"Policy{number}-0123456789ab"
        inline_policy.put(aws, "rotation-role", name, own | {"Id": "x" * 800})
    inline_policy.put(aws, "rotation-role", "logs", json.loads(document_of(200)))
    others = inline_policy.read_others(aws, "rotation-role", "own")
    with pytest.raises(RequestError) as rejected:
        inline_policy.check_size("rotation-role", json.loads(document_of(2000)), others)
    assert str(rejected.value).endswith(
        "Inline policies of other Custom::RotationRolePolicy resources on this role: 7. List all secrets of the"
        " function in SecretIds of one resource, or give each function a role of its own."
    )
