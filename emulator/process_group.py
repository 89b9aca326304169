"""Processes that are killed together, at the latest when this process ends."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any


class ProcessGroup:
    """A process group with a warden, which kills the group when this process ends, in whatever way.

    A group of its own does not get Ctrl-C from the terminal.
    """

    def __init__(self) -> None:
        # The warden leads the group. Its input ends when this process ends.
        self._warden = subprocess.Popen(
            ["/bin/sh", "-c", "read _; kill -KILL 0"], stdin=subprocess.PIPE, process_group=0
        )
        self._members: list[subprocess.Popen[bytes]] = []

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process in the group. The options are those of `subprocess.Popen`."""
        process = subprocess.Popen(command, process_group=self._warden.pid, **options)
        self._members.append(process)
        return process

    def kill(self) -> None:
        """Kill all processes of the group, and wait until those that `start` started have ended. Can be repeated."""
        if self._warden.returncode is not None:
            return
        # The system does not give the group's ID to another process before the warden has been waited for.
        os.killpg(self._warden.pid, signal.SIGKILL)
        for process in (*self._members, self._warden):
            process.wait()
        if self._warden.stdin is not None:
            self._warden.stdin.close()
