"""Which regions are audited."""

import difflib
from collections.abc import Iterable, Iterator, Sequence

import botocore.session
import click

from rotation_role_policy.aws.client import Aws
from rotation_role_policy.errors import CallError
from rotation_role_policy_cli.render import show_warning

_SERVICE = "secretsmanager"
DEFAULT = "us-east-1"
"""Where the first calls go if all regions are audited, and the user has configured none."""


def check(names: Iterable[str]) -> None:
    """Raise `click.ClickException` for a region that does not exist: its first call would take half a minute."""
    known = sorted(_known())
    for name in names:
        if name not in known:
            similar = ", ".join(difflib.get_close_matches(name, known))
            hint = f" Similar ones: {similar}." if similar else " A newer version of botocore may know it."
            raise click.ClickException(f"--region {name!r}: there is no such region with Secrets Manager.{hint}")


def enabled(aws: Aws) -> Sequence[str]:
    """Return the regions that the account has enabled. If AWS does not list them, print a warning."""
    try:
        described = aws.call(aws.session.client("ec2").describe_regions)["Regions"]
    except CallError as error:
        show_warning(
            f"AWS does not list the regions of account {aws.caller.account} ({error.action}: {error.code}). All regions"
            " that this version knows are audited. Those that the account has not enabled are not inspected."
        )
        return sorted(_known(aws.caller.partition))
    return sorted(region["RegionName"] for region in described)


def _known(partition: str = "") -> Iterator[str]:
    session = botocore.session.get_session()
    for each in [partition] if partition else session.get_available_partitions():
        yield from session.get_available_regions(_SERVICE, each)
