"""``make audit-load``: audit accounts with 1,000 and with 10,000 secrets, whose calls have the rates of a real account.

The command ``rotation-role-policy audit`` runs in a process of its own against the fake AWS. The criteria:

- The audit takes at most 1.1 times as long as the quota that requires the most time for the calls that the audit made,
  and two seconds more. boto3 takes them once to find the rate of a quota: its first calls are too fast, then too slow.
- It uses less than 200 MB of memory.
- Time and CPU time per secret are the same for all accounts: at most 1.15 times those of the smallest account.
- At most 0.2 calls are throttled per admitted call, for each quota. The quotas belong to the account, so each throttled
  call slows down other users of the account.
- The report is complete and has the findings that the account must have.

Then 20 accounts with 500 secrets each are audited in one command (`--role-arn`), and one of them for comparison. All
accounts together take at most 75 s and less than 400 MB: the processor is the limit.

The time and CPU time of an audit of one secret are subtracted: they are the fixed cost of the start of Python, of
boto3 and of the first calls. The command fails if a criterion is missed, and if the audit makes a call that the fake
AWS does not support.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from load.audit_account import Kind, make_account
from load.criteria import print_criteria
from load.fake_aws.account import REGION
from load.fake_aws.quotas import DEFAULT_QUOTAS, TokenBucket
from load.fake_aws.server import serve

ROOT = Path(__file__).parent.parent
# The limits of the criteria above.
ALLOWANCE = 1.1
PACING_SECONDS = 2
MEMORY_LIMIT = 200e6
GROWTH = 1.15
THROTTLED_PER_ADMITTED = 0.2
ACCOUNTS, SECRETS_OF_ACCOUNT = 20, 500
ACCOUNTS_SECONDS = 75
ACCOUNTS_MEMORY = 400e6
START_UPS = 3
"""Audits of one secret. The fixed cost is their median."""
LIMIT_SECONDS = 1800
"""An audit that takes longer is stopped."""


class Run(NamedTuple):
    """One audit: what it used, the calls that it made, and the files that it wrote."""

    secrets: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    expected: dict[str, Any]
    """What the audit must find (`make_account`)."""
    buckets: list[TokenBucket]
    """The calls of each quota."""
    report: Path
    page: Path


def audit(secrets: int, folder: Path, accounts: int = 0) -> Run:
    """Audit an account with this number of secrets. Ends the command if there is no report.

    Args:
        secrets: of each account.
        folder: for the files.
        accounts: how many are audited by a role of theirs; 0 for the user's own account alone.

    The report stays in its file. Otherwise it would be part of this process, whose memory the process of the next audit
    would start with: `ru_maxrss` includes the memory before the process executes its program.
    """
    folder.mkdir()
    report, page, log = folder / "report.json", folder / "report.html", folder / "log"
    command = [sys.executable, "-m", "rotation_role_policy_cli", "audit", "--json", "--html", str(page)]
    for number in range(accounts):
        command += ["--role-arn", f"arn:aws:iam::{200_000_000_000 + number}:role/audit"]
    sources = os.pathsep.join(str(ROOT / name) for name in ("handler", "cli"))
    with (
        serve(folder, partial(make_account, secrets), DEFAULT_QUOTAS) as server,
        report.open("wb") as output,
        log.open("wb") as errors,
    ):
        started = time.monotonic()
        process = subprocess.Popen(
            [*command, "--region", REGION],
            env=server.environment | {"PYTHONPATH": sources},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        limit = threading.Timer(LIMIT_SECONDS, process.kill)
        limit.daemon = True
        limit.start()
        # `Popen.wait` does not return what the process used.
        _, status, usage = os.wait4(process.pid, 0)
        limit.cancel()
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        received = server.statistics()
    last_lines = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
    if received.unsupported:
        sys.exit(f"FAILED: the fake AWS does not support {', '.join(received.unsupported)}\n{last_lines}")
    if process.returncode < 0 or not report.stat().st_size:
        sys.exit(f"FAILED: the audit of {secrets} secrets ended with {process.returncode}\n{last_lines}")
    return Run(
        secrets,
        seconds,
        usage.ru_utime + usage.ru_stime,
        # Bytes on macOS, KiB on Linux.
        usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        server.expected,
        received.buckets,
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
    # Each function has a role of its own.
    for name, number in (("secrets", "rotations"), ("functions", "functions"), ("roles", "functions")):
        if summary[name] != run.expected[number]:
            found.append(f"summary.{name} is {summary[name]}, not {run.expected[number]}")
    lacking = run.expected[Kind.LACKING]
    if summary["errors"] < len(lacking):
        found.append(f"summary.errors is {summary['errors']}, less than the {len(lacking)} roles in error")
    found += _missing(findings, "ActionNotGranted", lacking)
    found += _missing(findings, "OtherSecrets", run.expected[Kind.BROAD])
    # A finding can name the role or a secret.
    in_error = {*lacking, *(secret for secrets in lacking.values() for secret in secrets)}
    unexpected = Counter(
        finding["code"]
        for finding in findings
        if finding["severity"] == "error" and not {finding["secretArn"], finding["roleArn"]} & in_error
    )
    found += [f"{count} unexpected errors {code}" for code, count in unexpected.items()]
    if not run.page.is_file() or b"</html>" not in run.page.read_bytes()[-100:]:
        found.append("the HTML page is missing or incomplete")
    return found


def _missing(findings: list[dict[str, Any]], code: str, secrets_by_role: dict[str, list[str]]) -> list[str]:
    """Return a problem if not every role has a finding with this code."""
    named = {finding[key] for finding in findings if finding["code"] == code for key in ("secretArn", "roleArn")}
    without = [role for role, secrets in secrets_by_role.items() if not {role, *secrets} & named]
    return [f"{len(without)} roles without the finding {code}, such as {without[0]}"] if without else []


def show(run: Run, start_up: float) -> None:
    """Print the measurements of an audit."""
    print(f"\n{run.secrets:,} secrets, {run.expected['rotations']:,} with rotation")
    print(f"  {'quota':<24} {'rate/s':>7} {'admitted':>9} {'throttled':>10} {'required':>10} {'first to last':>14}")
    for bucket in run.buckets:
        if bucket.first:
            print(
                f"  {bucket.quota.name:<24} {bucket.quota.rate:7,} {bucket.admitted.total():9,} {bucket.throttled:10,}"
                f" {bucket.required_seconds:8.1f} s {bucket.seconds:12.1f} s"
            )
            if len(bucket.admitted) > 1:
                for action, count in sorted(bucket.admitted.items()):
                    print(f"    {count:6,} {action}")
    print(f"  time                     {run.seconds:.1f} s, {start_up:.1f} s of them to start")
    print(f"  CPU time                 {run.cpu_seconds:.1f} s")
    print(f"  peak memory              {run.peak_bytes / 1e6:.0f} MB")


def criteria(run: Run, start_up: float) -> dict[str, bool]:
    """Return whether an audit meets each criterion, keyed by criterion. Print its findings, and what is wrong."""
    wrong = problems(run)
    for problem in wrong:
        print(f"  WRONG: {problem}")
    seconds, required = run.seconds - start_up, max(bucket.required_seconds for bucket in run.buckets)
    times = f" ({seconds / required:.2f} times)" if required else ""
    worst = max(run.buckets, key=lambda bucket: bucket.throttled_per_admitted)
    throttled = worst.throttled_per_admitted
    return {
        f"{seconds:.1f} s without the start, at most {ALLOWANCE} times the {required:.1f} s that the quotas require,"
        f" and {PACING_SECONDS} s more{times}": seconds <= ALLOWANCE * required + PACING_SECONDS,
        f"less than {MEMORY_LIMIT / 1e6:.0f} MB of memory": run.peak_bytes < MEMORY_LIMIT,
        f"at most {THROTTLED_PER_ADMITTED} calls throttled per admitted call"
        f" ({throttled:.2f} for {worst.quota.name})": throttled <= THROTTLED_PER_ADMITTED,
        "the report is complete, and has the expected findings": not wrong,
    }


def run_accounts(folder: Path) -> bool:
    """Audit one account and many, print the results, and return whether all criteria are met."""
    print(f"Audit of {ACCOUNTS} accounts with {SECRETS_OF_ACCOUNT} secrets each, and of one ...", flush=True)
    one, many = (audit(SECRETS_OF_ACCOUNT, folder / f"accounts-{number}", number) for number in (1, ACCOUNTS))
    reports = [json.loads(run.report.read_text()) for run in (one, many)]
    found = [Counter(finding["code"] for finding in report["findings"]) for report in reports]
    throttled = sum(bucket.throttled for bucket in many.buckets)
    admitted = sum(bucket.admitted.total() for bucket in many.buckets)
    for run in (one, many):
        print(f"  {run.seconds:.1f} s, {run.cpu_seconds:.1f} s of CPU time, {run.peak_bytes / 1e6:.0f} MB")
    return print_criteria(
        {
            f"{many.seconds:.1f} s, at most {ACCOUNTS_SECONDS}": many.seconds <= ACCOUNTS_SECONDS,
            f"less than {ACCOUNTS_MEMORY / 1e6:.0f} MB of memory": many.peak_bytes < ACCOUNTS_MEMORY,
            f"{throttled} calls throttled for {admitted} admitted": throttled <= THROTTLED_PER_ADMITTED * admitted,
            "complete reports, with the findings of one account in each": all(each["complete"] for each in reports)
            and found[1] == {code: count * ACCOUNTS for code, count in found[0].items()},
        }
    )


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
            show(run, start_seconds)
            results.append(print_criteria(criteria(run, start_seconds)))
        if len(runs) > 1:
            print()
            results.append(print_criteria(linear_criteria(runs, start_seconds, start_cpu)))
            print()
            results.append(run_accounts(folder))
    return all(results)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m load.audit_load", description=__doc__.split("\n\n")[0])
    # Of fewer than 1000 secrets, single pauses decide the time.
    parser.add_argument("--secrets", type=int, nargs="+", default=[1000, 10_000], help="numbers (1000 10000)")
    sys.exit(0 if run_all(sorted(set(parser.parse_args().secrets))) else 1)


if __name__ == "__main__":
    main()
