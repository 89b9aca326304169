"""The measured process: serve events one after the other and measure each of them.

    python measured.py MODULE EVENTS RESULT

`MODULE` contains the `handler`. The file `EVENTS` contains the events as a JSON list. The measurements are written to
the file `RESULT`.

The process runs a copy of this file in the task root. Therefore only the task root and the installed packages are on
`sys.path`. This file imports only modules that every implementation needs too.
"""

import importlib
import json
import os
import sys
import time
from typing import Any


class Context:
    """Lambda's context object."""

    function_name = "provider"
    function_version = "$LATEST"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:provider"
    memory_limit_in_mb = "256"
    aws_request_id = "11111111-2222-3333-4444-555555555555"
    log_group_name = "/aws/lambda/provider"
    log_stream_name = "2026/01/01/[$LATEST]0123456789abcdef"

    def get_remaining_time_in_millis(self) -> int:
        """Return the remaining time, which is constant here."""
        return 100_000


def cpu_seconds() -> float:
    """Return user and system time since the start of this process, including all threads and child processes."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def peak_bytes() -> int:
    """Return the peak resident memory of this process.

    `ru_maxrss` is not suitable, because it starts with the memory of the parent process.
    """
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Serve the events and write the measurements."""
    module, events, result = sys.argv[1:]
    with open(events) as file:
        requests: list[dict[str, Any]] = json.load(file)
    # The Lambda runtime formats the log of all implementations.
    importlib.import_module("json_log").install()
    handler = importlib.import_module(module).handler
    measurements = []
    for request in requests:
        handler(request, Context())
        measurements.append({"cpu": cpu_seconds(), "peak": peak_bytes()})
    with open(result, "w") as file:
        json.dump(measurements, file)


if __name__ == "__main__":
    main()
