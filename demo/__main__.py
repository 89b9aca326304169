"""`make demo`: the custom resource from its deployment to its deletion, in an emulator on this machine.

The exit status is 0; 1 if the result of a step is not the expected one; 130 after Ctrl-C and 143 after SIGTERM.
"""

import os
import shutil
import signal
import sys
import traceback
from pathlib import Path

from demo import signals

FOLDER = Path(__file__).resolve().parent.parent / ".build" / "demo"
"""The folder that has all files that the demo writes."""

STOPPED = "The emulator and the database have been stopped."


def demonstrate() -> int:
    """Run the demo and return the exit status. An error is printed on standard error, its traceback goes to a log."""
    # Importing boto3 and rich takes a while, and Ctrl-C must be quiet meanwhile.
    from demo.report import DemoOutput, UnexpectedResultError
    from demo.tour import run

    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    report = DemoOutput()
    try:
        run(report, FOLDER)
    except BrokenPipeError:
        # Python would report the same error again when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        (FOLDER / "error.log").write_text(traceback.format_exc())
        kind = "" if isinstance(error, UnexpectedResultError) else f"{type(error).__name__}: "
        print(f"\nFailed in step {report.current_step}\n   {kind}{error}\n   logs:     {FOLDER}", file=sys.stderr)
        return 1
    print(f"\nDone in {report.seconds:.0f} s. {STOPPED} Nothing is left running.")
    return 0


if __name__ == "__main__":
    sys.exit(signals.run(demonstrate, STOPPED))
