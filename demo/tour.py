"""The demo's steps, in their order."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from demo.report import Report, Unexpected, expect
from emulator import provider
from emulator.server import Emulator
from emulator.stack import Stack, StackFailed
from rotation_role_policy_cli.main import WOULD_CHANGE

ROOT = Path(__file__).resolve().parent.parent
_HERE = Path(__file__).parent

_RESOURCE = "  RotationRolePolicy:\n"
"""Where the resource begins in consumer.yaml: it is the last one."""
_SECRET_LINE = "      SecretId: !Ref Secret\n"  # noqa: S105  # a line of the template
_SAM_STACK = "aws-sam-cli-managed-default"

_WHY_IN_VPC = {
    "ManageNetworkInterfaces": 'Lambda links the function to the VPC as this role; it insists on "*"',
    "KeepNetworkInterfacesFromCode": "but not the function's code: only its calls carry this context key",
}


def run(report: Report, folder: Path) -> None:
    """The whole demo; all that it writes is below `folder`.

    Raises:
        Unexpected: a step's result is not what the demo says.
        EmulatorFailed, SamFailed, StackFailed: the stage itself fell over.
    """
    report.text(
        f"Custom::RotationRolePolicy, from its deployment to its deletion. All of it happens on this machine, in"
        f" MiniStack {version('ministack')}, an AWS emulator that enforces IAM: a call is denied until a policy"
        f" grants it. What the emulator cannot show is said where it matters, in a line that begins with (Emulator)."
    )
    aws = Emulator(folder / "emulator")
    try:
        with report.step("Start the emulator"):
            aws.start()
            report.say(f"An empty account at {aws.endpoint_url}. Logs: {folder.relative_to(ROOT)}/")
        _Tour(report, aws, folder).run()
    finally:
        aws.stop()


class _Tour:
    def __init__(self, report: Report, aws: Emulator, folder: Path) -> None:
        self.report = report
        self.aws = aws
        self.folder = folder
        self._build_dir = folder / "sam-build"
        self.iam = aws.client("iam")
        self.kms = aws.client("kms")
        self.functions = aws.client("lambda")
        self.secrets = aws.client("secretsmanager")
        self.provider = Stack(aws, provider.STACK_NAME)
        self.shop = Stack(aws, "shop")
        self.successor = Stack(aws, "shop-successor")
        self.code = (_HERE / "rotation_function.py").read_text()
        self.template = (_HERE / "consumer.yaml").read_text()
        """The shop's template, as the steps edit it."""

    def run(self) -> None:
        steps: list[tuple[str, Callable[[], None]]] = [
            ("Build the provider: sam build", self.build_provider),
            ("Deploy the provider: sam deploy", self.deploy_provider),
            ("A stack with a secret and its rotation function, but no policy yet", self.create_without_policy),
            ("Add a Custom::RotationRolePolicy", self.add_policy),
            ("Re-key the secret", self.rekey),
            ("The function's successor, in a VPC", self.create_successor),
            ("Bad updates", self.bad_updates),
            ("Delete it all", self.delete),
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
        """What sam deploys."""
        template = provider.build(ROOT, self._build_dir)
        self.report.say(f"This repository's template.yaml, built to {template.relative_to(ROOT)}")

    def deploy_provider(self) -> None:
        """The stack that an account needs once, for any number of rotation functions."""
        provider.deploy(self.aws, ROOT, self._build_dir)
        expect("The status of the provider's stack", "CREATE_COMPLETE", self.provider.status)
        self.report.say(
            f"The stack {self.provider.name}: an account needs it once, for all its rotation functions. Other stacks"
            f" find its function, their ServiceToken, by the export {self.provider.name}-ServiceToken."
        )
        self.report.emulator(
            "It authorizes iam:SimulatePrincipalPolicy on no resource but *, so the demo has added a statement for that"
            " to the provider's role. On AWS the one in template.yaml, on roles alone, is enough. And it runs functions"
            f" with this machine's Python {python_version()}, whatever their Runtime."
        )

    def create_without_policy(self) -> None:
        """A rotation function whose role may write its log and nothing else: rotation is denied."""
        complete, self.template = self.template, self.template.partition(_RESOURCE)[0]
        self.shop.create(self.template, RotationCode=self.code)
        self.report.table(
            [
                ("secret", self._secret()["Name"]),
                ("under the key", self._key("FirstKey")),
                ("function", self.shop.physical_id("RotationFunction")),
                ("its role", self.shop.physical_id("RotationRole")),
            ]
        )
        self.report.say("A rotation now: the function is called for its first step, as Secrets Manager would.")
        denied = self._rotate(self.shop)
        if "is not authorized" not in denied:
            raise Unexpected(
                "A rotation before the policy stands", "... is not authorized ...", denied or "it succeeded"
            )
        # The long ARN of the role's session, which it begins with, says nothing new.
        self.report.quote("denied", f"... {denied[denied.find('is not authorized') :]}")
        self.report.emulator(
            "It knows no rotation schedule (AWS::SecretsManager::RotationSchedule), and its RotateSecret calls no"
            " function. So the demo's template has no schedule, and the demo calls the function itself."
        )
        self.template = complete

    def add_policy(self) -> None:
        """The policy that lands on the role, and a rotation under it."""
        without = self.template.partition(_RESOURCE)[0]
        self.report.say("The template gains:")
        self.report.difference(without.splitlines(), self.template.splitlines(), context=0)
        previewed = self._previewed()
        self._update_shop()
        role, name = self.shop.physical_id("RotationRolePolicy").split("/")
        expect("The role of the policy", self.shop.physical_id("RotationRole"), role)
        policy = self._policy(self.shop)
        self._expect_resources(policy, "FirstKey")
        expect("The policy that the preview showed before the update", previewed, policy)
        self.report.say(
            f"`rotation-role-policy preview` showed it before the update; now the role {role} has the inline policy"
            f" {name}:"
        )
        self.report.policy(policy["Statement"], self._why("FirstKey"))
        failed = self._rotate(self.shop)
        expect("A rotation under the policy", "", failed)
        self.report.say("A rotation again: its four steps succeed, and the secret has a new current version.")
        self.report.emulator(
            "Its Secrets Manager does not ask its KMS, and it fills in no kms: condition keys: the four steps needed"
            " RotateSecret and GeneratePassword, but UseSecretKey is only shown here, not put to the test."
        )

    def rekey(self) -> None:
        """A new key alone does not reach the policy; with `Triggers` it does."""
        before = self._policy(self.shop)
        self.report.say("The secret is put under another customer managed key:")
        self._edit(("KmsKeyId: !GetAtt FirstKey.Arn", "KmsKeyId: !GetAtt SecondKey.Arn"))
        self._update_shop()
        expect("The secret's key", self._key("SecondKey"), self._secret()["KmsKeyId"])
        expect("The policy after the secret alone was re-keyed", before, self._policy(self.shop))
        self.report.say(
            "Now the secret is under the second key and the policy still names the first: on AWS the next rotation"
            " would fail. CloudFormation sends an Update to a resource only when one of its own properties changed,"
            " and Triggers is there to be changed:"
        )
        self._edit((_SECRET_LINE, f"{_SECRET_LINE}      Triggers: {{ Key: !Ref SecondKey }}\n"))
        self._update_shop()
        after = self._policy(self.shop)
        self._expect_resources(after, "SecondKey")
        self.report.say("What this changed in the policy:")
        self.report.policy_difference(before, after)
        expect("A rotation after the re-key", "", self._rotate(self.shop))
        self.report.say("A rotation succeeds. With Triggers in the template from the start, one update does both.")

    def create_successor(self) -> None:
        """Declared mode: the policy stands before the function, which Lambda would not create without it."""
        self.report.say(
            "Lambda creates a function in a VPC only when its role may manage network interfaces. So in"
            " demo/successor.yaml the policy comes first: it is told RoleName and VpcConfig instead of a function,"
            " and the function says DependsOn: RotationRolePolicy."
        )
        template = (_HERE / "successor.yaml").read_text()
        self.successor.create(template, RotationCode=self.code, SecretId=self._secret()["Name"])
        before, after = self._policy(self.shop)["Statement"], self._policy(self.successor)["Statement"]
        kept, added = after[: len(before)], after[len(before) :]
        expect("What the successor's policy shares with its predecessor's", before, kept)
        expect("The statements that the VPC adds", list(_WHY_IN_VPC), [statement["Sid"] for statement in added])
        expect("A rotation by the successor", "", self._rotate(self.successor))
        self.report.say("A rotation by it succeeds. Its policy has the statements of its predecessor's, and these:")
        self.report.policy(added, _WHY_IN_VPC)
        name = self.successor.physical_id("RotationFunction")
        if not self.functions.get_function_configuration(FunctionName=name).get("VpcConfig", {}).get("SubnetIds"):
            self.report.emulator(
                "It drops the VpcConfig of a function that CloudFormation creates, so what Lambda does without the"
                " policy cannot be seen here. Nor does it fill in lambda:SourceFunctionArn, which the Deny is about."
            )

    def bad_updates(self) -> None:
        """Each is refused with a reason in the stack's events, is rolled back, and leaves the policy as it was."""
        self.report.say("A misspelt property:")
        self._refused("Did you mean SecretId?", (_SECRET_LINE, _SECRET_LINE.replace("SecretId", "SecretID")))

        self.report.say("A role that is not the function's:")
        role_name = f"      RoleName: {self.successor.physical_id('RotationRole')}\n"
        self._refused("is not the execution role of the function", (_SECRET_LINE, _SECRET_LINE + role_name))

        self.report.say("Back to the first key, but meanwhile another inline policy denies the role PutSecretValue:")
        statement = {"Effect": "Deny", "Action": "secretsmanager:PutSecretValue", "Resource": "*"}
        document = {"Version": "2012-10-17", "Statement": [statement]}
        other = {"RoleName": self.shop.physical_id("RotationRole"), "PolicyName": "freeze"}
        self.iam.put_role_policy(**other, PolicyDocument=json.dumps(document))
        self._refused(
            "is blocked by an explicit deny",
            ("KmsKeyId: !GetAtt SecondKey.Arn", "KmsKeyId: !GetAtt FirstKey.Arn"),
            ("Key: !Ref SecondKey", "Key: !Ref FirstKey"),
        )
        self.iam.delete_role_policy(**other)
        self.report.emulator(
            "It simulates only the policies that the role has, and no permissions boundary or SCP: of the three that"
            " AccessCheck looks for, an explicit deny is the one that can be shown here."
        )

    def delete(self) -> None:
        """The policy goes with its resource, all else with its stack."""
        role = self.shop.physical_id("RotationRole")
        self.template = self.template.partition(_RESOURCE)[0]
        self._update_shop()
        expect("The inline policies of the role", [], self.iam.list_role_policies(RoleName=role)["PolicyNames"])
        self.report.say(f"Without the resource in the template, the role {role} has no inline policy left.")
        for stack in (self.successor, self.shop, self.provider):
            stack.delete()
        gone = [event["LogicalResourceId"] for event in reversed(self.successor.events()) if _deleted(event)]
        order = [name for name in gone if name in ("RotationFunction", "RotationRolePolicy")]
        expect("What goes first in the successor's stack", ["RotationFunction", "RotationRolePolicy"], order)
        self.report.say(
            "In the successor's stack the function went first, then its policy, which Lambda needs on AWS to remove the"
            " function's network interfaces."
        )
        left = self._left()
        self.report.say("After deleting the three stacks, the account has:")
        self.report.table([(kind, ", ".join(names) or "none") for kind, names in left.items()])
        expect("What is left", {"stacks": [_SAM_STACK]}, {kind: names for kind, names in left.items() if names})
        self.report.say("That stack is sam's own, with the bucket for what it deploys.")

    # --- what they are made of ---------------------------------------------------------------------------------------

    def _previewed(self) -> Any:
        """The document that the command line tool shows for the shop's template; it has to say that it is new."""
        file = self.folder / "shop.yaml"
        file.write_text(self.template)
        arguments = ["preview", "--template", str(file), "--stack", self.shop.name, "--resource", "RotationRolePolicy"]
        shown = subprocess.run(
            [sys.executable, "-m", "rotation_role_policy_cli", *arguments, "--json"],
            env=self.aws.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        expect("The exit status of the preview", WOULD_CHANGE, shown.returncode)
        return json.loads(shown.stdout)

    def _update_shop(self) -> None:
        self.shop.update(self.template, RotationCode=self.code)

    def _edited(self, *changes: tuple[str, str]) -> str:
        """The shop's template with each change made in its one place; prints the difference."""
        edited = self.template
        for old, new in changes:
            expect(f"How often the template has {old!r}", 1, edited.count(old))
            edited = edited.replace(old, new)
        self.report.difference(self.template.splitlines(), edited.splitlines(), context=0)
        return edited

    def _edit(self, *changes: tuple[str, str]) -> None:
        self.template = self._edited(*changes)

    def _refused(self, point: str, *changes: tuple[str, str]) -> None:
        """An update that has to fail at the policy for a reason with `point` in it, and to leave all as it was."""
        before = self._policy(self.shop)
        try:
            self.shop.update(self._edited(*changes), RotationCode=self.code)
        except StackFailed as failed:
            if point not in failed.reason:
                raise Unexpected("The reason of the refusal", f"... {point} ...", failed.reason) from failed
            expect("The resource that failed", "RotationRolePolicy", failed.failures[0].logical_id)
            expect("The status after the refusal", "UPDATE_ROLLBACK_COMPLETE", failed.status)
            expect("The policy after the refusal", before, self._policy(self.shop))
            expect("The secret's key after the refusal", self._key("SecondKey"), self._secret()["KmsKeyId"])
            self.report.quote("from the stack's events", failed.reason)
            self.report.say(f"{failed.status}, and the policy is what it was.")
        else:
            raise Unexpected("The bad update", "UPDATE_ROLLBACK_COMPLETE", self.shop.status)

    def _policy(self, stack: Stack) -> dict[str, Any]:
        """The document that stands on the role, asked of IAM."""
        role, name = stack.physical_id("RotationRolePolicy").split("/")
        document: dict[str, Any] = self.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        return document

    def _expect_resources(self, policy: dict[str, Any], key: str) -> None:
        """Each statement is about exactly what it should be about, as AWS names it, and no other secret or key."""
        wanted = {"RotateSecret": self._secret()["ARN"], "GeneratePassword": "*", "UseSecretKey": self._key(key)}
        expect("The policy's statements", list(wanted), [statement["Sid"] for statement in policy["Statement"]])
        for statement in policy["Statement"]:
            expect(f"The resource of {statement['Sid']}", wanted[statement["Sid"]], statement["Resource"])

    def _why(self, key: str) -> dict[str, str]:
        metadata = self.kms.describe_key(KeyId=self._key(key))["KeyMetadata"]
        return {
            "RotateSecret": f"the calls of a rotation's four steps, on {self._secret()['Name']} and no other secret",
            "GeneratePassword": 'the new password; the call is about no resource, so IAM takes it only on "*"',
            "UseSecretKey": f"the key is {metadata['KeyManager'].lower()} managed; only for this secret, only through"
            " Secrets Manager",
        }

    def _secret(self) -> dict[str, Any]:
        described: dict[str, Any] = self.secrets.describe_secret(SecretId=self.shop.physical_id("Secret"))
        return described

    def _key(self, logical_id: str) -> str:
        """The key's ARN."""
        return str(self.kms.describe_key(KeyId=self.shop.physical_id(logical_id))["KeyMetadata"]["Arn"])

    def _rotate(self, stack: Stack) -> str:
        """One rotation by the stack's function. Returns the error that it ended with; empty where it succeeded."""
        secret_id, new_version = self._secret()["ARN"], str(uuid.uuid4())
        for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
            event = {"SecretId": secret_id, "ClientRequestToken": new_version, "Step": step}
            function = stack.physical_id("RotationFunction")
            response = self.functions.invoke(FunctionName=function, Payload=json.dumps(event))
            payload = json.loads(response["Payload"].read() or "null")
            if "FunctionError" in response:
                return str(payload["errorMessage"])
        stages = self._secret()["VersionIdsToStages"]
        expect("The stages of the rotated secret's new version", True, "AWSCURRENT" in stages.get(new_version, []))
        return ""

    def _left(self) -> dict[str, list[str]]:
        """What the account still has, of each kind that the demo had to do with."""
        stacks = self.aws.client("cloudformation").describe_stacks()["Stacks"]
        keys = [key["KeyId"] for key in self.kms.list_keys()["Keys"]]
        states = {key: self.kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] for key in keys}
        return {
            "stacks": [one["StackName"] for one in stacks if one["StackStatus"] != "DELETE_COMPLETE"],
            "roles": [one["RoleName"] for one in self.iam.list_roles()["Roles"]],
            "functions": [one["FunctionName"] for one in self.functions.list_functions()["Functions"]],
            "secrets": [one["Name"] for one in self.secrets.list_secrets()["SecretList"]],
            "keys": [key for key, state in states.items() if state != "PendingDeletion"],
            "log groups": [one["logGroupName"] for one in self.aws.client("logs").describe_log_groups()["logGroups"]],
            "SSM parameters": [one["Name"] for one in self.aws.client("ssm").describe_parameters()["Parameters"]],
        }


def _deleted(event: dict[str, Any]) -> bool:
    return str(event["ResourceStatus"]) == "DELETE_COMPLETE"
