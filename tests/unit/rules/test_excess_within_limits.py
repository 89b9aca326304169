"""Grants that look limited: by a condition, a Deny, a NotResource or a boundary. Does the limit exclude other secrets?

Each table has limits that leave other secrets or keys, and limits that do not.
"""

from typing import Any

import pytest

from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.rules.excess import ExcessKind, find_excess
from tests.support.iam import boundary_with, decision, inline
from tests.unit.rules.test_excess import (
    CONTEXT,
    FUNCTION,
    GET,
    LAMBDA_KEY,
    NEEDED,
    OTHER_SECRET,
    ROTATE,
    TAG,
    USE_KEY,
    all_but,
    allow,
    excess,
    types,
)
from tests.unit.rules.test_policy import EARLIER_KEY, KEY, SECRET, SUPERUSER

SECRETS = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:"
KEYS = "arn:aws:kms:eu-central-1:123456789012:key/"
OTHER_KEY = KEYS + "99999999-2222-3333-4444-555555555555"
READ = [GET, "secretsmanager:PutSecretValue"]
ENV = "aws:ResourceTag/env"
PROD = {"StringEquals": {ENV: "prod"}}
OTHER_FUNCTION = FUNCTION.replace("rotate-db", "someone-else")


def deny(action: Any, resource: Any, **members: Any) -> dict[str, Any]:
    return allow(action, resource, **members) | {"Effect": "Deny"}


def all_resources_but(*resources: str, action: Any = GET) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "NotResource": list(resources)}


def kinds(*statements: Any, needed: Any = NEEDED) -> list[ExcessKind]:
    return [each.kind for each in excess(*statements, needed=needed)]


def within(boundary: list[Any], *statements: Any) -> list[ExcessKind]:
    """Return the kinds of what statements grant within a permissions boundary."""
    policies = [inline({"Statement": list(statements)})]
    return [each.kind for each in find_excess(policies, policies, boundary_with({"Statement": boundary}), NEEDED)]


# --- patterns that match a name by chance ---

LEAVING = [
    ("*", "*secret*"),
    ("*", "*-secret*"),
    ("*", "0*"),
    ("*", "*.*"),
    ("*", "*any*"),
    ("*", "*a*"),
    ("*", "*_*-??????"),
    ("*", "*/*"),
    ("*", "?-??????"),
    ("*", "????????*-??????"),
    ("team-*", "team-0*"),
    ("team-*", "team-*-*-*"),
    ("prod/*", "prod/0*"),
    ("prod/*", "prod/*/*"),
    ("prod/*/db-*", "prod/0/*"),
    ("prod/??", "prod/00"),
]
COVERING = [
    ("*", "*"),
    ("*", "?*"),
    ("*", "*-*"),
    ("*", "*-??????"),
    ("team-*", "team*"),
    ("team-*", "*-*"),
    ("prod/*", "prod/*"),
    ("prod/*/db-*", "prod/*"),
    ("prod/*/db-*", "*/db-*"),
]


@pytest.mark.parametrize(("granted", "excluded"), LEAVING)
def test_a_pattern_that_excludes_some_names_leaves_a_wildcard(granted: str, excluded: str) -> None:
    wide, pattern = SECRETS + granted, f"arn:aws:secretsmanager:*:*:secret:{excluded}"
    assert kinds(allow(READ, wide), deny(READ, pattern)) == [ExcessKind.OTHER_SECRETS]
    boundary = [allow("*", "*"), deny("*", pattern)]
    assert within(boundary, allow(READ, wide)) == [ExcessKind.OTHER_SECRETS]
    if granted == "*":
        assert kinds(all_resources_but(pattern)) == [ExcessKind.OTHER_SECRETS]
        assert within([all_resources_but(pattern, action="*")], allow(READ, wide)) == [ExcessKind.OTHER_SECRETS]


@pytest.mark.parametrize(("granted", "excluded"), COVERING)
def test_a_pattern_that_covers_a_wildcard_limits_it(granted: str, excluded: str) -> None:
    wide, pattern = SECRETS + granted, f"arn:aws:secretsmanager:*:*:secret:{excluded}"
    assert kinds(allow(READ, wide), deny(READ, pattern)) == []
    # Two patterns together.
    halves = [pattern.replace("*:*:", "eu-central-1:*:"), pattern.replace("*:*:", "us-*:*:")]
    assert kinds(allow(READ, wide), deny(READ, halves)) == []
    if granted == "*":
        assert kinds(all_resources_but(pattern)) == []


