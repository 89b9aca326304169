"""The access check: which verdicts of the simulator refuse, and what is asked of it.

The results are in the forms that AWS documents for SimulatePrincipalPolicy, in the aggregate form of 2026 and in the
older one, which emulators still have.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from rotation_role_policy import access_check, policy
from rotation_role_policy.access_check import AccessWarning
from rotation_role_policy.errors import CallFailed, Refused
from rotation_role_policy.state import Secret, Situation
from tests.support.world import WatchedAws, World, error
from tests.unit.test_policy import CLUSTER, KEY, SECOND, SECRET, SUPERUSER, SUPERUSER_KEY, situation

Results = list[dict[str, Any]]


def check(world: World, given: Situation, profile: str = "Strict") -> list[AccessWarning]:
    """The warnings of the check of the document of `given`."""
    return access_check.check_access(WatchedAws(world), given, policy.document(given, profile))


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
        (BY_BOUNDARY | {"OrganizationsDecisionDetail": {"AllowedByOrganizations": False}}, "the role's permissions"),
        (
            BY_DENY | {"OrganizationsDecisionDetail": {"AllowedByOrganizations": False}},
            'an explicit deny in "guardrail"',
        ),
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
    assert f"is blocked by {blocker}" in str(refused.value)
    assert str(refused.value).endswith(". Allow it there, or set AccessCheck to Off.")
    assert SECRET in str(refused.value)
    assert len(str(refused.value)) <= 240


NOT_SAID = "not allowed in the policy simulator, which does not say what denies it"
AN_SCP = (
    "denied by a service control policy (SCP) in the policy simulator, which evaluates SCPs without the context of the"
    " real call"
)


@pytest.mark.parametrize(
    ("why", "said"),
    [
        (BY_SCP, AN_SCP),
        (BY_SCP | {"EvalDecision": "explicitDeny"}, AN_SCP),
        (BY_SCP | {"EvalDecision": "explicitDeny", "MatchedStatements": []}, AN_SCP),
        (NOT_GRANTED, "denied in the policy simulator, which was not given kms:ViaService"),
        (
            BY_BOUNDARY | {"MissingContextValues": ["aws:SourceVpc", "aws:SourceIp"]},
            "denied by the role's permissions boundary in the policy simulator, which was not given aws:SourceIp,"
            " aws:SourceVpc",
        ),
        (
            BY_DENY | {"MissingContextValues": ["aws:SourceVpce"]},
            'denied by an explicit deny in "guardrail" in the policy simulator, which was not given aws:SourceVpce',
        ),
        ({"EvalDecision": "implicitDeny"}, NOT_SAID),
        (
            {
                "EvalDecision": "implicitDeny",
                "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": True},
            },
            NOT_SAID,
        ),
        ({"EvalDecision": "implicitDeny", "OrganizationsDecisionDetail": {"AllowedByOrganizations": True}}, NOT_SAID),
    ],
)
@pytest.mark.parametrize("form", ["aggregate", "old"])
def test_what_is_not_certain_is_a_warning(world: World, why: dict[str, Any], said: str, form: str) -> None:
    if form == "aggregate":
        world.simulate = aggregate(PutSecretValue=why)
    else:
        world.simulate = old_form({("secretsmanager:PutSecretValue", SECRET): why})
    [warning] = check(world, situation())
    assert warning == AccessWarning(("secretsmanager:PutSecretValue",), (SECRET,), said)
    assert str(warning) == f'secretsmanager:PutSecretValue on "{SECRET}": {said}'


def test_a_context_key_can_be_missing_at_the_top_or_at_one_resource(world: World) -> None:
    missing = {"MissingContextValues": ["aws:SourceVpc"]}
    for at_the_top, below in ((missing, {}), ({}, missing), (missing, {"MissingContextValues": []})):
        verdicts = [{"EvalResourceName": SECRET, "EvalResourceDecision": "explicitDeny", **below}]
        result = {
            "EvalActionName": "secretsmanager:PutSecretValue",
            "EvalDecision": "explicitDeny",
            "ResourceSpecificResults": verdicts,
            **at_the_top,
        }
        world.simulate = lambda _, result=result: [result]  # type: ignore[misc]
        assert {warning.why for warning in check(world, situation())} == {
            "denied by an explicit deny in a policy of the role in the policy simulator, which was not given"
            " aws:SourceVpc"
        }


def test_what_is_allowed_though_a_context_key_is_missing_is_no_warning(world: World) -> None:
    world.simulate = aggregate(PutSecretValue={"MissingContextValues": ["aws:SourceVpc"]})
    assert check(world, situation()) == []


def test_a_call_of_lambdas_own_has_no_source_function_and_lacks_none(world: World) -> None:
    # The policy that stands on the role already denies by this key.
    world.simulate = aggregate(
        CreateNetworkInterface=BY_BOUNDARY | {"MissingContextValues": ["lambda:sourceFunctionArn"]}
    )
    with pytest.raises(Refused, match=r"ec2:CreateNetworkInterface on .* permissions boundary"):
        check(world, situation(in_vpc=True))


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
        {"EvalResourceName": SECOND, "EvalResourceDecision": "explicitDeny"},
    ]
    result = {"EvalActionName": "secretsmanager:PutSecretValue", "ResourceSpecificResults": verdicts} | BY_DENY
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
    from_code = {"lambda:SourceFunctionArn": ("string", given.function_arn)}
    through_secrets_manager = {
        "aws:ViaAWSService": ("boolean", "true"),
        "kms:EncryptionContext:SecretARN": ("string", SECRET),
        "kms:ViaService": ("string", "secretsmanager.eu-central-1.amazonaws.com"),
    }
    assert [context(params) for _, params in world.calls] == [
        common | owner | from_code,
        common | from_code,
        common | owner | through_secrets_manager,
        # Lambda's own calls.
        common,
    ]


def test_a_declared_function_has_no_arn_yet(world: World) -> None:
    check(world, dataclasses.replace(situation(), function_arn=""))
    assert not any("lambda:SourceFunctionArn" in context(params) for _, params in world.calls)


def test_each_secret_is_simulated_with_its_own_tags(world: World) -> None:
    tags = (("Team", "orders"), ("team", "ignored: IAM knows no case of keys"), ("aws:x", ""))
    given = situation(
        Secret(SECRET, KEY, tags),
        Secret(SECOND, KEY),
        Secret(f"{SECOND[:-6]}UvWxYz", KEY, tags),
        superuser=Secret(SUPERUSER, SUPERUSER_KEY, (("role", "superuser"),)),
    )
    check(world, given)
    asked = [
        (params["ResourceArns"], {key: value for key, (_, value) in context(params).items() if "Tag/" in key})
        for _, params in world.calls
    ]
    of_team = {
        "aws:ResourceTag/Team": "orders",
        "secretsmanager:ResourceTag/Team": "orders",
        "aws:ResourceTag/aws:x": "",
        "secretsmanager:ResourceTag/aws:x": "",
    }
    of_superuser = {"aws:ResourceTag/role": "superuser", "secretsmanager:ResourceTag/role": "superuser"}
    assert asked == [
        ([SECRET, f"{SECOND[:-6]}UvWxYz"], of_team),
        ([SECOND], {}),
        (["*"], {}),
        # The tags of a key are not known.
        *[([KEY], {})] * 3,
        ([SUPERUSER], of_superuser),
        ([SUPERUSER_KEY], {}),
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


def test_a_superuser_secret_under_the_same_key_is_simulated_for_what_it_is_granted_alone(world: World) -> None:
    # A boundary that is right: the superuser secret is never written.
    def simulate(params: dict[str, Any]) -> Results:
        of_superuser = context(params).get("kms:EncryptionContext:SecretARN", ("", ""))[1] == SUPERUSER
        odd = {"GenerateDataKey": BY_BOUNDARY} if of_superuser else {}
        return aggregate(**odd)(params)

    world.simulate = simulate
    given = situation(Secret(SECRET, KEY), superuser=Secret(SUPERUSER, KEY))
    assert check(world, given) == []
    asked = [
        (params["ActionNames"], context(params)["kms:EncryptionContext:SecretARN"][1])
        for _, params in world.calls
        if params["ResourceArns"] == [KEY]
    ]
    assert asked == [(["kms:Decrypt", "kms:GenerateDataKey"], SECRET), (["kms:Decrypt"], SUPERUSER)]


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


def test_an_action_that_the_simulator_does_not_take_at_all_is_a_warning(world: World) -> None:
    def simulate(params: dict[str, Any]) -> Results:
        raise error("InvalidInput", "Invalid Entity Arn")

    world.simulate = simulate
    warnings = check(world, situation())
    apart = [params["ActionNames"] for _, params in world.calls]
    assert apart[1:5] == [[action] for action in apart[0]]
    assert [warning.actions for warning in warnings] == [*[(action,) for action in apart[0]], tuple(apart[5])]
    assert warnings[0].why == 'the policy simulator could not say (InvalidInput: "Invalid Entity Arn")'


UNAVAILABLE = ClientError(
    {"Error": {"Code": "PolicyEvaluation", "Message": "down"}, "ResponseMetadata": {"HTTPStatusCode": 500}}, "Operation"
)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (UNAVAILABLE, 'PolicyEvaluation: "down"'),
        (ReadTimeoutError(endpoint_url="https://iam"), "ReadTimeoutError: "),
        (error("ServiceFailure", "down"), 'ServiceFailure: "down"'),
    ],
)
def test_a_simulator_that_cannot_answer_is_a_warning_after_a_few_tries(
    world: World, trouble: Exception, said: str
) -> None:
    world.faults["iam:SimulatePrincipalPolicy"] = [trouble] * 1000
    [warning] = check(world, situation(Secret(SECRET, KEY), in_vpc=True))
    assert said in warning.why
    assert warning.why.endswith("no further grant was simulated")
    assert len(world.calls) <= access_check.TRIES
    assert sum(world.slept) < 5


def test_a_simulator_that_is_throttled_is_asked_again(world: World) -> None:
    world.faults["iam:SimulatePrincipalPolicy"] = [error("Throttling")] * 7
    world.simulate = aggregate(PutSecretValue=BY_BOUNDARY)
    with pytest.raises(Refused, match="permissions boundary"):
        check(world, situation())


def test_a_simulator_that_is_throttled_to_the_end_fails_the_request(world: World) -> None:
    world.faults["iam:SimulatePrincipalPolicy"] = [error("Throttling")] * 1000
    aws = WatchedAws(world)
    aws.deadline = time.monotonic() + 60
    with pytest.raises(CallFailed, match="Throttling"):
        access_check.check_access(aws, situation(), policy.document(situation(), "Strict"))


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
