"""A construct for the AWS CDK: the least-privilege policy for the role of a rotation function.

Copy this file into your app. The provider has to be deployed in the account and region (README.md).
"""

from collections.abc import Sequence

import jsii
from aws_cdk import Aspects, CustomResource, Fn, IAspect, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IConstruct


class RotationRolePolicy(Construct):
    """Puts the policy on the role of a rotation function, before the secret is rotated.

    It adds the order by itself: each rotation schedule of the secret in the stack waits for the policy, whether
    `secret.add_rotation_schedule` or `CfnRotationSchedule` makes it. The schedule of a hosted rotation has to exist
    first, because CloudFormation creates the function with it: the policy waits for the schedule.

    Give the function a role with `role.without_policy_updates()`. Otherwise `secret.add_rotation_schedule` adds a
    policy of the CDK to the role, without the conditions of this one.

    Args:
        scope: of the construct.
        construct_id: its ID in the scope.
        secret: the secret to rotate.
        function: the rotation function. That of a hosted rotation is `Function.from_function_name` with the name that
            `HostedRotation` gives it.
        superuser_secret: a secret that the function only reads.
        target_arns: ARNs of databases, users and directories whose own API the function calls.
        kms_scope: ``Key`` or ``Secret``.
        triggers: values that the policy depends on besides. CloudFormation updates it if one of them changes. The key
            of the secret is always one of them.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        secret: secretsmanager.ISecret,
        function: lambda_.IFunction,
        superuser_secret: secretsmanager.ISecret | None = None,
        target_arns: Sequence[str] = (),
        kms_scope: str = "Key",
        triggers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        key = {"Key": secret.encryption_key.key_id} if secret.encryption_key else {}
        role = {"Role": function.role.role_name} if function.role else {}
        properties = {
            "SecretId": secret.secret_arn,
            "RotationLambdaARN": function.function_arn,
            "SuperuserSecretId": superuser_secret.secret_arn if superuser_secret else None,
            "TargetArns": list(target_arns) or None,
            "KmsScope": None if kms_scope == "Key" else kms_scope,
            "Triggers": {**key, **role, **(triggers or {})} or None,
        }
        self.resource = CustomResource(
            self,
            # The resource then has the logical ID of the construct.
            "Default",
            resource_type="Custom::RotationRolePolicy",
            service_token=Fn.import_value("rotation-role-policy-ServiceToken"),
            properties={name: value for name, value in properties.items() if value is not None},
        )
        Aspects.of(Stack.of(self)).add(_Order(secret.secret_arn, self.resource))

    @property
    def policy_name(self) -> str:
        """The name of the inline policy."""
        return str(self.resource.get_att_string("PolicyName"))


@jsii.implements(IAspect)
class _Order:
    """Lets the rotation schedules of a secret wait for its policy, and the policy for those of hosted rotations."""

    def __init__(self, secret_arn: str, policy: CustomResource) -> None:
        self._secret_arn = secret_arn
        self._policy = policy

    def visit(self, node: IConstruct) -> None:
        """Add the dependency of a schedule."""
        if not isinstance(node, secretsmanager.CfnRotationSchedule):
            return
        stack = Stack.of(self._policy)
        if stack.resolve(node.secret_id) == stack.resolve(self._secret_arn):
            if node.hosted_rotation_lambda is None:
                node.node.add_dependency(self._policy)
            else:
                self._policy.node.add_dependency(node)
