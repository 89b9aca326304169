"""`rotation-role-policy preview` returns the result of the provider and makes only read calls."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hcl2
import pytest
import yaml
from botocore.exceptions import EndpointConnectionError, NoCredentialsError

from rotation_role_policy import __version__
from rotation_role_policy.rules.size import ROLE_LIMIT, size
from rotation_role_policy_cli import caller_aws, main, permissions
from rotation_role_policy_cli.caller_aws import PATIENCE_SECONDS
from rotation_role_policy_cli.preview import command
from rotation_role_policy_cli.preview.formats import as_terraform
from rotation_role_policy_cli.schema import TYPE
from tests.support.account import ACCOUNT, LOGICAL_ID, OWN_POLICY, REGION, STACK_ID, Account, error, watched_caller_aws

STRIPPED = hcl2.SerializationOptions(strip_string_quotes=True)
BY_HAND = ["--secret-id", "prod/db", "--rotation-lambda", "rotate-db"]
PROPERTIES = {"SecretId": "prod/db", "RotationLambdaARN": "rotate-db"}


class CommandResult(NamedTuple):
    """The exit status and the output of a command."""

    status: int
    out: str
    err: str


Preview = Callable[..., CommandResult]


@pytest.fixture
def preview(account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Preview]:
    """Return a function that runs the command in the account, and checks that all its calls are read calls."""

    monkeypatch.setattr(caller_aws, "caller_aws", watched_caller_aws(account))
    monkeypatch.setenv("COLUMNS", "100")
    called: list[str] = []

    def run(*arguments: str) -> CommandResult:
        capsys.readouterr()
        account.calls.clear()
        # Without the log of the provider, which runs in this process too.
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        status = main.main(["preview", *arguments])
        called.extend(account.actions())
        out, err = capsys.readouterr()
        return CommandResult(status, out, err)

    yield run
    assert [action for action in called if not re.fullmatch(r"\w+:(Describe|Get|List|Simulate)\w+", action)] == []
    assert not {"secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue"} & set(called)


@pytest.fixture
def secret(account: Account) -> str:
    """Create a secret under the AWS managed key and its rotation function, and return the secret's ARN."""
    account.function(account.role())
    return account.secret()


# --- agreement with the provider ---


def test_the_json_is_the_document_that_the_provider_then_writes(preview: Preview, account: Account) -> None:
    account.function(account.role(), vpc=account.vpc())
    account.secret(key=account.key())
    account.secret("prod/other")
    account.secret("prod/superuser", key=account.key())
    result = preview(*BY_HAND, "--secret-id", "prod/other", "--superuser-secret-id", "prod/superuser", "--json")
    account.create(
        SecretIds=["prod/db", "prod/other"], RotationLambdaARN="rotate-db", SuperuserSecretId="prod/superuser"
    )
    assert (json.loads(result.out), result.status, result.err) == (account.policies()[OWN_POLICY], 2, "")


def test_a_declared_function_and_the_documented_profile_can_be_previewed(preview: Preview, account: Account) -> None:
    account.role()
    account.secret()
    declared = ["--secret-id", "prod/db", "--role", "rotation-role", "--policy-profile", "Documented"]
    for subnet_option, subnets in (("subnet-1,subnet-2", ["subnet-1", "subnet-2"]), ("none", [])):
        result = preview(*declared, "--vpc", subnet_option, "--json")
        account.create(
            SecretId="prod/db",
            RoleName="rotation-role",
            PolicyProfile="Documented",
            VpcConfig={"SubnetIds": subnets},
        )
        assert json.loads(result.out) == account.policies()[OWN_POLICY]


def test_a_policy_that_is_up_to_date_is_unchanged(preview: Preview, account: Account, secret: str) -> None:
    account.create(**PROPERTIES)
    result = preview(*BY_HAND)
    assert (result.status, result.err) == (0, "")
    assert "Unchanged: the role has this policy." in result.out
    assert f"policy      {OWN_POLICY}\n" in result.out
    assert "Changes\n\n  None.\n" in result.out


def test_a_changed_key_is_shown_as_a_difference(preview: Preview, account: Account, secret: str) -> None:
    first, second = account.key(), account.key()
    account.client("secretsmanager").update_secret(SecretId="prod/db", KmsKeyId=first)
    account.create(**PROPERTIES)
    account.client("secretsmanager").update_secret(SecretId="prod/db", KmsKeyId=second)
    result = preview(*BY_HAND)
    changed = re.findall(r"^  ([-+]) +(.+)$", result.out, re.MULTILINE)
    assert changed == [("-", f'"Resource": "{first}",'), ("+", f'"Resource": "{second}",')]
    assert result.status == 2
    assert "The policy would change." in result.out


def test_an_unchanged_policy_is_not_checked_as_in_the_provider(preview: Preview, account: Account, secret: str) -> None:
    account.create(**PROPERTIES)
    account.simulate = deny
    assert account.create(**PROPERTIES)["Status"] == "SUCCESS"
    for stack in (["--policy-name", OWN_POLICY], []):
        result = preview(*BY_HAND, *stack)
        assert (result.status, "Refused" in result.out) == (0, False)
        assert "iam:SimulatePrincipalPolicy" not in account.actions()


def test_a_policy_that_several_stacks_have_written_is_unchanged_whichever_it_is(
    preview: Preview, account: Account, secret: str
) -> None:
    account.create(**PROPERTIES)
    other_stack = STACK_ID.replace("database", "other")
    assert account.send(account.request("Create", PROPERTIES, StackId=other_stack))["Status"] == "SUCCESS"
    account.simulate = deny
    result = preview(*BY_HAND)
    assert (result.status, "Refused" in result.out) == (0, False)
    assert "Several inline policies match this resource" in result.out


