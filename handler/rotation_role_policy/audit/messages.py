"""The audit's words: what is wrong and what to do, for each finding.

The checks decide, and this module puts their decisions into words. No other code reads these words.
"""

from collections.abc import Iterable
from datetime import datetime

from rotation_role_policy import arn
from rotation_role_policy.audit.access import AccessProblem
from rotation_role_policy.audit.facts import (
    FailedCall,
    InternalError,
    ListedSecret,
    Problem,
    Stopped,
    Unusable,
    UnusableKey,
)
from rotation_role_policy.audit.findings import Words
from rotation_role_policy.audit.needs import Coverage
from rotation_role_policy.errors import quoted
from rotation_role_policy.iam.document import Element, PolicyKind, PolicyName
from rotation_role_policy.iam.evaluation import BlockedBy, Blocker
from rotation_role_policy.iam.simulation import Denial
from rotation_role_policy.rules.excess import Excess, ExcessKind
from rotation_role_policy.rules.state import KeyProblem

_ADOPT = "Deploy a Custom::RotationRolePolicy for the function (rotation-role-policy audit --adopt FILE)"


# --- what was not looked up -------------------------------------------------------------------------------------------


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


def not_inspected(what: str, found: Problem) -> Words:
    """Return the words for something that a call of the audit did not return. `what` is its ARN or name."""
    match found:
        case FailedCall(is_denied=True):
            remediation = f"Allow {found.action} to the identity that runs the audit."
        case InternalError():
            remediation = (
                "Report this error to the maintainers, with the configuration and the policies of the resource."
            )
        case _:
            remediation = "Run the audit again."
    return Words(f"{what} was not inspected. {problem(found)}.", remediation)


def may_call(problem: AccessProblem) -> str:
    """Return what is not known, if it is not known whether a role may make calls."""
    actions, resources = _and(problem.actions), _and([problem.resource])
    return f"Whether {problem.role_arn} may call {actions} on {resources}"


# --- secrets ----------------------------------------------------------------------------------------------------------


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


def key_unusable(found: UnusableKey) -> Words:
    """Return the words for a secret whose key cannot be used."""
    if found.labels:
        labels = " ".join(found.labels)
        otherwise = f"store the secret's value again (aws secretsmanager put-secret-value --version-stages {labels})"
    else:
        otherwise = "encrypt the secret with another key (aws secretsmanager update-secret --kms-key-id)"
    return Words(
        f"{unusable_key_problem(found)}. Nobody can read what this key encrypts, so applications fail too, not only the"
        " rotation.",
        f"First try to restore the key. If that is not possible, {otherwise}.",
    )


def previous_version_unreadable(secret_arn: str, key: KeyProblem) -> Words:
    """Return the words for a secret whose version AWSPREVIOUS cannot be decrypted."""
    return Words(
        f"The version AWSPREVIOUS of {secret_arn} is encrypted only with the KMS key {key.key_id}, which cannot be"
        " used. AWS's single-user rotation functions read this version, and fail.",
        "Restore the key, or remove the label AWSPREVIOUS (aws secretsmanager update-secret-version-stage).",
    )


def key_of_other_account(secret_arn: str, key_arn: str) -> Words:
    """Return the words for a key whose owner does not let the caller describe it."""
    return Words(
        f"The KMS key {key_arn} of {secret_arn} belongs to another account, which does not let you describe it. Whether"
        " it is enabled is not known.",
        "Ask the owner of the key.",
    )


def rotation_overdue(secret: ListedSecret, due: datetime) -> Words:
    """Return the words for a rotation that was due."""
    last_rotated = f"{secret.last_rotated:%Y-%m-%d}" if secret.last_rotated else "never"
    name = arn.parse(arn.split_qualifier(secret.function_id)[0]).resource.removeprefix("function:")
    return Words(
        f"The rotation of {secret.arn} was due on {due:%Y-%m-%d}. It was last rotated: {last_rotated}.",
        "Read the log of the rotation function for the error of the last attempt, by default in the log group"
        f" /aws/lambda/{name}. Correct the errors of this secret, its function and its role, then rotate it (aws"
        f" secretsmanager rotate-secret --secret-id {secret.arn}). Do not remove the label AWSPENDING before you know"
        " whether the password was changed.",
    )


