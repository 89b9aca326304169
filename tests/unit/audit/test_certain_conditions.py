"""What conditions decide for certain: a role's policies in, findings out, without a question for the simulator."""

from dataclasses import replace
from typing import Any

import pytest

from rotation_role_policy.audit import access
from rotation_role_policy.audit.coverage import coverages
from rotation_role_policy.audit.facts import Known, RoleFacts, Simulation
from rotation_role_policy.audit.resources import ResourceQuestion
from rotation_role_policy.rules.state import Secret
from tests.support import audit_facts
from tests.support.audit_facts import (
    ACCOUNT,
    GUIDE,
    KEY,
    OWN,
    REGION,
    ROOT,
    ROTATE,
    SECRET,
    SUPERUSER,
    allow,
    document,
    function,
    policies,
    secret,
)

GET, PUT, UPDATE = (
    f"secretsmanager:{name}" for name in ("GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
)
PASSWORD = "secretsmanager:GetRandomPassword"  # an action
DECRYPT, GENERATE = "kms:Decrypt", "kms:GenerateDataKey"
USE_KEY = allow([DECRYPT, GENERATE], KEY)
OTHER = SECRET.replace("prod/db", "other")


def when(operator: str, key: str, value: Any) -> dict[str, Any]:
    return {"Condition": {operator: {key: value}}}


def deny(action: Any, **members: Any) -> dict[str, Any]:
    return allow(action, "*", **members) | {"Effect": "Deny"}


def facts(*statements: Any, boundary: Any = None, key: str | None = None, superuser: bool = False) -> RoleFacts:
    """Return a role whose secret has the tags ``team: data`` and, differing only in case, ``Env`` and ``env``."""
    tags = (("team", "data"), ("Env", "a"), ("env", "b"))
    rotated = replace(secret(key=key), state=Known(Secret(SECRET, key, tags)))
    return audit_facts.role(
        function(rotated),
        role=policies(*statements, boundary=boundary),
        superusers={SUPERUSER: Known(Secret(SUPERUSER, None))} if superuser else {},
        resource_policies={KEY: Known(document(ROOT)), SECRET: Known({}), SUPERUSER: Known({})},
    )


def decided(found: RoleFacts) -> list[tuple[str, tuple[str, ...]]]:
    """Return what is blocked or not allowed, and what is open, each with its actions."""
    covered = coverages(found)
    problems = [
        ("blocked" if each.blocker else "doubt" if each.doubt else "missing", each.actions)
        for each in access.problems(found, covered)
    ]
    questions = access.questions(found, covered)
    assert not any(isinstance(each, ResourceQuestion) for each in questions)
    return problems + [("open", each.actions) for each in questions if isinstance(each, Simulation)]


FOUR = tuple(ROTATE)
FOR_SECRET = when("StringEquals", "kms:EncryptionContext:SecretARN", SECRET)
PASSWORDS = allow(PASSWORD, "*")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        # All tags of a secret are known, so it lacks every other.
        (when("StringEquals", "aws:ResourceTag/team", "data"), []),
        (when("StringEquals", "secretsmanager:ResourceTag/Team", ["web", "data"]), []),
        (when("StringEquals", "aws:ResourceTag/team", "web"), [("missing", FOUR)]),
        (when("StringEquals", "aws:ResourceTag/owner", "dba"), [("missing", FOUR)]),
        (when("StringLike", "secretsmanager:ResourceTag/owner", "*"), [("missing", FOUR)]),
        (when("StringEqualsIfExists", "aws:ResourceTag/owner", "dba"), []),
        (when("StringNotEquals", "aws:ResourceTag/owner", "dba"), []),
        (when("Null", "aws:ResourceTag/owner", "true"), []),
        (when("Null", "aws:ResourceTag/owner", "false"), [("missing", FOUR)]),
        (when("ForAnyValue:StringEquals", "aws:ResourceTag/owner", "dba"), [("missing", FOUR)]),
        # Which of two tags counts is not known.
        (when("StringEquals", "aws:ResourceTag/ENV", "a"), [("open", FOUR)]),
        # The tags of the role and of its session are not known.
        (when("StringEquals", "aws:PrincipalTag/team", "data"), [("open", FOUR)]),
        # AWS's functions name the secret by the ARN of the event.
        (when("StringEquals", "secretsmanager:SecretId", SECRET), []),
        (when("ArnLike", "secretsmanager:SecretId", SECRET[:-6] + "??????"), []),
        (when("StringEquals", "secretsmanager:SecretId", OTHER), [("missing", FOUR)]),
        # They read and move the labels AWSCURRENT and AWSPENDING.
        (
            when("StringEquals", "secretsmanager:VersionStage", "AWSCURRENT"),
            [("missing", (GET,)), ("missing", (ROTATE[0], PUT))],
        ),
        (when("StringEqualsIfExists", "secretsmanager:VersionStage", ["AWSCURRENT", "AWSPENDING"]), []),
        (when("StringEqualsIfExists", "secretsmanager:VersionStage", "AWSCURRENT"), [("missing", (GET,))]),
        # A context key of KMS is not in a call of Secrets Manager.
        (when("StringLike", "kms:ViaService", "secretsmanager.*"), [("missing", FOUR)]),
        # An address, a number and a date are left to the simulator.
        (when("IpAddress", "aws:SourceIp", "10.0.0.0/8"), [("open", FOUR)]),
    ],
)
def test_a_condition_of_a_grant_on_the_secret_is_certain(
    condition: dict[str, Any], expected: list[tuple[str, tuple[str, ...]]]
) -> None:
    assert decided(facts(allow(ROTATE, SECRET, **condition), PASSWORDS)) == expected


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (deny(PUT, **when("StringNotEquals", "aws:ResourceTag/owner", "dba")), [("blocked", (PUT,))]),
        (deny("*", **when("Null", "aws:ResourceTag/owner", "true")), [("blocked", FOUR), ("blocked", (PASSWORD,))]),
        (deny("*", **when("Null", "secretsmanager:ResourceTag/team", "true")), [("blocked", (PASSWORD,))]),
        (deny("*", **when("StringEquals", "aws:ResourceTag/owner", "dba")), []),
        (deny(GET, **when("StringEquals", "secretsmanager:VersionStage", "AWSPREVIOUS")), []),
        (deny(GET, **when("StringEquals", "secretsmanager:VersionStage", "AWSPENDING")), [("blocked", (GET,))]),
        (
            deny("*", **when("StringNotLike", "secretsmanager:SecretId", "*:secret:test/*")),
            [("blocked", FOUR), ("blocked", (PASSWORD,))],
        ),
        (deny(GET, **when("StringNotEquals", "aws:PrincipalTag/team", "data")), [("open", (GET,))]),
    ],
)
def test_a_condition_of_a_deny_is_certain(statement: dict[str, Any], expected: Any) -> None:
    assert decided(facts(*GUIDE, statement)) == expected


