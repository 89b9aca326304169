# Terraform manages a secret, its rotation function and its schedule. The policy of the function's role is a
# Custom::RotationRolePolicy in a CloudFormation stack that contains only this resource (policy.yaml).
#
# Variables: none. Run `terraform init && terraform apply`.
#
# The policy: RotateSecret on this secret, GeneratePassword, and UseSecretKey with this key.

terraform {
  required_version = ">= 1.5"
  required_providers {
    archive = { source = "hashicorp/archive", version = ">= 2.4" }
    aws     = { source = "hashicorp/aws", version = ">= 5.30" }
    random  = { source = "hashicorp/random", version = ">= 3.5" }
  }
}

data "aws_partition" "current" {}

resource "aws_kms_key" "secret" {
  description         = "Key of the rotated secret"
  enable_key_rotation = true
}

resource "aws_secretsmanager_secret" "secret" {
  name_prefix = "rotation-example-"
  kms_key_id  = aws_kms_key.secret.arn
}

# Terraform creates only the first version of the secret. The rotation function creates all others.
resource "random_password" "token" {
  length  = 40
  special = false
}

resource "aws_secretsmanager_secret_version" "first" {
  secret_id     = aws_secretsmanager_secret.secret.id
  secret_string = jsonencode({ token = random_password.token.result })

  lifecycle {
    ignore_changes = [secret_string, version_stages]
  }
}

resource "aws_iam_role" "rotation" {
  name_prefix = "rotation-example-"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

# To write its log. Do not use aws_iam_role_policies_exclusive for this role. It would delete the inline policy of the
# stack below.
resource "aws_iam_role_policy_attachment" "log" {
  role       = aws_iam_role.rotation.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

data "archive_file" "rotation" {
  type        = "zip"
  source_file = "${path.module}/../rotation_function.py"
  output_path = "${path.module}/.terraform/rotation_function.zip"
}

resource "aws_lambda_function" "rotation" {
  function_name    = "rotation-example"
  role             = aws_iam_role.rotation.arn
  runtime          = "python3.13"
  handler          = "rotation_function.handler"
  timeout          = 30
  filename         = data.archive_file.rotation.output_path
  source_code_hash = data.archive_file.rotation.output_base64sha256
}

# CloudFormation sends an Update to the provider only if the template or a parameter changes. Therefore each value that
# affects the policy is a parameter.
resource "aws_cloudformation_stack" "policy" {
  name          = "rotation-example-policy"
  template_body = file("${path.module}/policy.yaml")
  parameters = {
    SecretArn   = aws_secretsmanager_secret.secret.arn
    FunctionArn = aws_lambda_function.rotation.arn
    KeyArn      = aws_kms_key.secret.arn
    RoleArn     = aws_iam_role.rotation.arn
  }
}

resource "aws_lambda_permission" "secrets_manager" {
  function_name = aws_lambda_function.rotation.function_name
  action        = "lambda:InvokeFunction"
  principal     = "secretsmanager.amazonaws.com"
  source_arn    = aws_secretsmanager_secret.secret.arn
}

# A new schedule rotates immediately.
resource "aws_secretsmanager_secret_rotation" "schedule" {
  secret_id           = aws_secretsmanager_secret.secret.id
  rotation_lambda_arn = aws_lambda_function.rotation.arn

  rotation_rules {
    automatically_after_days = 30
  }

  depends_on = [
    aws_cloudformation_stack.policy,
    aws_iam_role_policy_attachment.log,
    aws_lambda_permission.secrets_manager,
    aws_secretsmanager_secret_version.first,
  ]
}

output "secret_arn" {
  value = aws_secretsmanager_secret.secret.arn
}

output "policy_name" {
  value = aws_cloudformation_stack.policy.outputs["PolicyName"]
}
