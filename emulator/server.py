"""MiniStack, an AWS emulator in pure Python, as a local HTTPS server that enforces IAM.

    with Emulator(folder) as aws:
        aws.client("secretsmanager").create_secret(Name="db", SecretString="{}")
        subprocess.run(["sam", "deploy"], env=aws.environment, check=True)

crhelper sends responses only over HTTPS. With `AUTH=true`, MiniStack denies a call until a policy grants it. The
module aws_behavior adds behavior of AWS that MiniStack lacks. Docker is not needed: a Lambda function runs in a
subprocess of the server, with this interpreter, as a session of its execution role.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
import botocore.session
import certifi
import trustme
from botocore.config import Config

from emulator.process_group import ProcessGroup

ACCOUNT_ID = "123456789012"
REGION = "eu-central-1"
"""Not us-east-1, and not an account of zeros, so that a literal in the code does not work by chance."""

_APPLICATION = Path(__file__).resolve().with_name("aws_behavior.py")
_ADDRESSES = ("localhost", "127.0.0.1")
_ADMINISTRATOR = {"AccessKeyId": "test", "SecretAccessKey": "test"}
"""The account's root user. For MiniStack it has the access key with which the server was started."""

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE")
_LOG_TAIL_LINES = 40


def callers_environment() -> dict[str, str]:
    """Return the caller's environment, with settings of pip and proxies, but without those of AWS, sam and make.

    make passes its flags in the environment. They are not for the make that `sam build` runs.
    """
    left_out = ("AWS_", "SAM_", "__SAM_", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    # `make install` puts sam there.
    sam_folder = Path(__file__).resolve().parent.parent / ".venv-sam" / "bin"
    environment["PATH"] = f"{sam_folder}{os.pathsep}{environment.get('PATH', os.defpath)}"
    return environment


def callers_ca_bundle() -> Path:
    """Return the CA bundle that the caller's environment names, such as a company's, or else that of certifi."""
    named = (os.environ.get(name, "") for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"))
    return next((Path(name) for name in named if Path(name).is_file()), Path(certifi.where()))


def sam_settings(folder: Path) -> dict[str, str]:
    """Return variables that keep sam's files below `folder`, turn its telemetry off, and shorten its waiting."""
    home, temporary = folder / "sam", folder / "tmp"
    for made in (home, temporary):
        made.mkdir(parents=True, exist_ok=True)
    # Without the time of its last version check, sam asks PyPI for a newer version.
    (home / "metadata.json").write_text(json.dumps({"lastVersionCheck": time.time()}))
    settings = {"SAM_CLI_TELEMETRY": "0", "__SAM_CLI_APP_DIR": str(home), "TMPDIR": str(temporary)}
    # Seconds between two looks at the stack. By default five.
    return settings | {"SAM_CLI_POLL_DELAY": "0.1"}


class EmulatorError(RuntimeError):
    """The server did not start. The message ends with the last lines of its log."""


class Emulator:
    """One server, from `start` to `stop`. As a context manager it runs during the block.

    All its files are below `folder`, and remain there after `stop`. Its state is in memory: each start gives a new,
    empty account.

    Args:
        folder: created if it does not exist. Each emulator needs its own.

    Attributes:
        endpoint_url: the URL of the server, set by `start`.
        environment: the environment for a client process such as sam or the AWS CLI, set by `start`.
        log: the server's log.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.log = self.folder / "server.log"
        self.endpoint_url = ""
        self.environment: dict[str, str] = {}
        self._administrators_clients: dict[str, Any] = {}
        self._ca_bundle = self.folder / "ca-bundle.pem"
        self._processes: ProcessGroup | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, timeout: float = 60) -> None:
        """Start the server and wait until it is ready.

        Raises:
            EmulatorError: the server ended, or was not ready within `timeout` seconds.
        """
        if self._processes is not None:
            raise RuntimeError("The emulator is already running.")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._issue_certificate()
        try:
            # The server inherits the bound port, so that no other process can take it.
            with socket.socket() as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(("127.0.0.1", 0))
                port: int = listener.getsockname()[1]
                self.endpoint_url = f"https://localhost:{port}"
                self._administrators_clients.clear()
                self.environment = self._client_environment()
                self._processes = ProcessGroup()
                server = self._spawn(self._processes, listener, port)
            self._wait_until_ready(server, timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill the server and all functions that it runs. Can be repeated."""
        if self._processes is None:
            return
        # SIGTERM would make the server wait for open connections and for a pending custom resource.
        self._processes.kill()
        self._processes = None

    def client(self, service: str, *, credentials: Mapping[str, Any] | None = None) -> Any:
        """Return a boto3 client of this server. It does not read the user's AWS settings.

        Args:
            service: as in `boto3.client`.
            credentials: `AccessKeyId`, `SecretAccessKey` and perhaps `SessionToken`, as STS and IAM return them. By
                default those of the account's root user, who is never denied.
        """
        if not self.endpoint_url:
            raise RuntimeError("The emulator has not been started.")
        if credentials is None:
            # Building a client takes a while.
            if service not in self._administrators_clients:
                self._administrators_clients[service] = self._build_client(service, _ADMINISTRATOR)
            return self._administrators_clients[service]
        return self._build_client(service, credentials)

    def _build_client(self, service: str, identity: Mapping[str, Any]) -> Any:
        make: Any = self._session.client
        return make(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint_url,
            verify=str(self._ca_bundle),
            aws_access_key_id=identity["AccessKeyId"],
            aws_secret_access_key=identity["SecretAccessKey"],
            aws_session_token=identity.get("SessionToken"),
            # No retries, so that the first error is the one that is raised.
            config=Config(proxies={}, retries={"total_max_attempts": 1, "mode": "standard"}),
        )

    @cached_property
    def _session(self) -> boto3.Session:
        settings: dict[str, Any] = {
            "profile": (None, None, None, None),
            "config_file": (None, None, str(self._no_aws_config), None),
            "credentials_file": (None, None, str(self._no_aws_config), None),
        }
        return boto3.Session(botocore_session=botocore.session.Session(session_vars=settings))

    def log_tail(self, lines: int = _LOG_TAIL_LINES) -> str:
        """Return the last lines of the server's log."""
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _issue_certificate(self) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert(*_ADDRESSES)
        key = self._private_key
        key.touch(mode=0o600)
        certificate.private_key_pem.write_to_path(str(key))
        with self._certificate.open("wb") as chain:
            chain.writelines(pem.bytes() for pem in certificate.cert_chain_pems)
        # A client process uses this bundle for all its calls, so it needs the caller's authorities too.
        self._ca_bundle.write_bytes(callers_ca_bundle().read_bytes() + b"\n" + authority.cert_pem.bytes())

    @property
    def _certificate(self) -> Path:
        return self.folder / "server.pem"

    @property
    def _no_aws_config(self) -> Path:
        return self.folder / "no-aws-config"

    @property
    def _private_key(self) -> Path:
        return self.folder / "server.key"

    def _spawn(self, processes: ProcessGroup, listener: socket.socket, port: int) -> subprocess.Popen[bytes]:
        # `python -m ministack`, as root and with TLS, would also listen on port 443.
        # By its path, because a function would inherit a PYTHONPATH with this repository.
        command = [sys.executable, "-m", "hypercorn", f"{_APPLICATION}:app", "--workers", "0"]
        command += ["--bind", f"fd://{listener.fileno()}", "--keep-alive", "75"]
        command += ["--certfile", str(self._certificate), "--keyfile", str(self._private_key)]
        with self.log.open("wb") as log:
            return processes.start(
                command,
                cwd=self.folder,
                env=self._server_environment(port),
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _wait_until_ready(self, server: subprocess.Popen[bytes], timeout: float) -> None:
        context = ssl.create_default_context(cafile=str(self._ca_bundle))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if server.poll() is not None:
                raise EmulatorError(f"MiniStack ended with status {server.returncode}:\n{self.log_tail()}")
            try:
                # The status is 503, which is an OSError too, until the server is ready.
                with opener.open(f"{self.endpoint_url}/_ministack/ready", timeout=5):
                    return
            except OSError:
                time.sleep(0.05)
        raise EmulatorError(f"MiniStack was not ready within {timeout:g} s:\n{self.log_tail()}")

    def _aws_settings(self) -> dict[str, str]:
        """Return the variables that both clients and the server need."""
        settings = {
            "AWS_ACCESS_KEY_ID": _ADMINISTRATOR["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": _ADMINISTRATOR["SecretAccessKey"],
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        settings |= dict.fromkeys(("SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"), str(self._ca_bundle))
        settings |= dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), str(self._no_aws_config))
        return settings

    def _client_environment(self) -> dict[str, str]:
        environment = callers_environment()
        for name in ("NO_PROXY", "no_proxy"):
            environment[name] = ",".join(filter(None, [environment.get(name), *_ADDRESSES]))
        environment |= self._aws_settings()
        environment |= {"AWS_ENDPOINT_URL": self.endpoint_url, "AWS_PAGER": ""}
        return environment | sam_settings(self.folder)

    def _server_environment(self, port: int) -> dict[str, str]:
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        # The functions inherit it. With the caller's own variables, such as PYTHONPATH, a function could work here that
        # fails in Lambda.
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment |= self._aws_settings()
        environment |= {
            # See lambda_runtime/sitecustomize.py.
            "PYTHONPATH": str(Path(__file__).parent / "lambda_runtime"),
            "AUTH": "true",
            "USE_SSL": "1",
            "MINISTACK_SSL_CERT": str(self._certificate),
            "MINISTACK_SSL_KEY": str(self._private_key),
            "MINISTACK_HOST": "localhost",
            "GATEWAY_PORT": str(port),
            "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
            "MINISTACK_REGION": REGION,
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "TMPDIR": str(temporary),
            "S3_DATA_DIR": str(self.folder / "s3"),
            "STATE_DIR": str(self.folder / "state"),
            # With a Docker daemon, MiniStack would remove the containers of all other MiniStacks.
            "DOCKER_HOST": f"unix://{self.folder}/no-docker",
        }
        return environment
