"""The provider in the emulator, the way an account gets it: `sam build`, `sam deploy`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from emulator.server import Emulator, callers_environment, sam_settings
from emulator.stack import Stack

STACK_NAME = "rotation-role-policy"
"""The one in samconfig.toml."""

_LOG_TAIL_LINES = 20


class SamFailed(RuntimeError):
    """A sam command failed. The message ends with the last lines of its log."""


def build(root: Path, build_dir: Path) -> Path:
    """`sam build` of the project at `root`. The log is ``sam-build.log`` beside `build_dir`.

    Returns:
        The built template.

    Raises:
        SamFailed: with the end of the log.
    """
    build_dir.parent.mkdir(parents=True, exist_ok=True)
    # The caller's own environment, not the emulator's: pip goes out to the package index.
    environment = callers_environment() | sam_settings(build_dir.parent)
    command = ["sam", "build", "--template-file", str(root / "template.yaml"), "--build-dir", str(build_dir)]
    _run(command, root, environment, build_dir.parent / "sam-build.log")
    return build_dir / "template.yaml"


def deploy(
    emulator: Emulator,
    root: Path,
    build_dir: Path,
    parameters: Mapping[str, str] | None = None,
    stack_name: str = STACK_NAME,
) -> Stack:
    """`sam deploy`, with the project's samconfig.toml, of what `build` made. Can be repeated with other parameters.

    The log is ``sam-deploy.log`` in the emulator's folder. In the emulator the provider's role gets one more
    statement: see `allow_simulation`.

    Returns:
        The stack, with ``ServiceToken`` among its outputs.

    Raises:
        SamFailed: with the end of the log.
    """
    command = [
        "sam",
        "deploy",
        "--template-file",
        str(build_dir / "template.yaml"),
        "--config-file",
        str(root / "samconfig.toml"),
    ]
    if stack_name != STACK_NAME:
        command += ["--stack-name", stack_name]
    if parameters:
        command += ["--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items())]
    _run(command, root, emulator.environment, emulator.folder / "sam-deploy.log")
    stack = Stack(emulator, stack_name)
    allow_simulation(emulator, stack)
    return stack


def allow_simulation(emulator: Emulator, provider: Stack) -> None:
    """Allow the provider iam:SimulatePrincipalPolicy on ``*``, the only resource for which MiniStack authorizes it.

    AWS authorizes it on the role, as the template allows it.
    """
    statement = {"Effect": "Allow", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*"}
    emulator.client("iam").put_role_policy(
        RoleName=provider.physical_id("ProviderRole"),
        PolicyName="emulator-only",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )


def save_log(emulator: Emulator, provider: Stack, path: Path) -> None:
    """Write the provider function's own log to `path`, for a look after the emulator has stopped. Never fails."""
    try:
        group = provider.physical_id("LogGroup")
        events = emulator.client("logs").filter_log_events(logGroupName=group)["events"]
    except (BotoCoreError, ClientError) as error:
        path.write_text(f"(no log: {error})\n")
    else:
        path.write_text("".join(event["message"].rstrip() + "\n" for event in events))


def _run(command: list[str], folder: Path, environment: dict[str, str], log: Path) -> None:
    if shutil.which(command[0]) is None:
        raise SamFailed(f"{command[0]} is not on PATH. `make demo` installs it and puts it there.")
    process = None
    try:
        with log.open("wb") as output, _signals_held():
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A group of its own, to end sam together with what it started: make, pip.
                process_group=0,
            )
        status = process.wait()
    except BaseException:
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        raise
    if status:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])
        raise SamFailed(f"{command[0]} {command[1]} ended with {status}. The end of {log}:\n{tail}")


@contextmanager
def _signals_held() -> Iterator[None]:
    """Hold back what would end the demo until the block's end: a process that is just starting is nobody's yet."""
    arrived: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.signal(number, lambda number, _: arrived.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])
