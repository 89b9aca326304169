"""Commands of the AWS CLI in remediations: complete, and quoted for a shell, so that they can be copied."""

import shlex

from rotation_role_policy import arn


def aws(command: str, place: str, *arguments: str, **options: str | bool) -> str:
    """Return a command.

    Args:
        command: service and command, such as ``lambda invoke``.
        place: ARN of a resource in the region of the command; of IAM, whose ARNs have no region, any.
        arguments: without a name. A word in capitals stands for what only a person can know.
        options: by their names with underscores; True for an option without a value.
    """
    region = arn.region(place)
    words = ["aws", *command.split(), *(["--region", region] if region else [])]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        # A value that begins with a hyphen would be taken for an option.
        is_one_word = str(value).startswith("-")
        words += [option] if value is True else [f"{option}={value}"] if is_one_word else [option, str(value)]
    return shlex.join([*words, *arguments])


def rotating(secret_arn: str) -> str:
    """Return the command that rotates a secret at once."""
    return aws("secretsmanager rotate-secret", secret_arn, secret_id=secret_arn)
