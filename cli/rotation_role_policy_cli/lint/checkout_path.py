"""Make the packages of a checkout importable for ``cfn-lint --append-rules <this folder>``.

cfn-lint loads each file as a module without a package, and the files of this folder before those in ``rules/``.
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[3] / folder) for folder in ("cli", "handler")]
