"""What the demo expects of policies, rotations and logins, with the words in which it shows them."""

from __future__ import annotations

from typing import Any

from demo.account import DemoAccount
from demo.report import DemoOutput, UnexpectedResultError, expect
from emulator.postgres import Postgres
from emulator.stack import Stack


class Checks:
    """Checks of results in the account. Each raises `UnexpectedResultError`."""

    def __init__(self, report: DemoOutput, account: DemoAccount, database: Postgres) -> None:
        self._report = report
        self._account = account
        self._database = database

    def resources(self, policy: dict[str, Any], key: str, **further: str) -> None:
        """Check that the statements have exactly the ARNs of the secret and of the key, and those of `further`."""
        expected_resources = {
            "RotateSecret": self._account.secret()["ARN"],
            "GeneratePassword": "*",
            "UseSecretKey": self._account.key(key),
            **further,
        }
        expect(
            "Statements of the policy",
            list(expected_resources),
            [statement["Sid"] for statement in policy["Statement"]],
        )
        for statement in policy["Statement"]:
            expect(f"Resource of {statement['Sid']}", expected_resources[statement["Sid"]], statement["Resource"])

    def reasons(self, key: str) -> dict[str, str]:
        """Return the reasons of the statements for the shop's secret under a key, keyed by `Sid`."""
        metadata = self._account.kms.describe_key(KeyId=self._account.key(key))["KeyMetadata"]
        return {
            "RotateSecret": f"the four steps of a rotation make these calls, only on {self._account.secret()['Name']}",
            "GeneratePassword": 'for the new password. The call has no resource, so IAM accepts only "*"',
            "UseSecretKey": f"the key is {metadata['KeyManager'].lower()} managed. Only for this secret, and only"
            " through Secrets Manager",
        }

    def rotation(self, stack: Stack, secret: str = "") -> None:
        """Rotate a secret with the stack's function, by default the stack's own secret."""
        expect(f"Rotation in the stack {stack.name}", "", self._account.rotate(stack, secret))

    def failed_rotation(self, stack: Stack, reason: str) -> None:
        """Rotate the stack's secret, which must fail with a reason that has `reason` in it, and print the error."""
        failure = self._account.rotate(stack)
        if reason not in failure:
            raise UnexpectedResultError("Rotation", f"... {reason} ...", failure or "it succeeded")
        step, _, error = failure.partition(": ")
        # Some messages begin with the long ARN of the role's session.
        self._report.quote(step, f"... {error[error.find('is not authorized') :]}" if "arn:" in error else error)

    def login(self, user: str, password: str, *, accepted: bool) -> None:
        """Check whether the database accepts the password of a user."""
        expect(f"Login of {user} to the database", accepted, self._database.can_log_in(user, password))
