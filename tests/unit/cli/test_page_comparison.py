"""The statements of a role today beside the needed ones: which belong together, and what differs."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotation_role_policy.audit.report import RoleStatement
from rotation_role_policy.iam.document import as_list
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.state import EnvironmentKey, Secret
from rotation_role_policy.rules.statements import SECRET_ARN_KEY
from rotation_role_policy_cli.audit.page.comparison import Column, Row, RowKind, compare, needed_by_all
from tests.support.audit_report import KEY, REGION, rotation, secret_arn

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
        ["secretsmanager:DeleteSecret", secret_arn("prod/orders")],
        [READ, "secretsmanager:DeleteSecret", secret_arn("admin")],
    ]


def test_negated_elements_are_shown_as_such() -> None:
    allowed = RoleStatement("today", 1, {"Effect": "Allow", "NotAction": "iam:*", "NotResource": secret_arn("admin")})
    rows = compare([allowed], NEEDED)
    lines = row(rows, "RotateSecret").today[0].lines
    assert [f"{each.before}{each.text}" for each in lines] == ["all but iam:*", f"on all but {secret_arn('admin')}"]
    assert of_today(rows, RowKind.ONLY_TODAY) == []
    excluded = RoleStatement("today", 1, {"Effect": "Allow", "NotAction": "secretsmanager:*", "Resource": "*"})
    assert row(compare([excluded], NEEDED), "RotateSecret").kind is RowKind.MISSING


def test_a_condition_is_compared_too() -> None:
    condition = {"StringEquals": {"aws:PrincipalTag/team": ["b", "a"]}, "Null": {"aws:TokenIssueTime": True}}
    today = statement(NEEDED[0]["Action"], secret_arn("prod/orders"), Condition=condition)
    found = row(compare([today], NEEDED), "RotateSecret")
    conditions = [
        "if aws:PrincipalTag/team StringEquals a",
        "or aws:PrincipalTag/team StringEquals b",
        "and if aws:TokenIssueTime is absent",
    ]
    lines = [f"{each.before}{each.text}" for each in found.today[0].lines if each.is_only_here]
    assert (found.kind, lines) == (RowKind.DIFFERENT, conditions)


def test_a_statement_without_the_needed_condition_is_never_the_same() -> None:
    use = next(each for each in NEEDED if each["Sid"] == "UseSecretKey")
    open_ = statement(use["Action"], KEY)
    own = RoleStatement("own", "UseSecretKey", use)
    for today in ([open_], [open_, own], [own, open_]):
        found = row(compare(today, NEEDED), "UseSecretKey")
        [column] = [each for each in found.today if each.name.startswith("today")]
        lacking = [f"{each.before}{each.text}" for each in column.lines if each.is_only_here]
        assert found.kind is RowKind.DIFFERENT
        assert lacking == [
            "without a condition on kms:EncryptionContext:SecretARN",
            "without a condition on kms:ViaService",
        ]
    assert row(compare([own, own], NEEDED), "UseSecretKey").kind is RowKind.SAME


def test_actions_and_resources_of_different_statements_are_not_the_same_as_those_of_one() -> None:
    needed = needed_by_all([ORDERS.statements or (), USERS.statements or ()])
    *most, last = needed[0]["Action"]
    today = [statement(most, needed[0]["Resource"]), statement(last, secret_arn("prod/users"))]
    found = row(compare(today, needed), "RotateSecret")
    assert found.needed
    assert (found.kind, [f"{each.before}{each.text}" for each in found.needed.lines if each.is_only_here]) == (
        RowKind.DIFFERENT,
        [f"not together today: {last} on {secret_arn('prod/orders')}"],
    )
    completed = [*today, statement(last, secret_arn("prod/orders"))]
    assert row(compare(completed, needed), "RotateSecret").kind is RowKind.SAME


def test_several_policies_of_the_provider_for_secrets_under_one_key_are_the_same_as_one() -> None:
    needed = needed_by_all([ORDERS.statements or (), USERS.statements or ()])
    today = [
        RoleStatement(f"own-{each.secret_name}", one["Sid"], one)
        for each in (ORDERS, USERS)
        for one in each.statements or ()
    ]
    assert {each.kind for each in compare(today, needed)} == {RowKind.SAME}


def test_a_deny_of_today_stays_unless_it_is_the_needed_one() -> None:
    needed_deny = NEEDED[-1]
    assert needed_deny["Effect"] == "Deny"
    rows = compare([RoleStatement("own", 1, needed_deny), statement("kms:*", "*", "Deny")], NEEDED)
    assert row(rows, needed_deny["Sid"]).kind is RowKind.SAME
    assert of_today(rows, RowKind.DENY) == [["kms:*", "*"]]


def test_a_deny_that_only_resembles_the_needed_one_is_shown_whole() -> None:
    own = RoleStatement("own", 1, NEEDED[-1])
    actions = ["ec2:DetachNetworkInterface", PUT, "iam:*"]
    elsewhere = {"StringNotEquals": {"aws:RequestedRegion": ["eu-central-1", "eu-west-1"]}}
    rows = compare([own, statement(actions, "*", "Deny", Condition=elsewhere)], NEEDED)
    assert row(rows, "KeepNetworkInterfacesFromCode").kind is RowKind.SAME
    [deny] = [each.today[0] for each in rows if each.kind is RowKind.DENY]
    assert [f"{line.before}{line.text}" for line in deny.lines] == [
        *actions,
        "on *",
        "if aws:RequestedRegion StringNotEquals eu-central-1",
        "and aws:RequestedRegion StringNotEquals eu-west-1",
    ]
    assert row(compare([statement(actions, "*", "Deny")], NEEDED), NEEDED[-1]["Sid"]).kind is RowKind.MISSING


STATE = ORDERS.state
SUPERUSER = Secret(secret_arn("admin"), KEY)
EARLIER = f"{KEY}2"
TARGET = f"arn:aws:rds:{REGION}:123456789012:db:a"


@pytest.mark.parametrize("kms_scope", ["Key", "Secret"])
@pytest.mark.parametrize(
    "members",
    [
        {"superuser_secret": SUPERUSER},
        {
            "superuser_secret": replace(SUPERUSER, key_arn=EARLIER),
            "target_arns": (f"arn:aws:rds:{REGION}:123456789012:db:a",),
        },
        {"environment_key": EnvironmentKey(KEY)},
        {"secrets": (Secret(secret_arn("a"), KEY, earlier_key_arns=(EARLIER,)), Secret(secret_arn("b"), EARLIER))},
        {"secrets": (Secret(secret_arn("a"), KEY), Secret(secret_arn("b"), None)), "in_vpc": False},
    ],
)
def test_a_document_of_the_provider_is_the_same_as_itself(members: dict[str, Any], kms_scope: str) -> None:
    assert STATE
    document = as_list(policy.document(replace(STATE, **members), kms_scope=kms_scope)["Statement"])
    today = [RoleStatement("own", each["Sid"], each) for each in document]
    rows = compare(today, needed_by_all([document]))
    assert [(each.kind, len(each.today)) for each in rows] == [(RowKind.SAME, 1)] * len(rows)


def test_what_is_too_much_on_one_resource_is_shown_although_it_is_needed_on_another() -> None:
    assert STATE
    document = as_list(policy.document(replace(STATE, superuser_secret=SUPERUSER))["Statement"])
    both = statement(document[0]["Action"], [STATE.secrets[0].arn, SUPERUSER.arn])
    rows = compare([both], needed_by_all([document]))
    assert (row(rows, "RotateSecret").kind, row(rows, "ReadSuperuserSecret").kind) == (RowKind.SAME, RowKind.SAME)
    others = [each for each in document[0]["Action"] if each != READ]
    assert of_today(rows, RowKind.ONLY_TODAY) == [[*others, SUPERUSER.arn]]


def test_a_pattern_on_another_secret_belongs_to_no_statement_that_needs_no_resource() -> None:
    rows = compare([statement("secretsmanager:*", [secret_arn("prod/orders"), secret_arn("admin")])], NEEDED)
    assert row(rows, "GeneratePassword").kind is RowKind.MISSING
    assert of_today(rows, RowKind.ONLY_TODAY) == [["secretsmanager:*", secret_arn("admin")]]
    # Lambda's guide names the resources of network interfaces.
    interfaces = "arn:aws:ec2:*:*:network-interface/*"
    found = row(compare([statement("ec2:CreateNetworkInterface", interfaces)], NEEDED), "ManageNetworkInterfaces")
    assert found.kind is RowKind.DIFFERENT


def test_missing_pairs_are_marked_whatever_else_differs() -> None:
    needed = needed_by_all([ORDERS.statements or (), USERS.statements or ()])
    most, last = needed[0]["Action"][:-1], needed[0]["Action"][-1]
    today = [
        statement([*most, "secretsmanager:PutS*"], needed[0]["Resource"]),
        statement(last, secret_arn("prod/users")),
    ]
    found = row(compare(today, needed), "RotateSecret")
    assert only_here(found.today[0]) == ["secretsmanager:PutS*"]
    assert only_here(found.needed) == [f"{last} on {secret_arn('prod/orders')}"]
    use = next(each for each in needed if each["Sid"] == "UseSecretKey")
    parts = [
        use
        | {"Action": action, "Condition": {"StringEquals": use["Condition"]["StringEquals"] | {SECRET_ARN_KEY: arn}}}
        for action, arn in (
            ("kms:Decrypt", secret_arn("prod/orders")),
            ("kms:GenerateDataKey", secret_arn("prod/users")),
        )
    ]
    found = row(
        compare([RoleStatement("a", number, each) for number, each in enumerate(parts)], needed), "UseSecretKey"
    )
    assert only_here(found.needed) == [
        f"kms:Decrypt on {KEY} for {secret_arn('prod/users')}",
        f"kms:GenerateDataKey on {KEY} for {secret_arn('prod/orders')}",
    ]


def test_the_case_of_condition_keys_does_not_matter() -> None:
    use = next(each for each in NEEDED if each["Sid"] == "UseSecretKey")
    keys = {key.lower(): values for key, values in use["Condition"]["StringEquals"].items()}
    today = RoleStatement("a", 1, use | {"Condition": {"StringEquals": keys}})
    assert row(compare([today], NEEDED), "UseSecretKey").kind is RowKind.SAME


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
    columns = [column for each in compare(today, NEEDED) for column in each.today]
    shown = {line.text for each in columns for line in (*each.actions, *each.resources)}
    assert shown == {text for each in today for text in (*each.json["Action"], *each.json["Resource"])}


def test_a_needed_statement_has_its_sid_without_a_number_and_only_the_elements_that_it_has() -> None:
    key = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": KEY, "Condition": {"Null": {"aws:x": "false"}}}
    merged = needed_by_all([[key | {"Sid": "UseSecretKey"}, key | {"Sid": "UseSecretKey2", "Resource": EARLIER}]])
    assert [each["Sid"] for each in merged] == ["UseSecretKey", "UseSecretKey"]
    plain = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": KEY}
    assert needed_by_all([[plain], [plain]]) == [plain | {"Sid": "", "Resource": [KEY]}]
    found = compare([], merged)[0]
    assert found.needed
    assert (found.kind, found.needed.effect) == (RowKind.MISSING, "Allow")
    assert [f"{each.before}{each.text}" for each in found.needed.lines] == [
        "kms:Decrypt", f"on {KEY}", "if aws:x is present",
    ]  # fmt: skip


def test_a_statement_of_today_has_the_name_of_its_policy_and_its_sid_or_number() -> None:
    rows = compare([statement(READ, "*"), RoleStatement("other", "Read", statement("kms:*", "*").json)], NEEDED)
    assert [each.name for each in row(rows, "RotateSecret").today] == ["today, statement 1"]
    assert [each.name for each in row(rows, "UseSecretKey").today] == ["other, Read"]
    [rest] = [each.today[0] for each in compare([statement(READ, secret_arn("x"))], NEEDED) if not each.needed]
    assert (rest.name, rest.effect) == ("today, statement 1", "Allow")
    [deny] = [each.today[0] for each in compare([statement(READ, "*", "Deny")], NEEDED) if not each.needed]
    assert deny.effect == "Deny"


def test_what_is_the_same_or_missing_is_not_marked() -> None:
    rows = compare([RoleStatement("own", 1, each) for each in NEEDED[:2]], NEEDED)
    marked = [only_here(column) for each in rows for column in (*each.today, each.needed)]
    assert marked == [[]] * len(marked)
    different = row(compare([statement(READ, "*")], NEEDED), "RotateSecret")
    assert only_here(different.today[0]) == ["*"]


def test_a_statement_for_all_but_the_needed_resource_does_not_belong_to_it() -> None:
    all_but = {"Effect": "Allow", "Action": READ, "NotResource": secret_arn("prod/*")}
    rows = compare([RoleStatement("today", 1, all_but)], NEEDED)
    assert row(rows, "RotateSecret").kind is RowKind.MISSING
    assert of_today(rows, RowKind.ONLY_TODAY) == [[READ, secret_arn("prod/*")]]
    # The same text means something else.
    same_text = RoleStatement("today", 1, NEEDED[0] | {"NotResource": secret_arn("x")})
    del same_text.json["Resource"]
    assert row(compare([same_text], NEEDED), "RotateSecret").kind is RowKind.DIFFERENT


def test_a_condition_on_several_values_of_a_request_is_one_line() -> None:
    condition = {"ForAllValues:StringLike": {"aws:TagKeys": ["b", "a"]}, "Null": {"aws:y": ["true", "false"]}}
    [rest] = [
        each.today[0]
        for each in compare([statement(READ, secret_arn("x"), Condition=condition)], NEEDED)
        if not each.needed
    ]
    assert [f"{each.before}{each.text}" for each in rest.conditions] == [
        "if aws:TagKeys ForAllValues:StringLike a, b",
        "and if aws:y Null false",
        "or aws:y Null true",
    ]


def test_a_condition_with_another_value_is_marked_also_if_its_key_is_in_another_case() -> None:
    use = next(each for each in NEEDED if each["Sid"] == "UseSecretKey")
    keys = {"KMS:ViaService": "x", "KMS:EncryptionContext:SecretARN": secret_arn("prod/orders")}
    today = RoleStatement("a", 1, use | {"Condition": {"StringEquals": keys}})
    found = row(compare([today], NEEDED), "UseSecretKey")
    assert only_here(found.today[0]) == ["KMS:ViaService StringEquals x"]
    assert only_here(found.needed) == [f"kms:ViaService StringEquals secretsmanager.{REGION}.amazonaws.com"]


def test_a_statement_that_is_another_needed_one_belongs_only_there() -> None:
    shared = {"Effect": "Allow", "Resource": KEY}
    conditions = [{"Condition": {"StringEquals": {SECRET_ARN_KEY: arn}}} for arn in ("a", "b")]
    one = shared | conditions[0] | {"Sid": "UseSecretKey", "Action": ["kms:Decrypt", "kms:GenerateDataKey"]}
    other = shared | conditions[1] | {"Sid": "UseSuperuserKey", "Action": "kms:Decrypt"}
    today = [RoleStatement("own", str(each["Sid"]), each) for each in (one, other)]
    rows = compare(today, needed_by_all([[one, other]]))
    assert [(each.kind, [column.name for column in each.today]) for each in rows] == [
        (RowKind.SAME, ["own, UseSecretKey"]),
        (RowKind.SAME, ["own, UseSuperuserKey"]),
    ]
