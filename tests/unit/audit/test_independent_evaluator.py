"""The audit's decisions about random roles, against MiniStack's evaluator of IAM policies.

A role is made of what people write: wildcards, negated elements, conditions, incomplete ARNs, a Deny, a boundary. The
calls of a rotation are listed here once more, each with the context that AWS documents for it, and with random values
of what the audit cannot know. What the audit decides must be what MiniStack decides. What it leaves open is no
difference, but most must be decided.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

from rotation_role_policy.iam.conditions import context_keys
from rotation_role_policy.iam.document import Policy
from rotation_role_policy.iam.evaluation import Calls, Decision, Outcome
from rotation_role_policy.iam.evaluation import evaluate as our_evaluate
from rotation_role_policy.rules.calls import certain_calls
from rotation_role_policy.rules.policy import grants
from rotation_role_policy.rules.state import Secret
from tests.support.iam import boundary_with, inline
from tests.unit.rules.test_policy import KEY, SECRET, SUPERUSER, state

ACCOUNT, REGION = "123456789012", "eu-central-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/rotation-role"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate-db"
PLACE = f"arn:aws:ec2:{REGION}:{ACCOUNT}"
TAGS, SUPERUSER_TAGS = (("team", "data"), ("stage", "prod")), (("team", "dba"),)
STATE = state(Secret(SECRET, KEY, TAGS), superuser=Secret(SUPERUSER, KEY, SUPERUSER_TAGS), in_vpc=True)

ROLES = 25 * settings().max_examples
"""625 in `make test`, 10,000 in `make soak`."""

# --- the calls of a rotation, as AWS documents them -------------------------------------------------------------------


class RealCall(NamedTuple):
    """One authorization by IAM."""

    action: str
    resource: str
    context: Mapping[str, Any]
    """Without what is in each call."""
    stage: str = ""
    decided_for: str = ""
    """The resource of the audit's decision, if it is another one."""


def calls_on_secret(secret: str, tags: Any, stages: Mapping[str, tuple[str, ...]]) -> Iterator[RealCall]:
    by_tag = {f"{service}:resourcetag/{key}": value for key, value in tags for service in ("aws", "secretsmanager")}
    context = {"secretsmanager:secretid": secret, "lambda:sourcefunctionarn": FUNCTION, **by_tag}
    for action, some in stages.items():
        for stage in some:
            with_stage = {"secretsmanager:versionstage": stage} if stage else {}
            yield RealCall(f"secretsmanager:{action}", secret, context | with_stage, stage)


def calls_on_key(action: str, secret: str) -> RealCall:
    context = {
        "kms:encryptioncontext:secretarn": secret,
        "kms:viaservice": f"secretsmanager.{REGION}.amazonaws.com",
        "kms:calleraccount": ACCOUNT,
        "aws:viaawsservice": "true",
    }
    return RealCall(action, KEY, context)


INTERFACE = f"{PLACE}:network-interface/eni-0123456789abcdef0"
CREATED_WITH = (INTERFACE, f"{PLACE}:subnet/subnet-0123456789abcdef0", f"{PLACE}:security-group/sg-0123456789abcdef0")
REAL_CALLS = [
    *calls_on_secret(
        SECRET,
        TAGS,
        {
            "DescribeSecret": ("",),
            "GetSecretValue": ("AWSCURRENT", "AWSPENDING"),
            "PutSecretValue": ("",),
            "UpdateSecretVersionStage": ("AWSCURRENT",),
        },
    ),
    *calls_on_secret(SUPERUSER, SUPERUSER_TAGS, {"GetSecretValue": ("AWSCURRENT",)}),
    RealCall("secretsmanager:GetRandomPassword", "*", {"lambda:sourcefunctionarn": FUNCTION}),
    *(calls_on_key(action, SECRET) for action in ("kms:Decrypt", "kms:GenerateDataKey")),
    calls_on_key("kms:Decrypt", SUPERUSER),
    *(RealCall("ec2:CreateNetworkInterface", each, {}, decided_for="*") for each in CREATED_WITH),
    *(RealCall(f"ec2:{name}NetworkInterface", INTERFACE, {}, decided_for="*") for name in ("Delete", "Detach")),
    RealCall("ec2:DescribeNetworkInterfaces", "*", {}),
]

# --- roles ------------------------------------------------------------------------------------------------------------

