"""A construct for the AWS CDK: the least-privilege policy for the role of a rotation function.

Copy this file into your app. The provider has to be deployed in the account and region (README.md).
"""

from collections.abc import Sequence
from typing import Any

import jsii
from aws_cdk import Aspects, CustomResource, Fn, IAspect, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IConstruct


class RotationRolePolicy(Construct):
    """Puts the policy on the role of a rotation function, before the secret is rotated.

    It adds the order by itself: each rotation schedule of the secret in the stack waits for the policy, whether
    `secret.add_rotation_schedule` or `CfnRotationSchedule` makes it. The schedule of a hosted rotation has to exist
    first, because CloudFormation creates the function with it: the policy waits for the schedule. A schedule in another
    stack has to depend on the stack of the policy.

    Lambda creates a function in a VPC only if its role may manage network interfaces. So the policy for such a function
    of the same stack is declared (`VpcConfig`), and the function waits for it.

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
        triggers: values that the policy depends on besides. CloudFormation updates it if one of them changes. The keys
            of the secrets are always among them.
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
        keys = {
            name: of.encryption_key.key_id
            for name, of in (("Key", secret), ("SuperuserKey", superuser_secret))
            if of and of.encryption_key
        }
        role = {"Role": function.role.role_name} if function.role else {}
        declared = self._declared(function)
        properties = {
            "SecretId": secret.secret_arn,
            **(declared or {"RotationLambdaARN": function.function_arn}),
            "SuperuserSecretId": superuser_secret.secret_arn if superuser_secret else None,
            "TargetArns": list(target_arns) or None,
            "KmsScope": None if kms_scope == "Key" else kms_scope,
            "Triggers": {**keys, **role, **(triggers or {})} or None,
        }
        self.resource = CustomResource(
            self,
            # The resource then has the logical ID of the construct.
            "Default",
            resource_type="Custom::RotationRolePolicy",
            service_token=Fn.import_value("rotation-role-policy-ServiceToken"),
            properties={name: value for name, value in properties.items() if value is not None},
        )
        if declared:
            function.node.default_child.node.add_dependency(self.resource)
        Aspects.of(Stack.of(self)).add(_Order(secret, self.resource))

    def _declared(self, function: lambda_.IFunction) -> dict[str, Any]:
        """Return the properties for a function in a VPC that the same stack creates; empty for any other."""
        resource, stack = function.node.default_child, Stack.of(self)
        if not isinstance(resource, lambda_.CfnFunction) or Stack.of(resource) != stack or not function.role:
            return {}
        vpc_config = stack.resolve(resource.vpc_config)
        if not vpc_config:
            return {}
        return {
            "RoleName": function.role.role_name,
            "VpcConfig": {"SubnetIds": vpc_config["subnetIds"]},
            "KmsKeyArn": resource.kms_key_arn,
        }

    @property
    def policy_name(self) -> str:
        """The name of the inline policy."""
        return str(self.resource.get_att_string("PolicyName"))


_ATTACHMENT = secretsmanager.CfnSecretTargetAttachment


@jsii.implements(IAspect)
class _Order:
    """Lets the rotation schedules of a secret wait for its policy, and the policy for those of hosted rotations."""

    def __init__(self, secret: secretsmanager.ISecret, policy: CustomResource) -> None:
        self._secret = secret
        self._policy = policy

    def visit(self, node: IConstruct) -> None:
        """Add the dependency of a schedule."""
        if not isinstance(node, secretsmanager.CfnRotationSchedule):
            return
        if Stack.of(node) == Stack.of(self._policy) and self._is_of_secret(node.secret_id):
            if node.hosted_rotation_lambda is None:
                node.node.add_dependency(self._policy)
            else:
                self._policy.node.add_dependency(node)

    def _is_of_secret(self, secret_id: str) -> bool:
        """Return whether an ID is that of the secret, or of its attachment to a database."""
        stack = Stack.of(self._policy)
        ids = [self._secret.secret_arn, self._secret.secret_name]
        attachments = [each for each in stack.node.find_all() if isinstance(each, _ATTACHMENT)]
        own = [stack.resolve(each) for each in ids]
        own += [stack.resolve(each.ref) for each in attachments if stack.resolve(each.secret_id) in own]
        # The secret can be the attachment itself.
        own += [stack.resolve(each.secret_id) for each in attachments if stack.resolve(each.ref) in own]
        return stack.resolve(secret_id) in own
