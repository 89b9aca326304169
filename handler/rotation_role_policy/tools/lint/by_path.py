"""For ``cfn-lint --append-rules <this folder>``, from a checkout: what cfn-lint loads of a folder is its plain files.

It loads this one without its package, so that the package has to be found first.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from rotation_role_policy.tools.lint import *  # noqa: F403
