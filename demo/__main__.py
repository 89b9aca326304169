"""`make demo`: the custom resource from its deployment to its deletion, in an emulator on this machine.

Ends with 0, with 1 where a step's result is not what the demo says, and with 130 (143) after Ctrl-C (SIGTERM).
"""

import os
import shutil
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

FOLDER = Path(__file__).resolve().parent.parent / ".build" / "demo"
"""All that the demo writes."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asks the demo to end. Not an `Exception`: nothing on the way out is to take it for a failure."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


def stop(number: int, _frame: FrameType | None) -> None:
    """The handler of the signals: once, so that an impatient second Ctrl-C does not interrupt the tidying up."""
    for one in SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    raise Stopped(number)


def demonstrate() -> int:
    """Run the demo and give the exit code; what went wrong goes to standard error, its traceback to a log."""
    # Not at the top: importing boto3 takes a while, and Ctrl-C is to be as quiet then.
    from demo.report import Report, Unexpected
    from demo.tour import run

    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    report = Report()
    try:
        run(report, FOLDER)
    except BrokenPipeError:
        # Whoever read the output has read enough. Python would complain once more when it closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        (FOLDER / "error.log").write_text(traceback.format_exc())
        kind = "" if isinstance(error, Unexpected) else f"{type(error).__name__}: "
        print(f"\nFailed in step {report.current}\n   {kind}{error}\n   logs:     {FOLDER}", file=sys.stderr)
        return 1
    print(f"\nDone in {report.seconds:.0f} s. The emulator is stopped, nothing is left running.")
    return 0


def main() -> int:
    """Run the demo to its end or to a signal, and give the exit code."""
    try:
        for number in SIGNALS:
            # Whoever started it with nohup wants it to go on.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, stop)
        return demonstrate()
    except Stopped as stopped:
        print(f"\nStopped by {stopped}. The emulator is stopped, nothing is left running.", file=sys.stderr)
        return 128 + stopped.number


if __name__ == "__main__":
    sys.exit(main())
