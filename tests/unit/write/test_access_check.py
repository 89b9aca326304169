"""The simulations of the access check: which are requested, and which results are errors.

test_resource_policies.py covers the resource policies.

The results have the forms that AWS documents for SimulatePrincipalPolicy: the aggregate form of 2026, and the older
form, which emulators still use.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from rotation_role_policy.errors import AwsApiError, RequestError
from rotation_role_policy.iam.simulation import Denial
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.state import Secret, State
from rotation_role_policy.write import access_check
from tests.support.account import Account, WatchedAws, error
from tests.unit.rules.test_policy import CLUSTER, EARLIER_KEY, KEY, SECOND, SECRET, SUPERUSER, SUPERUSER_KEY, state

Results = list[dict[str, Any]]


def check(account: Account, inspected: State, profile: str = "Strict") -> list[Denial]:
    """Return the warnings of the simulations for the document of this state."""
    return access_check.simulate_grants(WatchedAws(account), inspected, policy.document(inspected, profile))


def aggregate(**odd: dict[str, Any]) -> Callable[[dict[str, Any]], Results]:
    """Return a simulator with one result for each action, which has a result for each resource.

    Everything except `odd` is allowed. `odd` maps the name of an action, without the service, to members of its
    result and of the result for each resource.
    """

    def simulate(params: dict[str, Any]) -> Results:
        results = []
        for action in params["ActionNames"]:
            members = odd.get(action.partition(":")[2], {})
            decision = members.get("EvalDecision", "allowed")
            below = {
                name: value
                for name, value in members.items()
                if name not in ("EvalDecision", "OrganizationsDecisionDetail")
            }
            specific = [
                {"EvalResourceName": resource, "EvalResourceDecision": decision, **below}
                for resource in params["ResourceArns"]
            ]
            results.append(
                {"EvalActionName": action, "EvalResourceName": "*", "EvalDecision": "allowed"}
                | members
                | {"ResourceSpecificResults": specific}
            )
        return results

    return simulate


def old_form(odd: dict[tuple[str, str], dict[str, Any]]) -> Callable[[dict[str, Any]], Results]:
    """Return a simulator with one result for each action and resource. Everything except `odd` is allowed."""

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
def test_a_certain_denial_is_an_error_with_action_resource_and_cause(
    account: Account, why: dict[str, Any], blocker: str, form: str
) -> None:
    if form == "aggregate":
        account.simulate = aggregate(PutSecretValue=why)
    else:
        account.simulate = old_form({("secretsmanager:PutSecretValue", SECRET): why})
    with pytest.raises(RequestError) as rejected:
        check(account, state())
    assert str(rejected.value).startswith('AccessCheck: role "rotation-role": secretsmanager:PutSecretValue on ')
    assert f"is blocked by {blocker}" in str(rejected.value)
    assert str(rejected.value).endswith(". Allow it there, or set AccessCheck to Off.")
    assert SECRET in str(rejected.value)
    assert len(str(rejected.value)) <= 240


NOT_REPORTED = "not allowed in the policy simulator, which does not report why"
DENIED_BY_SCP = (
    "denied by a service control policy (SCP) in the policy simulator, which evaluates SCPs without the context of the"
    " real call"
)


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        (BY_SCP, DENIED_BY_SCP),
        (BY_SCP | {"EvalDecision": "explicitDeny"}, DENIED_BY_SCP),
        (BY_SCP | {"EvalDecision": "explicitDeny", "MatchedStatements": []}, DENIED_BY_SCP),
        (NOT_GRANTED, "denied in the policy simulator, but the context keys kms:ViaService were missing"),
        (
            BY_BOUNDARY | {"MissingContextValues": ["aws:SourceVpc", "aws:SourceIp"]},
            "denied by the role's permissions boundary in the policy simulator, but the context keys aws:SourceIp,"
            " aws:SourceVpc were missing",
        ),
        (
            BY_DENY | {"MissingContextValues": ["aws:SourceVpce"]},
            'denied by an explicit deny in "guardrail" in the policy simulator, but the context keys'
            " aws:SourceVpce were missing",
        ),
        ({"EvalDecision": "implicitDeny"}, NOT_REPORTED),
        (
            {
                "EvalDecision": "implicitDeny",
                "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": True},
            },
            NOT_REPORTED,
        ),
        (
            {"EvalDecision": "implicitDeny", "OrganizationsDecisionDetail": {"AllowedByOrganizations": True}},
            NOT_REPORTED,
        ),
    ],
)
@pytest.mark.parametrize("form", ["aggregate", "old"])
def test_an_uncertain_denial_is_a_warning(account: Account, why: dict[str, Any], reason: str, form: str) -> None:
    if form == "aggregate":
        account.simulate = aggregate(PutSecretValue=why)
    else:
        account.simulate = old_form({("secretsmanager:PutSecretValue", SECRET): why})
    [warning] = check(account, state())
    assert (warning.actions, warning.resources) == (("secretsmanager:PutSecretValue",), (SECRET,))
    assert warning.doubt == reason
    assert warning.is_implicit is (reason == NOT_REPORTED)
    assert not warning.is_certain
    assert str(warning) == f'secretsmanager:PutSecretValue on "{SECRET}": {reason}'


def test_a_context_key_can_be_missing_at_the_top_or_at_one_resource(account: Account) -> None:
    missing = {"MissingContextValues": ["aws:SourceVpc"]}
    for at_the_top, below in ((missing, {}), ({}, missing), (missing, {"MissingContextValues": []})):
        verdicts = [{"EvalResourceName": SECRET, "EvalResourceDecision": "explicitDeny", **below}]
        result = {
            "EvalActionName": "secretsmanager:PutSecretValue",
            "EvalDecision": "explicitDeny",
            "ResourceSpecificResults": verdicts,
            **at_the_top,
        }
        account.simulate = lambda _, result=result: [result]  # type: ignore[misc]
        assert {warning.doubt for warning in check(account, state())} == {
            "denied by an explicit deny in a policy of the role in the policy simulator, but the context keys"
            " aws:SourceVpc were missing"
        }


def test_an_allowed_action_with_a_missing_context_key_is_not_a_warning(account: Account) -> None:
    account.simulate = aggregate(PutSecretValue={"MissingContextValues": ["aws:SourceVpc"]})
    assert check(account, state()) == []


def test_a_missing_source_function_arn_is_ignored_in_calls_that_lambda_makes(account: Account) -> None:
    # The existing policy on the role already denies by this key.
    account.simulate = aggregate(
        CreateNetworkInterface=BY_BOUNDARY | {"MissingContextValues": ["lambda:sourceFunctionArn"]}
    )
    with pytest.raises(RequestError, match=r"ec2:CreateNetworkInterface on .* permissions boundary"):
        check(account, state(in_vpc=True))


def test_only_the_grants_of_the_policy_are_simulated(account: Account) -> None:
    superuser = Secret(SUPERUSER, SUPERUSER_KEY, managed_by="rds", database_arns=(CLUSTER,))
    inspected = state(Secret(SECRET, KEY), Secret(SECOND, None), superuser=superuser, in_vpc=True)
    check(account, inspected)
    simulated = [(params["ActionNames"], params["ResourceArns"]) for _, params in account.calls]
    granted = [
        statement for statement in policy.document(inspected, "Strict")["Statement"] if statement["Effect"] == "Allow"
    ]
    assert simulated == [
        (
            statement["Action"],
            statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]],
        )
        for statement in granted
    ]


def test_a_result_without_resource_specific_results_applies_to_all_resources(account: Account) -> None:
    for name in ("*", "arn:${Partition}:secretsmanager:${Region}:${Account}:secret:${SecretId}", SECRET):
        result = {"EvalActionName": "secretsmanager:PutSecretValue", "EvalResourceName": name} | BY_BOUNDARY
        account.simulate = lambda _, result=result: [result]  # type: ignore[misc]
        with pytest.raises(RequestError, match=r"secretsmanager:PutSecretValue on .*permissions boundary"):
            check(account, state())


def test_the_error_for_an_aggregate_result_names_the_denied_resource(account: Account) -> None:
    verdicts = [
        {"EvalResourceName": SECRET, "EvalResourceDecision": "allowed"},
        {"EvalResourceName": SECOND, "EvalResourceDecision": "explicitDeny"},
    ]
    result = {"EvalActionName": "secretsmanager:PutSecretValue", "ResourceSpecificResults": verdicts} | BY_DENY
    account.simulate = lambda _: [result]
    with pytest.raises(RequestError, match="prod/second-AbCdEf"):
        check(account, state(Secret(SECRET, None), Secret(SECOND, None)))


def test_the_new_policy_is_simulated_with_the_context_keys_of_the_real_calls(account: Account) -> None:
    inspected = state(Secret(SECRET, KEY), in_vpc=True)
    check(account, inspected)
    assert {action for action, _ in account.calls} == {"iam:SimulatePrincipalPolicy"}
    granted = [
        statement for statement in policy.document(inspected, "Strict")["Statement"] if statement["Effect"] == "Allow"
    ]
    for _, params in account.calls:
        assert params["PolicySourceArn"] == inspected.role.arn
        [document] = params["PolicyInputList"]
        assert json.loads(document)["Statement"] == granted
    common = {
        "aws:PrincipalAccount": ("string", "123456789012"),
        "aws:PrincipalArn": ("string", inspected.role.arn),
        "aws:PrincipalIsAWSService": ("boolean", "false"),
        "aws:RequestedRegion": ("string", "eu-central-1"),
        "aws:SecureTransport": ("boolean", "true"),
        "aws:ViaAWSService": ("boolean", "false"),
    }
    owner = {"aws:ResourceAccount": ("string", "123456789012")}
    from_code = {"lambda:SourceFunctionArn": ("string", inspected.function_arn)}
    through_secrets_manager = {
        "aws:ViaAWSService": ("boolean", "true"),
        "kms:EncryptionContext:SecretARN": ("string", SECRET),
        "kms:ViaService": ("string", "secretsmanager.eu-central-1.amazonaws.com"),
    }
    assert [context(params) for _, params in account.calls] == [
        common | owner | from_code,
        common | from_code,
        common | owner | through_secrets_manager,
        # Calls that Lambda makes.
        common,
    ]


def test_a_target_is_simulated_in_its_own_region_and_account(account: Account) -> None:
    user = "arn:aws:elasticache:us-east-1:999999999999:user:app"
    check(account, state(targets=(user,)))
    [params] = [params for _, params in account.calls if params["ResourceArns"] == [user]]
    assert params["ActionNames"] == ["elasticache:DescribeUsers", "elasticache:ModifyUser"]
    assert context(params)["aws:RequestedRegion"] == ("string", "us-east-1")
    assert context(params)["aws:ResourceAccount"] == ("string", "999999999999")


def test_a_declared_function_is_simulated_without_a_source_function_arn(account: Account) -> None:
    check(account, dataclasses.replace(state(), function_arn=""))
    assert not any("lambda:SourceFunctionArn" in context(params) for _, params in account.calls)


def test_each_secret_is_simulated_with_its_own_tags(account: Account) -> None:
    tags = (("Team", "orders"), ("team", "ignored: tag keys are not case-sensitive in IAM"), ("aws:x", ""))
    inspected = state(
        Secret(SECRET, KEY, tags),
        Secret(SECOND, KEY),
        Secret(f"{SECOND[:-6]}UvWxYz", KEY, tags),
        superuser=Secret(SUPERUSER, SUPERUSER_KEY, (("role", "superuser"),), managed_by="rds"),
    )
    check(account, inspected)
    simulated = [
        (params["ResourceArns"], {key: value for key, (_, value) in context(params).items() if "Tag/" in key})
        for _, params in account.calls
    ]
    of_team = {
        "aws:ResourceTag/Team": "orders",
        "secretsmanager:ResourceTag/Team": "orders",
        "aws:ResourceTag/aws:x": "",
        "secretsmanager:ResourceTag/aws:x": "",
    }
    of_superuser = {"aws:ResourceTag/role": "superuser", "secretsmanager:ResourceTag/role": "superuser"}
    assert simulated == [
        ([SECRET, f"{SECOND[:-6]}UvWxYz"], of_team),
        ([SECOND], {}),
        (["*"], {}),
        # The tags of a key are not known.
        *[([KEY], {})] * 3,
        ([SUPERUSER], of_superuser),
        ([SUPERUSER_KEY], {}),
        # DescribeSecret, because RDS manages the superuser secret.
        ([SUPERUSER], of_superuser),
    ]


def context(params: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the context of a simulation: type and value, keyed by context key."""
    return {
        entry["ContextKeyName"]: (entry["ContextKeyType"], *entry["ContextKeyValues"])
        for entry in params["ContextEntries"]
    }


