"""The JSON Schema of the report of `audit --json`, derived from the table of findings."""

import json
from pathlib import Path
from typing import Any

from rotation_role_policy.audit.findings import FindingType, Severity

FILE = Path(__file__).with_name("audit.schema.json")
"""The file in the repository that has `text()`."""

_ARN_OR_NULL = {"type": ["string", "null"]}


def schema() -> dict[str, Any]:
    """Return the schema."""
    finding = {
        "code": {
            "type": "string",
            "description": "docs/audit.md explains each code. A new minor version of the schema can add codes. Today: "
            f"{', '.join(row.code for row in FindingType)}.",
        },
        "severity": {"enum": [severity.value for severity in Severity]},
        "secretArn": _ARN_OR_NULL
        | {"description": "Null if the finding concerns all secrets of the function or of the role."},
        "secretArns": {"type": "array", "items": {"type": "string"}, "description": "All secrets that it concerns."},
        "functionArn": _ARN_OR_NULL | {"description": "As the secret reports it, with a version or alias if any."},
        "roleArn": _ARN_OR_NULL,
        "resource": {"type": "string", "description": "ARN of the resource that has to change, or its name."},
        "message": {"type": "string", "description": "What is wrong."},
        "remediation": {"type": "string", "description": "What to do."},
        "difference": {
            "type": "array",
            "items": {"type": "string"},
            "description": "For PolicyDrift and PolicyWidened: the lines of a unified difference to the policy that"
            " would be written today.",
        },
    }
    count = {"type": "integer", "minimum": 0}
    report = {
        "schemaVersion": {
            "type": "string",
            "pattern": r"^1\.[0-9]+$",
            "description": "A minor number adds members and codes, a major number changes or removes some.",
        },
        "complete": {"type": "boolean", "description": "Whether everything was inspected."},
        "stopped": {"type": ["string", "null"], "description": "Why the audit ended before its end."},
        "account": {"type": "string"},
        "regions": {"type": "array", "items": {"type": "string"}},
        "time": {"type": "string", "format": "date-time", "description": "When the audit began."},
        "summary": _object(dict.fromkeys(("secrets", "functions", "roles", "errors", "warnings", "notes"), count)),
        "findings": {
            "type": "array",
            "items": _object(finding, optional=("difference",)),
            "description": "Worst first.",
        },
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": "Made by make docs",
        "title": "The report of rotation-role-policy audit --json",
        **_object(report),
    }


def text() -> str:
    """Return the text of the schema's file."""
    return json.dumps(schema(), indent=2) + "\n"


def _object(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
