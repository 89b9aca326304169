"""``python -m load.bench``: compare the provider with two other implementations.

The report says which goals are met. A missed goal does not fail the command, because the measurements depend on the
machine. The command fails if an implementation did not do its job.
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

from load import fake_aws
from load.fake_aws import FakeAccount, ReceivedRequest

ROOT = Path(__file__).parent.parent
ROUNDS = 15
PROVIDER, PLAIN, MINIMAL = "provider", "plain", "minimal"
MODULES = {PROVIDER: "rotation_role_policy.provider.handler", PLAIN: "plain", MINIMAL: "minimal"}
"""The implementations, and the modules with their handlers."""


class Case(NamedTuple):
    """The properties of the fake account."""

    title: str
    customer_key: bool
    in_vpc: bool


CASES = (
    Case("AWS managed key, no VPC", customer_key=False, in_vpc=False),
    Case("customer managed key, VPC", customer_key=True, in_vpc=True),
)

WARM = 6
"""The number of changed warm events, and of unchanged ones, in one process."""

# The metrics of one process.
CPU, MEMORY, CHANGED, UNCHANGED = "cold CPU, ms", "peak memory, MB", "warm CPU, changed, ms", "warm CPU, unchanged, ms"
METRICS = (CPU, MEMORY, CHANGED, UNCHANGED)


class Goal(NamedTuple):
    """The largest acceptable ratio of the provider's metrics to those of another implementation."""

    metrics: tuple[str, ...]
    baseline: str
    limit: float


GOALS = (
    Goal((CPU, MEMORY), PLAIN, 1.0),
    Goal((CPU, MEMORY), MINIMAL, 1.2),
    # The provider makes calls that the minimal implementation does not make: ListSecretVersionIds, the simulations, and
    # those that find out what CloudFormation is doing.
    Goal((CHANGED, UNCHANGED), MINIMAL, 3.5),
)


class JobNotDoneError(Exception):
    """An implementation did not do its job, so there is nothing to compare."""


def requests(url: str) -> list[dict[str, Any]]:
    """Return a Create, then Creates that each name another secret, then Creates that repeat the last one."""
    secrets = [f"prod/orders-{number}" for number in range(1 + WARM)]
    return [
        {
            "RequestType": "Create",
            "ResponseURL": f"{url}/response?X-Amz-Signature=example",
            "StackId": f"arn:aws:cloudformation:{fake_aws.REGION}:{fake_aws.ACCOUNT}:stack/orders/0c2d5a10",
            "RequestId": f"5f3b1a2c-{number}",
            "LogicalResourceId": "OrdersRotationPolicy",
            "ResourceType": "Custom::RotationRolePolicy",
            "ResourceProperties": {
                "ServiceToken": f"arn:aws:lambda:{fake_aws.REGION}:{fake_aws.ACCOUNT}:function:provider",
                "SecretId": secret,
                "RotationLambdaARN": fake_aws.FUNCTION,
                # The other implementations do not wait. A wait takes no CPU time.
                "PropagationDelay": "0",
            },
        }
        for number, secret in enumerate([*secrets, *[secrets[-1]] * WARM])
    ]


class Benchmark:
    """The task roots of the implementations, and the processes that run in them."""

    def __init__(
        self, folder: Path, account: FakeAccount, urls: dict[str, str], authority: Path, *, compiled: bool
    ) -> None:
        self._folder = folder
        self._account = account
        self._environment = environment(folder, urls, authority)
        (folder / "events.json").write_text(json.dumps(requests(urls["responses"])))
        for name in MODULES:
            make_task_root(folder / name, compiled=compiled)

    def run(self, name: str, case: Case) -> dict[str, float]:
        """Serve all requests in a fresh process, verify the result, and return the values keyed by metric."""
        self._account.reset(customer_key=case.customer_key, in_vpc=case.in_vpc)
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
            raise JobNotDoneError(f"{name} ended with {process.returncode}:\n{log.read_text()}")
        verify(name, case, self._account.received)
        return metrics(json.loads(result.read_text()))


