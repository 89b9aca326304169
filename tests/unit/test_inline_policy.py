"""The inline policy on the role: measured as IAM measures it, put and deleted by name."""

import json

import pytest

from rotation_role_policy import inline_policy
from rotation_role_policy.errors import CallFailed, Refused
from rotation_role_policy.policy import Document
from tests.support.world import WatchedAws, World, error

DOCUMENT: Document = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["secretsmanager:GetRandomPassword"], "Resource": "*"}],
}


def document_of(characters: int) -> str:
    """A policy of so many characters, white space not counted, in IAM's own count."""
    statement = '{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::%s"}'
    text = f'{{"Version": "2012-10-17",\n  "Statement": [{statement}]}}'
    fixed = sum(not character.isspace() for character in text % "")
    return text % ("x" * (characters - fixed))


@pytest.fixture
def aws(world: World) -> WatchedAws:
    """AWS with the role ``rotation-role``."""
    world.role()
    return WatchedAws(world)


def test_a_policy_is_put_read_and_deleted_by_its_name(aws: WatchedAws, world: World) -> None:
    assert inline_policy.read(aws, "rotation-role", "own") is None
    inline_policy.put(aws, "rotation-role", "own", DOCUMENT)
    assert inline_policy.read(aws, "rotation-role", "own") == DOCUMENT
    assert inline_policy.delete(aws, "rotation-role", "own") is True
    assert inline_policy.delete(aws, "rotation-role", "own") is False
    assert world.policies() == {}


def test_a_role_that_is_gone_is_refused_on_writing_and_nothing_on_deleting(aws: WatchedAws) -> None:
    assert inline_policy.read(aws, "gone", "own") is None
    assert inline_policy.delete(aws, "gone", "own") is False
    with pytest.raises(Refused, match='The role "gone" does not exist in this account'):
        inline_policy.put(aws, "gone", "own", DOCUMENT)
    with pytest.raises(Refused, match='The role "gone" does not exist in this account'):
        inline_policy.read_others(aws, "gone", "own")


def test_what_stood_there_is_put_back(aws: WatchedAws, world: World) -> None:
    inline_policy.put(aws, "rotation-role", "own", DOCUMENT | {"Id": "new"})
    inline_policy.restore(aws, "rotation-role", "own", DOCUMENT)
    assert world.policies() == {"own": DOCUMENT}


def test_where_nothing_stood_nothing_is_left(aws: WatchedAws, world: World) -> None:
    for name in ("own", "other"):
        inline_policy.put(aws, "rotation-role", name, DOCUMENT)
    inline_policy.restore(aws, "rotation-role", "own", None)
    assert world.policies() == {"other": DOCUMENT}


def test_a_character_counts_as_one_in_whatever_alphabet() -> None:
    assert inline_policy.size({"ü": "é"}) == len('{"ü":"é"}')


def test_white_space_does_not_count() -> None:
    assert inline_policy.size({"a": "b  c\n\t"}) == len('{"a":"bc"}') + len("\\n\\t")
    assert inline_policy.size(json.loads(document_of(500))) == 500


@pytest.mark.parametrize(("room", "fits"), [(0, True), (1, True), (-1, False)])
def test_the_limit_is_10240_characters_of_all_inline_policies_together(
    aws: WatchedAws, world: World, room: int, fits: bool
) -> None:
    theirs = inline_policy.ROLE_LIMIT - inline_policy.size(DOCUMENT) - room
    iam = world.client("iam")
    iam.put_role_policy(RoleName="rotation-role", PolicyName="a", PolicyDocument=document_of(theirs - 4000))
    iam.put_role_policy(RoleName="rotation-role", PolicyName="b", PolicyDocument=document_of(4000))
    # What stands there under its own name is replaced: it does not count.
    iam.put_role_policy(RoleName="rotation-role", PolicyName="own", PolicyDocument=document_of(5000))
    others = inline_policy.read_others(aws, "rotation-role", "own")
    assert list(others) == ["a", "b"]
    if fits:
        inline_policy.check_size("rotation-role", DOCUMENT, others.values())
        return
    with pytest.raises(Refused) as refused:
        inline_policy.check_size("rotation-role", DOCUMENT, others.values())
    own = inline_policy.size(DOCUMENT)
    assert str(refused.value).startswith(
        f'The role "rotation-role" is full: with this policy ({own} characters) its inline policies would have 10,241'
        f" characters; IAM allows 10,240."
    )
    assert len(str(refused.value)) <= 240
    assert refused.value.kind == "Limit"


def test_what_fills_a_role_is_measured_when_iam_has_refused_it(aws: WatchedAws, world: World) -> None:
    inline_policy.put(aws, "rotation-role", "theirs", json.loads(document_of(10_200)))
    assert "iam:ListRolePolicies" not in world.actions()
    world.faults["iam:PutRolePolicy"] = [error("LimitExceeded")]
    own = inline_policy.size(DOCUMENT)
    with pytest.raises(Refused, match=f"would have {10_200 + own:,} characters; IAM allows 10,240"):
        inline_policy.put(aws, "rotation-role", "own", DOCUMENT)


@pytest.mark.parametrize("code", ["", "AccessDenied", "ServiceFailure"])
def test_a_full_role_is_refused_even_if_its_policies_cannot_be_measured(
    aws: WatchedAws, world: World, code: str
) -> None:
    world.faults["iam:PutRolePolicy"] = [error("LimitExceeded")]
    world.faults["iam:ListRolePolicies"] = [error(code)] if code else []
    with pytest.raises(Refused) as refused:
        inline_policy.put(aws, "rotation-role", "own", DOCUMENT)
    own = inline_policy.size(DOCUMENT)
    assert str(refused.value).startswith(
        f'The role "rotation-role" is full: with this policy ({own} characters) its inline policies would have more'
        f" than 10,240 characters; IAM allows 10,240."
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
def test_any_other_failure_is_passed_on(aws: WatchedAws, world: World, action: str, call: object) -> None:
    world.faults[action] = [error("ServiceFailure", "down")]
    with pytest.raises(CallFailed, match=f'"down" .{action} answered ServiceFailure'):
        call(aws)  # type: ignore[operator]


def test_a_role_that_only_aws_can_modify_has_nothing_to_delete(aws: WatchedAws, world: World) -> None:
    world.faults["iam:DeleteRolePolicy"] = [error("UnmodifiableEntity")]
    assert inline_policy.delete(aws, "rotation-role", "own") is False


def test_a_role_that_only_aws_can_modify_is_refused(aws: WatchedAws, world: World) -> None:
    world.faults["iam:PutRolePolicy"] = [error("UnmodifiableEntity")]
    with pytest.raises(Refused, match='"rotation-role" is a service-linked role') as refused:
        inline_policy.put(aws, "rotation-role", "own", DOCUMENT)
    assert refused.value.kind == "Role"
