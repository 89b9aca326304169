"""The JSON Schema of the report of `audit --json`, derived from the table of findings."""

import json
from pathlib import Path
from typing import Any

from rotation_role_policy.audit.finding_types import FindingType, Severity

FILE = Path(__file__).with_name("audit.schema.json")
"""The file in the repository that has `text()`."""

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_TIME = {"type": "string", "format": "date-time"}
_TIME_OR_NULL = {"type": ["string", "null"], "format": "date-time"}
_TEXT_OR_TEXTS = {"type": ["string", "array"], "items": _TEXT}
_STATEMENTS_OR_NULL = {"type": ["array", "null"], "items": {"$ref": "#/definitions/statement"}}


def schema() -> dict[str, Any]:
    """Return the schema. Further members are allowed, because a newer minor version can have some."""
    count = {"type": "integer", "minimum": 0}
    counted = ("secrets", "functions", "roles", "errors", "warnings", "notes", "accepted")
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": "Made by make docs",
        "title": "The report of rotation-role-policy audit --json",
        **_object(
            {
                "schemaVersion": _TEXT
                | {
                    "pattern": r"^1\.[0-9]+$",
                    "description": "A minor number adds members and codes, a major number changes or removes some.",
                },
                "toolVersion": _TEXT,
                "options": {"type": "object", "description": "The options of the audit."},
                "complete": {
                    "type": "boolean",
                    "description": "Whether everything was inspected, or it was accepted that it cannot be.",
                },
                "summary": _object(dict.fromkeys(counted, count)),
                "accounts": {"type": "array", "items": _account()},
                "secrets": {
                    "type": "array",
                    "items": _secret(),
                    "description": "All secrets that were looked at, also those without findings.",
                },
                "roles": {
                    "type": "array",
                    "items": _role(),
                    "description": "The execution roles that could be read.",
                },
                "findings": {"type": "array", "items": _finding(), "description": "Worst first."},
            }
        ),
        "definitions": {"statement": _statement()},
    }


def _account() -> dict[str, Any]:
    return _object(
        {
            "account": _TEXT,
            "caller": _TEXT_OR_NULL
            | {"description": "ARN of the identity that made the calls. Null if the account could not be audited."},
            "regions": _TEXTS,
            "emptyRegions": _TEXTS | {"description": "Those in which no secret has a rotation function."},
            "time": _TIME | {"description": "When the audit began."},
            "stopped": _TEXT_OR_NULL | {"description": "Why the audit ended before its end."},
        }
    )


def _secret() -> dict[str, Any]:
    return _object(
        {
            "secretArn": _TEXT,
            "name": _TEXT,
            "functionArn": _TEXT | {"description": "As the secret reports it, with a version or alias if any."},
            "roleArn": _TEXT_OR_NULL,
            "policy": _TEXT_OR_NULL
            | {"description": "The policy of a Custom::RotationRolePolicy that covers the secret."},
            "declaredIn": _object({"stack": _TEXT, "resource": _TEXT})
            | {"type": ["object", "null"], "description": "The stack and the logical ID of this resource, if known."},
            "owner": {
                "type": "object",
                "additionalProperties": _TEXT,
                "description": "The tags of the role that say which template or application it belongs to.",
            },
            "tags": {"type": "object", "additionalProperties": _TEXT, "description": "The tags of the secret."},
            "lastRotation": _TIME_OR_NULL,
            "nextRotation": _TIME_OR_NULL,
            "neededStatements": _STATEMENTS_OR_NULL
            | {"description": "What the rotation of this secret alone needs. Null if that is not known."},
            "findings": _TEXTS | {"description": "The IDs of the findings about it."},
        }
    )


def _role() -> dict[str, Any]:
    statement = {
        "policy": _TEXT | {"description": "The name of an inline policy, or the ARN of a managed one."},
        "statement": {"type": ["string", "integer"], "description": "Its Sid, or its number from 1."},
        "document": {"type": "object", "description": "The statement as it is."},
    }
    return _object(
        {
            "roleArn": _TEXT,
            "statements": {
                "type": "array",
                "items": _object(statement),
                "description": "Those about secrets, keys, network interfaces and other calls of rotations.",
            },
        }
    )


def _finding() -> dict[str, Any]:
    return _object(
        {
            "id": _TEXT | {"description": "The same in each audit, as long as the same is wrong."},
            "code": _TEXT
            | {
                "description": "docs/audit.md explains each code. A new minor version of the schema can add codes."
                f" Today: {', '.join(row.code for row in FindingType)}.",
            },
            "severity": {"enum": [severity.value for severity in Severity]},
            "account": _TEXT_OR_NULL,
            "region": _TEXT_OR_NULL | {"description": "Null for a finding about a role."},
            "secretArn": _TEXT_OR_NULL
            | {"description": "Null if the finding concerns all secrets of the function or of the role."},
            "secretArns": _TEXTS | {"description": "All secrets that it concerns."},
            "functionArn": _TEXT_OR_NULL | {"description": "As the secret reports it, with a version or alias if any."},
            "roleArn": _TEXT_OR_NULL,
            "resource": _TEXT | {"description": "ARN of the resource that has to change, or its name."},
            "actions": _TEXTS
            | {"description": "The actions that the role may not call, or that the audit could not call."},
            "policy": _TEXT_OR_NULL
            | {"description": "The policy of the role that is too broad or outdated: its name, or its ARN."},
            "grants": {"type": "array", "items": _grant(), "description": "What in this policy is too much."},
            "message": _TEXT | {"description": "What is wrong."},
            "remediation": _TEXT | {"description": "What to do."},
            "commands": _TEXTS
            | {
                "description": "The commands in the remediation, quoted for a shell. A word in capitals stands for what"
                " only a person can know.",
            },
            "difference": _TEXTS
            | {
                "description": "For PolicyDrift and PolicyWidened: the lines of a unified difference to the policy that"
                " would be written today.",
            },
            "accepted": _object({"reason": _TEXT, "until": _TEXT_OR_NULL})
            | {
                "type": ["object", "null"],
                "description": "Why somebody has accepted it (--accept), and until which day.",
            },
        }
    )


def _statement() -> dict[str, Any]:
    """Return the schema of a statement as the provider writes it."""
    operators = {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": _TEXT_OR_TEXTS}}
    return _object(
        {
            "Sid": _TEXT,
            "Effect": {"enum": ["Allow", "Deny"]},
            "Action": _TEXT_OR_TEXTS,
            "Resource": _TEXT_OR_TEXTS,
            "Condition": operators,
        },
        optional=("Sid", "Condition"),
    )


def _grant() -> dict[str, Any]:
    elements = {
        "actions": _TEXTS,
        "notActions": _TEXTS | {"description": "In place of actions: all but these."},
        "resource": _TEXTS,
        "notResource": _TEXTS | {"description": "In place of resource: all but these."},
    }
    return _object(
        {
            "policy": _TEXT | {"description": "Name of an inline policy, or ARN of a managed one."},
            "statement": {"type": ["string", "integer"], "description": "Its Sid, or its number from 1."},
            **elements,
            "replacement": _STATEMENTS_OR_NULL
            | {
                "description": "What to put in its place at once, so that no rotation breaks: the statements that"
                " rotations need of the grant today. Empty to remove it. Null if a person has to follow the"
                " remediation.",
            },
        },
        optional=tuple(elements),
    )


def text() -> str:
    """Return the text of the schema's file."""
    return json.dumps(schema(), indent=2) + "\n"


def _object(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}
