"""`make demo-audit`: an account with broken rotations in the emulator, to try the audit on. It stays until Ctrl-C.

The exit status is 130 after Ctrl-C, and 143 after SIGTERM.
"""

import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from demo import signals
from demo.broken_account import build
from emulator.server import Emulator

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".build" / "demo-audit"
"""The folder that has all files that the demo writes."""
_COMMAND = "PYTHONPATH=handler:cli .venv/bin/python -m rotation_role_policy_cli"


def demonstrate() -> int:
    """Build the account, audit it once, and wait for a signal."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    with Emulator(FOLDER / "emulator") as aws:
        print("An account with broken rotations is being built ...\n", flush=True)
        build(aws)
        page = FOLDER / "audit.html"
        command = [sys.executable, "-m", "rotation_role_policy_cli", "audit", "--html", str(page)]
        subprocess.run(command, env=aws.environment, check=False)
        settings = {name: value for name, value in aws.environment.items() if name.startswith("AWS_")}
        print("\nTo audit the account yourself, in another terminal, in this folder:\n")
        print("  unset AWS_PROFILE AWS_SESSION_TOKEN")
        print(*(f"  export {name}={shlex.quote(value)}" for name, value in settings.items()), sep="\n")
        print(f"  alias rotation-role-policy={shlex.quote(_COMMAND)}")
        print("  rotation-role-policy audit --all --adopt adopt\n")
        print(f"The page of the audit above: {page.relative_to(ROOT)}")
        print("The account stays until you press Ctrl-C.", flush=True)
        while True:
            signal.pause()


if __name__ == "__main__":
    sys.exit(signals.run(demonstrate, "The emulator has been stopped."))
