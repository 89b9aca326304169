"""The commands in remediations: complete, known to the AWS CLI, for the right region, and quoted for a shell."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from botocore import xform_name
from botocore.session import Session

from rotation_role_policy.audit.environment import EnvironmentProblem, EnvironmentProblemKind
from rotation_role_policy.audit.facts import UnusableKey
from rotation_role_policy.audit.findings import Words
from rotation_role_policy.audit.messages import environment, functions, secrets
from rotation_role_policy.audit.messages.commands import aws, rotating
from rotation_role_policy.audit.messages.excess import changing
from rotation_role_policy.iam.document import PolicyKind, PolicyName
from rotation_role_policy.rules.state import KeyProblem, Role
from tests.support import audit_facts
from tests.support.audit_facts import KEY, NOW, REGION, SECRET

MESSAGES = Path(secrets.__file__).parent
SESSION = Session()
OPTIONS_OF_THE_CLI = {"region", "query", "output"}
LISTED = replace(audit_facts.secret().listed, last_rotated=NOW, next_rotation=NOW, changed=NOW)
FUNCTION = f"{LISTED.function_id}:live"
ODD = "it's $(reboot)"
ROLE = Role(ODD, f"arn:aws:iam::123456789012:role/{ODD}")


def words() -> Iterator[Words]:
    for state in ("Disabled", "PendingDeletion"):
        for labels in ((), ("AWSPENDING",), ("AWSCURRENT",)):
            yield secrets.key_unusable(UnusableKey("prod/db", KeyProblem(KEY, state), labels))
    yield secrets.rotation_overdue(LISTED, NOW, None)
    yield secrets.rotation_unfinished(LISTED, NOW)
    yield secrets.rotation_late(LISTED)
    yield secrets.rotation_disabled(LISTED)
    yield secrets.replication_failed(SECRET, ["us-east-1"])
    yield secrets.invoke_not_allowed(LISTED, [])
    yield secrets.invoke_not_allowed(replace(LISTED, function_id=FUNCTION), [])
    yield functions.function_missing(FUNCTION)
    yield functions.function_in_other_account(FUNCTION)
    yield functions.function_idle(FUNCTION)
    yield functions.invoke_without_source(FUNCTION, ODD)
    problem = EnvironmentProblem(EnvironmentProblemKind.NOT_GRANTED, audit_facts.function(), KEY)
    yield environment.not_granted(problem, None)
    yield environment.role_recreated(problem, None)
    for name in (PolicyName(PolicyKind.INLINE, ODD), PolicyName(PolicyKind.MANAGED, f"arn:aws:iam::aws:policy/{ODD}")):
        for secret_arns in ((), (SECRET,), (SECRET, f"{SECRET}2")):
            yield Words("", *changing(ROLE, name, secret_arns, "1"))


WORDS = list(words())
COMMANDS = sorted({command for each in WORDS for command in each.commands})


@pytest.mark.parametrize("each", WORDS)
def test_the_commands_stand_in_the_remediation_and_no_others(each: Words) -> None:
    rest = each.remediation.replace("audit --adopt DIR", "")
    for command in each.commands:
        assert command in rest
        rest = rest.replace(command, "")
    assert each.commands
    assert not re.search(r"\baws [a-z]|--[a-z]", rest)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_aws_cli_knows_the_command_and_its_options(command: str) -> None:
    tool, service, operation, *arguments = shlex.split(command.removeprefix("(set -C; ").partition(" > ")[0])
    model = SESSION.get_service_model(service)
    names = {xform_name(name, "-"): name for name in model.operation_names}
    assert (tool, operation in names) == ("aws", True)
    members = model.operation_model(names[operation]).input_shape.members  # type: ignore[union-attr]
    known = {xform_name(name, "-") for name in members} | OPTIONS_OF_THE_CLI
    options = {each[2:] for each in arguments if each.startswith("--")}
    assert {each.removeprefix("no-") for each in options} <= known
    required = model.operation_model(names[operation]).input_shape.required_members  # type: ignore[union-attr]
    assert {xform_name(name, "-") for name in required} <= options
    regional = service != "iam"
    assert ("region" in options) == regional
    assert not regional or arguments[arguments.index("--region") + 1] == REGION


def test_a_value_that_a_shell_would_interpret_is_quoted() -> None:
    odd = [each for each in COMMANDS if ODD in shlex.split(each.removeprefix("(set -C; "))]
    assert len(odd) >= 4


def test_each_removal_has_a_copy_in_a_file_of_its_own_that_no_command_overwrites(tmp_path: Path) -> None:
    other = Role("a-b", "arn:aws:iam::999999999999:role/a-b")
    cases = [
        (role, PolicyName(PolicyKind.INLINE, name), part)
        for role in (Role("a-b", "arn:aws:iam::123456789012:role/a-b"), other, Role("a", "arn:aws:iam::1:role/a"))
        for name in ("c", "b-c", "a@b", "a+b", "x" * 128)
        for part in (1, "1", (1, "y" * 120))
    ]
    copies = [changing(role, name, (), part).commands[0] for role, name, part in cases]
    names = {each.rpartition(" > ")[2].rstrip(")") for each in copies}
    assert len(names) == len(cases)
    assert max(map(len, names)) < 100
    file = tmp_path / "copy"
    file.write_text("first")
    script = f"(set -C; echo second > {shlex.quote(str(file))})"
    assert subprocess.run(["sh", "-c", script], check=False, capture_output=True).returncode != 0
    assert file.read_text() == "first"


def test_a_value_that_begins_with_a_hyphen_is_no_option() -> None:
    command = aws("secretsmanager rotate-secret", SECRET, secret_id="-x", no_rotate_immediately=True, query="a b")
    assert command == (
        f"aws secretsmanager rotate-secret --region {REGION} --secret-id=-x --no-rotate-immediately --query 'a b'"
    )
    assert rotating(SECRET) == f"aws secretsmanager rotate-secret --region {REGION} --secret-id {SECRET}"


def test_no_message_has_a_command_that_is_written_by_hand() -> None:
    written = r"\baws (?:iam|kms|lambda|secretsmanager|cloudformation) [a-z]"
    assert [path.name for path in MESSAGES.glob("*.py") if re.search(written, path.read_text())] == []
