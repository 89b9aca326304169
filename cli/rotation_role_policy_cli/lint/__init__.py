"""Rules for cfn-lint: mistakes in a template that the provider would refuse, or nobody until the rotation fails.

``cfn-lint --append-rules rotation_role_policy_cli.lint``, where this repository is installed beside cfn-lint, or
``--append-rules`` with this folder's path. What intrinsic functions stand for is not guessed: they raise no finding.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch
from cfnlint.template import Template

from rotation_role_policy.attributes import ATTRIBUTES
from rotation_role_policy.policy_grammar import as_list
from rotation_role_policy.properties import closest_name
from rotation_role_policy_cli.checks import functions
from rotation_role_policy_cli.checks.cases import Case, Cases
from rotation_role_policy_cli.checks.literals import Mistake, deciding, mistakes, wrong_together
from rotation_role_policy_cli.checks.order import functions_before_policies, schedules_before_policies
from rotation_role_policy_cli.checks.wiring import Wiring
from rotation_role_policy_cli.schema import TYPE

_TAGS = ["resources", "secretsmanager", "rotation"]
_TRANSFORMS = {
    "AWS::CodeDeployBlueGreen",
    "AWS::Include",
    "AWS::LanguageExtensions",
    "AWS::SecretsManager-2020-07-23",
    "AWS::SecretsManager-2024-09-16",
    "AWS::Serverless-2016-10-31",
}
"""Those that leave the resources that the rules look at as they are."""


# --- the properties --------------------------------------------------------------------------------------------------


class UnknownProperty(CloudFormationLintRule):  # type: ignore[misc]  # cfn-lint has no types here
    """A property's name that the provider does not know."""

    id = "E9811"
    shortdesc = "Unknown or misspelt property of Custom::RotationRolePolicy"
    description = "The provider refuses a property that it does not know, also in VpcConfig; the nearest name is told"
    tags = _TAGS

    def match(self, cfn: Template) -> list[RuleMatch]:
        """The findings."""
        return [_found(path, reason) for path, reason, is_unknown in _mistakes(cfn) if is_unknown]


class WrongValue(CloudFormationLintRule):  # type: ignore[misc]
    """A value that the provider refuses."""

    id = "E9812"
    shortdesc = "Wrong type or value of a property of Custom::RotationRolePolicy"
    description = "What stands in the template literally, also beside intrinsic functions, is what the provider takes"
    tags = _TAGS

    def match(self, cfn: Template) -> list[RuleMatch]:
        """The findings."""
        if _has_maps_values(cfn):
            return []
        return [_found(path, reason) for path, reason, is_unknown in _mistakes(cfn) if not is_unknown]


class WrongTogether(CloudFormationLintRule):  # type: ignore[misc]
    """Properties that do not go together."""

    id = "E9813"
    shortdesc = "Properties of Custom::RotationRolePolicy that do not go together"
    description = (
        "Exactly one of SecretId and SecretIds; VpcConfig with RoleName and without RotationLambdaARN; in every case"
        " that a condition alone makes, or a value that a parameter lists"
    )
    tags = _TAGS

    def match(self, cfn: Template) -> list[RuleMatch]:
        """The findings: each combination once, whatever the number of cases that it is found in."""
        matches: list[RuleMatch] = []
        wiring = Wiring(_whole(cfn))
        cases = Cases(wiring.template)
        for name, properties in wiring.of_type(TYPE):
            if "Fn::Transform" in wiring.resources[name]:
                continue
            scenarios = list(cases.scenarios(deciding(properties), [wiring.condition(name)]))
            found: dict[Mistake, list[Case]] = {}
            for scenario in scenarios:
                for mistake in wrong_together(properties, scenario):
                    found.setdefault(mistake, []).append(scenario)
            for mistake, where in found.items():
                if (case := cases.certain(scenarios, where)) is not None:
                    words = " and ".join(f"{one} is {str(truth).lower()}" for one, truth in sorted(case.items()))
                    suffix = f" This is so where {words}." if words else ""
                    path = ["Resources", name, "Properties", *mistake.path]
                    matches.append(_found(path, mistake.reason + suffix))
        return matches


class UnknownAttribute(CloudFormationLintRule):  # type: ignore[misc]
    """An attribute that the provider does not return."""

    id = "E9814"
    shortdesc = "Unknown Fn::GetAtt attribute of Custom::RotationRolePolicy"
    description = "In Fn::GetAtt and Fn::Sub; cfn-lint itself takes any attribute of a custom resource"
    tags = _TAGS

    def match(self, cfn: Template) -> list[RuleMatch]:
        """The findings."""
        template = _readable(cfn)
        cases = Cases(template)
        wiring = Wiring(template)
        ours = {name for name, _ in wiring.of_type(TYPE) if not functions.is_rewritten(wiring.resources[name])}
        known = [attribute.name for attribute in ATTRIBUTES]
        return [
            _found(
                path,
                f"{name}.{attribute} is not an attribute of {TYPE}."
                f" Did you mean {name}.{closest_name(attribute, known)}?",
            )
            # No other section can refer to a resource; what looks like it there is text.
            for section in ("Resources", "Outputs")
            for path, name, attribute in functions.references(template.get(section), (section,))
            if name in ours and attribute and attribute not in known and cases.is_reached(template, path)
        ]


# --- the order of resources ------------------------------------------------------------------------------------------


