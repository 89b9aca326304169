"""``python -m benchmarks``: the comparison.

It reports whether a goal is met and does not fail where one is missed: on another machine that is another figure. It
fails where an implementation did not do its job.
"""

import argparse
import compileall
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import botocore
import crhelper

from benchmarks import fake_aws
from benchmarks.fake_aws import Arrival, StandIn

ROOT = Path(__file__).parent.parent
ROUNDS = 15
OURS, PLAIN, FLOOR = "ours", "plain", "floor"
MODULES = {OURS: "rotation_role_policy.custom_resource", PLAIN: "plain", FLOOR: "floor"}


class Case(NamedTuple):
    """What the account looks like."""

    title: str
    customer_key: bool
    in_vpc: bool


CASES = (
    Case("AWS managed key, no VPC", customer_key=False, in_vpc=False),
    Case("customer managed key, VPC", customer_key=True, in_vpc=True),
)

WARM = 6
"""Warm events of each kind in one process."""

# What is compared: a figure of one process, from the figures of its events.
CPU, MEMORY, CHANGED, UNCHANGED = "cold CPU, ms", "peak memory, MB", "warm CPU, changed, ms", "warm CPU, unchanged, ms"
METRICS = (CPU, MEMORY, CHANGED, UNCHANGED)


class Goal(NamedTuple):
    """A ratio to another implementation that ours should not exceed."""

    metrics: tuple[str, ...]
    to: str
    limit: float


GOALS = (
    Goal((CPU, MEMORY), PLAIN, 1.0),
    Goal((CPU, MEMORY), FLOOR, 1.2),
    Goal((CHANGED, UNCHANGED), FLOOR, 3.0),
)


class NotDone(Exception):
    """An implementation did not do its job: there is nothing to compare."""


def requests(url: str) -> list[dict[str, Any]]:
    """A Create; then further ones, each for another secret than the one before; then further ones like the last."""
    changed = [f"prod/orders-{number}" for number in range(1 + WARM)]
    return [
        {
            "RequestType": "Create",
            "ResponseURL": f"{url}/answer?X-Amz-Signature=example",
            "StackId": f"arn:aws:cloudformation:{fake_aws.REGION}:{fake_aws.ACCOUNT}:stack/orders/0c2d5a10",
            "RequestId": f"5f3b1a2c-{number}",
            "LogicalResourceId": "OrdersRotationPolicy",
            "ResourceType": "Custom::RotationRolePolicy",
            "ResourceProperties": {
                "ServiceToken": f"arn:aws:lambda:{fake_aws.REGION}:{fake_aws.ACCOUNT}:function:provider",
                "SecretId": secret,
                "RotationLambdaARN": fake_aws.FUNCTION,
                # A wait costs no CPU; the others know of none.
                "PropagationDelay": "0",
            },
        }
        for number, secret in enumerate([*changed, *[changed[-1]] * WARM])
    ]


