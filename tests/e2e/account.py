"""An emulated account with a deployed provider, for the end-to-end tests and the tests of the examples."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator import provider
from emulator.server import Emulator
from emulator.stack import Stack
from tests import ROOT


@dataclass
class EmulatedAccount:
    """An emulated account with a deployed provider."""

    emulator: Emulator
    provider: Stack

    def client(self, service: str) -> Any:
        """Return a client with the permissions of the account's administrator."""
        return self.emulator.client(service)

    def policies(self, role: str) -> dict[str, Any]:
        """Return the inline policies of a role: documents keyed by policy name."""
        iam = self.client("iam")
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        return {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}

    def log(self) -> list[dict[str, Any]]:
        """Return the lines that the provider itself has logged."""
        group = self.provider.physical_id("LogGroup")
        events = self.client("logs").filter_log_events(logGroupName=group)["events"]
        return [json.loads(event["message"]) for event in events if event["message"].startswith("{")]

    def rotate(self, function: str, secret_id: str) -> str:
        """Run the four steps of a rotation. Return the error of the first step that fails, or an empty string."""
        token = str(uuid.uuid4())
        for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
            event = {"Step": step, "SecretId": secret_id, "ClientRequestToken": token}
            response = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
            if "FunctionError" in response:
                return str(json.load(response["Payload"])["errorMessage"])
        return ""


@contextmanager
def deployed_account(folder: Path, parameters: dict[str, str] | None = None) -> Iterator[EmulatedAccount]:
    """Build the provider and deploy it in a new emulator. All files are written below `folder`."""
    build_dir = folder / "build"
    provider.build(ROOT, build_dir)
    with Emulator(folder / "emulator") as emulator:
        yield EmulatedAccount(emulator, provider.deploy(emulator, ROOT, build_dir, parameters))
