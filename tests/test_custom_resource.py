"""Create, Update and Delete: identity, ownership, and what each costs in AWS calls."""

from tests.world import LOGICAL_ID, OWN_POLICY, World


def test_create_puts_the_policy_and_answers_with_where_it_stands(world: World) -> None:
    secret, role = world.secret(), world.role()
    function = world.function(role)

    answer = world.create(SecretId="prod/db", RotationLambdaARN="rotate-db")

    assert answer["Status"] == "SUCCESS", answer["Reason"]
    assert answer["PhysicalResourceId"] == f"rotation-role/{OWN_POLICY}"
    assert answer["Data"] == {
        "PolicyName": OWN_POLICY,
        "RoleName": "rotation-role",
        "RoleArn": role,
        "FunctionArn": function,
        "InVpc": "false",
        "SecretArns": secret,
        "KmsKeyArns": "",
    }
    assert list(world.policies()) == [OWN_POLICY]
