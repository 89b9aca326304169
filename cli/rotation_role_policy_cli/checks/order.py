"""The two traps of a template's order: what is created before the policy that it needs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from rotation_role_policy_cli.checks.functions import has_macro, is_open, is_rewritten, picked
from rotation_role_policy_cli.checks.network import has_subnets, may_have_subnets, may_manage_interfaces
from rotation_role_policy_cli.checks.wiring import Wiring
from rotation_role_policy_cli.schema import TYPE

Scenarios = Callable[[Any, Iterable[str | None]], Iterable[dict[str, bool]]]
"""What the conditions in values can be at the same time, where these others are true."""


_TELLING = ("RoleName", "RotationLambdaARN", "VpcConfig")
"""The properties that tell which function a policy is for."""


def schedules_before_policies(wiring: Wiring, scenarios: Scenarios) -> Iterator[tuple[str, str]]:
    """Rotation schedules, each with the policy of its secret that it does not wait for."""
    for schedule, properties in wiring.of_type("AWS::SecretsManager::RotationSchedule"):
        # The function of a hosted rotation has a role of its own, which nobody else gives a policy.
        if "HostedRotationLambda" in properties or is_open(properties):
            continue
        secret = properties.get("SecretId")
        by = properties.get("RotationLambdaARN")
        near = {
            policy: (named, {name: theirs[name] for name in _TELLING if name in theirs})
            for policy, theirs in wiring.of_type(TYPE)
            if not _is_changed(wiring, policy)
            and wiring.same(secret, named := [theirs.get("SecretId"), theirs.get("SecretIds")])
        }
        changed = [policy for policy, _ in wiring.of_type(TYPE) if _is_changed(wiring, policy)]
        if not near or any(wiring.waits_for(schedule, policy) for policy in changed):
            continue
        roles = {name: theirs.get("Role") for name, theirs in wiring.functions()}
        values = [secret, by, roles.get(wiring.function(by) or ""), _presence(wiring, near), *map(list, near.values())]
        for scenario in scenarios(values, [wiring.condition(schedule)]):
            its = wiring.function(picked(by, scenario))
            its_role = wiring.role(picked(roles.get(its or ""), scenario))
            there = [
                policy
                for policy, (named, telling) in near.items()
                if _is_there(wiring, policy, scenario)
                and wiring.same(picked(secret, scenario), picked(named, scenario))
                and not _is_for_another(wiring, picked(telling, scenario), its, its_role)
            ]
            if there and not any(wiring.waits_for(schedule, policy) for policy in there):
                yield schedule, there[0]
                break


def functions_before_policies(wiring: Wiring, scenarios: Scenarios) -> Iterator[tuple[str, str, str, str]]:
    """Functions in a VPC that are created before their role may manage network interfaces.

    With the role, the policy that should allow it, and the property by which that policy inspects the function;
    nothing for a declared one, which the function does not wait for.
    """
    for function, properties in wiring.functions():
        role, vpc = properties.get("Role"), properties.get("VpcConfig")
        near = {
            policy: {name: theirs[name] for name in _TELLING if name in theirs}
            for policy, theirs in wiring.of_type(TYPE)
            if not is_open(theirs)
            and not _is_changed(wiring, policy)
            and (
                wiring.same(theirs.get("RoleName"), role)
                or wiring.same(theirs.get("RotationLambdaARN"), {"Ref": function})
            )
        }
        if not near or vpc is None or is_open(properties) or has_macro(wiring.resources[function]):
            continue
        # It may be the very one that declares the function.
        unclear = [
            policy for policy, theirs in wiring.of_type(TYPE) if policy not in near and _is_unclear(wiring, theirs)
        ]
        if any(wiring.waits_for(function, policy) for policy in unclear):
            continue
        values = [role, vpc, _presence(wiring, near), *near.values()]
        for scenario in scenarios(values, [wiring.condition(function)]):
            its_role = wiring.role(picked(role, scenario))
            if not (its_role and has_subnets(wiring, picked(vpc, scenario))) or may_manage_interfaces(wiring, its_role):
                continue
            there = {name: picked(near[name], scenario) for name in near if _is_there(wiring, name, scenario)}
            by = {name: _serves(wiring, one, function, its_role) for name, one in there.items()}
            declared = [name for name, how in by.items() if how == "VpcConfig"]
            if any(wiring.waits_for(function, name) for name in declared):
                continue
            if declared:
                yield function, its_role, declared[0], ""
                break
            if inspected := [name for name, how in by.items() if how]:
                yield function, its_role, inspected[0], by[inspected[0]]
                break


def _is_changed(wiring: Wiring, policy: str) -> bool:
    """Whether a macro changes a policy's properties."""
    resource = wiring.resources[policy]
    return is_rewritten(resource) or is_rewritten(resource.get("Properties"))


def _is_unclear(wiring: Wiring, policy: Mapping[str, Any]) -> bool:
    """Whether a policy may declare a function's VpcConfig for a role that is not told."""
    role = policy.get("RoleName")
    return is_open(policy) or ("VpcConfig" in policy and is_open(role) and wiring.role(role) is None)


def _is_for_another(wiring: Wiring, policy: Mapping[str, Any], function: str | None, role: str | None) -> bool:
    """Whether a policy is certainly for another function of the template than this one, or for another role."""
    pairs = (
        (wiring.function(policy.get("RotationLambdaARN")), function),
        (wiring.role(policy.get("RoleName")), role),
    )
    return any(theirs and ours and theirs != ours for theirs, ours in pairs)


def _serves(wiring: Wiring, policy: Mapping[str, Any], function: str, role: str) -> str:
    """By which property a policy is for this function with this role; nothing where it is for another, or unclear."""
    is_for_role = wiring.same(policy.get("RoleName"), {"Ref": role})
    if "VpcConfig" in policy:
        return "VpcConfig" if is_for_role and may_have_subnets(policy["VpcConfig"]) else ""
    if "RotationLambdaARN" in policy:
        return "RotationLambdaARN" if wiring.same(policy["RotationLambdaARN"], {"Ref": function}) else ""
    return "RoleName" if is_for_role else ""


def _presence(wiring: Wiring, names: Iterable[str]) -> list[Any]:
    """Values that the conditions of these resources pick."""
    return [{"Fn::If": [condition, None, None]} for name in names if (condition := wiring.condition(name))]


def _is_there(wiring: Wiring, name: str, scenario: Mapping[str, bool]) -> bool:
    return scenario.get(wiring.condition(name) or "", True)