def test_policy_name_selects_the_policy_to_compare_with(preview: Preview, account: Account, secret: str) -> None:
    account.create(**PROPERTIES)
    assert preview(*BY_HAND, "--policy-name", "other").status == 2
    assert preview(*BY_HAND, "--policy-name", OWN_POLICY).status == 0


def test_the_policy_of_another_resource_on_the_same_role_is_not_compared(
    preview: Preview, account: Account, secret: str
) -> None:
    account.secret("prod/other")
    account.create(SecretId="prod/other", RotationLambdaARN="rotate-db")
    result = preview(*BY_HAND)
    assert "(does not exist yet)" in result.out
    assert "No other policy on the role grants more than this." in result.out


# --- the page ---


def test_each_granted_and_each_omitted_statement_has_a_reason(preview: Preview, account: Account, secret: str) -> None:
    superuser = account.secret("prod/superuser", key=(key := account.key()))
    out = preview(*BY_HAND, "--superuser-secret-id", "prod/superuser").out
    granted, left_out = out.split("Granted")[1].split("Left out")
    assert re.findall(r"^  (\w+): (.+)$", granted, re.MULTILINE) == [
        ("RotateSecret", "the four steps of a rotation make these calls"),
        ("GeneratePassword", "generates the new password; the action has no resource"),
        ("ReadSuperuserSecret", "the function uses the credentials in this secret to change the password"),
        ("UseSuperuserKey", "this customer managed key encrypts the superuser secret, which is only read"),
    ]
    assert (
        f"""
    allows      kms:Decrypt
    on          {key}
    only where  kms:EncryptionContext:SecretARN is
                  {superuser}
                kms:ViaService is secretsmanager.{REGION}.amazonaws.com
"""
        in granted
    )
    assert re.findall(r"^  (\w+) {2,}(.+?) *$", left_out.split("Changes")[0], re.MULTILINE) == [
        ("UseSecretKey", "AWS managed key: no grant needed"),
        ("DecryptEarlierVersions", "no version in use needs an earlier key"),
        ("DecryptEnvironment", "no customer managed key encrypts the function's environment"),
        ("DescribeSuperuserSecret", "neither RDS nor Redshift manages the superuser secret"),
        ("DescribeSuperuserDatabase", "neither RDS nor Redshift manages the superuser secret"),
        ("CallTarget", "no TargetArns"),
        ("ManageNetworkInterfaces", "the function is not in a VPC"),
        ("KeepNetworkInterfacesFromCode", "the function is not in a VPC"),
    ]
    assert f"function    arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate-db, not in a VPC\n" in out
    assert "The role does not have this policy yet. All of it is new." in out


def test_targets_and_earlier_keys_are_shown_with_the_statements_for_them(
    preview: Preview, account: Account, secret: str
) -> None:
    earlier_key, instance = account.key(), f"arn:aws:rds:{REGION}:{ACCOUNT}:db:replica"
    cluster = f"arn:aws:redshift:{REGION}:{ACCOUNT}:cluster:warehouse"
    version = {"VersionId": "1" * 32, "VersionStages": ["AWSCURRENT"], "KmsKeyIds": [earlier_key]}
    account.api_responses["secretsmanager:ListSecretVersionIds"] = lambda _: {"Versions": [version]}
    out = preview(*BY_HAND, "--target-arns", f"{instance},{cluster}").out
    assert f"  secret      {secret}\n              encrypted with the AWS managed key\n" in out
    assert f" earlier versions encrypted with {earlier_key} " in " ".join(out.split())
    assert f"  target      {instance}\n              {cluster}\n" in out
    granted = out.split("Granted")[1].split("Left out")[0]
    assert "DecryptEarlierVersions: this earlier key still encrypts versions that the function reads\n" in granted
    assert f"    allows      rds:DescribeDBInstances\n    on          {instance}\n" in granted
    assert cluster not in granted


def test_a_note_says_that_the_previous_version_cannot_be_decrypted(
    preview: Preview, account: Account, secret: str
) -> None:
    earlier_key = account.key()
    account.client("kms").disable_key(KeyId=earlier_key.rpartition("/")[2])
    version = {"VersionId": "1" * 32, "VersionStages": ["AWSPREVIOUS"], "KmsKeyIds": [earlier_key]}
    account.api_responses["secretsmanager:ListSecretVersionIds"] = lambda _: {"Versions": [version]}
    result = preview(*BY_HAND)
    assert result.status == 2
    note = "Note: AWSPREVIOUS cannot be decrypted, so AWS's single-user rotation functions fail. Remove this label"
    out = " ".join(result.out.split())
    assert note in out
    assert f"({earlier_key}: the key is Disabled, not Enabled)." in out


def test_the_deny_statement_is_shown_only_for_the_strict_profile(preview: Preview, account: Account) -> None:
    account.function(account.role(), vpc=account.vpc())
    account.secret()
    strict = preview(*BY_HAND).out
    assert "    denies      ec2:CreateNetworkInterface" in strict
    assert "    only where  lambda:SourceFunctionArn is present" in strict
    documented = preview(*BY_HAND, "--policy-profile", "Documented").out
    assert "denies" not in documented
    assert "KeepNetworkInterfacesFromCode  the user guide's policy has no Deny" in documented


def test_network_statements_that_stay_after_the_function_has_left_its_vpc_are_shown_as_granted(
    preview: Preview, account: Account
) -> None:
    role_arn = account.role()
    account.function(role_arn, vpc=account.vpc())
    account.secret()
    account.create(**PROPERTIES)
    # Lambda may still delete its network interfaces.
    account.client("lambda").delete_function(FunctionName="rotate-db")
    account.function(role_arn)
    result = preview(*BY_HAND)
    assert result.status == 0
    assert "not in a VPC" in result.out
    granted, left_out = result.out.split("Left out")
    for sid in ("ManageNetworkInterfaces", "KeepNetworkInterfacesFromCode"):
        assert (f"{sid}: " in granted, sid in left_out) == (True, False)


