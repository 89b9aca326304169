"""The permissions that the commands take. All their calls only read."""

REQUIRED = (
    "secretsmanager:DescribeSecret",
    "secretsmanager:ListSecretVersionIds",
    "kms:DescribeKey",
    "lambda:GetFunctionConfiguration",
    "iam:GetRole",
    "iam:ListRolePolicies",
    "iam:GetRolePolicy",
    "sts:GetCallerIdentity",
)
OPTIONAL = (
    "iam:SimulatePrincipalPolicy",
    "secretsmanager:GetResourcePolicy",
    "kms:GetKeyPolicy",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "iam:ListAttachedRolePolicies",
    "iam:GetPolicy",
    "iam:GetPolicyVersion",
)
"""For the access check and the role's managed policies. Without them, the preview notes what it could not inspect."""
FOR_STACK = ("cloudformation:DescribeStacks", "cloudformation:ListStackResources")
FOR_REFERENCES = (
    "cloudformation:ListExports",
    "ssm:GetParameter",
    "rds:DescribeDBInstances",
    "rds:DescribeDBClusters",
    "redshift:DescribeClusters",
)
"""For templates that refer to exports, SSM parameters or databases."""

FOR_AUDIT = (
    "secretsmanager:ListSecrets",
    "secretsmanager:ListSecretVersionIds",
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetResourcePolicy",
    "kms:DescribeKey",
    "kms:GetKeyPolicy",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "lambda:ListFunctions",
    "lambda:GetFunctionConfiguration",
    "lambda:GetPolicy",
    "iam:GetAccountAuthorizationDetails",
    "iam:GetRole",
    "iam:ListRolePolicies",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:GetPolicy",
    "iam:GetPolicyVersion",
    "iam:SimulatePrincipalPolicy",
    "cloudformation:ListStacks",
    "cloudformation:DescribeStackResource",
    "cloudformation:DescribeStackEvents",
    "sts:GetCallerIdentity",
)
"""For `audit` (docs/audit.md)."""
FOR_ALL_REGIONS = "ec2:DescribeRegions"
FOR_ACCOUNTS = "sts:AssumeRole"
FOR_ORGANIZATION = "organizations:ListAccounts"
"""For `audit` with the options for several regions and accounts."""
