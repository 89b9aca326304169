"""The plan: the document, and whether the policy changes."""

from typing import Any

import pytest

from rotation_role_policy.rules import policy
from rotation_role_policy.rules.plan import make_plan
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
