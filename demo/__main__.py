"""`make demo`: the custom resource from its deployment to its deletion, in an emulator on this machine.

The exit status is 0; 1 if the result of a step is not the expected one; 130 after Ctrl-C and 143 after SIGTERM.
"""

import os
import shutil
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

FOLDER = Path(__file__).resolve().parent.parent / ".build" / "demo"
"""The folder that has all files that the demo writes."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoStoppedError(BaseException):  # as KeyboardInterrupt
    """The demo was stopped by a signal. Not an `Exception`, so that nothing handles it as an error."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


def stop(number: int, _frame: FrameType | None) -> None:
    """Handle a signal. Further signals are ignored, so that they do not interrupt the clean-up."""
    for handled in SIGNALS:
        signal.signal(handled, signal.SIG_IGN)
    raise DemoStoppedError(number)


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
    print(
        f"\nDone in {report.seconds:.0f} s. The emulator and the database have been stopped. Nothing is left running."
    )
    return 0


def main() -> int:
    """Run the demo until it ends or is stopped by a signal, and return the exit status."""
    try:
        for number in SIGNALS:
            # With nohup, SIGHUP is ignored and must remain so.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, stop)
        return demonstrate()
    except DemoStoppedError as stopped:
        print(
            f"\nStopped by {stopped}. The emulator and the database have been stopped. Nothing is left running.",
            file=sys.stderr,
        )
        return 128 + stopped.number


if __name__ == "__main__":
    sys.exit(main())