def invoke_not_allowed(secret: ListedSecret) -> Words:
    """Return the words for a function that Secrets Manager may not invoke."""
    name, qualifier = arn.split_qualifier(secret.function_id)
    version = f" --qualifier {qualifier}" if qualifier and not qualifier.startswith("$LATEST") else ""
    return Words(
        f"Secrets Manager may not invoke the function {secret.function_id} for the secret {secret.arn}.",
        f"Add a permission (AWS::Lambda::Permission, or aws lambda add-permission --function-name {name}{version}"
        " --statement-id SecretsManager --action lambda:InvokeFunction --principal secretsmanager.amazonaws.com"
        f" --source-arn {secret.arn}).",
    )


# --- functions --------------------------------------------------------------------------------------------------------


def function_missing(function_id: str) -> Words:
    """Return the words for a rotation function that does not exist."""
    return Words(
        f"The rotation function {function_id} does not exist.",
        "Deploy the function again, or give the secrets another one (aws secretsmanager rotate-secret --secret-id ID"
        " --rotation-lambda-arn ARN --no-rotate-immediately), or turn the rotation off (aws secretsmanager"
        " cancel-rotate-secret --secret-id ID).",
    )


def function_not_active(function_id: str, state: str, reason: str) -> Words:
    """Return the words for a function whose `State` is not Active. `reason` is Lambda's own; it may be empty."""
    because = f" Lambda's reason: {reason.rstrip('.')}." if reason else ""
    remediation = "Correct the cause, or deploy the function again."
    if state == "Inactive":
        remediation = (
            "Invoke the function once, so that Lambda prepares it again. The first invocation fails, and with it the"
            " first attempt of a rotation."
        )
    return Words(f"The rotation function {function_id} is {state}, not Active.{because}", remediation)


def invoke_without_source(function_id: str, sid: str) -> Words:
    """Return the words for a statement by which secrets of any account can invoke the function."""
    return Words(
        f"The statement {quoted(sid)} in the policy of the function {function_id} lets Secrets Manager invoke it for"
        " secrets of any account, because no condition on aws:SourceArn or aws:SourceAccount excludes other accounts.",
        "Add a permission with the account as SourceAccount, or one with each secret as SourceArn. Then remove this one"
        f" (aws lambda remove-permission --function-name {function_id} --statement-id {sid}).",
    )


def superuser_missing(superuser_arn: str, coverage: Coverage) -> Words:
    """Return the words for a provider's policy whose superuser secret is gone."""
    return Words(
        f"The superuser secret {superuser_arn} of the policy {quoted(coverage.policy_name)} on the role"
        f" {coverage.details.function.role.arn} does not exist, or is scheduled for deletion.",
        f"Restore the secret (aws secretsmanager restore-secret --secret-id {superuser_arn}), or change"
        " SuperuserSecretId of the Custom::RotationRolePolicy.",
    )


# --- roles ------------------------------------------------------------------------------------------------------------


def role_missing(role_arn: str) -> Words:
    """Return the words for an execution role that does not exist."""
    return Words(
        f"The execution role {role_arn} does not exist.",
        "Create the role, or give the function another one. Lambda refers to a role by its internal ID, so update the"
        " function after you create a role with the same name.",
    )


def role_not_assumable(role_arn: str) -> Words:
    """Return the words for an execution role that Lambda cannot assume."""
    return Words(
        f"Lambda cannot assume the execution role {role_arn}.",
        "Allow sts:AssumeRole to the service principal lambda.amazonaws.com in the role's trust policy.",
    )


def shared_role(role_arn: str, functions: Iterable[str]) -> Words:
    """Return the words for a role that several functions have."""
    listed = sorted(functions)
    more = f" and {len(listed) - 10} more" if len(listed) > 10 else ""
    return Words(
        f"{len(listed)} functions have the execution role {role_arn}, so each of them can use the secrets of all:"
        f" {', '.join(listed[:10])}{more}.",
        "Create a role for each function, put a Custom::RotationRolePolicy on it, name the new role in key policies and"
        " resource policies that name this one, then change the role of the function.",
    )


