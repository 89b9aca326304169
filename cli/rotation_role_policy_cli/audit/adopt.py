"""The templates that adopt rotations: a `Custom::RotationRolePolicy` for each function that has none."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from rotation_role_policy import arn
from rotation_role_policy.audit.finding_types import FindingType, Severity
from rotation_role_policy.audit.report import Report, Rotation
from rotation_role_policy_cli.render import printable
from rotation_role_policy_cli.schema import TYPE

SECRETS_PER_RESOURCE = 20
"""CloudFormation accepts responses of 4,096 bytes, which contain the ARNs of all secrets and keys."""
Place = tuple[str, str]
"""An account and a region."""

_RESOURCES_PER_TEMPLATE = 50
"""A failed resource rolls back all of the stack."""
_MOST_BYTES = 51_200
"""Of a template in a request:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""
LEFT_OUT = "left-out.txt"
"""The file that says which rotations are left out, and why."""
_HEADER = """\
Adopts rotations of account {account} in {region} that have no {type}.
Owner: {owner}. Wave {number}. Written by `rotation-role-policy audit` on {date}.

Each resource puts one more inline policy on the role of a rotation function. It removes nothing. Before you deploy it:
- Deploy rotation-role-policy, which serves the resources, in this account and region (README.md). If its stack has
  another name, change the ServiceToken.
- Find out for each function whether it reads the secret of a superuser or an administrator, and whether it calls the
  API of a database, a user or a directory. Only a person can know that. Set SuperuserSecretId and TargetArns
  accordingly: see docs/rotation-functions.md. The comments say what the audit assumes.
- A function for several secrets of a directory (keytabs) needs all of them in SecretIds.

1. Create the stack. The command never changes a stack that exists:

  aws cloudformation create-stack --region {region} --stack-name {stack} \\
    --template-body file://{file}
  aws cloudformation wait stack-create-complete --region {region} --stack-name {stack}

   If one resource fails, CloudFormation rolls back all of them. The reason is in the stack's events.
2. Run the audit again. It says which grants can go, what has to happen first, and with which commands a copy of a
   policy is kept and restored. Remove the grants of one role, with a copy.
3. Rotate its secrets at once while somebody watches: only a rotation without the old grants shows that the new policy
   has everything.
4. If the rotation fails, put the grants back.

If you delete this stack, its policies are removed. IAM refuses to delete a role while it has one of them, so delete
this stack before the role.
"""


class _Resource(NamedTuple):
    """A resource of a template."""

    owner: str
    """Of the role: the stack or application that its tags name; empty if they name none."""
    text: str
    """Its lines as YAML, with comments."""


def files(report: Report, folder: Path) -> dict[Path, str]:
    """Return the files to write, and their texts: templates by owner and in waves, and what is left out.

    Each template has a stack of its own. Its name follows from the content, so it is never that of another template.
    """
    found: dict[Path, str] = {}
    by_place = _by_place(report)
    for place, rotations in by_place.items():
        resources = sorted(_resources(report, rotations), key=lambda each: each.owner)
        for owner, of_owner in groupby(resources, lambda each: each.owner):
            for number, wave in enumerate(_waves([each.text for each in of_owner]), 1):
                stack, body = _stack_name(owner, number, wave), _body(wave)
                name = f"{stack}.yaml" if len(by_place) == 1 else f"{'-'.join(place)}-{stack}.yaml"
                found[folder / name] = (
                    _header(report, place, owner or "roles without an owner", number, stack, name) + body
                )
    if left_out := "".join(f"{line}\n" for line in _left_out(report)):
        found[folder / LEFT_OUT] = left_out
    return found


def _by_place(report: Report) -> dict[Place, list[Rotation]]:
    """Return the rotations that the provider can adopt, by account and region."""
    places: dict[Place, list[Rotation]] = {}
    for rotation in report.rotations:
        if not rotation.policy_name and not _obstacles(report, rotation):
            places.setdefault(rotation.place, []).append(rotation)
    return places


def _waves(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield the texts of the resources of each template."""
    # The names in the header have a limited length.
    room = _MOST_BYTES - len(_HEADER.encode()) - 2_000
    wave: list[str] = []
    size = 0
    for text in texts:
        length = len(text.encode())
        if wave and (len(wave) == _RESOURCES_PER_TEMPLATE or size + length > room):
            yield wave
            wave, size = [], 0
        wave.append(text)
        size += length
    if wave:
        yield wave


def _stack_name(owner: str, number: int, wave: Sequence[str]) -> str:
    """Return a name that no stack for other resources has."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", owner).strip("-")[:60] or "unowned"
    return f"rotation-policies-{words}-{number}-{sha256(''.join(wave).encode()).hexdigest()[:8]}"


def _header(report: Report, place: Place, owner: str, number: int, stack: str, file: str) -> str:
    account, region = place
    text = _HEADER.format(
        account=account,
        region=region,
        type=TYPE,
        owner=printable(owner),
        number=number,
        date=f"{report.time:%Y-%m-%d}",
        stack=stack,
        file=file,
    )
    return "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines())