def test_a_boundary_and_a_call_without_a_resource_have_no_tag() -> None:
    tagged = when("StringEquals", "aws:ResourceTag/owner", "dba")
    boundary = document(allow("*", "*", **tagged))
    assert decided(facts(*GUIDE, boundary=boundary)) == [("blocked", FOUR), ("blocked", (PASSWORD,))]
    assert decided(facts(GUIDE[0], allow(PASSWORD, "*", **tagged))) == [("missing", (PASSWORD,))]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (FOR_SECRET, []),
        (when("StringEquals", "kms:CallerAccount", ACCOUNT), []),
        (when("StringEquals", "kms:CallerAccount", "999999999999"), [("missing", (DECRYPT, GENERATE))]),
        (when("StringEquals", "kms:ViaService", f"secretsmanager.{REGION}.amazonaws.com"), []),
        (when("StringEquals", "kms:EncryptionContext:team", "data"), [("missing", (DECRYPT, GENERATE))]),
        (when("StringLike", "kms:EncryptionContext:SecretVersionId", "*"), [("open", (DECRYPT, GENERATE))]),
        (when("StringEquals", "secretsmanager:ResourceTag/team", "data"), [("missing", (DECRYPT, GENERATE))]),
        # The tags of the key are not known.
        (when("StringEquals", "aws:ResourceTag/team", "data"), [("open", (DECRYPT, GENERATE))]),
    ],
)
def test_a_condition_of_a_grant_on_the_key_is_certain(
    condition: dict[str, Any], expected: list[tuple[str, tuple[str, ...]]]
) -> None:
    assert decided(facts(*GUIDE, allow([DECRYPT, GENERATE], KEY, **condition), key=KEY)) == expected


