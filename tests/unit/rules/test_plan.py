"""The plan: the document, and whether the policy changes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rotation_role_policy.iam.document import JsonDocument
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.plan import Plan, make_plan
from rotation_role_policy.rules.properties import parse_properties
from rotation_role_policy.rules.state import Role, Secret, State

SECRET_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/db-AbCdEf"
STATE = State(
    secrets=(Secret(SECRET_ARN, None),),
    superuser_secret=None,
    role=Role("rotation-role", "arn:aws:iam::123456789012:role/rotation-role"),
    function_arn="arn:aws:lambda:eu-central-1:123456789012:function:rotate-db",
    in_vpc=False,
    dns_suffix="amazonaws.com",
)


SENT = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTES = timedelta(minutes=1)


@pytest.mark.parametrize("profile", ["Strict", "Documented"])
@pytest.mark.parametrize("access_check", ["Enforce", "Off"])
def test_a_plan_has_the_document_and_says_whether_it_changes_the_policy(profile: str, access_check: str) -> None:
    properties = parse_properties({"SecretId": "prod/db", "PolicyProfile": profile, "AccessCheck": access_check})
    document = policy.document(STATE, properties.policy_profile)
    other: Any = {"Version": "2012-10-17", "Statement": []}
    for existing, is_changed in ((None, True), (other, True), (document, False)):
        plan = make_plan(properties, None, STATE, existing, None)
        assert (plan.document, plan.existing_document, plan.is_changed) == (document, existing, is_changed)
        assert plan.needs_access_check is (is_changed and access_check == "Enforce")


# --- a function that leaves its VPC ---


def plan(
    state: State, existing: JsonDocument | None, old: Any = None, at: datetime | None = SENT, **given: Any
) -> Plan:
    """Return the plan for a resource whose policy has `existing`."""
    properties: dict[str, Any] = {"SecretId": "prod/db"}
    if not state.function_arn:
        properties |= {"RoleName": "rotation-role", "VpcConfig": {}}
    return make_plan(parse_properties(properties | given), old, state, existing, at)


def keeps_interfaces(state: State, old: Any = None, at: datetime | None = SENT, profile: str = "Strict") -> bool:
    """Return whether the statements for network interfaces stay, and check that nothing else differs."""
    in_vpc = policy.document(replace(state, in_vpc=True), profile)
    planned = plan(state, in_vpc, old, at, PolicyProfile=profile)
    assert planned.document in (in_vpc, policy.document(state, profile))
    assert planned.is_changed is (planned.document != in_vpc)
    return planned.document == in_vpc


@pytest.mark.parametrize("profile", ["Strict", "Documented"])
@pytest.mark.parametrize(
    ("modified", "at", "stays"),
    [
        (SENT - 59 * MINUTES, SENT, True),
        (SENT - 60 * MINUTES, SENT, False),
        (SENT - timedelta(days=90), SENT, False),
        # A repeated delivery: the function has been modified again since the request was sent.
        (SENT + MINUTES, SENT, True),
        (None, SENT, True),
        (SENT - timedelta(days=90), None, True),
    ],
)
def test_the_network_statements_stay_for_an_hour_after_the_function_was_modified(
    profile: str, modified: datetime | None, at: datetime | None, stays: bool
) -> None:
    state = replace(STATE, function_modified=modified)
    assert keeps_interfaces(state, at=at, profile=profile) is stays
    # What the policy did not have, it does not get.
    without = policy.document(state)
    assert plan(state, without, at=at).document == without
    assert plan(state, None, at=at).document == without


@pytest.mark.parametrize(
    ("qualifier", "stays"), [("", False), ("$LATEST", False), ("7", True), ("live", True), ("$LATEST.PUBLISHED", True)]
)
def test_the_network_statements_stay_if_the_function_is_named_by_a_version_or_alias(
    qualifier: str, stays: bool
) -> None:
    state = replace(STATE, function_modified=SENT - timedelta(days=90), function_qualifier=qualifier)
    assert keeps_interfaces(state) is stays


@pytest.mark.parametrize(
    ("old", "stays"),
    [
        ({"VpcConfig": {"SubnetIds": ["subnet-1"]}}, True),
        ({"VpcConfig": {"SubnetIds": []}}, False),
        ({"VpcConfig": {}}, False),
        # The properties before the update did not declare the function, or they are not known.
        ({"RotationLambdaARN": "rotate-db"}, True),
        ({"VpcConfig": "x"}, True),
        (None, True),
        ("x", True),
    ],
)
def test_in_declared_mode_the_network_statements_stay_unless_the_old_properties_have_no_subnets(
    old: Any, stays: bool
) -> None:
    assert keeps_interfaces(replace(STATE, function_arn=""), old) is stays


def test_a_function_in_a_vpc_has_the_network_statements() -> None:
    state = replace(STATE, in_vpc=True, function_modified=SENT - timedelta(days=90))
    assert plan(state, None).document == policy.document(state)


def test_the_form_of_the_plan_is_that_of_the_properties() -> None:
    assert plan(STATE, None, KmsScope="Secret").document == policy.document(STATE, "Strict", "Secret")
    assert plan(STATE, None, PolicyProfile="Documented").document == policy.document(STATE, "Documented")
