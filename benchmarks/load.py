"""Many resources created at once, against an IAM that throttles: ``make load``.

Each Create runs in a process of its own, as in Lambda, against MiniStack. Its calls to IAM go through a token bucket
that admits a set number a second and answers the others with Throttling. Each role has three other inline policies, as
the role of a rotation function may have.

Three criteria:

- No Create fails.
- From the first call to IAM to the last that is admitted, it takes at most 1.15 times what the rate allows for these
  calls. The total time is printed too. It also contains what the processes need on this machine before their first call
  to IAM, and after their last. The PropagationDelay is 0, because IAM's rate has no part in it.
- For each call that is admitted, at most 1.5 are throttled. The rate is the account's: each throttled call slows down
  others who use IAM.

The processes are forked from one that has built its clients: 500 cold starts on two cores would measure just those.
"""

import argparse
import contextlib
import gc
import io
import itertools
import json
import os
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import urllib3

from emulator.lambda_runtime import json_log
from emulator.server import ACCOUNT_ID, REGION, Emulator
from rotation_role_policy import custom_resource
from tests.support.account import Context

ALLOWANCE = 1.15
"""The time that is allowed for the calls to IAM, as a multiple of what the rate allows."""
THROTTLED_PER_ADMITTED = 1.5
"""The number of throttled calls that is allowed for each admitted call."""
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
OTHER_POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
)
THROTTLED = b"""<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>
<Code>Throttling</Code><Message>Rate exceeded</Message></Error><RequestId>0</RequestId></ErrorResponse>"""


class Proxy(ThreadingHTTPServer):
    """An endpoint that hands requests on to the emulator, over few connections: 500 with TLS would take their time."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = emulator.endpoint_url
        self.pool = urllib3.PoolManager(maxsize=8, block=True, ca_certs=emulator.environment["AWS_CA_BUNDLE"])

    def admits(self, body: bytes) -> bool:  # noqa: ARG002  # for those who do not admit each
        """Whether a request with this body is handed on."""
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that waits no longer tries again."""


