"""`make demo`: the demo runs to its end, and leaves no process behind if it is stopped."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import ROOT


def start(module: str = "demo") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "handler:cli"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_the_demo_runs_every_step_without_an_error() -> None:
    process = start()
    output, _ = process.communicate(timeout=170)
    assert process.returncode == 0, output
    assert [line.rstrip(" ─") for line in output.splitlines() if line.startswith("12. ")] == ["12. Delete everything"]
    for sid in ("RotateSecret", "UseSecretKey", "DecryptEarlierVersions", "UseSuperuserKey", "ManageNetworkInterfaces"):
        assert f'"Sid": "{sid}"' in output
    assert "+      KmsScope: Secret" in output
    # Lines with an ARN may be longer, so that the ARN can be copied.
    assert max(len(line) for line in output.splitlines() if "arn:aws:" not in line) <= 100
    assert "\033" not in output
    assert re.search(r"^Done in \d+ s\. ", output, re.MULTILINE)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to find processes")
@pytest.mark.parametrize(("signal_number", "exit_status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_demo_leaves_no_process_running(signal_number: signal.Signals, exit_status: int) -> None:
    process = start()
    assert process.stdout
    for line in process.stdout:
        if line.startswith("2. Build"):
            break
    emulator = running_below(ROOT / ".build" / "demo")
    assert emulator
    process.send_signal(signal_number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == exit_status
    assert "Traceback" not in output
    assert output.rstrip().splitlines()[-1].startswith(f"Stopped by {signal_number.name}.")
    # Killed processes take a moment to end.
    deadline = time.monotonic() + 2
    while processes := running_below(ROOT / ".build" / "demo"):
        assert time.monotonic() < deadline, processes
        time.sleep(0.05)


def test_the_account_to_audit_stays_until_the_demo_is_stopped() -> None:
    process = start("demo.audit")
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if line.startswith("The account stays until"):
            break
    assert "OtherSecrets" in "".join(lines)
    exports = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": "handler:cli"} | exports | {"AWS_PAGER": ""}
    command = [sys.executable, "-m", "rotation_role_policy_cli", "audit", "--json"]
    audited = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (audited.returncode, audited.stderr) == (2, "")
    assert json.loads(audited.stdout)["summary"]["errors"] > 5
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert output.rstrip().endswith("Stopped by SIGINT. The emulator has been stopped. Nothing is left running.")
    assert (ROOT / ".build" / "demo-audit" / "audit.html").is_file()


def running_below(folder: Path) -> list[str]:
    """Return the command lines of running processes that name a file below `folder`."""
    command_lines = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command_lines.append(process.read_text().replace("\0", " "))
    return [line for line in command_lines if str(folder) in line]