@pytest.mark.parametrize("excluded", ["*-1", "eu-*", "??-*-?"])
def test_a_pattern_of_regions_leaves_other_regions(excluded: str) -> None:
    left = kinds(all_resources_but(f"arn:aws:secretsmanager:{excluded}:*:secret:*"))
    assert left == ([] if excluded == "??-*-?" else [ExcessKind.OTHER_SECRETS])


@pytest.mark.parametrize(
    ("excluded", "leaves"),
    [
        ("key/*key*", True),
        ("key/*.*", True),
        ("key/0*", True),
        ("key/mrk-*", True),
        ("key/????????-????-????-????-????????????", True),
        ("key/*-*", False),
        ("key/*", False),
        ("*", False),
    ],
)
def test_a_pattern_of_keys_leaves_those_that_it_does_not_match(excluded: str, leaves: bool) -> None:
    expected = [ExcessKind.OTHER_KEYS] if leaves else []
    pattern = f"arn:aws:kms:*:*:{excluded}"
    assert kinds(allow("kms:Decrypt", "*"), deny("kms:*", pattern)) == expected
    assert kinds(all_resources_but(pattern, action="kms:Decrypt")) == expected


@pytest.mark.parametrize(
    "condition",
    [
        {"ForAnyValue:StringNotLike": {ENV: "0*"}},
        {"ForAnyValue:StringNotLike": {ENV: "*any*"}},
        {"ForAnyValue:ArnNotLike": {LAMBDA_KEY: FUNCTION.replace("rotate-db", "0*")}},
        {"ForAnyValue:StringNotEquals": {LAMBDA_KEY: FUNCTION}},
    ],
)
def test_a_condition_that_excludes_some_values_is_no_limit(condition: Any) -> None:
    assert kinds(allow(READ, "*", Condition=condition)) == [ExcessKind.OTHER_SECRETS]


def test_patterns_that_overlap_leave_what_both_match() -> None:
    granted = allow(READ, f"{SECRETS}prod/*")
    assert within([allow("*", f"{SECRETS}*/db-*")], granted) == [ExcessKind.OTHER_SECRETS]
    assert within([allow("*", f"{SECRETS}prod/app/*")], granted) == [ExcessKind.OTHER_SECRETS]
    assert within([allow("*", f"{SECRETS}test/*")], granted) == []
    assert within([allow("*", f"{SECRETS}*a*")], allow(READ, f"{SECRETS}*/*")) == [ExcessKind.OTHER_SECRETS]
    assert within([allow("*", f"{KEYS}*-b*")], allow("kms:Decrypt", f"{KEYS}a*")) == [ExcessKind.OTHER_KEYS]


# --- conditions of a Deny ---


@pytest.mark.parametrize(
    ("condition", "leaves"),
    [
        ({"Null": {ENV: "true"}}, True),
        ({"StringNotLike": {ENV: "*"}}, True),
        ({"StringNotLike": {ENV: ["?*"]}}, True),
        ({"StringEquals": {ENV: "test"}}, True),
        ({"StringNotEqualsIfExists": {ENV: "prod"}}, False),
        ({"StringNotEquals": {ENV: "prod"}}, False),
        ({"StringNotEquals": {ENV: "${aws:PrincipalTag/env}"}}, False),
        ({"StringNotEquals": {ENV: f"${{{ENV}}}"}}, True),
        ({"ArnNotLike": {LAMBDA_KEY: FUNCTION.replace("rotate-db", "*")}}, True),
        ({"ArnNotLike": {LAMBDA_KEY: FUNCTION.replace("rotate-db", "rotate-*")}}, True),
        ({"Null": {LAMBDA_KEY: "true"}}, True),
        ({"StringNotEquals": {LAMBDA_KEY: [FUNCTION, OTHER_FUNCTION]}}, True),
        ({"StringNotEquals": {LAMBDA_KEY: [FUNCTION]}}, False),
        ({"ArnNotEquals": {LAMBDA_KEY: [FUNCTION, f"{FUNCTION}:live"]}}, False),
        ({"ArnNotEquals": {"secretsmanager:SecretId": SECRET}}, False),
        ({"ArnNotLike": {"secretsmanager:SecretId": f"{SECRETS}prod/*"}}, True),
        # Both have to hold.
        ({"StringNotEquals": {ENV: "prod", LAMBDA_KEY: FUNCTION}}, False),
        ({"StringNotEquals": {ENV: "prod"}, "Null": {LAMBDA_KEY: "true"}}, True),
    ],
)
def test_the_condition_of_a_deny_limits_as_the_opposite_condition_of_an_allow(condition: Any, leaves: bool) -> None:
    expected = [ExcessKind.OTHER_SECRETS] if leaves else []
    assert kinds(allow(READ, "*"), deny(READ, "*", Condition=condition)) == expected
    boundary = [allow("*", "*"), deny("*", "*", Condition=condition)]
    assert within(boundary, allow(READ, "*")) == expected


