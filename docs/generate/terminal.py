"""The picture of a preview: what the command prints, as a terminal shows it."""

import contextlib
import io
import re
from unittest import mock

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from docs.generate.example_account import FUNCTION, SECRET, example_account, put_inline_policy
from rotation_role_policy_cli import main
from tests.support.account import caller_aws

_WIDTH = 100
# As rich has it, but for the font that it would load from elsewhere.
_FORMAT = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def preview() -> str:
    """SVG of a preview of a secret that was put under another key."""
    arguments = ["preview", "--secret-id", SECRET, "--rotation-lambda", FUNCTION]
    with example_account() as account:
        with contextlib.redirect_stdout(io.StringIO()):
            account.create(SecretId=SECRET, RotationLambdaARN=FUNCTION)
        account.client("secretsmanager").update_secret(SecretId=SECRET, KmsKeyId=account.key())
        put_inline_policy(account, "from-the-wizard", "secretsmanager:GetSecretValue", "*")
        printed = _Terminal()
        with (
            contextlib.redirect_stdout(printed),
            mock.patch.dict("os.environ", {"TERM": "xterm", "NO_COLOR": "", "COLUMNS": str(_WIDTH)}),
            mock.patch.object(main, "CallerAws", caller_aws(account)),
        ):
            main.main(arguments)
    console = Console(record=True, width=_WIDTH + 5, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ rotation-role-policy {' '.join(arguments)}\n\n{printed.getvalue().rstrip()}"))
    svg = console.export_svg(title="a preview", code_format=_FORMAT, unique_id="preview")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True
