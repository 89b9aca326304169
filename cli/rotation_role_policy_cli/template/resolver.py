"""The `Custom::RotationRolePolicy` resources of a template, with what their references stand for today.

Known are the parameters, the pseudo parameters, mappings, conditions, exports, and the resources of the stack where the
template is deployed. What cannot be known is said with `Unresolved`; nothing is guessed.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rotation_role_policy.errors import AwsApiError, quoted_text
from rotation_role_policy.properties import PROPERTIES
from rotation_role_policy_cli.caller_aws import CallerAws
from rotation_role_policy_cli.preview.preview import Resource
from rotation_role_policy_cli.schema import TYPE
from rotation_role_policy_cli.template.file import Unresolved
from rotation_role_policy_cli.template.stack import Deployed, Stack, pages

_NO_VALUE = object()
"""What `AWS::NoValue` stands for: the property, or the item of a list, is left out."""

_CLOUDFORMATIONS_OWN = {row.name for row in PROPERTIES if row.type == "CloudFormation"}
_UNREAD = {"PropagationDelay", "SecurityGroupIds", "Ipv6AllowedForDualStack"}
"""The policy does not follow from them: where they can't be known, they need not be."""
_PROCESSED = "Preview the processed template: aws cloudformation get-template --template-stage Processed"


