"""How a demo ends if it is stopped by a signal: quietly, and with nothing left running."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoStoppedError(BaseException):  # as KeyboardInterrupt
    """The demo was stopped by a signal. Not an `Exception`, so that nothing handles it as an error."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


def run(demonstrate: Callable[[], int], stopped_services: str) -> int:
    """Run a demo until it ends or is stopped by a signal, and return the exit status.

    Args:
        demonstrate: the demo. It returns the exit status, and stops what it has started also if it is stopped itself.
        stopped_services: what it has stopped then, to begin a sentence.
    """
    try:
        for number in _SIGNALS:
            # With nohup, SIGHUP is ignored and must remain so.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _stop)
        return demonstrate()
    except DemoStoppedError as stopped:
        print(f"\nStopped by {stopped}. {stopped_services} Nothing is left running.", file=sys.stderr)
        return 128 + stopped.number


def _stop(number: int, _frame: FrameType | None) -> None:
    """Handle a signal. Further signals are ignored, so that they do not interrupt the clean-up."""
    for handled in _SIGNALS:
        signal.signal(handled, signal.SIG_IGN)
    raise DemoStoppedError(number)