def metrics(measurements: list[dict[str, float]]) -> dict[str, float]:
    """Return the values keyed by metric, from the measurements that `measured` wrote."""
    cpu = [1000 * measurement["cpu"] for measurement in measurements]
    warm = [after - before for before, after in pairwise(cpu)]
    return {
        CPU: cpu[0],
        MEMORY: measurements[0]["peak"] / 1e6,
        CHANGED: statistics.median(warm[:WARM]),
        UNCHANGED: statistics.median(warm[WARM:]),
    }


def environment(folder: Path, urls: dict[str, str], authority: Path) -> dict[str, str]:
    """Return the environment variables of a process: those of Lambda, and the endpoints of the fake AWS."""
    # All certificate authorities of botocore, because reading them is part of the cost of TLS, and the fake AWS's own.
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
    """Create a task root, which is the same for all implementations.

    Without `compiled`, the task root has no bytecode, as in an artifact of `sam build`.
    """
    no_bytecode = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "handler" / "rotation_role_policy", folder / "rotation_role_policy", ignore=no_bytecode)
    shutil.copytree(Path(crhelper.__file__).parent, folder / "crhelper", ignore=no_bytecode)
    for module in ("plain", "minimal", "measured"):
        shutil.copy(ROOT / "load" / f"{module}.py", folder)
    shutil.copy(ROOT / "emulator" / "lambda_runtime" / "json_log.py", folder)
    if compiled:
        compileall.compile_dir(folder, quiet=1)


def verify(name: str, case: Case, received: list[ReceivedRequest]) -> None:
    """Raise `JobNotDoneError` if a request was not served, or was served without the necessary calls."""
    served = list(by_event(received))
    if len(served) != 1 + 2 * WARM:
        raise JobNotDoneError(f"{name}: {len(served)} responses to {1 + 2 * WARM} events")
    for number, (calls, response) in enumerate(served):
        if response["Status"] != "SUCCESS" or not response["PhysicalResourceId"].startswith(f"{fake_aws.ROLE}/"):
            raise JobNotDoneError(f"{name}: unexpected response {response}")
        needed = {"secretsmanager:DescribeSecret", "lambda:GetFunctionConfiguration"}
        needed |= {"kms:DescribeKey"} if case.customer_key else set()
        needed |= {"secretsmanager:ListSecretVersionIds"} if name == PROVIDER else set()
        # The provider reads the current policy first. The other implementations always put the policy.
        is_changed = number <= WARM
        needed |= {"iam:PutRolePolicy"} if is_changed or name != PROVIDER else {"iam:GetRolePolicy"}
        needed |= {"iam:SimulatePrincipalPolicy"} if is_changed and name == PROVIDER else set()
        if missing := needed - {call.name for call in calls}:
            raise JobNotDoneError(f"{name}: event {number} was served without the calls {', '.join(sorted(missing))}")
        for call in calls:
            if call.name == "iam:PutRolePolicy":
                verify_document(name, case, call.content["PolicyDocument"], number)


def verify_document(name: str, case: Case, document: str, number: int) -> None:
    """Raise `JobNotDoneError` if a document lacks a grant that the case needs."""
    needed = [fake_aws.secret_arn(f"prod/orders-{min(number, WARM)}"), "secretsmanager:PutSecretValue"]
    needed += [fake_aws.KEY_ARN, "kms:GenerateDataKey"] if case.customer_key else []
    needed += ["ec2:CreateNetworkInterface"] if case.in_vpc else []
    if missing := [text for text in needed if text not in document]:
        raise JobNotDoneError(f"{name}: the policy does not contain {', '.join(missing)}")


def by_event(received: list[ReceivedRequest]) -> Iterator[tuple[list[ReceivedRequest], dict[str, Any]]]:
    """Yield the AWS calls and the response of each event."""
    calls: list[ReceivedRequest] = []
    for request in received:
        if request.name == "response":
            yield calls, request.content
            calls = []
        else:
            calls.append(request)


# --- the report ---


Results = dict[str, list[dict[str, float]]]
"""For each implementation, the values of each round, keyed by metric."""


