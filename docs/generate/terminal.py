"""Pictures of what a command prints on a terminal."""

import contextlib
import io
import re
from collections.abc import Callable
from unittest import mock

from rich.console import Console
from rich.text import Text

from docs.generate.example_account import FUNCTION, SECRET, example_account, put_inline_policy
from rotation_role_policy_cli import caller_aws, main, render
from tests.support.account import watched_caller_aws

_WIDTH = 100


def preview() -> str:
    """Return an SVG of the preview after the secret has been put under another key."""
    arguments = ["preview", "--secret-id", SECRET, "--rotation-lambda", FUNCTION]

    def run(console: Console) -> None:
        with example_account() as account:
            with contextlib.redirect_stdout(io.StringIO()):
                account.create(SecretId=SECRET, RotationLambdaARN=FUNCTION)
            account.client("secretsmanager").update_secret(SecretId=SECRET, KmsKeyId=account.key())
            put_inline_policy(account, "from-the-wizard", "secretsmanager:GetSecretValue", "*")
            with (
                mock.patch.object(caller_aws, "caller_aws", watched_caller_aws(account)),
                mock.patch.object(render, "make_console", return_value=console),
            ):
                main.main(arguments)

    return svg(arguments, run, title="rotation-role-policy preview")


def svg(arguments: list[str], run: Callable[[Console], None], *, title: str, width: int = _WIDTH) -> str:
    """Return an SVG of a terminal with a command and its output.

    Args:
        arguments: of the command.
        run: runs the command, and prints on the given console.
        title: of the terminal's window.
        width: of the terminal, in columns.
    """
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(Text(f"$ {main.PROGRAM} {' '.join(arguments)}\n"))
    run(console)
    # An ARN may exceed the width of the page. The picture must have room for it.
    console.width = max(map(len, console.export_text(clear=False).splitlines()))
    picture = console.export_svg(title=title, unique_id=f"{arguments[0]}-{width}")
    # rich loads its font from the network. The picture has to do with the reader's monospace font.
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    return "\n".join(line.rstrip() for line in picture.splitlines() if line.strip()) + "\n"
