"""The help texts of the command line."""

import click

from rotation_role_policy_cli import main


def help_text() -> str:
    """Return the help of `preview`, as Markdown."""
    # A subcommand inherits the settings of the group.
    group = click.Context(main.cli, info_name=main.PROGRAM, **main.cli.context_settings)
    command = main.preview_command
    context = click.Context(command, parent=group, info_name="preview", terminal_width=110, max_content_width=110)
    return f"```text\n{command.get_help(context)}\n```"