DBA = f"arn:aws:iam::{ACCOUNT}:role/dba"
BOTH, DOUBT = ("blocked", (DECRYPT, GENERATE)), ("doubt", (DECRYPT, GENERATE))


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([ROOT], []),
        # Such as the policy of an AWS managed key: whoever calls in the account, through Secrets Manager.
        ([ROOT | {"Principal": {"AWS": "*"}} | when("StringEquals", "kms:CallerAccount", ACCOUNT)], []),
        ([ROOT | {"Principal": {"AWS": "*"}} | when("StringEquals", "kms:CallerAccount", "999999999999")], [BOTH]),
        ([ROOT, deny("*", Principal="*", **when("StringNotEquals", "kms:CallerAccount", ACCOUNT))], []),
        ([ROOT, deny("*", Principal="*", **when("StringNotEquals", "kms:CallerAccount", "999999999999"))], [BOTH]),
        ([ROOT, deny(GENERATE, NotPrincipal={"AWS": DBA})], [("blocked", (GENERATE,))]),
        ([{**allow("kms:*", "*"), "NotPrincipal": {"AWS": DBA}}], []),
        # A Deny that excepts the account leaves open whether it applies to a session of the role.
        ([ROOT, deny("*", NotPrincipal={"AWS": [DBA, f"arn:aws:iam::{ACCOUNT}:root"]})], [DOUBT]),
        ([ROOT, deny("*", Principal="*", **when("StringNotEquals", "aws:SourceVpc", "vpc-1"))], [DOUBT]),
        ([ROOT, deny("*", Principal="*", **when("IpAddress", "aws:SourceIp", "10.0.0.0/8"))], [DOUBT]),
        # An incomplete ARN is completed in the policies of a role only.
        ([ROOT, deny("*", Principal="*") | {"Resource": "arn:aws:kms"}], [DOUBT]),
    ],
)
def test_the_policy_of_a_key_blocks_only_what_is_certain(
    statements: list[Any], expected: list[tuple[str, tuple[str, ...]]]
) -> None:
    found = facts(*GUIDE, USE_KEY, key=KEY)
    policies_of = {**found.resource_policies, KEY: Known(document(*statements))}
    assert decided(replace(found, resource_policies=policies_of)) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (when("StringEquals", "secretsmanager:VersionStage", "AWSCURRENT"), []),
        (when("StringEquals", "secretsmanager:VersionStage", "AWSPENDING"), [("missing", (GET,))]),
        (when("StringEquals", "aws:ResourceTag/team", "data"), [("missing", (GET,))]),
        # A function can name its superuser secret by the name or by the ARN.
        (when("StringEquals", "secretsmanager:SecretId", SUPERUSER), [("open", (GET,))]),
    ],
)
def test_a_condition_of_a_grant_on_the_superuser_secret_is_certain(
    condition: dict[str, Any], expected: list[tuple[str, tuple[str, ...]]]
) -> None:
    # The provider's policy shows which secret is the superuser secret.
    written = replace(policies(), inline={OWN: document(*GUIDE, allow(GET, SUPERUSER, **condition))})
    found = replace(facts(superuser=True), role=Known(written), owners=audit_facts.role(role=written).owners)
    assert decided(found) == expected