def test_two_denials_limit_together() -> None:
    absent, other = {"Null": {ENV: "true"}}, {"ForAnyValue:StringNotEquals": {ENV: "prod"}}
    for conditions, expected in (([absent], False), ([other], False), ([absent, other], True)):
        denials = [deny(READ, "*", Condition=condition) for condition in conditions]
        assert (kinds(allow(READ, "*"), *denials) == []) is expected
    assert kinds(allow(READ, "*", Condition={"Null": {ENV: "false"}}), deny(READ, "*", Condition=other)) == []


def test_a_deny_by_tag_does_not_limit_a_role_that_gives_the_tag() -> None:
    denied = deny(READ, "*", Condition={"StringNotEquals": {ENV: "prod"}})
    assert ExcessKind.OTHER_SECRETS in kinds(allow(READ, "*"), denied, allow(TAG, SECRETS + "app/*"))[:1]
    assert kinds(allow(READ, "*"), denied, allow(TAG, SECRET)) == [ExcessKind.SECRET_SHARING]


# --- tags that the role can give ---


def tagging(resource: str = "*", **members: Any) -> dict[str, Any]:
    return allow(TAG, resource, **members)


@pytest.mark.parametrize(
    ("granted", "tagging_statement", "gives"),
    [
        (allow(READ, "*", Condition=PROD), tagging(SECRETS + "app/*"), True),
        (allow(READ, "*", Condition=PROD), tagging(OTHER_SECRET), True),
        (allow(READ, "*", Condition=PROD), tagging(OTHER_SECRET[:-6] + "??????"), True),
        (allow(READ, "*", Condition=PROD), tagging(SECRET), False),
        (allow(READ, f"{SECRETS}app/*", Condition=PROD), tagging(f"{SECRETS}app/sub/*"), True),
        (allow(READ, f"{SECRETS}app/*", Condition=PROD), tagging(f"{SECRETS}*/db-*"), True),
        (allow(READ, f"{SECRETS}app/*", Condition=PROD), tagging(f"{SECRETS}test/*"), False),
        (allow(READ, f"{SECRETS}app/*", Condition=PROD), tagging(OTHER_SECRET), False),
        # Which tags a call may give.
        *(
            (allow(READ, "*", Condition=PROD), tagging(Condition=condition), gives)
            for condition, gives in (
                ({"ForAnyValue:StringEquals": {"aws:TagKeys": "owner"}}, True),
                ({"ForAnyValue:StringNotEquals": {"aws:TagKeys": "env"}}, True),
                ({"StringEquals": {"aws:RequestTag/env": "prod"}}, True),
                ({"StringEquals": {"aws:RequestTag/owner": "me"}}, True),
                (
                    {
                        "StringEquals": {"aws:RequestTag/env": "prod"},
                        "ForAnyValue:StringEquals": {"aws:TagKeys": ["project"]},
                    },
                    True,
                ),
                ({"ForAllValues:StringEquals": {"aws:TagKeys": ["owner"]}}, False),
                ({"ForAllValues:StringEquals": {"aws:TagKeys": ["owner", "env"]}}, True),
                ({"ForAllValues:StringNotEquals": {"aws:TagKeys": ["env"]}}, False),
                ({"StringEquals": {"aws:RequestTag/env": "test"}}, False),
                ({"StringNotEquals": {"aws:RequestTag/env": "prod"}}, False),
                # Which secrets it may give them.
                ({"StringEquals": {"aws:ResourceTag/team": "x"}}, True),
                ({"StringNotEquals": {"aws:ResourceTag/locked": "yes"}}, True),
                ({"Null": {ENV: "true"}}, True),
                (PROD, False),
                ({"ArnLike": {LAMBDA_KEY: FUNCTION.replace("rotate-db", "*")}}, True),
                ({"StringEquals": {LAMBDA_KEY: OTHER_FUNCTION}}, True),
                ({"StringEquals": {LAMBDA_KEY: FUNCTION}}, False),
                ({"StringEquals": {"secretsmanager:SecretId": OTHER_SECRET}}, True),
                ({"ArnLike": {"secretsmanager:SecretId": f"{SECRETS}app/*"}}, True),
                ({"StringEquals": {"secretsmanager:SecretId": SECRET}}, False),
            )
        ),
        # One of several values, and a value of a pattern.
        (
            allow(READ, "*", Condition={"StringEquals": {ENV: ["prod", "test"]}}),
            tagging(Condition={"StringEquals": {"aws:RequestTag/env": "test"}}),
            True,
        ),
        (
            allow(READ, "*", Condition={"StringLike": {ENV: "prod*"}}),
            tagging(Condition={"StringEquals": {"aws:RequestTag/env": "prod-x"}}),
            True,
        ),
        (
            allow(READ, "*", Condition={"StringLike": {ENV: "prod*"}}),
            tagging(Condition={"StringEquals": {"aws:RequestTag/env": "test"}}),
            False,
        ),
        # The case of the tag's name does not count.
        (allow(READ, "*", Condition={"StringEquals": {"secretsmanager:resourcetag/ENV": "prod"}}), tagging(), True),
    ],
)
def test_a_tag_that_the_role_may_give_to_some_secrets_is_no_limit(
    granted: Any, tagging_statement: Any, gives: bool
) -> None:
    found = [each for each in excess(granted, tagging_statement) if GET in each.actions.patterns]
    assert [each.kind for each in found] == ([ExcessKind.OTHER_SECRETS] if gives else [])