def test_each_secret_under_a_key_is_simulated_with_its_own_encryption_context(account: Account) -> None:
    check(account, state(Secret(SECRET, KEY), Secret(SECOND, KEY), superuser=Secret(SUPERUSER, SUPERUSER_KEY)))
    simulated = [
        (params["ActionNames"], *params["ResourceArns"], context(params)["kms:EncryptionContext:SecretARN"][1])
        for _, params in account.calls
        if params["ActionNames"][0].startswith("kms:")
    ]
    both = ["kms:Decrypt", "kms:GenerateDataKey"]
    assert simulated == [(both, KEY, SECRET), (both, KEY, SECOND), (["kms:Decrypt"], SUPERUSER_KEY, SUPERUSER)]


def test_a_superuser_secret_under_the_same_key_is_simulated_only_for_its_own_grants(account: Account) -> None:
    # This boundary is correct, because the superuser secret is never written.
    def simulate(params: dict[str, Any]) -> Results:
        of_superuser = context(params).get("kms:EncryptionContext:SecretARN", ("", ""))[1] == SUPERUSER
        odd = {"GenerateDataKey": BY_BOUNDARY} if of_superuser else {}
        return aggregate(**odd)(params)

    account.simulate = simulate
    inspected = state(Secret(SECRET, KEY), superuser=Secret(SUPERUSER, KEY))
    assert check(account, inspected) == []
    simulated = [
        (params["ActionNames"], context(params)["kms:EncryptionContext:SecretARN"][1])
        for _, params in account.calls
        if params["ResourceArns"] == [KEY]
    ]
    assert simulated == [(["kms:Decrypt", "kms:GenerateDataKey"], SECRET), (["kms:Decrypt"], SUPERUSER)]


