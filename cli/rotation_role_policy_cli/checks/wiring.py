"""How a template's resources hang together: which waits for which, which stand for the same thing, which are there.

For whatever is in the file: what has not the form of a template is passed over.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from rotation_role_policy.policy_grammar import as_list
from rotation_role_policy_cli.checks.functions import has_macro, is_open, leaves, pieces, references

_NAMED_BY = {
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Alias": "FunctionName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Lambda::Version": "FunctionName",
    "AWS::SecretsManager::Secret": "Name",
    "AWS::SecretsManager::SecretTargetAttachment": "SecretId",
    "AWS::Serverless::Function": "FunctionName",
}
"""The property that says the same as a reference to the resource: its name, or whose version, alias or attachment."""

_FUNCTIONS = ("AWS::Lambda::Function", "AWS::Serverless::Function")

_OF_FUNCTIONS = ("AWS::Lambda::Alias", "AWS::Lambda::Version")

_PLAIN = {"Ref", "Fn::GetAtt", "Fn::Sub", "Fn::Join"}
"""Functions whose result, with one resource in it, is that resource's name or ARN."""


class Wiring:
    """The resources of a template, by their logical ids."""

    def __init__(self, template: Any) -> None:
        self.template: Mapping[str, Any] = template if isinstance(template, Mapping) else {}
        resources = template.get("Resources") if isinstance(template, Mapping) else None
        self.resources: dict[str, Mapping[str, Any]] = {
            name: resource
            for name, resource in (resources.items() if isinstance(resources, Mapping) else ())
            if isinstance(name, str) and isinstance(resource, Mapping)
        }
        of_functions = template
        for name in ("Globals", "Function"):
            of_functions = of_functions.get(name) if isinstance(of_functions, Mapping) else None
        self._globals = dict(of_functions) if isinstance(of_functions, Mapping) else {}
        self._after = cache(self._find_after)

    def of_type(self, *types: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The logical ids of the resources of these types, with their properties."""
        for name, resource in self.resources.items():
            properties = resource.get("Properties", {})
            if resource.get("Type") in types and isinstance(properties, Mapping):
                yield name, properties

    def functions(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The Lambda functions, those of SAM with what its Globals give them."""
        yield from self.of_type("AWS::Lambda::Function")
        for name, properties in self.of_type("AWS::Serverless::Function"):
            yield name, self._globals | dict(properties)

    def role(self, value: Any) -> str | None:
        """The logical id of the role that a value refers to; None where it is not one of the template's."""
        name = self.resource(value)
        return name if name and self._type(name) == "AWS::IAM::Role" else None

    def function(self, value: Any) -> str | None:
        """The logical id of the function that a value refers to, if by its alias; None where it is not known."""
        seen: set[str] = set()
        name = self.resource(value)
        while name and name not in seen and self._type(name) in _OF_FUNCTIONS:
            seen.add(name)
            properties = self.resources[name].get("Properties")
            name = self.resource(properties.get("FunctionName") if isinstance(properties, Mapping) else None)
        return name if name and self._type(name) in _FUNCTIONS else None

    def may_be_attached(self, policy: Mapping[str, Any], role: str) -> bool:
        """Whether a policy's resource attaches it to a role."""
        given = [policy.get("Roles"), policy.get("RoleName")]
        return any(is_open(one) and self.resource(one) is None for one in leaves(given)) or self.same(
            given, {"Ref": role}
        )

    def _type(self, name: str) -> str:
        return str(self.resources.get(name, {}).get("Type"))

    def condition(self, name: str) -> str | None:
        """The condition that a resource is there by; None where it always is."""
        condition = self.resources[name].get("Condition")
        return condition if isinstance(condition, str) else None

    def is_filled_list(self, value: Any) -> bool:
        """Whether a value is a parameter that is a list, and not an empty one unless who deploys makes it one."""
        parameter = self._parameter(value)
        return "List" in str(parameter.get("Type")) and not self.may_be_empty(value)

    def may_be_empty(self, value: Any) -> bool:
        """Whether a value is a parameter that the template lets be empty, by its default or the values it lists."""
        parameter = self._parameter(value)
        offered = [parameter.get("Default"), *as_list(parameter.get("AllowedValues") or [])]
        return any(isinstance(one, str) and not one.strip(", ") for one in offered)

    def _parameter(self, value: Any) -> Mapping[str, Any]:
        """The parameter that a value refers to; an empty one where it does not."""
        parameters = self.template.get("Parameters")
        name = value["Ref"] if isinstance(value, Mapping) and list(value) == ["Ref"] else None
        found = parameters.get(name) if isinstance(parameters, Mapping) and isinstance(name, str) else None
        return found if isinstance(found, Mapping) else {}

    def waits_for(self, name: str, other: str) -> bool:
        """Whether CloudFormation creates a resource after another: it depends on it, or on one that does, and so on."""
        seen: set[str] = set()
        ahead = [name]
        while ahead:
            for one in self._after(ahead.pop()) - seen:
                if one == other:
                    return True
                seen.add(one)
                ahead.append(one)
        return False

    def _find_after(self, name: str) -> frozenset[str]:
        resource = self.resources.get(name, {})
        if has_macro(resource):
            # It may add any.
            return frozenset(self.resources)
        declared = resource.get("DependsOn", [])
        said = {one for one in (declared if isinstance(declared, list) else [declared]) if isinstance(one, str)}
        if any(re.search(r"[$&]\{", one) for one in said):
            # Left over from a loop: it may stand for any.
            return frozenset(self.resources)
        return frozenset(said | {found for _, found, _ in references(resource)})

    def same(self, one: Any, other: Any) -> bool:
        """Whether two values (of lists: an item of each) can name the same secret, role or function."""
        return any(self._names(left) & self._names(right) for left in leaves(one) for right in leaves(other))

    def _names(self, value: Any) -> set[str]:
        """The logical id of the resource that a value refers to, and the value itself as JSON: one is enough."""
        found = {json.dumps(value, sort_keys=True, default=str)}
        resource = self.resource(value)
        while resource and resource not in found:
            found.add(resource)
            properties = self.resources[resource].get("Properties")
            named = properties.get(_NAMED_BY[self._type(resource)]) if isinstance(properties, Mapping) else None
            if named:
                found.add(json.dumps(named, sort_keys=True, default=str))
            resource = self.resource(named)
        return found

    def resource(self, value: Any) -> str | None:
        """The logical id of the secret, role or function that a value refers to; None where that is not plain."""
        if not (isinstance(value, Mapping) and len(value) == 1 and _PLAIN.issuperset(value)):
            return None
        parts = list(pieces(value))
        found = [at for at, part in enumerate(parts) if not isinstance(part, str) and self._type(part[0]) in _NAMED_BY]
        if len(found) != 1:
            return None
        name = parts[found[0]][0]
        before, after = (
            "".join(part if isinstance(part, str) else "?" for part in side)
            for side in (parts[: found[0]], parts[found[0] + 1 :])
        )
        # An ARN around a name, and a version or an alias after a function; else it is the name of something else.
        is_secret = "SecretsManager" in self._type(name)
        if before and (is_secret or not before.endswith((":", "/"))):
            return None
        if after and (self._type(name) not in {*_FUNCTIONS, *_OF_FUNCTIONS} or not after.startswith(":")):
            return None
        return name
