"""``make load``: create many resources at the same time while IAM throttles.

Each Create runs in a process of its own, as in Lambda, against MiniStack. A token bucket in front of IAM admits a fixed
number of calls per second, and responds to all other calls with Throttling. Each role has three other inline policies,
as the role of a rotation function may have.

There are three criteria:

- No Create fails.
- The time from the first call to IAM to the last admitted call is at most 1.15 times the time that the rate requires
  for the admitted calls. The total time is printed too. It includes the time that the processes need on this machine
  before their first and after their last call to IAM. PropagationDelay is 0, because it does not depend on IAM's rate.
- At most 1.5 calls are throttled per admitted call. The rate belongs to the account, so each throttled call slows down
  other users of IAM.

The processes are forked from a process that has already created its clients. Otherwise 500 cold starts on two cores
would dominate the measurement.
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
from load.token_bucket import TokenBucket
from rotation_role_policy.provider import handler
from tests.support.account import Context

ALLOWANCE = 1.15
"""The largest acceptable time for the calls to IAM, as a multiple of the time that the rate requires."""
THROTTLED_PER_ADMITTED = 1.5
"""The largest acceptable number of throttled calls per admitted call."""
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
    """An endpoint that forwards requests to the emulator, over few connections: 500 TLS connections are slow."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = emulator.endpoint_url
        self.pool = urllib3.PoolManager(maxsize=8, block=True, ca_certs=emulator.environment["AWS_CA_BUNDLE"])

    def admits(self, body: bytes) -> bool:  # noqa: ARG002  # subclasses use it
        """Return whether a request with this body is forwarded."""
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore the error: a client that has disconnected retries."""


class Throttle(Proxy):
    """The endpoint of IAM, which forwards at most `rate` requests per second."""

    def __init__(self, rate: float, emulator: Emulator) -> None:
        super().__init__(emulator)
        self.bucket = TokenBucket(rate)
        self._lock = threading.Lock()

    def admits(self, body: bytes) -> bool:
        """Return whether the bucket has a token."""
        [action] = parse_qs(body.decode())["Action"]
        with self._lock:
            return self.bucket.admits(action)


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"
    # Send head and body in one packet. Otherwise the body waits for the client's delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.server.admits(body):
            self._reply(400, "text/xml", THROTTLED)
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        url = f"{self.server.upstream}{self.path}"
        response = self.server.pool.request(self.command, url, body=body, headers=headers)
        self._reply(response.status, response.headers.get("Content-Type", "text/xml"), response.data)

    do_GET = do_POST = _forward  # noqa: N815  # the names that http.server calls

    def _reply(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def populate(emulator: Emulator, resources: int, other_policies: int) -> None:
    """Create a secret, a rotation function and a role with `other_policies` policies for each resource."""
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
    """Serve one Create after `start`. Send the response's status and reason, and the duration in seconds."""
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
    started = time.monotonic()
    context = Context(invoked_function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:provider")
    json_log.install()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        handler.handler(event, context)
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    [response] = [line for line in lines if line["message"] == "sending response"]
    outcome.send((response["status"], response["reason"], time.monotonic() - started))
    # Skip all clean-up: the objects that were inherited by the fork belong to the parent process.
    os._exit(0)


def invocations(resources: int, url: str) -> Iterator[Connection]:
    """Yield the outcome of each Create. The Creates start when the first outcome is requested."""
    aws = handler.aws
    _ = aws.secretsmanager, aws.lambda_, aws.iam, aws.cloudformation
    gc.freeze()
    fork = get_context("fork")
    wait_end, start_end = fork.Pipe(duplex=False)
    outcomes = []
    for number in range(resources):
        receive_end, send_end = fork.Pipe(duplex=False)
        fork.Process(target=create, args=(number, url, wait_end, send_end), daemon=True).start()
        send_end.close()
        outcomes.append(receive_end)
    start_end.send("now")
    yield from outcomes


def run(resources: int, rate: float, other_policies: int) -> bool:
    """Run the test, print the results, and return whether all criteria are met."""
    with tempfile.TemporaryDirectory() as folder, Emulator(Path(folder)) as emulator:
        populate(emulator, resources, other_policies)
        throttle, proxy = Throttle(rate, emulator), Proxy(emulator)
        os.environ.clear()
        os.environ |= emulator.environment
        for server, services in ((throttle, ["IAM"]), (proxy, ["SECRETS_MANAGER", "LAMBDA", "CLOUDFORMATION"])):
            for service in services:
                os.environ[f"AWS_ENDPOINT_URL_{service}"] = f"http://127.0.0.1:{server.server_port}"
        print(
            f"{resources} resources are created at the same time. Each role has {other_policies} other inline policies."
            f" IAM admits {rate:g} calls per second.",
            flush=True,
        )
        outcomes = invocations(resources, emulator.endpoint_url)
        first = next(outcomes)
        # Start the threads after the forks. Otherwise a fork could inherit a lock that a thread holds.
        for server in (throttle, proxy):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        started = time.monotonic()
        responses = [outcome.recv() for outcome in itertools.chain([first], outcomes)]
        total_seconds = time.monotonic() - started
        for server in (throttle, proxy):
            server.shutdown()
        iam = emulator.client("iam")
        names = [iam.list_role_policies(RoleName=f"role-{number}")["PolicyNames"] for number in range(resources)]
        written = sum(len(on_role) - other_policies for on_role in names)

    failed = [reason for status, reason, _ in responses if status != "SUCCESS"]
    calls = throttle.bucket.admitted.total()
    # The bucket starts with the tokens of one second.
    required_seconds = calls / rate - 1
    iam_seconds = throttle.bucket.last - throttle.bucket.first
    throttled_per_call = throttle.bucket.throttled / calls
    print(f"  succeeded                {len(responses) - len(failed)}, policies written {written}")
    print(f"  calls to IAM             {calls} admitted, {calls / resources:.2f} per resource")
    for action, count in throttle.bucket.admitted.most_common():
        print(f"    {count:6} {action}")
    print(f"  throttled                {throttle.bucket.throttled}, {throttled_per_call:.2f} per admitted call")
    print(f"  slowest Create           {max(seconds for *_, seconds in responses):.1f} s")
    print(
        f"  first to last call       {iam_seconds:.1f} s, {iam_seconds / required_seconds:.2f} times the"
        f" {required_seconds:.1f} s that the rate requires"
    )
    print(f"  total time               {total_seconds:.1f} s, {total_seconds / required_seconds:.2f} times")
    for reason in sorted(set(failed)):
        print(f"  FAILED: {reason}")
    criteria = {
        "no Create fails": not failed and written == resources,
        f"the calls to IAM take at most {ALLOWANCE} times the time that the rate requires": iam_seconds
        <= ALLOWANCE * required_seconds,
        f"at most {THROTTLED_PER_ADMITTED} calls are throttled per admitted call": throttled_per_call
        <= THROTTLED_PER_ADMITTED,
    }
    for criterion, is_met in criteria.items():
        print(f"  {'pass' if is_met else 'MISS'}: {criterion}")
    return all(criteria.values())


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m load.provider_load", description=__doc__.split("\n\n")[0])
    parser.add_argument("--resources", type=int, default=500, help="number of resources (500)")
    parser.add_argument("--rate", type=float, default=15, help="calls to IAM that are admitted per second (15)")
    parser.add_argument("--other-policies", type=int, default=3, help="other inline policies on each role (3)")
    arguments = parser.parse_args()
    sys.exit(0 if run(arguments.resources, arguments.rate, arguments.other_policies) else 1)


if __name__ == "__main__":
    main()
