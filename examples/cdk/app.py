"""AWS CDK app: a secret with a customer managed key, its rotation function, and the policy of the function's role.

The policy is a `RotationRolePolicy`, the construct in rotation_policy.py, which also makes the schedule wait for
it. The app avoids constructs that grant more. `secret.add_rotation_schedule` would add another policy to the role, add
the role to the key policy, and let Secrets Manager invoke the function for any account. Therefore the app uses
`CfnRotationSchedule` and `CfnPermission`, and gives the function its role with `without_policy_updates`.

Parameters: none.

The policy: RotateSecret on this secret, GeneratePassword, and UseSecretKey with this key.
"""

from pathlib import Path

from aws_cdk import App, CfnOutput, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct
from rotation_policy import RotationRolePolicy

CODE = Path(__file__).parent.parent / "rotation_function.py"


class RotationStack(Stack):
    """The stack with all resources of the example."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)

        key = kms.Key(self, "Key", enable_key_rotation=True)
        secret = secretsmanager.Secret(
            self,
            "Secret",
            encryption_key=key,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template="{}",
                generate_string_key="token",
                password_length=40,
                exclude_punctuation=True,
            ),
        )

        role = iam.Role(
            self,
            "RotationRole",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            managed_policies=[
                # To write its log.
                iam.ManagedPolicy.from_aws_managed_policy_name("service-role/AWSLambdaBasicExecutionRole")
            ],
        )
        function = lambda_.Function(
            self,
            "RotationFunction",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            timeout=Duration.seconds(30),
            role=role.without_policy_updates(),
            code=lambda_.Code.from_inline(CODE.read_text()),
        )

        policy = RotationRolePolicy(self, "RotationPolicy", secret=secret, function=function)
        permission = lambda_.CfnPermission(
            self,
            "SecretsManagerMayInvoke",
            function_name=function.function_name,
            action="lambda:InvokeFunction",
            principal="secretsmanager.amazonaws.com",
            source_arn=secret.secret_arn,
        )
        schedule = secretsmanager.CfnRotationSchedule(
            self,
            "Schedule",
            secret_id=secret.secret_arn,
            rotation_lambda_arn=function.function_arn,
            rotation_rules=secretsmanager.CfnRotationSchedule.RotationRulesProperty(automatically_after_days=30),
        )
        # A new schedule rotates immediately.
        schedule.node.add_dependency(permission)

        CfnOutput(self, "SecretArn", value=secret.secret_arn)
        CfnOutput(self, "PolicyName", value=policy.policy_name)


app = App()
RotationStack(app, "rotation-example")
app.synth()