def test_nobody_gives_a_tag_of_aws() -> None:
    stack = allow(READ, "*", Condition={"StringEquals": {"aws:ResourceTag/aws:cloudformation:stack-name": "database"}})
    assert [each for each in excess(stack, tagging()) if GET in each.actions.patterns] == []


def test_many_tags_take_little_time() -> None:
    tags = {f"aws:ResourceTag/tag{number}": "x" for number in range(12)}
    only = {"ForAllValues:StringEquals": {"aws:TagKeys": "other"}}
    denials = [deny(READ, "*", Condition={"StringNotEquals": {key: "x"}}) for key in tags]
    assert kinds(allow(READ, "*", Condition={"StringEquals": tags}), tagging(Condition=only)) == []
    assert kinds(allow(READ, "*"), *denials, tagging(Condition=only)) == []
    assert ExcessKind.OTHER_SECRETS in kinds(allow(READ, "*", Condition={"StringEquals": tags}), tagging())[:1]
    assert kinds(allow(READ, "*", Condition={"Null": dict.fromkeys(tags, "false")})) == [ExcessKind.OTHER_SECRETS]


@pytest.mark.parametrize(
    ("condition", "gives"),
    [
        ({"StringEquals": {"aws:RequestTag/env": "prod"}}, False),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["env"]}}, False),
        ({"Null": {"aws:RequestTag/env": "false"}}, False),
        # The call can have another tag besides, or not.
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["owner"]}}, True),
        ({"Null": {"aws:RequestTag/owner": "true"}}, True),
    ],
)
def test_a_deny_keeps_the_role_from_giving_a_tag(condition: Any, gives: bool) -> None:
    granted, denied = allow(READ, "*", Condition=PROD), deny(TAG, "*", Condition=condition)
    found = [each for each in excess(granted, tagging(), denied) if GET in each.actions.patterns]
    assert [each.kind for each in found] == ([ExcessKind.OTHER_SECRETS] if gives else [])


def test_a_role_must_give_all_tags_that_a_grant_needs() -> None:
    granted = allow(READ, "*", Condition={"StringEquals": {ENV: "prod", "aws:ResourceTag/team": "x"}})
    for tags, gives in (("env", False), (["env", "team"], True)):
        giving = tagging(Condition={"ForAllValues:StringEquals": {"aws:TagKeys": tags}})
        found = [each for each in excess(granted, giving) if GET in each.actions.patterns]
        assert [each.kind for each in found] == ([ExcessKind.OTHER_SECRETS] if gives else [])


