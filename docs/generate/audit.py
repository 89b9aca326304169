"""The pictures of an audit: what the command prints on a terminal, and the HTML page on a screen, a phone and paper.

Both come from a real run in the example account, with three more rotations.
"""

import contextlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any
from unittest import mock

from rich.console import Console

from docs.generate.example_account import example_account
from docs.generate.terminal import svg
from rotation_role_policy.audit.audit import audit
from rotation_role_policy.audit.bulk import BULK_CONFIG, bulk_aws
from rotation_role_policy.audit.report import Report
from rotation_role_policy.aws.client import Aws
from rotation_role_policy_cli import main
from rotation_role_policy_cli.audit import accounts, output
from tests.support.account import ACCOUNT, STACK_ID, Account, WatchedSession

DOCS = Path(__file__).resolve().parents[1]
# The same picture in every run.
_NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def table() -> str:
    """Return an SVG of the command's output in a terminal of the usual width."""
    return _table(80)


def wide_table() -> str:
    """Return an SVG of the command's output in a wide terminal."""
    return _table(140)


def _table(width: int) -> str:
    arguments = ["audit"]
    title = "rotation-role-policy audit"
    return svg(arguments, lambda console: _run(arguments, console, _NOW), title=title, width=width)


def pictures_of_page() -> Iterator[Path]:
    """Write the pictures of the HTML page, and yield their files. It needs Chromium.

    They differ a little from machine to machine.
    """
    browser = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        raise SystemExit(f"None of {', '.join(_BROWSERS)} is installed.")
    with tempfile.TemporaryDirectory() as folder:
        page, phone = Path(folder) / "audit.html", Path(folder) / "phone.html"
        with contextlib.chdir(folder):
            _run(["audit", "--html", page.name], Console(file=io.StringIO()), datetime.now(UTC))
        # A window of Chromium cannot be as narrow as a phone.
        phone.write_text('<body style="margin: 0"><iframe src="audit.html" width="390" height="1400" frameborder="0">')
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder}/profile",
        ]
        for name, (address, options) in {
            "audit-page.png": (page.as_uri(), ["--window-size=1100,1330"]),
            "audit-page-groups.png": (f"{page.as_uri()}#by=owner", ["--window-size=1100,1100"]),
            "audit-page-dark.png": (
                page.as_uri(),
                ["--window-size=1100,900", "--blink-settings=preferredColorScheme=0"],
            ),
            "audit-page-phone.png": (phone.as_uri(), ["--window-size=390,1400"]),
            "audit-page.pdf": (page.as_uri(), ["--no-pdf-header-footer"]),
        }.items():
            file = DOCS / name
            output = f"--print-to-pdf={file}" if file.suffix == ".pdf" else f"--screenshot={file}"
            subprocess.run([browser, *flags, *options, output, address], check=True, capture_output=True)  # noqa: S603
            yield file


def _run(arguments: list[str], console: Console, now: datetime) -> None:
    """Run the command in the example account. `now` is the time of the audit."""
    with example_account() as account:
        _add_rotations(account)

        fixed_time: Callable[..., Report] = partial(audit, now=now)
        with (
            mock.patch.object(accounts, "caller_bulk_aws", return_value=_example_aws(account)),
            mock.patch.object(accounts, "audit", fixed_time),
            mock.patch.object(output, "make_console", return_value=console),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            main.main(arguments)


def _example_aws(account: Account) -> Aws:
    return bulk_aws(WatchedSession(account, config=BULK_CONFIG), Event())


def _add_rotations(account: Account) -> None:
    secretsmanager = account.client("secretsmanager")
    rotate = ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"]
    actions = [f"secretsmanager:{action}" for action in rotate]
    key, new_key = account.key(), account.key()
    # The secret got another key after its policy was written.
    stock = _rotation(account, "stock", key=key)
    account.deploy(_stack_id("stock"), SecretId=stock, RotationLambdaARN="rotate-stock", PropagationDelay=0)
    secretsmanager.update_secret(SecretId=stock, KmsKeyId=new_key)
    # The policy from the console's wizard, for every secret.
    _rotation(account, "billing", {"Effect": "Allow", "Action": ["secretsmanager:*"], "Resource": "*"})
    # A policy that lacks an action.
    random = {"Effect": "Allow", "Action": "secretsmanager:GetRandomPassword", "Resource": "*"}
    _rotation(account, "search", {"Effect": "Allow", "Action": actions[:2], "Resource": "*"}, random)
    # A policy that is as it should be.
    orders = _rotation(account, "reports")
    account.deploy(_stack_id("reports"), SecretId=orders, RotationLambdaARN="rotate-reports", PropagationDelay=0)


def _stack_id(name: str) -> str:
    return STACK_ID.replace(STACK_ID.split("/")[1], name)


def _rotation(account: Account, name: str, *statements: dict[str, Any], key: str | None = None) -> str:
    """Create a secret, its rotation function, and the role, and return the ARN of the secret."""
    role = f"{name}-rotation"
    function_arn = account.function(account.role(role), name=f"rotate-{name}")
    tags = [{"Key": "aws:cloudformation:stack-name", "Value": name}]
    account.client("iam").tag_role(RoleName=role, Tags=tags)
    secret_arn = account.secret(f"prod/{name}", key=key, Tags=[{"Key": "team", "Value": "shop"}])
    if statements:
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        account.client("iam").put_role_policy(RoleName=role, PolicyName="rotation", PolicyDocument=document)
    account.client("lambda").add_permission(
        FunctionName=function_arn,
        StatementId="SecretsManager",
        Action="lambda:InvokeFunction",
        Principal="secretsmanager.amazonaws.com",
        SourceAccount=ACCOUNT,
    )
    account.client("secretsmanager").rotate_secret(
        SecretId=secret_arn,
        RotationLambdaARN=function_arn,
        RotationRules={"AutomaticallyAfterDays": 30},
        RotateImmediately=False,
    )
    return secret_arn


if __name__ == "__main__":
    for written in pictures_of_page():
        sys.stdout.write(f"written: {written.relative_to(DOCS.parent)}\n")
