"""The picture of a preview: what the command prints on a terminal."""

import contextlib
import io
import re
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
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(Text(f"$ {main.PROGRAM} {' '.join(arguments)}\n"))
    with example_account() as account:
        with contextlib.redirect_stdout(io.StringIO()):
            account.create(SecretId=SECRET, RotationLambdaARN=FUNCTION)
        account.client("secretsmanager").update_secret(SecretId=SECRET, KmsKeyId=account.key())
        put_inline_policy(account, "from-the-wizard", "secretsmanager:GetSecretValue", "*")
        with (
            mock.patch.object(caller_aws, "CallerAws", watched_caller_aws(account)),
            mock.patch.object(render, "make_console", return_value=console),
        ):
            main.main(arguments)
    # An ARN may exceed the width of the page. The picture must have room for it.
    console.width = max(map(len, console.export_text(clear=False).splitlines()))
    svg = console.export_svg(title="rotation-role-policy preview", unique_id="preview")
    # rich loads its font from the network. The picture has to do with the reader's monospace font.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"
