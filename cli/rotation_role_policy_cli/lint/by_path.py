"""For ``cfn-lint --append-rules <this folder>``, from a checkout: what cfn-lint loads of a folder is its plain files.

It loads this one without its package, so that the package has to be found first.
"""

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(_ROOT / "handler"), str(_ROOT / "cli")]

from rotation_role_policy_cli.lint import *  # noqa: E402, F403
