"""A secret under a key of its own, its rotation function and the function's policy, with the AWS CDK.

Nothing is used that makes the CDK write policies of its own. `secret.add_rotation_schedule` would give the role another
policy, add it to the key's policy, and let Secrets Manager invoke the function for any account. So the schedule is a
CfnRotationSchedule, the permission a CfnPermission, and the function has its role `without_policy_updates`.

Nothing to set. The policy: RotateSecret on this secret, GeneratePassword, and UseSecretKey with this key.
"""

from pathlib import Path

from aws_cdk import App, CfnOutput, CustomResource, Duration, Fn, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

CODE = Path(__file__).parent.parent / "rotation_function.py"


class RotationStack(Stack):
    """All of it."""

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
                # For its log.
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

        policy = CustomResource(
            self,
            "RotationPolicy",
            resource_type="Custom::RotationRolePolicy",
            service_token=Fn.import_value("rotation-role-policy-ServiceToken"),
            properties={
                "SecretId": secret.secret_arn,
                "RotationLambdaARN": function.function_arn,
                "Triggers": {"Key": key.key_id, "Role": role.role_name},
            },
        )
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
        # It rotates at once.
        schedule.node.add_dependency(policy, permission)

        CfnOutput(self, "SecretArn", value=secret.secret_arn)
        CfnOutput(self, "PolicyName", value=policy.get_att_string("PolicyName"))


app = App()
RotationStack(app, "rotation-example")
app.synth()
