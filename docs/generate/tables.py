"""The README's tables as Markdown, made from the tables in the code."""

from collections.abc import Iterable, Iterator, Sequence

from docs.generate.remediation import REMEDIES
from rotation_role_policy import policy
from rotation_role_policy.attributes import ATTRIBUTES
from rotation_role_policy.errors import Kind
from rotation_role_policy.policy_grammar import as_list
from rotation_role_policy.properties import PROPERTIES, Property
from rotation_role_policy.state import Role, Secret, Situation
from rotation_role_policy_cli import lint

_ARN = "arn:aws:{}:eu-central-1:123456789012:{}"

_HAS_IT_ALL = Situation(
    secrets=(Secret(_ARN.format("secretsmanager", "secret:db"), _ARN.format("kms", "key/1")),),
    superuser_secret=Secret(
        _ARN.format("secretsmanager", "secret:superuser"),
        _ARN.format("kms", "key/2"),
        managed_by_rds=True,
        database_arns=(_ARN.format("rds", "db:db"), _ARN.format("rds", "cluster:db")),
    ),
    role=Role("role", "arn:aws:iam::123456789012:role/role"),
    function_arn=_ARN.format("lambda", "function:rotate"),
    in_vpc=True,
    dns_suffix="amazonaws.com",
)
"""The state that leads to a policy with each kind of statement, in each of its forms."""


def properties() -> str:
    """Return the table of properties. The members of an Object follow it."""
    rows = []
    for row in PROPERTIES:
        rows.append(_property(row.name, row))
        rows += [_property(f"{row.name}.{member.name}", member) for member in row.members]
    return _table(["property", "type", "default", "meaning"], rows)


def _property(path: str, row: Property) -> list[str]:
    shape = row.shape or row.type
    if row.allowed:
        shape = " or ".join(f"`{value}`" for value in row.allowed)
    elif row.type == "Integer":
        shape = f"Integer, {row.minimum} to {row.maximum}"
    default = f"`{row.default}`" if isinstance(row.default, str) else "" if row.default is None else str(row.default)
    return [f"`{path}`", shape, default or row.otherwise, row.meaning]


def attributes() -> str:
    """Return the table of attributes."""
    return _table(["`Fn::GetAtt`", "value"], [[f"`{attribute.name}`", attribute.meaning] for attribute in ATTRIBUTES])


def statements() -> str:
    """Return the table of statements. The actions are those of a policy that has them all."""
    rows = []
    for kind, built in policy.explained(_HAS_IT_ALL, "Strict"):
        # One kind has different statements for instances and for clusters.
        forms = dict.fromkeys(_actions(statement) for statement in built)
        sid = f"`{kind.sid}`" + (" (Deny)" if built[0]["Effect"] == "Deny" else "")
        rows.append([sid, " or ".join(forms), kind.resource, kind.when, kind.why])
    return _table(["`Sid`", "actions", "resource", "when", "why"], rows)


def _actions(statement: policy.Statement) -> str:
    """Return the actions of a statement, as in `kms:` Decrypt, GenerateDataKey."""
    services, names = zip(*(action.split(":") for action in as_list(statement["Action"])), strict=True)
    if len(names) == 1:
        return f"`{services[0]}:{names[0]}`"
    [service] = set(services)
    return f"`{service}:` {', '.join(names)}"


def refusals() -> str:
    """Return the table of refusals, in the order of their kinds."""
    ordered = sorted(REMEDIES, key=lambda remedy: list(Kind).index(remedy.kind))
    rows = [["; ".join(f"`{text}`" for text in remedy.says), remedy.do, f"`{remedy.kind}`"] for remedy in ordered]
    return _table(["the reason says", "what it means, and what to do", "`Kind`"], rows)


def rules() -> str:
    """Return the table of the rules for cfn-lint."""
    return _table(["rule", "finds"], [[f"`{rule}`", finds] for rule, finds in lint.rows()])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(_lines(head, rows))


def _lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in rows:
        # A bar would end the cell.
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |".replace("|  |", "| |")
