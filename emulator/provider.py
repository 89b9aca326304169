"""Deploy the provider to the emulator as to an account: `sam build`, `sam deploy`."""

from __future__ import annotations

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
"""The stack name in samconfig.toml."""

_LOG_TAIL_LINES = 20


class SamError(RuntimeError):
    """A sam command failed. The message ends with the last lines of its log."""


def build(root: Path, build_dir: Path) -> Path:
    """Run `sam build` for the project at `root`. The log is ``sam-build.log`` beside `build_dir`.

    Returns:
        The built template.

    Raises:
        SamError: with the end of the log.
    """
    build_dir.parent.mkdir(parents=True, exist_ok=True)
    # Not the emulator's environment: pip needs the package index.
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
    """Run `sam deploy` for what `build` has built, with the project's samconfig.toml.

    It can be repeated with other parameters. The log is ``sam-deploy.log`` in the emulator's folder.

    Returns:
        The stack, with ``ServiceToken`` among its outputs.

    Raises:
        SamError: with the end of the log.
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
    return Stack(emulator, stack_name)


def save_log(emulator: Emulator, provider: Stack, path: Path) -> None:
    """Write the log of the provider function to `path`, to be read after the emulator has stopped. Never fails."""
    try:
        group = provider.physical_id("LogGroup")
        events = emulator.client("logs").filter_log_events(logGroupName=group)["events"]
    except (BotoCoreError, ClientError) as error:
        path.write_text(f"(no log: {error})\n")
    else:
        path.write_text("".join(event["message"].rstrip() + "\n" for event in events))


def _run(command: list[str], folder: Path, environment: dict[str, str], log: Path) -> None:
    if shutil.which(command[0], path=environment["PATH"]) is None:
        raise SamError(f"{command[0]} is not installed. Run `make install`.")
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
                # In a group of its own, sam can be killed together with make and pip.
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
        raise SamError(f"{command[0]} {command[1]} ended with status {status}. The end of {log}:\n{tail}")


@contextmanager
def _signals_held() -> Iterator[None]:
    """Delay signals until the end of the block, so that a process that is being started can still be killed."""
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
