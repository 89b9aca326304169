"""Rotations in the emulator, which RotateSecret starts in the background."""

from __future__ import annotations

import re
import time
from typing import Any

from emulator.server import Emulator

_POLL_SECONDS = 0.02
_TIMEOUT_SECONDS = 60


def rotate(emulator: Emulator, secret_id: str, **configuration: Any) -> str:
    """Call RotateSecret and wait for the end of the rotation.

    Args:
        emulator: the emulator with the secret.
        secret_id: the name or the ARN of the secret.
        configuration: other parameters of RotateSecret, such as `RotationLambdaARN`.

    Returns:
        The step that failed and its error, such as ``failed in createSecret: ...``, or an empty string.

    Raises:
        TimeoutError: the rotation has not ended within a minute.
    """
    arn = emulator.client("secretsmanager").rotate_secret(SecretId=secret_id, **configuration)["ARN"]
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        # The server writes these lines, see aws_behavior.py.
        lines = re.findall(rf"Rotation of {re.escape(arn)} (.*)", emulator.log.read_text())
        if lines[-1] != "starts":
            return str(lines[-1]).removeprefix("succeeded")
        time.sleep(_POLL_SECONDS)
    raise TimeoutError(f"The rotation of {arn} has not ended after {_TIMEOUT_SECONDS} s.")