def no_policy(secret_arn: str, coverage: Coverage) -> Words:
    """Return the words for a secret that no policy of the provider covers."""
    return Words(
        f"No Custom::RotationRolePolicy covers {secret_arn}. {' '.join(unknowns(coverage))}",
        f"{_ADOPT}.",
    )


def policy_drift(role_arn: str, policy_name: str) -> Words:
    """Return the words for a policy of the provider that would be written differently today."""
    return Words(
        f"The policy {quoted(policy_name)} on the role {role_arn} would be written differently today.",
        _update(policy_name),
    )


def unknowns(coverage: Coverage) -> tuple[str, ...]:
    """Return what the audit assumes of a rotation and only a person can know, as sentences."""
    if coverage.policy_name:
        return ()
    candidates, wildcard = coverage.inferred.superuser_arns, coverage.inferred.wildcard
    if len(candidates) > 1:
        return (
            "The role may read several other secrets, and one of them can be the superuser secret of the function:"
            f" {', '.join(candidates)}.",
        )
    if candidates:
        return (f"The role may read {candidates[0]}, which is taken for the superuser secret of the function.",)
    if wildcard:
        return (
            f"The role may read other secrets by {wildcard}, so its policies do not show whether the function reads a"
            " superuser secret.",
        )
    return ("The role may read no other secret, so no superuser secret is assumed.",)


# --- access -----------------------------------------------------------------------------------------------------------


def action_not_granted(problem: AccessProblem) -> Words:
    """Return the words for calls that no policy allows."""
    is_for_secret = problem.secret_arn not in ("", problem.resource)
    for_secret = f" for the secret {problem.secret_arn}" if is_for_secret else ""
    text = f"The role {problem.role_arn} is not allowed {_and(problem.actions)} on {problem.resource}{for_secret}."
    if policy_name := problem.coverage.policy_name:
        return Words(text, _update(policy_name))
    return Words(text, f"{_ADOPT}, or allow it in a policy of the role.")


def action_blocked(problem: AccessProblem, blocker: Blocker) -> Words:
    """Return the words for calls that are certainly blocked."""
    are = "are" if len(problem.actions) > 1 else "is"
    text = (
        f"{_and(problem.actions)} on {problem.resource} {are} blocked for the role {problem.role_arn} by"
        f" {_blocker(blocker)}."
    )
    match blocker.by:
        case BlockedBy.DENY:
            return Words(text, "Narrow this deny. It may be there to protect other secrets or actions.")
        case BlockedBy.KEY_POLICY:
            return Words(text, "Allow the role in the key's policy, or allow the account's root user there.")
        case BlockedBy.BOUNDARY:
            boundary = problem.boundary_arn or "the permissions boundary"
            return Words(text, f"Allow the actions in {boundary}. Other roles may have the same boundary.")


def access_undecided(problem: AccessProblem, denial: Denial) -> Words:
    """Return the words for calls about which the simulator could not decide. `denial` is its result."""
    return Words(
        f"It is not known whether the role {problem.role_arn} may call {_and(problem.actions)} on {problem.resource}:"
        f" {denial.doubt}.",
        "Rotate the secret while you watch (aws secretsmanager rotate-secret).",
    )


def _blocker(blocker: Blocker) -> str:
    match blocker.by:
        case BlockedBy.DENY:
            return f"an explicit deny in {policy(blocker.policy) if blocker.policy else 'a policy of the role'}"
        case BlockedBy.BOUNDARY:
            return "the role's permissions boundary"
        case BlockedBy.KEY_POLICY:
            return "the key's policy, which neither allows the role nor delegates to IAM policies"


def policy(name: PolicyName) -> str:
    """Return a policy in words, to be part of a sentence."""
    match name.kind:
        case PolicyKind.INLINE:
            return f"the inline policy {quoted(name.name)}"
        case PolicyKind.MANAGED:
            return f"the managed policy {name.name}"
        case PolicyKind.ROLE:
            return quoted(name.name)
        case PolicyKind.BOUNDARY:
            return "the role's permissions boundary"
        case PolicyKind.KEY:
            return "the key's policy"
        case PolicyKind.SECRET:
            return "the secret's resource policy"
        case PolicyKind.FUNCTION:
            return "the function's policy"


