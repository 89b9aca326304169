"""The words of findings about grants beyond what is needed."""

from collections.abc import Iterable

from rotation_role_policy.audit.findings import Words
from rotation_role_policy.audit.messages.phrases import ADOPT, policy
from rotation_role_policy.audit.needs import Coverage
from rotation_role_policy.errors import quoted
from rotation_role_policy.iam.document import Element, PolicyKind
from rotation_role_policy.rules.excess import Excess, ExcessKind

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
    adopt = f"{ADOPT}. " if uncovered else ""
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