def test_actions_that_the_simulator_rejects_together_are_simulated_separately(account: Account) -> None:
    simulated: list[list[str]] = []
    verdicts = old_form({("ec2:DetachNetworkInterface", "*"): BY_BOUNDARY})

    def simulate(params: dict[str, Any]) -> Results:
        if len(params["ActionNames"]) > 1 and params["ActionNames"][0].startswith("ec2:"):
            raise error("InvalidInput", "Invalid Input Actions: [...] require different authorization information.")
        simulated.append(params["ActionNames"])
        return verdicts(params)

    account.simulate = simulate
    with pytest.raises(RequestError, match=r"ec2:DetachNetworkInterface on .* permissions boundary"):
        check(account, state(in_vpc=True))
    assert [name for names in simulated for name in names] == [
        name
        for statement in policy.document(state(in_vpc=True), "Documented")["Statement"]
        for name in statement["Action"]
    ]


def test_an_action_that_the_simulator_rejects_is_a_warning(account: Account) -> None:
    def simulate(params: dict[str, Any]) -> Results:
        raise error("InvalidInput", "Invalid Entity Arn")

    account.simulate = simulate
    warnings = check(account, state())
    simulated = [params["ActionNames"] for _, params in account.calls]
    assert simulated[1:5] == [[action] for action in simulated[0]]
    assert [warning.actions for warning in warnings] == [*[(action,) for action in simulated[0]], tuple(simulated[5])]
    assert warnings[0].doubt == 'the policy simulator failed (InvalidInput: "Invalid Entity Arn")'


