"""The resources of a template: what they depend on, what their values identify, which conditions select them."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import networkx
from cfnlint.template import Template

from rotation_role_policy.iam.document import as_list
from rotation_role_policy.iam.wildcard import matches_any
from rotation_role_policy_cli.schema import TYPE

Path = list[str | int]
NO_VALUE = {"Ref": "AWS::NoValue"}

# Transforms that do not change the resources that the rules read.
_HARMLESS_TRANSFORMS = (
    "AWS::CodeDeployBlueGreen",
    "AWS::LanguageExtensions",
    "AWS::SecretsManager-",
    "AWS::Serverless-",
)

# References to these types identify the resource, or the resource that the property names.
_IDENTIFIABLE = {"AWS::IAM::Role", "AWS::Lambda::Function", "AWS::SecretsManager::Secret", "AWS::Serverless::Function"}
_QUALIFIED = ("AWS::Lambda::Alias", "AWS::Lambda::Version")
_SAME_AS = dict.fromkeys(_QUALIFIED, "FunctionName") | {"AWS::SecretsManager::SecretTargetAttachment": "SecretId"}

# An Fn::Sub of one resource, perhaps with a function's alias or version.
_SUB_OF_ONE = re.compile(r"\$\{([A-Za-z0-9]+)(\.[A-Za-z0-9]+)?\}(:[\w$.-]+)?")

FUNCTIONS = ("AWS::Lambda::Function", "AWS::Serverless::Function")
_IAM_POLICIES = ("AWS::IAM::ManagedPolicy", "AWS::IAM::Policy", "AWS::IAM::RolePolicy")
# Resources that can give others a permission.
_OTHER_CREATORS = ("AWS::CloudFormation::CustomResource", "AWS::CloudFormation::Stack", "Custom::")
# Managed policies that do not allow network interfaces.
_NO_INTERFACES = re.compile(
    "arn:[^ ]+:aws:policy/(service-role/AWSLambdaBasicExecutionRole|AWSXRayDaemonWriteAccess"
    "|CloudWatchLambdaInsightsExecutionRolePolicy)"
)


# Lambda creates a function in a VPC only with all of them.
_INTERFACES = {"ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces"}


class TemplateGraph:
    """The resources of a template for which `is_known` is true."""

    def __init__(self, cfn: Template) -> None:
        self.cfn = cfn
        resources = cfn.get_resources()
        names = [name for name in resources if isinstance(resources[name].get("Properties", {}), dict)]
        self.types = {name: str(resources[name]["Type"]) for name in names}
        self.conditions = {name: resources[name].get("Condition") for name in names}
        self.properties: dict[str, dict[str, Any]] = {name: resources[name].get("Properties", {}) for name in names}
        self.policies = self.of_type(TYPE)

    @staticmethod
    def is_known(cfn: Template) -> bool:
        """Return whether the template shows each resource as CloudFormation will create it."""
        transforms = cfn.transform_pre["Transform"]
        return (
            # cfn-lint makes no graph if it can't read the template.
            cfn.graph is not None
            and networkx.is_directed_acyclic_graph(cfn.graph.graph)
            and all(isinstance(name, str) and name.startswith(_HARMLESS_TRANSFORMS) for name in transforms)
            # With the language extensions, cfn-lint puts one of several values in place of Fn::FindInMap.
            and not ("AWS::LanguageExtensions" in transforms and cfn.transform_pre["Fn::FindInMap"])
            and not (cfn.transform_pre["Fn::ForEach"] or cfn.search_deep_keys("Fn::Transform") or cfn.get_modules())
        )

    def of_type(self, *types: str) -> dict[str, dict[str, Any]]:
        """Return the properties of the resources of these types by logical ID."""
        return {name: self.properties[name] for name, kind in self.types.items() if kind in types}

    def depends_on(self, name: str, other: str) -> bool:
        """Return whether CloudFormation creates a resource after another one."""
        return other in networkx.descendants(self.cfn.graph.graph, name)

    def remedy(self, name: str, policy: str) -> str:
        """Return what to do so that a resource depends on a policy."""
        first = f"Remove the dependency of {policy} on {name}, and add" if self.depends_on(policy, name) else "Add"
        return f"{first} DependsOn: {policy} to {name}."

    def exists_with(self, name: str, other: str) -> bool:
        """Return whether a resource certainly exists if another one does."""
        return self.conditions[name] in (None, self.conditions[other])

    def can_exist_together(self, name: str, other: str) -> bool:
        """Return whether the conditions of two resources can be true at the same time."""
        conditions = [each for each in (self.conditions[name], self.conditions[other]) if each is not None]
        return self.is_possible({str(each): True for each in conditions})

    def has_other_creators(self, function: str) -> bool:
        """Return whether a nested stack or a custom resource refers to a function, and so may give a permission."""
        return any(
            self.types[name] != TYPE and self.types[name].startswith(_OTHER_CREATORS)
            for name in self.types.keys() & set(self.cfn.graph.graph.predecessors(function))
        )

    def qualifier(self, value: Any) -> str | None:
        """Return what distinguishes the versions and aliases of a function; empty for none, None if not known.

        Each has a resource policy of its own: https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
        """
        match value:
            case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), _]}:
                is_qualified = self.types.get(name) in _QUALIFIED or "." in name
                return name if is_qualified else "" if self.types.get(name) in FUNCTIONS else None
            case {"Fn::GetAtt": str(text)}:
                return self.qualifier({"Ref": text.partition(".")[0]})
        return None

    def identity(self, value: Any) -> str:
        """Return the logical ID of the secret, function or role that a value names, or the value as JSON.

        Equal identities are the same thing. Different identities are different only if both are logical IDs.
        """
        match value:
            case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), _]}:
                pass
            case {"Fn::GetAtt": str(text)}:
                name = text.partition(".")[0]
            case {"Fn::Sub": str(text)} if match := _SUB_OF_ONE.fullmatch(text):
                name = str(match[1])
            case _:
                name = ""
        if self.types.get(name.partition(".")[0]) in FUNCTIONS:
            # The alias and the version that SAM makes.
            name = name.partition(".")[0]
        if same_as := _SAME_AS.get(self.types.get(name, "")):
            return self.identity(self.properties[name].get(same_as))
        return name if self.types.get(name) in _IDENTIFIABLE else json.dumps(value, default=str)

    def secrets(self, properties: Mapping[str, Any], scenario: Mapping[str, bool] | None = None) -> set[str]:
        """Return the identities of the secrets that the properties of a policy or a schedule name in a scenario."""
        names = [properties.get("SecretId"), *as_list(selected(properties.get("SecretIds"), scenario))]
        values = [value for name in names if (value := selected(name, scenario)) not in (None, "", NO_VALUE)]
        return {self.identity(value) for value in values}

    def vpc_functions(self) -> Iterator[tuple[str, str, list[str]]]:
        """Yield each function that Lambda cannot create in its VPC, its role, and the policies that declare the VPC."""
        declaring = [policy for policy in self.policies if "VpcConfig" in self.policies[policy]]
        in_vpc = [policy for policy in declaring if self._is_in_vpc(self.policies[policy]["VpcConfig"])]
        roles = {policy: self.identity(self.policies[policy].get("RoleName")) for policy in in_vpc}
        for function, properties in self.of_type(*FUNCTIONS).items():
            role = self.identity(properties.get("Role"))
            if self.types.get(role) == "AWS::IAM::Role" and self._is_in_vpc(properties.get("VpcConfig")):
                # Another resource that refers to the role may give it the permission.
                referrers = self.types.keys() & set(self.cfn.graph.graph.predecessors(role))
                others = {name for name in referrers if self.types[name] not in (TYPE, *_IAM_POLICIES)}
                waits = any(self.depends_on(function, name) for name in others.union(declaring))
                if not waits and not self._has_policies(role):
                    yield function, role, [policy for policy in in_vpc if roles[policy] == role]

    def _is_in_vpc(self, vpc_config: Any) -> bool:
        """Return whether VpcConfig certainly has subnets."""
        subnets = vpc_config.get("SubnetIds") if isinstance(vpc_config, dict) else None
        parameters = self.cfn.get_parameters_valid().items()
        optional = [name for name, value in parameters if value.keys() & {"AllowedValues", "Default"}]
        text = json.dumps(subnets, default=str)
        is_list = (isinstance(subnets, list) and subnets != []) or (isinstance(subnets, dict) and "Ref" in subnets)
        return is_list and not any(f'"{name}"' in text for name in ["Fn::If", "AWS::NoValue", *optional])

    def _has_policies(self, role: str) -> bool:
        """Return whether a role may have policies that allow it to manage network interfaces."""
        managed = as_list(self.properties[role].get("ManagedPolicyArns", []))
        inline = as_list(self.properties[role].get("Policies", []))
        other_roles = self.of_type("AWS::IAM::Role").keys() - {role}
        attached = [
            policy
            for policy in self.of_type(*_IAM_POLICIES).values()
            for key in ("Roles", "RoleName")
            if not {*map(self.identity, as_list(policy.get(key, [])))} <= other_roles
        ]
        allowed = [
            _allowed_interfaces(policy.get("PolicyDocument") if isinstance(policy, dict) else None)
            for policy in [*inline, *attached]
        ]
        return (
            not all(_NO_INTERFACES.fullmatch(_joined(arn)) for arn in managed) or set().union(*allowed) >= _INTERFACES
        )

    def is_possible(self, conditions: Mapping[str, bool]) -> bool:
        """Return whether the conditions can have these values at the same time; False for unknown conditions."""
        scenarios = self.cfn.conditions.build_scenarios({name: {value} for name, value in conditions.items()})
        return not conditions or any(scenarios)

    def is_reachable(self, path: Path) -> bool:
        """Return whether the template's conditions can select the element at a path."""
        try:
            conditions = self.cfn.get_conditions_from_path(self.cfn.template, path)
        except (AttributeError, TypeError):
            return False  # The template is malformed there. cfn-lint's own rules say so.
        is_consistent = all(len(values) == 1 for values in conditions.values())
        return is_consistent and self.is_possible({name: True in values for name, values in conditions.items()})