class Bench:
    """The task roots, and what runs in them."""

    def __init__(
        self, folder: Path, account: StandIn, urls: dict[str, str], authority: Path, *, compiled: bool
    ) -> None:
        self._folder = folder
        self._account = account
        self._environment = environment(folder, urls, authority)
        (folder / "events.json").write_text(json.dumps(requests(urls["answers"])))
        for name in MODULES:
            make_task_root(folder / name, compiled=compiled)

    def run(self, name: str, case: Case) -> dict[str, float]:
        """Serves all requests in a fresh process, verifies what arrived, and gives the figures by metric."""
        self._account.begin(customer_key=case.customer_key, in_vpc=case.in_vpc)
        result, log = self._folder / "result.json", self._folder / "log"
        command = [sys.executable, "measured.py", MODULES[name], str(self._folder / "events.json"), str(result)]
        with log.open("wb") as output:
            process = subprocess.run(
                command,
                cwd=self._folder / name,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if process.returncode:
            raise NotDone(f"{name} ended with {process.returncode}:\n{log.read_text()}")
        verify(name, case, self._account.arrivals)
        return metrics(json.loads(result.read_text()))


def metrics(figures: list[dict[str, float]]) -> dict[str, float]:
    """By metric, from what `measured` wrote."""
    cpu = [1000 * figure["cpu"] for figure in figures]
    warm = [after - before for before, after in pairwise(cpu)]
    return {
        CPU: cpu[0],
        MEMORY: figures[0]["peak"] / 1e6,
        CHANGED: statistics.median(warm[:WARM]),
        UNCHANGED: statistics.median(warm[WARM:]),
    }


def environment(folder: Path, urls: dict[str, str], authority: Path) -> dict[str, str]:
    """The variables that Lambda gives, as far as they matter here, and the way to the stand-in."""
    # The authorities that botocore brings, and one more: reading them is part of what TLS costs.
    bundle = folder / "authorities.pem"
    bundle.write_bytes((Path(botocore.__file__).parent / "cacert.pem").read_bytes() + authority.read_bytes())
    inherited = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
    endpoints = {f"AWS_ENDPOINT_URL_{name.upper()}": url for name, url in urls.items()}
    return (
        inherited
        | endpoints
        | {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_SESSION_TOKEN": "testing",
            "AWS_REGION": fake_aws.REGION,
            "AWS_DEFAULT_REGION": fake_aws.REGION,
            "AWS_LAMBDA_FUNCTION_NAME": "provider",
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_CA_BUNDLE": str(bundle),
            "SSL_CERT_FILE": str(bundle),
            "LANG": "en_US.UTF-8",
            "NO_PROXY": "localhost",
            # /var/task is read-only in Lambda.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
    )


def make_task_root(folder: Path, *, compiled: bool) -> None:
    """The same for all three: their bytecode is there for all of them, or for none, as in what `sam build` makes."""
    no_bytecode = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "handler" / "rotation_role_policy", folder / "rotation_role_policy", ignore=no_bytecode)
    shutil.copytree(Path(crhelper.__file__).parent, folder / "crhelper", ignore=no_bytecode)
    for module in ("plain", "floor", "measured"):
        shutil.copy(ROOT / "benchmarks" / f"{module}.py", folder)
    if compiled:
        compileall.compile_dir(folder, quiet=1)


def verify(name: str, case: Case, arrivals: list[Arrival]) -> None:
    """Raises `NotDone` where a request was not served, or not with the calls that serve it."""
    served = list(by_request(arrivals))
    if len(served) != 1 + 2 * WARM:
        raise NotDone(f"{name}: {len(served)} answers to {1 + 2 * WARM} requests")
    for number, (calls, response) in enumerate(served):
        if response["Status"] != "SUCCESS" or not response["PhysicalResourceId"].startswith(f"{fake_aws.ROLE}/"):
            raise NotDone(f"{name}: answered {response}")
        needed = {"secretsmanager:DescribeSecret", "lambda:GetFunctionConfiguration"}
        needed |= {"kms:DescribeKey"} if case.customer_key else set()
        # Ours looks whether the policy stands there already; the others put it whatever is there.
        is_changed = number <= WARM
        needed |= {"iam:PutRolePolicy"} if is_changed or name != OURS else {"iam:GetRolePolicy"}
        needed |= {"iam:SimulatePrincipalPolicy"} if is_changed and name == OURS else set()
        if missing := needed - {call.name for call in calls}:
            raise NotDone(f"{name}: request {number} was answered without {', '.join(sorted(missing))}")
        for call in calls:
            if call.name == "iam:PutRolePolicy":
                verify_document(name, case, call.content["PolicyDocument"], number)


def verify_document(name: str, case: Case, document: str, number: int) -> None:
    """Raises `NotDone` where a document does not grant what the case needs."""
    needed = [fake_aws.secret_arn(f"prod/orders-{min(number, WARM)}"), "secretsmanager:PutSecretValue"]
    needed += [fake_aws.KEY_ARN, "kms:GenerateDataKey"] if case.customer_key else []
    needed += ["ec2:CreateNetworkInterface"] if case.in_vpc else []
    if missing := [one for one in needed if one not in document]:
        raise NotDone(f"{name}: the policy says nothing of {', '.join(missing)}")


def by_request(arrivals: list[Arrival]) -> Iterator[tuple[list[Arrival], dict[str, Any]]]:
    """The calls of each request, and its answer."""
    calls: list[Arrival] = []
    for arrival in arrivals:
        if arrival.name == "answer":
            yield calls, arrival.content
            calls = []
        else:
            calls.append(arrival)


# --- the report ---


Figures = dict[str, list[dict[str, float]]]
"""By implementation, one dict of metrics for each round."""


def ratios(figures: Figures, metric: str, to: str) -> tuple[float, float, float]:
    """The quartiles of ours to another's, round by round."""
    pairs = zip(figures[OURS], figures[to], strict=True)
    low, middle, high = statistics.quantiles((ours[metric] / other[metric] for ours, other in pairs), n=4)
    return low, middle, high


def table(case: Case, figures: Figures) -> Iterator[str]:
    """The lines of one case."""
    heads = "".join(f"   {head:<24}" for head in ("ours/plain", "ours/floor"))
    yield f"{case.title:<27}{'ours':>8}{'plain':>8}{'floor':>8}{heads}".rstrip()
    for metric in METRICS:
        of_all = {name: [one[metric] for one in figures[name]] for name in MODULES}
        columns = "".join(f"{statistics.median(of_one):8.1f}" for of_one in of_all.values())
        for to in (PLAIN, FLOOR):
            least = min(of_all[OURS]) / min(of_all[to])
            columns += f"   {f'{in_words(ratios(figures, metric, to))}  {least:.2f}':<24}"
        yield f"  {metric:<25}{columns}".rstrip()


def in_words(quartiles: tuple[float, float, float]) -> str:
    """The median with the quartiles around it."""
    low, middle, high = quartiles
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def verdicts(results: dict[Case, Figures]) -> Iterator[str]:
    """A line for each goal and metric, with the case that comes out worst."""
    for goal in GOALS:
        for metric in goal.metrics:
            worst = max((ratios(figures, metric, goal.to) for figures in results.values()), key=lambda one: one[1])
            verdict = "pass" if worst[1] <= goal.limit else "MISS"
            what = metric.rpartition(", ")[0]
            yield f"{verdict}  {what}: ours <= {goal.limit:g} x {goal.to}: {in_words(worst)} in the worse case"


def main() -> None:
    """Compares and reports."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--uncompiled",
        action="store_true",
        help="no bytecode in the task roots, as sam build makes them",
    )
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("one round has no spread")
    if not Path("/proc/self/status").exists():
        parser.error("a process's peak memory is read where Linux tells it")
    orders = list(permutations(MODULES))
    with tempfile.TemporaryDirectory() as name, fake_aws.serve(Path(name)) as (account, urls, authority):
        bench = Bench(Path(name), account, urls, authority, compiled=not arguments.uncompiled)
        results: dict[Case, Figures] = {case: {name: [] for name in MODULES} for case in CASES}
        # The first round warms the machine's caches, and counts for nothing.
        for number in range(arguments.rounds + 1):
            for case, figures in results.items():
                for implementation in orders[number % len(orders)]:
                    one = bench.run(implementation, case)
                    if number:
                        figures[implementation].append(one)
            print(f"\rround {number} of {arguments.rounds}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    bytecode = "none" if arguments.uncompiled else "compiled"
    print(
        f"Python {platform.python_version()}, boto3 {boto3.__version__}, botocore {botocore.__version__};"
        f" {arguments.rounds} rounds; bytecode of the task roots: {bytecode}"
    )
    print("Medians. A ratio is the median of the rounds' own, with their quartiles; after it that of the least values,")
    print("to which other work on the machine adds least. Cold: from the process's start to the first answered Create.")
    for case, figures in results.items():
        print()
        print(*table(case, figures), sep="\n")
    print()
    print(*verdicts(results), sep="\n")


if __name__ == "__main__":
    main()
