"""`make demo`, the README's first command: it runs to its end, and leaves nothing running when it is stopped."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import ROOT


def start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "handler:cli"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_the_demo_shows_every_step_and_checks_what_it_shows() -> None:
    process = start()
    output, _ = process.communicate(timeout=170)
    assert process.returncode == 0, output
    assert [line.rstrip(" ─") for line in output.splitlines() if line.startswith("9. ")] == ["9. Delete everything"]
    for sid in ("RotateSecret", "UseSecretKey", "ManageNetworkInterfaces", "KeepNetworkInterfacesFromCode"):
        assert f'"Sid": "{sid}"' in output
    # An ARN may exceed the width, so that it can be copied.
    assert max(len(line) for line in output.splitlines() if "arn:aws:" not in line) <= 100
    assert "\033" not in output
    assert re.search(r"^Done in \d+ s\. ", output, re.MULTILINE)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes where Linux lists them")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_demo_that_is_stopped_leaves_nothing_running(number: signal.Signals, status: int) -> None:
    process = start()
    assert process.stdout
    for line in process.stdout:
        if line.startswith("2. Build"):
            break
    emulator = running_below(ROOT / ".build" / "demo")
    assert emulator
    process.send_signal(number)
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == status
    assert "Traceback" not in rest
    assert rest.rstrip().splitlines()[-1].startswith(f"Stopped by {number.name}.")
    # What is killed takes a moment to be gone.
    deadline = time.monotonic() + 2
    while left := running_below(ROOT / ".build" / "demo"):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def running_below(folder: Path) -> list[str]:
    """The command lines that name a file below `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(process.read_text().replace("\0", " "))
    return [line for line in found if str(folder) in line]
