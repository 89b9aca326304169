"""Reports of an audit: one with findings of all types, an incomplete one, one that is dangerous as HTML."""

from datetime import UTC, datetime

from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Finding, Subject, Words
from rotation_role_policy.audit.report import AuditedAccount, Report, Rotation, sort_findings
from rotation_role_policy.rules.state import Role, Secret, State

ACCOUNT = "123456789012"
REGION = "eu-central-1"
CALLER = f"arn:aws:iam::{ACCOUNT}:user/auditor"
TIME = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
DANGEROUS = (
    "</script></pre><script>document.title='executed'</script><img src=https://example.com/x onerror=alert(1)>'\"&"
)
"""A name that a page without escaping would execute and request."""
DIFFERENCE = (
    " {",
    '-  "Resource": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/*",',
    '+  "Resource": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/orders-AbCdEf",',
    '   "Effect": "Allow"',
    " }",
)


def secret_arn(name: str) -> str:
    """Return the ARN of a secret."""
    return f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-AbCdEf"


def function_arn(name: str) -> str:
    """Return the ARN of a function."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"


def role_arn(name: str) -> str:
    """Return the ARN of a role."""
    return f"arn:aws:iam::{ACCOUNT}:role/service-role/{name}"


def rotation(name: str, function: str = "rotate-postgres", inspected: bool = True) -> Rotation:
    """Return the rotation of a secret under a customer managed key by a function in a VPC."""
    role = Role(f"{function}-role", role_arn(f"{function}-role"))
    state = State(
        secrets=(Secret(secret_arn(name), KEY),),
        superuser_secret=None,
        role=role,
        function_arn=function_arn(function),
        in_vpc=True,
        dns_suffix="amazonaws.com",
    )
    return Rotation(
        secret_arn(name),
        name,
        function_arn(function),
        role_arn=role.arn if inspected else "",
        state=state if inspected else None,
        policy_name="DatabaseRotationPolicy-697baaecb2ba" if inspected else "",
        last_rotated=datetime(2026, 2, 20, 4, 0, tzinfo=UTC),
        next_rotation=datetime(2026, 3, 22, 23, 59, tzinfo=UTC),
    )


def finding(finding_type: FindingType, secret: Rotation, message: str = "", scope: str = "secret") -> Finding:
    """Return a finding of one secret, or of all secrets of its function or its role (`scope`)."""
    return Finding(
        finding_type,
        Subject(
            secret_arn=secret.secret_arn if scope == "secret" else "",
            function_arn=secret.function_arn if scope != "role" else "",
            role_arn=secret.role_arn,
        ),
        resource={"secret": secret.role_arn, "function": secret.function_arn, "role": secret.role_arn}[scope],
        words=Words(
            message or f"{finding_type.title}: the role {secret.role_arn} and the secret {secret.secret_arn}.",
            finding_type.remediation.replace("`", ""),
        ),
        difference=DIFFERENCE if finding_type is FindingType.POLICY_DRIFT else (),
    )


def report(
    rotations: list[Rotation], findings: list[Finding], regions: tuple[str, ...] = (REGION,), stopped: str = ""
) -> Report:
    """Return a report in the order that the audit gives it."""
    ordered = tuple(sorted(rotations, key=lambda each: each.secret_arn))
    # Roles without statements.
    roles = {each.role_arn: () for each in ordered if each.role_arn}
    return Report((account(regions, stopped),), ordered, sort_findings(findings), roles)


def account(regions: tuple[str, ...] = (REGION,), stopped: str = "", time: datetime = TIME) -> AuditedAccount:
    """Return the account of a report."""
    return AuditedAccount(ACCOUNT, CALLER, regions, time, stopped)


def small_report() -> Report:
    """Return a complete report: one secret with an error, two with a warning of their role, two without findings."""
    orders, users, clean = rotation("prod/orders"), rotation("prod/users", "rotate-mysql"), rotation("a/clean", "tidy")
    members, other = rotation("prod/members", "rotate-mysql"), rotation("b/clean", "tidy")
    return report(
        [orders, users, members, clean, other],
        [
            finding(FindingType.ACTION_NOT_GRANTED, orders, "No policy allows secretsmanager:PutSecretValue."),
            finding(FindingType.NO_POLICY, orders),
            finding(
                FindingType.KMS_ALL_KEYS, users, 'The inline policy "Everything" allows kms:Decrypt on *.', scope="role"
            ),
        ],
    )


def full_report() -> Report:
    """Return an incomplete report with findings of all types, of secrets, functions and roles, and of none of them."""
    orders, users = rotation("prod/orders"), rotation("prod/users", "rotate-mysql")
    clean, unknown = rotation("staging/clean", "tidy"), rotation("legacy/unknown", "gone", inspected=False)
    no_secret = Finding(
        FindingType.NOT_INSPECTED,
        Subject(region="us-east-1"),
        resource="us-east-1",
        words=Words(
            "AWS denied secretsmanager:ListSecrets in us-east-1 (AccessDeniedException).",
            "Allow yourself secretsmanager:ListSecrets in us-east-1.",
        ),
    )
    return report(
        [orders, users, clean, unknown, rotation("prod/members", "rotate-mysql")],
        [
            *(
                finding(each, orders)
                for each in FindingType
                if each not in (FindingType.SHARED_ROLE, FindingType.NOT_INSPECTED)
            ),
            finding(FindingType.SHARED_ROLE, users, scope="role"),
            finding(FindingType.ROTATION_OVERDUE, users),
            finding(
                FindingType.NOT_INSPECTED, unknown, "AWS denied lambda:GetFunctionConfiguration.", scope="function"
            ),
            no_secret,
        ],
        regions=(REGION, "us-east-1"),
        stopped="The credentials expired.",
    )


def dangerous_report() -> Report:
    """Return a report each of whose values would end an element or an attribute and begin a script."""
    secret = rotation(DANGEROUS, DANGEROUS)
    drift = Finding(
        FindingType.POLICY_DRIFT,
        Subject(secret.secret_arn, DANGEROUS, DANGEROUS),
        resource=DANGEROUS,
        words=Words(DANGEROUS, DANGEROUS),
        difference=(f"-{DANGEROUS}", f"+{DANGEROUS}"),
    )
    nowhere = Finding(FindingType.NOT_INSPECTED, Subject(), DANGEROUS, Words(DANGEROUS, DANGEROUS))
    return report([secret], [drift, nowhere], regions=(DANGEROUS,), stopped=DANGEROUS)


def large_report(secrets: int, of_one_code: int) -> Report:
    """Return a report of many secrets, the first of which have the same finding."""
    rotations = [rotation(f"prod/{number:05}", f"rotate-{number % 500}") for number in range(secrets)]
    return report(rotations, [finding(FindingType.ACTION_NOT_GRANTED, each) for each in rotations[:of_one_code]])
