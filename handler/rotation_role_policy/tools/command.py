"""The command line: `rotation-role-policy`, or `python -m rotation_role_policy`."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from botocore.exceptions import BotoCoreError, NoRegionError, ProfileNotFound

from rotation_role_policy import __version__
from rotation_role_policy.declaration import PROPERTIES
from rotation_role_policy.errors import CallFailed, OutOfTime, ProviderDenied, Refused
from rotation_role_policy.tools import schema
from rotation_role_policy.tools.page import Page
from rotation_role_policy.tools.preview import Preview, Resource, preview
from rotation_role_policy.tools.template import Stack, Template, Unresolved, load
from rotation_role_policy.tools.text import DIM, RED, painted, wants_colour
from rotation_role_policy.tools.users_aws import PATIENCE_SECONDS, UsersAws

UNCHANGED, FAILED, WOULD_CHANGE = 0, 1, 2

_INDENTED = "\n" + 15 * " "
_NARROWEST_PAGE, _WIDEST_PAGE = 60, 100
"""Columns."""

NEEDED = (
    "secretsmanager:DescribeSecret",
    "kms:DescribeKey",
    "lambda:GetFunctionConfiguration",
    "iam:GetRole",
    "iam:ListRolePolicies",
    "iam:GetRolePolicy",
    "sts:GetCallerIdentity",
)
USEFUL = (
    "iam:SimulatePrincipalPolicy",
    "iam:ListAttachedRolePolicies",
    "iam:GetPolicy",
    "iam:GetPolicyVersion",
)
FOR_A_STACK = ("cloudformation:DescribeStacks", "cloudformation:ListStackResources")
FOR_REFERENCES = (
    "cloudformation:ListExports",
    "ssm:GetParameter",
    "rds:DescribeDBInstances",
    "rds:DescribeDBClusters",
)
"""The permissions that a preview takes: it only reads."""

_ENDING = f"""\
exit status:
  {UNCHANGED}  unchanged: the role has this policy already
  {WOULD_CHANGE}  the policy would change, or would be put there
  {FAILED}  an error, or the provider would refuse

permissions, with your own credentials; every call only reads:
  needed       {_INDENTED.join(NEEDED)}
  useful       {_INDENTED.join(USEFUL)}
  for --stack  {_INDENTED.join(FOR_A_STACK)}
  where the template refers to such
               {_INDENTED.join(FOR_REFERENCES)}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and give its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has read enough. Python would complain once more when it closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


