"""The words of findings about grants beyond what is needed."""

import re
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from typing import NamedTuple

from rotation_role_policy.audit.advice import Advice
from rotation_role_policy.audit.findings import Words
from rotation_role_policy.audit.messages.commands import aws, rotating
from rotation_role_policy.audit.messages.phrases import ADOPT, UNPROVEN, join, policy, send_update
from rotation_role_policy.audit.needs import is_one_secret
from rotation_role_policy.errors import quoted
from rotation_role_policy.iam.document import Element, PolicyKind, PolicyName
from rotation_role_policy.rules.excess import Excess, ExcessKind
from rotation_role_policy.rules.state import Role
from rotation_role_policy.rules.statements import SECRET_ARN_KEY

_MOST = 3
"""Functions that a message names."""
_EXCESS = {
    ExcessKind.OTHER_SECRETS: "which matches secrets that the functions of the role do not rotate, or can match them"
    " later",
    ExcessKind.SECRET_NOT_NEEDED: "which no function of the role is configured to rotate",
    ExcessKind.SECRET_MANAGEMENT: "so the function can also delete the secret or change its settings",
    ExcessKind.SUPERUSER_WRITABLE: "although a function only reads its superuser secret",
    ExcessKind.SECRET_SHARING: "so the function can also give itself and others access to the secret",
    ExcessKind.INCOMPLETE_ARN: "which matches no secret, because the ARN of a secret ends in a hyphen and six random"
    " characters",
    ExcessKind.OTHER_KEYS: "which matches keys that no secret of the role needs",
    ExcessKind.KEY_NOT_NEEDED: "which encrypts no secret that the functions of the role use",
    ExcessKind.KEY_ALIAS: "which allows nothing: these actions need the ARN of the key",
    ExcessKind.KEY_FOR_EVERYTHING: "without a condition on kms:EncryptionContext:SecretARN, so it covers everything"
    " under this key",
    ExcessKind.KEY_FOR_EVERY_SECRET: "without a condition on kms:EncryptionContext:SecretARN, so it covers every secret"
    " under this key",
    ExcessKind.KEY_FOR_OTHER_SECRETS: "with a condition on kms:EncryptionContext:SecretARN for secrets that no function"
    " of the role needs",
    ExcessKind.KEY_MANAGEMENT: "so the function can also delete or change the key",
    ExcessKind.KEY_SHARING: "so the function can also give itself and others the use of the key",
    ExcessKind.INTERFACES_OUTSIDE_VPC: "although no function of the role is in a VPC",
    ExcessKind.INTERFACES_OPEN_TO_CODE: "although only Lambda itself needs that, not the code of the function",
}
"""By kind: what is too much, to complete a sentence that begins with the grant."""


_MANAGEMENT = (
    ExcessKind.SECRET_MANAGEMENT,
    ExcessKind.SECRET_SHARING,
    ExcessKind.SUPERUSER_WRITABLE,
    ExcessKind.KEY_MANAGEMENT,
    ExcessKind.KEY_SHARING,
)
"""A part of the grant is what the rotation lives from."""


class Changing(NamedTuple):
    """How a policy is changed, so that it can be restored."""

    text: str
    commands: tuple[str, ...]


def excess(role: Role, found: Excess, advice: Advice) -> Words:
    """Return the words for a grant beyond what is needed.

    Args:
        role: has the policy.
        found: the grant.
        advice: what has to happen before the grant is removed.
    """
    subject = policy(found.policy)
    if found.sid:
        subject = f"the statement {quoted(found.sid)} in {subject}"
    actions, resource = _elements(found.actions, "all but "), _elements(found.resource, "* but ")
    message = f"{subject} of the role {role.arn} allows {actions} on {resource}, {_EXCESS[found.kind]}{_within(found)}."
    message = f"{message[:1].upper()}{message[1:]}"
    if kept := " ".join(_kept(found, advice)):
        return Words(message, kept)
    # In this order: what is removed must not be what a rotation lives from.
    changed = changing(
        role, found.policy, advice.secret_arns, (found.statement, found.kind, found.actions, found.resource)
    )
    return Words(message, " ".join([*_first(found, advice), changed.text, *_instead(found)]), changed.commands)


