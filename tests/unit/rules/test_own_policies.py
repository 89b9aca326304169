"""Which policies of a role a `Custom::RotationRolePolicy` has put on it."""

from dataclasses import replace
from typing import Any

import pytest

from rotation_role_policy.iam.document import PolicyKind, PolicyName
from rotation_role_policy.rules.own_policies import other_policies, own_policies
from tests.support.audit_facts import GUIDE, ROTATE, SECRET, allow, document, policies

OWN = "DatabaseRotationPolicy-697baaecb2ba"


@pytest.mark.parametrize(
    ("name", "policy", "is_own"),
    [
        (OWN, document(*GUIDE), True),
        # IAM accepts one statement without a list.
        (OWN, {"Statement": allow(ROTATE, SECRET)}, True),
        ("rotation", document(*GUIDE), False),
        (OWN, {}, False),
        (OWN, document({"Effect": "Allow", "NotAction": "iam:*", "Resource": SECRET}), False),
        (OWN, document(allow(ROTATE[:3], SECRET)), False),
        (OWN, document(allow(ROTATE, "*")), False),
    ],
)
def test_name_and_first_statement_show_who_has_written_a_policy(
    name: str, policy: dict[str, Any], is_own: bool
) -> None:
    assert (name in own_policies({name: policy})) is is_own


def test_the_other_policies_are_those_that_nobody_here_has_written() -> None:
    role = policies(*GUIDE, **{OWN: document(*GUIDE)})
    role = replace(role, managed={OWN: document(*GUIDE)})
    assert [each.name for each in other_policies(role)] == [
        PolicyName(PolicyKind.INLINE, "rotation"),
        PolicyName(PolicyKind.MANAGED, OWN),
    ]
