"""The access check: which verdicts of the simulator refuse, and what is asked of it.

The results are in the forms that AWS documents for SimulatePrincipalPolicy, in the aggregate form of 2026 and in the
older one, which emulators still have.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from rotation_role_policy import access_check, policy
from rotation_role_policy.errors import CallFailed, Refused
from rotation_role_policy.situation import Secret, Situation
from tests.test_policy import CLUSTER, KEY, SECOND, SECRET, SUPERUSER, SUPERUSER_KEY, situation
from tests.world import WatchedAws, World, error

Results = list[dict[str, Any]]


def check(world: World, given: Situation, profile: str = "Strict") -> None:
    """Checks the document of `given`."""
    access_check.refuse_blocked(WatchedAws(world), given, policy.document(given, profile))


def aggregate(**odd: dict[str, Any]) -> Callable[[dict[str, Any]], Results]:
    """A simulator of today: one result for each action, its resources below it. All is allowed but `odd`.

    `odd` has for an action's last word what its result says besides, at the top and for every resource.
    """

    def simulate(params: dict[str, Any]) -> Results:
        results = []
        for action in params["ActionNames"]:
            more = odd.get(action.partition(":")[2], {})
            decision = more.get("EvalDecision", "allowed")
            below = {
                name: value
                for name, value in more.items()
                if name not in ("EvalDecision", "OrganizationsDecisionDetail")
            }
            specific = [
                {"EvalResourceName": resource, "EvalResourceDecision": decision, **below}
                for resource in params["ResourceArns"]
            ]
            results.append(
                {"EvalActionName": action, "EvalResourceName": "*", "EvalDecision": "allowed"}
                | more
                | {"ResourceSpecificResults": specific}
            )
        return results

    return simulate


def old_form(odd: dict[tuple[str, str], dict[str, Any]]) -> Callable[[dict[str, Any]], Results]:
    """A simulator with one result for each action and resource. All is allowed but `odd`."""

    def simulate(params: dict[str, Any]) -> Results:
        return [
            {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": "allowed"}
            | odd.get((action, resource), {})
            for action in params["ActionNames"]
            for resource in params["ResourceArns"]
        ]

    return simulate


BY_BOUNDARY = {
    "EvalDecision": "implicitDeny",
    "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": False},
}
BY_SCP = {"EvalDecision": "implicitDeny", "OrganizationsDecisionDetail": {"AllowedByOrganizations": False}}
BY_DENY = {"EvalDecision": "explicitDeny", "MatchedStatements": [{"SourcePolicyId": "guardrail"}]}
NOT_GRANTED = {"EvalDecision": "implicitDeny", "MissingContextValues": ["kms:ViaService"]}


@pytest.mark.parametrize(
    ("why", "blocker"),
    [
        (BY_BOUNDARY, "the role's permissions boundary"),
        (BY_SCP, "a service control policy (SCP)"),
        (BY_SCP | {"EvalDecision": "explicitDeny"}, "a service control policy (SCP)"),
        (BY_DENY, 'an explicit deny in "guardrail"'),
        ({"EvalDecision": "explicitDeny"}, "an explicit deny in a policy of the role"),
    ],
)
@pytest.mark.parametrize("form", ["aggregate", "old"])
def test_what_is_certainly_blocked_is_refused_with_action_resource_and_blocker(
    world: World, why: dict[str, Any], blocker: str, form: str
) -> None:
    if form == "aggregate":
        world.simulate = aggregate(PutSecretValue=why)
    else:
        world.simulate = old_form({("secretsmanager:PutSecretValue", SECRET): why})
    with pytest.raises(Refused) as refused:
        check(world, situation())
    assert str(refused.value).startswith('AccessCheck: role "rotation-role": secretsmanager:PutSecretValue on ')
    assert f"is blocked by {blocker}. Allow it there" in str(refused.value)
    assert SECRET in str(refused.value)
    assert len(str(refused.value)) <= 240


@pytest.mark.parametrize(
    "why",
    [
        NOT_GRANTED,
        {"EvalDecision": "implicitDeny"},
        {"EvalDecision": "implicitDeny", "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": True}},
        {"EvalDecision": "implicitDeny", "OrganizationsDecisionDetail": {"AllowedByOrganizations": True}},
    ],
)
def test_an_implicit_deny_alone_proves_nothing(world: World, why: dict[str, Any]) -> None:
    world.simulate = aggregate(Decrypt=why, PutSecretValue=why)
    check(world, situation(Secret(SECRET, KEY)))


def test_only_what_the_policy_grants_is_asked_for(world: World) -> None:
    superuser = Secret(SUPERUSER, SUPERUSER_KEY, managed_by_rds=True, database_arns=(CLUSTER,))
    given = situation(Secret(SECRET, KEY), Secret(SECOND, None), superuser=superuser, in_vpc=True)
    check(world, given)
    asked = [(params["ActionNames"], params["ResourceArns"]) for _, params in world.calls]
    granted = [one for one in policy.document(given, "Strict")["Statement"] if one["Effect"] == "Allow"]
    assert asked == [
        (one["Action"], one["Resource"] if isinstance(one["Resource"], list) else [one["Resource"]]) for one in granted
    ]


def test_a_result_without_its_resources_speaks_for_all_of_them_whatever_its_name(world: World) -> None:
    for name in ("*", "arn:${Partition}:secretsmanager:${Region}:${Account}:secret:${SecretId}", SECRET):
        result = {"EvalActionName": "secretsmanager:PutSecretValue", "EvalResourceName": name} | BY_BOUNDARY
        world.simulate = lambda _, result=result: [result]  # type: ignore[misc]
        with pytest.raises(Refused, match=r"secretsmanager:PutSecretValue on .*permissions boundary"):
            check(world, situation())


def test_the_aggregate_of_all_resources_does_not_blame_the_one_that_is_allowed(world: World) -> None:
    verdicts = [
        {"EvalResourceName": SECRET, "EvalResourceDecision": "allowed"},
        {"EvalResourceName": SECOND, "EvalResourceDecision": "implicitDeny"},
    ]
    result = {"EvalActionName": "secretsmanager:PutSecretValue", "ResourceSpecificResults": verdicts} | BY_SCP
    world.simulate = lambda _: [result]
    with pytest.raises(Refused, match="prod/second-AbCdEf"):
        check(world, situation(Secret(SECRET, None), Secret(SECOND, None)))


def test_the_simulation_is_of_the_new_policy_on_the_role_with_the_context_of_the_real_calls(world: World) -> None:
    given = situation(Secret(SECRET, KEY), in_vpc=True)
    check(world, given)
    assert {action for action, _ in world.calls} == {"iam:SimulatePrincipalPolicy"}
    granted = [one for one in policy.document(given, "Strict")["Statement"] if one["Effect"] == "Allow"]
    for _, params in world.calls:
        assert params["PolicySourceArn"] == given.role.arn
        [document] = params["PolicyInputList"]
        assert json.loads(document)["Statement"] == granted
    common = {
        "aws:PrincipalAccount": ("string", "123456789012"),
        "aws:PrincipalArn": ("string", given.role.arn),
        "aws:PrincipalIsAWSService": ("boolean", "false"),
        "aws:RequestedRegion": ("string", "eu-central-1"),
        "aws:SecureTransport": ("boolean", "true"),
        "aws:ViaAWSService": ("boolean", "false"),
    }
    owner = {"aws:ResourceAccount": ("string", "123456789012")}
    through_secrets_manager = {
        "aws:ViaAWSService": ("boolean", "true"),
        "kms:EncryptionContext:SecretARN": ("string", SECRET),
        "kms:ViaService": ("string", "secretsmanager.eu-central-1.amazonaws.com"),
    }
    assert [context(params) for _, params in world.calls] == [
        common | owner,
        common,
        common | owner | through_secrets_manager,
        common,
    ]


def context(params: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The context of a simulation: type and value by key."""
    return {
        entry["ContextKeyName"]: (entry["ContextKeyType"], *entry["ContextKeyValues"])
        for entry in params["ContextEntries"]
    }


