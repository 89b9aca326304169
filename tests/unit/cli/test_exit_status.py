"""The exit status and the output of a command that is interrupted or cannot write."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from rotation_role_policy_cli import main
from rotation_role_policy_cli.exit_status import run
from tests import ROOT


def process(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a separate process."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'handler'}:{ROOT / 'cli'}"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_ctrl_c_prints_nothing(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("rotation_role_policy_cli.preview.command.preview", interrupt)
    assert main.main(["preview", "--secret-id", "prod/db"]) == 130
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_in_a_separate_process_prints_nothing() -> None:
    program = """
import os, signal, sys
from rotation_role_policy_cli import main, schema
# A shell starts a background process with the signal ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
schema.text = lambda: os.kill(os.getpid(), signal.SIGINT)
sys.exit(main.main(["schema"]))
"""
    stopped = process(program)
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (130, "", "")


def test_a_closed_pipe_prints_no_error(tmp_path: Path) -> None:
    program = """
import os, sys
from rotation_role_policy_cli import main
from rotation_role_policy_cli.preview import command
# Nothing reads from this pipe.
reader, writer = os.pipe()
os.dup2(writer, 1)
os.close(reader)
command.preview_template = lambda *_: command.PreviewResult({}, {"Policy": "role/policy"}, [])
sys.exit(main.main(["preview", "--template", "template.yaml"]))
"""
    closed = process(program)
    assert (closed.returncode, closed.stderr) == (141, "")


@pytest.mark.parametrize(("option", "is_shown"), [([], False), (["--debug"], True)])
def test_the_log_of_the_shared_modules_is_shown_only_with_debug(option: list[str], is_shown: bool) -> None:
    program = f"""
import logging
from rotation_role_policy_cli import main
main.main({[*option, "schema"]!r})
for name in ("rotation_role_policy.audit.lookups", "botocore.credentials", "urllib3.connectionpool"):
    logging.getLogger(name).error("a traceback")
"""
    result = process(program)
    assert result.returncode == 0
    assert ("a traceback" in result.stderr) is is_shown


def test_an_internal_error_prints_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> NoReturn:
        raise ValueError("of several\nlines")

    assert run(fail, is_debug=False) == 1
    message = (
        "error: Internal error: ValueError: of several lines. To see the traceback, run"
        " `rotation-role-policy --debug ...`.\n"
    )
    assert capsys.readouterr() == ("", message)
    with pytest.raises(ValueError, match="of several"):
        run(fail, is_debug=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--debug"], "Missing command. Try 'rotation-role-policy --help'."),
        (["previw"], "No such command 'previw'."),
        (["--nope"], "No such option '--nope'."),
        (["schema", "x"], "Got unexpected extra argument (x). Try 'rotation-role-policy schema --help'."),
    ],
)
def test_a_usage_error_prints_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(arguments) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"error: {message}")


def test_without_arguments_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([]) == 0
    assert capsys.readouterr().out.startswith("Usage: rotation-role-policy [OPTIONS] COMMAND")


@pytest.mark.parametrize("arguments", [["schema"], ["--version"], ["preview", "--help"]])
def test_commands_without_aws_calls_do_not_import_boto3_botocore_and_rich(arguments: list[str]) -> None:
    program = f"""
import sys
from rotation_role_policy_cli import main
assert not main.main({arguments!r})
assert not {{"boto3", "botocore", "rich"}} & set(sys.modules)
"""
    started = process(program)
    assert (started.returncode, started.stderr) == (0, "")


def test_shell_completion_suggests_commands_options_and_values() -> None:
    program = "from rotation_role_policy_cli import main; main.main()"
    for words, expected in (
        ("rotation-role-policy p", "plain,preview\n"),
        ("rotation-role-policy preview --rot", "plain,--rotation-lambda\nplain,--rotation-lambda-arn\n"),
        ("rotation-role-policy preview --policy-profile S", "plain,Strict\n"),
    ):
        last = str(len(words.split()) - 1)
        completed = process(program, _ROTATION_ROLE_POLICY_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=last)
        assert (completed.returncode, completed.stdout, completed.stderr) == (0, expected, "")
