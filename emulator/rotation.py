"""Rotations in the emulator, which RotateSecret starts in the background."""

from __future__ import annotations

import os
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
    with emulator.log.open() as log:
        log.seek(0, os.SEEK_END)
        arn = emulator.client("secretsmanager").rotate_secret(SecretId=secret_id, **configuration)["ARN"]
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        text = ""
        while time.monotonic() < deadline:
            text += log.read()
            # The server writes this line, see aws_behavior.py.
            if outcome := re.search(rf"Rotation of {re.escape(arn)} (?:succeeded|(failed .*))\n", text):
                return outcome[1] or ""
            time.sleep(_POLL_SECONDS)
    raise TimeoutError(f"The rotation of {arn} has not ended after {_TIMEOUT_SECONDS} s.")
