"""The permissions of the provider's own role, for different parameters of template.yaml.

The emulator's CloudFormation creates the role from the template, and the emulator's policy evaluator decides what the
role allows. Both are independent of this project's code.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document
from samtranslator.yaml_helper import yaml_parse

from emulator.server import ACCOUNT_ID, REGION, Emulator
from emulator.stack import Stack
from tests import ROOT

TEMPLATE: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())

SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:prod/db-AbCdEf"
ROLE = f"arn:aws:iam::{ACCOUNT_ID}:role/rotation-role"
BOUNDARY = f"arn:aws:iam::{ACCOUNT_ID}:policy/boundaries/rotation"

SECRET_TAG = {"RequiredSecretTag": "rotation=enabled"}
ROLE_TAG = {"RequiredRoleTag": "example.com/team:rotation=db+Prod@eu"}
ROLE_BOUNDARY = {"RequiredRoleBoundaryArn": BOUNDARY}
ALL = SECRET_TAG | ROLE_TAG | ROLE_BOUNDARY

TAGGED_ROLE = {"aws:ResourceTag/example.com/team:rotation": "db+Prod@eu"}
BOUNDED_ROLE = {"iam:PermissionsBoundary": BOUNDARY}


class ProviderRole:
    """A stack with only the part of the template that creates the provider's role."""

    def __init__(self, emulator: Emulator, stack_name: str = "provider") -> None:
        self.emulator = emulator
        self.stack = Stack(emulator, stack_name)
        self._iam = emulator.client("iam")
        logical_ids = ("ProviderRole", "KeepOwnRole", "FailedEvents", "LogGroup")
        resources = {name: TEMPLATE["Resources"][name] for name in logical_ids}
        template = {name: TEMPLATE[name] for name in ("Parameters", "Conditions")} | {"Resources": resources}
        self._template = json.dumps(template)
        self._documents: dict[frozenset[tuple[str, str]], str] = {}
        self.stack.create(self._template)
        self._documents[frozenset()] = self._read()

    def documents(self, **parameters: str) -> list[Any]:
        """Return the policies of the role. Parameters that are not given have their defaults."""
        key = frozenset(parameters.items())
        if key not in self._documents:
            self.stack.update(self._template, **parameters)
            self._documents[key] = self._read()
        documents: list[Any] = json.loads(self._documents[key])
        return documents

    def _read(self) -> str:
        role = self.stack.physical_id("ProviderRole")
        assert self._iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
        names = self._iam.list_role_policies(RoleName=role)["PolicyNames"]
        return json.dumps(
            [self._iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
        )

    def statements(self, **parameters: str) -> dict[str, Any]:
        """Return the statements, without their Sids, keyed by Sid."""
        documents = self.documents(**parameters)
        assert {document["Version"] for document in documents} == {"2012-10-17"}
        statements = [statement for document in documents for statement in document["Statement"]]
        by_sid = {statement.pop("Sid"): statement for statement in statements}
        assert len(by_sid) == len(statements)
        return by_sid


@pytest.fixture(scope="module")
def provider_role(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProviderRole]:
    with Emulator(tmp_path_factory.mktemp("provider-role")) as emulator:
        yield ProviderRole(emulator)


# --- the statements ---


def allow(action: str | list[str], resource: str, **string_equals: str) -> dict[str, Any]:
    """Return an Allow statement. `string_equals` is its condition."""
    condition = {"Condition": {"StringEquals": string_equals}} if string_equals else {}
    return {"Effect": "Allow", "Action": action, "Resource": resource} | condition


def test_the_providers_role_has_exactly_these_permissions(provider_role: ProviderRole) -> None:
    scope = f"{REGION}:{ACCOUNT_ID}"
    statements = provider_role.statements()
    queue, log_streams = (statements[sid].pop("Resource") for sid in ("KeepFailedEvents", "WriteLog"))
    assert queue.startswith(f"arn:aws:sqs:{scope}:provider-FailedEvents")
    assert log_streams == f"arn:aws:logs:{scope}:log-group:{provider_role.stack.physical_id('LogGroup')}:log-stream:*"
    role = provider_role.stack.physical_id("ProviderRole")
    assert statements == {
        "DescribeSecrets": allow(
            [
                "secretsmanager:DescribeSecret",
                "secretsmanager:GetResourcePolicy",
                "secretsmanager:ListSecretVersionIds",
            ],
            f"arn:aws:secretsmanager:{scope}:secret:*",
        ),
        "DescribeKeys": allow("kms:DescribeKey", f"arn:aws:kms:{REGION}:*:key/*"),
        "ReadKeyPolicies": allow(
            ["kms:GetKeyPolicy", "kms:ListGrants", "kms:ListKeyPolicies"], f"arn:aws:kms:{scope}:key/*"
        ),
        "InspectFunctions": allow("lambda:GetFunctionConfiguration", f"arn:aws:lambda:{scope}:function:*"),
        "PutOwnPolicyOnRoles": allow("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT_ID}:role/*"),
        "InspectRolesAndRemoveOwnPolicy": allow(
            [
                "iam:GetRole",
                "iam:GetRolePolicy",
                "iam:ListRolePolicies",
                "iam:DeleteRolePolicy",
                "iam:SimulatePrincipalPolicy",
            ],
            f"arn:aws:iam::{ACCOUNT_ID}:role/*",
        ),
        "DescribeStacks": allow(
            [
                "cloudformation:DescribeStacks",
                "cloudformation:DescribeStackEvents",
                "cloudformation:DescribeStackResource",
            ],
            f"arn:aws:cloudformation:{scope}:stack/*",
        ),
        "KeepFailedEvents": {"Effect": "Allow", "Action": "sqs:SendMessage"},
        "WriteLog": {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"]},
        "KeepOwnRole": {
            "Effect": "Deny",
            "Action": ["iam:PutRolePolicy", "iam:DeleteRolePolicy"],
            "Resource": f"arn:aws:iam::{ACCOUNT_ID}:role/{role}",
        },
        "KeepRolesOfProviders": {
            "Effect": "Deny",
            "Action": "iam:PutRolePolicy",
            "Resource": f"arn:aws:iam::{ACCOUNT_ID}:role/*",
            "Condition": {"Null": {"aws:ResourceTag/rotation-role-policy:provider": "false"}},
        },
    }


@pytest.mark.parametrize(
    ("parameters", "secret_condition", "role_condition"),
    [
        (SECRET_TAG, {"aws:ResourceTag/rotation": "enabled"}, {}),
        (ROLE_TAG, {}, TAGGED_ROLE),
        (ROLE_BOUNDARY, {}, BOUNDED_ROLE),
        (ROLE_TAG | ROLE_BOUNDARY, {}, TAGGED_ROLE | BOUNDED_ROLE),
        (ALL, {"aws:ResourceTag/rotation": "enabled"}, TAGGED_ROLE | BOUNDED_ROLE),
        (
            {"SecretNamePattern": "prod/db-??????", "RoleNamePattern": "path/*-RotationRole-*"} | SECRET_TAG,
            {"aws:ResourceTag/rotation": "enabled"},
            {},
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_a_required_tag_or_boundary_adds_a_condition_to_one_statement_and_changes_no_other(
    provider_role: ProviderRole,
    parameters: dict[str, str],
    secret_condition: dict[str, str],
    role_condition: dict[str, str],
) -> None:
    patterns = {name: value for name, value in parameters.items() if name.endswith("Pattern")}
    expected = provider_role.statements(**patterns)
    for sid, condition in (("DescribeSecrets", secret_condition), ("PutOwnPolicyOnRoles", role_condition)):
        assert "Condition" not in expected[sid]
        if condition:
            expected[sid]["Condition"] = {"StringEquals": condition}
    assert provider_role.statements(**parameters) == expected


def test_a_kms_key_for_the_queue_adds_only_the_permission_to_use_the_key(provider_role: ProviderRole) -> None:
    expected = provider_role.statements()
    key_arn = f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/11111111-1111-1111-1111-111111111111"
    statements = provider_role.statements(KmsKeyArn=key_arn)
    via_service = {"kms:ViaService": f"sqs.{REGION}.amazonaws.com"}
    assert statements.pop("EncryptFailedEvents") == allow(
        ["kms:GenerateDataKey", "kms:Decrypt"], key_arn, **via_service
    )
    assert statements == expected


@pytest.mark.parametrize("parameter", [*ALL, "RoleNamePattern", "SecretNamePattern"])
@pytest.mark.parametrize("text", ['a=b"', "a=b\\", "a=${aws:username}", 'a": "b", "c=d', "a=b\n", "{}"])
def test_a_parameter_cannot_change_the_structure_of_the_policy_document(
    provider_role: ProviderRole, parameter: str, text: str
) -> None:
    before = provider_role.stack.events()
    value = f"{BOUNDARY}/{text}" if parameter in ROLE_BOUNDARY else text
    with pytest.raises(ClientError, match=f"{parameter}.*pattern"):
        provider_role.documents(**{parameter: value})
    assert provider_role.stack.events() == before


# --- the meaning of the statements ---


def allowed(documents: list[Any], action: str, resource: str, context: dict[str, str]) -> bool:
    """Return whether the policies allow the provider's request. `context` contains the condition keys."""
    request = EvalContext(
        principal_arn=f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/provider/provider",
        principal_type="AssumedRole",
        principal_account=ACCOUNT_ID,
        action=action,
        resource_arn=resource,
        region=REGION,
        service_context={key.lower(): value for key, value in context.items()},
    )
    return str(evaluate(request, [parse_policy_document(document) for document in documents]).decision) == "Allow"


@pytest.fixture(scope="module")
def unrestricted(provider_role: ProviderRole) -> list[Any]:
    return provider_role.documents()


@pytest.fixture(scope="module")
def restricted(provider_role: ProviderRole) -> list[Any]:
    return provider_role.documents(**ALL)


@pytest.mark.parametrize(
    ("condition_keys", "is_allowed"),
    [
        ({"aws:ResourceTag/rotation": "enabled"}, True),
        # Condition keys are not case-sensitive in IAM, so the key of a tag is not case-sensitive either.
        ({"aws:ResourceTag/Rotation": "enabled"}, True),
        ({"aws:ResourceTag/rotation": "enabled", "aws:ResourceTag/team": "db"}, True),
        ({"aws:ResourceTag/rotation": "Enabled"}, False),
        ({"aws:ResourceTag/rotation": "enabled2"}, False),
        ({"aws:ResourceTag/rotation": ""}, False),
        ({"aws:ResourceTag/team": "enabled"}, False),
        # A tag in the request and a tag of the caller are not tags of the secret.
        ({"aws:RequestTag/rotation": "enabled"}, False),
        ({"aws:PrincipalTag/rotation": "enabled"}, False),
        ({}, False),
    ],
)
def test_a_secret_without_the_required_tag_cannot_be_described(
    restricted: list[Any], unrestricted: list[Any], condition_keys: dict[str, str], is_allowed: bool
) -> None:
    for action in ("DescribeSecret", "GetResourcePolicy", "ListSecretVersionIds"):
        assert allowed(restricted, f"secretsmanager:{action}", SECRET, condition_keys) is is_allowed
        assert allowed(unrestricted, f"secretsmanager:{action}", SECRET, condition_keys)


def test_policies_and_grants_are_read_only_of_keys_of_the_account_and_region(unrestricted: list[Any]) -> None:
    key = f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/11111111-1111-1111-1111-111111111111"
    elsewhere = (key.replace(ACCOUNT_ID, "999999999999"), key.replace(REGION, "us-east-1"))
    for action in ("GetKeyPolicy", "ListGrants", "ListKeyPolicies"):
        assert allowed(unrestricted, f"kms:{action}", key, {})
        assert not any(allowed(unrestricted, f"kms:{action}", other, {}) for other in elsewhere)
    assert allowed(unrestricted, "kms:DescribeKey", elsewhere[0], {})
    for action in ("Decrypt", "GenerateDataKey", "CreateGrant", "RetireGrant", "RevokeGrant", "PutKeyPolicy"):
        assert not allowed(unrestricted, f"kms:{action}", key, {})


ROLES = [
    (TAGGED_ROLE | BOUNDED_ROLE, True),
    (TAGGED_ROLE, False),
    (BOUNDED_ROLE, False),
    ({"aws:ResourceTag/example.com/team:rotation": "db+prod@eu"} | BOUNDED_ROLE, False),
    (TAGGED_ROLE | {"iam:PermissionsBoundary": f"{BOUNDARY}-wide"}, False),
    (TAGGED_ROLE | {"iam:PermissionsBoundary": BOUNDARY.replace("boundaries/", "")}, False),
    (TAGGED_ROLE | {"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess"}, False),
    ({}, False),
]
"""The condition keys of a role, and whether the provider may put its policy on it if tag and boundary are required."""


@pytest.mark.parametrize(("role_keys", "is_allowed"), ROLES)
def test_no_policy_is_put_on_a_role_without_the_required_tag_and_boundary(
    restricted: list[Any], unrestricted: list[Any], role_keys: dict[str, str], is_allowed: bool
) -> None:
    assert allowed(restricted, "iam:PutRolePolicy", ROLE, role_keys) is is_allowed
    assert allowed(unrestricted, "iam:PutRolePolicy", ROLE, role_keys)


@pytest.mark.parametrize(("role_keys", "_"), ROLES)
@pytest.mark.parametrize(
    "action", ["DeleteRolePolicy", "GetRolePolicy", "GetRole", "ListRolePolicies", "SimulatePrincipalPolicy"]
)
def test_a_policy_can_be_removed_from_a_role_without_the_tag_and_boundary(
    restricted: list[Any], role_keys: dict[str, str], action: str, _: bool
) -> None:
    assert allowed(restricted, f"iam:{action}", ROLE, role_keys)


@pytest.mark.parametrize(
    ("parameters", "role_keys", "is_allowed"),
    [
        (ROLE_TAG, TAGGED_ROLE, True),
        (ROLE_TAG, BOUNDED_ROLE, False),
        (ROLE_BOUNDARY, BOUNDED_ROLE, True),
        (ROLE_BOUNDARY, TAGGED_ROLE, False),
        (SECRET_TAG, {}, True),
    ],
)
def test_each_parameter_works_without_the_others(
    provider_role: ProviderRole, parameters: dict[str, str], role_keys: dict[str, str], is_allowed: bool
) -> None:
    assert allowed(provider_role.documents(**parameters), "iam:PutRolePolicy", ROLE, role_keys) is is_allowed


def test_the_name_patterns_apply_in_addition_to_the_tags(provider_role: ProviderRole) -> None:
    narrowed = provider_role.documents(**ALL, RoleNamePattern="other-*", SecretNamePattern="other/*")
    role_keys = TAGGED_ROLE | BOUNDED_ROLE
    assert not allowed(narrowed, "iam:PutRolePolicy", ROLE, role_keys)
    assert not allowed(narrowed, "iam:DeleteRolePolicy", ROLE, role_keys)
    assert not allowed(narrowed, "secretsmanager:DescribeSecret", SECRET, {"aws:ResourceTag/rotation": "enabled"})
    assert allowed(narrowed, "iam:PutRolePolicy", ROLE.replace("rotation-role", "other-role"), role_keys)


def test_the_providers_own_role_is_protected_even_with_the_tag_and_boundary(
    provider_role: ProviderRole, restricted: list[Any]
) -> None:
    own_role = f"arn:aws:iam::{ACCOUNT_ID}:role/{provider_role.stack.physical_id('ProviderRole')}"
    assert not allowed(restricted, "iam:PutRolePolicy", own_role, TAGGED_ROLE | BOUNDED_ROLE)
    assert not allowed(restricted, "iam:DeleteRolePolicy", own_role, TAGGED_ROLE | BOUNDED_ROLE)


# --- the roles of other providers ---


@pytest.fixture(scope="module")
def two_roles(provider_role: ProviderRole) -> list[str]:
    """The names of the roles of two providers."""
    emulator = provider_role.emulator
    return [ProviderRole(emulator, name).stack.physical_id("ProviderRole") for name in ("provider-1", "provider-2")]


@pytest.fixture(scope="module")
def iam_of_provider(provider_role: ProviderRole, two_roles: list[str]) -> Any:
    """An IAM client with the permissions of the first provider."""
    role = f"arn:aws:iam::{ACCOUNT_ID}:role/{two_roles[0]}"
    assumed = provider_role.emulator.client("sts").assume_role(RoleArn=role, RoleSessionName="provider")
    return provider_role.emulator.client("iam", credentials=assumed["Credentials"])


POLICY = {
    "PolicyName": "Policy-0123456789ab",
    "PolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": allow("s3:ListAllMyBuckets", "*")}),
}
TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}


def test_a_provider_puts_no_policy_on_its_own_role_and_on_that_of_another_provider(
    provider_role: ProviderRole, two_roles: list[str], iam_of_provider: Any
) -> None:
    iam = provider_role.emulator.client("iam")
    names_before = [iam.list_role_policies(RoleName=role)["PolicyNames"] for role in two_roles]
    for role in two_roles:
        with pytest.raises(ClientError, match="AccessDenied"):
            iam_of_provider.put_role_policy(RoleName=role, **POLICY)
    with pytest.raises(ClientError, match="AccessDenied"):
        iam_of_provider.delete_role_policy(RoleName=two_roles[0], PolicyName=names_before[0][0])
    assert [iam.list_role_policies(RoleName=role)["PolicyNames"] for role in two_roles] == names_before


@pytest.mark.parametrize("value", ["provider-2", "", "false"])
def test_a_policy_can_be_removed_from_a_rotation_role_that_somebody_gave_the_tag_of_a_provider(
    provider_role: ProviderRole, iam_of_provider: Any, value: str
) -> None:
    iam = provider_role.emulator.client("iam")
    document = {"Version": "2012-10-17", "Statement": [TRUST]}
    iam.create_role(RoleName="rotation-role", AssumeRolePolicyDocument=json.dumps(document))
    iam_of_provider.put_role_policy(RoleName="rotation-role", **POLICY)
    iam.tag_role(RoleName="rotation-role", Tags=[{"Key": "rotation-role-policy:provider", "Value": value}])
    with pytest.raises(ClientError, match="AccessDenied"):
        iam_of_provider.put_role_policy(RoleName="rotation-role", **POLICY)
    iam_of_provider.delete_role_policy(RoleName="rotation-role", PolicyName=POLICY["PolicyName"])
    iam.delete_role(RoleName="rotation-role")
