"""The command `report`: merge reports that were made elsewhere. They are input that nobody vouches for."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click
import jsonschema

from rotation_role_policy.audit.finding_types import FindingType, Severity, UnknownType
from rotation_role_policy.audit.findings import Acceptance, Finding, Grant, Subject, Words
from rotation_role_policy.audit.report import AuditedAccount, Report, RoleStatement, Rotation, merge
from rotation_role_policy.iam.document import Element, parse
from rotation_role_policy_cli.audit import output as outputs
from rotation_role_policy_cli.audit.output import Output
from rotation_role_policy_cli.audit.schema import schema

_MOST_BYTES = 200_000_000
"""A report of 10,000 secrets has about 50 MB."""
_TYPES = {each.code: each for each in FindingType}
_ACCOUNT = re.compile("[0-9]{12}")


def run(paths: Sequence[Path], output: Output, options: Mapping[str, Any]) -> int:
    """Merge the reports, write the result, and return the exit status. Raises `click.ClickException`."""
    outputs.check(output, paths)
    seen: dict[tuple[str, str], Path] = {}
    reports = []
    for path in paths:
        report = read(path)
        for place in [(account.id, region) for account in report.accounts for region in account.regions]:
            if other := seen.get(place):
                raise click.ClickException(f"{path}: there is a report on {' in '.join(place)} in {other} already.")
            seen[place] = path
        reports.append(report)
    return outputs.write(merge(reports), output, options, is_selection=True)


def read(path: Path) -> Report:
    """Return the report in a file. Raises `click.ClickException` with what is wrong with the file."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise click.ClickException(f"{path} has more than {_MOST_BYTES // 1_000_000} MB.")
        data = json.loads(path.read_text(encoding="utf-8"))
        jsonschema.validate(data, schema(), format_checker=None)
        return _checked(data, _report(data))
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read: {error.strerror}.") from error
    except jsonschema.ValidationError as error:
        where = "/".join(map(str, error.absolute_path)) or "the whole"
        raise click.ClickException(f"{path} is no report of audit --json: {where}: {error.message[:200]}.") from None
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{path} is no report of audit --json: {error}.") from error


def _checked(data: Mapping[str, Any], report: Report) -> Report:
    """Return a report. Raises ValueError if the data contradicts itself, because somebody has changed it."""
    ids = {finding.id for finding in report.findings}
    if dict(report.summary) != {name: data["summary"].get(name) for name in report.summary}:
        raise ValueError("its summary does not fit its secrets and findings")
    if not ids.issuperset(each for secret in data["secrets"] for each in secret["findings"]):
        raise ValueError("it lacks findings of its secrets")
    if data["complete"] != report.is_complete:
        raise ValueError("its member complete does not fit its findings")
    return report


def _report(data: Mapping[str, Any]) -> Report:
    return Report(
        tuple(_account(each) for each in data["accounts"]),
        tuple(_rotation(each) for each in data["secrets"]),
        tuple(_finding(each) for each in data["findings"]),
        {each["roleArn"]: tuple(map(_statement, each["statements"])) for each in data["roles"]},
    )


def _account(data: Mapping[str, Any]) -> AuditedAccount:
    if not _ACCOUNT.fullmatch(data["account"]):
        raise ValueError(f"{data['account']!r} is not the ID of an account")
    regions, empty = tuple(data["regions"]), tuple(data["emptyRegions"])
    time = datetime.fromisoformat(data["time"])
    if time.tzinfo is None:
        raise ValueError(f"the time {data['time']} has no time zone")
    return AuditedAccount(data["account"], data["caller"] or "", regions, time, data["stopped"] or "", empty)


def _rotation(data: Mapping[str, Any]) -> Rotation:
    declared = data["declaredIn"]
    return Rotation(
        data["secretArn"],
        data["name"],
        data["functionArn"],
        data["roleArn"] or "",
        policy_name=data["policy"] or "",
        declared_in=declared and (declared["stack"], declared["resource"]),
        last_rotated=_time(data["lastRotation"]),
        next_rotation=_time(data["nextRotation"]),
        owner=data["owner"],
        tags=data["tags"],
        known_statements=data["neededStatements"],
    )


def _statement(data: Mapping[str, Any]) -> RoleStatement:
    # A report that somebody has edited can have anything here.
    document = {"Statement": data["document"]}
    if len(parse(document)) != 1:
        raise ValueError(f"{data['document']!r} is no statement")
    return RoleStatement(data["policy"], data["statement"], data["document"])


def _finding(data: Mapping[str, Any]) -> Finding:
    severity, accepted = Severity(data["severity"]), data["accepted"]
    known = _TYPES.get(data["code"])
    subject = Subject(*(data[name] or "" for name in ("secretArn", "functionArn", "roleArn")))
    if not subject.scope:
        subject = Subject(region=data["region"] or "")
    until = accepted and accepted["until"] and date.fromisoformat(accepted["until"])
    return Finding(
        known if known and known.severity is severity else UnknownType(data["code"], severity),
        subject,
        data["resource"],
        Words(data["message"], data["remediation"], tuple(data["commands"])),
        tuple(data["difference"]),
        policy=data["policy"] or "",
        grants=tuple(_grant(each) for each in data["grants"]),
        actions=tuple(data["actions"]),
        accepted=accepted and Acceptance(data["code"], data["resource"], accepted["reason"], until or None),
        account=data["account"] or "",
        known_id=data["id"],
    )


def _grant(data: Mapping[str, Any]) -> Grant:
    actions = Element(tuple(data.get("actions", data.get("notActions", ()))), "notActions" in data)
    resource = Element(tuple(data.get("resource", data.get("notResource", ()))), "notResource" in data)
    replacement = data["replacement"]
    return Grant(data["statement"], actions, resource, None if replacement is None else tuple(replacement))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
