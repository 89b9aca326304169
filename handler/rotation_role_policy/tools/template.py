"""The `Custom::RotationRolePolicy` resources of a template, with what their references stand for today.

Known are the parameters, the pseudo parameters, mappings, conditions, exports, and the resources of the stack where the
template is deployed. What cannot be known is said with `Unresolved`; nothing is guessed.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from rotation_role_policy.declaration import PROPERTIES
from rotation_role_policy.errors import CallFailed, shown
from rotation_role_policy.tools.preview import Resource
from rotation_role_policy.tools.schema import TYPE
from rotation_role_policy.tools.users_aws import UsersAws

_NO_VALUE = object()
"""What `AWS::NoValue` stands for: the property, or the item of a list, is left out."""

_UNREAD = {row.name for row in PROPERTIES if row.type == "CloudFormation"} | {"Triggers"}
"""Properties that the policy does not follow from: what they refer to need not be known."""


class Unresolved(Exception):
    """A reference that stands for nothing that can be looked up. Its text says what to do."""


# --- the file --------------------------------------------------------------------------------------------------------


def load(path: Path) -> dict[str, Any]:
    """The template in a file, YAML or JSON, its functions in their long form. Raises `Unresolved` where it is none."""
    try:
        text = path.read_text()
        # JSON may be indented by tabs, which YAML does not take.
        is_json = text.lstrip().startswith("{")
        template = json.loads(text) if is_json else yaml.load(text, Loader=_Loader)  # noqa: S506  # a SafeLoader
    except OSError as error:
        raise Unresolved(f"{path}: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError) as error:
        # YAML's own message has the line and column; on one line.
        raise Unresolved(f"{path} is not YAML or JSON: {' '.join(str(error).split())}") from error
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise Unresolved(f"{path} is no CloudFormation template: it has no Resources.")
    return template


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types here
    """YAML as CloudFormation reads it: its tags, and dates that stay text."""


def _intrinsic(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    """``!Ref x`` is ``{"Ref": x}``, ``!GetAtt x.y`` is ``{"Fn::GetAtt": [x, y]}``."""
    name = tag if tag in ("Ref", "Condition") else f"Fn::{tag}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if tag == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _intrinsic)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)


# --- the deployed stack ----------------------------------------------------------------------------------------------


class Stack:
    """A stack as it stands: its id, its parameters, the physical ids of its resources. Raises as `Aws.call` does."""

    def __init__(self, aws: UsersAws, name: str) -> None:
        self._aws = aws
        try:
            self._described = aws.call("cloudformation", "DescribeStacks", StackName=name)["Stacks"][0]
        except CallFailed as failure:
            if failure.code == "ValidationError":
                raise Unresolved(f"--stack {name}: there is no such stack in {aws.region()}.") from failure
            raise
        self.id: str = self._described["StackId"]

    @cached_property
    def parameters(self) -> dict[str, str]:
        """By name; of a parameter that names an SSM parameter, the value of that one."""
        return {
            one["ParameterKey"]: one.get("ResolvedValue", one["ParameterValue"])
            for one in self._described.get("Parameters", ())
        }

    @cached_property
    def physical_ids(self) -> dict[str, str]:
        """By logical id."""
        found = self._pages("ListStackResources", "StackResourceSummaries", StackName=self.id)
        return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found if one.get("PhysicalResourceId")}

    def _pages(self, operation: str, key: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        yield from pages(self._aws, operation, key, **parameters)


def pages(aws: UsersAws, operation: str, key: str, **parameters: Any) -> Iterator[dict[str, Any]]:
    """The items under `key` in all pages of an operation of CloudFormation's."""
    token: dict[str, str] = {}
    while True:
        page = aws.call("cloudformation", operation, **parameters, **token)
        yield from page[key]
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


# --- what it all stands for ------------------------------------------------------------------------------------------


