"""``make audit-load``: audit accounts with 1,000 and with 10,000 secrets, whose calls have the rates of a real account.

The command ``rotation-role-policy audit`` runs in a process of its own against the fake AWS of `audit_aws`. The
criteria:

- The audit takes at most 1.1 times as long as the quota that requires the most time for the calls that the audit made,
  and two seconds more. boto3 takes them once to find the rate of a quota: its first calls are too fast, then too slow.
- It uses less than 200 MB of memory.
- Time and CPU time per secret are the same for all accounts: at most 1.15 times those of the smallest account.
- At most 0.2 calls are throttled per admitted call, for each quota. The quotas belong to the account, so each throttled
  call slows down other users of the account.
- The report is complete and has the findings that the account must have.

The time and CPU time of an audit of one secret are subtracted: they are the fixed cost of the start of Python, of
boto3 and of the first calls. The command fails if a criterion is missed, and if the audit makes a call that the fake
AWS does not support.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

from load.audit_aws.account import REGION

ROOT = Path(__file__).parent.parent
ALLOWANCE = 1.1
"""The largest acceptable time, as a multiple of the time that the quotas require."""
PACING_SECONDS = 2
"""The time that boto3's adaptive retries may take to find the rate of a quota. It does not depend on the account."""
MEMORY_LIMIT = 200e6
"""Bytes of resident memory that the audit must not reach."""
GROWTH = 1.15
"""The largest acceptable time per secret, as a multiple of that of the smallest account."""
THROTTLED_PER_ADMITTED = 0.2
"""The largest acceptable number of throttled calls per admitted call."""
START_UPS = 3
"""Audits of one secret. The fixed cost is their median."""
LIMIT_SECONDS = 1800
"""The benchmark stops an audit that takes longer."""
POLL_SECONDS = 0.01
SERVICES = ("SECRETS_MANAGER", "KMS", "LAMBDA", "IAM", "STS")
"""The services, named as in botocore's variables (``AWS_ENDPOINT_URL_IAM``)."""


class AuditFailedError(Exception):
    """The audit did not end with a report, so there is nothing to measure."""


class Run(NamedTuple):
    """One audit: what it used, the calls that it made, and the files that it wrote."""

    secrets: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    expected: dict[str, Any]
    """What the audit must find (`audit_aws.Account.expectations`)."""
    quotas: list[dict[str, Any]]
    """Statistics of each quota (`audit_aws.Bucket.statistics`)."""
    report: Path
    page: Path

    @property
    def required_seconds(self) -> float:
        """The time that the slowest quota requires for the admitted calls."""
        return max(float(quota["required_seconds"]) for quota in self.quotas)


def environment(url: str = "") -> dict[str, str]:
    """Return the environment of a process: without the user's AWS configuration, with the endpoints of the fake AWS."""
    inherited = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
    return (
        inherited
        | {f"AWS_ENDPOINT_URL_{service}": url for service in SERVICES}
        | {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_SESSION_TOKEN": "testing",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "LANG": "en_US.UTF-8",
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "handler", ROOT / "cli", ROOT))),
        }
    )


