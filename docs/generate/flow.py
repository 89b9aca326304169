"""The picture of the flow: the calls that one real Create makes, in their order."""

import contextlib
import io
from html import escape

from docs.generate.example_account import FUNCTION, SECRET, example_account

_LANES = {
    "stack": "your stack",
    "provider": "the provider",
    "secretsmanager": "Secrets Manager",
    "kms": "KMS",
    "lambda": "Lambda",
    "iam": "IAM",
    "cloudformation": "CloudFormation",
}
_TELLS = {
    "DescribeSecret": "which key, which function",
    "DescribeKey": "who manages the key",
    "GetFunctionConfiguration": "which role, in a VPC or not",
    "GetRolePolicy": "what stands there today",
    "SimulatePrincipalPolicy": "would anything block it",
    "PutRolePolicy": "one inline policy, its own",
    "DescribeStackEvents": "does it still wait for this",
}
"""What each call is for."""

_LANE, _ROW, _TOP, _LEFT = 150, 34, 70, 75
_INK, _PALE, _WRITE = "#24292f", "#8c959f", "#0969da"
_FONT = "font-family='system-ui, -apple-system, Segoe UI, sans-serif'"


def flow() -> str:
    """SVG of a Create for a secret under a customer managed key, and a function in a VPC."""
    with example_account() as account, contextlib.redirect_stdout(io.StringIO()):
        response = account.create(SecretId=SECRET, RotationLambdaARN=FUNCTION)
        calls = [(action.split(":")[0], action.split(":")[1]) for action in account.actions()]
    rows = [("stack", "provider", "Create", f"SecretId: {SECRET}", True)]
    for (service, operation), times in _counted(calls).items():
        label = f"{operation}{f' x {times}' if times > 1 else ''}"
        rows.append(("provider", service, label, _TELLS[operation], operation == "PutRolePolicy"))
    rows.append(("provider", "stack", response["Status"], "Ref, GetAtt; or a reason", True))
    return _svg(rows)


def _counted(calls: list[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """How often each call was made, in the order of their first."""
    return {call: calls.count(call) for call in dict.fromkeys(calls)}


def _svg(rows: list[tuple[str, str, str, str, bool]]) -> str:
    """Lanes from top to bottom, and an arrow for each row, with what it says above it and what it tells below."""
    columns = {lane: _LEFT + _LANE * number for number, lane in enumerate(_LANES)}
    width, height = _LEFT * 2 + _LANE * (len(_LANES) - 1), _TOP + _ROW * len(rows) + 30
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' {_FONT} font-size='12'>",
        "<title>The calls of one Create of Custom::RotationRolePolicy</title>",
        f"<rect width='{width}' height='{height}' rx='8' fill='#ffffff'/>",
    ]
    for lane, name in _LANES.items():
        x = columns[lane]
        parts.append(f"<line x1='{x}' y1='46' x2='{x}' y2='{height - 16}' stroke='{_PALE}' stroke-dasharray='2 4'/>")
        parts.append(
            f"<rect x='{x - 62}' y='16' width='124' height='28' rx='6' fill='#f6f8fa' stroke='{_PALE}'/>"
            f"<text x='{x}' y='34' text-anchor='middle' fill='{_INK}' font-weight='600'>{escape(name)}</text>"
        )
    for number, (start, end, label, tells, is_write) in enumerate(rows):
        y = _TOP + _ROW * number + 8
        x1, x2 = columns[start], columns[end]
        step = 6 if x2 > x1 else -6
        colour = _WRITE if is_write else _INK
        left = min(x1, x2) + 10
        parts.append(
            f"<line x1='{x1}' y1='{y}' x2='{x2 - step}' y2='{y}' stroke='{colour}' stroke-width='1.5'/>"
            f"<path d='M{x2 - step} {y - 4} L{x2} {y} L{x2 - step} {y + 4} Z' fill='{colour}'/>"
            f"<text x='{left}' y='{y - 5}' fill='{colour}' font-weight='600'>{escape(label)}</text>"
            f"<text x='{left}' y='{y + 13}' fill='#57606a' font-size='11'>{escape(tells)}</text>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"
