"""The diagram of the flow: the calls that one real Create makes, in their order."""

import contextlib
import io

from docs.generate.example_account import FUNCTION, SECRET, example_account

_PARTICIPANTS = {
    "stack": "Your stack",
    "provider": "Provider",
    "secretsmanager": "Secrets Manager",
    "kms": "KMS",
    "lambda": "Lambda",
    "iam": "IAM",
    "cloudformation": "CloudFormation",
}
_RESPONSES = {
    "DescribeSecret": "its key, its rotation function",
    "ListSecretVersionIds": "keys of the secret's versions",
    "DescribeKey": "who manages the key",
    "GetFunctionConfiguration": "execution role, VPC",
    "GetRolePolicy": "the resource's current policy, if any",
    "SimulatePrincipalPolicy": "whether anything would block the policy",
    "GetResourcePolicy": "whether the secret's policy blocks the rotation",
    "GetKeyPolicy": "whether the key's policy allows it",
    "PutRolePolicy": "the policy is written",
    "DescribeStackEvents": "whether the stack still waits for the request",
}
"""What each call is for."""


def flow() -> str:
    """Return a Mermaid sequence diagram of a Create: a secret under a customer managed key, a function in a VPC."""
    with example_account() as account, contextlib.redirect_stdout(io.StringIO()):
        response = account.create(SecretId=SECRET, RotationLambdaARN=FUNCTION)
        calls = account.actions()
    lines = ["sequenceDiagram"]
    lines += [f"participant {name} as {label}" for name, label in _PARTICIPANTS.items()]
    lines.append(f"stack->>provider: Create, SecretId {SECRET}")
    for action in dict.fromkeys(calls):
        service, operation = action.split(":")
        times = f" ({calls.count(action)} times)" if calls.count(action) > 1 else ""
        lines.append(f"provider->>{service}: {operation}{times}: {_RESPONSES[operation]}")
    lines.append(f"provider-->>stack: {response['Status']}, physical ID and attributes")
    return "```mermaid\n" + "\n    ".join(lines) + "\n```"