def _joined(value: Any) -> str:
    """Return the text of an ARN, with ``x`` in place of each reference; empty for anything else."""
    match value:
        case str():
            return value
        case {"Fn::Sub": str(text)} | {"Fn::Sub": [str(text), _]}:
            return text
        case {"Fn::Join": [str(separator), [*parts]]}:
            return separator.join(part if isinstance(part, str) else "x" for part in parts)
    return ""


def _allowed_interfaces(document: Any) -> set[str]:
    """Return which of the actions on network interfaces a policy document of a template allows, or may allow."""
    if not isinstance(document, dict) or not isinstance(document.get("Statement"), list | dict):
        return _INTERFACES
    allowed: set[str] = set()
    for statement in as_list(document["Statement"]):
        actions = as_list(statement.get("Action", [])) if isinstance(statement, dict) else []
        if not isinstance(statement, dict) or "Action" not in statement or not all(map(_is_text, actions)):
            return _INTERFACES
        if statement.get("Effect") != "Deny":
            allowed |= {action for action in _INTERFACES if matches_any(actions, action, ignore_case=True)}
    return allowed


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def branches(value: Any, path: Path, scenario: Mapping[str, bool] | None = None) -> Iterator[tuple[Path, Any]]:
    """Yield the path and the value of each branch of Fn::If that the scenario's conditions select."""
    match value:
        case {"Fn::If": [str(condition), if_true, if_false]}:
            selected = (scenario or {}).get(condition)
            if selected is not False:
                yield from branches(if_true, [*path, "Fn::If", 1], scenario)
            if selected is not True:
                yield from branches(if_false, [*path, "Fn::If", 2], scenario)
        case _:
            yield path, value


def selected(value: Any, scenario: Mapping[str, bool] | None) -> Any:
    """Return the branch of Fn::If that a scenario's conditions select; the value itself if they do not decide."""
    values = [branch for _, branch in branches(value, [], scenario)]
    return values[0] if len(values) == 1 else value