def test_each_secret_under_a_key_is_simulated_in_its_own_encryption_context(world: World) -> None:
    check(world, situation(Secret(SECRET, KEY), Secret(SECOND, KEY), superuser=Secret(SUPERUSER, SUPERUSER_KEY)))
    asked = [
        (params["ActionNames"], *params["ResourceArns"], context(params)["kms:EncryptionContext:SecretARN"][1])
        for _, params in world.calls
        if params["ActionNames"][0].startswith("kms:")
    ]
    both = ["kms:Decrypt", "kms:GenerateDataKey"]
    assert asked == [(both, KEY, SECRET), (both, KEY, SECOND), (["kms:Decrypt"], SUPERUSER_KEY, SUPERUSER)]


def test_actions_that_the_simulator_does_not_take_together_are_tried_apart(world: World) -> None:
    asked: list[list[str]] = []
    verdicts = old_form({("ec2:DetachNetworkInterface", "*"): BY_BOUNDARY})

    def simulate(params: dict[str, Any]) -> Results:
        if len(params["ActionNames"]) > 1 and params["ActionNames"][0].startswith("ec2:"):
            raise error("InvalidInput", "Invalid Input Actions: [...] require different authorization information.")
        asked.append(params["ActionNames"])
        return verdicts(params)

    world.simulate = simulate
    with pytest.raises(Refused, match=r"ec2:DetachNetworkInterface on .* permissions boundary"):
        check(world, situation(in_vpc=True))
    assert [name for names in asked for name in names] == [
        name for one in policy.document(situation(in_vpc=True), "Documented")["Statement"] for name in one["Action"]
    ]


def test_an_action_that_the_simulator_does_not_take_at_all_is_not_proven_to_be_blocked(world: World) -> None:
    def simulate(params: dict[str, Any]) -> Results:
        raise error("InvalidInput", "Invalid Entity Arn")

    world.simulate = simulate
    check(world, situation())
    apart = [params["ActionNames"] for _, params in world.calls]
    assert apart[1:5] == [[action] for action in apart[0]]


def test_any_other_failure_of_the_simulator_is_passed_on(world: World) -> None:
    world.faults["iam:SimulatePrincipalPolicy"] = [error("ServiceFailure", "down")]
    with pytest.raises(CallFailed, match="ServiceFailure"):
        check(world, situation())


def test_every_page_of_verdicts_is_read(world: World) -> None:
    pages = iter(
        [
            ({"EvaluationResults": [], "IsTruncated": True, "Marker": "next"}),
            (
                {
                    "EvaluationResults": old_form({("secretsmanager:GetSecretValue", SECRET): BY_DENY})(
                        {"ActionNames": ["secretsmanager:GetSecretValue"], "ResourceArns": [SECRET]}
                    ),
                    "IsTruncated": False,
                }
            ),
        ]
    )
    world.responses["iam:SimulatePrincipalPolicy"] = lambda _: next(pages)
    with pytest.raises(Refused, match='explicit deny in "guardrail"'):
        check(world, situation())
    assert world.calls[1][1]["Marker"] == "next"


def test_a_role_that_is_gone_is_refused(world: World) -> None:
    world.faults["iam:SimulatePrincipalPolicy"] = [error("NoSuchEntity")]
    with pytest.raises(Refused, match="does not exist in this account"):
        check(world, situation())
