"""The report of an audit as JSON (audit.schema.json)."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import starmap
from typing import Any

from rotation_role_policy import __version__
from rotation_role_policy.audit.findings import Finding, Grant
from rotation_role_policy.audit.report import AuditedAccount, Report, RoleStatement, Rotation

SCHEMA_VERSION = "1.0"
"""A minor number adds members and codes, a major number changes or removes some."""


def parts(report: Report, options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the text of the report, part by part: of a large account, it takes more memory than the report itself.

    Args:
        report: the report.
        options: of the audit, as evidence.
    """
    head = {
        "schemaVersion": SCHEMA_VERSION,
        "toolVersion": __version__,
        "options": dict(options),
        "complete": report.is_complete,
        "summary": dict(report.summary),
        "accounts": [_account(each) for each in report.accounts],
    }
    yield "{\n"
    for name, value in head.items():
        yield f"{json.dumps(name)}: {json.dumps(value, indent=2)},\n"
    yield from _array("secrets", (_rotation(report, each) for each in report.rotations))
    yield ",\n"
    yield from _array("roles", starmap(_role, report.role_statements.items()))
    yield ",\n"
    yield from _array("findings", (_finding(report, each) for each in report.findings))
    yield "\n}\n"


def _array(name: str, items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a member with one item for each line."""
    yield f"{json.dumps(name)}: ["
    for number, item in enumerate(items):
        yield f"{',' if number else ''}\n{json.dumps(item)}"
    yield "\n]"


def _account(account: AuditedAccount) -> dict[str, Any]:
    return {
        "account": account.id,
        "caller": account.caller_arn or None,
        "regions": list(account.regions),
        "emptyRegions": list(account.empty_regions),
        "time": _time(account.time),
        "stopped": account.stopped or None,
    }


def _rotation(report: Report, rotation: Rotation) -> dict[str, Any]:
    statements, declared = rotation.statements, rotation.declared_in
    return {
        "secretArn": rotation.secret_arn,
        "name": rotation.secret_name,
        "functionArn": rotation.function_arn,
        "roleArn": rotation.role_arn or None,
        "policy": rotation.policy_name or None,
        "declaredIn": declared and {"stack": declared[0], "resource": declared[1]},
        "owner": dict(rotation.owner),
        "tags": dict(rotation.tags),
        "lastRotation": _time(rotation.last_rotated),
        "nextRotation": _time(rotation.next_rotation),
        "neededStatements": None if statements is None else list(statements),
        "findings": [finding.id for finding in report.findings_of(rotation)],
    }


def _role(role_arn: str, statements: Iterable[RoleStatement]) -> dict[str, Any]:
    return {
        "roleArn": role_arn,
        "statements": [{"policy": each.policy, "statement": each.label, "document": each.json} for each in statements],
    }


def _finding(report: Report, finding: Finding) -> dict[str, Any]:
    account, region = finding.place
    accepted = finding.accepted
    return {
        "id": finding.id,
        "code": finding.type.code,
        "severity": finding.severity.value,
        "account": account or None,
        "region": region or None,
        "secretArn": finding.subject.secret_arn or None,
        "secretArns": report.secrets_of(finding),
        "functionArn": finding.subject.function_arn or None,
        "roleArn": finding.subject.role_arn or None,
        "resource": finding.resource,
        "actions": list(finding.actions),
        "policy": finding.policy or None,
        "grants": [_grant(finding, each) for each in finding.grants],
        "message": finding.message,
        "remediation": finding.remediation,
        "commands": list(finding.commands),
        "difference": list(finding.difference),
        "accepted": accepted and {"reason": accepted.reason, "until": accepted.until and accepted.until.isoformat()},
    }


def _grant(finding: Finding, grant: Grant) -> dict[str, Any]:
    return {
        "policy": finding.policy,
        "statement": grant.statement,
        "notActions" if grant.actions.is_negated else "actions": list(grant.actions.patterns),
        "notResource" if grant.resource.is_negated else "resource": list(grant.resource.patterns),
        "replacement": None if grant.replacement is None else list(grant.replacement),
    }


def _time(time: datetime | None) -> str | None:
    return time.isoformat(timespec="seconds") if time else None