class ScheduleBeforePolicy(CloudFormationLintRule):  # type: ignore[misc]
    """A rotation schedule that does not wait for the policy of its secret."""

    id = "E9815"
    shortdesc = "A rotation schedule that does not depend on the policy of its secret"
    description = (
        "Secrets Manager rotates as soon as the schedule is there: before the policy, the rotation function may not"
    )
    tags = _TAGS

    def match(self, cfn: Template) -> list[RuleMatch]:
        """The findings: one for each schedule."""
        wiring = Wiring(_whole(cfn))
        return [
            _found(
                ["Resources", schedule],
                f"{schedule} rotates its secret as soon as it is there, and does not depend on {policy}, without which"
                f" the rotation function may not rotate it. {_remedy(wiring, schedule, policy)}",
            )
            for schedule, policy in schedules_before_policies(wiring, Cases(wiring.template).scenarios)
        ]


class InspectedBeforeFunction(CloudFormationLintRule):  # type: ignore[misc]
    """A function in a VPC, and a policy that inspects it: neither can come first."""

    id = "E9816"
    shortdesc = "A function with VpcConfig in the same template as an inspected policy for its role"
    description = (
        "Lambda refuses to create the function before its role may manage network interfaces, and the policy that"
        " allows it inspects the function: declare the VpcConfig in the policy"
    )
    tags = _TAGS

    def match(self, cfn: Template) -> list[RuleMatch]:
        """The findings: one for each function."""
        wiring = Wiring(_whole(cfn))
        return [
            _found(
                ["Resources", policy, "Properties", by],
                f"{policy} inspects {function}, but Lambda refuses to create {function} with its VpcConfig as long as"
                f" {role} has no policy for network interfaces. Declare it: in {policy}, give RoleName and VpcConfig"
                f" without RotationLambdaARN, and give {function} DependsOn: {policy}.",
            )
            for function, role, policy, by in functions_before_policies(wiring, Cases(wiring.template).scenarios)
            if by
        ]


class FunctionBeforeDeclared(CloudFormationLintRule):  # type: ignore[misc]
    """A function in a VPC that does not wait for the policy that declares it."""

    id = "E9817"
    shortdesc = "A function with VpcConfig that does not depend on the declared policy of its role"
    description = (
        "Lambda refuses to create the function before its role may manage network interfaces; without DependsOn,"
        " CloudFormation creates function and policy at the same time"
    )
    tags = _TAGS

    def match(self, cfn: Template) -> list[RuleMatch]:
        """The findings: one for each function."""
        wiring = Wiring(_whole(cfn))
        return [
            _found(
                ["Resources", function],
                f"{function} has a VpcConfig and does not depend on {policy}, which allows {role} to manage network"
                f" interfaces: Lambda refuses to create it before. {_remedy(wiring, function, policy)}",
            )
            for function, role, policy, by in functions_before_policies(wiring, Cases(wiring.template).scenarios)
            if not by
        ]


RULES = (
    UnknownProperty,
    WrongValue,
    WrongTogether,
    UnknownAttribute,
    ScheduleBeforePolicy,
    InspectedBeforeFunction,
    FunctionBeforeDeclared,
)


def rows() -> list[tuple[str, str]]:
    """Each rule's id, and what it catches."""
    return [(rule.id, rule.shortdesc) for rule in RULES]


# --- what the rules look at ------------------------------------------------------------------------------------------


def _readable(cfn: Template) -> dict[str, Any]:
    """The template as it will be deployed; an empty one where that can't be known.

    A macro may change anything. For a loop over what is not written out, cfn-lint makes up items, other ones each time.
    """
    before = cfn.transform_pre
    names = [one.get("Name") if isinstance(one, Mapping) else one for one in as_list(before.get("Transform") or [])]
    loops = [path[-1] for path in before.get("Fn::ForEach") or []]
    is_known = all(isinstance(one, str) and one in _TRANSFORMS for one in names)
    return cfn.template if is_known and all(map(_is_written_out, loops)) else {}


def _whole(cfn: Template) -> dict[str, Any]:
    """The template if nothing is included into it, so that what is not there is missing; else an empty one."""
    template = _readable(cfn)
    resources = template.get("Resources")
    included = [template, resources if isinstance(resources, Mapping) else {}]
    asked = as_list(template.get("Transform") or [])
    has_more = any("Fn::Transform" in one for one in included) or "AWS::Include" in json.dumps(asked, default=str)
    return {} if has_more else template


def _is_written_out(loop: Any) -> bool:
    items = loop[1] if isinstance(loop, list) and len(loop) == 3 else None
    return isinstance(items, list) and all(isinstance(one, str) for one in items)


def _has_maps_values(cfn: Template) -> bool:
    """Whether cfn-lint may have put one of a map's values where the map stood: with the language extensions it does."""
    before = cfn.transform_pre
    extensions = "AWS::LanguageExtensions" in as_list(before.get("Transform") or [])
    return extensions and bool(before.get("Fn::FindInMap"))


def _found(path: Iterable[str | int], message: str) -> RuleMatch:
    return RuleMatch(list(path), message)


def _remedy(wiring: Wiring, early: str, policy: str) -> str:
    """What makes a resource come after a policy."""
    first = f"Let {policy} not depend on {early}, and give" if wiring.waits_for(policy, early) else "Give"
    return f"{first} {early} DependsOn: {policy}."


def _mistakes(cfn: Template) -> Iterator[tuple[list[str | int], str, bool]]:
    template = _readable(cfn)
    cases = Cases(template)
    for name, properties in Wiring(template).of_type(TYPE):
        for mistake in mistakes(properties):
            path = ("Resources", name, "Properties", *mistake.path)
            ways = functions.leaf_paths(properties, mistake.path) if mistake.is_unknown else [mistake.path]
            if any(cases.is_reached(template, (*path[:3], *way)) for way in ways):
                yield list(path), mistake.reason, mistake.is_unknown
