"""The statements of a role today beside the needed ones: which belong together, and what differs."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rotation_role_policy.audit.report import RoleStatement
from rotation_role_policy.iam.document import as_list
from rotation_role_policy.rules import policy
from rotation_role_policy_cli.audit.page.comparison import Column, Row, RowKind, compare, needed_by_all
from tests.support.audit_report import KEY, rotation, secret_arn

ORDERS, USERS = rotation("prod/orders"), rotation("prod/users")
NEEDED = needed_by_all([ORDERS.statements or ()])
READ, PUT = "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"


def statement(actions: Any, resources: Any, effect: str = "Allow", **members: Any) -> RoleStatement:
    return RoleStatement("today", 1, {"Effect": effect, "Action": actions, "Resource": resources, **members})


def row(rows: list[Row], sid: str) -> Row:
    [found] = [each for each in rows if each.needed and each.needed.name == sid]
    return found


def only_here(column: Column | None) -> list[str]:
    return [line.text for line in column.lines if line.is_only_here] if column else []


def texts(column: Column) -> list[str]:
    return [line.text for line in column.lines]


def of_today(rows: list[Row], kind: RowKind) -> list[list[str]]:
    return [texts(column) for each in rows if each.kind is kind for column in each.today]


def test_the_policy_of_the_provider_for_several_secrets_is_what_they_need_together() -> None:
    state = ORDERS.state
    assert state
    assert USERS.state
    both = replace(state, secrets=(*state.secrets, *USERS.state.secrets))
    document = as_list(policy.document(both)["Statement"])
    needed = needed_by_all([ORDERS.statements or (), USERS.statements or ()])
    today = [RoleStatement("own", each["Sid"], each) for each in document]
    assert {each.kind for each in compare(today, needed)} == {RowKind.SAME}
    # The order of the secrets does not matter.
    turned = needed_by_all([USERS.statements or (), ORDERS.statements or ()])
    assert {each.kind for each in compare(today, turned)} == {RowKind.SAME}


def test_secrets_under_different_keys_keep_their_statements_apart() -> None:
    other = rotation("prod/users")
    assert other.state
    other = replace(other, state=replace(other.state, secrets=(replace(other.state.secrets[0], key_arn=f"{KEY}2"),)))
    keys = [each for each in needed_by_all([ORDERS.statements or (), other.statements or ()]) if "kms" in str(each)]
    assert [each["Resource"] for each in keys] == [[KEY], [f"{KEY}2"]]


def test_an_action_is_the_same_in_any_case_and_an_arn_is_not() -> None:
    actions = [each.upper() for each in NEEDED[0]["Action"]]
    assert row(compare([statement(actions, secret_arn("prod/orders"))], NEEDED), "RotateSecret").kind is RowKind.SAME
    found = row(compare([statement(actions, secret_arn("prod/*"))], NEEDED), "RotateSecret")
    assert only_here(found.today[0]) == [secret_arn("prod/*")]
    assert only_here(found.needed) == [secret_arn("prod/orders")]


def test_several_statements_belong_to_one() -> None:
    today = [statement(READ, secret_arn("prod/orders")), statement([PUT], "*")]
    found = row(compare(today, NEEDED), "RotateSecret")
    assert [texts(each) for each in found.today] == [[READ, secret_arn("prod/orders")], [PUT, "*"]]
    assert only_here(found.needed) == ["secretsmanager:DescribeSecret", "secretsmanager:UpdateSecretVersionStage"]


def test_the_rest_of_a_statement_has_a_row_of_its_own() -> None:
    resources = [secret_arn("prod/orders"), secret_arn("admin")]
    rows = compare([statement([READ, "secretsmanager:DeleteSecret", "s3:GetObject", "logs:*"], resources)], NEEDED)
    assert texts(row(rows, "RotateSecret").today[0]) == [READ, secret_arn("prod/orders")]
    # Of other services, only the owner of the function knows what it needs.
    assert of_today(rows, RowKind.ONLY_TODAY) == [
        ["secretsmanager:DeleteSecret", *resources],
        [READ, secret_arn("admin")],
    ]


def test_negated_elements_are_shown_as_such() -> None:
    allowed = RoleStatement("today", 1, {"Effect": "Allow", "NotAction": "iam:*", "NotResource": secret_arn("admin")})
    rows = compare([allowed], NEEDED)
    assert texts(row(rows, "RotateSecret").today[0]) == ["all but iam:*", f"all but {secret_arn('admin')}"]
    assert of_today(rows, RowKind.ONLY_TODAY) == []
    excluded = RoleStatement("today", 1, {"Effect": "Allow", "NotAction": "secretsmanager:*", "Resource": "*"})
    assert row(compare([excluded], NEEDED), "RotateSecret").kind is RowKind.MISSING


def test_a_condition_is_compared_too() -> None:
    condition = {"StringEquals": {"aws:PrincipalTag/team": ["b", "a"]}, "Null": {"aws:TokenIssueTime": True}}
    today = statement(NEEDED[0]["Action"], secret_arn("prod/orders"), Condition=condition)
    found = row(compare([today], NEEDED), "RotateSecret")
    conditions = ["aws:PrincipalTag/team StringEquals a, b", "aws:TokenIssueTime is absent"]
    assert (found.kind, only_here(found.today[0])) == (RowKind.DIFFERENT, conditions)


def test_a_deny_of_today_stays_unless_it_is_the_needed_one() -> None:
    needed_deny = NEEDED[-1]
    assert needed_deny["Effect"] == "Deny"
    rows = compare([RoleStatement("own", 1, needed_deny), statement("kms:*", "*", "Deny")], NEEDED)
    assert row(rows, needed_deny["Sid"]).kind is RowKind.SAME
    assert of_today(rows, RowKind.DENY) == [["kms:*", "*"]]


ACTIONS = st.lists(
    st.sampled_from([READ, PUT, "secretsmanager:*", "*", "kms:Decrypt", "kms:*", "ec2:*", "secretsmanager:List*"]),
    min_size=1, max_size=4, unique=True,
)  # fmt: skip
RESOURCES = st.lists(
    st.sampled_from(["*", secret_arn("prod/orders"), secret_arn("prod/*"), secret_arn("admin"), KEY]),
    min_size=1, max_size=3, unique=True,
)  # fmt: skip


@given(st.lists(st.builds(statement, ACTIONS, RESOURCES), max_size=3))
def test_no_action_and_no_resource_of_today_is_lost(today: list[RoleStatement]) -> None:
    shown = {text for each in compare(today, NEEDED) for column in each.today for text in texts(column)}
    assert shown == {text for each in today for text in (*each.json["Action"], *each.json["Resource"])}
