"""What an update of a stack changes of existing resources, so that the policy will be another one than today."""

from collections.abc import Iterator, Mapping
from typing import Any

from rotation_role_policy.rules.state import State
from rotation_role_policy_cli.template.file import TemplateError
from rotation_role_policy_cli.template.placeholders import is_planned
from rotation_role_policy_cli.template.resolver import Template
from rotation_role_policy_cli.template.stack import DeployedStack, StackResource

_MANAGED_KEY = ("", "alias/aws/secretsmanager")
_UNKNOWN = object()
"""The value of a property with a reference that cannot be resolved."""
_FUNCTIONS = ("AWS::Lambda::Function", "AWS::Serverless::Function")


def changes(template: Template, stack: DeployedStack, state: State) -> Iterator[tuple[str, str]]:
    """Yield the logical IDs and the properties of existing resources that the template certainly changes.

    Args:
        template: of the update.
        stack: has the resources.
        state: of the secrets, the function and the role today.
    """
    for logical_id, resource in stack.resources.items():
        if template.type_of(logical_id) != resource.type and resource.type not in _FUNCTIONS:
            continue
        for name, is_changed in _compared(template, logical_id, resource, state):
            if is_changed:
                yield logical_id, name


def _compared(template: Template, logical_id: str, resource: StackResource, state: State) -> Iterator[tuple[str, bool]]:
    if resource.type == "AWS::SecretsManager::Secret":
        for secret in state.all_secrets:
            if secret.arn == resource.physical_id:
                yield "KmsKeyId", _is_other_key(_property(template, logical_id, "KmsKeyId"), secret.key_arn)
    if resource.type in _FUNCTIONS and state.function_arn.endswith(f":function:{resource.physical_id}"):
        vpc: Any = _property(template, logical_id, "VpcConfig")
        subnets = vpc.get("SubnetIds") if isinstance(vpc, Mapping) else None
        yield "VpcConfig", vpc is not _UNKNOWN and bool(subnets) != state.in_vpc
        role = _property(template, logical_id, "Role")
        yield "Role", isinstance(role, str) and role.rpartition("/")[2] != state.role.name


def _property(template: Template, logical_id: str, name: str) -> Any:
    try:
        return template.planned_property(logical_id, name)
    except TemplateError:
        return _UNKNOWN


def _is_other_key(key_id: Any, today: str | None) -> bool:
    """Return whether the key of a template is certainly another one than that of today."""
    if key_id is _UNKNOWN:
        return False
    key_id = str(key_id or "")
    if key_id in _MANAGED_KEY or key_id.endswith(f":{_MANAGED_KEY[1]}"):
        return today is not None
    # An alias can lead to the same key.
    is_alias = "alias/" in key_id
    return today is None or is_planned(key_id) or (not is_alias and not today.endswith(key_id))
