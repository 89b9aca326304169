"""`python -m rotation_role_policy`: the command line tools."""

import sys

from rotation_role_policy.tools.command import main

sys.exit(main())