def _within(found: Excess) -> str:
    """Return what limits leave of a wildcard, to end a sentence; empty if nothing limits it."""
    return (
        f"; within the conditions, the permissions boundary and the denials: {', '.join(found.remaining)}"
        if found.remaining
        else ""
    )


def _elements(element: Element, all_but: str) -> str:
    return f"{all_but if element.is_negated else ''}{', '.join(element.patterns)}"


def _kept(found: Excess, advice: Advice) -> Iterator[str]:
    """Yield what to do about a grant that is not removed, as sentences; nothing if it is removed."""
    if found.kind is ExcessKind.INCOMPLETE_ARN:
        yield f"If a function needs the grant, replace the resource by {found.instead}. Otherwise, remove the grant."
    elif advice.unproven:
        yield f"Do not remove it: {UNPROVEN[advice.unproven]}."
    elif found.kind is ExcessKind.INTERFACES_OPEN_TO_CODE:
        if advice.needs_adoption:
            yield f"{ADOPT}."
        yield "With the Deny of the profile Strict, only Lambda can use this grant. It need not be removed."


def _first(found: Excess, advice: Advice) -> Iterator[str]:
    """Yield what has to happen before a grant is removed, or what replaces it."""
    if found.kind in _MANAGEMENT and advice.at_risk and not advice.is_open:
        yield f"Replace it: allow {_needed(advice)} in its place."
        if any(SECRET_ARN_KEY in str(each.statement) for each in advice.at_risk):
            yield f"Limit the use of a key by StringEquals on {SECRET_ARN_KEY} to the ARN of the secret."
    else:
        yield from _before(found, advice)


def _instead(found: Excess) -> Iterator[str]:
    """Yield what can be done in place of removing a grant."""
    if found.kind is ExcessKind.OTHER_SECRETS and found.instead:
        yield f"In place of removing the grant, you can end its resource in -??????: {found.instead}."


def _needed(advice: Advice) -> str:
    """Return what rotations need of a grant."""
    by_resource: dict[str, dict[str, None]] = {}
    for each in advice.at_risk:
        by_resource.setdefault(each.resource, {}).update(dict.fromkeys(each.calls.actions))
    return " and ".join(f"{join(actions)} on {resource}" for resource, actions in by_resource.items())


def _before(found: Excess, advice: Advice) -> Iterator[str]:
    """Yield what has to happen before a grant is removed."""
    is_outside_vpc = found.kind is ExcessKind.INTERFACES_OUTSIDE_VPC
    if is_outside_vpc:
        yield (
            "Lambda needs this grant until it has deleted the interfaces: up to 20 minutes after the function left its"
            " VPC, and not before its last published version in the VPC is deleted (ListVersionsByFunction)."
        )
    yield from _open(found, advice)
    if advice.needs_adoption:
        yield f"{ADOPT}."
    for policy_name, owner in advice.outdated:
        yield f"{send_update(policy_name, owner)} The policy does not allow yet what the rotation needs."
    if not advice.is_used and not is_outside_vpc:
        yield "Check that the code of the function does not use the grant."


def _open(found: Excess, advice: Advice) -> Iterator[str]:
    """Yield what a person has to find out or to do first."""
    if advice.candidates or advice.is_for_candidates_key:
        yield _question(found, advice)
    if targets := _targets(advice):
        yield f"If the function {targets}, set TargetArns first."
    if advice.replica_account:
        yield (
            f"If a secret of the role has a replica in the account {advice.replica_account}, keep the grant: with it,"
            " Secrets Manager encrypts the replica."
        )
    if advice.has_other_permissions:
        yield "If the function gets other permissions from it, such as those for its log, grant them first."
    if advice.has_denials:
        yield "Put the denials of the policy into another policy of the role first."
    if functions := advice.other_functions:
        more = f" and {len(functions) - _MOST} more" if len(functions) > _MOST else ""
        listed = f"{', '.join(functions[:_MOST])}{more}"
        yield f"Check that the other functions with the role do not use the grant: {listed}."


