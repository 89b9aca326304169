"""The hook for pre-commit of earlier versions, which ran this module."""

import sys

from rotation_role_policy_cli.lint_command import run_for_hook

sys.exit(run_for_hook(sys.argv[1:]))
