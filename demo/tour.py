"""The steps of the demo, in their order."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from demo import rotation_functions
from demo.account import DemoAccount
from demo.checks import Checks
from demo.report import DemoOutput, UnexpectedResultError, expect
from emulator import provider
from emulator.postgres import Postgres
from emulator.server import Emulator
from emulator.stack import Stack, StackError
from rotation_role_policy_cli.exit_status import ExitStatus

ROOT = Path(__file__).resolve().parent.parent
_HERE = Path(__file__).parent

_RESOURCE = "  RotationRolePolicy:\n"
"""The first line of the resource in consumer.yaml, where it is the last one."""
_SECRET_LINE = "      SecretId: !Ref Secret\n"  # noqa: S105  # a line of the template
_SAM_STACK = "aws-sam-cli-managed-default"
_CODE = {"CodeBucket": "rotation-code", "CodeKey": "rotation-functions.zip"}

_REASONS_FOR_SUPERUSER = {
    "ReadSuperuserSecret": "The superuser sets the other user's password. Its secret is only read",
    "UseSuperuserKey": "The key of the superuser's secret, only to decrypt",
}
_REASONS_IN_VPC = {
    "ManageNetworkInterfaces": 'Lambda connects the function to the VPC with this role. It requires the resource "*"',
    "KeepNetworkInterfacesFromCode": "The function's own code may not do that: only its calls have this context key",
}


def run(report: DemoOutput, folder: Path) -> None:
    """Run the whole demo. All files are written below `folder`.

    Raises:
        UnexpectedResultError: the result of a step is not the expected one.
        EmulatorError, SamError, StackError: the emulator, sam or a stack failed.
    """
    report.introduction(
        f"This demo shows Custom::RotationRolePolicy from its deployment to its deletion. It runs on this machine, in"
        f" MiniStack {version('ministack')}, an AWS emulator that enforces IAM: a call is denied until a policy"
        f" grants it. The secrets contain passwords of a real PostgreSQL database. Paragraphs that begin with"
        f" (Emulator) say where the emulator differs from AWS."
    )
    aws, database = Emulator(folder / "emulator"), Postgres(folder / "database")
    try:
        with report.step("Start the emulator and the database"):
            aws.start()
            database.start()
            report.say(
                f"The emulator runs at {aws.endpoint_url} and has an empty account. PostgreSQL listens on"
                f" {database.host}:{database.port}. The logs are in {folder.relative_to(ROOT)}/."
            )
        _Tour(report, aws, database, folder).run()
    finally:
        database.stop()
        aws.stop()


class _Tour:
    def __init__(self, report: DemoOutput, aws: Emulator, database: Postgres, folder: Path) -> None:
        self.report = report
        self.aws = aws
        self.database = database
        self.folder = folder
        self._build_dir = folder / "sam-build"
        self.provider = Stack(aws, provider.STACK_NAME)
        self.shop = Stack(aws, "shop")
        self.account = DemoAccount(aws, self.shop)
        self.checks = Checks(report, self.account, database)
        self.successor = Stack(aws, "shop-successor")
        self.reports = Stack(aws, "reports")
        self.location = {"DatabaseHost": database.host, "DatabasePort": str(database.port)}
        self.template = (_HERE / "consumer.yaml").read_text()
        """The shop's template. The steps edit it."""

    def run(self) -> None:
        steps: list[tuple[str, Callable[[], None]]] = [
            ("Build the provider: sam build", self.build_provider),
            ("Deploy the provider: sam deploy", self.deploy_provider),
            ("A stack with a secret and its rotation function, but no policy yet", self.create_without_policy),
            ("Add a Custom::RotationRolePolicy", self.add_policy),
            ("Change the key of the secret", self.rekey),
            ("Alternating users, with a superuser secret", self.create_alternating_users),
            ("A new key without a deployment: KmsScope", self.rekey_by_hand),
            ("A second function, in a VPC", self.create_successor),
            ("Bad updates", self.bad_updates),
            ("Audit the account", self.audit),
            ("Delete everything", self.delete),
        ]
        try:
            for name, step in steps:
                with self.report.step(name):
                    step()
        except Exception:
            provider.save_log(self.aws, self.provider, self.folder / "provider.log")
            raise

    # --- the steps ---------------------------------------------------------------------------------------------------

    def build_provider(self) -> None:
        """Build what sam deploys."""
        template = provider.build(ROOT, self._build_dir)
        self.report.say(f"sam has built this repository's template.yaml to {template.relative_to(ROOT)}.")

    def deploy_provider(self) -> None:
        """Deploy the provider's stack, which serves all rotation functions of an account and region."""
        provider.deploy(self.aws, ROOT, self._build_dir)
        expect("Status of the provider's stack", "CREATE_COMPLETE", self.provider.status)
        self.report.say(
            f"sam has deployed the stack {self.provider.name}. An account needs it once for all rotation functions."
            f" Other stacks import its function's ARN as ServiceToken, from {self.provider.name}-ServiceToken."
        )
        self.report.emulator(
            f"The emulator runs functions with this machine's Python {python_version()}, whatever their Runtime."
        )

    def create_without_policy(self) -> None:
        """Create a rotation function whose role may only write its log: rotation is denied."""
        self.account.upload(_CODE["CodeBucket"], _CODE["CodeKey"], rotation_functions.zip_file())
        complete, self.template = self.template, self.template.partition(_RESOURCE)[0]
        self.shop.create(self.template, **self.location, **_CODE)
        value = self.account.value("shop/database")
        self.database.create_user(value["username"], value["password"])
        self.report.table(
            [
                ("secret", self.account.secret()["Name"]),
                ("its key", self.account.key("FirstKey")),
                ("database user", value["username"]),
                ("function", self.shop.physical_id("RotationFunction")),
                ("its role", self.shop.physical_id("RotationRole")),
            ]
        )
        self.report.say("The demo calls RotateSecret, and Secrets Manager invokes the function:")
        self.checks.failed_rotation(self.shop, "is not authorized to perform: secretsmanager:DescribeSecret")
        self.checks.login("shop", value["password"], accepted=True)
        self.template = complete

    def add_policy(self) -> None:
        """Add the resource: the role gets the policy, and a rotation succeeds."""
        without = self.template.partition(_RESOURCE)[0]
        self.report.say("These lines are added to the template:")
        self.report.template_difference(without, self.template)
        previewed = self._previewed()
        self._update_shop()
        role, name = self.shop.physical_id("RotationRolePolicy").split("/")
        expect("Role of the policy", self.shop.physical_id("RotationRole"), role)
        policy = self.account.policy(self.shop)
        self.checks.resources(policy, "FirstKey")
        expect("Policy in the preview before the update", previewed, policy)
        self.report.say(
            f"`rotation-role-policy preview` showed the policy before the update. Now the role {role} has it as inline"
            f" policy {name}:"
        )
        self.report.policy(policy["Statement"], self.checks.reasons("FirstKey"))
        old = self.account.value("shop/database")["password"]
        self.checks.rotation(self.shop)
        new = self.account.value("shop/database")["password"]
        self.checks.login("shop", new, accepted=True)
        self.checks.login("shop", old, accepted=False)
        self.report.say(
            "The four steps of a rotation succeed now. The new password logs in to the database, and the old one is"
            " refused."
        )

    def rekey(self) -> None:
        """Change the secret's key: the policy follows only if `Triggers` changes too."""
        before = self.account.policy(self.shop)
        self.report.say(
            "A deployment role that may not use the first key gives the secret another customer managed key:"
        )
        self._edit(("KmsKeyId: !GetAtt FirstKey.Arn", "KmsKeyId: !GetAtt SecondKey.Arn"))
        self._update_shop(self.account.deployer_without("FirstKey"))
        expect("Key of the secret", self.account.key("SecondKey"), self.account.secret()["KmsKeyId"])
        expect("Policy after only the secret has changed", before, self.account.policy(self.shop))
        expect("Key of the current version", [self.account.key("FirstKey")], self.account.keys_of_current_version())
        self.report.say(
            "The secret has the second key now. Its current version is still encrypted with the first key, because"
            " Secrets Manager re-encrypts it only if the caller may use both keys. The policy still names the first key"
            " only, so the next rotation fails:"
        )
        self.checks.failed_rotation(self.shop, "Access to KMS is not allowed")
        self.report.say(
            "CloudFormation sends an Update to a resource only if one of its properties changes. The property Triggers"
            " exists for this:"
        )
        self._edit((_SECRET_LINE, f"{_SECRET_LINE}      Triggers: {{ Key: !Ref SecondKey }}\n"))
        self._update_shop()
        after = self.account.policy(self.shop)
        self.checks.resources(after, "SecondKey", DecryptEarlierVersions=self.account.key("FirstKey"))
        self.report.say("The policy has changed:")
        self.report.policy_difference(before, after)
        self.checks.rotation(self.shop)
        self.checks.login("shop", self.account.value("shop/database")["password"], accepted=True)
        expect("Key of the current version", [self.account.key("SecondKey")], self.account.keys_of_current_version())
        self.report.say(
            "A rotation succeeds, and its new version is encrypted with the second key. After one more rotation, no"
            " version in use needs the first key. The next Update, here by another change to Triggers, removes"
            " DecryptEarlierVersions:"
        )
        self.checks.rotation(self.shop)
        self._edit(("Triggers: { Key: !Ref SecondKey }", "Triggers: { Key: !Ref SecondKey, Rotated: twice }"))
        self._update_shop()
        self.checks.resources(self.account.policy(self.shop), "SecondKey")
        self.report.say("If the template has Triggers from the start, one update changes the key and the policy.")

    def create_alternating_users(self) -> None:
        """Create a stack with two users and a superuser secret: each rotation sets the password of the other user."""
        template = (_HERE / "alternating-users.yaml").read_text()
        self.reports.create(template, **self.location, SuperuserPassword=self.database.password, **_CODE)
        first = self.account.value("reports/database")
        self.database.create_user(first["username"], first["password"])
        policy = self.account.policy(self.reports)["Statement"]
        expect(
            "Statements for alternating users",
            ["RotateSecret", "GeneratePassword", *_REASONS_FOR_SUPERUSER],
            [statement["Sid"] for statement in policy],
        )
        self.report.say(
            "Two users take turns, so that an application can log in with the current password while the function sets"
            " the other user's. The function gets the superuser's password from a secret with a key of its own:"
        )
        self.report.policy(policy[2:], _REASONS_FOR_SUPERUSER)
        rows = [("at first", first["username"])]
        for count in ("first", "second"):
            self.checks.rotation(self.reports)
            value = self.account.value("reports/database")
            self.checks.login(value["username"], value["password"], accepted=True)
            rows.append((f"after the {count} rotation", value["username"]))
        expect("Current users", ["reports", "reports_clone", "reports"], [user for _, user in rows])
        self.report.say("The secret's user, whose password logs in to the database each time:")
        self.report.table(rows)

    def rekey_by_hand(self) -> None:
        """Change a secret's key without a deployment: only with `KmsScope: Secret`, the next rotation succeeds."""
        self.report.say(
            "The secret reports/database is encrypted with the AWS managed key. Somebody gives it a customer managed"
            " key with UpdateSecret. Nobody deploys a stack, so the policy does not change, and the next rotation"
            " fails:"
        )
        self.account.change_key("reports/database", "FirstKey")
        self.checks.failed_rotation(self.reports, "Access to KMS is not allowed")
        self.report.say("If keys may change without a deployment, set KmsScope:")
        before, template = self.account.policy(self.reports), (_HERE / "alternating-users.yaml").read_text()
        edited = template.replace(_SECRET_LINE, f"{_SECRET_LINE}      KmsScope: Secret\n")
        self.report.template_difference(template, edited)
        self.reports.update(edited, **self.location, SuperuserPassword=self.database.password, **_CODE)
        after = self.account.policy(self.reports)
        self.report.policy_difference(before, after)
        self.report.say(
            "The encryption context limits these statements to the two secrets, whatever their keys are. Somebody"
            " changes the keys of both secrets again, nobody deploys, and the rotation succeeds:"
        )
        for secret_id in ("reports/database", "reports/superuser"):
            self.account.change_key(secret_id, "SecondKey")
        self.checks.rotation(self.reports)
        value = self.account.value("reports/database")
        self.checks.login(value["username"], value["password"], accepted=True)
        expect("Policy after the second change of the keys", after, self.account.policy(self.reports))
        self.report.table([("user", value["username"]), ("key", self.account.key("SecondKey"))])

    def create_successor(self) -> None:
        """Declare the function: the policy exists before the function, which Lambda would not create without it."""
        self.report.say(
            "Lambda creates a function in a VPC only if its role may manage network interfaces. So the policy in"
            " demo/successor.yaml comes first. It has RoleName and VpcConfig instead of RotationLambdaARN, and the"
            " function has DependsOn: RotationRolePolicy."
        )
        template = (_HERE / "successor.yaml").read_text()
        self.successor.create(template, SecretId=self.account.secret()["Name"], **_CODE)
        before, after = self.account.policy(self.shop)["Statement"], self.account.policy(self.successor)["Statement"]
        added = after[len(before) :]
        expect("Statements that both policies have", before, after[: len(before)])
        expect("Statements for the VPC", list(_REASONS_IN_VPC), [statement["Sid"] for statement in added])
        self.checks.rotation(self.successor, self.account.secret()["ARN"])
        self.checks.login("shop", self.account.value("shop/database")["password"], accepted=True)
        self.report.say(
            "A rotation by the new function succeeds. Its policy has the statements of the first function's, and these:"
        )
        self.report.policy(added, _REASONS_IN_VPC)

    def bad_updates(self) -> None:
        """Make updates that the provider refuses: each is rolled back, and the policy does not change."""
        self.report.say("A misspelled property:")
        self._expect_refusal("Did you mean SecretId?", (_SECRET_LINE, _SECRET_LINE.replace("SecretId", "SecretID")))

        self.report.say("A role that is not the execution role of the function:")
        role_name = f"      RoleName: {self.successor.physical_id('RotationRole')}\n"
        self._expect_refusal("is not the execution role of the function", (_SECRET_LINE, _SECRET_LINE + role_name))

        self.report.say("Back to the first key, while another inline policy of the role denies PutSecretValue:")
        statement = {"Effect": "Deny", "Action": "secretsmanager:PutSecretValue", "Resource": "*"}
        document = {"Version": "2012-10-17", "Statement": [statement]}
        other = {"RoleName": self.shop.physical_id("RotationRole"), "PolicyName": "freeze"}
        self.account.iam.put_role_policy(**other, PolicyDocument=json.dumps(document))
        self._expect_refusal(
            "is blocked by an explicit deny",
            ("KmsKeyId: !GetAtt SecondKey.Arn", "KmsKeyId: !GetAtt FirstKey.Arn"),
            ("Key: !Ref SecondKey", "Key: !Ref FirstKey"),
        )
        self.account.iam.delete_role_policy(**other)
        self.report.emulator(
            "The emulator simulates only the policies of the role, no permissions boundaries and no SCPs. So the demo"
            " can show only an explicit deny."
        )

    def audit(self) -> None:
        """Add a grant by hand to the role of the second function, and audit the account before and after."""
        role, policy = self.successor.physical_id("RotationRole"), "by-hand"
        before = self._audited()
        expect("Errors and warnings of the audit", (0, 0), (before["summary"]["errors"], before["summary"]["warnings"]))
        statement = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.account.iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=document)
        after = self._audited()
        [found] = [each for each in after["findings"] if each["severity"] != "note"]
        expect("Finding", ("OtherSecrets", policy), (found["code"], found["policy"]))
        self.report.say(
            "`rotation-role-policy audit` has found nothing wrong with the rotations. Then somebody puts another policy"
            f" on the role {role}, with secretsmanager:GetSecretValue on *. The next audit says:"
        )
        self.report.quote(found["code"], found["message"])
        self.report.say("An account with broken rotations of all kinds: make demo-audit.")
        self.account.iam.delete_role_policy(RoleName=role, PolicyName=policy)

    def delete(self) -> None:
        """Remove the resource, which removes the policy, and then delete the stacks."""
        role = self.shop.physical_id("RotationRole")
        self.template = self.template.partition(_RESOURCE)[0]
        self._update_shop()
        expect("Inline policies of the role", [], self.account.iam.list_role_policies(RoleName=role)["PolicyNames"])
        self.report.say(f"The resource is no longer in the template, and the role {role} has no inline policy.")
        for stack in (self.successor, self.reports, self.shop, self.provider):
            stack.delete()
        self.account.delete_upload(_CODE["CodeBucket"], _CODE["CodeKey"])
        deleted = [event["LogicalResourceId"] for event in reversed(self.successor.events()) if _is_deleted(event)]
        order = [name for name in deleted if name in ("RotationFunction", "RotationRolePolicy")]
        expect("Order of deletion in the successor's stack", ["RotationFunction", "RotationRolePolicy"], order)
        self.report.say(
            "In the stack with the VPC, the function was deleted before its policy. On AWS, Lambda needs the policy to"
            " remove the function's network interfaces."
        )
        remaining = self.account.remaining_resources()
        self.report.say("The four stacks are deleted. The account has:")
        self.report.table([(kind, ", ".join(names) or "none") for kind, names in remaining.items()])
        expect("Remaining", {"stacks": [_SAM_STACK]}, {kind: names for kind, names in remaining.items() if names})
        self.report.say("That stack belongs to sam. It has the bucket to which sam uploads.")

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _previewed(self) -> Any:
        """Return the document that `preview --json` prints for the shop's template."""
        file = self.folder / "shop.yaml"
        file.write_text(self.template)
        arguments = ["preview", "--template", str(file), "--stack", self.shop.name, "--resource", "RotationRolePolicy"]
        completed = subprocess.run(
            [sys.executable, "-m", "rotation_role_policy_cli", *arguments, "--json"],
            env=self.aws.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        expect("Exit status of the preview", ExitStatus.WOULD_CHANGE, completed.returncode)
        return json.loads(completed.stdout)

    def _audited(self) -> Any:
        """Return the report of `audit --json`."""
        command = [sys.executable, "-m", "rotation_role_policy_cli", "audit", "--json"]
        completed = subprocess.run(command, env=self.aws.environment, stdout=subprocess.PIPE, text=True, check=False)
        expect("Exit status of the audit", ExitStatus.NO_FINDINGS, completed.returncode)
        return json.loads(completed.stdout)

    def _update_shop(self, stack: Stack | None = None) -> None:
        (stack or self.shop).update(self.template, **self.location, **_CODE)

    def _edited(self, *changes: tuple[str, str]) -> str:
        """Return the shop's template with the changes, and print the difference."""
        edited = self.template
        for old, new in changes:
            expect(f"Number of {old!r} in the template", 1, edited.count(old))
            edited = edited.replace(old, new)
        self.report.template_difference(self.template, edited)
        return edited

    def _edit(self, *changes: tuple[str, str]) -> None:
        self.template = self._edited(*changes)

    def _expect_refusal(self, reason: str, *changes: tuple[str, str]) -> None:
        """Make an update that must fail with a reason that has `reason` in it, and must not change the policy."""
        before = self.account.policy(self.shop)
        try:
            self.shop.update(self._edited(*changes), **self.location, **_CODE)
        except StackError as failed:
            if reason not in failed.reason:
                raise UnexpectedResultError("Reason of the refusal", f"... {reason} ...", failed.reason) from failed
            expect("Resource that failed", "RotationRolePolicy", failed.failures[0].logical_id)
            expect("Status after the refusal", "UPDATE_ROLLBACK_COMPLETE", failed.status)
            expect("Policy after the refusal", before, self.account.policy(self.shop))
            expect(
                "Key of the secret after the refusal", self.account.key("SecondKey"), self.account.secret()["KmsKeyId"]
            )
            self.report.quote("from the stack's events", failed.reason)
            self.report.say(f"The stack has the status {failed.status}, and the policy has not changed.")
        else:
            raise UnexpectedResultError("Status after a bad update", "UPDATE_ROLLBACK_COMPLETE", self.shop.status)


def _is_deleted(event: dict[str, Any]) -> bool:
    return str(event["ResourceStatus"]) == "DELETE_COMPLETE"