def _question(found: Excess, advice: Advice) -> str:
    """Return what a person has to find out about the secrets that a grant is for."""
    are_named = bool(advice.candidates) and all(map(is_one_secret, advice.candidates))
    add = ", or add it to SecretIds," if advice.is_for_writing else ""
    if not are_named or found.kind is ExcessKind.OTHER_SECRETS:
        other = ", or rotates another secret, such as a keytab" if advice.is_for_writing else ""
        return (
            f"Find out whether the function reads a superuser secret by this grant{other}. If so, set SuperuserSecretId"
            f" to it{add} first."
        )
    which = advice.candidates[0] if len(advice.candidates) == 1 else f"one of {join(advice.candidates)}"
    other = ", or another secret that a function rotates, such as a keytab" if advice.is_for_writing else ""
    question = f"Find out whether {which} is the superuser secret of a function{other}."
    return f"{question} If so, set SuperuserSecretId{add} first."


def _targets(advice: Advice) -> str:
    """Return why a function can need TargetArns, to complete a sentence; empty if it cannot."""
    reasons = []
    if advice.may_be_for_targets:
        reasons.append("calls the API of a database, a user or a directory")
    if advice.may_be_for_redshift:
        reasons.append("alternates the users of Redshift")
    return " or ".join(reasons)


def changing(role: Role, name: PolicyName, secret_arns: tuple[str, ...], part: object) -> Changing:
    """Return how a grant is removed, so that it can be restored.

    Args:
        role: has the policy.
        name: of the policy that has the grant.
        secret_arns: the secrets whose rotations have used the grant, and are turned on. To rotate another one would
            turn its rotation on.
        part: what of the policy is removed. Each step has a copy of its own, and no copy is overwritten.
    """
    if name.kind is PolicyKind.MANAGED:
        detach = aws("iam detach-role-policy", role.arn, role_name=role.name, policy_arn=name.name)
        restore = aws("iam attach-role-policy", role.arn, role_name=role.name, policy_arn=name.name)
        commands: tuple[str, ...] = (detach,)
        first, undo = f"Detach the policy ({detach}).", f"attach it again ({restore})"
    else:
        digest = sha256(repr((role.arn, name.name, part)).encode()).hexdigest()[:8]
        file = f"before-{re.sub(r'[^A-Za-z0-9_.-]+', '-', name.name)[:60]}-{digest}.json"
        get, put, delete = (
            partial(aws, f"iam {verb}-role-policy", role.arn, role_name=role.name, policy_name=name.name)
            for verb in ("get", "put", "delete")
        )
        # With -C, the shell does not overwrite a copy.
        keep = f"(set -C; {get(query='PolicyDocument', output='json')} > {file})"
        write, remove = put(policy_document="file://REDUCED.json"), delete()
        restore = put(policy_document=f"file://{file}")
        commands = (keep, write, remove)
        first = (
            f"Keep a copy of the policy in a new file ({keep}), then remove the grant from it: write what remains to"
            f" REDUCED.json and put it in place ({write}), or delete the policy if nothing remains ({remove})."
        )
        undo = f"put the copy back ({restore})"
    if not secret_arns:
        return Changing(f"{first} If something fails without it, {undo}.", (*commands, restore))
    rotate = rotating(secret_arns[0])
    others = len(secret_arns) - 1
    more = f", then the other secrets of the role ({others})" if others else ""
    return Changing(
        f"{first} Rotate at once while somebody watches ({rotate}){more}. If a rotation fails, {undo}.",
        (*commands, rotate, restore),
    )