class Throttle(Proxy):
    """IAM's endpoint: hands so many requests a second on."""

    def __init__(self, rate: float, emulator: Emulator) -> None:
        super().__init__(emulator)
        self.rate = rate
        self.admitted: Counter[str] = Counter()
        self.turned_away = 0
        self._lock = threading.Lock()
        self._tokens = rate
        self._filled = self.first = self.last = time.monotonic()
        """`first` and `last` are the times of the first call and of the last that was admitted."""

    def admits(self, body: bytes) -> bool:
        """Whether there is a token. The bucket holds those of one second."""
        [action] = parse_qs(body.decode())["Action"]
        with self._lock:
            now = time.monotonic()
            if not self.admitted:
                self.first = now
            self._tokens = min(self.rate, self._tokens + (now - self._filled) * self.rate)
            self._filled = now
            if self._tokens < 1:
                self.turned_away += 1
                return False
            self._tokens -= 1
            self.admitted[action] += 1
            self.last = now
            return True


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"
    # Head and body in one packet: apart, the second would wait for the client's delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def _hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.server.admits(body):
            self._reply(400, "text/xml", THROTTLED)
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        url = f"{self.server.upstream}{self.path}"
        response = self.server.pool.request(self.command, url, body=body, headers=headers)
        self._reply(response.status, response.headers.get("Content-Type", "text/xml"), response.data)

    do_GET = do_POST = _hand_on  # noqa: N815  # the names that http.server calls

    def _reply(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def furnish(emulator: Emulator, resources: int, other_policies: int) -> None:
    """For each resource a secret, and a rotation function with a role of its own, which has so many other policies."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", "def handler(event, context): pass")
    iam, functions, secrets = (emulator.client(service) for service in ("iam", "lambda", "secretsmanager"))
    for number in range(resources):
        role = iam.create_role(RoleName=f"role-{number}", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        for other in range(other_policies):
            iam.put_role_policy(RoleName=f"role-{number}", PolicyName=f"other-{other}", PolicyDocument=OTHER_POLICY)
        functions.create_function(
            FunctionName=f"rotate-{number}",
            Role=role,
            Runtime="python3.13",
            Handler="index.handler",
            Code={"ZipFile": code.getvalue()},
        )
        secrets.create_secret(Name=f"db-{number}", SecretString="{}")


def create(number: int, url: str, start: Connection, outcome: Connection) -> None:
    """One invocation: waits for `start`, and says how the Create was answered and after how many seconds."""
    event = {
        "RequestType": "Create",
        "ResponseURL": f"{url}/_ministack/cfn-response/{number}",
        "StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/load/6b1e1c50-0000-11ef-8e9a-0a1b2c3d4e5f",
        "RequestId": f"request-{number}",
        "ResourceType": "Custom::RotationRolePolicy",
        "LogicalResourceId": f"Policy{number}",
        "ResourceProperties": {
            "SecretId": f"db-{number}",
            "RotationLambdaARN": f"rotate-{number}",
            "PropagationDelay": "0",
        },
    }
    start.poll(None)
    begun = time.monotonic()
    context = Context(invoked_function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:provider")
    json_log.install()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        custom_resource.handler(event, context)
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    [response] = [line for line in lines if line["message"] == "sending response"]
    outcome.send((response["status"], response["reason"], time.monotonic() - begun))
    # What a fork has inherited is not its own to clean up.
    os._exit(0)


def invocations(resources: int, url: str) -> Iterator[Connection]:
    """The outcomes of as many Creates, which begin when this is first asked for one."""
    aws = custom_resource.aws
    _ = aws.secretsmanager, aws.lambda_, aws.iam, aws.cloudformation
    gc.freeze()
    fork = get_context("fork")
    waits, start = fork.Pipe(duplex=False)
    outcomes = []
    for number in range(resources):
        receives, sends = fork.Pipe(duplex=False)
        fork.Process(target=create, args=(number, url, waits, sends), daemon=True).start()
        sends.close()
        outcomes.append(receives)
    start.send("now")
    yield from outcomes


def run(resources: int, rate: float, other_policies: int) -> bool:
    """Print the figures and the verdict on each criterion. Whether all are met."""
    with tempfile.TemporaryDirectory() as folder, Emulator(Path(folder)) as emulator:
        furnish(emulator, resources, other_policies)
        throttle, proxy = Throttle(rate, emulator), Proxy(emulator)
        os.environ.clear()
        os.environ |= emulator.environment
        for server, services in ((throttle, ["IAM"]), (proxy, ["SECRETS_MANAGER", "LAMBDA", "CLOUDFORMATION"])):
            for service in services:
                os.environ[f"AWS_ENDPOINT_URL_{service}"] = f"http://127.0.0.1:{server.server_port}"
        print(
            f"{resources} resources created at once, {other_policies} other inline policies on each role,"
            f" IAM admits {rate:g} calls a second",
            flush=True,
        )
        outcomes = invocations(resources, emulator.endpoint_url)
        first = next(outcomes)
        # Not before the forks: they would inherit a lock that a thread holds.
        for server in (throttle, proxy):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        begun = time.monotonic()
        responses = [outcome.recv() for outcome in itertools.chain([first], outcomes)]
        took = time.monotonic() - begun
        for server in (throttle, proxy):
            server.shutdown()
        iam = emulator.client("iam")
        names = [iam.list_role_policies(RoleName=f"role-{number}")["PolicyNames"] for number in range(resources)]
        written = sum(len(on_role) - other_policies for on_role in names)

    failed = [reason for status, reason, _ in responses if status != "SUCCESS"]
    calls = throttle.admitted.total()
    # One second's worth is in the bucket from the start.
    allowed = calls / rate - 1
    took_iam = throttle.last - throttle.first
    throttled = throttle.turned_away / calls
    print(f"  answered with SUCCESS    {len(responses) - len(failed)}, policies written {written}")
    print(f"  calls to IAM             {calls} admitted, {calls / resources:.2f} for each resource")
    for action, count in throttle.admitted.most_common():
        print(f"    {count:6} {action}")
    print(f"  throttled                {throttle.turned_away}, {throttled:.2f} for each admitted call")
    print(f"  slowest Create           {max(seconds for *_, seconds in responses):.1f} s")
    print(
        f"  first to last call       {took_iam:.1f} s, {took_iam / allowed:.2f} times the {allowed:.1f} s of the rate"
    )
    print(f"  total time               {took:.1f} s, {took / allowed:.2f} times")
    for reason in sorted(set(failed)):
        print(f"  FAILED: {reason}")
    criteria = {
        "no Create fails": not failed and written == resources,
        f"at most {ALLOWANCE} times what the rate allows": took_iam <= ALLOWANCE * allowed,
        f"at most {THROTTLED_PER_ADMITTED} throttled for each admitted call": throttled <= THROTTLED_PER_ADMITTED,
    }
    for criterion, is_met in criteria.items():
        print(f"  {'pass' if is_met else 'MISS'}: {criterion}")
    return all(criteria.values())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__.split("\n\n")[0])
    parser.add_argument("--resources", type=int, default=500)
    parser.add_argument("--rate", type=float, default=15, help="calls to IAM a second (15)")
    parser.add_argument("--other-policies", type=int, default=3, help="other inline policies on each role (3)")
    arguments = parser.parse_args()
    sys.exit(0 if run(arguments.resources, arguments.rate, arguments.other_policies) else 1)


if __name__ == "__main__":
    main()