_UNAVAILABLE_RESPONSE: Any = {
    "Error": {"Code": "PolicyEvaluation", "Message": "down"},
    "ResponseMetadata": {"HTTPStatusCode": 500},
}
UNAVAILABLE = ClientError(_UNAVAILABLE_RESPONSE, "SimulatePrincipalPolicy")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (UNAVAILABLE, 'PolicyEvaluation: "down"'),
        (ReadTimeoutError(endpoint_url="https://iam"), "ReadTimeoutError: "),
        (error("ServiceFailure", "down"), 'ServiceFailure: "down"'),
    ],
)
def test_a_failed_simulation_is_a_warning_after_a_few_attempts(account: Account, fault: Exception, reason: str) -> None:
    account.faults["iam:SimulatePrincipalPolicy"] = [fault] * 1000
    [warning] = check(account, state(Secret(SECRET, KEY), in_vpc=True))
    assert reason in warning.doubt
    assert warning.doubt.endswith("no further grant was simulated")
    assert len(account.calls) <= access_check.MAX_ATTEMPTS
    assert sum(account.slept) < 5


def test_a_throttled_simulation_is_retried(account: Account) -> None:
    account.faults["iam:SimulatePrincipalPolicy"] = [error("Throttling")] * 7
    account.simulate = aggregate(PutSecretValue=BY_BOUNDARY)
    with pytest.raises(RequestError, match="permissions boundary"):
        check(account, state())