def test_a_role_gives_one_tag_by_another() -> None:
    chain = [
        allow(READ, "*", Condition={"StringEquals": {"aws:ResourceTag/b": "1"}}),
        tagging(Condition={"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}}),
        tagging(Condition={"StringEquals": {"aws:ResourceTag/a": "1"}}),
    ]
    assert ExcessKind.OTHER_SECRETS in [each.kind for each in excess(*chain) if GET in each.actions.patterns]


def test_the_tags_of_a_boundary_count_too() -> None:
    boundary = [allow("*", "*", Condition=PROD), tagging(f"{SECRETS}prod/*")]
    assert within(boundary, allow(READ, "*")) == []
    assert within(boundary, allow(READ, "*"), tagging())[:1] == [ExcessKind.OTHER_SECRETS]


# --- tags, functions and secrets that others have ---


@pytest.mark.parametrize(
    ("condition", "is_for_needed"),
    [
        (PROD, True),
        ({"StringEquals": {ENV: ["prod", "payroll"]}}, True),
        ({"StringLike": {ENV: "p*"}}, True),
        ({"StringEqualsIgnoreCase": {"secretsmanager:resourcetag/env": "PROD"}}, True),
        ({"StringEquals": {ENV: "payroll"}}, False),
        ({"StringEquals": {"aws:ResourceTag/aws:secretsmanager:owningService": "rds"}}, False),
        ({"StringLike": {"aws:ResourceTag/aws:cloudformation:stack-name": "a*"}}, False),
        # Of the superuser secret.
        ({"StringEquals": {"aws:ResourceTag/role": "dba"}}, True),
        ({"StringEquals": {ENV: "${aws:PrincipalTag/env}"}}, True),
    ],
)
def test_a_condition_on_a_tag_that_only_others_have_is_no_limit(condition: Any, is_for_needed: bool) -> None:
    tags = {SECRET: (("env", "prod"),), SUPERUSER: (("role", "dba"),)}
    known = NEEDED._replace(tags=tags)
    granted = allow(READ, "*", Condition=condition)
    assert kinds(granted, needed=known) == ([] if is_for_needed else [ExcessKind.OTHER_SECRETS])
    # If it is not known what the role needs.
    assert kinds(granted, needed=NEEDED._replace(tags={SECRET: tags[SECRET]})) == []
    assert kinds(granted, needed=known._replace(regions=())) == []


@pytest.mark.parametrize(
    "condition",
    [
        {"ArnLike": {LAMBDA_KEY: FUNCTION.replace("rotate-db", "rotate-*")}},
        {"StringLike": {LAMBDA_KEY: "*rotate*"}},
        {"StringLike": {LAMBDA_KEY: FUNCTION[:-1] + "?"}},
        {"StringEquals": {LAMBDA_KEY: f"${{{LAMBDA_KEY}}}"}},
        {"StringEquals": {"secretsmanager:SecretId": "${secretsmanager:SecretId}"}},
        {"StringLike": {"secretsmanager:SecretId": SECRETS + "${aws:PrincipalTag/app}*"}},
        {"StringLike": {"secretsmanager:SecretId": [SECRET, SECRETS + "${aws:PrincipalTag/app}/*"]}},
        {"StringLike": {"secretsmanager:SecretId": "*${aws:PrincipalTag/app, ''}*"}},
        {"StringLike": {"secretsmanager:SecretId": "prod/*"}},
        {"StringEquals": {"secretsmanager:SecretId": OTHER_SECRET[:-7]}},
        {"StringEquals": {ENV: f"${{{ENV}}}"}},
        {"StringEquals": {ENV: "${secretsmanager:ResourceTag/env}"}},
        {"StringLike": {ENV: "*${aws:PrincipalTag/app, ''}*"}},
    ],
)
def test_a_condition_that_is_broader_than_what_is_needed_is_no_limit(condition: Any) -> None:
    assert kinds(allow(READ, "*", Condition=condition)) == [ExcessKind.OTHER_SECRETS]


# --- what remains on the own secret and the own key ---


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ("secretsmanager:*", [ExcessKind.SECRET_MANAGEMENT]),
        ([*ROTATE, "secretsmanager:DeleteSecret"], [ExcessKind.SECRET_MANAGEMENT]),
        ([*ROTATE, "secretsmanager:PutResourcePolicy"], [ExcessKind.SECRET_SHARING]),
        (ROTATE, []),
    ],
)
def test_what_a_limit_leaves_of_a_wildcard_on_the_own_secret_is_as_if_it_were_named(
    actions: Any, expected: list[ExcessKind]
) -> None:
    wide = allow(actions, "*")
    assert kinds(allow(actions, SECRET)) == expected
    assert within([allow("secretsmanager:*", SECRET)], wide) == expected
    assert within([allow("secretsmanager:*", SECRET[:-6] + "??????")], wide) == expected
    assert kinds(wide, all_but(SECRET)) == expected
    assert kinds(allow(actions, "*", Condition={"StringEquals": {LAMBDA_KEY: FUNCTION}})) == expected
    # The limit is only for what it says.
    assert within([allow(ROTATE, SECRET)], wide) == []
    for policies in ([wide, all_but(SECRET)], [allow(actions, SECRET)]):
        assert kinds(*policies, deny(["secretsmanager:Delete*", "secretsmanager:[!G]*"], "*")) == [
            each for each in expected if actions == "secretsmanager:*" or each is ExcessKind.SECRET_SHARING
        ]


