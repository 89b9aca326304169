"""An AWS account in memory, with the resources that the pictures show."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from moto.moto_api._internal import mock_random

from rotation_role_policy.aws import transport
from tests.support.response_server import serve
from tests.support.world import REGION, World, connected

SECRET = "prod/orders"  # noqa: S105  # a name
FUNCTION = "rotate-orders"


@contextmanager
def account() -> Iterator[World]:
    """Create the account: a secret, and a rotation function in a VPC. It is the same in every run."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
    }
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        answers, authority = stack.enter_context(serve(Path(folder)))
        stack.enter_context(mock.patch.dict(os.environ, settings | {"SSL_CERT_FILE": str(authority)}, clear=True))
        # The provider reads its certificate authorities once.
        transport.tls.cache_clear()
        stack.callback(transport.tls.cache_clear)
        world = stack.enter_context(connected(answers))
        mock_random.seed(4)
        world.function(world.role("orders-rotation"), name=FUNCTION, vpc=world.vpc())
        world.secret(SECRET, key=world.key())
        yield world


def put_inline_policy(world: World, name: str, action: str, resource: str) -> None:
    """Put another inline policy on the function's role."""
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    world.client("iam").put_role_policy(RoleName="orders-rotation", PolicyName=name, PolicyDocument=document)
