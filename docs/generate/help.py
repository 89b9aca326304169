"""The help texts of the command line."""

import click

from rotation_role_policy_cli import main


def help_text() -> str:
    """Return the help of `preview`, as Markdown."""
    context = click.Context(
        main.preview_command, info_name=f"{main.PROGRAM} preview", max_content_width=110, terminal_width=110
    )
    return f"```text\n{main.preview_command.get_help(context)}\n```"