def test_a_finding_about_what_a_limit_leaves_names_it() -> None:
    [found] = excess(allow([*ROTATE, "secretsmanager:DeleteSecret"], "*"), all_but(SECRET, "arn:aws:s3:::*"))
    assert (found.resource.patterns, found.remaining) == (("*",), (SECRET,))


def test_the_tags_of_a_needed_secret_decide_what_is_left_of_it() -> None:
    known = NEEDED._replace(tags={SECRET: (("Env", "prod"),), SUPERUSER: ()})
    delete = "secretsmanager:DeleteSecret"
    for tag, expected in (({"env": "prod"}, []), ({"env": "test"}, [ExcessKind.SECRET_MANAGEMENT])):
        condition = {"StringEquals": {f"aws:ResourceTag/{name}": value for name, value in tag.items()}}
        for resource in (SECRET, SECRET[:-6] + "??????"):
            assert kinds(allow(delete, resource), deny(delete, "*", Condition=condition), needed=known) == expected
    other = {"StringEquals": {ENV: "test"}}
    assert kinds(allow(delete, SECRET, Condition=other), needed=known) == []


def test_a_superuser_secret_that_a_limit_leaves_is_only_read() -> None:
    assert within([allow("*", [SECRET, SUPERUSER])], allow(ROTATE, "*")) == [ExcessKind.SUPERUSER_WRITABLE]
    assert within([allow("*", [SECRET, SUPERUSER])], allow(GET, "*")) == []


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ("kms:*", [ExcessKind.KEY_FOR_EVERYTHING, ExcessKind.KEY_MANAGEMENT]),
        ("kms:Decrypt", [ExcessKind.KEY_FOR_EVERYTHING]),
        ("kms:PutKeyPolicy", [ExcessKind.KEY_SHARING]),
        ("kms:DescribeKey", []),
    ],
)
def test_what_a_limit_leaves_of_a_wildcard_on_the_own_key_is_as_if_it_were_named(
    actions: Any, expected: list[ExcessKind]
) -> None:
    assert kinds(allow(actions, KEY)) == expected
    assert within([allow("kms:*", KEY)], allow(actions, "*")) == expected
    assert kinds(allow(actions, "*"), all_but(KEY, action="kms:*")) == expected
    assert within([allow("kms:DescribeKey", KEY)], allow(actions, "*")) == []


def test_another_action_than_that_of_the_boundary_s_wildcard_is_not_granted() -> None:
    boundary = [allow(GET, SECRET), allow("secretsmanager:DeleteSecret", "*")]
    assert within(boundary, allow(READ, "*")) == []
    assert within(boundary, allow([*READ, "secretsmanager:DeleteSecret"], "*")) == [ExcessKind.OTHER_SECRETS]


# --- named grants that something blocks ---


@pytest.mark.parametrize(
    ("statement", "denied"),
    [
        (allow(READ, OTHER_SECRET), deny(READ, OTHER_SECRET)),
        (allow(READ, OTHER_SECRET), deny("*", "*")),
        (allow(READ, OTHER_SECRET), all_but(SECRET)),
        (allow("secretsmanager:DeleteSecret", SECRET), deny("secretsmanager:Delete*", SECRET)),
        (
            allow("secretsmanager:*", SECRET[:-6] + "??????"),
            all_but(
                action=[*ROTATE],
            ),
        ),
        (allow("kms:Decrypt", OTHER_KEY), deny("kms:*", OTHER_KEY)),
        (allow("kms:Decrypt", KEY), deny("kms:*", "*", Condition={"StringNotEquals": {CONTEXT: SECRET}})),
        (allow("kms:*", EARLIER_KEY), deny("kms:*", "*")),
    ],
)
def test_a_named_grant_that_a_deny_blocks_is_no_grant(statement: Any, denied: Any) -> None:
    if not denied.get("NotResource", True):
        denied = {"Effect": "Deny", "NotAction": denied["Action"], "Resource": "*"}
    assert kinds(statement) != []
    assert kinds(statement, denied) == []
    # Whether this condition holds is not known.
    open_ = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    assert kinds(statement, denied | {"Condition": open_}) == kinds(statement)


# --- keys ---

