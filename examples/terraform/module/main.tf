# A Custom::RotationRolePolicy for each rotation, in a CloudFormation stack of its own that contains only this resource.
# Each value is a part of the stack's template, so CloudFormation sends an Update whenever one of them changes.
#
# Let the rotation of a secret (aws_secretsmanager_secret_rotation) depend on the module: a new schedule rotates at once.
# With subnet_ids, let the function depend on it too: Lambda creates a function in a VPC only after the policy.
#
# Keep aws_iam_role_policies_exclusive away from the roles, and `inline_policy` out of aws_iam_role. Terraform would delete
# the policy. IAM does not delete a role that has a policy. Terraform deletes the stack first, because the role or the
# function is a value of the module.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.30" }
  }
}

resource "aws_cloudformation_stack" "policy" {
  for_each = var.rotations

  name = "${var.stack_name_prefix}${each.key}"
  template_body = jsonencode({
    AWSTemplateFormatVersion = "2010-09-09"
    Resources = {
      RotationPolicy = {
        Type = "Custom::RotationRolePolicy"
        Properties = {
          for name, value in {
            ServiceToken      = { "Fn::ImportValue" = "${var.provider_stack_name}-ServiceToken" }
            SecretIds         = each.value.secret_ids
            RotationLambdaARN = each.value.rotation_lambda_arn
            RoleName          = each.value.role_name
            VpcConfig         = each.value.subnet_ids == null ? null : { SubnetIds = each.value.subnet_ids }
            KmsKeyArn         = each.value.kms_key_arn
            SuperuserSecretId = each.value.superuser_secret_id
            TargetArns        = each.value.target_arns
            PolicyProfile     = each.value.policy_profile
            KmsScope          = each.value.kms_scope
            AccessCheck       = each.value.access_check
            PropagationDelay  = each.value.propagation_delay
            Triggers          = each.value.triggers
          } : name => value if value != null
        }
      }
    }
    Outputs = {
      PolicyName = { Value = { "Fn::GetAtt" = ["RotationPolicy", "PolicyName"] } }
    }
  })
}
