"""The help texts of the command line."""

import click

from rotation_role_policy_cli import main


def help_text() -> str:
    """Return the help of `preview`, as Markdown."""
    return _help(main.preview_command)


def audit_help() -> str:
    """Return the help of `audit`, as Markdown."""
    return _help(main.audit_command)


def report_help() -> str:
    """Return the help of `report`, as Markdown."""
    return _help(main.report_command)


def lint_help() -> str:
    """Return the help of `lint`, as Markdown."""
    return _help(main.lint_templates)


def _help(command: click.Command) -> str:
    # A subcommand inherits the settings of the group.
    group = click.Context(main.cli, info_name=main.PROGRAM, **main.cli.context_settings)
    context = click.Context(command, parent=group, info_name=command.name, terminal_width=110, max_content_width=110)
    return f"```text\n{command.get_help(context)}\n```"