VIA = "kms:ViaService"
OF_SECRETS_MANAGER = "secretsmanager.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    ("condition", "on_all", "on_own"),
    [
        ({"StringEquals": {CONTEXT: SECRET}}, [], []),
        ({"StringEquals": {CONTEXT: [SECRET, SUPERUSER]}}, [], []),
        ({"StringLike": {CONTEXT: SECRET[:-6] + "??????"}}, [], []),
        ({"StringEquals": {CONTEXT: "${aws:PrincipalTag/secret}"}}, [], []),
        # Secrets of another region are not known.
        ({"StringEquals": {CONTEXT: OTHER_SECRET.replace("eu-central-1", "us-east-1")}}, [], []),
        *(
            ({"StringLike": {CONTEXT: value}}, [ExcessKind.KEY_FOR_OTHER_SECRETS], [ExcessKind.KEY_FOR_OTHER_SECRETS])
            for value in (
                OTHER_SECRET,
                [SECRET, OTHER_SECRET],
                f"{SECRETS}prod/*",
                f"{SECRETS}payroll-*",
                f"{SECRETS}${{aws:PrincipalTag/app}}*",
            )
        ),
        *(
            ({"StringEquals": {key: f"${{{key}}}"}}, [ExcessKind.OTHER_KEYS], [kind])
            for key, kind in ((CONTEXT, ExcessKind.KEY_FOR_EVERYTHING), (VIA, ExcessKind.KEY_FOR_EVERY_SECRET))
        ),
        *(
            ({operator: {VIA: value}}, [ExcessKind.OTHER_KEYS], [ExcessKind.KEY_FOR_EVERY_SECRET])
            for operator, value in (
                ("StringEquals", OF_SECRETS_MANAGER),
                ("StringEqualsIgnoreCase", "SecretsManager.eu-central-1.amazonaws.com"),
                ("StringLike", "${aws:PrincipalTag/service}.*.amazonaws.com"),
                ("StringLike", "secrets*"),
            )
        ),
        ({"StringEquals": {VIA: "sqs.eu-central-1.amazonaws.com"}}, [], []),
        ({"StringEquals": {VIA: OF_SECRETS_MANAGER, CONTEXT: SECRET}}, [], []),
        (
            {"StringEquals": {VIA: OF_SECRETS_MANAGER, CONTEXT: OTHER_SECRET}},
            [ExcessKind.KEY_FOR_OTHER_SECRETS],
            [ExcessKind.KEY_FOR_OTHER_SECRETS],
        ),
    ],
)
def test_a_condition_on_the_use_of_keys_limits_it_to_the_secrets_that_it_names(
    condition: Any, on_all: list[ExcessKind], on_own: list[ExcessKind]
) -> None:
    assert kinds(allow(USE_KEY, "*", Condition=condition)) == on_all
    assert kinds(allow(USE_KEY, KEY, Condition=condition)) == on_own


def test_a_deny_of_the_use_without_a_context_leaves_the_use_with_any() -> None:
    for condition, expected in (
        ({"Null": {CONTEXT: "true"}}, [ExcessKind.OTHER_KEYS]),
        ({"StringNotEquals": {CONTEXT: SECRET}}, []),
        ({"StringNotEquals": {CONTEXT: [SECRET, OTHER_SECRET]}}, [ExcessKind.KEY_FOR_OTHER_SECRETS]),
        ({"StringNotEquals": {VIA: OF_SECRETS_MANAGER}}, [ExcessKind.OTHER_KEYS]),
    ):
        assert kinds(allow(USE_KEY, "*"), deny("kms:*", "*", Condition=condition)) == expected


@pytest.mark.parametrize("action", ["Sign", "GenerateMac", "DeriveSharedSecret"])
def test_the_use_of_other_types_of_keys_counts_where_no_secret_needs_the_key(action: str) -> None:
    assert types(allow(f"kms:{action}", "*")) == [FindingType.KMS_ALL_KEYS]
    assert types(allow(f"kms:{action}", OTHER_KEY)) == [FindingType.UNNEEDED_GRANT]
    # The key of a secret has another type.
    assert types(allow(f"kms:{action}", KEY)) == []


@pytest.mark.parametrize(
    "action",
    [
        "DisableKey",
        "EnableKey",
        "DeleteImportedKeyMaterial",
        "ImportKeyMaterial",
        "CreateAlias",
        "UpdateAlias",
        "DeleteAlias",
        "TagResource",
        "UntagResource",
        "DisableKeyRotation",
        "CancelKeyDeletion",
        "RevokeGrant",
        "RetireGrant",
        "UpdatePrimaryRegion",
        "UpdateKeyDescription",
        "RotateKeyOnDemand",
        "PutKeyPolicy",
        "CreateGrant",
        "ReplicateKey",
        "ScheduleKeyDeletion",
    ],
)
def test_all_that_changes_a_key_or_gives_its_use_away_counts(action: str) -> None:
    assert types(allow(f"kms:{action}", "*")) == [FindingType.KMS_ALL_KEYS]
    assert types(allow(f"kms:{action}", KEY)) == [FindingType.UNNEEDED_GRANT]
    assert types(allow(f"kms:{action}", OTHER_KEY)) == [FindingType.UNNEEDED_GRANT]
    # The key of the environment variables.
    assert types(allow(f"kms:{action}", EARLIER_KEY)) == [FindingType.UNNEEDED_GRANT]


