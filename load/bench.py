"""``make bench``: CPU time and memory of the provider, beside a `plain` custom resource with crhelper and boto3.

Each process (`measured`) serves a Create from a cold start, then warm events. The implementations take turns, because
on a busy machine only measurements from the same time can be compared. After each process, the benchmark verifies that
the implementation did its job.

A missed goal does not fail the command, because the measurements depend on the machine. The benchmark needs Linux: it
reads the peak memory from /proc.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from platform import python_version

import botocore

from load.fake_aws.account import new_account, secret_arn
from load.fake_aws.calls import Statistics
from load.fake_aws.server import Server, serve
from load.request import create_request

ROOT = Path(__file__).parent.parent
ROUNDS = 15
WARM = 6
"""The number of warm events with changed properties, and of those with the same properties, in one process."""
PROVIDER, PLAIN = "provider", "plain"
MODULES = {PROVIDER: "rotation_role_policy.provider.handler", PLAIN: "plain"}
"""The implementations, and the modules with their handlers."""

CPU, MEMORY = "cold start, CPU ms", "cold start, peak MB"
CHANGED, UNCHANGED = "changed warm event, CPU ms", "unchanged warm event, CPU ms"
GOALS = (CPU, MEMORY)
"""The values that must be at most those of the plain implementation."""

Results = dict[str, list[dict[str, float]]]
"""The values of each round by metric, by implementation."""

CASES = {
    "AWS managed key, no VPC": {"customer_key": False, "in_vpc": False},
    "customer managed key, VPC": {"customer_key": True, "in_vpc": True},
}
"""The arguments of `new_account`."""


def measure(name: str, case: dict[str, bool], folder: Path) -> dict[str, float]:
    """Serve all events in a fresh process, and return the values. Ends the benchmark if the job was not done."""
    result = folder / "result.json"
    with serve(folder, partial(new_account, 1 + WARM, **case), for_bench=True) as server:
        # A Create, then Creates that each name another secret, then Creates that repeat the last one.
        events = [
            create_request(server.response_url, f"request-{number}", secret=min(number, WARM), function=0)
            for number in range(1 + 2 * WARM)
        ]
        process = subprocess.run(
            # The folder of this file is on the path of the process, the project is not.
            [sys.executable, ROOT / "load" / "measured.py", MODULES[name], result],
            env=environment(server, folder),
            input=json.dumps(events),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        received = server.statistics()
    if process.returncode:
        sys.exit(f"{name} ended with {process.returncode}:\n{process.stdout}")
    if problems := list(verify(name, case, received)):
        sys.exit(f"{name}: {'; '.join(problems)}")
    measured = json.loads(result.read_text())
    warm = [after["cpu"] - before["cpu"] for before, after in pairwise(measured)]
    return {
        CPU: measured[0]["cpu"],
        MEMORY: measured[0]["peak"],
        CHANGED: statistics.median(warm[:WARM]),
        UNCHANGED: statistics.median(warm[WARM:]),
    }


def environment(server: Server, folder: Path) -> dict[str, str]:
    """Return the environment of a process: that of Lambda, with the endpoints of the fake AWS."""
    # All certificate authorities of botocore, because reading them is part of the cost of TLS, and the fake AWS's own.
    bundle = folder / "authorities.pem"
    certificates = [Path(botocore.__file__).parent / "cacert.pem", Path(server.environment["AWS_CA_BUNDLE"])]
    bundle.write_bytes(b"".join(certificate.read_bytes() for certificate in certificates))
    return server.environment | {
        "AWS_LAMBDA_FUNCTION_NAME": "provider",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_CA_BUNDLE": str(bundle),
        "SSL_CERT_FILE": str(bundle),
        "PYTHONPATH": os.pathsep.join(str(ROOT / path) for path in ("handler", "emulator/lambda_runtime")),
    }


def verify(name: str, case: dict[str, bool], received: Statistics) -> Iterator[str]:
    """Yield what an implementation did not do."""
    succeeded = [response for response in received.responses if response["Status"] == "SUCCESS"]
    if len(succeeded) != len(received.responses) or len(succeeded) != 1 + 2 * WARM:
        yield f"unexpected responses {received.responses}"
    # The provider compares with the current policy. The plain implementation always puts the policy.
    puts = 1 + WARM if name == PROVIDER else 1 + 2 * WARM
    if (calls := received.buckets[-1].admitted)["iam:PutRolePolicy"] != puts:
        yield f"the calls are {dict(calls)}, not {puts} of PutRolePolicy"
    if received.unsupported:
        yield f"the fake AWS does not support {', '.join(received.unsupported)}"
    grants = {"kms:GenerateDataKey": case["customer_key"], "ec2:CreateNetworkInterface": case["in_vpc"]}
    for grant, is_needed in {secret_arn(f"db-{WARM}"): True, **grants}.items():
        if any((grant in document) != is_needed for document in received.policies.values()):
            yield f"the policy is {received.policies}"


def table(title: str, results: Results) -> Iterator[str]:
    """Yield the lines of the table of one case."""
    yield f"{title:<30}{PROVIDER:>10}{PLAIN:>10}   ratio"
    for metric in (CPU, MEMORY, CHANGED, UNCHANGED):
        provider, plain = ([values[metric] for values in results[name]] for name in MODULES)
        ratios = [value / other for value, other in zip(provider, plain, strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4)
        goal = ("  pass: at most 1" if median <= 1 else "  MISS: more than 1") if metric in GOALS else ""
        columns = f"{statistics.median(provider):10.1f}{statistics.median(plain):10.1f}"
        yield f"  {metric:<28}{columns}   {median:.2f} ({low:.2f}-{high:.2f}){goal}"


def main() -> None:
    """Run the benchmark and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m load.bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"number of measured rounds ({ROUNDS})")
    rounds = parser.parse_args().rounds
    if rounds < 2:
        parser.error("--rounds must be at least 2, because the quartiles need two values")
    all_results: dict[str, Results] = {title: {name: [] for name in MODULES} for title in CASES}
    with tempfile.TemporaryDirectory() as folder:
        # The first round writes the bytecode and fills the machine's caches, and is discarded.
        for number in range(rounds + 1):
            for title, case in CASES.items():
                for name in list(MODULES)[:: 1 if number % 2 else -1]:
                    values = measure(name, case, Path(folder))
                    if number:
                        all_results[title][name].append(values)
            print(f"\rround {number} of {rounds}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    print(
        f"Python {python_version()}, boto3 {version('boto3')}, {rounds} rounds. Cold start: until the first response."
    )
    print(f"Medians of the rounds, and of the ratio of {PROVIDER} to {PLAIN} in the same round, with its quartiles.")
    for title, results in all_results.items():
        print()
        print(*table(title, results), sep="\n")


if __name__ == "__main__":
    main()