class Template:
    """A template with values for its parameters, and the stack where it is deployed, if it is.

    `parameters` are those that the user gives; then come the stack's own, then the defaults.
    """

    def __init__(
        self, aws: CallerAws, body: Mapping[str, Any], parameters: Mapping[str, str], stack: Stack | None
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

    @property
    def attributes_without_lookup(self) -> list[str]:
        """What makes resources that are not seen here, perhaps of ours: a loop or an include, in words."""
        makers = {name: one for name, one in self._body["Resources"].items() if name.startswith("Fn::")}
        return [
            f"{name} makes resources that are not seen here. {_PROCESSED}."
            for name, one in makers.items()
            if TYPE in json.dumps(one) or not name.startswith("Fn::ForEach")
        ]

    def is_left_out(self, logical_id: str) -> bool:
        """Whether the resource's condition is false. Raises `Unresolved` as `resource` does."""
        condition = self._body["Resources"][logical_id].get("Condition")
        return condition is not None and not self._condition(condition)

    def resource(self, logical_id: str) -> Resource:
        """The resource of this name, its references resolved. Raises `Unresolved` where one can not be."""
        declared = self._body["Resources"][logical_id].get("Properties") or {}
        if not isinstance(declared, Mapping) or _is_function(declared):
            raise Unresolved("its Properties are no names with values.")
        properties = {}
        for name, value in declared.items():
            if name in _CLOUDFORMATIONS_OWN:
                continue
            try:
                resolved = self._property(name, value)
            except Unresolved as unresolved:
                raise Unresolved(f"{name}: {unresolved}") from unresolved
            if resolved is not _NO_VALUE:
                properties[name] = resolved
        stack = self._stack
        deployed = stack.resources.get(logical_id) if stack else None
        return Resource(properties, logical_id, stack.id if stack else "", deployed.physical_id if deployed else "")

    def _property(self, name: str, value: Any) -> Any:
        """What a property is; `_NO_VALUE`, too, where it can't be known and nothing follows from it."""
        if name == "Triggers":
            # Only its type is judged.
            return _NO_VALUE if _is_function(value) else {} if isinstance(value, Mapping) else value
        if name == "VpcConfig" and isinstance(value, Mapping) and not _is_function(value):
            members = {member: self._property(member, one) for member, one in value.items()}
            return {member: one for member, one in members.items() if one is not _NO_VALUE}
        if name == "SubnetIds" and isinstance(value, list):
            # What counts is whether there is one.
            return [one for one in (self._value_or(item, "unknown") for item in value) if one is not _NO_VALUE]
        return self._value_or(value, _NO_VALUE) if name in _UNREAD else self._value(value)

    def _value_or(self, value: Any, otherwise: Any) -> Any:
        try:
            return self._value(value)
        except Unresolved:
            return otherwise

    # --- values ---

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [one for one in map(self._value, value) if one is not _NO_VALUE]
        if isinstance(value, str):
            return _DYNAMIC_REFERENCE.sub(lambda found: self._dynamic(found[1]), value)
        if not isinstance(value, dict):
            return value
        if _is_function(value):
            [(name, argument)] = value.items()
            if name not in _FUNCTIONS:
                raise Unresolved(f"{name} is not resolved by this preview. {_PROCESSED}.")
            with _as_cloudformation_wants_it(name, argument):
                result = _FUNCTIONS[name](self, argument)
            return self._value(result) if isinstance(result, str) else result
        resolved = {key: self._value(one) for key, one in value.items()}
        return {key: one for key, one in resolved.items() if one is not _NO_VALUE}

    def _ref(self, argument: Any) -> Any:
        name = _text(argument)
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name.startswith("AWS::"):
            return self._pseudo_parameter(name)
        if name in self._declared:
            return self._parameter(name)
        return self._deployed(name).physical_id

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
        of_stack = self._stack.parameters if self._stack else {}
        value = self._given.get(name, of_stack.get(name, declared.get("Default")))
        if value is None:
            raise Unresolved(f"the parameter {name} has no value. Give --parameter {name}=...")
        value = _text(value)
        if name not in self._given and declared.get("NoEcho") and value and set(value) == {"*"}:
            raise Unresolved(f"the parameter {name} is not shown (NoEcho). Give --parameter {name}=...")
        if kind.startswith("AWS::SSM::Parameter::Value<"):
            # Every deployment looks it up anew.
            value = self._ssm(value)
        return [one.strip() for one in value.split(",")] if "List<" in kind or "DelimitedList" in kind else value

    def _deployed(self, name: str) -> Deployed:
        """The resource of the stack. By ``Function.Alias``, or ``.Version``, it is one that SAM makes."""
        logical_id, _, made_by_sam = name.partition(".")
        of_stack = self._stack.resources if self._stack else {}
        if name in of_stack:
            return of_stack[name]
        if made_by_sam:
            made = [one for key, one in of_stack.items() if key.startswith(logical_id + made_by_sam)]
            if len(made) == 1:
                return made[0]
        if logical_id not in self._body["Resources"]:
            raise Unresolved(f"{quoted_text(name)} is neither a parameter nor a resource of the template.")
        if not self._stack:
            raise Unresolved(f"the resource {name} is known where it is deployed. Give --stack.")
        raise Unresolved(f"the resource {name} is not in the stack yet. Deploy it first, without this policy.")

    def _get_att(self, argument: Any) -> Any:
        logical_id, attribute = argument.split(".", 1) if isinstance(argument, str) else map(self._value, argument)
        deployed = self._deployed(logical_id)
        if deployed.type == "AWS::CloudFormation::Stack" and attribute.startswith("Outputs."):
            nested = self._aws.call("cloudformation", "DescribeStacks", StackName=deployed.physical_id)["Stacks"][0]
            outputs = {one["OutputKey"]: one["OutputValue"] for one in nested.get("Outputs", ())}
            if attribute.removeprefix("Outputs.") not in outputs:
                raise Unresolved(f"the nested stack {logical_id} has no output {attribute.removeprefix('Outputs.')}.")
            return outputs[attribute.removeprefix("Outputs.")]
        if (deployed.type, attribute) not in _ATTRIBUTES:
            raise Unresolved(
                f"the attribute {logical_id}.{attribute} is not known. Preview by --secret-id in its place."
            )
        return _ATTRIBUTES[deployed.type, attribute](self._aws, deployed.physical_id)

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
        return _text(separator).join(map(_text, self._list(items)))

    def _select(self, argument: Any) -> Any:
        index, items = argument
        return dict(enumerate(self._list(items)))[int(self._value(index))]

    def _split(self, argument: Any) -> list[str]:
        separator, text = argument
        return _text(self._value(text)).split(_text(separator))

    def _list(self, argument: Any) -> list[Any]:
        value = self._value(argument)
        if not isinstance(value, list):
            raise TypeError(f"no list: {value!r}")
        return value

    def _if(self, argument: Any) -> Any:
        condition, then, otherwise = argument
        return self._value(then if self._condition(condition) else otherwise)

    def _find_in_map(self, argument: Any) -> Any:
        map_name, first, second, *more = argument
        rows = self._body["Mappings"][self._value(map_name)].get(self._value(first), {})
        key = self._value(second)
        return self._value(more[0]["DefaultValue"]) if more and key not in rows else rows[key]

    def _import_value(self, argument: Any) -> str:
        name = self._value(argument)
        for export in pages(self._aws, "ListExports", "Exports"):
            if export["Name"] == name:
                return str(export["Value"])
        raise Unresolved(f"{self._aws.region()} has no export {quoted_text(name)}.")

    def _condition(self, condition: Any) -> bool:
        """The truth of a condition, by its name or as it is written."""
        with _as_cloudformation_wants_it("Condition", condition):
            return self._boolean(self._body["Conditions"][condition] if isinstance(condition, str) else condition)

    def _boolean(self, condition: Mapping[str, Any]) -> bool:
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
        raise Unresolved(f"the condition {quoted_text(condition)} is not resolved by this preview.")

    # --- what AWS keeps ---

    def _dynamic(self, reference: str) -> str:
        service, _, rest = reference.partition(":")
        if service != "ssm":
            raise Unresolved(f"{{{{resolve:{reference}}}}} is not looked up: it would read a secret's value.")
        return self._ssm(rest)

    def _ssm(self, name: str) -> str:
        try:
            parameter = self._aws.call("ssm", "GetParameter", Name=name)["Parameter"]
        except AwsApiError as failure:
            if failure.code in ("ParameterNotFound", "ParameterVersionNotFound"):
                raise Unresolved(f"there is no SSM parameter {quoted_text(name)} in {self._aws.region()}.") from failure
            raise
        if parameter["Type"] == "SecureString":
            raise Unresolved(f"the SSM parameter {quoted_text(name)} is a SecureString, which is not looked at.")
        return str(parameter["Value"])


@contextmanager
def _as_cloudformation_wants_it(name: str, argument: Any) -> Iterator[None]:
    """Raises `Unresolved` where the argument of a function has another form than the block takes it for."""
    try:
        yield
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise Unresolved(f"{name} {quoted_text(argument)} is not as CloudFormation wants it.") from error


def _text(value: Any) -> str:
    """A scalar as CloudFormation sends it. Raises TypeError for anything else."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        raise TypeError(f"no text: {value!r}")
    return value


def _is_function(value: Any) -> bool:
    """Whether a value is an intrinsic function in its long form."""
    name = next(iter(value), "") if isinstance(value, Mapping) and len(value) == 1 else ""
    return name == "Ref" or name.startswith("Fn::")


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


def _function_arn(aws: CallerAws, name: str) -> str:
    return f"arn:{aws.caller.partition}:lambda:{aws.region()}:{aws.caller.account}:function:{name}"


def _role_arn(aws: CallerAws, name: str) -> str:
    # With its path, which the name does not tell.
    return str(aws.call("iam", "GetRole", RoleName=name)["Role"]["Arn"])


def _key_arn(aws: CallerAws, key_id: str) -> str:
    return f"arn:{aws.caller.partition}:kms:{aws.region()}:{aws.caller.account}:key/{key_id}"


def _itself(_: CallerAws, physical_id: str) -> str:
    return physical_id


def _master_user_secret(operation: str, key: str, parameter: str) -> Callable[[CallerAws, str], str]:
    def look(aws: CallerAws, name: str) -> str:
        [database] = aws.call("rds", operation, **{parameter: name})[key]
        if "MasterUserSecret" not in database:
            raise Unresolved(f"the database {name} has no MasterUserSecret: RDS does not manage its superuser.")
        return str(database["MasterUserSecret"]["SecretArn"])

    return look


_ATTRIBUTES: dict[tuple[str, str], Callable[[CallerAws, str], str]] = {
    ("AWS::EC2::SecurityGroup", "GroupId"): _itself,
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