def test_two_secrets_are_decided_by_their_own_tags_and_arns() -> None:
    second = replace(secret(OTHER), state=Known(Secret(OTHER, None, (("team", "web"),))))
    limited = [
        allow(ROTATE, SECRET, **when("StringEquals", "secretsmanager:SecretId", SECRET)),
        allow(ROTATE, OTHER, **when("StringEquals", "aws:ResourceTag/team", "data")),
        PASSWORDS,
    ]
    answers = {SECRET: Known(document()), OTHER: Known(document())}
    found = audit_facts.role(function(secret(), second), role=policies(*limited), resource_policies=answers)
    [problem] = access.problems(found, coverages(found))
    assert (problem.resource, problem.actions) == (OTHER, FOUR)


# --- network interfaces ---

INTERFACES = ["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces"]
CREATE, DELETE, DESCRIBE = INTERFACES
PLACE = f"arn:aws:ec2:{REGION}:{ACCOUNT}"


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([allow(INTERFACES, "*")], []),
        # The form of the AWS Lambda guide.
        ([allow([CREATE, DESCRIBE], "*"), allow(DELETE, f"{PLACE}:*/*")], []),
        ([allow([CREATE, DESCRIBE], "*"), allow(DELETE, "arn:aws:ec2:*:*:network-interface/*")], []),
        ([allow([CREATE, DESCRIBE], "*"), allow(DELETE, "arn:aws:ec2")], []),
        ([allow(INTERFACES, f"{PLACE}:*/*")], [((DESCRIBE,), "*")]),
        (
            [
                allow(DESCRIBE, "*"),
                allow(
                    [CREATE, DELETE],
                    [f"{PLACE}:{each}/*" for each in ("network-interface", "subnet", "security-group")],
                ),
            ],
            [],
        ),
        # The call is checked on the subnet and the security group, too.
        (
            [allow(DESCRIBE, "*"), allow([CREATE, DELETE], f"{PLACE}:network-interface/*")],
            [((CREATE,), f"{PLACE}:subnet/subnet-*")],
        ),
        (
            [allow([CREATE, DESCRIBE], "*"), allow(DELETE, f"{PLACE}:network-interface/eni-0123456789abcdef0")],
            [((DELETE,), "*")],
        ),
        ([allow([CREATE, DESCRIBE], "*"), allow(DELETE, f"{PLACE}:instance/*")], [((DELETE,), "*")]),
        ([allow(INTERFACES, PLACE.replace(REGION, "us-east-1") + ":*/*")], [((CREATE, DELETE, DESCRIBE), "*")]),
        ([], [((CREATE, DELETE, DESCRIBE), "*")]),
    ],
)
def test_grants_for_network_interfaces_are_evaluated_on_the_resources_that_iam_checks(
    statements: list[Any], expected: list[tuple[tuple[str, ...], str]]
) -> None:
    found = audit_facts.role(function(in_vpc=True), role=policies(*GUIDE, *statements))
    covered = coverages(found)
    needed = [each.of_rotation() for each in access.problems(found, covered)]
    assert [(each.actions, each.resource) for each in needed if each] == expected
    assert access.questions(found, covered) == []


def test_what_is_open_about_network_interfaces_is_simulated_on_a_resource() -> None:
    limited = allow(INTERFACES, f"{PLACE}:*/*", **when("StringEquals", "ec2:Vpc", f"{PLACE}:vpc/vpc-1"))
    found = audit_facts.role(function(in_vpc=True), role=policies(*GUIDE, limited, allow(DESCRIBE, "*")))
    [simulation] = access.questions(found, coverages(found))
    assert isinstance(simulation, Simulation)
    assert (simulation.actions, simulation.resources) == ((CREATE, DELETE), (f"{PLACE}:network-interface/eni-*",))
