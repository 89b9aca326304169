"""The command line: `rotation-role-policy`, or `python -m rotation_role_policy_cli`.

Modules that import botocore or rich are imported only by the command that needs them, so that `--help`, `schema` and
shell completion start quickly.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from rotation_role_policy import __version__
from rotation_role_policy_cli import permissions, schema
from rotation_role_policy_cli.exit_status import ExitStatus, run
from rotation_role_policy_cli.options import (
    PROPERTIES_SECTION,
    TEMPLATE_SECTION,
    FailOn,
    NameAndValue,
    RoleArn,
    SectionCommand,
    SectionOption,
    check_accounts,
    check_combination,
    given_options,
    properties_from,
    property_options,
)

PROGRAM = "rotation-role-policy"
_COMPLETION_VARIABLE = "_ROTATION_ROLE_POLICY_COMPLETE"
"""The environment variable by which a shell asks click for completions."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status. `arguments` are by default those of the process."""
    if os.environ.get(_COMPLETION_VARIABLE):
        cli.main(prog_name=PROGRAM)
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]

    def command() -> int:
        with cli.make_context(PROGRAM, words) as context:
            return int(cli.invoke(context))

    is_debug = "--debug" in words
    if not is_debug:
        # Without a handler, Python prints what the shared modules and botocore log on standard error.
        logging.getLogger().addHandler(logging.NullHandler())
    status = run(command, is_debug=is_debug)
    if arguments is None and status == 128 + signal.SIGINT:
        # Python would wait for threads whose calls have no answer.
        sys.stdout.flush()
        os._exit(status)
    return status