class _Parser(argparse.ArgumentParser):
    """Errors of usage end with 1: 2 says that a policy would change."""

    def error(self, message: str) -> NoReturn:
        self.exit(FAILED, f"{self.prog}: {message} (--help says more)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="rotation-role-policy", description="Tools for templates with Custom::RotationRolePolicy resources."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)
    of_schema = commands.add_parser("schema", help="print the JSON Schema of the resource's properties")
    of_schema.set_defaults(run=_schema)
    one = commands.add_parser(
        "preview",
        help="show the policy that the provider would put on the role, and the difference to today",
        description="Show the policy that the provider would put on the execution role: each statement with its\n"
        "reason, what is left out, the difference to what stands on the role, and what makes it moot.",
        usage="%(prog)s --secret-id ID [--rotation-lambda FUNCTION | --role ROLE --vpc SUBNETS] [options]\n"
        "       %(prog)s --template FILE [--stack NAME] [--parameter K=V ...] [options]",
        epilog=_ENDING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.set_defaults(run=_preview, parser=one)
    by_hand = one.add_argument_group("a policy by its properties")
    by_hand.add_argument("--secret-id", metavar="ID", action="append", help="SecretId; several times for SecretIds")
    by_hand.add_argument("--rotation-lambda", metavar="FUNCTION", help="RotationLambdaARN: name or ARN")
    by_hand.add_argument("--role", metavar="ROLE", help="RoleName: name or ARN")
    by_hand.add_argument(
        "--vpc",
        metavar="SUBNETS",
        help="VpcConfig, for a function that does not exist yet: its subnets with commas between them, or none",
    )
    by_hand.add_argument("--superuser-secret-id", metavar="ID", help="SuperuserSecretId")
    by_hand.add_argument("--policy-profile", choices=_allowed("PolicyProfile"), help="PolicyProfile")
    by_hand.add_argument("--access-check", choices=_allowed("AccessCheck"), help="AccessCheck")
    by_hand.add_argument(
        "--policy-name", metavar="NAME", help="the inline policy to compare with, if not the likely one"
    )
    by_template = one.add_argument_group("the policies of a template")
    by_template.add_argument("--template", metavar="FILE", type=Path, help="YAML or JSON")
    by_template.add_argument("--stack", metavar="NAME", help="where it is deployed: what its references stand for")
    by_template.add_argument(
        "--parameter", metavar="K=V", action="append", default=[], help="a parameter of the template; else the stack's"
    )
    by_template.add_argument("--resource", metavar="LOGICAL_ID", help="only this one")
    one.add_argument("--profile", metavar="NAME", help="of your AWS credentials, as for the AWS CLI")
    one.add_argument("--region", metavar="NAME", help="as for the AWS CLI")
    one.add_argument("--json", action="store_true", help="the bare document (of a template: documents by logical id)")
    return parser


def _allowed(name: str) -> tuple[str, ...]:
    return next(row.allowed for row in PROPERTIES if row.name == name)


def _schema(_: argparse.Namespace) -> int:
    sys.stdout.write(schema.text())
    return 0


# --- preview ---------------------------------------------------------------------------------------------------------


def _preview(options: argparse.Namespace) -> int:
    if bool(options.template) == bool(options.secret_id):
        options.parser.error("give --secret-id or --template" + (", not both" if options.template else ""))
    with _progress() as progress:
        aws = UsersAws(options.profile, options.region, progress)
        found, failures = _of_template(options, aws) if options.template else _by_hand(options, aws)
    if options.json:
        failures += [f"{name}: {one.refusal}".removeprefix(": ") for name, one in found.items() if one.refusal]
        documents = {name: one.document for name, one in found.items()}
        if documents:
            whole = options.template and not options.resource
            print(json.dumps(documents if whole else next(iter(documents.values())), indent=2))
    else:
        columns = shutil.get_terminal_size((_WIDEST_PAGE, 0)).columns
        page = Page(max(_NARROWEST_PAGE, min(_WIDEST_PAGE, columns)), wants_colour(sys.stdout))
        for one in found.values():
            print(page.of(one) + "\n")
    for failure in failures:
        print(f"{painted(RED, 'error:', wants_colour(sys.stderr))} {failure}", file=sys.stderr)
    if failures or any(one.refusal for one in found.values()):
        return FAILED
    return WOULD_CHANGE if any(one.changes for one in found.values()) else UNCHANGED


def _by_hand(options: argparse.Namespace, aws: UsersAws) -> tuple[dict[str, Preview], list[str]]:
    """The preview of the properties that the options give, and what failed."""
    if options.stack or options.parameter or options.resource:
        options.parser.error("--stack, --parameter and --resource go with --template")
    given: dict[str, Any] = {
        "RotationLambdaARN": options.rotation_lambda,
        "RoleName": options.role,
        "SuperuserSecretId": options.superuser_secret_id,
        "PolicyProfile": options.policy_profile,
        "AccessCheck": options.access_check,
    }
    if options.vpc is not None:
        given["VpcConfig"] = {"SubnetIds": [] if options.vpc == "none" else options.vpc.split(",")}
    secret_ids = options.secret_id
    given |= {"SecretId": secret_ids[0]} if len(secret_ids) == 1 else {"SecretIds": secret_ids}
    properties = {name: value for name, value in given.items() if value is not None}
    try:
        return {"": preview(aws, Resource(properties, policy_name=options.policy_name or ""))}, []
    except _FAILURES as failure:
        return {}, [_said(failure)]


def _of_template(options: argparse.Namespace, aws: UsersAws) -> tuple[dict[str, Preview], list[str]]:
    """The previews of a template's resources by logical id, and what failed."""
    by_hand = ("rotation_lambda", "role", "vpc", "superuser_secret_id", "policy_profile", "access_check", "policy_name")
    for name in by_hand:
        if getattr(options, name) is not None:
            options.parser.error(f"--{name.replace('_', '-')} goes with --secret-id; the template says its own")
    parameters = dict(_key_and_value(options, one) for one in options.parameter)
    found: dict[str, Preview] = {}
    failures = []
    try:
        body = load(options.template)
        template = Template(aws, body, parameters, Stack(aws, options.stack) if options.stack else None)
        logical_ids = template.logical_ids
        if options.resource and options.resource not in logical_ids:
            raise Unresolved(f"--resource {options.resource}: {options.template} has no such resource of ours.")
        if not logical_ids:
            raise Unresolved(f"{options.template} has no Custom::RotationRolePolicy.")
    except _FAILURES as failure:
        return {}, [_said(failure)]
    for logical_id in [options.resource] if options.resource else logical_ids:
        try:
            if template.is_left_out(logical_id):
                print(f"{logical_id}: its condition is false, it is left out.", file=sys.stderr)
            else:
                found[logical_id] = preview(aws, template.resource(logical_id))
        except _FAILURES as failure:
            failures.append(f"{logical_id}: {_said(failure)}")
    return found, failures


def _key_and_value(options: argparse.Namespace, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        options.parser.error(f"--parameter {text}: give a name and a value, as in Environment=prod")
    return key, value


# --- what goes wrong, in a line --------------------------------------------------------------------------------------

_FAILURES = (Refused, CallFailed, Unresolved, BotoCoreError)


def _said(failure: Exception) -> str:
    """What went wrong, for whoever typed the command: the provider's words speak of its own role and log."""
    if isinstance(failure, ProviderDenied):
        return f"AWS denies you {failure.action}: {failure.message or 'no reason given'}"
    if isinstance(failure, OutOfTime):
        return f"AWS throttled for {PATIENCE_SECONDS:.0f} seconds. Try again."
    if isinstance(failure, CallFailed):
        remedy = _REMEDIES.get(failure.code, "")
        return f"{failure.message} ({failure.action} answered {failure.code}).{remedy}"
    if isinstance(failure, NoRegionError):
        return "There is no region. Give --region, or set AWS_REGION."
    if isinstance(failure, ProfileNotFound):
        return f"{failure}. --profile is of your AWS credentials; the policy's is --policy-profile."
    return " ".join(str(failure).split())


_LOG_IN = " Log in (aws login, aws sso login), or give --profile."
_REMEDIES = {
    "ExpiredToken": _LOG_IN,
    "ExpiredTokenException": _LOG_IN,
    "InvalidClientTokenId": _LOG_IN,
    "NoCredentialsError": _LOG_IN,
    "SSOTokenLoadError": _LOG_IN,
    "TokenRetrievalError": _LOG_IN,
    "UnauthorizedSSOTokenError": _LOG_IN,
    "UnrecognizedClientException": _LOG_IN,
}


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Shows each call in the last line of a terminal, and clears it in the end. Nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return

    def show(action: str) -> None:
        print(f"\r\033[K{painted(DIM, f'asking AWS: {action}', wants_colour(sys.stderr))}", end="", file=sys.stderr)
        sys.stderr.flush()

    try:
        yield show
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
