"""The measured process: serves events one after the other, and says what each has cost.

    python measured.py MODULE EVENTS RESULT

`MODULE` has the `handler`, the file `EVENTS` a JSON list, `RESULT` gets the figures. It runs from a copy in the task
root, so that nothing but that and the installed packages is on the path, and imports what all of them need anyway.
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
        """As Lambda's own."""
        return 100_000


def cpu_seconds() -> float:
    """User and system time of this process, from its start, all threads and children included."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def peak_bytes() -> int:
    """The peak of this program's resident memory.

    Not `ru_maxrss`: that begins with the memory of the process that started this one.
    """
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Serves the events."""
    module, events, result = sys.argv[1:]
    with open(events) as file:
        requests: list[dict[str, Any]] = json.load(file)
    handler = importlib.import_module(module).handler
    figures = []
    for request in requests:
        handler(request, Context())
        figures.append({"cpu": cpu_seconds(), "peak": peak_bytes()})
    with open(result, "w") as file:
        json.dump(figures, file)


if __name__ == "__main__":
    main()
