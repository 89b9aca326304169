"""The hook for pre-commit: lint the files that have a Custom::RotationRolePolicy, with the options in .cfnlintrc."""

import sys
from pathlib import Path

from cfnlint.runner import main

from rotation_role_policy_cli.schema import TYPE

if templates := [file for file in sys.argv[1:] if TYPE in Path(file).read_text("utf-8", "replace")]:
    sys.argv[1:] = ["--append-rules", "rotation_role_policy_cli.lint", "--", *templates]
    main()
