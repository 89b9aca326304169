"""The process that `bench` measures: ``python measured.py MODULE RESULT``.

The `handler` of the module serves events, which are a JSON list on standard input. The measurements are written to the
file `RESULT`. This file imports only modules that every implementation needs too.
"""

import importlib
import json
import sys
import time
from types import SimpleNamespace

CONTEXT = SimpleNamespace(
    function_name="provider",
    invoked_function_arn="arn:aws:lambda:eu-central-1:123456789012:function:provider",
    aws_request_id="11111111-2222-3333-4444-555555555555",
    log_stream_name="2026/01/01/[$LATEST]0123456789abcdef",
    get_remaining_time_in_millis=lambda: 600_000,
)
"""Lambda's context object."""


def peak_megabytes() -> float:
    """Return the peak resident memory of this process. `ru_maxrss` starts with the memory of the parent process."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def main() -> None:
    """Serve the events and write the measurements."""
    module, result = sys.argv[1:]
    # The Lambda runtime formats the log of all implementations.
    importlib.import_module("json_log").install()
    handler = importlib.import_module(module).handler
    measurements = []
    for event in json.load(sys.stdin):
        handler(event, CONTEXT)
        measurements.append({"cpu": 1000 * time.process_time(), "peak": peak_megabytes()})
    with open(result, "w") as file:
        json.dump(measurements, file)


if __name__ == "__main__":
    main()
