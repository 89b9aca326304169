"""What each refusal means to whoever reads it in a stack's events (README, "What is refused")."""

from dataclasses import dataclass

from rotation_role_policy.errors import Kind


@dataclass(frozen=True)
class Remedy:
    """One row of the table of refusals."""

    kind: Kind
    says: tuple[str, ...]
    """What the reasons say, values as ``...``."""
    do: str
    """What it means, and what to do."""


REMEDIES = (
    Remedy(
        Kind.PROPERTIES,
        (
            "is not a property. Did you mean",
            "is not in the right form",
            "is none of",
            "is not a whole number",
            "is not a string",
            "is not a list",
            "is not an object",
            "is neither true nor false",
            "is empty",
            "is an empty list",
        ),
        "a typo, a wrong type or value in the template",
    ),
    Remedy(
        Kind.PROPERTIES,
        (
            "Exactly one of ... is needed",
            "... together with ...",
            "... without ...",
        ),
        "properties that do not go together",
    ),
    Remedy(
        Kind.SECRET,
        (
            "there is no such secret",
            "is scheduled for deletion",
        ),
        "correct the name, order the resources with `!Ref` or `DependsOn`, or restore the secret",
    ),
    Remedy(
        Kind.SECRET,
        ("this secret is managed by ...",),
        "its owner rotates it, without a function. It can be a `SuperuserSecretId`",
    ),
    Remedy(
        Kind.SECRET,
        ("its tag of the primary database says",),
        "RDS's own tag on the superuser secret is no ARN of a database",
    ),
    Remedy(
        Kind.FUNCTION,
        ("reports no rotation function", "report different rotation functions"),
        "give `RotationLambdaARN`",
    ),
    Remedy(
        Kind.FUNCTION,
        ("has no such function",),
        "correct it; if the function comes later in the template, declare it by `RoleName` and `VpcConfig`",
    ),
    Remedy(
        Kind.FUNCTION,
        ("is not in the provider's account",),
        "deploy a provider in the function's account",
    ),
    Remedy(
        Kind.ROLE,
        ("has no such role", "does not exist in this account", "is not the ARN of the role of that name"),
        "correct it, or create the role first",
    ),
    Remedy(
        Kind.ROLE,
        ("is not the execution role of the function",),
        "leave `RoleName` out, or name the role that the reason names",
    ),
    Remedy(
        Kind.ROLE,
        ("Lambda cannot assume this role", "is a service-linked role"),
        "the role's trust policy has to allow `lambda.amazonaws.com`; AWS's own roles take no policy",
    ),
    Remedy(
        Kind.KEY,
        ("its KMS key ... is ..., not Enabled", "its KMS key ... does not exist"),
        "enable the key, or put the secret under another",
    ),
    Remedy(
        Kind.LIMIT,
        ("IAM allows ...",),
        "the role's inline policies are full: move others to a managed policy",
    ),
    Remedy(
        Kind.LIMIT,
        ("secrets are too many for one resource",),
        "CloudFormation takes an answer of 4,096 bytes: spread the secrets over several resources",
    ),
    Remedy(
        Kind.BLOCKED,
        ("is blocked by ...",),
        "a permissions boundary or an explicit deny would block the rotation: allow it there. If you know that the"
        ' simulator is wrong, set `AccessCheck: "Off"`',
    ),
    Remedy(
        Kind.PROVIDER_DENIED,
        ("AWS denies the provider ...",),
        "the *provider* lacks that action. Give the secret or the role the required tag or permissions boundary, or"
        " widen the parameter of its stack that the reason names ([Narrow the provider](#narrow-the-provider)). For a"
        " key, change the key's policy. For a secret it can also mean that no secret has that name",
    ),
    Remedy(
        Kind.NOT_TAKEN_BACK,
        ("IAM did not take its policy back",),
        "an update failed after it had written. Once the stack has rolled back, look at the policy that the reason"
        " names; remove it where the stack does not name that role",
    ),
    Remedy(
        Kind.OVERTAKEN,
        ("no longer waits for this request",),
        "nobody reads it but the log: the stack has been rolled back or deleted meanwhile",
    ),
    Remedy(
        Kind.AWS_FAILED,
        ("answered ...). Try again",),
        "AWS failed, not your template: try again; if it stays, read the provider's log, as below",
    ),
    Remedy(
        Kind.OUT_OF_TIME,
        ("ran out of time",),
        "AWS throttled for nine minutes: try again, with fewer at once",
    ),
    Remedy(
        Kind.UNEXPECTED,
        ("failed unexpectedly",),
        "a fault of the provider's: its log has it whole",
    ),
)
