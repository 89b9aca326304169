"""Each statement, checked against AWS's service authorization reference, which policy_sentry has as data.

The reference says which actions exist, which types of resources each supports, and which condition keys.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from policy_sentry.querying.actions import get_action_data, get_actions_for_service

from rotation_role_policy.iam.document import as_list
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.actions import KEY_ACTIONS, SECRET_ACTIONS
from rotation_role_policy.rules.state import Secret
from rotation_role_policy.rules.statements import NETWORK_INTERFACE_ACTIONS
from rotation_role_policy.rules.targets import ACTIONS_WITHOUT_RESOURCE, TARGET_TYPES, target_type
from tests.unit.rules.test_policy import (
    CACHE_USER,
    CLUSTER,
    DIRECTORY,
    EARLIER_KEY,
    ENVIRONMENT_KEY,
    INFLUX,
    INSTANCE,
    KEY,
    NAMESPACE,
    REDSHIFT,
    SECRET,
    SUPERUSER,
    SUPERUSER_KEY,
    state,
)

EVERYTHING = [
    state(
        Secret(SECRET, KEY, earlier_key_arns=(EARLIER_KEY,)),
        superuser=Secret(SUPERUSER, SUPERUSER_KEY, managed_by="rds", database_arns=databases),
        in_vpc=True,
        targets=targets,
        environment_key=ENVIRONMENT_KEY,
    )
    for databases, targets in (
        ((INSTANCE, CLUSTER, REDSHIFT, NAMESPACE), (CACHE_USER, INFLUX, DIRECTORY)),
        ((), (INSTANCE, CLUSTER, REDSHIFT, NAMESPACE, CACHE_USER, INFLUX, DIRECTORY)),
    )
]
"""States whose policies have each action on each type of resource."""

ON_ALL_RESOURCES = set(NETWORK_INTERFACE_ACTIONS)
"""The actions on ``*`` that support resources. `manage_network_interfaces` in policy.py says why."""


def permissions() -> Iterator[tuple[str, str]]:
    """Yield each action with each resource on which a statement allows it."""
    for inspected in EVERYTHING:
        for grant in policy.grants(inspected):
            if grant.statement["Effect"] == "Allow":
                for resource in as_list(grant.statement["Resource"]):
                    yield from ((action, resource) for action in grant.statement["Action"])


PERMISSIONS = sorted(set(permissions()))


def reference(action: str) -> list[dict[str, Any]]:
    """Return the rows of the reference for an action, one for each type of resource; none if it does not exist."""
    service, name = action.split(":")
    data = get_action_data(service, name) or {}
    rows: list[dict[str, Any]] = data.get(service, [])
    return [row for row in rows if row["action"] == action]


def resource_formats(action: str) -> set[str]:
    """Return the ARN formats of the resources that an action supports; empty if it supports none."""
    return {row["resource_arn_format"] for row in reference(action)} - {"*"}


def has_format(arn: str, arn_format: str) -> bool:
    """Return whether an ARN without wildcards has the format of the reference, such as ``arn:${Partition}:rds:...``."""
    parts = re.split(r"\$\{\w+\}", arn_format)
    return re.fullmatch("[^*?]+".join(map(re.escape, parts)), arn) is not None


def test_the_states_have_a_statement_of_each_type_and_each_action_of_the_targets() -> None:
    built = {
        statement_type.sid
        for inspected in EVERYTHING
        for statement_type, statements in policy.statements_by_type(inspected, "Strict")
        if statements
    }
    assert built == {statement_type.sid for statement_type in policy.STATEMENTS}
    assert {target_type(target) for inspected in EVERYTHING for target in inspected.target_arns} == set(TARGET_TYPES)
    superusers = [inspected.superuser_secret for inspected in EVERYTHING]
    databases = {target_type(database) for secret in superusers if secret for database in secret.database_arns}
    assert databases == {row for row in TARGET_TYPES if row.superuser_tag}


@pytest.mark.parametrize(("action", "resource"), PERMISSIONS)
def test_each_action_exists_and_supports_its_resource(action: str, resource: str) -> None:
    assert reference(action), "the action does not exist"
    formats = resource_formats(action)
    if resource == "*":
        assert formats == set() or action in ON_ALL_RESOURCES, "the action supports resources"
    else:
        assert [arn_format for arn_format in formats if has_format(resource, arn_format)], formats


@pytest.mark.parametrize("action", sorted(ACTIONS_WITHOUT_RESOURCE))
def test_an_action_of_a_target_on_all_resources_supports_no_resource(action: str) -> None:
    assert reference(action)
    assert resource_formats(action) == set()


def test_each_action_on_a_key_supports_the_condition_keys() -> None:
    conditions = {
        (action, key)
        for inspected in EVERYTHING
        for grant in policy.grants(inspected)
        if grant.statement["Effect"] == "Allow"
        for keys in grant.statement.get("Condition", {}).values()
        for key in keys
        for action in grant.statement["Action"]
    }
    assert {action for action, _ in conditions} == {"kms:Decrypt", "kms:GenerateDataKey"}
    for action, key in conditions:
        supported = {name for row in reference(action) for name in row["condition_keys"]}
        assert re.sub("(?<=EncryptionContext:).*", "${EncryptionContextKey}", key) in supported


CHANGES_NOTHING = {
    # There is no secret yet.
    "secretsmanager:CreateSecret",
    "secretsmanager:ValidateResourcePolicy",
    "kms:Verify",
    "kms:VerifyMac",
    # KMS itself does this.
    "kms:SynchronizeMultiRegionKey",
}
"""Actions that write by the reference, and that neither change nor use a secret or a key."""


@pytest.mark.parametrize(
    ("service", "resource", "actions"), [("secretsmanager", ":secret:", SECRET_ACTIONS), ("kms", ":key/", KEY_ACTIONS)]
)
def test_all_actions_that_use_or_change_a_secret_or_a_key_count_as_excess(
    service: str, resource: str, actions: tuple[str, ...]
) -> None:
    writing = {
        action
        for action in get_actions_for_service(service)
        for row in reference(action)
        if row["access_level"] in ("Write", "Tagging", "Permissions management")
        and resource in row["resource_arn_format"]
    }
    assert set(actions) == writing - CHANGES_NOTHING | ({"secretsmanager:GetSecretValue"} & set(actions))


def test_the_reference_rejects_what_does_not_exist() -> None:
    assert reference("secretsmanager:ReadSecret") == []
    assert not has_format(
        "arn:aws:rds:eu-central-1:123456789012:db:*", "arn:${Partition}:rds:${Region}:${Account}:db:${N}"
    )
    assert not has_format(CLUSTER, "arn:${Partition}:rds:${Region}:${Account}:db:${DbInstanceName}")
