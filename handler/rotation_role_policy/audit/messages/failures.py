"""Why something is not known."""

from rotation_role_policy.audit.facts import (
    FailedCall,
    InternalError,
    OtherAccount,
    Problem,
    Stopped,
    Unusable,
    UnusableKey,
    is_of_disabled_region,
)
from rotation_role_policy.audit.findings import Words
from rotation_role_policy.errors import quoted


def problem(found: Problem) -> str:
    """Return why something is not known, as a sentence without the full stop."""
    match found:
        case FailedCall(action, _, message, is_denied=True):
            return f"AWS denies {action}: {message}".rstrip(".")
        case FailedCall(action, code, message):
            return f"{action} failed with {code}: {message}".rstrip(".")
        case UnusableKey():
            return unusable_key_problem(found)
        case Unusable(reason):
            return reason.rstrip(".")
        case InternalError(error_type, message):
            return f"Internal error ({error_type}): {message}".rstrip(".")
        case Stopped():
            return "The audit was stopped"
        case OtherAccount():
            return "It belongs to another account"


def not_inspected(what: str, found: Problem) -> Words:
    """Return the words for something that a call of the audit did not return. `what` is its ARN or name."""
    match found:
        case FailedCall(is_denied=True):
            remediation = f"Allow {found.action} to the identity that runs the audit."
        case FailedCall() if is_of_disabled_region(found):
            remediation = "Is the region enabled for the account? If not, leave it out."
        case InternalError():
            remediation = (
                "Report this error to the maintainers, with the configuration and the policies of the resource."
            )
        case _:
            remediation = "Run the audit again."
    return Words(f"{what} was not inspected. {problem(found)}.", remediation)


def account_failed(account: str, role_arn: str, reason: str) -> Words:
    """Return the words for an account that could not be audited.

    Args:
        account: its ID.
        role_arn: the role that was to be assumed; empty for the caller's own credentials.
        reason: why, as sentences.
    """
    if not role_arn:
        return Words(f"The account {account} was not audited. {reason}", "Correct this, and run the audit again.")
    return Words(
        f"The account {account} was not audited by its role {role_arn}. {reason}",
        f"Create the role {role_arn} (examples/audit_role.yaml), or let its trust policy allow the identity that runs"
        " the audit, and this identity sts:AssumeRole on it. Then run the audit again.",
    )


def denied_everywhere(region: str, action: str, roles: int, example: str) -> Words:
    """Return the words for a call that AWS denies for many roles. `example`: the message about one of them."""
    return Words(
        f"AWS denies {action} in {region}, so what decides about the secrets and keys of {roles} roles was not"
        f" inspected. For example: {example}",
        f"Allow {action} to the identity that runs the audit.",
    )


def unusable_key_problem(found: UnusableKey) -> str:
    """Return why a secret's key cannot be used."""
    key, state = quoted(found.key.key_id), found.key.key_state
    is_unusable = f"is {state}, not Enabled" if state else "does not exist"
    if found.labels:
        labels = " and ".join(found.labels)
        return (
            f"The secret {quoted(found.secret_name)}: the version with the label {labels} is encrypted with the KMS key"
            f" {key}, which {is_unusable}"
        )
    return f"The secret {quoted(found.secret_name)}: the secret's KMS key {key} {is_unusable}"