def test_colours_require_a_terminal_that_is_not_dumb_and_no_color_unset(
    preview: Preview, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\033" not in preview(*BY_HAND).out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert "\033[1mRotateSecret\033[0m" in preview(*BY_HAND).out
    monkeypatch.setenv("NO_COLOR", "1")
    uncoloured = preview(*BY_HAND).out
    assert re.findall(r"\033\[([^m]*)m", uncoloured)
    assert set(re.findall(r"\033\[([^m]*)m", uncoloured)) <= {"0", "1", "2"}
    monkeypatch.setenv("TERM", "dumb")
    assert "\033" not in preview(*BY_HAND).out


def test_only_a_terminal_shows_the_progress(preview: Preview, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert preview(*BY_HAND).err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    err = preview(*BY_HAND).err
    assert "Asking AWS" in err
    assert err.endswith("\033[2K")


@pytest.mark.parametrize(
    ("shell", "status", "message"),
    [
        # The output fits into the buffer, so the error occurs at the flush.
        ("{ $COMMAND; echo $? >&2; } | true", "141", ""),
        ("$COMMAND > /dev/full; echo $? >&2", "1", "error: The output cannot be written: No space left on device.\n"),
        ("$COMMAND >&-; echo $? >&2", "0", ""),
    ],
)
def test_output_that_cannot_be_written_sets_the_exit_status(shell: str, status: str, message: str) -> None:
    program = f"{sys.executable} -c 'import sys, time; time.sleep(0.2); from rotation_role_policy_cli import main"
    program += '; sys.exit(main.main(["schema"]))\''
    # With PYTHONUNBUFFERED, each line is written at once, and nothing is left to flush.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment = buffered | {"PYTHONPATH": "handler:cli"}
    ran = subprocess.run(
        ["/bin/sh", "-c", shell.replace("$COMMAND", program)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert ran.stderr == f"{message}{status}\n"


def test_only_arns_exceed_the_width_of_a_narrow_terminal(
    preview: Preview, account: Account, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    superuser = account.secret("prod/superuser", key=(key := account.key()))
    monkeypatch.setenv("COLUMNS", "60")
    out = preview(*BY_HAND, "--superuser-secret-id", "prod/superuser").out
    assert [line for line in out.splitlines() if len(line) > 60 and "arn:aws:" not in line] == []
    for arn in (secret, superuser, key):
        assert arn in out


# --- overly permissive policies ---


def test_overly_permissive_policies_on_the_role_are_shown(preview: Preview, account: Account, secret: str) -> None:
    iam = account.client("iam")
    wide = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [wide]})
    iam.put_role_policy(RoleName="rotation-role", PolicyName="other", PolicyDocument=document)
    arn = iam.create_policy(PolicyName="managed", PolicyDocument=document)["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="rotation-role", PolicyArn=arn)
    out = preview(*BY_HAND).out
    assert '! the inline policy "other" allows secretsmanager:GetSecretValue on *, which matches other' in out
    assert f"! the managed policy {arn} allows secretsmanager:GetSecretValue on *, which" in " ".join(out.split())


def test_a_note_says_what_could_not_be_inspected(preview: Preview, account: Account, secret: str) -> None:
    account.faults["iam:ListAttachedRolePolicies"] = [error("AccessDenied")]
    account.faults["iam:SimulatePrincipalPolicy"] = [error("AccessDenied")]
    result = preview(*BY_HAND)
    notes = " ".join(result.out.split("Note: ", 1)[1].split())
    assert "Not all managed policies of the role were inspected: AWS denies you iam:ListAttachedRolePolicies." in notes
    assert "The access check could not run: AWS denies you iam:SimulatePrincipalPolicy." in notes
    assert result.status == 2


def test_a_note_says_which_key_could_not_be_inspected(preview: Preview, account: Account, secret: str) -> None:
    key_arn = f"arn:aws:kms:{REGION}:999999999999:key/11111111-1111-1111-1111-111111111111"
    account.client("secretsmanager").update_secret(SecretId="prod/db", KmsKeyId=key_arn)
    account.faults["kms:DescribeKey"] = [error("AccessDeniedException")]
    out = " ".join(preview(*BY_HAND).out.split())
    assert f"Note: Key not inspected: kms:DescribeKey is denied ({key_arn}: no)." in out


# --- errors that the provider would return ---


def deny(simulation: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the results of a simulation in which an explicit deny blocks everything."""
    return [
        {"EvalActionName": action, "EvalResourceName": "*", "EvalDecision": "explicitDeny"}
        for action in simulation["ActionNames"]
    ]


def test_blocked_access_is_shown_as_an_error_below_the_policy(preview: Preview, account: Account, secret: str) -> None:
    account.simulate = deny
    result = preview(*BY_HAND)
    assert result.status == 1
    assert "RotateSecret: " in result.out
    assert "Refused: AccessCheck: role" in result.out
    as_json = preview(*BY_HAND, "--json")
    assert (as_json.status, as_json.err.count("\n")) == (1, 1)
    assert as_json.err.startswith('error: AccessCheck: role "rotation-role"')
    assert preview(*BY_HAND, "--access-check", "Off").status == 2


def test_a_full_role_has_the_same_error_as_in_the_provider(preview: Preview, account: Account, secret: str) -> None:
    text = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "x:" + "y" * 9_900, "Resource": "*"}]}
    document = json.dumps(text)
    account.client("iam").put_role_policy(RoleName="rotation-role", PolicyName="other", PolicyDocument=document)
    assert size(text) < ROLE_LIMIT
    result = preview(*BY_HAND)
    assert (result.status, "Refused: The role" in result.out) == (1, True)
    assert account.create(**PROPERTIES)["Reason"] in " ".join(result.out.split())


def test_the_access_check_precedes_the_size_check_as_in_the_provider(
    preview: Preview, account: Account, secret: str
) -> None:
    text = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "x:" + "y" * 9_900, "Resource": "*"}]}
    account.client("iam").put_role_policy(RoleName="rotation-role", PolicyName="other", PolicyDocument=json.dumps(text))
    account.simulate = deny
    result = preview(*BY_HAND)
    assert (result.status, "Refused: AccessCheck: role" in result.out) == (1, True)
    assert account.create(**PROPERTIES)["Reason"] in " ".join(result.out.split())


def test_more_secrets_than_fit_into_a_response_are_rejected(preview: Preview, account: Account, secret: str) -> None:
    names = [f"prod/{'x' * 40}{number}" for number in range(45)]
    for name in names:
        account.secret(name)
    arguments = [argument for name in names for argument in ("--secret-id", name)]
    result = preview(*arguments, "--rotation-lambda", "rotate-db")
    assert result.status == 1
    assert "SecretIds: 45 secrets are too many for one resource" in result.err
    assert account.actions() == ["sts:GetCallerIdentity"], "the properties alone show it"


# --- errors ---


@pytest.mark.parametrize(
    ("arguments", "faults", "message"),
    [
        (["--secret-id", "nowhere"], {}, 'SecretId "nowhere": the secret does not exist in eu-central-1.'),
        (["--secret-id", "prod/db"], {}, "RotationLambdaARN is missing"),
        (["--secret-id", "a b"], {}, 'SecretId "a b" has the wrong form. Give a secret'),
        (BY_HAND, {"lambda:GetFunctionConfiguration": error("AccessDeniedException", "not authorized")},
         "AWS denies you lambda:GetFunctionConfiguration. not authorized"),
        (BY_HAND, {"secretsmanager:DescribeSecret": error("AccessDenied", "me is not authorized to perform: x")},
         "AWS denies the call: me is not authorized to perform: x"),
        (BY_HAND, {"sts:GetCallerIdentity": error("AccessDenied", "me is not authorized to perform: sts:AssumeRole")},
         "AWS denies the call: me is not authorized to perform: sts:AssumeRole"),
        (BY_HAND, {"sts:GetCallerIdentity": error("ExpiredToken", "it has expired")},
         "it has expired (sts:GetCallerIdentity failed with ExpiredToken). Log in to AWS again, or give --profile."),
        (BY_HAND, {"sts:GetCallerIdentity": NoCredentialsError()},
         "Unable to locate credentials (sts:GetCallerIdentity failed with NoCredentialsError). Log in"),
        ([*BY_HAND, "--profile", "nobody"], {}, "The config profile (nobody) could not be found. --profile names AWS"),
        ([*BY_HAND, "--profile", "Documented"], {}, "The config profile (Documented) could not be found."),
    ],
)  # fmt: skip
def test_an_error_is_one_line_with_a_remedy(
    preview: Preview, account: Account, secret: str, arguments: list[str], faults: dict[str, Exception], message: str
) -> None:
    account.faults |= {action: [fault] for action, fault in faults.items()}
    result = preview(*arguments)
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"error: {message}")
    assert result.err.count("\n") == 1


def test_without_a_region_the_error_says_how_to_set_it(
    preview: Preview, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    message = "error: You must specify a region. Give --region, or set AWS_REGION.\n"
    assert preview(*BY_HAND).err == message
    # Nobody's region is compared with that of an ARN.
    assert preview("--secret-id", secret, "--rotation-lambda", "rotate-db").err == message
    assert preview(*BY_HAND, "--region", REGION).status == 2
    monkeypatch.setenv("AWS_REGION", REGION)
    assert preview(*BY_HAND).status == 2


def test_aws_region_is_used_as_by_the_aws_cli(preview: Preview, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    assert "the secret does not exist in us-west-2" in preview(*BY_HAND).err
    assert preview(*BY_HAND, "--region", REGION).status == 2


def test_throttled_calls_are_retried_for_a_limited_time(preview: Preview, account: Account, secret: str) -> None:
    account.faults["iam:ListRolePolicies"] = [error("Throttling")] * 3
    assert preview(*BY_HAND).status == 2
    account.faults["iam:ListRolePolicies"] = [error("Throttling", "Rate exceeded")] * 1000
    account.slept.clear()
    result = preview(*BY_HAND)
    assert (result.status, "failed with Throttling" in result.err) == (1, True)
    assert sum(account.slept) <= PATIENCE_SECONDS


def test_an_endpoint_that_does_not_respond_suggests_a_wrong_region(
    preview: Preview, account: Account, secret: str
) -> None:
    unreachable = EndpointConnectionError(endpoint_url="https://sts.eu-centrl-1.amazonaws.com/")
    account.faults["sts:GetCallerIdentity"] = [unreachable] * 1000
    err = preview(*BY_HAND).err
    assert err.endswith(
        "(sts:GetCallerIdentity failed with EndpointConnectionError). Check --region and your network.\n"
    )
    assert sum(account.slept) <= PATIENCE_SECONDS


def test_a_missing_ca_bundle_is_an_error_of_one_line(
    preview: Preview, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("Could not find a suitable TLS CA certificate bundle, invalid path: /nowhere")

    monkeypatch.setattr(command, "preview", fail)
    result = preview(*BY_HAND)
    assert (result.status, result.err) == (
        1,
        "error: Could not find a suitable TLS CA certificate bundle, invalid path: /nowhere\n",
    )


def test_an_internal_error_is_one_line(
    preview: Preview, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(command, "preview", fail)
    assert preview(*BY_HAND).err == (
        "error: Internal error: ZeroDivisionError: by zero. To see the traceback, run"
        " `rotation-role-policy --debug ...`.\n"
    )
    with pytest.raises(ZeroDivisionError):
        main.main(["--debug", "preview", *BY_HAND])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give --secret-id or --template. Try 'rotation-role-policy preview --help'.\n"),
        (["--role", "r"], "Give --secret-id or --template."),
        ([*BY_HAND, "--template", "x.yaml"], "--secret-id cannot be combined with --template."),
        ([*BY_HAND, "--stack", "shop"], "--secret-id cannot be combined with --stack."),
        (["--stack", "shop"], "--stack needs --template."),
        ([*BY_HAND, "Stage=prod"], "--secret-id cannot be combined with Stage=prod."),
        (["--template", "x.yaml", "--role", "r"], "--role cannot be combined with --template."),
        (
            ["--template", "x.yaml", "--parameter", "x"],
            "Invalid value for '--parameter': 'x' is not a name with a value, such as Stage=prod.",
        ),
        ([*BY_HAND, "--policy-profile", "Loose"], "Invalid value for '--policy-profile': 'Loose' is not one of"),
        ([*BY_HAND, "--secret"], "No such option '--secret'"),
        ([*BY_HAND, "--profile"], "Option '--profile' requires an argument"),
    ],
)
def test_a_usage_error_has_status_1_because_2_means_a_change(
    preview: Preview, arguments: list[str], message: str
) -> None:
    result = preview(*arguments)
    assert result.status == 1
    assert result.err.startswith(f"error: {message}")
    assert result.err.count("\n") == 1


def test_the_help_says_what_the_exit_status_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["preview", "--help"]) == main.main(["--version"]) == 0
    out = capsys.readouterr().out
    for line in ("  0  unchanged", "  2  the policy would", "  1  an error"):
        assert line in out
    for actions in (permissions.REQUIRED, permissions.OPTIONAL, permissions.FOR_STACK, permissions.FOR_REFERENCES):
        assert [action for action in actions if f" {action}\n" not in out] == []
    assert out.splitlines()[-1] == f"rotation-role-policy {__version__}"


# --- templates ---


@pytest.fixture
def template(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that writes a template with these resources and returns its path."""

    def write(text: str) -> str:
        path = tmp_path / "template.yaml"
        path.write_text(text)
        return str(path)

    return write


FUNCTION = f"""
AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  SecretName: {{ Type: String, Default: prod/db }}
Resources:
  {LOGICAL_ID}:
    Type: Custom::RotationRolePolicy
    Properties:
      ServiceToken: !ImportValue rotation-role-policy-ServiceToken
      SecretId: !Ref SecretName
      RotationLambdaARN: !Sub "arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:${{AWS::AccountId}}:function:rotate-db"
      Triggers: {{ Key: !GetAtt Elsewhere.Arn }}
"""


def test_a_template_needs_no_stack_if_its_parameters_resolve_all_references(
    preview: Preview, account: Account, secret: str, template: Callable[[str], str]
) -> None:
    file = template(FUNCTION)
    result = preview("--template", file)
    assert (result.status, result.err) == (2, "")
    assert result.out.startswith(f"{LOGICAL_ID} (Strict)\n")
    account.secret("prod/other")
    other_result = preview("--template", file, "--parameter", "SecretName=prod/other", "--json")
    account.create(SecretId="prod/other", RotationLambdaARN="rotate-db")
    assert json.loads(other_result.out) == {LOGICAL_ID: account.policies()[OWN_POLICY]}
    single = preview("--template", file, "--parameter", "SecretName=prod/other", "--json", "--resource", LOGICAL_ID)
    assert json.loads(single.out) == account.policies()[OWN_POLICY]
    # Several parameters after one option.
    both = preview("--template", file, "--parameter", "SecretName=prod/db", "SecretName=prod/other", "--json")
    assert both.out == other_result.out


def test_with_a_stack_the_deployed_policy_of_the_resource_is_compared(
    preview: Preview, account: Account, secret: str, template: Callable[[str], str]
) -> None:
    file = template(FUNCTION)
    account.create(**PROPERTIES)
    other_role = account.role("former-role")
    described = {"StackId": STACK_ID, "StackName": "database", "Parameters": [], "StackStatus": "CREATE_COMPLETE"}
    resources: list[dict[str, Any]] = []
    account.api_responses["cloudformation:DescribeStacks"] = lambda _: {"Stacks": [described]}
    account.api_responses["cloudformation:ListStackResources"] = lambda _: {"StackResourceSummaries": resources}
    result = preview("--template", file, "--stack", "database")
    assert (result.status, result.err) == (0, "")
    assert f"policy      {OWN_POLICY}\n" in result.out
    former = f"{other_role.rpartition('/')[2]}/{OWN_POLICY}"
    resources.append({"LogicalResourceId": LOGICAL_ID, "ResourceType": TYPE, "PhysicalResourceId": former})
    # The new role already has the policy. The former role loses its policy only after the update.
    again = preview("--template", file, "--stack", "database")
    assert (again.status, "The policy moves" in again.out) == (2, True)
    account.client("iam").delete_role_policy(RoleName="rotation-role", PolicyName=OWN_POLICY)
    moved = preview("--template", file, "--stack", "database")
    assert moved.status == 2
    assert "The policy moves: it is written to this role, and removed from the role former-role when" in moved.out


def test_an_error_in_one_resource_does_not_hide_the_others(
    preview: Preview, account: Account, secret: str, template: Callable[[str], str]
) -> None:
    text = (
        FUNCTION
        + """
  Second:
    Type: Custom::RotationRolePolicy
    Properties: { SecretId: !Ref Nobody, RotationLambdaARN: rotate-db }
"""
    )
    result = preview("--template", template(text))
    assert result.status == 1
    assert result.out.startswith(f"{LOGICAL_ID} (Strict)\n")
    assert result.err == 'error: Second: SecretId: "Nobody" is neither a parameter nor a resource of the template.\n'
    assert preview("--template", template(text), "--resource", LOGICAL_ID).status == 2


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("{", [], "is not YAML or JSON"),
        ("- a: [", [], "is not YAML or JSON"),
        ("a: b", [], "is not a CloudFormation template: it has no Resources."),
        ("Resources: {}", [], "has no Custom::RotationRolePolicy."),
        (FUNCTION, ["--resource", "Nobody"], "has no Custom::RotationRolePolicy with this logical ID."),
        (FUNCTION, ["--parameter", "Nobody=1"], "--parameter Nobody: the template has no such parameter."),
    ],
)
def test_an_invalid_template_is_an_error_of_one_line(
    preview: Preview,
    account: Account,
    secret: str,
    template: Callable[[str], str],
    text: str,
    arguments: list[str],
    message: str,
) -> None:
    account.faults["cloudformation:DescribeStacks"] = [error("ValidationError", "does not exist")]
    result = preview("--template", template(text), *arguments)
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert message in result.err


def test_a_missing_template_is_an_error_of_one_line(preview: Preview) -> None:
    assert preview("--template", "nowhere.yaml").err == "error: nowhere.yaml: No such file or directory.\n"


CONDITIONAL = (
    FUNCTION.replace("    Type: Custom", "    Condition: IsProd\n    Type: Custom")
    + """
Conditions:
  IsProd: !And [!Equals [!Ref SecretName, prod/other], !Not [!Equals [a, b]]]
"""
)


def test_a_resource_whose_condition_is_false_is_omitted(
    preview: Preview, secret: str, template: Callable[[str], str]
) -> None:
    result = preview("--template", template(CONDITIONAL))
    assert (result.status, result.err) == (0, "")
    assert result.out == ("Nothing to preview: the template's conditions exclude every Custom::RotationRolePolicy.\n\n")
    assert preview("--template", template(CONDITIONAL), "--json").out == "{}\n"


@pytest.mark.parametrize(
    "text", [CONDITIONAL, "Resources: { Topic: { Type: AWS::SNS::Topic } }"], ids=["condition", "gone"]
)
def test_a_policy_that_the_update_would_remove_is_shown(
    preview: Preview, account: Account, secret: str, template: Callable[[str], str], text: str
) -> None:
    account.create(**PROPERTIES)
    deployed(account, {LOGICAL_ID: f"rotation-role/{OWN_POLICY}", "Failed": "uncreated-Failed"})
    result = preview("--template", template(text), "--stack", "database")
    assert (result.status, result.err) == (2, "")
    removed = f"{LOGICAL_ID} will be removed, and with it the policy {OWN_POLICY} on the role rotation-role."
    assert " ".join(result.out.split()) == removed
    assert (
        preview("--template", template(text), "--stack", "database", "--json").out
        == f'{{\n  "{LOGICAL_ID}": null\n}}\n'
    )


def deployed(account: Account, physical_ids: dict[str, str]) -> None:
    """Deploy the stack ``database`` with these `Custom::RotationRolePolicy` resources."""
    stack = {"StackId": STACK_ID, "StackName": "database", "StackStatus": "UPDATE_COMPLETE"}
    resources = [
        {"LogicalResourceId": name, "ResourceType": TYPE, "PhysicalResourceId": physical_id}
        for name, physical_id in physical_ids.items()
    ]
    account.api_responses["cloudformation:DescribeStacks"] = lambda _: {"Stacks": [stack]}
    account.api_responses["cloudformation:ListStackResources"] = lambda _: {"StackResourceSummaries": resources}


def test_loops_are_an_error_and_other_resources_are_still_previewed(
    preview: Preview, secret: str, template: Callable[[str], str]
) -> None:
    loop = '  Fn::ForEach::More: [Name, [A], { "P${Name}": { Type: Custom::RotationRolePolicy } }]\n'
    result = preview("--template", template(FUNCTION + loop))
    assert (result.status, result.out.startswith(f"{LOGICAL_ID} (Strict)")) == (1, True)
    assert result.err.startswith(
        "error: Fn::ForEach::More is not expanded, and the resources that it creates are not previewed. Preview the"
    )


# --- the policy to compare with ---


def test_without_a_stack_the_policy_of_another_resource_is_not_compared(
    preview: Preview, account: Account, secret: str, template: Callable[[str], str]
) -> None:
    account.create(**PROPERTIES)
    assert preview("--template", template(FUNCTION)).status == 0
    renamed = preview("--template", template(FUNCTION.replace(LOGICAL_ID, "BrandNew")))
    assert (renamed.status, "(does not exist yet)" in renamed.out) == (2, True)


def test_a_policy_that_only_reads_the_secret_or_has_wildcards_is_not_compared(
    preview: Preview, account: Account, secret: str
) -> None:
    account.secret("prod/super")
    account.create(**PROPERTIES, SuperuserSecretId="prod/super")
    wide = {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": wide})
    account.client("iam").put_role_policy(
        RoleName="rotation-role", PolicyName="Other-0123456789ab", PolicyDocument=document
    )
    result = preview("--secret-id", "prod/super", "--rotation-lambda", "rotate-db")
    assert "(does not exist yet)" in result.out
    assert 'the inline policy "Other-0123456789ab" allows secretsmanager:* on *' in result.out


def test_of_several_candidate_policies_only_an_equal_one_is_compared(
    preview: Preview, account: Account, secret: str
) -> None:
    account.create(**PROPERTIES)
    iam = account.client("iam")
    document = account.policies()[OWN_POLICY] | {"Id": "other"}
    second = {"RoleName": "rotation-role", "PolicyName": "Second-0123456789ab"}
    iam.put_role_policy(**second, PolicyDocument=json.dumps(document))
    assert preview(*BY_HAND).status == 0
    iam.put_role_policy(
        RoleName="rotation-role", PolicyName=OWN_POLICY, PolicyDocument=json.dumps(document | {"Id": "another"})
    )
    page = " ".join(preview(*BY_HAND).out.split())
    assert "(does not exist yet)" in page
    assert (
        f"Note: Several inline policies match this resource: {OWN_POLICY}, Second-0123456789ab. Give --policy-name"
        in page
    )


def test_a_policy_that_was_written_by_hand_is_compared_completely(
    preview: Preview, account: Account, secret: str
) -> None:
    account.create(**PROPERTIES)
    document = account.policies()[OWN_POLICY] | {"Id": "by-hand"}
    by_hand = {"RoleName": "rotation-role", "PolicyName": "hand"}
    account.client("iam").put_role_policy(**by_hand, PolicyDocument=json.dumps(document))
    assert '-  "Id": "by-hand",' in preview(*BY_HAND, "--policy-name", "hand").out
    statement = {"Effect": "Allow", "Action": "x:y", "Resource": "*"}
    single = json.dumps({"Version": "2012-10-17", "Statement": statement})
    account.client("iam").put_role_policy(**by_hand, PolicyDocument=single)
    assert '-      "Action": "x:y",\n' in preview(*BY_HAND, "--policy-name", "hand").out


# --- limits and access checks across resources ---


def test_policies_of_the_same_update_count_together_towards_the_limit(
    preview: Preview, account: Account, secret: str, template: Callable[[str], str]
) -> None:
    names = [f"prod/{'x' * 80}{number}" for number in range(15)]
    for name in names:
        account.secret(name)
    resource = f"""
  Name:
    Type: Custom::RotationRolePolicy
    Properties: {{ SecretIds: {json.dumps(names)}, RotationLambdaARN: rotate-db }}
"""
    text = "Resources:" + "".join(resource.replace("Name", f"Policy{number}") for number in range(6))
    result = preview("--template", template(text), "--json")
    assert result.status == 1
    assert len(json.loads(result.out)) == 6
    rejected = re.findall(r"error: (Policy\d): The role \"rotation-role\" is full", result.err)
    # Each policy has about 2,600 characters, so three fit.
    assert rejected == ["Policy3", "Policy4", "Policy5"]


def test_a_secret_of_another_account_is_refused_before_any_call_on_it(
    preview: Preview, account: Account, secret: str
) -> None:
    secret_arn = f"arn:aws:secretsmanager:{REGION}:999999999999:secret:other-AbCdEf"
    result = preview(*BY_HAND, "--superuser-secret-id", secret_arn)
    assert result.status == 1
    assert f'SuperuserSecretId "{secret_arn}" is in account 999999999999, but the provider serves' in result.err
    assert account.actions() == ["sts:GetCallerIdentity"]


def test_a_note_says_what_the_simulator_could_not_evaluate(preview: Preview, account: Account, secret: str) -> None:
    account.faults["iam:SimulatePrincipalPolicy"] = [error("InvalidInput", "no")] * 20
    out = " ".join(preview(*BY_HAND).out.split())
    failed = 'the policy simulator failed (InvalidInput: "no").'
    assert f'Note: The access check could not decide: secretsmanager:DescribeSecret on "{secret}": {failed}' in out
    account.faults["iam:SimulatePrincipalPolicy"] = [error("AccessDenied", "no")]
    out = " ".join(preview(*BY_HAND).out.split())
    assert "Note: The access check could not run: AWS denies you iam:SimulatePrincipalPolicy." in out


def test_a_preview_shows_that_the_provider_would_refuse_a_redirection(
    preview: Preview, account: Account, secret: str, tmp_path: Path
) -> None:
    rotate = account.client("secretsmanager").rotate_secret
    rotate(SecretId="prod/db", RotationLambdaARN=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate-db")
    physical_id = account.create(SecretId="prod/db")["PhysicalResourceId"]
    account.function(account.role("attacker"), "attacker")
    rotate(SecretId="prod/db", RotationLambdaARN=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:attacker")
    template = tmp_path / "template.json"
    properties = {"ServiceToken": "arn", "SecretId": "prod/db"}
    template.write_text(json.dumps({"Resources": {LOGICAL_ID: {"Type": TYPE, "Properties": properties}}}))
    described = {"StackId": STACK_ID, "StackName": "database", "Parameters": [], "StackStatus": "CREATE_COMPLETE"}
    deployed = {"LogicalResourceId": LOGICAL_ID, "ResourceType": TYPE, "PhysicalResourceId": physical_id}
    account.api_responses["cloudformation:DescribeStacks"] = lambda _: {"Stacks": [described]}
    account.api_responses["cloudformation:ListStackResources"] = lambda _: {"StackResourceSummaries": [deployed]}
    result = preview("--template", str(template), "--stack", "database")
    out = " ".join(result.out.split())
    assert result.status == 1
    assert 'Refused: SecretId "prod/db" reports the rotation function' in out
    assert 'the role "attacker", but the policy of this resource is on the role "rotation-role".' in out
    account.api_responses.clear()
    assert account.update(physical_id, SecretId="prod/db")["Reason"] in out
    # Without a stack, the resource counts as new.
    assert preview("--template", str(template)).status == 2


def test_a_preview_shows_a_policy_for_any_key(preview: Preview, account: Account, secret: str) -> None:
    out = preview(*BY_HAND, "--kms-scope", "Secret").out
    assert out.startswith("Custom::RotationRolePolicy (Strict, KmsScope Secret)\n")
    assert f"on          arn:aws:kms:{REGION}:{ACCOUNT}:key/*" in out
    assert "UseSecretKey: this customer managed key encrypts the secret" not in out


def test_a_preview_shows_the_key_of_the_environment_and_its_warning(
    preview: Preview, account: Account, secret: str
) -> None:
    key = account.key()
    account.client("kms").disable_key(KeyId=key.rpartition("/")[2])
    result = preview("--secret-id", "prod/db", "--role", "rotation-role", "--vpc", "none", "--kms-key-arn", key)
    out = " ".join(result.out.split())
    assert f"its environment variables encrypted with {key}" in out
    assert "DecryptEnvironment: Lambda decrypts the environment variables" in out
    assert (
        "Note: The key of the function's environment variables cannot be used, so the function does not start." in out
    )
    assert result.status == 2


def test_a_preview_of_the_documented_profile_says_that_the_provider_must_allow_it(
    preview: Preview, account: Account, secret: str
) -> None:
    note = "Note: The provider writes PolicyProfile Documented only if the parameter AllowDocumentedProfile"
    assert note in " ".join(preview(*BY_HAND, "--policy-profile", "Documented").out.split())
    assert note not in " ".join(preview(*BY_HAND).out.split())


def test_resource_policies_are_evaluated_as_in_the_provider(preview: Preview, account: Account, secret: str) -> None:
    def put(**members: Any) -> None:
        statement = {"Sid": "OnlyDba", "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"} | members
        document = json.dumps({"Version": "2012-10-17", "Statement": statement})
        account.client("secretsmanager").put_resource_policy(SecretId="prod/db", ResourcePolicy=document)

    put(Condition={"StringNotEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/dba"}})
    result = preview(*BY_HAND)
    reason = account.create(**PROPERTIES)["Reason"]
    assert 'the statement "OnlyDba" in the resource policy of the secret' in reason
    assert (result.status, f"Refused: {reason}" in " ".join(result.out.split())) == (1, True)

    put(Condition={"StringNotEquals": {"aws:SourceVpc": "vpc-1"}})
    result = preview(*BY_HAND)
    note = (
        "Note: The access check could not decide: secretsmanager:DescribeSecret, secretsmanager:GetSecretValue,"
        f' secretsmanager:PutSecretValue, secretsmanager:UpdateSecretVersionStage on "{secret}": it is not known'
        ' whether the statement "OnlyDba" in the resource policy of the secret denies the call.'
    )
    assert (result.status, note in " ".join(result.out.split())) == (2, True)


# --- what is not printed ---


VALUE = "hunter2-of-the-parameter"


@pytest.mark.parametrize(
    "secret_id",
    [
        "'{{resolve:ssm:/secret}}'",
        "!Sub 'prod/{{resolve:ssm:/secret}}'",
        "!Ref FromStore",
        f"!Sub '{'x' * 60}{{{{resolve:ssm:/secret}}}}'",
        "!Select [0, !Split [',', '{{resolve:ssm:/list}}']]",
    ],
)
def test_the_value_of_an_ssm_parameter_is_in_no_error(
    preview: Preview, account: Account, template: Callable[[str], str], secret: str, secret_id: str
) -> None:
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/secret", Value=VALUE, Type="String")
    ssm.put_parameter(Name="/list", Value=f"{VALUE}, other", Type="StringList")
    store = "SecretName: { Type: String, Default: prod/db }"
    parameter = "FromStore: { Type: 'AWS::SSM::Parameter::Value<String>', Default: /secret }"
    text = FUNCTION.replace(store, parameter).replace("!Ref SecretName", secret_id)
    result = preview("--template", template(text))
    assert result.status == 1
    assert VALUE not in result.out + result.err
    assert "<the value of the SSM parameter /" in result.err


def test_control_characters_of_a_template_do_not_reach_the_terminal(
    preview: Preview, template: Callable[[str], str], secret: str
) -> None:
    for name in ("\x1b[2J", "\u202e", "\u2066x", "\x9b1A", "\u200b"):
        written = f'"{name.encode("unicode_escape").decode()}"'
        text = FUNCTION.replace("!Ref SecretName", written).replace("Triggers:", f"{written}: 1\n      Triggers:")
        result = preview("--template", template(text), "--stack", name, "--parameter", f"{name}=1")
        assert result.status == 1
        assert not set(name) - set("[2J1Ax") & set(result.out + result.err)


# --- formats ---


def test_the_document_can_be_printed_as_yaml_and_as_terraform(
    preview: Preview, account: Account, template: Callable[[str], str], secret: str
) -> None:
    document = json.loads(preview(*BY_HAND, "--json").out)
    assert json.loads(preview(*BY_HAND, "--format", "json").out) == document
    assert yaml.safe_load(preview(*BY_HAND, "--format", "yaml").out) == document
    terraform = preview(*BY_HAND, "--format", "terraform").out
    assert "It does not follow by itself" in terraform
    [resource] = hcl2.loads(terraform, serialization_options=STRIPPED)["resource"]
    policy = resource["aws_iam_role_policy"]["rotation"]
    assert (policy["name"], policy["role"]) == ("rotation", "rotation-role")
    assert secret in policy["policy"]
    path = template(FUNCTION)
    named = yaml.safe_load(preview("--template", path, "--format", "yaml").out)
    assert named == json.loads(preview("--template", path, "--json").out)
    [resource] = hcl2.loads(preview("--template", path, "--format", "terraform").out, serialization_options=STRIPPED)[
        "resource"
    ]
    assert list(resource["aws_iam_role_policy"]) == ["database_rotation_policy"]


@pytest.mark.parametrize("text", ["${aws:x}", "%{if}", 'a"b', "\n"])
def test_terraform_gets_texts_as_they_are(text: str) -> None:
    document = {"Statement": [{"Sid": text, "Condition": {"a:b": {"c": [text]}}, "n": None}]}
    [resource] = hcl2.loads(as_terraform("Name-1", "role", document, set()), serialization_options=STRIPPED)["resource"]
    written = resource["aws_iam_role_policy"]["name_1"]["policy"]
    assert written.count(json.dumps(text).replace("${", "$${").replace("%{", "%%{")) == 2
