"""`evaluate` against MiniStack's evaluator of IAM policies, and tables of the rules.

What is unknown must be open, unless every value of the unknown has the same result. To check this, MiniStack evaluates
the documents once for each value.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotation_role_policy.iam.evaluation import BlockedBy, Blocker, Calls, Outcome, evaluate
from tests.support import iam

ALLOWED, NOT_ALLOWED, BLOCKED, OPEN = Outcome.ALLOWED, Outcome.NOT_ALLOWED, Outcome.BLOCKED, Outcome.OPEN
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/db-AbCdEf"
OTHER = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:test/db-AbCdEf"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/11111111-1111-1111-1111-111111111111"
GET, PUT, DECRYPT = "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue", "kms:Decrypt"

MANY = settings(max_examples=6 * settings().max_examples)


def outcome(
    documents: Iterable[Any],
    boundary: Any = None,
    *,
    action: str = GET,
    resource: str = SECRET,
    context: dict[str, Any] | None = None,
    absent: Iterable[str] = (),
) -> Outcome:
    """Return the outcome of one call."""
    policies = [iam.inline(document) for document in documents]
    limit = None if boundary is None else iam.boundary_with(boundary)
    calls = Calls((action,), (resource,), context or {}, frozenset(key.lower() for key in absent))
    [decision] = evaluate(policies, limit, calls)
    assert (decision.action, decision.resource) == (action, resource)
    assert bool(decision.blocker) == (decision.outcome is BLOCKED)
    return decision.outcome


# --- random documents -------------------------------------------------------------------------------------------------

ACTIONS = (GET, PUT, DECRYPT)
ACTION_PATTERNS = (
    *ACTIONS,
    "*",
    "secretsmanager:*",
    "secretsmanager:Get*",
    "secretsmanager:?etSecretValue",
    "SECRETSMANAGER:getsecretvalue",
    "kms:*",
    "kms:Decrypt?",
    "kms:Dec*t",
)
RESOURCES = (SECRET, OTHER, KEY)
RESOURCE_PATTERNS = (
    *RESOURCES,
    "*",
    "arn:aws:secretsmanager:*:*:secret:*",
    "arn:*:kms:*",
    SECRET[:-6] + "??????",
    SECRET[:-7],
    SECRET.upper(),
    "arn:aws:secretsmanager:eu-central-1:123456789012:secret:*/db-*",
    "arn:aws:secretsmanager:eu-central-1:12345678901?:secret:prod/*",
)
CONTEXT_KEYS = ("kms:ViaService", "secretsmanager:ResourceTag/team", "lambda:SourceFunctionArn")
VALUES = ("data", "Data", "database", "true", "false")
VALUE_PATTERNS = (*VALUES, "dat*", "data?", "*", "?ata", "DATA", "")
OPERATORS = (
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
    "ForAnyValue:StringEquals",
    "ForAllValues:StringLike",
    "ForAnyValue:StringNotLike",
    "Bool",
)
UNKNOWN_OPERATORS = (
    "NumericEquals",
    # The values are no ARNs.
    "ArnEquals",
    "ArnLike",
    "ArnNotEquals",
    "ArnNotLike",
    "DateNotEquals",
    "NotIpAddress",
)


def one_or_some(values: Iterable[str]) -> st.SearchStrategy[Any]:
    """Return a strategy for one value, or a list of values."""
    single = st.sampled_from(list(values))
    return single | st.lists(single, min_size=1, max_size=3, unique=True)


def operators(names: Iterable[str]) -> st.SearchStrategy[str]:
    """Return a strategy for operators with and without `IfExists`, in any case."""
    with_if_exists = [name + suffix for name in names for suffix in ("", "IfExists")]
    return st.sampled_from(with_if_exists) | st.sampled_from([name.lower() for name in with_if_exists])


@st.composite
def conditions(draw: st.DrawFn, names: Iterable[str], patterns: Iterable[str]) -> dict[str, Any]:
    """Return a `Condition` with one or two operators."""
    condition: dict[str, Any] = {}
    for _ in range(draw(st.integers(1, 2))):
        operator = draw(operators(names) | st.just("Null"))
        key = draw(st.sampled_from(CONTEXT_KEYS))
        key = draw(st.sampled_from((key, key.lower())))
        values = draw(st.sampled_from(("true", "false")) if operator == "Null" else one_or_some(patterns))
        condition.setdefault(operator, {})[key] = values
    return condition


@st.composite
def statements(
    draw: st.DrawFn, names: Iterable[str], values: Iterable[str], resources: Iterable[str]
) -> dict[str, Any]:
    """Return a statement. An allow is more frequent than a deny, and a broad pattern than a narrow one."""
    statement: dict[str, Any] = {"Effect": draw(st.sampled_from(("Allow", "Allow", "Deny")))}
    action, resource = draw(st.sampled_from(("Action", "Action", "NotAction"))), draw(st.booleans())
    statement[action] = draw(one_or_some(ACTION_PATTERNS))
    if action == "Action" and draw(st.booleans()):
        statement[action] = "*"
    statement["Resource" if resource else "NotResource"] = draw(one_or_some(resources))
    if resource and draw(st.booleans()):
        statement["Resource"] = "*"
    if draw(st.booleans()):
        statement["Condition"] = draw(conditions(names, values))
    return statement


def documents(
    names: Iterable[str] = OPERATORS,
    values: Iterable[str] = VALUE_PATTERNS,
    resources: Iterable[str] = RESOURCE_PATTERNS,
) -> st.SearchStrategy[Any]:
    """Return a strategy for policy documents. One statement can be an object without a list."""
    statement = statements(names, values, resources)
    return st.builds(lambda content: {"Statement": content}, statement | st.lists(statement, min_size=1, max_size=3))


some_documents = st.lists(documents(), min_size=1, max_size=2)
no_or_some_boundary = st.none() | st.none() | documents()
some_contexts = st.fixed_dictionaries({}, optional=dict.fromkeys(CONTEXT_KEYS, st.sampled_from(VALUES)))


def check_sound(found: Outcome, decisions: set[str]) -> None:
    """Check an outcome against the decisions for all values of what is unknown."""
    if found is ALLOWED:
        assert decisions == {"Allow"}
    elif found is not OPEN:
        assert "Allow" not in decisions


@MANY
@given(some_documents, no_or_some_boundary, st.sampled_from(ACTIONS), st.sampled_from(RESOURCES), some_contexts)
def test_with_a_known_context_the_decision_is_that_of_the_other_evaluator(
    policies: list[Any], boundary: Any, action: str, resource: str, context: dict[str, str]
) -> None:
    absent = {key for key in CONTEXT_KEYS if key not in context}
    found = outcome(policies, boundary, action=action, resource=resource, context=context, absent=absent)
    decision = iam.decision(policies, action, resource, context, boundary=boundary)
    if decision == "Allow":
        assert found is ALLOWED
    elif decision == "Deny":
        assert found is BLOCKED
    else:
        # A boundary that does not allow the call blocks it.
        assert found is NOT_ALLOWED or (found is BLOCKED and boundary is not None)


@MANY
@given(
    some_documents,
    no_or_some_boundary,
    st.sampled_from(ACTIONS),
    st.sampled_from(RESOURCES),
    some_contexts,
    st.sets(st.sampled_from(CONTEXT_KEYS), min_size=1),
)
def test_an_unknown_context_key_is_open_unless_all_its_values_have_the_same_result(
    policies: list[Any], boundary: Any, action: str, resource: str, context: dict[str, str], unknown: set[str]
) -> None:
    known = {key: value for key, value in context.items() if key not in unknown}
    absent = {key for key in CONTEXT_KEYS if key not in known and key not in unknown}
    found = outcome(policies, boundary, action=action, resource=resource, context=known, absent=absent)
    decisions = {
        iam.decision(policies, action, resource, complete, boundary=boundary)
        for complete in _with_all_values(known, sorted(unknown))
    }
    check_sound(found, decisions)


def _with_all_values(known: dict[str, str], unknown: list[str]) -> Iterator[dict[str, str]]:
    """Yield the context with each value of the unknown keys, and without these keys."""
    if not unknown:
        yield known
        return
    yield from _with_all_values(known, unknown[1:])
    for value in VALUES:
        yield from _with_all_values(known | {unknown[0]: value}, unknown[1:])


@MANY
@given(
    st.lists(documents(names=(*OPERATORS[:2], *UNKNOWN_OPERATORS)), min_size=1, max_size=2),
    st.sampled_from(RESOURCES),
    some_contexts,
)
def test_an_unknown_operator_is_open_unless_it_decides_nothing(
    policies: list[Any], resource: str, context: dict[str, str]
) -> None:
    absent = {key for key in CONTEXT_KEYS if key not in context}
    found = outcome(policies, resource=resource, context=context, absent=absent)
    check_sound(found, {iam.decision(policies, GET, resource, context)})


@MANY
@given(
    st.lists(
        documents(
            values=(*VALUE_PATTERNS[:3], "${aws:PrincipalTag/team}", "${aws:PrincipalTag/team}base"),
            resources=(
                *RESOURCE_PATTERNS[:4],
                "arn:aws:secretsmanager:eu-central-1:123456789012:secret:${aws:PrincipalTag/team}/db-*",
            ),
        ),
        min_size=1,
        max_size=2,
    ),
    st.sampled_from(RESOURCES),
    some_contexts,
)
def test_a_policy_variable_is_open_unless_all_its_values_have_the_same_result(
    policies: list[Any], resource: str, context: dict[str, str]
) -> None:
    absent = {key for key in CONTEXT_KEYS if key not in context}
    found = outcome(policies, resource=resource, context=context, absent=absent)
    decisions = set()
    for value in ("prod", "test", "data", "Data", "dat"):
        resolved = json.loads(json.dumps(policies).replace("${aws:PrincipalTag/team}", value))
        decisions.add(iam.decision(resolved, GET, resource, context))
    check_sound(found, decisions)


# --- tables -----------------------------------------------------------------------------------------------------------


def allow(action: Any = GET, resource: Any = SECRET, **members: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **members}


def deny(action: Any = GET, resource: Any = SECRET, **members: Any) -> dict[str, Any]:
    return allow(action, resource, **members) | {"Effect": "Deny"}


def document(*content: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(content)}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (allow(), ALLOWED),
        (allow([PUT, GET]), ALLOWED),
        (allow("SecretsManager:getsecretVALUE"), ALLOWED),
        (allow(PUT), NOT_ALLOWED),
        (allow("secretsmanager:*", "*"), ALLOWED),
        (allow(resource=SECRET[:-6] + "??????"), ALLOWED),
        (allow(resource=SECRET[:-6] + "?????"), NOT_ALLOWED),
        # A resource without the random characters matches no secret, and resources are case-sensitive.
        (allow(resource=SECRET[:-7]), NOT_ALLOWED),
        (allow(resource=SECRET.replace("prod", "Prod")), NOT_ALLOWED),
        (allow(resource=SECRET.replace("arn:aws:", "arn:aws-cn:")), NOT_ALLOWED),
        ({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, ALLOWED),
        ({"Effect": "Allow", "NotAction": ["iam:*", "secretsmanager:Get*"], "Resource": "*"}, NOT_ALLOWED),
        ({"Effect": "Allow", "Action": "*", "NotResource": OTHER}, ALLOWED),
        ({"Effect": "Allow", "Action": "*", "NotResource": ["*:secret:prod/*", OTHER]}, NOT_ALLOWED),
        # IAM completes an ARN with fewer than six fields.
        (allow(resource="arn:aws:secretsmanager"), ALLOWED),
        (allow(resource="arn:aws:secretsmanager:eu-central-1"), ALLOWED),
        (allow(resource="arn:aws:secretsmanager:us-east-1"), NOT_ALLOWED),
        (allow(resource="arn:aws:secretsmanager:eu-central-1:123456789012"), ALLOWED),
        (allow(resource="arn:aws:secretsmanager:eu-central-1:123456789012:secret"), NOT_ALLOWED),
        (allow(resource="arn:aws:kms"), NOT_ALLOWED),
        ({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:secretsmanager"}, NOT_ALLOWED),
        # A star that ends a segment can match beyond the colon, another one cannot.
        (allow(resource="arn:aws:secretsmanager:*:secret:prod/*"), ALLOWED),
        (allow(resource="arn:aws:secretsmanager:eu-*:secret:prod/*"), ALLOWED),
        (allow(resource="arn:aws:secretsmanager:*2:secret:prod/*"), NOT_ALLOWED),
        (allow(resource="arn:aws:secretsmanager:eu-*-1:*:secret:prod/*-??????"), ALLOWED),
        ({"Effect": "Allow", "Action": "*", "NotResource": "*:secret:${aws:username}/*"}, OPEN),
        (allow(resource="*:secret:${aws:username}/*"), OPEN),
        (allow(resource="*:key/${aws:username}"), NOT_ALLOWED),
    ],
)
def test_the_elements_of_a_statement_include_a_call(statement: dict[str, Any], expected: Outcome) -> None:
    assert outcome([document(statement)]) is expected
    # A single statement needs no list.
    assert outcome([{"Statement": statement}]) is expected


def test_no_policy_and_a_policy_without_statements_allow_nothing() -> None:
    assert outcome([]) is NOT_ALLOWED
    assert outcome([{}, {"Version": "2012-10-17", "Statement": []}]) is NOT_ALLOWED


IF_PROD = {"Condition": {"StringEquals": {"aws:PrincipalTag/stage": "prod"}}}


@pytest.mark.parametrize(
    ("documents_", "boundary", "expected"),
    [
        ([document(allow(), deny())], None, BLOCKED),
        ([document(deny()), document(allow())], None, BLOCKED),
        ([document(allow()), document(deny())], None, BLOCKED),
        ([document(allow()), document(deny(PUT))], None, ALLOWED),
        # An open deny leaves an allowed call open, and an open allow beside a certain one does not.
        ([document(allow()), document(deny(**IF_PROD))], None, OPEN),
        ([document(deny(**IF_PROD)), document(allow())], None, OPEN),
        ([document(allow(), allow(**IF_PROD))], None, ALLOWED),
        ([document(allow(**IF_PROD), deny())], None, BLOCKED),
        # Without an allow, the call is not allowed, whatever the open deny is.
        ([document(deny(**IF_PROD))], None, NOT_ALLOWED),
        ([document(allow())], document(allow("*", "*")), ALLOWED),
        ([document(allow())], document(allow(PUT, "*")), BLOCKED),
        ([document(allow())], document(), BLOCKED),
        ([document(allow())], document(allow("*", "*"), deny()), BLOCKED),
        ([document(allow())], document(allow("*", "*", **IF_PROD)), OPEN),
        ([document(allow())], document(allow("*", "*"), deny(**IF_PROD)), OPEN),
        ([document(allow(**IF_PROD))], document(allow(PUT, "*")), BLOCKED),
        ([document(allow(**IF_PROD))], document(allow("*", "*")), OPEN),
        # A boundary grants nothing.
        ([document(allow(PUT))], document(allow("*", "*")), NOT_ALLOWED),
        ([document(allow(PUT))], document(allow("*", "*", **IF_PROD)), NOT_ALLOWED),
    ],
)
def test_a_deny_and_a_boundary_limit_what_is_allowed(documents_: list[Any], boundary: Any, expected: Outcome) -> None:
    assert outcome(documents_, boundary) is expected


def test_the_blocker_names_the_policy_or_the_boundary() -> None:
    calls = Calls((GET,), (SECRET,), {})
    allowing, denying = iam.inline(document(allow()), "policy A"), iam.inline(document(deny()), "policy B")
    [decision] = evaluate([allowing, denying], None, calls)
    assert decision.blocker == Blocker(BlockedBy.DENY, denying.name)
    for statements, blocked_by in (([], BlockedBy.BOUNDARY), ([allow("*", "*"), deny()], BlockedBy.DENY)):
        boundary = iam.boundary_with(document(*statements))
        [decision] = evaluate([allowing], boundary, calls)
        assert decision.blocker == Blocker(blocked_by, boundary.name)


def test_each_action_on_each_resource_has_a_decision() -> None:
    calls = Calls((GET, PUT), (SECRET, OTHER), {})
    decisions = evaluate([iam.inline(document(allow(PUT, OTHER)))], None, calls)
    assert [(decision.action, decision.resource, decision.outcome) for decision in decisions] == [
        (GET, SECRET, NOT_ALLOWED),
        (PUT, SECRET, NOT_ALLOWED),
        (GET, OTHER, NOT_ALLOWED),
        (PUT, OTHER, ALLOWED),
    ]


TEAM = "aws:ResourceTag/team"


@pytest.mark.parametrize(
    ("operator", "patterns", "with_data", "if_absent"),
    [
        ("StringEquals", "data", True, False),
        ("StringEquals", ["web", "data"], True, False),
        ("StringEquals", "Data", False, False),
        ("StringEquals", "d*", False, False),
        ("StringEqualsIfExists", "web", False, True),
        ("StringEqualsIgnoreCase", "DATA", True, False),
        ("StringLike", "d?t*", True, False),
        ("StringLike", "D*", False, False),
        ("StringLikeIfExists", "web", False, True),
        ("stringlike", "data", True, False),
        # None of the values may match: reference_policies_condition-logic-multiple-context-keys-or-values.
        ("StringNotEquals", "web", True, True),
        ("StringNotEquals", ["web", "data"], False, True),
        ("StringNotEquals", ["web", "app"], True, True),
        ("StringNotLike", ["web", "d*"], False, True),
        ("StringNotEqualsIgnoreCase", ["web", "DATA"], False, True),
        ("StringNotEqualsIfExists", ["web", "data"], False, True),
        ("Null", "true", False, True),
        ("Null", "false", True, False),
        ("Null", True, False, True),
        ("Null", ["false"], True, False),
        # reference_policies_condition-single-vs-multi-valued-context-keys: what the set operators do without the key.
        ("ForAllValues:StringEquals", ["web", "data"], True, True),
        ("ForAllValues:StringEquals", ["web", "app"], False, True),
        ("ForAllValues:StringNotLike", ["web", "d*"], False, True),
        ("ForAnyValue:StringLike", ["web", "d*"], True, False),
        ("ForAnyValue:StringNotEquals", ["web", "data"], False, False),
        ("ForAnyValue:StringNotEquals", ["web", "app"], True, False),
        ("foranyvalue:stringequalsifexists", "web", False, True),
        ("BoolIfExists", "true", False, True),
    ],
)
def test_an_operator_compares_a_known_key_and_has_a_rule_for_an_absent_one(
    operator: str, patterns: Any, with_data: bool, if_absent: bool
) -> None:
    # The names of context keys are case-insensitive.
    for key in (TEAM, TEAM.lower()):
        policy = document(allow(Condition={operator: {key: patterns}}))
        assert outcome([policy], context={TEAM: "data"}) is (ALLOWED if with_data else NOT_ALLOWED)
        assert outcome([policy], absent=[TEAM]) is (ALLOWED if if_absent else NOT_ALLOWED)
        assert outcome([policy]) is OPEN


@pytest.mark.parametrize(
    "condition",
    [
        {"NumericLessThan": {TEAM: "5"}},
        {"IpAddress": {TEAM: "10.0.0.0/8"}},
        {"DateGreaterThan": {TEAM: "2030-01-01"}},
        {"ForAllValues:NumericEquals": {TEAM: ["5"]}},
        {"ForSomeValues:StringEquals": {TEAM: ["data"]}},
        {"NullIfExists": {TEAM: "true"}},
        {"Null": {TEAM: "maybe"}},
        {"StringEquals": {TEAM: []}},
        # AWS does not document what the operators for ARNs make of a text that is no ARN.
        {"ArnLike": {TEAM: "d*"}},
        {"ArnNotEquals": {TEAM: "web"}},
        {"ArnNotLike": {TEAM: "arn:aws:s3:::x"}},
        {"StringEquals": {TEAM: "${aws:PrincipalTag/team}"}},
        {"StringNotLike": {TEAM: ["web", "${aws:PrincipalTag/team}"]}},
        {"StringEquals": {TEAM: "data", "aws:SourceVpce": "vpce-1"}},
    ],
)
def test_a_condition_that_cannot_be_evaluated_leaves_the_call_open(condition: dict[str, Any]) -> None:
    context = {TEAM: "data"}
    assert outcome([document(allow(Condition=condition))], context=context) is OPEN
    assert outcome([document(allow(), deny(Condition=condition))], context=context) is OPEN
    # Another part of the same condition that does not hold is enough.
    both = condition | {"StringEqualsIgnoreCase": {TEAM: "web"}}
    assert outcome([document(allow(Condition=both))], context=context) is NOT_ALLOWED
    assert outcome([document(allow(), deny(Condition=both))], context=context) is ALLOWED


def test_null_with_both_values_always_holds() -> None:
    policy = document(allow(Condition={"Null": {TEAM: ["true", "False"]}}))
    assert {outcome([policy]), outcome([policy], absent=[TEAM]), outcome([policy], context={TEAM: "x"})} == {ALLOWED}


@pytest.mark.parametrize(
    ("value", "pattern", "expected"),
    [(True, "true", ALLOWED), (True, True, ALLOWED), (True, "false", NOT_ALLOWED), (False, False, ALLOWED)],
)
def test_a_context_key_and_a_condition_can_be_booleans(value: bool, pattern: Any, expected: Outcome) -> None:
    policy = document(allow(Condition={"Bool": {"aws:SecureTransport": pattern}}))
    assert outcome([policy], context={"aws:SecureTransport": value}) is expected


def test_a_call_on_everything_is_decided_by_the_worst_of_the_resources_that_iam_checks() -> None:
    create, delete, describe = (f"ec2:{name}" for name in ("CreateX", "DeleteX", "DescribeXs"))
    first, second = "arn:aws:ec2:eu-central-1:123456789012:x/x-*", "arn:aws:ec2:eu-central-1:123456789012:y/y-*"
    calls = Calls((create, delete, describe), ("*",), {}, checked={create: (first, second), delete: (first,)})

    def decisions(*statements: Any) -> list[tuple[str, Outcome]]:
        found = evaluate([iam.inline(document(*statements))], None, calls)
        return [(decision.resource, decision.outcome) for decision in found]

    everything = ("*", ALLOWED)
    assert decisions(allow("*", "*")) == [everything] * 3
    assert decisions() == [("*", NOT_ALLOWED)] * 3
    any_resource = allow("ec2:*", "arn:aws:ec2:eu-central-1:123456789012:*/*")
    assert decisions(any_resource) == [everything, everything, ("*", NOT_ALLOWED)]
    assert decisions(allow("ec2:*", [first, "*:z/*"])) == [(second, NOT_ALLOWED), everything, ("*", NOT_ALLOWED)]
    assert decisions(allow("*", "*"), deny("*", second))[0] == (second, BLOCKED)
    # What is open has a resource, for the simulator.
    open_ = allow("*", "arn:aws:ec2:*:*:*/*", Condition={"StringEquals": {"ec2:Vpc": "vpc-1"}})
    assert decisions(open_)[:2] == [(first, OPEN), (first, OPEN)]


FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:rotate-db"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (FUNCTION, ALLOWED),
        ("arn:*:lambda:*:*:function:rotate-*", ALLOWED),
        ("arn:aws:lambda:eu-*:12345678901?:*", ALLOWED),
        ("arn:aws:lambda:*:function:other", NOT_ALLOWED),
        # AWS documents that each component is checked separately. MiniStack lets the wildcard span colons.
        ("arn:aws:lambda:*:function:rotate-db", OPEN),
    ],
)
def test_a_wildcard_of_an_arn_operator_that_spans_components_leaves_the_call_open(
    pattern: str, expected: Outcome
) -> None:
    context = {"lambda:SourceFunctionArn": FUNCTION}
    policy = document(allow(Condition={"ArnLike": {"lambda:SourceFunctionArn": pattern}}))
    assert outcome([policy], context=context) is expected
    policy = document(allow(Condition={"ArnNotLike": {"lambda:SourceFunctionArn": [pattern, "arn:aws:s3:::*"]}}))
    negated = {ALLOWED: NOT_ALLOWED, NOT_ALLOWED: ALLOWED, OPEN: OPEN}
    assert outcome([policy], context=context) is negated[expected]


def test_a_pattern_that_is_no_arn_excludes_nothing_for_certain() -> None:
    context = {"lambda:SourceFunctionArn": FUNCTION}
    for pattern, positive in (("arn:aws:*", OPEN), ("*", OPEN), ("rotate-db", NOT_ALLOWED)):
        of = {"lambda:SourceFunctionArn": pattern}
        assert outcome([document(allow(Condition={"ArnEquals": of}))], context=context) is positive
        assert outcome([document(allow(Condition={"ArnNotEquals": of}))], context=context) is OPEN
        # Another pattern of the list decides.
        both = {"lambda:SourceFunctionArn": [pattern, FUNCTION]}
        assert outcome([document(allow(Condition={"ArnEquals": both}))], context=context) is ALLOWED
        assert outcome([document(allow(Condition={"ArnNotEquals": both}))], context=context) is NOT_ALLOWED


def test_all_operators_and_all_keys_of_a_condition_must_hold() -> None:
    condition = {"StringEquals": {"a": "1", "b": "2"}, "StringLike": {"c": "3*"}}
    policy = document(allow(Condition=condition))
    context = {"a": "1", "b": "2", "c": "33"}
    assert outcome([policy], context=context) is ALLOWED
    for key in context:
        assert outcome([policy], context=context | {key: "0"}) is NOT_ALLOWED


def test_the_provider_s_deny_blocks_the_code_of_the_function_but_not_lambda() -> None:
    interface = "ec2:CreateNetworkInterface"
    strict = document(
        allow(interface, "*"), deny(interface, "*", Condition={"Null": {"lambda:SourceFunctionArn": "false"}})
    )
    source = {"lambda:SourceFunctionArn": "arn:aws:lambda:eu-central-1:123456789012:function:rotate-db"}
    assert outcome([strict], action=interface, resource="*", context=source) is BLOCKED
    assert outcome([strict], action=interface, resource="*", absent=source) is ALLOWED
    assert outcome([strict], action=interface, resource="*") is OPEN