@click.group(no_args_is_help=False, context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an internal error.")
def cli(debug: bool) -> None:  # `main` looks for the option itself
    """Tools for templates with Custom::RotationRolePolicy resources."""


@cli.command("schema")
def schema_command() -> int:
    """Print the JSON Schema of the resource's properties."""
    click.echo(schema.text(), nl=False)
    return 0


def _lines(*actions: str, indent: int = 15) -> str:
    return ("\n" + indent * " ").join(actions)


_EPILOG = f"""\
\b
Exit status:
  {ExitStatus.UNCHANGED}  unchanged: the role already has this policy
  {ExitStatus.WOULD_CHANGE}  the policy would be created, changed or removed
  {ExitStatus.ERROR}  an error, or the provider would refuse a resource

\b
Permissions. Preview uses your own credentials and makes only read calls:
  required     {_lines(*permissions.REQUIRED)}
  optional     {_lines(*permissions.OPTIONAL)}
  for --stack  {_lines(*permissions.FOR_STACK)}
  for references to exports, SSM parameters and databases
               {_lines(*permissions.FOR_REFERENCES)}
"""

_AUDIT_EPILOG = f"""\
\b
Exit status:
  {ExitStatus.NO_FINDINGS}  no finding at or above --fail-on
  {ExitStatus.ERROR}  an error, the audit is incomplete, or there was nothing to audit
  {ExitStatus.FINDINGS}  findings at or above --fail-on

\b
Permissions. The audit uses your own credentials and makes only read calls:
  {_lines(*permissions.FOR_AUDIT, indent=2)}

\b
  for --all-regions   {permissions.FOR_ALL_REGIONS}
  for --role-arn      {permissions.FOR_ACCOUNTS}
  for --organization  {permissions.FOR_ORGANIZATION}, {permissions.FOR_ACCOUNTS}
"""

_REPORT_EPILOG = f"""\
\b
Exit status:
  {ExitStatus.NO_FINDINGS}  no finding at or above --fail-on
  {ExitStatus.ERROR}  an error, or one of the audits is incomplete
  {ExitStatus.FINDINGS}  findings at or above --fail-on
"""

_property_option = partial(click.option, cls=SectionOption, section=PROPERTIES_SECTION)
_template_option = partial(click.option, cls=SectionOption, section=TEMPLATE_SECTION)


@cli.command(
    "preview",
    cls=SectionCommand,
    params=list(property_options()),
    short_help="Show the policy that the provider would put on a role.",
    epilog=_EPILOG,
)
@_property_option("--policy-name", metavar="NAME", help="Compare with this inline policy of the role.")
@_template_option(
    "--template", metavar="FILE", type=click.Path(path_type=Path), help="Preview each resource of a YAML or JSON file."
)
@_template_option("--stack", metavar="NAME", help="Resolve references with the resources of this deployed stack.")
@_template_option(
    "--parameter",
    "parameters",
    metavar="NAME=VALUE",
    type=NameAndValue(),
    multiple=True,
    help="Set a parameter of the template. By default it has the value of the stack, or else its own default.",
)
@_template_option("--resource", metavar="LOGICAL_ID", help="Preview only this resource.")
@click.argument("more_parameters", metavar="", type=NameAndValue(), nargs=-1)
@click.option("--profile", metavar="NAME", help="Use this profile of your AWS credentials, as in the AWS CLI.")
@click.option("--region", metavar="NAME", help="Use this region, as in the AWS CLI.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print only the document, as JSON. For a template without --resource: documents keyed by logical ID; null if"
    " the policy would be removed.",
)
@click.option(
    "--format",
    "document_format",
    type=click.Choice(["json", "yaml", "terraform"]),
    help="Print only the document in this format, for those who put the policy on the role themselves.",
)
@click.pass_context
def preview_command(
    context: click.Context,
    /,
    *,
    policy_name: str | None,
    template: Path | None,
    stack: str | None,
    parameters: tuple[tuple[str, str], ...],
    resource: str | None,
    more_parameters: tuple[tuple[str, str], ...],
    profile: str | None,
    region: str | None,
    as_json: bool,
    document_format: str | None,
    **options: Any,
) -> int:
    """Show the policy that the provider would put on the execution role, before you deploy it.

    The page has each statement with its reason, what is left out and why, the difference from the policy that the role
    has, and other policies on the role that are overly permissive.

    \b
    Describe one resource by its properties, or name a template:
      rotation-role-policy preview --secret-id prod/orders --rotation-lambda rotate-orders
      rotation-role-policy preview --secret-id prod/orders --role rotation --vpc none
      rotation-role-policy preview --template shop.yaml --stack shop --parameter Stage=prod
    """
    check_combination(context)
    # Importing these takes time: see the top.
    from rotation_role_policy_cli.caller_aws import caller_aws
    from rotation_role_policy_cli.preview import command
    from rotation_role_policy_cli.render import make_console, progress, show_error
    from rotation_role_policy_cli.template.placeholders import with_names

    with progress() as report:
        aws = caller_aws(profile, region, report)
        if template:
            result = command.preview_template(aws, template, dict(parameters + more_parameters), stack, resource)
        else:
            result = command.preview_properties(aws, properties_from(options), policy_name)
    document_format = document_format or ("json" if as_json else None)
    console = make_console(rewrite=with_names)
    if document_format:
        is_single = not template or resource is not None
        command.show_documents(console, result, document_format, is_single=is_single)
    else:
        command.show_pages(console, result)
    for error in [*result.errors, *(result.refusals if document_format else [])]:
        show_error(with_names(error))
    return result.status


def _output_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options for the output of a report."""
    writable = click.Path(dir_okay=False, path_type=Path)
    options = (
        click.option("--json", "as_json", is_flag=True, help="Print the report as JSON (audit.schema.json)."),
        click.option("--html", metavar="FILE", type=writable, help="Also write the report as a page."),
        click.option("--csv", metavar="FILE", type=writable, help="Also write a table for a spreadsheet."),
        click.option(
            "--accept",
            metavar="FILE",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Accept the findings that this YAML file lists: they do not count for the exit status.",
        ),
        click.option(
            "--fail-on",
            type=FailOn(),
            default="error",
            show_default=True,
            help="What gives exit status 2, separated by commas: error, warning or note, each with the more severe"
            " ones, and codes such as PolicyWidened.",
        ),
        click.option("--all", "show_all", is_flag=True, help="Print all findings, the notes too."),
        click.option("--force", is_flag=True, help="Replace files that exist."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@cli.command("audit", short_help="Find rotations that will fail, and roles that can do too much.", epilog=_AUDIT_EPILOG)
@click.option("--profile", metavar="NAME", help="Use this profile of your AWS credentials, as in the AWS CLI.")
@click.option("--region", "regions", metavar="NAME", multiple=True, help="Audit this region. Can be repeated.")
@click.option("--all-regions", is_flag=True, help="Audit all regions that the account has enabled.")
@click.option(
    "--role-arn",
    "role_arns",
    metavar="ARN",
    multiple=True,
    type=RoleArn(),
    help="Assume this role, and audit its account. Can be repeated, once for each account.",
)
@click.option("--organization", is_flag=True, help="Audit all accounts of your organization. Needs --role-name.")
@click.option("--role-name", metavar="NAME", help="With --organization: the role to assume, which each account has.")
@click.option(
    "--secret-id",
    "secret_ids",
    metavar="ID",
    multiple=True,
    help="Report only on this secret: its name, its ARN or a partial ARN. Can be repeated.",
)
@click.option(
    "--tag",
    "tags",
    metavar="KEY=VALUE",
    type=NameAndValue(),
    multiple=True,
    help="Report only on secrets with this tag. With several tags, a secret needs all of them.",
)
@click.option("--allow-empty", is_flag=True, help="It is right if there is nothing to audit.")
@_output_options
@click.option(
    "--adopt",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Also write templates to this folder, by owner and in waves of at most 50, with a Custom::RotationRolePolicy"
    " for each function that has none.",
)
@click.pass_context
def audit_command(
    context: click.Context,
    /,
    *,
    profile: str | None,
    regions: tuple[str, ...],
    all_regions: bool,
    role_arns: tuple[str, ...],
    organization: bool,
    role_name: str | None,
    secret_ids: tuple[str, ...],
    tags: tuple[tuple[str, str], ...],
    allow_empty: bool,
    **output: Any,
) -> int:
    """Audit the rotations of an account: which of them will fail, and which roles can do too much.

    The audit needs no deployment. It looks at every secret with a rotation function in the region, at the function, its
    role, and the keys. It never reads the value of a secret.

    \b
      rotation-role-policy audit --region eu-central-1 --region us-east-1 --html audit.html
      rotation-role-policy audit --all-regions --organization --role-name rotation-audit
    """
    check_accounts(context)
    # Importing these takes time: see the top.
    from rotation_role_policy.audit.listing import Selection
    from rotation_role_policy_cli.audit import command
    from rotation_role_policy_cli.audit.accounts import Request
    from rotation_role_policy_cli.audit.output import Output

    organization_role = role_name if organization and role_name else ""
    request = Request(profile, regions, all_regions, role_arns, organization_role, Selection(secret_ids, tags))
    return command.run(request, Output(**output), given_options(context), allow_empty=allow_empty)


@cli.command(
    "lint",
    short_help="Find mistakes in templates, with cfn-lint.",
    context_settings={"ignore_unknown_options": True},
)
@click.option(
    "--hook", is_flag=True, help="For pre-commit: only files with a Custom::RotationRolePolicy, and no code of theirs."
)
@click.argument("arguments", metavar="FILE... [OPTIONS OF CFN-LINT]", nargs=-1, required=True, type=click.UNPROCESSED)
def lint_templates(hook: bool, arguments: tuple[str, ...]) -> int:
    """Run cfn-lint with the rules for Custom::RotationRolePolicy.

    The exit status is that of cfn-lint: 0 if it finds nothing.

    \b
      rotation-role-policy lint shop.yaml
      rotation-role-policy lint shop.yaml --format parseable --ignore-checks W9818
    """
    # Importing cfn-lint takes time: see the top.
    from rotation_role_policy_cli import lint_command

    return lint_command.run_for_hook(arguments) if hook else lint_command.run(arguments)


@cli.command("report", short_help="Merge reports of audit --json.", epilog=_REPORT_EPILOG)
@click.argument(
    "reports", metavar="FILE...", type=click.Path(exists=True, dir_okay=False, path_type=Path), nargs=-1, required=True
)
@_output_options
@click.pass_context
def report_command(context: click.Context, /, *, reports: tuple[Path, ...], **output: Any) -> int:
    """Merge reports that audit --json has written, such as those of several accounts, into one.

    \b
      rotation-role-policy report shop.json billing.json --html audit.html
    """
    # Importing these takes time: see the top.
    from rotation_role_policy_cli.audit import merging
    from rotation_role_policy_cli.audit.output import Output

    return merging.run(reports, Output(**output), given_options(context))
