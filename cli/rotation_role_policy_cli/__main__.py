"""Run the command line: `python -m rotation_role_policy_cli`."""

import sys

from rotation_role_policy_cli.main import main

sys.exit(main())