@contextlib.contextmanager
def fake_aws(secrets: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Serve an account in a process of its own. Yield its URL, and what an audit must find."""
    command = [sys.executable, "-m", "load.audit_aws", "--secrets", str(secrets)]
    with subprocess.Popen(command, env=environment(), cwd=ROOT, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout  # noqa: S101  # narrows the type
            first_line = server.stdout.readline()
            if not first_line:
                raise AuditFailedError("the fake AWS did not start")
            expected = json.loads(first_line)
            yield expected.pop("url"), expected
        finally:
            server.terminate()


def audit(secrets: int, folder: Path) -> Run:
    """Audit an account with this number of secrets. Raises `AuditFailedError` if the audit did not end by itself.

    The report stays in its file. Otherwise it would be part of this process, whose memory the process of the next audit
    would start with: `ru_maxrss` includes the memory before the process executes its program.
    """
    folder.mkdir()
    report, page, log = folder / "report.json", folder / "report.html", folder / "log"
    command = [sys.executable, "-m", "rotation_role_policy_cli", "audit", "--json", "--html", str(page)]
    with fake_aws(secrets) as (url, expected), report.open("wb") as output, log.open("wb") as errors:
        started = time.monotonic()
        process = subprocess.Popen(
            [*command, "--region", REGION],
            env=environment(url),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        # `Popen.wait` does not return what the process used.
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            if time.monotonic() > started + LIMIT_SECONDS:
                process.kill()
            time.sleep(POLL_SECONDS)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(ended[1])
        with urlopen(f"{url}/statistics") as response:  # noqa: S310  # the URL of the fake AWS
            calls = json.load(response)
    last_lines = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    if calls["unsupported"]:
        raise AuditFailedError(f"the fake AWS does not support {', '.join(calls['unsupported'])}\n{last_lines}")
    if process.returncode < 0 or not report.stat().st_size:
        raise AuditFailedError(f"the audit of {secrets} secrets ended with {process.returncode}\n{last_lines}")
    usage = ended[2]
    return Run(
        secrets,
        seconds,
        usage.ru_utime + usage.ru_stime,
        # Bytes on macOS, KiB on Linux.
        usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        expected,
        calls["quotas"],
        report,
        page,
    )


def problems(run: Run) -> list[str]:
    """Return what is wrong with the report of an audit, and print the number of findings of each type."""
    try:
        report = json.loads(run.report.read_text())
    except json.JSONDecodeError as error:
        return [f"the report is not JSON: {error}"]
    summary, findings = report["summary"], report["findings"]
    codes = Counter(finding["code"] for finding in findings)
    print(f"  findings                 {', '.join(f'{code} {count}' for code, count in codes.most_common()) or 'none'}")
    found = []
    if not report["complete"]:
        found.append(f"the report is incomplete: {report['stopped'] or 'NotInspected'}")
    expected = run.expected
    for name, number in (
        ("secrets", expected["rotations"]),
        ("functions", expected["functions"]),
        # Each function has a role of its own.
        ("roles", expected["functions"]),
    ):
        if summary[name] != number:
            found.append(f"summary.{name} is {summary[name]}, not {number}")
    lacking = _subjects(expected["lacking"])
    if summary["errors"] < len(expected["lacking"]):
        found.append(f"summary.errors is {summary['errors']}, less than the {len(expected['lacking'])} roles in error")
    found += _missing(findings, "ActionNotGranted", expected["lacking"])
    found += _missing(findings, "OtherSecrets", expected["broad"])
    unexpected = Counter(
        finding["code"]
        for finding in findings
        if finding["severity"] == "error" and not {finding["secretArn"], finding["roleArn"]} & lacking
    )
    found += [f"{count} unexpected errors {code}" for code, count in unexpected.items()]
    if not run.page.is_file() or b"</html>" not in run.page.read_bytes()[-100:]:
        found.append("the HTML page is missing or incomplete")
    return found


def _subjects(secrets_by_role: dict[str, list[str]]) -> set[str]:
    """Return the ARNs of the roles and of their secrets: a finding can name either."""
    return {*secrets_by_role, *(secret for secrets in secrets_by_role.values() for secret in secrets)}


def _missing(findings: list[dict[str, Any]], code: str, secrets_by_role: dict[str, list[str]]) -> list[str]:
    """Return a problem if not every role has a finding with this code."""
    named = {finding[key] for finding in findings if finding["code"] == code for key in ("secretArn", "roleArn")}
    without = [role for role, secrets in secrets_by_role.items() if not {role, *secrets} & named]
    return [f"{len(without)} roles without the finding {code}, such as {without[0]}"] if without else []


def show(run: Run, start_up: float) -> None:
    """Print the measurements of an audit."""
    print(f"{run.secrets:,} secrets, {run.expected['rotations']:,} with rotation")
    print(f"  {'quota':<24} {'rate/s':>7} {'admitted':>9} {'throttled':>10} {'required':>10} {'first to last':>14}")
    for quota in run.quotas:
        if quota["admitted"] or quota["throttled"]:
            print(
                f"  {quota['name']:<24} {quota['rate']:7,} {quota['admitted']:9,} {quota['throttled']:10,}"
                f" {quota['required_seconds']:8.1f} s {quota['seconds']:12.1f} s"
            )
            if len(quota["calls"]) > 1:
                for action, count in sorted(quota["calls"].items()):
                    print(f"    {count:6,} {action}")
    print(f"  time                     {run.seconds:.1f} s, {start_up:.1f} s of them to start")
    print(f"  CPU time                 {run.cpu_seconds:.1f} s")
    print(f"  peak memory              {run.peak_bytes / 1e6:.0f} MB")
    sizes = [path.stat().st_size / 1e6 if path.exists() else 0 for path in (run.report, run.page)]
    print(f"  report                   JSON {sizes[0]:.1f} MB, HTML {sizes[1]:.1f} MB")


def criteria(run: Run, start_up: float) -> dict[str, bool]:
    """Return whether an audit meets each criterion, keyed by criterion. Print its findings, and what is wrong."""
    wrong = problems(run)
    for problem in wrong:
        print(f"  WRONG: {problem}")
    seconds, required = run.seconds - start_up, run.required_seconds
    worst = max(run.quotas, key=_throttled_per_admitted)
    throttled = _throttled_per_admitted(worst)
    return {
        f"{seconds:.1f} s without the start, at most {ALLOWANCE} times the {required:.1f} s that the quotas require,"
        f" and {PACING_SECONDS} s more"
        f"{f' ({seconds / required:.2f} times)' if required else ''}": seconds <= ALLOWANCE * required + PACING_SECONDS,
        f"less than {MEMORY_LIMIT / 1e6:.0f} MB of memory": run.peak_bytes < MEMORY_LIMIT,
        f"at most {THROTTLED_PER_ADMITTED} calls throttled per admitted call"
        f" ({throttled:.2f} for {worst['name']})": throttled <= THROTTLED_PER_ADMITTED,
        "the report is complete, and has the expected findings": not wrong,
    }


def _throttled_per_admitted(quota: dict[str, Any]) -> float:
    return float(quota["throttled"] / max(1, quota["admitted"]))


def linear_criteria(runs: list[Run], start_seconds: float, start_cpu: float) -> dict[str, bool]:
    """Return whether time and CPU time per secret stay the same, keyed by criterion."""
    met = {}
    for name, per_secret in (
        # A full bucket saves one second, whatever its rate and the number of secrets.
        ("time", [(run.seconds - start_seconds + 1) / run.secrets for run in runs]),
        ("CPU time", [(run.cpu_seconds - start_cpu) / run.secrets for run in runs]),
    ):
        shown = ", ".join(f"{1000 * seconds:.2f} ms" for seconds in per_secret)
        growth = max(per_secret) / per_secret[0]
        met[f"{name} per secret grows at most {GROWTH} times ({shown}: {growth:.2f} times)"] = growth <= GROWTH
    return met


def report_criteria(met: dict[str, bool]) -> bool:
    """Print the criteria, and return whether all are met."""
    for criterion, is_met in met.items():
        print(f"  {'pass' if is_met else 'MISS'}: {criterion}")
    return all(met.values())


def run_all(sizes: list[int]) -> bool:
    """Run the audits, print the results, and return whether all criteria are met."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{START_UPS} audits of one secret ...", flush=True)
        start_ups = [audit(1, folder / f"start-{number}") for number in range(START_UPS)]
        start_seconds = statistics.median(run.seconds for run in start_ups)
        start_cpu = statistics.median(run.cpu_seconds for run in start_ups)
        print(f"  {start_seconds:.2f} s, {start_cpu:.2f} s of CPU time, {start_ups[0].peak_bytes / 1e6:.0f} MB")
        runs = []
        for size in sizes:
            print(f"Audit of {size:,} secrets ...", flush=True)
            runs.append(audit(size, folder / f"secrets-{size}"))
        results = []
        for run in runs:
            print()
            show(run, start_seconds)
            results.append(report_criteria(criteria(run, start_seconds)))
        if len(runs) > 1:
            print()
            results.append(report_criteria(linear_criteria(runs, start_seconds, start_cpu)))
    return all(results)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m load.audit_load", description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--secrets",
        type=int,
        nargs="+",
        default=[1000, 10_000],
        help="numbers of secrets (1000 10000); of fewer than 1000, single pauses decide the time",
    )
    try:
        sys.exit(0 if run_all(sorted(set(parser.parse_args().secrets))) else 1)
    except AuditFailedError as error:
        sys.exit(f"FAILED: {error}")


if __name__ == "__main__":
    main()
