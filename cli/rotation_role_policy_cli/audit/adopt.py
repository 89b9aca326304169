"""The template that adopts rotations: a `Custom::RotationRolePolicy` for each function that has none."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from rotation_role_policy import arn
from rotation_role_policy.audit.findings import FindingType, Severity
from rotation_role_policy.audit.report import Report, Rotation
from rotation_role_policy.iam.resource_policies import is_key
from rotation_role_policy_cli.schema import TYPE

SECRETS_PER_RESOURCE = 20
"""CloudFormation accepts responses of 4,096 bytes, which contain the ARNs of all secrets and keys."""
_HEADER = """\
Each resource puts one more inline policy on the role of a rotation function. It removes nothing. Before you deploy it:
- Deploy rotation-role-policy, which serves the resources, in this account and region (README.md).
- Find out for each function whether it reads the secret of a superuser or an administrator, and whether it calls the
  API of a database, a user or a directory. Only a person can know that. Set SuperuserSecretId and TargetArns
  accordingly: see docs/rotation-functions.md. The comments say what the audit assumes.
- A function for several secrets of a directory (keytabs) needs all of them in SecretIds.

Deploy it as a new stack. Over an earlier template of this kind, it would remove the policies of that one:

  aws cloudformation deploy --template-file FILE --stack-name rotation-policies-{date}

If one resource fails, CloudFormation rolls back all of them. The reason is in the stack's events.
Then run the audit again. It says which grants can go, what has to happen first, and with which commands a grant is
restored. Remove the grants of one role, and rotate its secrets at once while somebody watches: only a rotation without
the old grants shows that the new policy has everything. If the rotation fails, put the grants back.
If you delete this stack, its policies are removed.
""".splitlines()
Place = tuple[str, str]
"""An account and a region."""

_RESOURCES_PER_TEMPLATE = 500
"""https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""


def files(report: Report, path: Path) -> dict[Path, Place]:
    """Return the files to write, each with its account and region: one for each with rotations to adopt.

    With one of them, the file is `path`. Otherwise its name has the region: ``adopt.eu-west-1.yaml``. If the report is
    of several accounts, it has the account too.
    """
    places = list(_by_place(report))
    if len(places) <= 1:
        return dict(zip([path], places, strict=False))
    has_one_account = len(report.accounts) == 1
    return {
        path.with_suffix(f".{place[1] if has_one_account else '.'.join(place)}{path.suffix}"): place for place in places
    }


def write(report: Report, place: Place, file: TextIO) -> None:
    """Write the template for the rotations of an account and region, as YAML with comments."""
    file.writelines(f"{line}\n" for line in _lines(report, place))


def _by_place(report: Report) -> dict[Place, list[Rotation]]:
    """Return the rotations that the provider can adopt, by account and region."""
    places: dict[Place, list[Rotation]] = {}
    for rotation in report.rotations:
        if not rotation.policy_name and not _obstacles(report, rotation):
            places.setdefault(rotation.place, []).append(rotation)
    return places


def _obstacles(report: Report, rotation: Rotation) -> list[str]:
    """Return why a rotation is left out. If the provider refused its resource, the whole stack would roll back."""
    found = report.findings_of(rotation)
    obstacles = [
        finding.message
        for finding in found
        # The key of the environment variables is no reason for the provider to refuse a policy.
        if (finding.type is FindingType.KEY_UNUSABLE and not is_key(finding.resource))
        or finding.type is FindingType.FUNCTION_MISSING
        or finding.is_blocked
    ]
    obstacles += rotation.obstacles
    if not rotation.is_adoptable:
        # To adopt it could complete a change of its rotation that nobody here has wanted.
        obstacles += [finding.message for finding in found if finding.type is FindingType.NO_POLICY]
    if not obstacles and rotation.state is None:
        obstacles = [finding.message for finding in found] or ["It was not inspected."]
    return obstacles


def _lines(report: Report, place: Place) -> Iterator[str]:
    rotations = _by_place(report)[place]
    by_function = sorted(rotations, key=lambda rotation: (rotation.function_arn, rotation.secret_arn))
    resources = [
        (function_arn, part)
        for function_arn, of_function in groupby(by_function, lambda rotation: rotation.function_arn)
        for part in _parts(list(of_function))
    ]
    account, region = place
    yield f"# Adopts the rotations of account {account} in {region} that have no {TYPE}."
    yield f"# Written by `rotation-role-policy audit` on {report.time:%Y-%m-%d}."
    yield "#"
    for line in _HEADER:
        yield f"# {line.format(date=f'{report.time:%Y%m%d}')}".rstrip()
    if len(resources) > _RESOURCES_PER_TEMPLATE:
        yield f"# CloudFormation accepts {_RESOURCES_PER_TEMPLATE} resources in a template. Split this one."
    yield 'AWSTemplateFormatVersion: "2010-09-09"'
    yield ""
    yield "Resources:"
    for function_arn, part in resources:
        yield from _resource(report, _logical_id(function_arn, part), function_arn, part)
    yield from _left_out(report, place)


def _left_out(report: Report, place: Place) -> Iterator[str]:
    """Yield comments on the rotations that are left out."""
    left_out = {
        rotation: obstacles
        for rotation in (each for each in report.rotations if each.place == place)
        if not rotation.policy_name and (obstacles := _obstacles(report, rotation))
    }
    if left_out:
        yield "# Left out, because of errors, because the provider would refuse them, or because a policy on another"
        yield "# role covers them. Correct that, then run the audit again:"
    for rotation, obstacles in left_out.items():
        yield f"# - {rotation.secret_arn}"
        for obstacle in obstacles:
            yield from (f"#   {line}" for line in _wrapped(obstacle))


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
    for word in text.split():
        if line and len(line) + len(word) > 100:
            yield line
            line = ""
        line = f"{line} {word}".strip()
    yield line


def _text(value: Any) -> str:
    # A JSON string is a YAML string.
    return json.dumps(value)
