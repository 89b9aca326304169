"""How the command ends: its exit status, and what it prints when it cannot finish."""

import errno
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum

import click


class ExitStatus(IntEnum):
    """The exit status of the command when it finishes."""

    UNCHANGED = 0
    NO_FINDINGS = 0
    ERROR = 1
    WOULD_CHANGE = 2
    FINDINGS = 2


def run(command: Callable[[], int], *, is_debug: bool) -> int:
    """Run a click command and return its exit status. Errors are one line on standard error.

    With `is_debug`, an unexpected exception is raised.
    """
    try:
        status = int(command())
        if sys.stdout:
            # Output that cannot be written must fail here, not when Python closes the stream.
            sys.stdout.flush()
        return status
    except click.exceptions.Exit as ended:
        # --help and --version.
        return ended.exit_code
    except click.ClickException as error:
        return _fail(_usage_message(error))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except OSError as error:
        _discard_output()
        if isinstance(error, BrokenPipeError):
            return 128 + signal.SIGPIPE
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return _fail(f"The output cannot be written: {error.strerror}.")
        # A file that botocore reads, such as that of AWS_CA_BUNDLE.
        return _fail(str(error))
    except Exception as error:
        if is_debug:
            raise
        return _fail(
            f"Internal error: {type(error).__name__}: {error}. To see the traceback, run"
            " `rotation-role-policy --debug ...`."
        )


def _fail(message: str) -> int:
    # Importing rich takes time, which only a command that fails or prints a preview has to spend.
    from rotation_role_policy_cli.render import show_error

    show_error(" ".join(message.split()))
    return ExitStatus.ERROR


def _usage_message(error: click.ClickException) -> str:
    text = error.format_message()
    message = text if text.endswith(("?", ".")) else f"{text}."
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{message} Try '{context.command_path} --help'." if context else message


def _discard_output() -> None:
    """Redirect standard output to nowhere: Python would report the same error again when it closes the stream."""
    with suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
