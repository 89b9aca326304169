"""The tables of the documentation, as Markdown, each from its one table in the code."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from docs.generate.remediation import REMEDIATIONS
from docs.generate.rotation_functions import ROTATION_FUNCTIONS, cells
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.iam.document import JsonStatement, as_list
from rotation_role_policy.rules import policy
from rotation_role_policy.rules.attributes import ATTRIBUTES
from rotation_role_policy.rules.properties import PROPERTIES, Property
from rotation_role_policy.rules.size import ROLE_LIMIT, size
from rotation_role_policy.rules.state import EnvironmentKey, Role, Secret, State
from rotation_role_policy.rules.targets import ACTIONS_WITHOUT_RESOURCE, TARGET_TYPES
from rotation_role_policy_cli import lint, permissions
from rotation_role_policy_cli.template.file import load

ROOT = Path(__file__).resolve().parents[2]
_ARN = "arn:aws:{}:eu-central-1:123456789012:{}"

_HAS_IT_ALL = State(
    secrets=(
        Secret(
            _ARN.format("secretsmanager", "secret:db"),
            _ARN.format("kms", "key/1"),
            earlier_key_arns=(_ARN.format("kms", "key/0"),),
        ),
    ),
    superuser_secret=Secret(
        _ARN.format("secretsmanager", "secret:superuser"),
        _ARN.format("kms", "key/2"),
        managed_by="rds",
        database_arns=(
            _ARN.format("rds", "db:db"),
            _ARN.format("rds", "cluster:db"),
            _ARN.format("redshift", "cluster:db"),
            _ARN.format("redshift-serverless", "namespace/db"),
        ),
    ),
    role=Role("role", "arn:aws:iam::123456789012:role/role"),
    function_arn=_ARN.format("lambda", "function:rotate"),
    in_vpc=True,
    dns_suffix="amazonaws.com",
    environment_key=EnvironmentKey(_ARN.format("kms", "key/3")),
    target_arns=(
        _ARN.format("rds", "db:replica"),
        _ARN.format("rds", "cluster:readers"),
        _ARN.format("elasticache", "user:app"),
        _ARN.format("timestream-influxdb", "db-instance/app"),
        _ARN.format("ds", "directory/d-0123456789"),
    ),
)
"""A state for which the policy has a statement of each type, in each of its forms."""


def properties() -> str:
    """Return the table of the properties, with the members of an Object below it."""
    rows = []
    for row in PROPERTIES:
        rows.append(_property(row.name, row))
        rows += [_property(f"{row.name}.{member.name}", member) for member in row.members]
    return _table(["property", "type", "default", "meaning"], rows)


def _property(path: str, row: Property) -> list[str]:
    shape = row.type_description or row.type
    if row.allowed_values:
        shape = " or ".join(f"`{value}`" for value in row.allowed_values)
    elif row.maximum:
        shape = f"{row.type}, {row.minimum} to {row.maximum}"
    default = f"`{row.default}`" if isinstance(row.default, str) else "" if row.default is None else str(row.default)
    return [f"`{path}`", shape, default or row.default_description, row.description]


def attributes() -> str:
    """Return the table of the attributes."""
    return _table(
        ["`Fn::GetAtt`", "value"], [[f"`{attribute.name}`", attribute.description] for attribute in ATTRIBUTES]
    )


def statements() -> str:
    """Return the table of the statements."""
    rows = []
    for statement_type, built in policy.statements_by_type(_HAS_IT_ALL, "Strict"):
        # One type has different statements for different databases and targets.
        forms = dict.fromkeys(_actions(statement) for statement in built)
        sid = f"`{statement_type.sid}`" + (" (Deny)" if built[0]["Effect"] == "Deny" else "")
        rows.append([sid, " or ".join(forms), statement_type.resource, statement_type.when, statement_type.reason])
    return _table(["`Sid`", "actions", "resource", "when", "why"], rows)


def _actions(statement: JsonStatement) -> str:
    """Return the actions as Markdown, such as `kms:` Decrypt, GenerateDataKey."""
    services, names = zip(*(action.split(":") for action in as_list(statement["Action"])), strict=True)
    if len(names) == 1:
        return f"`{services[0]}:{names[0]}`"
    [service] = set(services)
    return f"`{service}:` {', '.join(names)}"


def resources_of_a_role() -> str:
    """Return the table of how many resources fit a role, with and without a key and a VPC."""
    secret_arn = _ARN.format("secretsmanager", "secret:")
    secret_arn += "s" * (80 - len(secret_arn))
    rows = []
    for key_arn in (None, _ARN.format("kms", "key/11111111-2222-3333-4444-555555555555")):
        for in_vpc in (False, True):
            state = State((Secret(secret_arn, key_arn),), None, _HAS_IT_ALL.role, "", in_vpc, "amazonaws.com")
            characters = size(policy.document(state))
            rows.append(
                [
                    "customer managed" if key_arn else "AWS managed",
                    "yes" if in_vpc else "no",
                    f"{characters:,}",
                    str(ROLE_LIMIT // characters),
                ]
            )
    return _table(["key", "in a VPC", "characters of the policy", "resources that fit"], rows)


def errors() -> str:
    """Return the table of REMEDIATIONS."""
    rows = [
        [
            "<br>".join(f"`{message}`" for message in row.messages),
            row.remediation,
            ", ".join(f"`{code}`" for code in row.error_codes),
        ]
        for row in REMEDIATIONS
    ]
    return _table(["message", "what to do", "error code"], rows)


def rotation_functions() -> str:
    """Return the table of AWS's rotation functions."""
    return _table(
        ["AWS's function", "if", "properties", "statements", "calls that need them"], map(cells, ROTATION_FUNCTIONS)
    )


def targets() -> str:
    """Return the table of the types of targets."""
    rows = []
    for row in TARGET_TYPES:
        actions = [
            f"`{action}`{' on `*`' if action in ACTIONS_WITHOUT_RESOURCE else ''}" for action in row.actions
        ] or ["`DescribeSuperuserSecret`, but no call on the target"]
        rows.append([row.name, ", ".join(actions), row.purpose])
    return _table(["ARN of", "grants", "for"], rows)


def parameters() -> str:
    """Return the table of the parameters of template.yaml."""
    declared = load(ROOT / "template.yaml")["Parameters"]
    rows = [
        [
            f"`{name}`",
            f"`{parameter['Default']}`" if parameter["Default"] else "empty",
            _escaped(parameter["Description"]),
        ]
        for name, parameter in declared.items()
    ]
    return _table(["parameter", "default", "meaning"], rows)


def _escaped(text: str) -> str:
    """Return plain text as Markdown."""
    return text.replace("*", "\\*").replace("_", "\\_")


def rules() -> str:
    """Return the table of the lint rules."""
    return _table(["rule", "finds"], [[f"`{rule.id}`", rule.shortdesc] for rule in lint.RULES])


def findings() -> str:
    """Return the table of the audit's findings."""
    return _table(
        ["code", "severity", "reported if", "what to do"],
        [[f"`{row.code}`", row.severity.value, row.description, row.remediation] for row in FindingType],
    )


def audit_permissions() -> str:
    """Return the policy for a user who audits."""
    statement = {
        "Effect": "Allow",
        "Action": list(permissions.FOR_AUDIT),
        # An audit reads what the whole account has. Some of the actions support no resource.
        "Resource": "*",
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2)
    return f"```json\n{document}\n```"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(_lines(head, rows))


def _lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in rows:
        # A bar would end the cell.
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |".replace("|  |", "| |")
