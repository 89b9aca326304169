"""Resolve the references in the `Custom::RotationRolePolicy` resources of a template.

References to parameters, pseudo parameters, mappings, conditions, exports and resources of the deployed stack are
resolved to the values that they have now. Any other reference raises `TemplateError`; nothing is guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import AwsApiError, quoted_text
from rotation_role_policy.rules.properties import PROPERTIES
from rotation_role_policy_cli.resource import Resource
from rotation_role_policy_cli.schema import TYPE
from rotation_role_policy_cli.template.attributes import ATTRIBUTES
from rotation_role_policy_cli.template.fetched import Fetched
from rotation_role_policy_cli.template.file import TemplateError, is_function
from rotation_role_policy_cli.template.placeholders import STACK_NAME, is_planned, placeholder
from rotation_role_policy_cli.template.planned import DATABASES, planned_resource
from rotation_role_policy_cli.template.sam_globals import with_globals
from rotation_role_policy_cli.template.stack import DeployedStack, StackResource

_NO_VALUE = object()
"""The value of `AWS::NoValue`: the property, or the item of a list, is left out."""

_CLOUDFORMATION_PROPERTIES = {row.name for row in PROPERTIES if row.type == "CloudFormation"}
_WITHOUT_EFFECT = {row.name for parent in PROPERTIES for row in (parent, *parent.members) if not row.affects_policy}
"""Properties on which the policy does not depend. A reference in them need not be resolved."""
_PROCESSED = (
    "Preview the processed template: create a change set for it, then aws cloudformation get-template"
    " --change-set-name NAME --stack-name STACK --template-stage Processed"
)


class Template:
    """A template with values for its parameters, and the stack in which it is deployed, if any.

    `parameters` are the user's. They come before the values of the stack, which come before the defaults. Placeholders
    stand for the resources that the stack does not have yet (`planned`). `stack_name` is the name that a stack will
    have which does not exist yet; empty if it is not known.
    """

    def __init__(
        self,
        aws: Aws,
        body: Mapping[str, Any],
        parameters: Mapping[str, str],
        stack: DeployedStack | None,
        stack_name: str = "",
    ) -> None:
        self._aws = aws
        self._stack_name = stack_name
        self._body = body
        self._given = parameters
        self._stack = stack
        self._declared: Mapping[str, Any] = body.get("Parameters") or {}
        self.fetched = Fetched()
        if unknown := sorted(set(parameters) - set(self._declared)):
            raise TemplateError(f"--parameter {unknown[0]}: the template has no such parameter.")

    @property
    def logical_ids(self) -> list[str]:
        """The logical IDs of the `Custom::RotationRolePolicy` resources, in the order of the template."""
        return [name for name, resource in self._body["Resources"].items() if _is_rotation_role_policy(resource)]

    @property
    def resource_ids(self) -> list[str]:
        """The logical IDs of all resources."""
        return list(self._body["Resources"])

    @property
    def unexpanded(self) -> list[str]:
        """A message for each loop or include that may create `Custom::RotationRolePolicy` resources."""
        return [
            f"{name} is not expanded, and the resources that it creates are not previewed. {_PROCESSED}."
            for name, value in self._body["Resources"].items()
            if name.startswith("Fn::") and (TYPE in json.dumps(value) or not name.startswith("Fn::ForEach"))
        ]

    def is_excluded(self, logical_id: str) -> bool:
        """Whether the resource's condition is false. Raises `TemplateError` as `resource` does."""
        condition = self._body["Resources"][logical_id].get("Condition")
        return condition is not None and not self._condition(condition)

    def resource(self, logical_id: str) -> Resource:
        """Return a resource with its references resolved. Raises `TemplateError` if one cannot be resolved."""
        declared = self._body["Resources"][logical_id].get("Properties") or {}
        if not isinstance(declared, Mapping) or is_function(declared):
            raise TemplateError("Properties is not an object with literal names.")
        properties = {}
        for name, value in declared.items():
            if name in _CLOUDFORMATION_PROPERTIES:
                continue
            try:
                resolved = self._property(name, value)
            except TemplateError as error:
                raise TemplateError(f"{name}: {error}") from error
            if resolved is not _NO_VALUE:
                properties[name] = resolved
                self.fetched.keep_containing(resolved)
        stack = self._stack
        deployed = stack.resources.get(logical_id) if stack else None
        return Resource(
            properties,
            logical_id=logical_id,
            stack_id=stack.id if stack else None,
            physical_id=deployed.physical_id if deployed else None,
        )

    def _property(self, name: str, value: Any) -> Any:
        """Return the value of a property, with its references resolved.

        If a reference cannot be resolved and the policy does not depend on it, the value is `_NO_VALUE`.
        """
        if name == "Triggers":
            # The provider checks only its type.
            return _NO_VALUE if is_function(value) else {} if isinstance(value, Mapping) else value
        if name == "VpcConfig" and isinstance(value, Mapping) and not is_function(value):
            members = {key: self._property(key, member) for key, member in value.items()}
            return {key: member for key, member in members.items() if member is not _NO_VALUE}
        if name == "SubnetIds" and isinstance(value, list):
            # The policy depends only on whether there is an item.
            return _without_no_values(self._value_or(item, "unknown") for item in value)
        return self._value_or(value, _NO_VALUE) if name in _WITHOUT_EFFECT else self._value(value)

    def _value_or(self, value: Any, otherwise: Any) -> Any:
        try:
            return self._value(value)
        except TemplateError:
            return otherwise

    # --- values ---

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return _without_no_values(map(self._value, value))
        if isinstance(value, str):
            return _DYNAMIC_REFERENCE.sub(lambda match: self._dynamic(match[1]), value)
        if not isinstance(value, dict):
            return value
        if is_function(value):
            [(name, argument)] = value.items()
            if name not in _FUNCTIONS:
                raise TemplateError(f"preview does not resolve {name}. {_PROCESSED}.")
            with _malformed_as_template_error(name, argument):
                result = _FUNCTIONS[name](self, argument)
            return self._value(result) if isinstance(result, str) else result
        resolved = {key: self._value(member) for key, member in value.items()}
        return {key: member for key, member in resolved.items() if member is not _NO_VALUE}

    def _ref(self, argument: Any) -> Any:
        name = _text(argument)
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name.startswith("AWS::"):
            return self._pseudo_parameter(name)
        if name in self._declared:
            return self._parameter(name)
        return self._stack_resource(name).physical_id

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
        if name == "AWS::StackName":
            return self._stack_name or STACK_NAME
        raise TemplateError(f"{name} is not known without the stack. Give --stack if the template is deployed.")

    def _parameter(self, name: str) -> Any:
        declared = self._declared[name]
        parameter_type = str(declared.get("Type", "String"))
        stack_values = self._stack.parameters if self._stack else {}
        value = self._given.get(name, stack_values.get(name, declared.get("Default")))
        if value is None:
            raise TemplateError(f"the parameter {name} has no value. Give --parameter {name}=...")
        value = _text(value)
        if name not in self._given and declared.get("NoEcho") and value and set(value) == {"*"}:
            raise TemplateError(f"CloudFormation masks the parameter {name} (NoEcho). Give --parameter {name}=...")
        if parameter_type.startswith("AWS::SSM::Parameter::Value<"):
            # Each deployment reads the SSM parameter again.
            value = self._ssm(value)
        is_list = "List<" in parameter_type or "DelimitedList" in parameter_type
        return [item.strip() for item in value.split(",")] if is_list else value

    def _stack_resource(self, name: str) -> StackResource:
        """Return a resource of the stack. SAM creates those named ``Function.Alias`` and ``Function.Version``."""
        logical_id, _, suffix = name.partition(".")
        resources = self._stack.resources if self._stack else {}
        if name in resources:
            return resources[name]
        if suffix:
            from_sam = [resource for key, resource in resources.items() if key.startswith(logical_id + suffix)]
            if len(from_sam) == 1:
                return from_sam[0]
        if not self.type_of(logical_id):
            if self.type_of(logical_id.removesuffix("Role")) != "AWS::Serverless::Function":
                raise TemplateError(f"{quoted_text(name)} is neither a parameter nor a resource of the template.")
            # SAM creates a role for a function that names none.
            return StackResource("AWS::IAM::Role", placeholder(logical_id))
        if self.is_excluded(logical_id):
            raise TemplateError(f"the condition of the resource {logical_id} is false, so it will not exist.")
        return planned_resource(self, logical_id, suffix)

    def type_of(self, logical_id: str) -> str:
        """Return the type of a resource; empty if the template does not declare it."""
        declared = self._body["Resources"].get(logical_id)
        return str(declared.get("Type", "")) if isinstance(declared, Mapping) else ""

    def planned_property(self, logical_id: str, name: str) -> Any:
        """Return the value of a property of a resource, with its references resolved; None if there is none."""
        properties = self._body["Resources"].get(logical_id, {}).get("Properties")
        value = properties.get(name) if isinstance(properties, Mapping) else None
        if self.type_of(logical_id) == "AWS::Serverless::Function":
            with _malformed_as_template_error("Globals", self._body.get("Globals")):
                value = with_globals(self._body, name, value)
        resolved = self._property(name, value)
        return None if resolved is _NO_VALUE else resolved

    def planned_arn(self, service: str, resource: str) -> str:
        """Return an ARN in the user's account and region. The ARN of IAM has no region."""
        region = "" if service == "iam" else self._aws.region()
        return f"arn:{self._aws.caller.partition}:{service}:{region}:{self._aws.caller.account}:{resource}"

    def _get_att(self, argument: Any) -> Any:
        logical_id, attribute = argument.split(".", 1) if isinstance(argument, str) else map(self._value, argument)
        resource = self._stack_resource(logical_id)
        if resource.type == "AWS::CloudFormation::Stack" and attribute.startswith("Outputs."):
            if is_planned(resource.physical_id):
                raise TemplateError(f"the nested stack {logical_id} does not exist yet, so {attribute} is not known.")
            response = self._aws.call(self._aws.cloudformation.describe_stacks, StackName=resource.physical_id)
            nested = response["Stacks"][0]
            outputs = {output["OutputKey"]: output["OutputValue"] for output in nested.get("Outputs", [])}
            output_key = attribute.removeprefix("Outputs.")
            if output_key not in outputs:
                raise TemplateError(f"the nested stack {logical_id} has no output {output_key}.")
            return outputs[output_key]
        database = DATABASES.get(resource.type)
        if is_planned(resource.physical_id) and database and attribute == database.attribute:
            # RDS or Redshift creates the secret with the database.
            if str(self.planned_property(logical_id, database.switch)).lower() != "true":
                raise TemplateError(f"{logical_id} has no {attribute}, because its {database.switch} is not true.")
            return self.planned_arn("secretsmanager", f"secret:{placeholder(logical_id)}")
        if (resource.type, attribute) not in ATTRIBUTES:
            raise TemplateError(
                f"preview does not resolve the attribute {logical_id}.{attribute}. Put its value into a copy of the"
                " template."
            )
        return ATTRIBUTES[resource.type, attribute](self._aws, resource.physical_id)

    # --- intrinsic functions ---

    def _sub(self, argument: Any) -> str:
        text, values = (argument, {}) if isinstance(argument, str) else argument

        def replacement(match: re.Match[str]) -> str:
            name = match[1].strip()
            if name in values:
                return _text(self._value(values[name]))
            return _text(self._get_att(name) if "." in name else self._ref(name))

        # ${!x} stands for ${x} itself.
        return re.sub(r"\$\{!", "${", re.sub(r"\$\{([^!{}][^{}]*)\}", replacement, text))

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
            raise TypeError(f"not a list: {value!r}")
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
        for page in self._aws.paginate(self._aws.cloudformation.list_exports):
            for export in page["Exports"]:
                if export["Name"] == name:
                    return self.fetched.keep(export["Value"], f"the value of the export {name}")
        raise TemplateError(f"{self._aws.region()} has no export {quoted_text(name)}.")

    def _condition(self, condition: Any) -> bool:
        """Evaluate a condition, given by name or as an expression."""
        with _malformed_as_template_error("Condition", condition):
            return self._evaluate(self._body["Conditions"][condition] if isinstance(condition, str) else condition)

    def _evaluate(self, condition: Mapping[str, Any]) -> bool:
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
        raise TemplateError(f"preview does not resolve the condition {quoted_text(condition)}.")

    # --- SSM parameters ---

    def _dynamic(self, reference: str) -> str:
        service, _, parameter_name = reference.partition(":")
        if service != "ssm":
            # The reference can stand for a secret's value.
            raise TemplateError(f"preview does not resolve {{{{resolve:{reference}}}}}, only references to ssm.")
        return self._ssm(parameter_name)

    def _ssm(self, name: str) -> str:
        try:
            parameter = self._aws.call(self._aws.ssm.get_parameter, Name=name)["Parameter"]
        except AwsApiError as failure:
            if failure.code in ("ParameterNotFound", "ParameterVersionNotFound"):
                raise TemplateError(f"{self._aws.region()} has no SSM parameter {quoted_text(name)}.") from failure
            raise
        if parameter["Type"] == "SecureString":
            raise TemplateError(f"preview does not read the SSM parameter {quoted_text(name)}: it is a SecureString.")
        return self.fetched.keep(parameter["Value"], f"the value of the SSM parameter {name}")


@contextmanager
def _malformed_as_template_error(name: str, argument: Any) -> Iterator[None]:
    """Raise `TemplateError` if the block fails because a function's argument does not have the right form."""
    try:
        yield
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise TemplateError(f"{name} {quoted_text(argument)} is not in the right form.") from error


def _text(value: Any) -> str:
    """Return a scalar as CloudFormation sends it. Raises TypeError for anything else."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        raise TypeError(f"not a string: {value!r}")
    return value


def _without_no_values(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if value is not _NO_VALUE]


def _is_rotation_role_policy(resource: Any) -> bool:
    return isinstance(resource, dict) and resource.get("Type") == TYPE


_DYNAMIC_REFERENCE = re.compile(r"\{\{resolve:([^{}]+)\}\}")

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