def _update(policy_name: str) -> str:
    return (
        f"Send an Update to the Custom::RotationRolePolicy that wrote the policy {quoted(policy_name)}: change its"
        " property Triggers, and deploy its stack."
    )


# --- excess -----------------------------------------------------------------------------------------------------------

_EXCESS = {
    ExcessKind.OTHER_SECRETS: "which matches secrets that the functions of the role do not rotate, or can match them"
    " later",
    ExcessKind.SECRET_NOT_NEEDED: "which no function of the role is configured to rotate",
    ExcessKind.SECRET_MANAGEMENT: "so the function can also delete the secret",
    ExcessKind.OTHER_KEYS: "which matches keys that no secret of the role needs",
    ExcessKind.KEY_NOT_NEEDED: "which encrypts no secret of the role",
    ExcessKind.KEY_ALIAS: "which allows nothing: these actions need the ARN of the key",
    ExcessKind.KEY_FOR_EVERYTHING: "without a condition on kms:EncryptionContext:SecretARN, so it covers everything"
    " under this key",
    ExcessKind.KEY_FOR_EVERY_SECRET: "without a condition on kms:EncryptionContext:SecretARN, so it covers every secret"
    " under this key",
    ExcessKind.KEY_MANAGEMENT: "so the function can also delete the key",
    ExcessKind.INTERFACES_OUTSIDE_VPC: "although no function of the role is in a VPC",
    ExcessKind.INTERFACES_OPEN_TO_CODE: "although only Lambda itself needs that, not the code of the function",
}
"""By kind: what is too much, to complete a sentence that begins with the grant."""


def excess(role_arn: str, found: Excess, covered: Iterable[Coverage]) -> Words:
    """Return the words for a grant beyond what is needed. `covered` are all rotations of the role."""
    subject = policy(found.policy)
    if found.sid:
        subject = f"the statement {quoted(found.sid)} in {subject}"
    actions, resource = _elements(found.actions, "all but "), _elements(found.resource, "* but ")
    message = f"{subject} of the role {role_arn} allows {actions} on {resource}, {_EXCESS[found.kind]}."
    return Words(f"{message[:1].upper()}{message[1:]}", _excess_remediation(found, list(covered)))


def _elements(element: Element, all_but: str) -> str:
    return f"{all_but if element.is_negated else ''}{', '.join(element.patterns)}"


def _excess_remediation(found: Excess, covered: list[Coverage]) -> str:
    """Return what to do about a grant. To remove it must not take anything that the function uses."""
    uncovered = [coverage for coverage in covered if not coverage.policy_name]
    adopt = f"{_ADOPT}. " if uncovered else ""
    remove = "remove this grant"
    if found.policy.kind is PolicyKind.MANAGED:
        remove = (
            "detach this policy. If the function gets other permissions from it, such as those for its log, grant them"
            " first"
        )
    match found.kind:
        case ExcessKind.INTERFACES_OPEN_TO_CODE:
            return (
                f"{adopt}With the Deny of the profile Strict, only Lambda can use this grant. It need not be removed."
            )
        case ExcessKind.INTERFACES_OUTSIDE_VPC:
            return (
                "Lambda needs this grant until it has deleted the interfaces, up to 20 minutes after the function left"
                f" its VPC. Then {remove}."
            )
        case ExcessKind.OTHER_SECRETS if any(coverage.inferred.wildcard for coverage in uncovered):
            return (
                f"Find out whether the function reads a superuser secret by this grant. {adopt}Name that secret as"
                f" SuperuserSecretId. Rotate the secret, then {remove}."
            )
        case ExcessKind.OTHER_SECRETS | ExcessKind.OTHER_KEYS:
            return f"{adopt}Rotate the secret, then {remove}."
        case ExcessKind.KEY_FOR_EVERYTHING | ExcessKind.KEY_FOR_EVERY_SECRET:
            return f"{adopt}Rotate the secret, then {remove}."
    return f"Check that the code of the function does not use it. Then {remove}."


def _and(values: Iterable[str]) -> str:
    *others, last = values
    return f"{', '.join(others)} and {last}" if others else last