def test_a_simulation_that_is_throttled_until_the_deadline_fails_the_request(account: Account) -> None:
    account.faults["iam:SimulatePrincipalPolicy"] = [error("Throttling")] * 1000
    aws = WatchedAws(account)
    aws.deadline = time.monotonic() + 60
    with pytest.raises(AwsApiError, match="Throttling"):
        access_check.simulate_grants(aws, state(), policy.document(state(), "Strict"))


def test_every_page_of_results_is_read(account: Account) -> None:
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
    account.api_responses["iam:SimulatePrincipalPolicy"] = lambda _: next(pages)
    with pytest.raises(RequestError, match='explicit deny in "guardrail"'):
        check(account, state())
    assert account.calls[1][1]["Marker"] == "next"


def test_a_role_that_does_not_exist_is_rejected(account: Account) -> None:
    account.faults["iam:SimulatePrincipalPolicy"] = [error("NoSuchEntity")]
    with pytest.raises(RequestError, match="does not exist in this account"):
        check(account, state())


def test_a_key_that_only_awsprevious_needs_is_a_warning_if_it_is_blocked(account: Account) -> None:
    earlier = EARLIER_KEY
    inspected = state(Secret(SECRET, KEY, earlier_key_arns=(earlier,), previous_key_arns=(earlier,)))

    def deny(simulation: dict[str, Any]) -> list[dict[str, Any]]:
        [resource, *_] = simulation["ResourceArns"]
        decision = "explicitDeny" if resource == earlier else "allowed"
        return [
            {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": decision}
            for action in simulation["ActionNames"]
        ]

    account.simulate = deny
    [denial] = check(account, inspected)
    assert denial.resources == (earlier,)
    assert denial.doubt == (
        "blocked by an explicit deny in a policy of the role, but not every rotation function makes the call"
    )
    with pytest.raises(RequestError, match="blocked by an explicit deny"):
        check(account, state(Secret(SECRET, KEY, earlier_key_arns=(earlier,))))