class Template:
    """A template with values for its parameters, and the stack where it is deployed, if it is.

    `parameters` are those that the user gives; then come the stack's own, then the defaults.
    """

    def __init__(
        self, aws: UsersAws, body: Mapping[str, Any], parameters: Mapping[str, str], stack: Stack | None
    ) -> None:
        self._aws = aws
        self._body = body
        self._given = parameters
        self._stack = stack
        self._declared: Mapping[str, Any] = body.get("Parameters") or {}
        if unknown := sorted(set(parameters) - set(self._declared)):
            raise Unresolved(f"--parameter {unknown[0]}: the template has no such parameter.")

    @property
    def logical_ids(self) -> list[str]:
        """Of the `Custom::RotationRolePolicy` resources, in their order."""
        return [name for name, resource in self._body["Resources"].items() if _is_ours(resource)]

    def is_left_out(self, logical_id: str) -> bool:
        """Whether the resource's condition is false. Raises `Unresolved` as `resource` does."""
        condition = self._body["Resources"][logical_id].get("Condition")
        return condition is not None and not self._condition(condition)

    def resource(self, logical_id: str) -> Resource:
        """The resource of this name, its references resolved. Raises `Unresolved` where one can not be."""
        properties = {}
        declared = self._body["Resources"][logical_id].get("Properties") or {}
        if not isinstance(declared, Mapping):
            raise Unresolved("its Properties are no names with values.")
        for name, value in declared.items():
            try:
                resolved = "" if name in _UNREAD else self._value(value)
            except Unresolved as unresolved:
                raise Unresolved(f"{name}: {unresolved}") from unresolved
            if resolved is not _NO_VALUE and name not in _UNREAD:
                properties[name] = resolved
        stack = self._stack
        physical_id = stack.physical_ids.get(logical_id, "") if stack else ""
        return Resource(properties, logical_id, stack.id if stack else "", physical_id)

    # --- values ---

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [one for one in map(self._value, value) if one is not _NO_VALUE]
        if isinstance(value, str):
            return _DYNAMIC_REFERENCE.sub(lambda found: self._dynamic(found[1]), value)
        if not isinstance(value, dict):
            return value
        name = next(iter(value), "")
        if len(value) == 1 and (name == "Ref" or str(name).startswith("Fn::")):
            if name not in _FUNCTIONS:
                raise Unresolved(f"{name} is not resolved by this preview. Preview it by --secret-id and the others.")
            with _as_cloudformation_wants_it(name, value[name]):
                result = _FUNCTIONS[name](self, value[name])
            return self._value(result) if isinstance(result, str) else result
        resolved = {key: self._value(one) for key, one in value.items()}
        return {key: one for key, one in resolved.items() if one is not _NO_VALUE}

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name.startswith("AWS::"):
            return self._pseudo_parameter(name)
        if name in self._declared:
            return self._parameter(name)
        return self._physical_id(name)

    def _pseudo_parameter(self, name: str) -> str:
        if name == "AWS::Region":
            return self._aws.region()
        if name == "AWS::AccountId":
            return self._aws.caller.account
        if name == "AWS::Partition":
            return self._aws.caller.partition
        if name == "AWS::URLSuffix":
            return self._aws.dns_suffix(self._aws.caller.partition)
        if name in ("AWS::StackId", "AWS::StackName") and self._stack:
            return self._stack.id if name == "AWS::StackId" else self._stack.id.split("/")[1]
        raise Unresolved(f"{name} is not known here. Give --stack, if the template is deployed.")

    def _parameter(self, name: str) -> Any:
        declared = self._declared[name]
        kind = str(declared.get("Type", "String"))
        if name in self._given or not self._stack or name not in self._stack.parameters:
            value = self._given.get(name, declared.get("Default"))
            if value is None:
                raise Unresolved(f"the parameter {name} has no value. Give --parameter {name}=...")
            if kind.startswith("AWS::SSM::Parameter::Value<"):
                value = self._ssm(_text(value))
        else:
            value = self._stack.parameters[name]
            if declared.get("NoEcho") and set(value) == {"*"}:
                raise Unresolved(f"the parameter {name} is not shown (NoEcho). Give --parameter {name}=...")
        if "List<" in kind or "CommaDelimitedList" in kind:
            return [one.strip() for one in _text(value).split(",")]
        return _text(value)

    def _physical_id(self, logical_id: str) -> str:
        if logical_id not in self._body["Resources"]:
            raise Unresolved(f"{shown(logical_id)} is neither a parameter nor a resource of the template.")
        if not self._stack:
            raise Unresolved(f"the resource {logical_id} is known where it is deployed. Give --stack.")
        if logical_id not in self._stack.physical_ids:
            raise Unresolved(
                f"the resource {logical_id} is not in the stack yet. Deploy it first, without this policy."
            )
        return self._stack.physical_ids[logical_id]

    def _get_att(self, argument: Any) -> Any:
        logical_id, attribute = argument.split(".", 1) if isinstance(argument, str) else map(str, argument)
        physical_id = self._physical_id(logical_id)
        kind = self._body["Resources"][logical_id].get("Type", "")
        if kind == "AWS::CloudFormation::Stack" and attribute.startswith("Outputs."):
            described = self._aws.call("cloudformation", "DescribeStacks", StackName=physical_id)["Stacks"][0]
            outputs = {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", ())}
            return outputs[attribute.removeprefix("Outputs.")]
        if (kind, attribute) not in _ATTRIBUTES:
            raise Unresolved(
                f"the attribute {logical_id}.{attribute} is not known here. Preview it by --secret-id etc."
            )
        return _ATTRIBUTES[kind, attribute](self._aws, physical_id)

    # --- intrinsic functions ---

    def _sub(self, argument: Any) -> str:
        text, values = (argument, {}) if isinstance(argument, str) else argument

        def put(found: re.Match[str]) -> str:
            name = found[1].strip()
            if name in values:
                return _text(self._value(values[name]))
            return _text(self._get_att(name) if "." in name else self._ref(name))

        # ${!x} stands for ${x} itself.
        return re.sub(r"\$\{!", "${", re.sub(r"\$\{([^!}][^}]*)\}", put, text))

    def _join(self, argument: Any) -> str:
        separator, items = argument
        return str(separator).join(map(_text, self._value(items)))

    def _select(self, argument: Any) -> Any:
        index, items = argument
        return self._value(items)[int(self._value(index))]

    def _split(self, argument: Any) -> list[str]:
        separator, text = argument
        return str(self._value(text)).split(separator)

    def _if(self, argument: Any) -> Any:
        condition, then, otherwise = argument
        return self._value(then if self._condition(condition) else otherwise)

    def _find_in_map(self, argument: Any) -> Any:
        map_name, first, second = map(self._value, argument)
        return self._body["Mappings"][map_name][first][second]

    def _import_value(self, argument: Any) -> str:
        name = self._value(argument)
        for export in pages(self._aws, "ListExports", "Exports"):
            if export["Name"] == name:
                return str(export["Value"])
        raise Unresolved(f"{self._aws.region()} has no export {shown(name)}.")

    def _condition(self, condition: Any) -> bool:
        """The truth of a condition, by its name or as it is written."""
        with _as_cloudformation_wants_it("Condition", condition):
            return self._truth(self._body["Conditions"][condition] if isinstance(condition, str) else condition)

    def _truth(self, condition: Mapping[str, Any]) -> bool:
        [(name, argument)] = condition.items()
        if name == "Condition":
            return self._condition(argument)
        if name == "Fn::Equals":
            left, right = map(self._value, argument)
            return _text(left) == _text(right)
        if name == "Fn::Not":
            return not self._condition(argument[0])
        if name in ("Fn::And", "Fn::Or"):
            return (all if name == "Fn::And" else any)(map(self._condition, argument))
        raise Unresolved(f"the condition {shown(condition)} is not resolved by this preview.")

    # --- what AWS keeps ---

    def _dynamic(self, reference: str) -> str:
        service, _, rest = reference.partition(":")
        if service != "ssm":
            raise Unresolved(f"{{{{resolve:{reference}}}}} is not looked up: it would read a secret's value.")
        return self._ssm(rest)

    def _ssm(self, name: str) -> str:
        try:
            return str(self._aws.call("ssm", "GetParameter", Name=name)["Parameter"]["Value"])
        except CallFailed as failure:
            if failure.code in ("ParameterNotFound", "ParameterVersionNotFound"):
                raise Unresolved(f"there is no SSM parameter {shown(name)} in {self._aws.region()}.") from failure
            raise


@contextmanager
def _as_cloudformation_wants_it(name: str, argument: Any) -> Iterator[None]:
    """Raises `Unresolved` where the argument of a function has another form than the block takes it for."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise Unresolved(f"{name} {shown(argument)} is not as CloudFormation wants it.") from error


def _text(value: Any) -> str:
    """A scalar as CloudFormation sends it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_ours(resource: Any) -> bool:
    return isinstance(resource, dict) and resource.get("Type") == TYPE


_DYNAMIC_REFERENCE = re.compile(r"\{\{resolve:([^}]+)\}\}")

_FUNCTIONS: dict[str, Callable[[Template, Any], Any]] = {
    "Fn::FindInMap": Template._find_in_map,
    "Fn::GetAtt": Template._get_att,
    "Fn::If": Template._if,
    "Fn::ImportValue": Template._import_value,
    "Fn::Join": Template._join,
    "Fn::Select": Template._select,
    "Fn::Split": Template._split,
    "Fn::Sub": Template._sub,
    "Ref": Template._ref,
}


def _function_arn(aws: UsersAws, name: str) -> str:
    return f"arn:{aws.caller.partition}:lambda:{aws.region()}:{aws.caller.account}:function:{name}"


def _role_arn(aws: UsersAws, name: str) -> str:
    # With its path, which the name does not tell.
    return str(aws.call("iam", "GetRole", RoleName=name)["Role"]["Arn"])


def _key_arn(aws: UsersAws, key_id: str) -> str:
    return f"arn:{aws.caller.partition}:kms:{aws.region()}:{aws.caller.account}:key/{key_id}"


def _itself(_: UsersAws, physical_id: str) -> str:
    return physical_id


def _master_user_secret(operation: str, key: str, parameter: str) -> Callable[[UsersAws, str], str]:
    def look(aws: UsersAws, name: str) -> str:
        [database] = aws.call("rds", operation, **{parameter: name})[key]
        return str(database["MasterUserSecret"]["SecretArn"])

    return look


_ATTRIBUTES: dict[tuple[str, str], Callable[[UsersAws, str], str]] = {
    ("AWS::IAM::Role", "Arn"): _role_arn,
    ("AWS::KMS::Key", "Arn"): _key_arn,
    ("AWS::KMS::Key", "KeyId"): _itself,
    ("AWS::Lambda::Alias", "AliasArn"): _itself,
    ("AWS::Lambda::Function", "Arn"): _function_arn,
    ("AWS::RDS::DBCluster", "MasterUserSecret.SecretArn"): _master_user_secret(
        "DescribeDBClusters", "DBClusters", "DBClusterIdentifier"
    ),
    ("AWS::RDS::DBInstance", "MasterUserSecret.SecretArn"): _master_user_secret(
        "DescribeDBInstances", "DBInstances", "DBInstanceIdentifier"
    ),
    ("AWS::SecretsManager::Secret", "Id"): _itself,
    ("AWS::Serverless::Function", "Arn"): _function_arn,
}
"""Those attributes that a policy's properties refer to, from the physical id."""
