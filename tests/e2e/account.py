"""An emulated account with the provider deployed: what the end-to-end tests and those of the examples stand on."""

import io
import json
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulator import provider
from emulator.server import Emulator
from emulator.stack import Stack
from tests import ROOT


@dataclass
class EmulatedAccount:
    """An emulated account with the provider deployed."""

    emulator: Emulator
    provider: Stack
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """A client of the account's administrator."""
        if service not in self._clients:
            self._clients[service] = self.emulator.client(service)
        return self._clients[service]

    def policies(self, role: str) -> dict[str, Any]:
        """A role's inline policies: documents by name."""
        iam = self.client("iam")
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        return {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}

    def log(self) -> list[dict[str, Any]]:
        """The provider's own log lines."""
        group = self.provider.physical_id("LogGroup")
        events = self.client("logs").filter_log_events(logGroupName=group)["events"]
        return [json.loads(event["message"]) for event in events if event["message"].startswith("{")]

    def rotate(self, function: str, secret_id: str) -> str:
        """Runs a rotation through its steps. Gives the error of the first that fails; empty where all succeed."""
        token = str(uuid.uuid4())
        for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
            event = {"Step": step, "SecretId": secret_id, "ClientRequestToken": token}
            response = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
            if "FunctionError" in response:
                return str(json.load(response["Payload"])["errorMessage"])
        return ""


@contextmanager
def deployed(folder: Path, parameters: dict[str, str] | None = None) -> Iterator[EmulatedAccount]:
    """The provider built and deployed in an emulator of its own; all is written below `folder`."""
    build_dir = folder / "build"
    provider.build(ROOT, build_dir)
    with Emulator(folder / "emulator") as emulator:
        yield EmulatedAccount(emulator, provider.deploy(emulator, ROOT, build_dir, parameters))


def zipped(code: str, module: str = "index") -> bytes:
    """A Lambda function's zip file, with the one module."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{module}.py", code)
    return file.getvalue()
