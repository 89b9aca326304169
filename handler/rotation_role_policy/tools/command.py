"""The command line: `rotation-role-policy`, or `python -m rotation_role_policy`."""

import argparse
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and give its exit status."""
    parser = argparse.ArgumentParser(prog="rotation-role-policy")
    parser.parse_args(arguments)
    return 0
