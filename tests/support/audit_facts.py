"""Facts about a role, as an audit collects them: one function that rotates one secret, and is sound."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rotation_role_policy.audit.facts import (
    FailedCall,
    FunctionDetails,
    FunctionFacts,
    Known,
    ListedSecret,
    RoleFacts,
    SecretFacts,
    Unknown,
)
from rotation_role_policy.audit.ownership import Owner
from rotation_role_policy.rules.state import Function, Role, RolePolicies, Secret

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
ACCOUNT, REGION = "123456789012", "eu-central-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/service-role/rotation"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate-db"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:prod/db-AbCdEf"
SUPERUSER = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:superuser-AbCdEf"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-1111-1111-1111-111111111111"
ROOT = {"Effect": "Allow", "Action": "kms:*", "Resource": "*", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
STACK = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/database/6b1e1c50-0000-11ef-8e9a-0a1b2c3d4e5f"
OWN = "DatabaseRotationPolicy-697baaecb2ba"
"""The policy of the resource `DatabaseRotationPolicy` of this stack."""
DENIED = FailedCall("iam:GetRole", "AccessDenied", "not authorized", is_denied=True)
ROTATE = [
    f"secretsmanager:{action}"
    for action in ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
]


def allow(action: Any, resource: Any, **members: Any) -> dict[str, Any]:
    """Return a statement that allows."""
    return {"Effect": "Allow", "Action": action, "Resource": resource, **members}


def document(*statements: Any) -> dict[str, Any]:
    """Return a policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


GUIDE = (allow(ROTATE, SECRET), allow("secretsmanager:GetRandomPassword", "*"))
"""The user guide's statements for the secret."""


def secret(arn: str = SECRET, *, key: str | None = None, **listed: Any) -> SecretFacts:
    """Return the facts about a secret that was rotated two days ago. `listed` are members of `ListedSecret`."""
    name = arn.rpartition(":")[2].rpartition("-")[0]
    found = ListedSecret(
        arn,
        name,
        FUNCTION,
        {"ARN": arn, "Name": name},
        is_enabled=True,
        days=30,
        last_rotated=NOW - timedelta(days=2),
        next_rotation=NOW + timedelta(days=28),
        created=NOW - timedelta(days=99),
    )
    return SecretFacts(replace(found, **listed), is_selected=True, state=Known(Secret(arn, key)))


def function(*secrets: SecretFacts, in_vpc: bool = False, **members: Any) -> FunctionFacts:
    """Return the facts about a function that Secrets Manager may invoke. `members` are those of `FunctionFacts`."""
    details = FunctionDetails(Function(FUNCTION, Role("rotation", ROLE), in_vpc), "Active", "")
    permission = allow(
        "lambda:InvokeFunction",
        FUNCTION,
        Sid="SecretsManager",
        Principal={"Service": "secretsmanager.amazonaws.com"},
        Condition={"StringEquals": {"AWS:SourceAccount": ACCOUNT}},
    )
    found = FunctionFacts(
        FUNCTION, REGION, "amazonaws.com", Known(details), Known(document(permission)), secrets or (secret(),)
    )
    return replace(found, **members)


def policies(*statements: Any, boundary: Any = None, **inline: Any) -> RolePolicies:
    """Return a role with the policy ``rotation`` and other inline policies, which Lambda can assume."""
    trust = document({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}})
    own = {"rotation": document(*(statements or GUIDE))}
    arn = f"arn:aws:iam::{ACCOUNT}:policy/boundary" if boundary else ""
    return RolePolicies(Role("rotation", ROLE), trust, own | inline, {}, arn, boundary)


def role(*functions: FunctionFacts, role: Any = None, **members: Any) -> RoleFacts:
    """Return the facts about a role, on which a resource of a stack has put the policy `OWN` if there is one.

    By default, no secret has a policy. There are no grants, and no second policies of keys. `role` are its policies,
    `members` those of `RoleFacts`.
    """
    known = role if isinstance(role, Unknown | Known) else Known(role or policies())
    inline = known.value.inline if isinstance(known, Known) and known.value else {}
    owners = {OWN: Owner(STACK, "DatabaseRotationPolicy")} if OWN in inline else {}
    found = RoleFacts(ROLE, known, functions or (function(),), regions=frozenset({REGION}), owners=owners)
    none: dict[str, Any] = {SUPERUSER: Known({})}
    none |= {each.arn: Known({}) for function in found.functions for each in function.secrets}
    members["resource_policies"] = none | members.get("resource_policies", {})
    defaults: dict[str, Any] = {"grants": {KEY: Known(())}, "key_policy_names": {KEY: Known(("default",))}}
    return replace(found, **defaults | members)