def ratios(results: Results, metric: str, baseline: str) -> tuple[float, float, float]:
    """Return the quartiles of the ratio of the provider to another implementation in the same round."""
    rounds = zip(results[PROVIDER], results[baseline], strict=True)
    low, median, high = statistics.quantiles((provider[metric] / other[metric] for provider, other in rounds), n=4)
    return low, median, high


def table(case: Case, results: Results) -> Iterator[str]:
    """Yield the lines of the table of one case."""
    headings = "".join(f"   {f'{PROVIDER}/{baseline}':<24}" for baseline in (PLAIN, MINIMAL))
    yield f"{case.title:<27}{PROVIDER:>9}{PLAIN:>9}{MINIMAL:>9}{headings}".rstrip()
    for metric in METRICS:
        values = {name: [round_values[metric] for round_values in results[name]] for name in MODULES}
        columns = "".join(f"{statistics.median(of_rounds):9.1f}" for of_rounds in values.values())
        for baseline in (PLAIN, MINIMAL):
            ratio_of_minima = min(values[PROVIDER]) / min(values[baseline])
            columns += f"   {f'{format_quartiles(ratios(results, metric, baseline))}  {ratio_of_minima:.2f}':<24}"
        yield f"  {metric:<25}{columns}".rstrip()


def format_quartiles(quartiles: tuple[float, float, float]) -> str:
    """Return the median, with the lower and the upper quartile in parentheses."""
    low, median, high = quartiles
    return f"{median:.2f} ({low:.2f}-{high:.2f})"


def verdicts(results_by_case: dict[Case, Results]) -> Iterator[str]:
    """Yield a line for each goal and metric, with the ratio of the case that has the largest one."""
    for goal in GOALS:
        for metric in goal.metrics:
            quartiles = [ratios(results, metric, goal.baseline) for results in results_by_case.values()]
            worst = max(quartiles, key=lambda low_median_high: low_median_high[1])
            verdict = "pass" if worst[1] <= goal.limit else "MISS"
            name = metric.rpartition(", ")[0]
            yield (
                f"{verdict}  {name}: {PROVIDER} <= {goal.limit:g} x {goal.baseline}:"
                f" {format_quartiles(worst)} in the worse case"
            )


def main() -> None:
    """Run the benchmark and print the report."""
    parser = argparse.ArgumentParser(
        prog="python -m load.bench", description="Compare the provider with two implementations."
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"number of measured rounds ({ROUNDS})")
    parser.add_argument(
        "--uncompiled",
        action="store_true",
        help="leave bytecode out of the task roots, as `sam build` does",
    )
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("--rounds must be at least 2, because the quartiles need two values")
    if not Path("/proc/self/status").exists():
        parser.error("the benchmark needs Linux: it reads the peak memory from /proc")
    orders = list(permutations(MODULES))
    with tempfile.TemporaryDirectory() as name, fake_aws.serve(Path(name)) as (account, urls, authority):
        benchmark = Benchmark(Path(name), account, urls, authority, compiled=not arguments.uncompiled)
        results_by_case: dict[Case, Results] = {case: {name: [] for name in MODULES} for case in CASES}
        # The first round fills the machine's caches, and is discarded.
        for number in range(arguments.rounds + 1):
            for case, results in results_by_case.items():
                for implementation in orders[number % len(orders)]:
                    values = benchmark.run(implementation, case)
                    if number:
                        results[implementation].append(values)
            print(f"\rround {number} of {arguments.rounds}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    bytecode = "none" if arguments.uncompiled else "compiled"
    print(
        f"Python {platform.python_version()}, boto3 {boto3.__version__}, botocore {botocore.__version__};"
        f" {arguments.rounds} rounds; bytecode of the task roots: {bytecode}"
    )
    print(
        "Columns: the median of each implementation. Then, for each comparison, the median of the ratios of all rounds,"
    )
    print("their quartiles in parentheses, and the ratio of the minima, which other load on the machine affects least.")
    print("Cold: from the start of the process to the response to the first Create.")
    for case, results in results_by_case.items():
        print()
        print(*table(case, results), sep="\n")
    print()
    print(*verdicts(results_by_case), sep="\n")


if __name__ == "__main__":
    main()
