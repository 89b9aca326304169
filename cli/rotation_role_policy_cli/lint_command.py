"""The command `lint`: cfn-lint with the rules for Custom::RotationRolePolicy."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cfnlint.config import ConfigMixIn
from cfnlint.runner import Runner, main

from rotation_role_policy_cli import lint
from rotation_role_policy_cli.exit_status import ExitStatus
from rotation_role_policy_cli.render import show_error
from rotation_role_policy_cli.schema import TYPE
from rotation_role_policy_cli.template.file import MOST_BYTES

# cfn-lint takes all words behind this option for rules, so it comes last.
_RULES = ["--append-rules", lint.__name__]


def run(arguments: Sequence[str]) -> int:
    """Run cfn-lint, and return its own exit status. `arguments`: templates, and options of cfn-lint."""
    if problem := _too_large(arguments):
        show_error(problem)
        return ExitStatus.ERROR
    sys.argv[1:] = [*arguments, *_RULES]
    return _status_of(main)


def run_for_hook(files: Sequence[str]) -> int:
    """Lint the files that have the resource, with the options in .cfnlintrc, and return cfn-lint's exit status.

    pre-commit runs it in a repository whose code nobody need trust. `append_rules` in its .cfnlintrc would import that
    code, so it does not count.
    """
    if not (templates := [file for file in files if TYPE in Path(file).read_text("utf-8", "replace")]):
        return 0
    if problem := _too_large(templates):
        show_error(problem)
        return ExitStatus.ERROR
    config = ConfigMixIn([*_RULES, "--", *templates])
    config.file_args.pop("append_rules", None)
    return _status_of(Runner(config).cli)


def _too_large(arguments: Sequence[str]) -> str:
    """Return the problem if a file is too large for a template. cfn-lint would take minutes. Else empty."""
    for path in map(Path, arguments):
        if path.is_file() and path.stat().st_size > MOST_BYTES:
            return f"{path} has more than {MOST_BYTES:,} bytes, which CloudFormation does not accept."
    return ""


def _status_of(cfn_lint: Callable[[], None]) -> int:
    try:
        cfn_lint()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
