"""The command line: `rotation-role-policy`, or `python -m rotation_role_policy`."""

import argparse
import errno
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from botocore.exceptions import BotoCoreError, ProfileNotFound

from rotation_role_policy import __version__
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, RequestError
from rotation_role_policy.properties import PROPERTIES
from rotation_role_policy_cli import schema
from rotation_role_policy_cli.caller_aws import CallerAws
from rotation_role_policy_cli.preview.page import Page
from rotation_role_policy_cli.preview.preview import Planned, Preview, Resource, preview
from rotation_role_policy_cli.render import DIM, RED, is_terminal, painted, wants_colour
from rotation_role_policy_cli.template.file import Unresolved, load
from rotation_role_policy_cli.template.resolver import Template
from rotation_role_policy_cli.template.stack import Stack

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
  {WOULD_CHANGE}  the policy would change, would be put there, or would go
  {FAILED}  an error, or the provider would refuse, in any of a template's resources

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
        status = int(options.run(options))
        if sys.stdout:
            # What cannot be written is to be known now, not when Python closes it.
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        with suppress(OSError, AttributeError):
            # Nothing more goes there: Python would complain once more when it closes it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            # Whoever read the output has read enough.
            return 141
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        # Else it is a file that botocore wants: of AWS_CA_BUNDLE, of ~/.aws.
        _complain([f"The output cannot be written: {error.strerror}." if is_full else " ".join(str(error).split())])
        return FAILED
    except Exception as error:
        if options.debug:
            raise
        _complain([f"This is a fault of the tool's: {type(error).__name__}: {error}. With --debug it says where."])
        return FAILED


class _Parser(argparse.ArgumentParser):
    """Errors of usage end with 1: 2 says that a policy would change."""

    def error(self, message: str) -> NoReturn:
        self.exit(FAILED, f"{self.prog}: {message} (--help says more)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="rotation-role-policy", description="Tools for templates with Custom::RotationRolePolicy resources."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--debug", action="store_true", help="show where a fault of the tool's comes from")
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
        "--parameter",
        metavar="K=V",
        nargs="+",
        action="extend",
        default=[],
        help="parameters of the template; else the stack's, else the defaults",
    )
    by_template.add_argument("--resource", metavar="LOGICAL_ID", help="only this one")
    one.add_argument("--profile", metavar="NAME", help="of your AWS credentials, as for the AWS CLI")
    one.add_argument("--region", metavar="NAME", help="as for the AWS CLI")
    one.add_argument("--json", action="store_true", help="the bare document (of a template: documents by logical id)")
    return parser


def _allowed(name: str) -> tuple[str, ...]:
    return next(row.allowed_values for row in PROPERTIES if row.name == name)


def _schema(_: argparse.Namespace) -> int:
    print(schema.text(), end="")
    return 0


# --- preview ---------------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What there is to show, each by the logical id of its resource (empty for one by hand)."""

    previews: dict[str, Preview]
    removed: dict[str, str]
    """Policies that would go with their resources: physical ids."""
    failures: list[str]

    @property
    def status(self) -> int:
        """The exit status."""
        if self.failures or any(one.refusal for one in self.previews.values()):
            return FAILED
        return WOULD_CHANGE if self.removed or any(one.changes for one in self.previews.values()) else UNCHANGED


def _preview(options: argparse.Namespace) -> int:
    if bool(options.template) == bool(options.secret_id):
        options.parser.error("give --secret-id or --template" + (", not both" if options.template else ""))
    with _progress() as progress:
        aws = CallerAws(options.profile, options.region, progress)
        outcome = _of_template(options, aws) if options.template else _by_hand(options, aws)
    failures = outcome.failures
    if options.json:
        _print_json(outcome, alone=not options.template or bool(options.resource))
        refused = {name: one.refusal for name, one in outcome.previews.items() if one.refusal}
        failures = failures + [f"{name}: {refusal}".removeprefix(": ") for name, refusal in refused.items()]
    else:
        _print_pages(outcome)
    _complain(failures)
    return outcome.status


def _print_json(outcome: Outcome, *, alone: bool) -> None:
    """The documents, null for one that would be removed; `alone` without their names, and nothing where one failed."""
    documents: dict[str, Any] = {name: one.document for name, one in outcome.previews.items()}
    documents |= dict.fromkeys(outcome.removed)
    if not alone:
        print(json.dumps(documents, indent=2))
    elif not outcome.failures:
        print(json.dumps(next(iter(documents.values()), None), indent=2))


def _print_pages(outcome: Outcome) -> None:
    columns = shutil.get_terminal_size((_WIDEST_PAGE, 0)).columns
    page = Page(max(_NARROWEST_PAGE, min(_WIDEST_PAGE, columns)), wants_colour(sys.stdout))
    for one in outcome.previews.values():
        print(page.of(one) + "\n")
    for logical_id, physical_id in outcome.removed.items():
        role_name, _, name = physical_id.partition("/")
        print(f"{logical_id}: it goes, and with it the policy {name} of the role {role_name}.\n")
    if not outcome.previews and not outcome.removed and not outcome.failures:
        print("There is nothing to do: the conditions of the template leave all of ours out.\n")