ACTIONS = (
    "*",
    "secretsmanager:*",
    "secretsmanager:Get*",
    "secretsmanager:*SecretValue",
    "secretsmanager:GetSecretValue",
    "secretsmanager:DescribeSecret",
    "secretsmanager:PutSecretValue",
    "SecretsManager:UpdateSecretVersionStage",
    "secretsmanager:GetRandomPassword",
    "kms:*",
    "kms:Decrypt",
    "kms:GenerateDataKey*",
    "kms:Generate???aKey",
    "ec2:*",
    "ec2:*NetworkInterface*",
    "ec2:DeleteNetworkInterface",
    "ec2:Describe*",
    "iam:*",
    "s3:GetObject",
)
RESOURCES = (
    "*",
    "*",
    SECRET,
    SUPERUSER,
    SECRET[:-6] + "??????",
    SECRET[:-6] + "*",
    SECRET[:-7],
    f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:*",
    f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:prod/*",
    f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:*/db-??????",
    SECRET.replace(REGION, "*"),
    SECRET.replace(REGION, "us-east-1"),
    "arn:aws:secretsmanager:*:*:secret:*",
    "arn:aws:secretsmanager:eu-*:*:secret:prod/*",
    "arn:aws:secretsmanager:*:secret:prod/*",
    "arn:*:secretsmanager:*",
    # Incomplete ARNs.
    "arn:aws:secretsmanager",
    f"arn:aws:secretsmanager:{REGION}",
    f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}",
    "arn:aws:kms",
    f"arn:aws:ec2:{REGION}",
    KEY,
    KEY.replace(REGION, "*"),
    f"arn:aws:kms:{REGION}:{ACCOUNT}:key/*",
    "arn:aws:kms:*:*:alias/*",
    f"{PLACE}:*/*",
    f"{PLACE}:network-interface/*",
    f"{PLACE}:subnet/*",
    f"{PLACE}:security-group/*",
    "arn:aws:s3:::bucket/*",
    f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:${{aws:PrincipalTag/team}}/*",
)
STRINGS = ("StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase")
ARNS = ("ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "StringLike", "StringNotLike", "StringEquals")
FLAGS = ("Bool", "StringEquals")
ADDRESSES = ("IpAddress", "NotIpAddress")
VALUES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "aws:ResourceTag/team": (STRINGS, ("data", "dba", "Data", "d*", "*", "?*", "${aws:PrincipalTag/team}")),
    "secretsmanager:ResourceTag/Stage": (STRINGS, ("prod", "test", "p???")),
    "aws:ResourceTag/owner": (STRINGS, ("dba", "*")),
    "aws:PrincipalTag/team": (STRINGS, ("data", "web")),
    "aws:PrincipalArn": (ARNS, (ROLE, f"arn:aws:iam::{ACCOUNT}:role/*", f"arn:aws:iam::{ACCOUNT}:role/dba", "*")),
    "aws:PrincipalAccount": (STRINGS, (ACCOUNT, "999999999999")),
    "aws:ResourceAccount": (STRINGS, (ACCOUNT, "999999999999")),
    "aws:RequestedRegion": (STRINGS, (REGION, "us-east-1", "eu-*")),
    "aws:SecureTransport": (FLAGS, ("true", "false")),
    "aws:ViaAWSService": (FLAGS, ("true", "false")),
    "aws:SourceIp": (ADDRESSES, ("10.0.0.0/8", "192.0.2.1/32")),
    "aws:SourceVpc": (STRINGS, ("vpc-1", "vpc-*")),
    "aws:CurrentTime": (("DateLessThan", "DateGreaterThan"), ("2020-01-01T00:00:00Z",)),
    "secretsmanager:SecretId": (ARNS, (SECRET, SECRET[:-6] + "*", SUPERUSER, "arn:aws:secretsmanager:*:*:secret:*")),
    "secretsmanager:VersionStage": (STRINGS, ("AWSCURRENT", "AWSPENDING", "AWSPREVIOUS", "AWS*")),
    "kms:ViaService": (STRINGS, (f"secretsmanager.{REGION}.amazonaws.com", "secretsmanager.*", "ec2.*")),
    "kms:CallerAccount": (STRINGS, (ACCOUNT, "999999999999")),
    "kms:EncryptionContext:SecretARN": (ARNS, (SECRET, SUPERUSER, SECRET[:-6] + "??????", "arn:aws:secretsmanager:*")),
    "kms:EncryptionContext:SecretVersionId": (STRINGS, ("1", "*")),
    "kms:EncryptionContext:team": (STRINGS, ("data", "*")),
    "lambda:SourceFunctionArn": (ARNS, (FUNCTION, f"arn:aws:lambda:*:{ACCOUNT}:function:rotate-*", "x")),
    "ec2:Vpc": (ARNS, (f"{PLACE}:vpc/vpc-1", "arn:aws:ec2:*:*:vpc/*")),
}
"""By context key: its operators, and values."""
UNKNOWN: dict[str, tuple[str, ...]] = {
    "aws:principaltag/team": ("data", "web"),
    "aws:sourcevpc": ("vpc-1", "vpc-2"),
    "kms:encryptioncontext:secretversionid": ("1", "2"),
    "ec2:vpc": (f"{PLACE}:vpc/vpc-1",),
}
"""By context key in lower case: values that a real call can have, or not."""


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=2, unique=True)):
        operators, values = VALUES[key]
        operator = draw(st.sampled_from((*operators, *operators, "Null")))
        if operator == "Null":
            found.setdefault(operator, {})[key] = draw(st.sampled_from(("true", "false")))
            continue
        prefix = draw(st.sampled_from(("", "", "", "ForAllValues:", "ForAnyValue:")))
        suffix = draw(st.sampled_from(("", "", "", "IfExists")))
        some = draw(st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True))
        name = draw(st.sampled_from((key, key.lower())))
        found.setdefault(f"{prefix}{operator}{suffix}", {})[name] = some[0] if len(some) == 1 else some
    return found


@st.composite
def statements(draw: st.DrawFn, effects: tuple[str, ...]) -> dict[str, Any]:
    action = draw(st.sampled_from(("Action", "Action", "Action", "NotAction")))
    resource = draw(st.sampled_from(("Resource", "Resource", "Resource", "NotResource")))
    statement: dict[str, Any] = {"Effect": draw(st.sampled_from(effects))}
    statement[action] = draw(st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=3, unique=True))
    # To exclude everything leaves nothing.
    some = RESOURCES if resource == "Resource" else RESOURCES[2:]
    statement[resource] = draw(st.lists(st.sampled_from(some), min_size=1, max_size=3, unique=True))
    if draw(st.integers(0, 2)) == 0:
        statement["Condition"] = draw(conditions())
    return statement


SOUND = (
    (["secretsmanager:*"], [SECRET, SUPERUSER]),
    (["secretsmanager:GetRandomPassword"], ["*"]),
    (["kms:Decrypt", "kms:GenerateDataKey"], [KEY]),
    (["ec2:*"], ["*"]),
)
"""Actions and resources that a sound role has."""


@st.composite
def sound_statements(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return the statements of a sound role, of which one may have a condition, so that the condition decides."""
    found: list[dict[str, Any]] = [
        {"Effect": "Allow", "Action": actions, "Resource": resources} for actions, resources in SOUND
    ]
    if draw(st.integers(0, 2)):
        found[draw(st.sampled_from((0, 0, 2, 2, 1, 3)))]["Condition"] = draw(conditions())
    return found


def documents(*effects: str) -> st.SearchStrategy[Any]:
    some = st.lists(statements(effects), min_size=1, max_size=3)
    sound = st.builds(lambda before, after: before + after, sound_statements(), st.just([]) | some)
    return st.builds(lambda found: {"Version": "2012-10-17", "Statement": found}, some | sound | sound)


class RandomRole(NamedTuple):
    """Policies, a boundary, and a context that the audit does not know."""

    documents: list[Any]
    boundary: Any
    context: dict[str, str]
    source_ip: str


ROLE_STRATEGY = st.builds(
    RandomRole,
    st.lists(documents("Allow", "Allow", "Deny"), min_size=1, max_size=2),
    st.none() | st.none() | documents("Allow", "Allow", "Allow", "Deny"),
    st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in UNKNOWN.items()}),
    st.sampled_from(("10.1.2.3", "192.0.2.1", "203.0.113.5")),
)

# --- the two evaluators -----------------------------------------------------------------------------------------------


def our_decisions(role: RandomRole) -> Iterator[tuple[Calls, Decision]]:
    """Yield what the audit decides, with the calls."""
    policies = [inline(each) for each in role.documents]
    boundary = boundary_with(role.boundary) if role.boundary else None
    used = _used_keys([*policies, *([boundary] if boundary else [])])
    for grant in grants(STATE):
        if grant.statement["Effect"] == "Allow":
            for calls in certain_calls(STATE, grant, used):
                for decision in our_evaluate(policies, boundary, calls):
                    yield calls, decision


def _used_keys(policies: list[Policy]) -> set[str]:
    return {key for each in policies for statement in each.statements for key in context_keys(statement.conditions)}


def other_decisions(role: RandomRole, calls: Calls, decision: Decision) -> list[str]:
    """Return what MiniStack decides about the real calls that our decision is about."""
    stage, context = calls.context.get("secretsmanager:VersionStage"), calls.context
    found = [
        each
        for each in REAL_CALLS
        if each.action == decision.action
        and (each.decided_for or each.resource) in (decision.resource, *calls.resources)
        and stage in (None, each.stage)
        and context.get("kms:EncryptionContext:SecretARN") == each.context.get("kms:encryptioncontext:secretarn")
    ]
    assert found, decision
    return [ministack(role, each) for each in found]


def ministack(role: RandomRole, call: RealCall) -> str:
    """Return MiniStack's decision about a real call: ``Allow``, ``Deny`` or ``ImplicitDeny``."""
    common = {"aws:principalisawsservice": "false", "aws:viaawsservice": "false"}
    services = ("aws", call.action.partition(":")[0])
    unknown = {key: value for key, value in role.context.items() if key.partition(":")[0] in services}
    request = EvalContext(
        principal_arn=ROLE,
        principal_type="AssumedRole",
        principal_account=ACCOUNT,
        action=call.action,
        resource_arn=call.resource,
        region=REGION,
        source_ip=role.source_ip,
        secure_transport=True,
        service_context={**common, **unknown, **call.context},
    )
    policies, *limits = (
        [parse_policy_document(_completed(each)) for each in some]
        for some in (role.documents, *([[role.boundary]] if role.boundary else []))
    )
    return str(evaluate(request, policies, *limits).decision)


def _completed(document: Any) -> Any:
    """Return a document whose ARNs have six fields, as IAM completes them. MiniStack does not.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
    """
    completed = []
    for statement in document["Statement"]:
        name = "Resource" if "Resource" in statement else "NotResource"
        values = statement[name] if isinstance(statement[name], list) else [statement[name]]
        whole = [
            ":".join([*each.split(":"), *["*"] * (5 - each.count(":"))]) if each != "*" else each for each in values
        ]
        completed.append(statement | {name: whole})
    return {**document, "Statement": completed}


def test_what_the_audit_decides_is_what_another_evaluator_decides() -> None:
    tally: Counter[Outcome] = Counter()

    @settings(max_examples=ROLES)
    @given(ROLE_STRATEGY)
    def compare(role: RandomRole) -> None:
        for calls, decision in our_decisions(role):
            others = other_decisions(role, calls, decision)
            tally[decision.outcome] += 1
            match decision.outcome:
                case Outcome.ALLOWED:
                    assert set(others) == {"Allow"}, decision
                case Outcome.NOT_ALLOWED | Outcome.BLOCKED:
                    assert set(others) != {"Allow"}, decision
            if decision.blocker and decision.blocker.by.name == "DENY":
                assert "Deny" in others, decision

    compare()
    total = sum(tally.values())
    assert total > 10 * ROLES
    assert tally[Outcome.OPEN] < total / 4, tally
    for outcome in (Outcome.ALLOWED, Outcome.NOT_ALLOWED, Outcome.BLOCKED):
        assert tally[outcome] > total / 20, tally


# --- where MiniStack deviates from AWS's documentation ----------------------------------------------------------------

TEAM = "aws:ResourceTag/team"
GET = RealCall("secretsmanager:GetSecretValue", SECRET, {"aws:resourcetag/team": "data"}, "AWSCURRENT")


def of_statement(**members: Any) -> RandomRole:
    statement = {"Effect": "Allow", "Action": GET.action, "Resource": "*", **members}
    return RandomRole([{"Version": "2012-10-17", "Statement": [statement]}], None, {}, "10.1.2.3")


@pytest.mark.parametrize(
    ("role", "ours", "other"),
    [
        # A star that does not end its segment stays in it (reference_policies_elements_resource).
        (of_statement(Resource="arn:aws:secretsmanager:eu*2:secret:prod/*"), Outcome.NOT_ALLOWED, "Allow"),
        # Several values of a condition are alternatives (reference_policies_condition-logic-multiple-context-keys-or-
        # values). MiniStack looks at the first.
        (
            of_statement(Condition={"Null": {"aws:ResourceTag/team": ["true", "false"]}}),
            Outcome.ALLOWED,
            "ImplicitDeny",
        ),
        # A policy variable has a value (reference_policies_variables). MiniStack takes it for text.
        (of_statement(Condition={"StringNotEquals": {TEAM: "${aws:userid}"}}), Outcome.OPEN, "Allow"),
    ],
)
def test_where_the_other_evaluator_deviates(role: RandomRole, ours: Outcome, other: str) -> None:
    [found] = {
        decision.outcome
        for _, decision in our_decisions(role)
        if (decision.action, decision.resource) == (GET.action, GET.resource)
    }
    assert (found, ministack(role, GET)) == (ours, other)
