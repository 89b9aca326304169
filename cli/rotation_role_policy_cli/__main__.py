"""`python -m rotation_role_policy_cli`: the command line tools."""

import sys

from rotation_role_policy_cli.main import main

sys.exit(main())
