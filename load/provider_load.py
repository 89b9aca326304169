"""``make load``: create many resources at the same time while IAM throttles.

Each Create runs in a process of its own, as in Lambda, against the fake AWS, whose IAM admits a fixed number of calls
per second. There are three criteria:

- No Create fails.
- The time from the first call to IAM to the last admitted call is at most 1.15 times the time that the rate requires
  for the admitted calls. The total time is printed too. It includes the time that the processes need on this machine
  before their first and after their last call to IAM.
- At most 1.5 calls are throttled per admitted call. The rate belongs to the account, so each throttled call slows down
  other users of IAM.

The processes are forked from a process that has already created its clients. Otherwise 500 cold starts on two cores
would dominate the measurement.
"""

import argparse
import contextlib
import gc
import io
import os
import sys
import tempfile
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from emulator.lambda_runtime import json_log
from load.criteria import print_criteria
from load.fake_aws.account import new_account
from load.fake_aws.quotas import IAM
from load.fake_aws.server import serve
from load.measured import CONTEXT
from load.request import create_request
from rotation_role_policy.provider import handler

# The limits of the criteria above.
ALLOWANCE = 1.15
THROTTLED_PER_ADMITTED = 1.5


def create(number: int, response_url: str, start: Any) -> None:
    """Serve one Create after the event `start`."""
    event = create_request(response_url, f"request-{number}", secret=number, function=number)
    start.wait()
    json_log.install()
    with contextlib.redirect_stdout(io.StringIO()):
        handler.handler(event, CONTEXT)
    # Skip all clean-up: the objects that were inherited by the fork belong to the parent process.
    os._exit(0)


def create_all(resources: int, response_url: str) -> float:
    """Serve all Creates at the same time. Return how many seconds they took."""
    aws = handler.aws
    _ = aws.secretsmanager, aws.lambda_, aws.iam, aws.cloudformation
    gc.freeze()
    fork = get_context("fork")
    start = fork.Event()
    processes = [
        fork.Process(target=create, args=(number, response_url, start), daemon=True) for number in range(resources)
    ]
    for process in processes:
        process.start()
    started = time.monotonic()
    start.set()
    for process in processes:
        process.join()
    return time.monotonic() - started


def run(resources: int, rate: float) -> bool:
    """Run the test, print the results, and return whether all criteria are met."""
    print(f"{resources} resources are created at the same time. IAM admits {rate:g} calls per second.", flush=True)
    quota = IAM._replace(rate=rate)
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(Path(folder), partial(new_account, resources), (quota,)) as server,
    ):
        os.environ.clear()
        os.environ |= server.environment
        seconds = create_all(resources, server.response_url)
        received = server.statistics()

    [iam, _] = received.buckets
    failed = [response["Reason"] for response in received.responses if response["Status"] != "SUCCESS"]
    succeeded = len(received.responses) - len(failed)
    print(f"  succeeded                {succeeded}, policies written {len(received.policies)}")
    print(f"  calls to IAM             {iam.admitted.total()} admitted, {iam.admitted.total() / resources:.2f} each")
    for action, count in iam.admitted.most_common():
        print(f"    {count:6} {action}")
    print(f"  throttled                {iam.throttled}, {iam.throttled_per_admitted:.2f} per admitted call")
    print(
        f"  first to last call       {iam.seconds:.1f} s, {iam.seconds / iam.required_seconds:.2f} times the"
        f" {iam.required_seconds:.1f} s that the rate requires"
    )
    print(f"  total time               {seconds:.1f} s, {seconds / iam.required_seconds:.2f} times")
    for problem in sorted({*failed, *(f"the fake AWS does not support {call}" for call in received.unsupported)}):
        print(f"  FAILED: {problem}")
    all_written = succeeded == len(received.policies) == resources
    return print_criteria(
        {
            "no Create fails": all_written and not failed and not received.unsupported,
            f"the calls to IAM take at most {ALLOWANCE} times the time that the rate requires": iam.seconds
            <= ALLOWANCE * iam.required_seconds,
            f"at most {THROTTLED_PER_ADMITTED} calls are throttled per admitted call": iam.throttled_per_admitted
            <= THROTTLED_PER_ADMITTED,
        }
    )


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m load.provider_load", description=__doc__.split("\n\n")[0])
    parser.add_argument("--resources", type=int, default=500, help="number of resources (500)")
    parser.add_argument("--rate", type=float, default=IAM.rate, help=f"admitted calls to IAM per second ({IAM.rate})")
    arguments = parser.parse_args()
    sys.exit(0 if run(arguments.resources, arguments.rate) else 1)


if __name__ == "__main__":
    main()
