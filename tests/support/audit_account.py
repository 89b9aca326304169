"""An AWS account in moto with rotations, and audits of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple, cast

import jsonschema

from rotation_role_policy.audit import report_json
from rotation_role_policy.audit.audit import audit
from rotation_role_policy.audit.bulk import BULK_CONFIG, Adaptive
from rotation_role_policy.audit.finding_types import FindingType
from rotation_role_policy.audit.findings import Finding
from rotation_role_policy.audit.listing import Selection
from rotation_role_policy.audit.lookups import Progress, Workers
from rotation_role_policy.audit.report import Report
from rotation_role_policy.aws.client import Aws
from rotation_role_policy.aws.errors import iam_action
from rotation_role_policy.aws.retries import Parameters, Response
from rotation_role_policy_cli.audit import adopt
from rotation_role_policy_cli.audit.schema import schema
from tests.support.account import ACCOUNT, REGION, SESSION, Account, WatchedSession, error

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
EVERYTHING = Selection()
Statement = dict[str, Any]
PUT = "secretsmanager:PutSecretValue"
OPEN_DENY: Statement = {
    "Effect": "Deny",
    "Action": PUT,
    "Resource": "*",
    "Condition": {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
}
"""Only the simulator can decide whether this statement applies."""
_CODES = [row.code for row in FindingType]


class Rotation(NamedTuple):
    """The ARNs of one rotation."""

    secret: str
    function: str
    role: str


@cache
def _client(service: str, region: str) -> Any:
    make: Any = SESSION.client
    return make(service, region_name=region)


class WatchedBulkAws(Aws):
    """The `Aws` of an audit in one region of an `AuditAccount`, which records its calls and can let them fail."""

    def __init__(self, audited: AuditAccount, region: str, stopped: Event | None = None) -> None:
        self._audited = audited
        session = WatchedSession(audited.account, region, BULK_CONFIG, self._let_fail)
        super().__init__(session, Adaptive(session, stopped or Event()))

    def _let_fail(self, client: Any) -> None:
        service = client.meta.service_model.service_name

        def fail(params: dict[str, Any], model: Any, **_: Any) -> None:
            self._audited.fail(f"{service}:{model.name}", self.region(), params)

        client.meta.events.register("provide-client-params", fail)

    def call(
        self, method: Callable[Parameters, Response], *args: Parameters.args, **parameters: Parameters.kwargs
    ) -> Response:
        """Call AWS and return the response, altered as the account specifies."""
        response: Any = super().call(method, *args, **parameters)
        return cast(Response, self._audited.altered(iam_action(method), response))


class AuditAccount:
    """An account in moto. ListSecrets returns the rotations as the test describes them."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.alter: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}
        """By action: returns the altered response. Moto's responses lack some members."""
        self.rotations: dict[str, dict[str, Any]] = {}
        """By the ARN of the secret: the members that ListSecrets has because of the rotation."""
        self._failures: list[tuple[str, str, BaseException]] = []

    # --- what exists ---

    def rotate(self, name: str, function: str, *, key: str = "", region: str = REGION, **members: Any) -> str:
        """Create a secret that a function rotates, and return its ARN. `members` are those of ListSecrets."""
        client = _client("secretsmanager", region)
        tags = [{"Key": tag, "Value": value} for tag, value in members.pop("tags", {}).items()]
        key_id = {"KmsKeyId": key} if key else {}
        secret = str(client.create_secret(Name=name, SecretString="{}", Tags=tags, **key_id)["ARN"])
        self.rotations[secret] = {
            "RotationLambdaARN": function,
            "RotationEnabled": True,
            "RotationRules": {"AutomaticallyAfterDays": 30},
            "LastRotatedDate": NOW - timedelta(days=2),
            "NextRotationDate": NOW + timedelta(days=28),
            "LastChangedDate": members.get("LastRotatedDate", NOW - timedelta(days=2)),
        } | members
        return secret

    def function(self, name: str, role: str, *, vpc: bool = False, region: str = REGION, invoke: bool = True) -> str:
        """Create a function that Secrets Manager may invoke, and return its ARN."""
        client = _client("lambda", region)
        if region == REGION:
            function = self.account.function(role, name, self.account.vpc() if vpc else None)
        else:
            created = client.create_function(
                FunctionName=name, Role=role, Runtime="python3.13", Handler="index.handler", Code={"ZipFile": b"x"}
            )
            function = str(created["FunctionArn"])
        if invoke:
            self.allow_invoke(function, region=region)
        return function

    def allow_invoke(self, function: str, *, region: str = REGION, **members: Any) -> None:
        """Let Secrets Manager invoke a function for the secrets of the account."""
        client = _client("lambda", region)
        client.add_permission(
            FunctionName=function,
            StatementId="SecretsManager",
            Action="lambda:InvokeFunction",
            Principal="secretsmanager.amazonaws.com",
            **(members or {"SourceAccount": ACCOUNT}),
        )

    def rotation(
        self,
        name: str = "db",
        *statements: Statement,
        role: str = "",
        key: str = "",
        vpc: bool = False,
        region: str = REGION,
        **members: Any,
    ) -> Rotation:
        """Create a secret, its function and its role, and return their ARNs.

        Args:
            name: of the secret. The function and the role are named after it.
            statements: of the role's policy, beside those of `guide`.
            role: an existing role.
            key: of the secret.
            vpc: whether the function is in a VPC.
            region: of the secret and the function.
            members: of ListSecrets.
        """
        role_arn = role or self.account.role(f"role-{name}")
        function = self.function(f"rotate-{name}", role_arn, vpc=vpc, region=region)
        secret = self.rotate(name, function, key=key, region=region, **members)
        self.put_policy(role_arn, *guide(secret), *statements, name=f"rotation-{name}")
        return Rotation(secret, function, role_arn)

    def put_policy(self, role: str, *statements: Statement, name: str = "rotation") -> None:
        """Put an inline policy on a role."""
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        self.account.client("iam").put_role_policy(
            RoleName=role.rpartition("/")[2], PolicyName=name, PolicyDocument=json.dumps(document)
        )

    def managed_policy(self, name: str, *statements: Statement, roles: Sequence[str] = ()) -> str:
        """Create a managed policy, attach it to roles, and return its ARN."""
        iam = self.account.client("iam")
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        policy = str(iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"])
        for role in roles:
            iam.attach_role_policy(RoleName=role.rpartition("/")[2], PolicyArn=policy)
        return policy

    # --- what fails ---

    def let_fail(self, action: str, part: str = "", exception: BaseException | None = None) -> None:
        """Let the calls of an action fail whose parameters, or whose region, contain `part`; by default AWS denies."""
        self._failures.append((action, part, exception or error("AccessDeniedException", "not authorized")))

    def fail(self, action: str, region: str, parameters: dict[str, Any]) -> None:
        """Raise the exception for a call, if there is one."""
        for failing, part, exception in self._failures:
            if action == failing and part in f"{region} {json.dumps(parameters, default=str)}":
                raise exception

    def altered(self, action: str, response: Any) -> Any:
        """Return a response with the rotations, and as `alter` has it."""
        if action == "secretsmanager:ListSecrets":
            listed = [secret | self.rotations.get(secret["ARN"], {}) for secret in response["SecretList"]]
            response = response | {"SecretList": listed}
        return self.alter[action](response) if action in self.alter else response

    # --- audits ---

    def audit(
        self,
        selection: Selection = EVERYTHING,
        regions: Sequence[str] = (REGION,),
        progress: Progress = lambda *_: None,
    ) -> Report:
        """Audit the account at the time `NOW`, and check what is true of every audit.

        A `progress` that raises KeyboardInterrupt interrupts the audit, as Ctrl-C does.
        """
        self.account.calls.clear()

        def interruptible(what: str, done: int, begun: int) -> None:
            try:
                progress(what, done, begun)
            except KeyboardInterrupt:
                workers.stop("The audit was interrupted.")

        with Workers(interruptible) as workers:
            clients = [WatchedBulkAws(self, region, workers.stopped) for region in regions]
            report = audit(clients, f"arn:aws:iam::{ACCOUNT}:user/auditor", selection, workers, NOW)
        jsonschema.validate(json.loads("".join(report_json.parts(report, {}))), schema())
        assert len({finding.id for finding in report.findings}) == len(report.findings)
        for action in self.calls():
            name = action.partition(":")[2]
            assert name.startswith(("Describe", "Get", "List", "Simulate")), action
            assert name not in ("GetSecretValue", "BatchGetSecretValue")
        codes = [finding.type.code for finding in report.findings]
        assert codes == sorted(codes, key=_CODES.index)
        return report

    def calls(self) -> Counter[str]:
        """Return how often the last audit called each action."""
        return Counter(self.account.actions())


def guide(secret: str) -> list[Statement]:
    """Return the user guide's statements for a secret under the AWS managed key."""
    actions = ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
    return [
        allow([f"secretsmanager:{action}" for action in actions], secret),
        allow("secretsmanager:GetRandomPassword", "*"),
    ]


def lacking_put(secret: str) -> list[Statement]:
    """Return the statements of the user guide without PutSecretValue."""
    statements = guide(secret)
    statements[0]["Action"].remove(PUT)
    return statements


def allow(action: Any, resource: Any, **members: Any) -> Statement:
    """Return a statement that allows."""
    return {"Effect": "Allow", "Action": action, "Resource": resource, **members}


def use_key(key: str, secret: str, *actions: str) -> Statement:
    """Return the statement for a key with the encryption context of a secret."""
    condition = {"StringEquals": {"kms:EncryptionContext:SecretARN": secret}}
    return allow(list(actions) or ["kms:Decrypt", "kms:GenerateDataKey"], key, Condition=condition)


def codes(report: Report, *, notes: bool = False) -> list[str]:
    """Return the codes of the findings; without NoPolicy, unless `notes` is set."""
    return [finding.type.code for finding in report.findings if notes or finding.type.code != "NoPolicy"]


def the(report: Report, code: str) -> Finding:
    """Return the one finding with this code."""
    [found] = [finding for finding in report.findings if finding.type.code == code]
    return found


def write_templates(report: Report, folder: Path) -> list[Path]:
    """Write the templates that adopt the rotations of a report, as `audit --adopt` does, and return their files."""
    files = adopt.files(report, folder)
    for file, text in files.items():
        folder.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return [file for file in files if file.name != adopt.LEFT_OUT]