def _body(wave: Iterable[str]) -> str:
    return "".join(['AWSTemplateFormatVersion: "2010-09-09"\n\nResources:\n', *wave])


def _resources(report: Report, rotations: Iterable[Rotation]) -> Iterator[_Resource]:
    """Yield the resources for rotations of one place: one for each function, with at most 20 secrets."""
    by_function = sorted(rotations, key=lambda rotation: (rotation.function_arn, rotation.secret_arn))
    for function_arn, of_function in groupby(by_function, lambda rotation: rotation.function_arn):
        for part in _parts(list(of_function)):
            lines = _resource(report, _logical_id(function_arn, part), function_arn, part)
            yield _Resource(part[0].owner_name, "".join(f"{line}\n" for line in lines))


def _obstacles(report: Report, rotation: Rotation) -> list[str]:
    """Return why a rotation is left out. If the provider refused its resource, the whole stack would roll back."""
    found = report.findings_of(rotation)
    obstacles = [finding.message for finding in found if finding.is_obstacle]
    obstacles += rotation.obstacles
    if not rotation.is_adoptable:
        # To adopt it could complete a change of its rotation that nobody here has wanted.
        obstacles += [finding.message for finding in found if finding.type is FindingType.NO_POLICY]
    if not obstacles and rotation.state is None:
        obstacles = [finding.message for finding in found] or ["It was not inspected."]
    return obstacles


def _left_out(report: Report) -> Iterator[str]:
    """Yield the rotations that are left out, and why."""
    left_out = {
        rotation: obstacles
        for rotation in report.rotations
        if not rotation.policy_name and (obstacles := _obstacles(report, rotation))
    }
    if left_out:
        yield "Left out, because of errors, because the provider would refuse them, or because a policy on another role"
        yield "covers them. Correct that, then run the audit again:"
    for rotation, obstacles in left_out.items():
        yield f"- {rotation.secret_arn}"
        for obstacle in obstacles:
            yield from (f"  {line}" for line in _wrapped(obstacle))


def _parts(rotations: list[Rotation]) -> Iterator[list[Rotation]]:
    for start in range(0, len(rotations), SECRETS_PER_RESOURCE):
        yield rotations[start : start + SECRETS_PER_RESOURCE]


def _logical_id(function_arn: str, rotations: Sequence[Rotation]) -> str:
    """Return a logical ID that depends only on the function and its first secret.

    The same ID for other secrets would take the permissions for the former secrets away.
    """
    name = arn.parse(arn.split_qualifier(function_arn)[0]).resource.removeprefix("function:")
    words = "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", name))
    digits = sha256(f"{function_arn} {rotations[0].secret_arn}".encode()).hexdigest()[:8]
    return f"{words[:100]}RotationPolicy{digits}"


def _resource(report: Report, logical_id: str, function_arn: str, rotations: Sequence[Rotation]) -> Iterator[str]:
    state = rotations[0].state
    yield f"  {logical_id}:"
    yield f"    Type: {TYPE}"
    yield "    Properties:"
    yield "      ServiceToken: !ImportValue rotation-role-policy-ServiceToken"
    if len(rotations) == 1:
        yield f"      SecretId: {_text(rotations[0].secret_arn)}"
    else:
        yield "      SecretIds:"
        yield from (f"        - {_text(rotation.secret_arn)}" for rotation in rotations)
    yield f"      RotationLambdaARN: {_text(function_arn)}"
    for unknown in dict.fromkeys(unknown for rotation in rotations for unknown in rotation.unknowns):
        yield from _comment(unknown)
    superuser = state.superuser_secret if state else None
    yield f"      SuperuserSecretId: {_text(superuser.arn)}" if superuser else "      # SuperuserSecretId:"
    databases = superuser.database_arns if superuser else ()
    targets = [target for target in (state.target_arns if state else ()) if target not in databases]
    if targets:
        yield from _comment("The role may call these targets. Remove those that the function does not need.")
        yield "      TargetArns:"
        yield from (f"        - {_text(target)}" for target in targets)
    else:
        yield "      # TargetArns:"
    yield from _remaining_errors(report, rotations)
    yield ""


def _remaining_errors(report: Report, rotations: Sequence[Rotation]) -> Iterator[str]:
    """Yield comments on the errors that a policy cannot correct."""
    errors = {
        finding.message: None
        for rotation in rotations
        for finding in report.findings_of(rotation)
        if finding.severity is Severity.ERROR and finding.type is not FindingType.ACTION_NOT_GRANTED
    }
    for message in errors:
        yield from _comment(f"Not corrected by this policy: {message}")


def _comment(text: str) -> Iterable[str]:
    return (f"      # {line}" for line in _wrapped(text))


def _wrapped(text: str) -> Iterator[str]:
    line = ""
    # YAML does not accept control characters, not even in a comment.
    for word in printable(text).split():
        if line and len(line) + len(word) > 100:
            yield line
            line = ""
        line = f"{line} {word}".strip()
    yield line


def _text(value: Any) -> str:
    # A JSON string is a YAML string.
    return json.dumps(value)