def _complain(failures: list[str]) -> None:
    for failure in failures:
        print(f"{painted(RED, 'error:', wants_colour(sys.stderr))} {failure}", file=sys.stderr)


def _by_hand(options: argparse.Namespace, aws: CallerAws) -> Outcome:
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
        return Outcome({"": preview(aws, Resource(properties, policy_name=options.policy_name or ""))}, {}, [])
    except _FAILURES as failure:
        return Outcome({}, {}, [_said(failure)])


def _of_template(options: argparse.Namespace, aws: CallerAws) -> Outcome:
    """What becomes of a template's resources, and of those that its stack has besides."""
    by_hand = ("rotation_lambda", "role", "vpc", "superuser_secret_id", "policy_profile", "access_check", "policy_name")
    for name in by_hand:
        if getattr(options, name) is not None:
            options.parser.error(f"--{name.replace('_', '-')} goes with --secret-id; the template says its own")
    parameters = dict(_key_and_value(options, one) for one in options.parameter)
    outcome = Outcome({}, {}, [])
    try:
        stack = Stack(aws, options.stack) if options.stack else None
        template = Template(aws, load(options.template), parameters, stack)
        deployed = stack.own_policies if stack else {}
        logical_ids = list(dict.fromkeys([*template.logical_ids, *deployed]))
        outcome.failures.extend([] if options.resource else template.attributes_without_lookup)
        if options.resource and options.resource not in logical_ids:
            raise Unresolved(f"--resource {options.resource}: {options.template} has no such resource of ours.")
        if not logical_ids and not outcome.failures:
            raise Unresolved(f"{options.template} has no Custom::RotationRolePolicy.")
    except _FAILURES as failure:
        return Outcome({}, {}, [_said(failure)])
    planned: Planned = {}
    for logical_id in [options.resource] if options.resource else logical_ids:
        try:
            if logical_id in template.logical_ids and not template.is_left_out(logical_id):
                outcome.previews[logical_id] = preview(aws, template.resource(logical_id), planned)
            elif logical_id in deployed:
                outcome.removed[logical_id] = deployed[logical_id]
        except _FAILURES as failure:
            outcome.failures.append(f"{logical_id}: {_said(failure)}")
    return outcome


def _key_and_value(options: argparse.Namespace, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        options.parser.error(f"--parameter {text}: give a name and a value, as in Environment=prod")
    return key, value


# --- what goes wrong, in a line --------------------------------------------------------------------------------------

_FAILURES = (RequestError, AwsApiError, Unresolved, BotoCoreError)


def _said(failure: Exception) -> str:
    """What went wrong, for whoever typed the command: the provider's words speak of its own role and log."""
    if isinstance(failure, AccessDeniedError):
        # AWS's own words mostly say all: who may not do what on what.
        said = failure.message if "not authorized to perform" in failure.message else ""
        return f"AWS denies it: {said}" if said else f"AWS denies you {failure.action}. {failure.message}".strip()
    if isinstance(failure, AwsApiError):
        return f"{failure.message} ({failure.action} answered {failure.code}).{_REMEDIES.get(failure.code, '')}"
    if isinstance(failure, ProfileNotFound):
        return f"{failure}. --profile is of your AWS credentials; the policy's is --policy-profile."
    if isinstance(failure, BotoCoreError):
        return f"{str(failure).rstrip('.')}.{_REMEDIES.get(type(failure).__name__, '')}"
    return " ".join(str(failure).split())


_LOG_IN = " Log in to AWS again, or give --profile."
_LOOK = " Check --region, and your network."
_GIVE_REGION = " Give --region, or set AWS_REGION."
_REMEDIES = {
    "ConnectTimeoutError": _LOOK,
    "EndpointConnectionError": _LOOK,
    "ExpiredToken": _LOG_IN,
    "ExpiredTokenException": _LOG_IN,
    "InvalidClientTokenId": _LOG_IN,
    "NoCredentialsError": _LOG_IN,
    "NoRegionError": _GIVE_REGION,
    "SSOTokenLoadError": _LOG_IN,
    "TokenRetrievalError": _LOG_IN,
    "UnauthorizedSSOTokenError": _LOG_IN,
    "UnrecognizedClientException": _LOG_IN,
}


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Shows each call in the last line of a terminal, and clears it in the end. Nothing in a pipe."""
    if not is_terminal(sys.stderr):
        yield lambda _: None
        return

    def show(action: str) -> None:
        print(f"\r\033[K{painted(DIM, f'asking AWS: {action}', wants_colour(sys.stderr))}", end="", file=sys.stderr)
        sys.stderr.flush()

    try:
        yield show
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
