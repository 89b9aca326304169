"""Lambda's side of a function: the Runtime API, and a process in which Lambda's own runtime client serves events.

    with Runtime(task_root, "module.handler", folder, environment, function_arn=function_arn) as runtime:
        outcome = runtime.invoke({"RequestType": "Create"})

The client is awslambdaric, started as AWS starts it in its images. It can import what
Lambda's runtime contains (boto3 and the client itself) and the files of the task root. It cannot import anything else
from this checkout or from the environment of the tests.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

_VERSION = "/2018-06-01/runtime"
_OUTCOME_SECONDS = 30
"""Time limit for an outcome. Normally it takes less than a second."""

_DISTRIBUTIONS = ("awslambdaric", "boto3")
"""The distributions in /var/runtime of Lambda. Their requirements are there too."""


class Outcome(NamedTuple):
    """The report of the runtime: ``response`` or ``error`` of an invocation, or ``init/error``."""

    kind: str
    error_type: str
    body: Any


class RuntimeApi:
    """The HTTP server, at ``address``, from which a runtime gets events and to which it reports outcomes."""

    def __init__(self) -> None:
        self.outcomes: queue.Queue[Outcome] = queue.Queue()
        self._events: queue.Queue[tuple[dict[str, str], bytes] | None] = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler_class())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        """The value of ``AWS_LAMBDA_RUNTIME_API``."""
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Release a client that still waits for an event.
        self._events.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def put(self, event: Any, function_arn: str, seconds: float) -> None:
        """Let the next runtime that asks serve `event`, with a timeout of `seconds`."""
        headers = {
            "Lambda-Runtime-Aws-Request-Id": str(uuid.uuid4()),
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + seconds) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": function_arn,
            "Content-Type": "application/json",
        }
        self._events.put((headers, json.dumps(event).encode()))

    def _handler_class(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            # The client reuses its connection.
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path != f"{_VERSION}/invocation/next":
                    self._respond(404)
                elif event := api._events.get():
                    self._respond(200, *event)
                else:
                    # The test has ended.
                    self.close_connection = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kind = re.fullmatch(rf"{_VERSION}/(?:invocation/[0-9a-f-]+/(response|error)|(init/error))", self.path)
                self._respond(202 if kind else 404)
                if kind:
                    error_type = self.headers["Lambda-Runtime-Function-Error-Type"] or ""
                    api.outcomes.put(Outcome(kind[1] or kind[2], error_type, json.loads(body)))

            def _respond(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


class Runtime:
    """One execution environment: the first event is a cold start, the next events are warm starts.

    Args:
        task_root: the function's code, which Lambda has at /var/task.
        handler: as the function's configuration names it.
        folder: for the runtime's own files and its log. Give each its own.
        environment: added to the variables that Lambda sets.
        seconds: the function's time-out.
    """

    def __init__(
        self,
        task_root: Path,
        handler: str,
        folder: Path,
        environment: Mapping[str, str],
        *,
        function_arn: str,
        seconds: float = 60,
    ) -> None:
        self._api = RuntimeApi()
        self._log = folder / "log"
        self._function_arn = function_arn
        self._seconds = seconds
        self._environment = _lambdas_environment(task_root, handler, function_arn) | dict(environment)
        self._environment |= {"AWS_LAMBDA_RUNTIME_API": self._api.address, "PYTHONPATH": str(folder / "runtime")}
        _link_distributions(folder / "runtime")
        # Without `site` there is no site-packages. The current folder comes first on the path, as in AWS's images.
        self._command = [sys.executable, "-S", "-m", "awslambdaric", handler]
        self._task_root = task_root

    def __enter__(self) -> Self:
        self._api.__enter__()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._task_root,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Lambda ends an environment in the same way.
        self._process.kill()
        self._process.wait()
        self._api.__exit__(kind, error, trace)

    @property
    def log(self) -> str:
        """The output of the process on stdout and stderr."""
        return self._log.read_text()

    def invoke(self, event: Any) -> Outcome:
        """Let the process serve `event`, and return the outcome."""
        self._api.put(event, self._function_arn, self._seconds)
        return self.outcome()

    def outcome(self) -> Outcome:
        """Return the next outcome that the process reports."""
        try:
            return self._api.outcomes.get(timeout=_OUTCOME_SECONDS)
        except queue.Empty:
            raise AssertionError(f"the runtime reported nothing; its log:\n{self.log}") from None


def _lambdas_environment(task_root: Path, handler: str, function_arn: str) -> dict[str, str]:
    """https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html, without the variables of the caller."""
    name = function_arn.rpartition(":")[2]
    region = function_arn.split(":")[3]
    # Needed if Python was built with a shared library.
    inherited = {key: os.environ[key] for key in ("LD_LIBRARY_PATH",) if key in os.environ}
    return inherited | {
        "_HANDLER": handler,
        "AWS_DEFAULT_REGION": region,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]0123456789abcdef0123456789abcdef",
        "AWS_REGION": region,
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": str(task_root),
        "LANG": "en_US.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        # /var/task is read-only.
        "PYTHONDONTWRITEBYTECODE": "1",
        "TZ": ":UTC",
    }


def _link_distributions(folder: Path) -> None:
    """Fill `folder` with links to the installed files of `_DISTRIBUTIONS` and of their requirements."""
    folder.mkdir()
    for distribution in _required(_DISTRIBUTIONS):
        for file in distribution.files or ():
            top = file.parts[0]
            link = folder / top
            if not link.is_symlink() and not top.startswith("..") and top != "__pycache__":
                link.symlink_to(str(distribution.locate_file(top)))


def _required(names: tuple[str, ...]) -> Iterator[metadata.Distribution]:
    """Yield the installed distributions with these names, and those that they require without an extra."""
    visited: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in visited:
            continue
        visited.add(name)
        distribution = metadata.distribution(name)
        yield distribution
        for requirement in distribution.requires or ():
            if "extra ==" not in requirement:
                waiting += re.findall(r"^[\w.-]+", requirement)
