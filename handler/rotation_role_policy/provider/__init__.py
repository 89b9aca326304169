"""The provider of `Custom::RotationRolePolicy`: CloudFormation's requests and responses, and the order of its work."""