def test_the_grant_on_an_alias_has_an_effect_only_for_actions_on_aliases() -> None:
    alias = "arn:aws:kms:eu-central-1:123456789012:alias/rotation"
    assert kinds(allow(["kms:Decrypt", "kms:UpdateAlias"], alias)) == [ExcessKind.KEY_ALIAS]
    assert kinds(allow("kms:UpdateAlias", alias)) == []


def test_a_role_gives_others_the_use_of_a_key_for_its_own_secret() -> None:
    for resource in ("*", KEYS + "*", KEY):
        granted = allow([*USE_KEY, "kms:CreateGrant"], resource, Condition={"StringEquals": {CONTEXT: SECRET}})
        [found] = excess(granted)
        assert (found.kind, found.actions.patterns) == (ExcessKind.KEY_SHARING, ("kms:CreateGrant",))


@pytest.mark.parametrize(
    ("condition", "is_for_service"),
    [
        ({"Bool": {"kms:GrantIsForAWSResource": "true"}}, True),
        ({"BoolIfExists": {"kms:GrantIsForAWSResource": "true"}}, False),
        ({"Bool": {"kms:GrantIsForAWSResource": "false"}}, False),
        ({"Null": {"kms:GrantIsForAWSResource": "true"}}, False),
    ],
)
def test_a_grant_that_a_service_makes_is_none_of_the_function(condition: Any, is_for_service: bool) -> None:
    granted = allow(["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"], "*", Condition=condition)
    assert kinds(granted) == ([] if is_for_service else [ExcessKind.OTHER_KEYS])


# --- actions on secrets ---


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("DeleteSecret", ExcessKind.SECRET_MANAGEMENT),
        ("RestoreSecret", ExcessKind.SECRET_MANAGEMENT),
        ("UpdateSecret", ExcessKind.SECRET_MANAGEMENT),
        ("CancelRotateSecret", ExcessKind.SECRET_MANAGEMENT),
        ("RemoveRegionsFromReplication", ExcessKind.SECRET_MANAGEMENT),
        ("StopReplicationToReplica", ExcessKind.SECRET_MANAGEMENT),
        ("TagResource", ExcessKind.SECRET_SHARING),
        ("UntagResource", ExcessKind.SECRET_SHARING),
    ],
)
def test_all_that_changes_a_secret_or_gives_access_to_it_counts(action: str, kind: ExcessKind) -> None:
    assert kinds(allow(f"secretsmanager:{action}", "*")) == [ExcessKind.OTHER_SECRETS]
    assert kinds(allow(f"secretsmanager:{action}", SECRET)) == [kind]
    assert kinds(allow(f"secretsmanager:{action}", OTHER_SECRET)) == [ExcessKind.SECRET_NOT_NEEDED]


def test_to_give_a_certain_tag_is_limited() -> None:
    assert kinds(allow(TAG, "*", Condition={"ForAllValues:StringEquals": {"aws:TagKeys": "rotated"}})) == []
    assert kinds(allow(TAG, "*", Condition={"StringEquals": {"aws:RequestTag/rotated": "yes"}})) == []


# --- what another evaluator says ---


@pytest.mark.parametrize(
    ("statements", "reached", "tags"),
    [
        ([allow(READ, "*"), deny(READ, SECRETS + "*secret*")], "payroll-AbCdEf", {}),
        ([allow(READ, "*"), deny(READ, SECRETS + "0*")], "payroll-AbCdEf", {}),
        ([allow(READ, "*"), deny(READ, "*", Condition={"Null": {ENV: "true"}})], "x-AbCdEf", {ENV: "anything"}),
        ([allow(READ, "*"), deny(READ, "*", Condition={"StringNotLike": {ENV: "*"}})], "x-AbCdEf", {ENV: "anything"}),
    ],
)
def test_another_evaluator_allows_what_is_reported(statements: Any, reached: str, tags: Any) -> None:
    assert decision([{"Version": "2012-10-17", "Statement": statements}], GET, SECRETS + reached, tags) == "Allow"
    assert kinds(*statements) == [ExcessKind.OTHER_SECRETS]
